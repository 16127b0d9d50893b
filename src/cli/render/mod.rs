//! Text for humans and for programs, made of data alone: nothing here writes.

pub(crate) mod failure;
pub(crate) mod json;
pub(crate) mod objects;
pub(crate) mod pipes;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod views;

#[cfg(test)]
pub(crate) mod samples;

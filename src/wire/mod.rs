//! What two peers say to each other: the preface, frames and messages.
//!
//! The layer is pure: it turns bytes into frames and frames into bytes and knows neither sockets nor time. The order in which frames are
//! legal is the business of [`mux`](crate::mux).
#![doc = include_str!("PROTOCOL.md")]

pub mod codec;
pub mod frame;
pub mod limits;
pub mod message;
pub mod preface;

pub use self::{
    codec::{DecodeError, Decoder},
    frame::{Frame, FrameType, Half, StreamId, StreamKind},
    preface::{Preface, PrefaceError, Version},
};

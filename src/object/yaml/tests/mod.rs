//! Tests of the whole way of a document.

mod attacks;
mod conformance;
mod converting;
mod editing;
mod judge;
mod splitting;

use super::{
    super::{
        Layout, Limits, Metadata, Problem,
        cut::{Cut, Edited},
    },
    *,
};
use crate::media::{Naming, Style};

/// Cuts a stream that comes in pieces. Each document with its number and offset; what is bad as its problem; and all text together.
fn cut<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: Limits) -> (Vec<Piece>, Vec<u8>) {
    let mut splitter = Splitter::new(limits);
    let mut found = Vec::new();
    let mut all = Vec::new();
    for mut piece in pieces {
        loop {
            let cut = splitter.next(&mut piece);
            let is_more = cut == Cut::More;
            keep(&cut, &mut found, &mut all);
            if is_more {
                assert!(piece.is_empty(), "it wants more and has some");
                break;
            }
        }
    }
    while let Some(cut) = splitter.finish() {
        keep(&cut, &mut found, &mut all);
    }
    (found, all)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Document(String, u64, u64),
    Bad(Problem, u64, u64),
}

fn keep(cut: &Cut<'_>, found: &mut Vec<Piece>, all: &mut Vec<u8>) {
    match cut {
        Cut::More => {}
        Cut::Found {
            gap,
            text,
            number,
            offset,
        } => {
            all.extend_from_slice(gap);
            assert_eq!(all.len() as u64, *offset);
            all.extend_from_slice(text);
            let text = str::from_utf8(text).unwrap().to_owned();
            found.push(Piece::Document(text, *number, *offset));
        }
        Cut::Gap { text } | Cut::Rest { text } => {
            assert!(!text.is_empty());
            all.extend_from_slice(text);
        }
        Cut::Bad { bad, text } => {
            all.extend_from_slice(text);
            found.push(Piece::Bad(bad.problem.clone(), bad.number, bad.offset));
        }
    }
}

/// The documents of a stream, which is cut at every place and says the same each time.
fn documents(stream: &[u8]) -> Vec<String> {
    let limits = Limits::default();
    let (whole, all) = cut([stream], limits);
    assert_eq!(all, stream);
    assert_eq!(cut(stream.chunks(1), limits), (whole.clone(), all));
    for at in 0..stream.len() {
        let (first, second) = stream.split_at(at);
        assert_eq!(cut([first, second], limits).0, whole, "cut at {at}");
    }
    let text = |piece: Piece| match piece {
        Piece::Document(text, ..) => text,
        Piece::Bad(problem, ..) => panic!("{problem}"),
    };
    whole.into_iter().map(text).collect()
}

fn json_of(text: &str) -> Result<String, Fault> {
    let mut out = Vec::new();
    to_json(text.as_bytes(), Limits::default(), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn yaml_of(json: &str) -> Result<String, Fault> {
    let mut out = Vec::new();
    from_json(json.as_bytes(), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn metadata() -> Metadata {
    Metadata::new(Naming::default(), &[("addr", "a".into())])
}

fn flat() -> Naming {
    Naming {
        style: Style::Flat,
        prefix: "__dp.".to_owned(),
        ..Naming::default()
    }
}

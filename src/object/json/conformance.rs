//! The cases of `conformance.txt`.

use super::{
    super::{Limits, Problem, cut::Cut},
    Splitter,
};

/// A row of the table.
#[derive(Debug)]
struct Case {
    name: &'static str,
    verdict: Verdict,
    text: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// All of the stream is well, and these many values are in it.
    Values(usize),
    /// This byte is wrong.
    Wrong(u64),
}

fn cases() -> Vec<Case> {
    let rows = include_str!("conformance.txt").lines();
    rows.filter(|row| !row.is_empty() && !row.starts_with('#'))
        .map(|row| {
            let mut columns = row.splitn(3, '|').map(str::trim);
            let mut column = || columns.next().unwrap_or_else(|| panic!("{row}"));
            let (name, verdict, text) = (column(), column(), column());
            let verdict = verdict.trim_end_matches('?');
            Case {
                name,
                verdict: match verdict.strip_prefix('@') {
                    Some(at) => Verdict::Wrong(at.parse().unwrap()),
                    None => Verdict::Values(verdict.parse().unwrap()),
                },
                text: bytes(text),
            }
        })
        .collect()
}

/// The bytes that are meant: `%` begins two hexadecimal digits.
fn bytes(text: &str) -> Vec<u8> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

fn verdict(text: &[u8], piece: usize) -> Option<Verdict> {
    let mut splitter = Splitter::new(Limits::default());
    let mut values = 0;
    let mut judge = |cut: Cut<'_>| match cut {
        Cut::Bad { bad, .. } => {
            assert_eq!(bad.number, values as u64 + 1);
            if let Problem::Unexpected { found, .. } = bad.problem {
                assert_eq!(text.get(bad.offset as usize), Some(&found));
            }
            Some(Verdict::Wrong(bad.offset))
        }
        Cut::Found {
            text: value,
            offset,
            ..
        } => {
            assert!(text[offset as usize..].starts_with(value));
            values += 1;
            None
        }
        Cut::More | Cut::Gap { .. } | Cut::Rest { .. } => None,
    };
    for mut piece in text.chunks(piece) {
        while !piece.is_empty() {
            let mut rest = piece;
            let verdict = judge(splitter.next(&mut rest));
            piece = &piece[piece.len() - rest.len()..];
            if verdict.is_some() {
                return verdict;
            }
        }
    }
    while let Some(cut) = splitter.finish() {
        let verdict = judge(cut);
        if verdict.is_some() {
            return verdict;
        }
    }
    Some(Verdict::Values(values))
}

#[test]
fn texts_are_what_the_table_says_in_one_piece_and_in_many() {
    let cases = cases();
    let mut wrong = Vec::new();
    for case in &cases {
        for piece in [usize::MAX, 1, 2, 3] {
            let verdict = verdict(&case.text, piece);
            if verdict.as_ref() != Some(&case.verdict) {
                wrong.push(format!("{case:?}: {verdict:?} in pieces of {piece}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let mut names: Vec<_> = cases.iter().map(|case| case.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), cases.len(), "a name stands twice");
}

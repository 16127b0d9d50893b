//! Metadata at the root of a value: in, out, or replaced.

use std::{borrow::Cow, ops::Range};

use memchr::{memchr, memchr2, memmem::Finder};

use super::{
    super::{Layout, Metadata, OnNonObject, Problem, cut::Edited},
    members::{Members, unescaped},
    spaces,
    swar::find_special,
};
use crate::media::Naming;

/// What is done with each value of a stream.
#[derive(Debug)]
pub(in crate::object) struct Editor {
    remove: Vec<Naming>,
    /// For each of them, what a text holds that has such a member and does not escape its key.
    needles: Vec<Finder<'static>>,
    add: Option<Metadata>,
    layout: Layout,
    on_non_object: OnNonObject,
}

/// Where an edited value goes.
struct Output<'a> {
    /// The value as it came.
    text: &'a [u8],
    /// Whether its lines are made one: each line break goes, and the white space after it. In a checked text neither is within a string.
    is_joined: bool,
    out: &'a mut Vec<u8>,
}

// === impl Editor ===

impl Editor {
    /// Takes these members out, and those of the metadata that are put in.
    pub(in crate::object) fn new(
        remove: &[Naming],
        add: Option<&Metadata>,
        layout: Layout,
        on_non_object: OnNonObject,
    ) -> Self {
        let mut all: Vec<Naming> = Vec::with_capacity(remove.len() + 1);
        for naming in remove.iter().chain(add.map(Metadata::naming)) {
            if !all.contains(naming) {
                all.push(naming.clone());
            }
        }
        let finder = |naming: &Naming| Finder::new(naming.needle()).into_owned();
        Self {
            needles: all.iter().map(finder).collect(),
            remove: all,
            add: add.cloned(),
            layout,
            on_non_object,
        }
    }

    /// Appends a value, edited. The text is one value and nothing else, as a splitter found it.
    ///
    /// # Errors
    ///
    /// What is wrong with the value and at which byte of it; nothing is appended then.
    pub(in crate::object) fn edit(
        &self,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Edited, (usize, Problem)> {
        let object = text.first() == Some(&b'{');
        let replaced = if object {
            self.object(text, out)
        } else {
            self.other(text, out)?;
            false
        };
        if self.layout == Layout::Framed {
            out.push(b'\n');
        }
        Ok(Edited { replaced, object })
    }

    /// Puts metadata in and takes others out; whether there were any.
    fn object(&self, text: &[u8], out: &mut Vec<u8>) -> bool {
        let added = self.add.as_ref().map_or("", Metadata::members).as_bytes();
        let mut out = Output::new(self.layout, text, out);
        let first = 1 + spaces(text.get(1..).unwrap_or_default());
        let is_empty = text.get(first) == Some(&b'}');
        out.put(b"{");
        if is_empty || !self.may_hold_metadata(text) {
            out.copy(1..first);
            out.put(added);
            if !added.is_empty() && !is_empty {
                out.put(b",");
            }
            out.copy(first..text.len());
            return false;
        }
        // Up to here the text is copied or left out.
        let mut done = 1;
        let mut last_kept = None;
        // Where the members begin and end that go, since the last one that stays.
        let mut gone = None;
        let mut replaced = false;
        for member in Members::new(text) {
            if self.removes(member.key) {
                gone = Some((gone.map_or(member.start, |(start, _)| start), member.end));
                replaced = true;
                continue;
            }
            if last_kept.is_none() {
                out.copy(1..first);
                out.put(added);
                if !added.is_empty() {
                    out.put(b",");
                }
                done = member.start;
            } else if let Some((start, _)) = gone {
                out.copy(done..start);
                done = member.start;
            }
            gone = None;
            last_kept = Some(member.end);
        }
        match (last_kept, gone) {
            (Some(end), Some((_, gone_end))) => {
                out.copy(done..end);
                out.copy(gone_end..text.len());
            }
            (Some(_), None) => out.copy(done..text.len()),
            (None, _) => {
                out.put(added);
                out.put(b"}");
            }
        }
        replaced
    }

    /// A root that has no members.
    fn other(&self, text: &[u8], out: &mut Vec<u8>) -> Result<(), (usize, Problem)> {
        let mut out = Output::new(self.layout, text, out);
        match (&self.add, self.on_non_object) {
            (None, _) | (_, OnNonObject::Pass) => out.copy(0..text.len()),
            (Some(add), OnNonObject::Wrap) => {
                out.put(b"{");
                out.put(add.members().as_bytes());
                if !add.members().is_empty() {
                    out.put(b",");
                }
                out.put(b"\"value\":");
                out.copy(0..text.len());
                out.put(b"}");
            }
            (Some(_), OnNonObject::Error) => {
                let found = match text.first() {
                    Some(b'[') => "a list",
                    Some(b'"') => "a text",
                    Some(b't' | b'f') => "true or false",
                    Some(b'n') => "null",
                    _ => "a number",
                };
                return Err((0, Problem::NoObject { found }));
            }
        }
        Ok(())
    }

    /// Whether a closer look is needed. Nearly always it is not, and this is much quicker than to look.
    fn may_hold_metadata(&self, text: &[u8]) -> bool {
        let holds = |needle: &Finder<'_>| needle.find(text).is_some();
        self.needles.iter().any(holds) || (!self.remove.is_empty() && has_escaped_key(text))
    }

    fn removes(&self, key: &[u8]) -> bool {
        let unescaped = match str::from_utf8(key) {
            Ok(key) if !key.contains('\\') => Cow::Borrowed(key),
            _ => Cow::Owned(unescaped(key)),
        };
        self.remove.iter().any(|naming| naming.covers(&unescaped))
    }
}

/// Whether the key of a member, at whatever level, is written with an escape.
fn has_escaped_key(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(backslash) = text.get(at..).and_then(|rest| memchr(b'\\', rest)) {
        // Only strings have backslashes: here is the rest of one.
        at += backslash;
        while let Some(special) = find_special(text, at)
            && text.get(special) == Some(&b'\\')
        {
            at = special + 2;
        }
        at += text
            .get(at..)
            .map_or(0, |rest| memchr(b'"', rest).unwrap_or(rest.len()));
        at += 1;
        let after = text.get(at..).unwrap_or_default();
        if after.get(spaces(after)) == Some(&b':') {
            return true;
        }
    }
    false
}

// === impl Output ===

impl<'a> Output<'a> {
    fn new(layout: Layout, text: &'a [u8], out: &'a mut Vec<u8>) -> Self {
        let is_joined = layout == Layout::Framed && memchr2(b'\n', b'\r', text).is_some();
        Self {
            text,
            is_joined,
            out,
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Copies a part of the text that does not end within white space.
    fn copy(&mut self, range: Range<usize>) {
        let mut rest = self.text.get(range).unwrap_or_default();
        while self.is_joined
            && let Some(end) = memchr2(b'\n', b'\r', rest)
        {
            let (line, after) = rest.split_at(end);
            self.put(line);
            rest = &after[spaces(after)..];
        }
        self.put(rest);
    }
}

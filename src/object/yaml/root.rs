//! What is at the root of a document, and where.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
};

use super::{
    super::{Limits, Problem},
    Fault, merge,
    parse::{Step, Steps, Tag, What},
};
use crate::media::Naming;

/// What is at the root of a document.
#[derive(Debug, Default)]
pub(super) struct Root {
    pub(super) kind: Kind,
    /// The entries of the mapping that it is.
    pub(super) entries: Vec<Entry>,
    /// Where that mapping ends: at its closing brace, or before what comes next.
    pub(super) end: usize,
}

/// What kind of node the root is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// No mapping.
    #[default]
    Other,
    /// A mapping in block style, indented by these columns.
    Block { indent: usize },
    /// A mapping in flow style, whose brace stands here.
    Flow { brace: usize },
}

/// An entry of the mapping at the root.
#[derive(Debug)]
pub(super) struct Entry {
    /// Where its key begins, without anchor, tag and `?`.
    pub(super) key: usize,
    /// Where the last thing in it ends that is written out.
    pub(super) end: usize,
    /// Whether it is metadata, by its name.
    pub(super) is_covered: bool,
}

/// Reads a document, all of it, and says what is at its root.
///
/// # Errors
///
/// The text is not YAML; or metadata cannot be taken out, for a merge key brings them, or something else needs an anchor in them.
pub(super) fn root(text: &[u8], namings: &[&Naming], limits: Limits) -> Result<Root, Fault> {
    let mut steps = Steps::of(text, limits)?;
    let mut reader = Reader {
        namings,
        root: Root::default(),
        frames: Vec::new(),
        covered: BTreeSet::new(),
        anchors: HashMap::new(),
        aliases: Vec::new(),
    };
    while let Some(step) = steps.next()? {
        reader.step(&step)?;
    }
    reader.check_aliases()?;
    Ok(reader.root)
}

struct Reader<'n> {
    namings: &'n [&'n Naming],
    root: Root,
    frames: Vec<Frame>,
    /// The anchors of scalars that are names of metadata, and of mappings with such names.
    covered: BTreeSet<usize>,
    /// The anchors, and how many entries there were with that in which they stand.
    anchors: HashMap<usize, usize>,
    /// What aliases are for, how many entries there were with that in which they stand, and where.
    aliases: Vec<(usize, usize, usize)>,
}

/// A list or mapping around the place.
struct Frame {
    is_mapping: bool,
    wants_key: bool,
    anchor: Option<usize>,
    /// Whether it has names of metadata, or would bring them along.
    is_covered: bool,
    /// Whether it is, or stands in a list that is, what a merge key brings.
    is_merged: bool,
    /// Whether its last key was a merge key.
    has_merge_key: bool,
}

// === impl Reader ===

impl Reader<'_> {
    fn step(&mut self, step: &Step<'_>) -> Result<(), Fault> {
        if step.what == What::End {
            return self.end(&step.at);
        }
        let is_key = self.frames.last().is_some_and(|frame| frame.wants_key);
        let is_covered = match (&step.what, step.anchor) {
            (What::Scalar { text, .. }, _) => self.namings.iter().any(|naming| naming.covers(text)),
            (What::Alias, Some(anchor)) => self.covered.contains(&anchor),
            _ => false,
        };
        if is_key {
            self.key(step, is_covered);
        }
        // A node that is not written may still have an anchor or a tag, and ends behind these; else it has no place of its own.
        let is_written = !step.at.is_empty() || step.anchor.is_some() || step.tag != Tag::None;
        if let Some(entry) = self.root.entries.last_mut()
            && is_written
        {
            entry.end = entry.end.max(step.at.end);
        }
        let entry = self.root.entries.len();
        match (&step.what, step.anchor) {
            (What::Alias, Some(anchor)) => self.aliases.push((anchor, entry, step.at.start)),
            (_, Some(anchor)) => {
                self.anchors.insert(anchor, entry);
                if is_covered {
                    self.covered.insert(anchor);
                }
            }
            _ => {}
        }
        let is_merged = !is_key && self.is_merged_here();
        match step.what {
            What::List | What::Mapping { .. } => {
                if let (true, What::Mapping { is_flow }) = (self.frames.is_empty(), &step.what) {
                    self.root.kind = if *is_flow {
                        Kind::Flow {
                            brace: step.at.start,
                        }
                    } else {
                        Kind::Block { indent: 0 }
                    };
                }
                let is_mapping = matches!(step.what, What::Mapping { .. });
                self.frames.push(Frame {
                    is_mapping,
                    wants_key: is_mapping,
                    anchor: step.anchor,
                    is_covered: false,
                    is_merged,
                    has_merge_key: false,
                });
                Ok(())
            }
            _ => {
                let brings = is_covered && step.what == What::Alias && !is_key;
                self.node_done(brings, is_merged, step.at.start)
            }
        }
    }

    /// Whether what comes next is brought by a merge key.
    fn is_merged_here(&self) -> bool {
        self.frames.last().is_some_and(|frame| {
            if frame.is_mapping {
                frame.has_merge_key
            } else {
                frame.is_merged
            }
        })
    }

    /// At a key, which is a scalar, an alias, or the beginning of something else.
    fn key(&mut self, step: &Step<'_>, is_covered: bool) {
        let is_root = self.frames.len() == 1;
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        frame.is_covered |= is_covered;
        frame.has_merge_key = match (&step.what, &step.tag) {
            (What::Scalar { text, is_plain }, Tag::None) => *is_plain && text == merge::KEY,
            (What::Scalar { .. }, Tag::Yaml(name)) => name == "merge",
            _ => false,
        };
        if is_root {
            if let (Kind::Block { .. }, Some(indent), true) =
                (self.root.kind, step.indent, self.root.entries.is_empty())
            {
                self.root.kind = Kind::Block { indent };
            }
            self.root.entries.push(Entry {
                key: step.at.start,
                end: step.at.start,
                is_covered,
            });
        }
    }

    fn end(&mut self, at: &Range<usize>) -> Result<(), Fault> {
        let Some(frame) = self.frames.pop() else {
            return Ok(());
        };
        if self.frames.is_empty() {
            self.root.end = at.start;
        } else if let Some(entry) = self.root.entries.last_mut()
            && !at.is_empty()
        {
            entry.end = entry.end.max(at.end);
        }
        if let (true, Some(anchor)) = (frame.is_covered, frame.anchor) {
            self.covered.insert(anchor);
        }
        self.node_done(frame.is_covered, frame.is_merged, at.start)
    }

    /// A node is at its end; `brings` says that it has names of metadata to bring along.
    fn node_done(&mut self, brings: bool, is_merged: bool, at: usize) -> Result<(), Fault> {
        let is_root = self.frames.len() == 1;
        let Some(frame) = self.frames.last_mut() else {
            return Ok(());
        };
        if frame.is_mapping {
            frame.wants_key = !frame.wants_key;
        }
        if brings && (is_merged || !frame.is_mapping) {
            frame.is_covered = true;
            if is_root && frame.is_mapping {
                return Err((
                    at,
                    Problem::Entangled {
                        what: "metadata that a merge key brings",
                    },
                ));
            }
        }
        Ok(())
    }

    /// Whether all that stays can do without what is taken out.
    fn check_aliases(&self) -> Result<(), Fault> {
        let is_removed = |entry: usize| {
            let entry = entry
                .checked_sub(1)
                .and_then(|at| self.root.entries.get(at));
            entry.is_some_and(|entry| entry.is_covered)
        };
        for &(anchor, entry, at) in &self.aliases {
            if is_removed(entry) {
                continue;
            }
            if self
                .anchors
                .get(&anchor)
                .is_some_and(|&entry| is_removed(entry))
            {
                return Err((
                    at,
                    Problem::Entangled {
                        what: "metadata with an anchor that is used elsewhere",
                    },
                ));
            }
        }
        Ok(())
    }
}

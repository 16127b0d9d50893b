//! What a document consists of, as events. Only this module knows the parser.
//!
//! It is granit-parser: it is safe Rust without recursion, its limits can be set, it says where things stand in bytes and whether a
//! collection is in flow style, and it is linear in all that was tried on it.

use std::{borrow::Cow, ops::Range};

use granit_parser::{
    ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, StrInput, StructureStyle,
};

use super::{
    super::{Limits, Problem},
    Fault,
};

/// What is said by all tags of YAML itself, before their names.
const NAMESPACE: &str = "tag:yaml.org,2002:";

/// A step through a document.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) what: What<'a>,
    /// Where it stands in the text, without anchor and tag. Empty for what is not written: the ends of block collections, null.
    pub(super) at: Range<usize>,
    /// The anchor that it has, or with [`What::Alias`] that it is for.
    pub(super) anchor: Option<usize>,
    pub(super) tag: Tag,
    /// With the first step of a key in a block mapping: the columns that this mapping is indented by.
    pub(super) indent: Option<usize>,
}

/// What a step is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum What<'a> {
    /// A scalar, without its quotes and escapes.
    Scalar { text: Cow<'a, str>, is_plain: bool },
    /// The beginning of a list.
    List,
    /// The beginning of a mapping.
    Mapping { is_flow: bool },
    /// The end of the innermost list or mapping.
    End,
    /// An alias.
    Alias,
}

/// What a tag says about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// There is none.
    None,
    /// `!`: it is not what its text looks like.
    Plain,
    /// A tag of YAML's own, by its name.
    Yaml(String),
    /// Another one, as it is written.
    Other(String),
}

/// The steps of a document.
pub(super) struct Steps<'a> {
    parser: Parser<'a, StrInput<'a>>,
    limits: Limits,
    depth: usize,
    documents: usize,
}

impl<'a> Steps<'a> {
    /// For a text of one document.
    ///
    /// # Errors
    ///
    /// The text is not UTF-8.
    pub(super) fn of(text: &'a [u8], limits: Limits) -> Result<Self, Fault> {
        let text = str::from_utf8(text).map_err(|error| (error.valid_up_to(), Problem::NotUtf8))?;
        let mut options = Options::default();
        options.set_emit_comments(false);
        // One more each, so that it is the count below that meets the limit.
        options.flow_nesting_limit = limits.max_depth + 1;
        options.block_nesting_limit = limits.max_depth + 1;
        Ok(Self {
            parser: Parser::new_from_str_with_options(text, options),
            limits,
            depth: 0,
            documents: 0,
        })
    }

    /// The next step; none behind the last one.
    ///
    /// # Errors
    ///
    /// The text is not YAML, nested too deep, or not one document.
    pub(super) fn next(&mut self) -> Result<Option<Step<'a>>, Fault> {
        loop {
            let Some(event) = self.parser.next_event() else {
                return Ok(None);
            };
            let (event, span) = event.map_err(|error| self.fault(&error))?;
            let at = span.byte_range().unwrap_or_default();
            let (what, anchor, tag) = match event {
                Event::DocumentStart(..) if self.documents > 0 => {
                    return Err((at.start, not_yaml("a second document begins".to_owned())));
                }
                Event::DocumentStart(..) => {
                    self.documents = 1;
                    continue;
                }
                Event::StreamEnd if self.documents == 0 => {
                    return Err((at.start, not_yaml("there is no document".to_owned())));
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let is_plain = style == ScalarStyle::Plain;
                    // The parser's word for a node that is not written is `~`.
                    let is_written = !is_plain || !at.is_empty();
                    let text = if is_written { text } else { Cow::Borrowed("") };
                    (What::Scalar { text, is_plain }, anchor, tag)
                }
                Event::SequenceStart(_, anchor, tag) => (What::List, anchor, tag),
                Event::MappingStart(style, anchor, tag) => {
                    let is_flow = style == StructureStyle::Flow;
                    (What::Mapping { is_flow }, anchor, tag)
                }
                Event::SequenceEnd | Event::MappingEnd => (What::End, 0, None),
                Event::Alias(anchor) => (What::Alias, anchor, None),
                _ => continue,
            };
            self.count(&what, at.start)?;
            return Ok(Some(Step {
                what,
                at,
                anchor: (anchor != 0).then_some(anchor),
                tag: tag.map_or(Tag::None, |tag| Tag::of(&tag)),
                indent: span.indent,
            }));
        }
    }

    fn count(&mut self, what: &What<'_>, at: usize) -> Result<(), Fault> {
        match what {
            What::List | What::Mapping { .. } => self.depth += 1,
            What::End => self.depth -= 1,
            What::Scalar { .. } | What::Alias => {}
        }
        let limit = self.limits.max_depth;
        if self.depth > limit {
            return Err((at, Problem::TooDeep { limit }));
        }
        Ok(())
    }

    fn fault(&self, error: &ScanError) -> Fault {
        let marker = error.marker();
        let at = marker.byte_offset().unwrap_or_default();
        let problem = match error.kind() {
            ErrorKind::RecursionLimitExceeded => Problem::TooDeep {
                limit: self.limits.max_depth,
            },
            _ => {
                let (line, column) = (marker.line(), marker.col() + 1);
                not_yaml(format!(
                    "{}, in line {line}, column {column} of the document",
                    error.info()
                ))
            }
        };
        (at, problem)
    }
}

// === impl Tag ===

impl Tag {
    fn of(tag: &granit_parser::Tag) -> Self {
        match tag.suffix_in_namespace(NAMESPACE) {
            Some(name) => Self::Yaml(name.into_owned()),
            None if tag.handle().is_empty() && tag.suffix() == "!" => Self::Plain,
            None => Self::Other(tag.original()),
        }
    }
}

fn not_yaml(detail: String) -> Problem {
    Problem::NotYaml { detail }
}

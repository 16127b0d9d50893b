//! A document as JSON, by the core schema of YAML 1.2.
//!
//! JSON is written as the parser goes, and no tree is built: an anchor is a place in what is written, and an alias a copy of it. What is
//! copied and what is merged counts towards the limit for objects, so that aliases of aliases come to an end soon.

use std::{borrow::Cow, collections::HashMap, ops::Range, rc::Rc};

use super::{
    super::{Limits, Problem},
    Fault,
    json_text::write_string,
    merge,
    parse::{Step, Steps, Tag, What},
    scalar::Scalar,
};
use crate::media::Format;

/// Writes a document as JSON in one line, without line feed.
///
/// `!!binary` and `!!timestamp` become their text. Merge keys are applied; what they bring stands last.
///
/// # Errors
///
/// The text is not YAML, JSON cannot say it, or it is too long or too deep when all aliases are written out.
pub(in crate::object) fn to_json(
    text: &[u8],
    limits: Limits,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let mut steps = Steps::of(text, limits)?;
    let mut writer = Writer {
        base: out.len(),
        out,
        limits,
        at: 0,
        frames: Vec::new(),
        members: Vec::new(),
        anchors: HashMap::new(),
        here: Vec::new(),
        copied: 0,
    };
    while let Some(step) = steps.next()? {
        writer.at = step.at.start;
        writer.step(step).map_err(|problem| (writer.at, problem))?;
    }
    Ok(())
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Where the document begins in what is written.
    base: usize,
    limits: Limits,
    /// Where the step stands in the document, or what is wrong.
    at: usize,
    /// The lists and mappings around the place where the writer is.
    frames: Vec<Frame>,
    /// The keys of the mappings among them, and where these stand in the document.
    members: Vec<(Range<usize>, usize)>,
    anchors: HashMap<usize, Anchor>,
    /// The anchors whose text is in what is written, in the order of their ends.
    here: Vec<usize>,
    /// Bytes that were written for aliases and merge keys.
    copied: usize,
}

struct Frame {
    kind: Kind,
    /// Where it begins in what is written.
    start: usize,
    anchor: Option<usize>,
    /// Items or members so far.
    count: usize,
    /// Levels in it, itself included.
    height: usize,
    /// Where its keys begin among all keys.
    first_member: usize,
    /// What is to be merged into it.
    merge: Option<Rc<[u8]>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    List,
    /// A mapping before a key.
    Key,
    /// A mapping before a value.
    Value,
    /// A mapping before what a merge key brings, which begins here.
    Merge(usize),
}

/// What an anchor is for.
struct Anchor {
    text: Text,
    height: usize,
}

enum Text {
    /// A node that is not at its end.
    Open,
    /// A part of what is written.
    Here(Range<usize>),
    /// A part of what was taken out for a merge.
    Apart(Rc<[u8]>, Range<usize>),
}

// === impl Writer ===

impl Writer<'_> {
    fn step(&mut self, step: Step<'_>) -> Result<(), Problem> {
        let is_key = self
            .frames
            .last()
            .is_some_and(|frame| frame.kind == Kind::Key);
        match step.what {
            What::Scalar { text, is_plain } if is_key => {
                let is_merge = match &step.tag {
                    Tag::None => is_plain && text == merge::KEY,
                    Tag::Yaml(name) => name == "merge",
                    _ => false,
                };
                if is_merge {
                    return self.begin_merge();
                }
                self.separate();
                let start = self.out.len();
                self.scalar(&text, is_plain, &step.tag)?;
                self.end(start, 0, step.anchor)
            }
            What::List | What::Mapping { .. } if is_key => {
                Err(inexpressible("a key that is a list or a mapping"))
            }
            What::Scalar { text, is_plain } => {
                self.separate();
                let start = self.out.len();
                self.scalar(&text, is_plain, &step.tag)?;
                self.end(start, 0, step.anchor)
            }
            What::List => self.begin(Kind::List, &step.tag, "seq", step.anchor),
            What::Mapping { .. } => self.begin(Kind::Key, &step.tag, "map", step.anchor),
            What::End => self.finish(),
            What::Alias => self.alias(step.anchor.unwrap_or_default()),
        }
    }

    /// Puts a comma where there is something before.
    fn separate(&mut self) {
        if let Some(frame) = self.frames.last()
            && matches!(frame.kind, Kind::List | Kind::Key)
            && frame.count > 0
        {
            self.out.push(b',');
        }
    }

    fn scalar(&mut self, text: &str, is_plain: bool, tag: &Tag) -> Result<(), Problem> {
        match typed(text, is_plain, tag)? {
            Scalar::Null => self.out.extend_from_slice(b"null"),
            Scalar::Bool(true) => self.out.extend_from_slice(b"true"),
            Scalar::Bool(false) => self.out.extend_from_slice(b"false"),
            Scalar::Number(spelling) => self.out.extend_from_slice(spelling.as_bytes()),
            Scalar::NoJsonNumber => return Err(inexpressible(text)),
            Scalar::TooGreat => return Err(inexpressible("a number of more than 128 bits")),
            Scalar::Text => write_string(text, self.out),
        }
        Ok(())
    }

    fn begin(
        &mut self,
        kind: Kind,
        tag: &Tag,
        usual: &str,
        anchor: Option<usize>,
    ) -> Result<(), Problem> {
        match tag {
            Tag::None | Tag::Plain => {}
            Tag::Yaml(name) if name == usual => {}
            other => return Err(unknown(other)),
        }
        self.separate();
        if let Some(anchor) = anchor {
            let open = Anchor {
                text: Text::Open,
                height: 0,
            };
            self.anchors.insert(anchor, open);
        }
        self.frames.push(Frame {
            kind,
            start: self.out.len(),
            anchor,
            count: 0,
            height: 1,
            first_member: self.members.len(),
            merge: None,
        });
        self.out.push(if kind == Kind::List { b'[' } else { b'{' });
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Problem> {
        let Some(frame) = self.frames.pop() else {
            return Ok(());
        };
        if frame.kind == Kind::List {
            self.out.push(b']');
        } else {
            self.close_mapping(&frame)?;
            self.out.push(b'}');
        }
        self.end(frame.start, frame.height, frame.anchor)
    }

    fn close_mapping(&mut self, frame: &Frame) -> Result<(), Problem> {
        let keys = &mut self.members[frame.first_member..];
        let out = &*self.out;
        let text = |(key, _): &(Range<usize>, usize)| &out[key.clone()];
        keys.sort_unstable_by(|a, b| text(a).cmp(text(b)).then(a.1.cmp(&b.1)));
        if let Some(pair) = keys
            .windows(2)
            .find(|pair| text(&pair[0]) == text(&pair[1]))
        {
            self.at = pair[1].1;
            return Err(repeated(&String::from_utf8_lossy(text(&pair[1]))));
        }
        if let Some(source) = &frame.merge {
            let mut merged = Vec::new();
            let has = |key: &[u8]| keys.binary_search_by(|one| text(one).cmp(key)).is_ok();
            merge::merge(source, has, frame.count == 0, &mut merged)?;
            self.out.append(&mut merged);
        }
        self.members.truncate(frame.first_member);
        Ok(())
    }

    fn alias(&mut self, id: usize) -> Result<(), Problem> {
        self.separate();
        let start = self.out.len();
        let Some(Anchor { text, height }) = self.anchors.get(&id) else {
            return Err(not_yaml("an alias without anchor"));
        };
        let (length, height) = match text {
            Text::Open => return Err(inexpressible("an alias of a node that it stands in")),
            Text::Here(range) | Text::Apart(_, range) => (range.len(), *height),
        };
        let limit = self.limits.max_depth;
        if self.frames.len() + height > limit {
            return Err(Problem::TooDeep { limit });
        }
        self.charge(length)?;
        match &self.anchors[&id].text {
            Text::Open => {}
            Text::Here(range) => self.out.extend_from_within(range.clone()),
            Text::Apart(text, range) => self.out.extend_from_slice(&text[range.clone()]),
        }
        self.end(start, height, None)
    }

    /// At a merge key: what comes next is not written into the mapping.
    fn begin_merge(&mut self) -> Result<(), Problem> {
        let start = self.out.len();
        let Some(frame) = self.frames.last_mut() else {
            return Ok(());
        };
        if frame.merge.is_some() {
            return Err(repeated(merge::KEY));
        }
        frame.kind = Kind::Merge(start);
        Ok(())
    }

    /// A node is written.
    fn end(&mut self, start: usize, height: usize, anchor: Option<usize>) -> Result<(), Problem> {
        let limit = self.limits.max_object;
        if self.out.len() - self.base > limit {
            return Err(Problem::TooLong { limit });
        }
        if let Some(anchor) = anchor {
            let text = Text::Here(start..self.out.len());
            self.anchors.insert(anchor, Anchor { text, height });
            self.here.push(anchor);
        }
        let Some(frame) = self.frames.last_mut() else {
            return Ok(());
        };
        frame.height = frame.height.max(height + 1);
        match frame.kind {
            Kind::List => frame.count += 1,
            Kind::Key => {
                if self.out.get(start) != Some(&b'"') {
                    return Err(inexpressible("a key that is no string"));
                }
                self.members.push((start..self.out.len(), self.at));
                frame.kind = Kind::Value;
                self.out.push(b':');
            }
            Kind::Value => {
                frame.kind = Kind::Key;
                frame.count += 1;
            }
            Kind::Merge(start) => {
                frame.kind = Kind::Key;
                let source: Rc<[u8]> = self.out.split_off(start).into();
                frame.merge = Some(Rc::clone(&source));
                self.move_anchors(start, &source);
                self.charge(source.len())?;
            }
        }
        Ok(())
    }

    /// What was written from here on is written no more; anchors in it still are for it.
    fn move_anchors(&mut self, start: usize, text: &Rc<[u8]>) {
        while let Some(id) = self.here.last() {
            let Some(anchor) = self.anchors.get_mut(id) else {
                break;
            };
            match &anchor.text {
                Text::Here(range) if range.start >= start => {
                    let range = range.start - start..range.end - start;
                    anchor.text = Text::Apart(Rc::clone(text), range);
                }
                _ => break,
            }
            self.here.pop();
        }
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Problem> {
        let limit = self.limits.max_object;
        self.copied += bytes;
        if self.copied > limit || self.out.len() - self.base + bytes > limit {
            return Err(Problem::TooLong { limit });
        }
        Ok(())
    }
}

/// What a scalar is, with its tag heeded.
fn typed<'a>(text: &'a str, is_plain: bool, tag: &Tag) -> Result<Scalar<'a>, Problem> {
    let name = match tag {
        Tag::None if is_plain => return Ok(Scalar::of(text)),
        Tag::None | Tag::Plain => return Ok(Scalar::Text),
        Tag::Other(_) => return Err(unknown(tag)),
        Tag::Yaml(name) => name.as_str(),
    };
    let scalar = Scalar::of(text);
    let is_whole = |spelling: &str| !spelling.contains(['.', 'e', 'E']);
    match (name, &scalar) {
        ("str" | "binary" | "timestamp", _) => Ok(Scalar::Text),
        ("int", Scalar::Number(spelling)) if is_whole(spelling) => Ok(scalar),
        ("int", Scalar::TooGreat)
        | ("float", Scalar::Number(_) | Scalar::NoJsonNumber)
        | ("bool", Scalar::Bool(_))
        | ("null", Scalar::Null) => Ok(scalar),
        ("int" | "float" | "bool" | "null", _) => {
            Err(not_yaml(&format!("`{text}` is no !!{name}")))
        }
        _ => Err(unknown(tag)),
    }
}

fn unknown(tag: &Tag) -> Problem {
    let tag = match tag {
        Tag::None | Tag::Plain => Cow::Borrowed("!"),
        Tag::Yaml(name) => Cow::Owned(format!("!!{name}")),
        Tag::Other(tag) => Cow::Borrowed(tag.as_str()),
    };
    inexpressible(&format!("the tag {tag}"))
}

fn inexpressible(what: &str) -> Problem {
    Problem::Inexpressible {
        what: what.to_owned(),
        to: Format::Json,
    }
}

fn repeated(key: &str) -> Problem {
    not_yaml(&format!("the key {key} is there twice"))
}

fn not_yaml(detail: &str) -> Problem {
    Problem::NotYaml {
        detail: detail.to_owned(),
    }
}

//! One edge of a pipe: objects as one app writes them, and as the next one reads them.

mod work;

use self::work::Work;
use super::{BadObject, Layout, OnBadObject, Plan, cut::Cut, json, yaml};
use crate::media::{Counts, Format};

/// What a call appends, unless one object alone is more: enough that calls cost nothing, and little beside the longest object.
const ENOUGH: usize = 256 << 10;

/// Reads a stream of objects and writes it as the plan says. It holds one object at most, of no more than the plan's limit.
///
/// An object is written as soon as it is whole: at its closing brace; a number at the root with the byte after it.
#[derive(Debug)]
pub struct Transform {
    splitter: Splitter,
    writer: Writer,
}

/// Finds objects, in the format that comes.
#[derive(Debug)]
enum Splitter {
    Json(json::Splitter),
    Yaml(yaml::Splitter),
}

/// Writes what was found.
#[derive(Debug)]
struct Writer {
    work: Work,
    layout: Layout,
    on_bad_object: OnBadObject,
    counts: Counts,
    state: State,
}

/// Where the writer is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// After something whole.
    Whole,
    /// In a bad object that passes, whose line has not ended.
    Passing,
    /// Nothing comes after this.
    Failed(BadObject),
}

// === impl Transform ===

impl Transform {
    /// At the beginning of a stream.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        // Only where the format stays is there something to keep.
        let layout = match plan.from == plan.to {
            true => plan.layout,
            false => Layout::Framed,
        };
        Self {
            splitter: match plan.from {
                Format::Bytes | Format::Json => Splitter::Json(json::Splitter::new(plan.limits)),
                Format::Yaml => Splitter::Yaml(yaml::Splitter::new(plan.limits)),
            },
            writer: Writer {
                on_bad_object: plan.on_bad_object,
                layout,
                work: Work::new(plan, layout),
                counts: Counts::default(),
                state: State::Whole,
            },
        }
    }

    /// Takes from the front of the input and appends what comes of it. When it returns, either the input is used up or 256 KiB or more
    /// were appended: then call again with the rest.
    ///
    /// # Errors
    ///
    /// The first bad object, if such are not left out or passed. What was appended before it are whole objects. Every later call gives the
    /// same error and takes nothing.
    pub fn push(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), BadObject> {
        self.writer.check()?;
        let full = out.len().saturating_add(ENOUGH);
        while out.len() < full {
            let mut rest = *input;
            let cut = self.splitter.next(&mut rest);
            *input = &input[input.len() - rest.len()..];
            if matches!(cut, Cut::More) {
                break;
            }
            self.writer.write(cut, out)?;
        }
        Ok(())
    }

    /// Ends the stream: appends what was held back, which is one object at most.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push); an object that is not whole is a bad one.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), BadObject> {
        self.writer.check()?;
        while let Some(cut) = self.splitter.finish() {
            self.writer.write(cut, out)?;
        }
        self.writer.end_line(out);
        Ok(())
    }

    /// What was seen and done so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.writer.counts
    }
}

// === impl Splitter ===

impl Splitter {
    fn next<'a>(&'a mut self, input: &mut &'a [u8]) -> Cut<'a> {
        match self {
            Self::Json(splitter) => splitter.next(input),
            Self::Yaml(splitter) => splitter.next(input),
        }
    }

    fn finish(&mut self) -> Option<Cut<'_>> {
        match self {
            Self::Json(splitter) => splitter.finish(),
            Self::Yaml(splitter) => splitter.finish(),
        }
    }
}

// === impl Writer ===

impl Writer {
    fn check(&self) -> Result<(), BadObject> {
        match &self.state {
            State::Failed(bad) => Err(bad.clone()),
            State::Whole | State::Passing => Ok(()),
        }
    }

    fn write(&mut self, cut: Cut<'_>, out: &mut Vec<u8>) -> Result<(), BadObject> {
        match cut {
            Cut::More => {}
            Cut::Gap { text } => self.gap(text, out),
            Cut::Found {
                gap,
                text,
                number,
                offset,
            } => {
                self.gap(gap, out);
                let whole = out.len();
                match self.work.apply(text, out) {
                    Ok(edited) => {
                        self.counts.objects += 1;
                        self.counts.replaced += u64::from(edited.replaced);
                        self.counts.non_objects += u64::from(!edited.object);
                    }
                    Err((at, problem)) => {
                        out.truncate(whole);
                        let offset = offset + at as u64;
                        let bad = BadObject {
                            number,
                            offset,
                            problem,
                        };
                        self.bad(bad, text, out)?;
                    }
                }
            }
            Cut::Bad { bad, text } => self.bad(bad, text, out)?,
            Cut::Rest { text } => {
                if self.on_bad_object == OnBadObject::Pass {
                    self.pass(text, out);
                }
            }
        }
        Ok(())
    }

    /// What stands between objects is kept only where all is kept.
    fn gap(&mut self, text: &[u8], out: &mut Vec<u8>) {
        self.end_line(out);
        if self.layout == Layout::AsWritten {
            out.extend_from_slice(text);
        }
    }

    fn bad(&mut self, bad: BadObject, text: &[u8], out: &mut Vec<u8>) -> Result<(), BadObject> {
        self.end_line(out);
        match self.on_bad_object {
            OnBadObject::Fail => {
                self.state = State::Failed(bad.clone());
                return Err(bad);
            }
            OnBadObject::Skip => self.counts.skipped += 1,
            OnBadObject::Pass => {
                self.counts.passed += 1;
                self.pass(text, out);
            }
        }
        Ok(())
    }

    /// Some of a bad object, as it is.
    fn pass(&mut self, text: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(text);
        if let Some(last) = text.last() {
            self.state = match last {
                b'\n' => State::Whole,
                _ => State::Passing,
            };
        }
    }

    /// Keeps a bad object from being read as the beginning of the next one.
    fn end_line(&mut self, out: &mut Vec<u8>) {
        if self.state == State::Passing {
            self.state = State::Whole;
            if self.layout == Layout::Framed {
                out.push(b'\n');
            }
        }
    }
}

#[cfg(test)]
mod tests;

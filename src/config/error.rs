//! What is wrong with a configuration, shown at the place where it is wrong.

use std::{
    fmt, io,
    ops::Range,
    path::{Path, PathBuf},
};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use dpipes_discovery::FileTrouble;
use thiserror::Error;

use super::{hide::hide_secrets, networks};

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file says something that cannot be.
    #[error("{0}")]
    InFile(Box<Misplaced>),
    /// A file cannot be read.
    #[error("{}cannot read {}: {trouble}", before(named), trouble.path().display())]
    Unreadable {
        /// The key, variable or flag that names it; `None` for one that lies in its usual place.
        named: Option<String>,
        /// The file, and why.
        trouble: FileTrouble,
    },
    /// A file that others can change is not to be believed by root.
    #[error("{} has mode {mode:04o} and owner {owner}, so others can write it, and root does not read such a file", path.display())]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Who owns it.
        owner: u32,
    },
    /// A flag or a variable says something that cannot be.
    #[error("{origin}: {problem}")]
    Value {
        /// The flag or the variable.
        origin: String,
        /// What is wrong.
        problem: String,
    },
    /// The values are fine one by one but not together.
    #[error("{problem}")]
    Contradiction {
        /// What is wrong.
        problem: String,
        /// One next step.
        help: String,
    },
}

/// A place in a file and what is wrong there.
#[derive(Debug, PartialEq, Eq)]
pub struct Misplaced {
    /// The file.
    pub path: PathBuf,
    /// Its text, without secrets.
    pub text: String,
    /// The bytes it is about.
    pub span: Range<usize>,
    /// What is wrong.
    pub problem: String,
    /// What to write instead, if that is known.
    pub label: Option<String>,
    /// One next step.
    pub help: Option<String>,
}

/// The next step after a value that cannot be, when its message does not name one itself.
const EVERY_KEY: &str = "what may stand there: dpipes help config";

// === impl ConfigError ===

impl ConfigError {
    /// The exit status for a bad configuration, as in sysexits.
    pub const EXIT: u8 = 78;

    /// The error as a user should see it; with `styled`, in colour.
    #[must_use]
    pub fn render(&self, styled: bool) -> String {
        let Self::InFile(at) = self else {
            return self.render_plain(styled);
        };
        let renderer = if styled {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let annotation = AnnotationKind::Primary
            .span(at.span.clone())
            .label(at.label.clone());
        let mut group = Group::with_title(Level::ERROR.primary_title(at.problem.clone())).element(
            Snippet::source(&at.text)
                .path(at.path.display().to_string())
                .annotation(annotation),
        );
        if let Some(help) = self.help() {
            group = group.element(Level::HELP.message(help));
        }
        renderer.render(&[group])
    }

    /// The form for what stands in no file.
    fn render_plain(&self, styled: bool) -> String {
        let (error, help, end) = if styled {
            (
                "\x1b[1;91merror\x1b[0m\x1b[1m",
                "\x1b[1;96mhelp\x1b[0m",
                "\x1b[0m",
            )
        } else {
            ("error", "help", "")
        };
        let mut text = format!("{error}: {self}{end}");
        if let Some(step) = self.help() {
            text.push_str(&format!("\n  = {help}: {step}"));
        }
        text
    }

    /// A file that cannot be read, and that nobody named.
    pub(super) fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self::Unreadable {
            named: None,
            trouble: FileTrouble::of(path, error),
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::InFile(misplaced) => Some(
                misplaced
                    .help
                    .clone()
                    .unwrap_or_else(|| help_for(&misplaced.problem).to_owned()),
            ),
            Self::Untrusted { path, .. } => {
                let path = path.display();
                Some(format!(
                    "make it root's alone: chown root {path} && chmod go-w {path}"
                ))
            }
            Self::Contradiction { help, .. } => Some(help.clone()),
            Self::Unreadable {
                named: None,
                trouble,
            } if trouble.is_out_of_reach() => Some(
                "set HOME, or XDG_CONFIG_HOME, to a directory of the user who runs this".to_owned(),
            ),
            Self::Unreadable { trouble, .. } => Some(trouble.next_step()),
            Self::Value { problem, .. } => Some(help_for(problem).to_owned()),
        }
    }
}

/// Who named a file, at the beginning of what is said about it.
fn before(named: &Option<String>) -> String {
    let named = named.as_ref().map(|named| format!("{named}: "));
    named.unwrap_or_default()
}

/// The next step for a value that cannot be, by what is said of it: a reader of YAML passes on one text and nothing else.
fn help_for(problem: &str) -> &'static str {
    if problem.contains(networks::EVERYBODY) {
        networks::SAY_OPEN
    } else {
        EVERY_KEY
    }
}

// === impl Misplaced ===

impl Misplaced {
    /// Makes the reader's error point into the text.
    #[must_use]
    pub fn from_yaml(path: PathBuf, text: String, error: &serde_yaml::Error) -> Self {
        let location = error.location();
        let message = error.to_string();
        let message = location.as_ref().map_or(message.as_str(), |at| {
            let suffix = format!(" at line {} column {}", at.line(), at.column());
            message.split(suffix.as_str()).next().unwrap_or_default()
        });
        let start = location.map_or(0, |at| at.index());
        let mut misplaced = Self {
            path,
            span: 0..0,
            text,
            problem: message.to_owned(),
            label: None,
            help: None,
        };
        if let Some((key, known)) = unknown_key(message) {
            misplaced.span = find_word(&misplaced.text, start, key);
            misplaced.problem = format!("unknown key `{key}`");
            let near = known
                .iter()
                .max_by(|a, b| strsim::jaro(a, key).total_cmp(&strsim::jaro(b, key)));
            misplaced.label = near
                .filter(|near| strsim::jaro(near, key) >= NEAR)
                .map(|near| format!("did you mean `{near}`?"));
            misplaced.help = Some(format!("keys here: {}", known.join(", ")));
        } else if let Some(key) = between(message, "duplicate field `", "`") {
            misplaced.span = find_second_key(&misplaced.text, start, key);
            misplaced.problem = format!("repeated key `{key}`");
            misplaced.label = Some("it already has a value".to_owned());
            misplaced.help = Some("keep one of them".to_owned());
        } else {
            misplaced.span = token_at(&misplaced.text, start);
            misplaced.problem = plain_words(message);
        }
        // Errors go to terminals and logs, and quote the line.
        misplaced.text = hide_secrets(&misplaced.text);
        misplaced
    }
}

/// The one-line form, for logs: where, and what is wrong.
impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = &self.text[..self.span.start.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |rest| rest.chars().count())
            + 1;
        write!(
            f,
            "{}:{line}:{column}: {}",
            self.path.display(),
            self.problem
        )?;
        self.label
            .as_ref()
            .map_or(Ok(()), |label| write!(f, " ({label})"))
    }
}

/// How similar a name must be to be suggested, by Jaro's measure: chosen so that one slip in a short word passes and a different word
/// does not.
pub(crate) const NEAR: f64 = 0.75;

/// The key and what would have been known, from ``unknown field `x`, expected one of `a`, `b` ``.
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let key = between(message, "unknown field `", "`")?;
    let known = message.split_once("`, expected ")?.1;
    Some((key, known.split('`').skip(1).step_by(2).collect()))
}

/// The reader's message without its names for Rust's types.
fn plain_words(message: &str) -> String {
    let types = [
        ("expected u16", "expected a number up to 65535"),
        ("expected u32", "expected a number"),
        ("expected u64", "expected a number"),
        ("expected a boolean", "expected true or false"),
        ("expected a sequence", "expected a list"),
        ("invalid type: ", ""),
        ("sequence, ", "a list, "),
        ("map, ", "a map, "),
    ];
    let mut text = types.iter().fold(message.to_owned(), |text, (from, to)| {
        text.replace(from, to)
    });
    // The name that follows is the program's own, not the user's.
    if let Some(at) = text.find("expected struct ") {
        text.replace_range(at.., "expected keys and values, as in `key: value`");
    }
    text
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?
        .1
        .split_once(after)
        .map(|(found, _)| found)
}

/// Where this word stands at or after `start`, else anywhere, else the token at `start`.
fn find_word(text: &str, start: usize, word: &str) -> Range<usize> {
    let start = floor(text, start);
    let found = text[start..]
        .find(word)
        .map(|at| start + at)
        .or_else(|| text.find(word));
    found.map_or_else(|| token_at(text, start), |at| at..at + word.len())
}

/// Where this key stands for the second time in the map that starts at this byte, which is all that the reader says of it.
fn find_second_key(text: &str, start: usize, key: &str) -> Range<usize> {
    let start = floor(text, start);
    let column = |at: usize| at - text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let in_flow = text[start..].starts_with('{');
    let is_key = |at: usize| {
        let before = text[..at].chars().next_back();
        let after = text[at + key.len()..]
            .trim_start_matches(['"', '\''])
            .trim_start_matches(' ');
        before.is_none_or(|c| c.is_whitespace() || "{,\"'".contains(c))
            && after.starts_with(':')
            && (in_flow || column(at) == column(start))
    };
    let mut places = text[start..]
        .match_indices(key)
        .map(|(at, _)| start + at)
        .filter(|at| is_key(*at));
    places
        .nth(1)
        .map_or_else(|| token_at(text, start), |at| at..at + key.len())
}

/// The word that starts at this byte, at least one character of it.
fn token_at(text: &str, start: usize) -> Range<usize> {
    let start = floor(text, start);
    let rest = &text[start..];
    let quoted = rest.chars().next().filter(|quote| "\"'".contains(*quote));
    let length = match quoted {
        Some(quote) => rest[1..].find(quote).map_or(1, |at| at + 2),
        None => rest
            .find(|c: char| c.is_whitespace() || ",{}[]".contains(c))
            .unwrap_or(rest.len()),
    };
    let least = rest.chars().next().map_or(0, char::len_utf8);
    start..start + length.max(least)
}

/// The nearest place at or before this byte where a character starts.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}

//! What can be wrong with an expression, and the way out of it.

use thiserror::Error;

use super::{MAX_SOURCE, MAX_STAGES, MAX_WORD, MAX_WORDS, PlacementError, Span, render};

/// Why a text is no pipeline, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind}")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// Where: within the source, on character boundaries; empty at the end of it.
    pub span: Span,
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// Nothing but blanks and comments.
    #[error("the pipeline is empty")]
    Empty,
    /// A `|` with no command before it.
    #[error("no command before `|`")]
    NothingBefore,
    /// A `|` with no command after it.
    #[error("no command after `|`")]
    NothingAfter,
    /// Assignments without a command.
    #[error("assignments without a command")]
    OnlyAssignments,
    /// A placement without a command.
    #[error("a placement without a command")]
    OnlyPlacement,
    /// `''` as the command.
    #[error("the app has an empty name")]
    EmptyApp,
    /// A pattern or `~` in the app's name.
    #[error("a pattern or `~` in the name of an app")]
    PatternAsApp,
    /// An `@` word that says nothing about a place.
    #[error("{0}")]
    Placement(PlacementError),
    /// A `'` without its partner.
    #[error("a single quote is not closed")]
    UnclosedSingleQuote,
    /// A `"` without its partner.
    #[error("a double quote is not closed")]
    UnclosedDoubleQuote,
    /// A backslash as the last character.
    #[error("a backslash at the end escapes nothing")]
    TrailingBackslash,
    /// Something with `$`.
    #[error("{0} is not supported")]
    Expansion(Expansion),
    /// A backquote, outside single quotes.
    #[error("command substitution with backquotes is not supported")]
    Backquote,
    /// `<(` or `>(`.
    #[error("process substitution is not supported")]
    ProcessSubstitution,
    /// Something with `<` or `>`.
    #[error("{0} is not supported")]
    Redirection(Redirection),
    /// `;`.
    #[error("a list of commands with `;` is not supported")]
    Semicolon,
    /// `&&`.
    #[error("a list of commands with `&&` is not supported")]
    And,
    /// `||`.
    #[error("a list of commands with `||` is not supported")]
    Or,
    /// `&`.
    #[error("a command in the background is not supported")]
    Background,
    /// Anything after the command's line has ended.
    #[error("a newline that ends a command is not supported")]
    Newline,
    /// A carriage return before a newline, which a shell would hand to the app.
    #[error("a line ends with a carriage return")]
    CarriageReturn,
    /// `(` or `)`.
    #[error("a subshell is not supported")]
    Parenthesis,
    /// `name()`.
    #[error("a function is not supported")]
    Function,
    /// `@(`, `!(` and the like.
    #[error("an extended pattern is not supported")]
    ExtendedPattern,
    /// `{a,b}`, `{1..9}`.
    #[error("brace expansion is not supported")]
    Braces,
    /// `!` as the first word.
    #[error("negation of an exit status is not supported")]
    Negation,
    /// A reserved word as the command.
    #[error("`{0}` is a word of the shell's language, not an app")]
    Reserved(&'static str),
    /// `NAME+=value`.
    #[error("an assignment that appends is not supported")]
    AppendAssignment,
    /// `NAME=(…)`, `NAME[…]`.
    #[error("an array is not supported")]
    ArrayAssignment,
    /// `~+`, `~-`, `~2`.
    #[error("a directory that only a shell remembers is not supported")]
    TildeOfShell,
    /// `~=~`, `~ada=~`.
    #[error("`=~` in the name after a `~` is not supported")]
    TildeInTilde,
    /// `[a"-"z]`: without the quotes another pattern.
    #[error("quotes that change the meaning of a bracket expression are not supported")]
    QuotedInBracket,
    /// `[[=a=]]`, `[[.a.]]`, `[[:nonsense:]]`.
    #[error("this class in a bracket expression is not supported")]
    BracketClass,
    /// A NUL character.
    #[error("a NUL character cannot be part of a command")]
    Nul,
    /// More than [`MAX_SOURCE`].
    #[error("the pipeline is longer than {MAX_SOURCE} bytes")]
    SourceTooLong,
    /// More than [`MAX_WORD`].
    #[error("a word is longer than {MAX_WORD} bytes")]
    WordTooLong,
    /// More than [`MAX_WORDS`].
    #[error("a stage has more than {MAX_WORDS} words")]
    TooManyWords,
    /// More than [`MAX_STAGES`].
    #[error("the pipeline has more than {MAX_STAGES} stages")]
    TooManyStages,
}

/// What a shell would put in the place of something with `$`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Expansion {
    /// `$NAME`.
    #[error("a variable")]
    Variable,
    /// `$1`, `$?`, `$@` and the like.
    #[error("a special parameter")]
    Special,
    /// `${…}`.
    #[error("parameter expansion")]
    Parameter,
    /// `$(…)`.
    #[error("command substitution")]
    Command,
    /// `$((…))`, `$[…]`.
    #[error("arithmetic expansion")]
    Arithmetic,
    /// `$'…'`.
    #[error("quoting with `$'`")]
    AnsiQuotes,
    /// `$"…"`.
    #[error("translation with `$\"`")]
    LocaleQuotes,
}

/// Where a shell would send a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Redirection {
    /// `<`, `<>`.
    #[error("redirection of input")]
    Input,
    /// `>`, `>>`, `>|`.
    #[error("redirection of output")]
    Output,
    /// `2>`.
    #[error("redirection of stderr")]
    Stderr,
    /// `2>&1`.
    #[error("redirection of stderr to stdout")]
    StderrToStdout,
    /// `&>`.
    #[error("redirection of stdout and stderr")]
    Both,
    /// `<&`, `>&`.
    #[error("duplication of a descriptor")]
    Descriptor,
    /// `<<`.
    #[error("a here-document")]
    HereDocument,
    /// `<<<`.
    #[error("a here-string")]
    HereString,
}

// === impl ParseError ===

impl ParseError {
    pub(super) fn new(kind: ParseErrorKind, start: usize, end: usize) -> Self {
        Self {
            kind,
            span: Span::new(start, end),
        }
    }

    /// A word for programs that stays the same when the texts change.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.kind.advice().0
    }

    /// A few words for the caret.
    #[must_use]
    pub fn label(&self) -> &'static str {
        self.kind.advice().1
    }

    /// One next step.
    #[must_use]
    pub fn help(&self) -> &'static str {
        self.kind.advice().2
    }

    /// Draws the place in the source that was parsed.
    #[must_use]
    pub fn render(&self, source: &str) -> String {
        render(
            source,
            self.span,
            &self.to_string(),
            self.label(),
            Some(self.help()),
        )
    }
}

//! The code, the caret's label and the way out for everything that is refused.

use super::{Expansion, ParseErrorKind, PlacementError, Redirection};

/// A word for programs, a few words for the caret, and one next step.
pub(super) type Advice = (&'static str, &'static str, &'static str);

// === impl ParseErrorKind ===

impl ParseErrorKind {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::Empty => (
                "empty",
                "a command is expected here",
                "name an app, as in: dpipes 'seq 5 | sort -r'",
            ),
            Self::NothingBefore => (
                "empty-stage",
                "a command is expected before this",
                "remove the `|`, quote it as '|' if it is an argument, or name an app before it",
            ),
            Self::NothingAfter => (
                "empty-stage",
                "a command is expected after this",
                "remove the `|`, quote it as '|' if it is an argument, or name an app after it",
            ),
            Self::OnlyAssignments => (
                "no-command",
                "a command is expected after this",
                "name the app that gets this environment; nothing else would see it",
            ),
            Self::OnlyPlacement => (
                "no-command",
                "a command is expected after this",
                "name the app that runs there, or quote the `@` as '@' if the word is an app",
            ),
            Self::EmptyApp => (
                "empty-app",
                "nothing to run",
                "name an app; a variable in double quotes of your own shell may have been empty",
            ),
            Self::PatternAsApp => (
                "pattern-app",
                "to be expanded on a node that is not chosen yet",
                "quote the name, or write the path in full",
            ),
            Self::Placement(error) => error.advice(),
            Self::UnclosedSingleQuote => (
                "unclosed-quote",
                "opened here",
                "close it with ', or write \\' for the character itself",
            ),
            Self::UnclosedDoubleQuote => (
                "unclosed-quote",
                "opened here",
                "close it with \", or write \\\" for the character itself",
            ),
            Self::TrailingBackslash => (
                "trailing-backslash",
                "nothing follows",
                "remove it, or write \\\\ for the character itself",
            ),
            Self::Expansion(expansion) => expansion.advice(),
            Self::Backquote => (
                "backquote",
                "starts a command substitution",
                "run it in a shell on the node: sh -c '…'; or write \\` for the character itself",
            ),
            Self::ProcessSubstitution => (
                "process-substitution",
                "needs a shell",
                "run it in a shell on the node: bash -c '…'",
            ),
            Self::Redirection(redirection) => redirection.advice(),
            Self::Semicolon => (
                "semicolon",
                "ends a command",
                "run dpipes once for each, run both in a shell on one node: sh -c '…; …', or write \\; for the character itself",
            ),
            Self::And => (
                "and-list",
                "needs a shell",
                "run dpipes once for each: dpipes '…' && dpipes '…'; or both in a shell on one node: sh -c '… && …'",
            ),
            Self::Or => (
                "or-list",
                "needs a shell",
                "run dpipes once for each: dpipes '…' || dpipes '…'; or both in a shell on one node: sh -c '… || …'",
            ),
            Self::Background => (
                "background",
                "needs a shell",
                "put dpipes itself into the background: dpipes '…' &; or write \\& for the character itself",
            ),
            Self::Newline => (
                "newline",
                "stands on a new line",
                "end the line with `|` if the pipeline goes on, or with a backslash if the command does",
            ),
            Self::CarriageReturn => (
                "carriage-return",
                "here",
                "end lines with a newline alone; quote the character if it is meant for the app",
            ),
            Self::Parenthesis => (
                "parenthesis",
                "needs a shell",
                "run it in a shell on the node: sh -c '(…)'; or write \\( and \\) for the characters themselves",
            ),
            Self::Function => (
                "function",
                "needs a shell",
                "run it in a shell on the node: sh -c '…'",
            ),
            Self::ExtendedPattern => (
                "extended-pattern",
                "needs a shell",
                "use `*`, `?` and `[…]`, or quote it if it is meant for the app",
            ),
            Self::Braces => (
                "braces",
                "expands to several words",
                "write the words out, or quote the braces if they are meant for the app",
            ),
            Self::Negation => (
                "negation",
                "needs a shell",
                "negate dpipes itself: ! dpipes '…'",
            ),
            Self::Reserved("time") => (
                "reserved-word",
                "needs a shell",
                "time dpipes itself: time dpipes '…'; or quote it as 'time' for the program of that name",
            ),
            Self::Reserved(_) => (
                "reserved-word",
                "needs a shell",
                "run it in a shell on the node: sh -c '…'; or quote the word if it is an app",
            ),
            Self::AppendAssignment => (
                "append-assignment",
                "needs a shell",
                "write the whole value: NAME=value",
            ),
            Self::ArrayAssignment => (
                "array",
                "needs a shell",
                "environments hold texts only: NAME=value; or quote the word if it is an app or an argument",
            ),
            Self::TildeOfShell => (
                "tilde-of-shell",
                "no node has it",
                "write the directory in full, or quote the `~`",
            ),
            Self::TildeInTilde => (
                "tilde-in-tilde",
                "bash reads this in two ways",
                "write the directories in full, or quote the `~` that is meant as it is",
            ),
            Self::QuotedInBracket => (
                "quoted-in-bracket",
                "a pattern with quotes inside",
                "without quotes put `]` first, `-` last and `!` or `^` anywhere but first; quote the whole word if it is no pattern",
            ),
            Self::BracketClass => (
                "bracket-class",
                "no class such as [:alpha:]",
                "name the characters, or quote the whole word if it is no pattern",
            ),
            Self::Nul => (
                "nul",
                "here",
                "remove it; no program can receive it as an argument",
            ),
            Self::SourceTooLong => (
                "source-too-long",
                "the limit",
                "pass data through stdin or files rather than arguments",
            ),
            Self::WordTooLong => (
                "word-too-long",
                "Linux refuses a longer argument",
                "pass data through stdin or files rather than arguments",
            ),
            Self::TooManyWords => (
                "too-many-words",
                "the first word beyond",
                "pass the list through stdin, to xargs for instance",
            ),
            Self::TooManyStages => (
                "too-many-stages",
                "the first stage beyond",
                "split the pipeline",
            ),
        }
    }
}

// === impl Expansion ===

impl Expansion {
    pub(super) fn advice(self) -> Advice {
        let code = match self {
            Self::Variable => "variable",
            Self::Special => "special-parameter",
            Self::Parameter => "parameter-expansion",
            Self::Command => "command-substitution",
            Self::Arithmetic => "arithmetic-expansion",
            Self::AnsiQuotes => "ansi-quotes",
            Self::LocaleQuotes => "locale-quotes",
        };
        match self {
            Self::AnsiQuotes => (
                code,
                "needs a shell",
                "use '…' with the characters themselves, or \\$ for the character `$`",
            ),
            Self::LocaleQuotes => (
                code,
                "needs a shell",
                "use \"…\" without the `$`, or \\$ for the character `$`",
            ),
            _ => (
                code,
                "needs a shell",
                "in double quotes your own shell expands it: dpipes \"…\"; on the node sh -c '…' does; \\$ is the character itself",
            ),
        }
    }
}

// === impl Redirection ===

impl Redirection {
    pub(super) fn advice(self) -> Advice {
        let (code, help) = match self {
            Self::Input => (
                "redirect-input",
                "redirect dpipes itself: dpipes '…' < file; or read the file on a node: cat file | …",
            ),
            Self::Output => (
                "redirect-output",
                "redirect dpipes itself: dpipes '…' > file; or write on a node: … | tee file, sh -c '… > file'",
            ),
            Self::Stderr => (
                "redirect-stderr",
                "choose with --stderr all|failed|none; or redirect on the node: sh -c '… 2> file'",
            ),
            Self::StderrToStdout => (
                "redirect-stderr",
                "write `|&` for the `|` after this command; behind the last one: sh -c '… 2>&1'",
            ),
            Self::Both => (
                "redirect-both",
                "write `|& tee file`, or redirect dpipes itself: dpipes '…' > file 2>&1",
            ),
            Self::Descriptor => (
                "redirect-descriptor",
                "run it in a shell on the node: sh -c '…'",
            ),
            Self::HereDocument => (
                "here-document",
                "give it to dpipes itself: dpipes '…' << END; it feeds the first stage",
            ),
            Self::HereString => ("here-string", "begin with: printf '%s\\n' 'text' | …"),
        };
        (code, "needs a shell", help)
    }
}

// === impl PlacementError ===

impl PlacementError {
    pub(super) fn advice(&self) -> Advice {
        const CODE: &str = "placement";
        match self {
            Self::Empty => (
                CODE,
                "a node or a label is expected",
                "write @node or @label=value, or quote the `@` as '@' if it is an app",
            ),
            Self::Node(_) => (
                CODE,
                "not a node",
                "list the nodes: dpipes nodes; quote the `@` as '@' if the word is an app",
            ),
            Self::NotALabel(_) => (
                CODE,
                "a label is expected",
                "write @label=value,label=value; a node goes alone: @node",
            ),
            Self::Key(_) => (
                CODE,
                "not a label's name",
                "letters, digits, `.`, `_`, `-` and `/` name a label: @label=value",
            ),
            Self::Pattern => (
                CODE,
                "a pattern",
                "write one node or one value, or quote the character if it is meant as it is",
            ),
            Self::Repeated(_) => (
                CODE,
                "contradicts what is before it",
                "name one node, and every label once; all of them must hold",
            ),
        }
    }
}

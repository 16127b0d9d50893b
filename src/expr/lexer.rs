//! The lexer: cuts an expression into words and pipes and refuses every operator that only a shell understands.
//!
//! A [`RawWord`] has no quotes any more, but every character of it says whether it was quoted, for that decides later what is an
//! assignment, a pattern, a brace or a `~`.

use super::{
    Expansion, MAX_WORD, ParseError, ParseErrorKind as Kind, Redirection, Span,
    words::is_assignment_head,
};

/// What the parser sees.
#[derive(Debug)]
pub(super) enum Token {
    /// A word.
    Word(RawWord),
    /// `|`, or `|&` if stderr goes along.
    Pipe {
        /// Whether it is `|&`.
        stderr: bool,
    },
    /// The end of a line.
    Newline,
    /// The end of the expression.
    End,
}

/// A word before its meaning is known. Not empty: `''` is one [`Quoting::Mark`].
#[derive(Debug)]
pub(super) struct RawWord {
    /// Its characters.
    pub(super) chars: Vec<RawChar>,
}

/// A character of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawChar {
    /// The character; NUL for a [`Quoting::Mark`].
    pub(super) ch: char,
    /// Where it stands in the source.
    pub(super) at: usize,
    /// How it was written.
    pub(super) quoting: Quoting,
}

/// How a character was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quoting {
    /// As it is: it may have a meaning.
    Bare,
    /// In quotes or after a backslash: it stands for itself.
    Quoted,
    /// No character, but the place where a quote opens: `""~` is no home directory although nothing precedes the `~`.
    Mark,
}

/// A cursor over the source.
#[derive(Debug)]
pub(super) struct Lexer<'s> {
    source: &'s str,
    pos: usize,
}

// === impl RawChar ===

impl RawChar {
    /// Whether it is this character, unquoted.
    pub(super) fn is_bare(self, ch: char) -> bool {
        self.quoting == Quoting::Bare && self.ch == ch
    }

    /// The unquoted character.
    pub(super) fn bare(self) -> Option<char> {
        (self.quoting == Quoting::Bare).then_some(self.ch)
    }

    /// The byte after it.
    pub(super) fn end(self) -> usize {
        match self.quoting {
            Quoting::Mark => self.at + 1,
            Quoting::Bare | Quoting::Quoted => self.at + self.ch.len_utf8(),
        }
    }
}

// === impl Lexer ===

impl<'s> Lexer<'s> {
    pub(super) fn new(source: &'s str) -> Self {
        Self { source, pos: 0 }
    }

    /// The next token. After [`Token::End`] it stays there.
    pub(super) fn next_token(&mut self) -> Result<(Token, Span), ParseError> {
        self.skip_blanks();
        let start = self.pos;
        let Some(first) = self.peek() else {
            return Ok((Token::End, Span::empty(start)));
        };
        let token = match first {
            '\n' => {
                self.pos += 1;
                Token::Newline
            }
            '|' => self.pipe()?,
            '&' => return Err(self.ampersand()),
            ';' => return Err(ParseError::new(Kind::Semicolon, start, start + 1)),
            '<' | '>' => return Err(self.redirection(start)),
            '(' | ')' => return Err(ParseError::new(Kind::Parenthesis, start, start + 1)),
            _ => self.word()?,
        };
        Ok((token, Span::new(start, self.pos)))
    }

    fn peek(&self) -> Option<char> {
        self.rest(self.pos).chars().next()
    }

    fn rest(&self, at: usize) -> &'s str {
        &self.source[at..]
    }

    /// Where the text goes on after any backslash-newline pairs, which a shell removes before it looks at anything else.
    fn after_continuations(&self, mut at: usize) -> usize {
        while self.rest(at).starts_with("\\\n") {
            at += 2;
        }
        at
    }

    fn skip_blanks(&mut self) {
        loop {
            self.pos = self.after_continuations(self.pos);
            match self.peek() {
                Some(' ' | '\t') => self.pos += 1,
                // A word is cut where its last character ends, so a `#` seen here begins a word.
                Some('#') => {
                    let line = self.rest(self.pos);
                    self.pos += line.find('\n').unwrap_or(line.len());
                }
                _ => return,
            }
        }
    }

    fn pipe(&mut self) -> Result<Token, ParseError> {
        let start = self.pos;
        let next = self.after_continuations(start + 1);
        match self.rest(next).chars().next() {
            Some('|') => Err(ParseError::new(Kind::Or, start, next + 1)),
            Some('&') => {
                self.pos = next + 1;
                Ok(Token::Pipe { stderr: true })
            }
            _ => {
                self.pos = start + 1;
                Ok(Token::Pipe { stderr: false })
            }
        }
    }

    fn ampersand(&self) -> ParseError {
        let start = self.pos;
        let next = self.after_continuations(start + 1);
        match self.rest(next).chars().next() {
            Some('&') => ParseError::new(Kind::And, start, next + 1),
            Some('>') => ParseError::new(Kind::Redirection(Redirection::Both), start, next + 1),
            _ => ParseError::new(Kind::Background, start, start + 1),
        }
    }

    /// The redirection whose `<` or `>` is next; a descriptor may stand between `start` and it.
    fn redirection(&self, start: usize) -> ParseError {
        const OPERATORS: [(&str, Kind); 11] = [
            ("<<<", Kind::Redirection(Redirection::HereString)),
            ("<<", Kind::Redirection(Redirection::HereDocument)),
            ("<(", Kind::ProcessSubstitution),
            (">(", Kind::ProcessSubstitution),
            ("<&", Kind::Redirection(Redirection::Descriptor)),
            ("<>", Kind::Redirection(Redirection::Input)),
            ("<", Kind::Redirection(Redirection::Input)),
            (">&", Kind::Redirection(Redirection::Descriptor)),
            (">>", Kind::Redirection(Redirection::Output)),
            (">|", Kind::Redirection(Redirection::Output)),
            (">", Kind::Redirection(Redirection::Output)),
        ];
        let text = self.rest(self.pos);
        let (operator, kind) = OPERATORS
            .into_iter()
            .find(|(operator, _)| text.starts_with(operator))
            .expect("called at a `<` or `>`, which are the last ones");
        let end = self.pos + operator.len();
        let descriptor = &self.source[start..self.pos];
        match kind {
            Kind::Redirection(Redirection::Descriptor)
                if descriptor == "2" && self.rest(end).starts_with('1') =>
            {
                let kind = Kind::Redirection(Redirection::StderrToStdout);
                ParseError::new(kind, start, end + 1)
            }
            Kind::Redirection(Redirection::Output) if descriptor == "2" => {
                ParseError::new(Kind::Redirection(Redirection::Stderr), start, end)
            }
            kind => ParseError::new(kind, start, end),
        }
    }

    fn word(&mut self) -> Result<Token, ParseError> {
        let start = self.pos;
        let mut word = Builder::new(start);
        while let Some(ch) = self.peek() {
            let at = self.pos;
            match ch {
                ' ' | '\t' | '\n' | '|' | '&' | ';' | ')' => break,
                '<' | '>' if word.is_descriptor() => return Err(self.redirection(start)),
                '<' | '>' => break,
                '(' => return Err(self.parenthesis_after(start, &word.chars)),
                '\'' => self.single_quotes(&mut word)?,
                '"' => self.double_quotes(&mut word)?,
                '`' => return Err(ParseError::new(Kind::Backquote, at, at + 1)),
                '\r' if matches!(self.source.as_bytes().get(at + 1), None | Some(b'\n')) => {
                    return Err(ParseError::new(Kind::CarriageReturn, at, at + 1));
                }
                '\\' => self.backslash(&mut word)?,
                '$' => {
                    self.dollar(false)?;
                    word.push(ch, at, Quoting::Bare)?;
                    self.pos += 1;
                }
                _ => {
                    word.push(ch, at, Quoting::Bare)?;
                    self.pos += ch.len_utf8();
                }
            }
        }
        Ok(Token::Word(RawWord { chars: word.chars }))
    }

    fn single_quotes(&mut self, word: &mut Builder) -> Result<(), ParseError> {
        let open = self.pos;
        word.push('\0', open, Quoting::Mark)?;
        for (offset, ch) in self.rest(open + 1).char_indices() {
            let at = open + 1 + offset;
            if ch == '\'' {
                self.pos = at + 1;
                return Ok(());
            }
            word.push(ch, at, Quoting::Quoted)?;
        }
        Err(ParseError::new(Kind::UnclosedSingleQuote, open, open + 1))
    }

    fn double_quotes(&mut self, word: &mut Builder) -> Result<(), ParseError> {
        let open = self.pos;
        word.push('\0', open, Quoting::Mark)?;
        self.pos += 1;
        while let Some(ch) = self.peek() {
            let at = self.pos;
            self.pos += ch.len_utf8();
            match ch {
                '"' => return Ok(()),
                '`' => return Err(ParseError::new(Kind::Backquote, at, at + 1)),
                '$' => {
                    self.pos = at;
                    self.dollar(true)?;
                    self.pos += 1;
                    word.push(ch, at, Quoting::Quoted)?;
                }
                '\\' => match self.peek() {
                    Some('\n') => self.pos += 1,
                    Some(escaped @ ('$' | '`' | '"' | '\\')) => {
                        word.push(escaped, self.pos, Quoting::Quoted)?;
                        self.pos += 1;
                    }
                    // Before anything else the backslash stands for itself.
                    _ => word.push(ch, at, Quoting::Quoted)?,
                },
                _ => word.push(ch, at, Quoting::Quoted)?,
            }
        }
        Err(ParseError::new(Kind::UnclosedDoubleQuote, open, open + 1))
    }

    fn backslash(&mut self, word: &mut Builder) -> Result<(), ParseError> {
        let at = self.pos + 1;
        match self.rest(at).chars().next() {
            None => Err(ParseError::new(Kind::TrailingBackslash, at - 1, at)),
            Some('\n') => {
                self.pos = at + 1;
                Ok(())
            }
            Some(ch) => {
                self.pos = at + ch.len_utf8();
                word.push(ch, at, Quoting::Quoted)
            }
        }
    }

    /// Refuses the expansion that begins with the `$` here; a `$` that begins none stands for itself, as in `grep foo$`.
    fn dollar(&self, quoted: bool) -> Result<(), ParseError> {
        let start = self.pos;
        let at = self.after_continuations(start + 1);
        let rest = self.rest(at);
        let Some(next) = rest.chars().next() else {
            return Ok(());
        };
        let (expansion, end) = match next {
            '(' if self.rest(self.after_continuations(at + 1)).starts_with('(') => {
                (Expansion::Arithmetic, self.closing(at, "))"))
            }
            '(' => (Expansion::Command, self.closing(at, ")")),
            '{' => (Expansion::Parameter, self.closing(at, "}")),
            '[' => (Expansion::Arithmetic, self.closing(at, "]")),
            '\'' if !quoted => (Expansion::AnsiQuotes, at + 1),
            '"' if !quoted => (Expansion::LocaleQuotes, at + 1),
            'a'..='z' | 'A'..='Z' | '_' => {
                let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let length = rest.find(|c| !name(c)).unwrap_or(rest.len());
                (Expansion::Variable, at + length)
            }
            '0'..='9' | '*' | '@' | '#' | '?' | '-' | '$' | '!' => (Expansion::Special, at + 1),
            _ => return Ok(()),
        };
        Err(ParseError::new(Kind::Expansion(expansion), start, end))
    }

    /// The end of an expansion opened at `open`: after its closing text if that stands on the same line, so that the caret covers it.
    fn closing(&self, open: usize, close: &str) -> usize {
        let line = self.rest(open).lines().next().unwrap_or_default();
        open + line.find(close).map_or(1, |found| found + close.len())
    }

    /// The `(` that is next, after a word that began at `start`.
    fn parenthesis_after(&self, start: usize, word: &[RawChar]) -> ParseError {
        let at = self.pos;
        let last = word.last().and_then(|last| last.bare());
        if is_assignment_head(word) {
            ParseError::new(Kind::ArrayAssignment, start, at + 1)
        } else if matches!(last, Some('?' | '*' | '+' | '@' | '!')) {
            ParseError::new(Kind::ExtendedPattern, at - 1, at + 1)
        } else if self
            .rest(at + 1)
            .trim_start_matches([' ', '\t'])
            .starts_with(')')
        {
            ParseError::new(Kind::Function, start, at + 1)
        } else {
            ParseError::new(Kind::Parenthesis, at, at + 1)
        }
    }
}

/// Collects the characters of a word and minds its length.
#[derive(Debug)]
struct Builder {
    start: usize,
    bytes: usize,
    chars: Vec<RawChar>,
}

// === impl Builder ===

impl Builder {
    fn new(start: usize) -> Self {
        Self {
            start,
            bytes: 0,
            chars: Vec::new(),
        }
    }

    fn push(&mut self, ch: char, at: usize, quoting: Quoting) -> Result<(), ParseError> {
        if quoting != Quoting::Mark {
            self.bytes += ch.len_utf8();
        }
        if self.bytes > MAX_WORD {
            return Err(ParseError::new(Kind::WordTooLong, self.start, at));
        }
        self.chars.push(RawChar { ch, at, quoting });
        Ok(())
    }

    /// Whether a `<` or `>` after this belongs to it: `2>`, `{fd}>`.
    fn is_descriptor(&self) -> bool {
        let mut chars = self.chars.iter().map(|c| c.bare());
        match self.chars.first().and_then(|c| c.bare()) {
            Some('{') => chars.next_back() == Some(Some('}')),
            _ => chars.all(|c| c.is_some_and(|c| c.is_ascii_digit())),
        }
    }
}

//! The parser: puts words into stages.

use super::{
    Assignment, MAX_SOURCE, MAX_STAGES, MAX_WORDS, ParseError, ParseErrorKind as Kind, Pipeline,
    Span, SpannedWord, Stage,
    lexer::{Lexer, RawChar, RawWord, Token},
    placement, words,
};
use crate::word::{Part, Word};

/// Words that begin or continue a construct of the shell when a command begins with them.
pub(super) const RESERVED: [&str; 22] = [
    "[[", "]]", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function",
    "if", "in", "select", "then", "time", "until", "while", "{", "}", "!",
];

/// Whether this means something to a shell where a command begins.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word)
}

/// Parses an expression.
///
/// # Errors
///
/// Returns a [`ParseError`] with the place of the first thing that is not a pipeline of plain commands.
pub fn parse(source: &str) -> Result<Pipeline, ParseError> {
    if source.len() > MAX_SOURCE {
        let end = source.floor_char_boundary(MAX_SOURCE);
        return Err(ParseError::new(Kind::SourceTooLong, end, end));
    }
    if let Some(at) = source.find('\0') {
        return Err(ParseError::new(Kind::Nul, at, at + 1));
    }
    Parser::new(source)?.pipeline(source)
}

/// The lexer with one token looked ahead.
struct Parser<'s> {
    lexer: Lexer<'s>,
    token: Token,
    span: Span,
}

// === impl Parser ===

impl<'s> Parser<'s> {
    fn new(source: &'s str) -> Result<Self, ParseError> {
        let mut lexer = Lexer::new(source);
        let (token, span) = lexer.next_token()?;
        Ok(Self { lexer, token, span })
    }

    /// Takes the current token and reads the next one.
    fn advance(&mut self) -> Result<(Token, Span), ParseError> {
        let (token, span) = self.lexer.next_token()?;
        let token = std::mem::replace(&mut self.token, token);
        Ok((token, std::mem::replace(&mut self.span, span)))
    }

    /// Takes the current token if it is a word.
    fn word(&mut self) -> Result<Option<(RawWord, Span)>, ParseError> {
        if !matches!(self.token, Token::Word(_)) {
            return Ok(None);
        }
        match self.advance()? {
            (Token::Word(word), span) => Ok(Some((word, span))),
            _ => Ok(None),
        }
    }

    fn skip_newlines(&mut self) -> Result<(), ParseError> {
        while matches!(self.token, Token::Newline) {
            self.advance()?;
        }
        Ok(())
    }

    fn pipeline(mut self, source: &str) -> Result<Pipeline, ParseError> {
        let mut stages = Vec::new();
        let mut pipe: Option<Span> = None;
        loop {
            self.skip_newlines()?;
            match (&self.token, pipe) {
                (Token::Word(_), _) => {}
                (Token::Pipe { .. }, _) => return Err(at(Kind::NothingBefore, self.span)),
                (_, Some(pipe)) => return Err(at(Kind::NothingAfter, pipe)),
                (_, None) => return Err(at(Kind::Empty, self.span)),
            }
            if stages.len() == MAX_STAGES {
                return Err(at(Kind::TooManyStages, self.span));
            }
            stages.push(self.stage()?);
            let Token::Pipe { stderr } = self.token else {
                break;
            };
            if let Some(stage) = stages.last_mut() {
                stage.stderr_joined = stderr;
            }
            pipe = Some(self.span);
            self.advance()?;
        }
        self.skip_newlines()?;
        if !matches!(self.token, Token::End) {
            return Err(at(Kind::Newline, self.span));
        }
        Ok(Pipeline {
            source: source.to_owned(),
            stages,
        })
    }

    fn stage(&mut self) -> Result<Stage, ParseError> {
        let start = self.span;
        let mut placement = Vec::new();
        let mut placement_span: Option<Span> = None;
        let mut env = Vec::new();
        let mut count = 0;
        let mut prefix = start;
        let (app, app_span) = loop {
            let Some((word, span)) = self.word()? else {
                let kind = if env.is_empty() {
                    Kind::OnlyPlacement
                } else {
                    Kind::OnlyAssignments
                };
                return Err(at(kind, start.to(prefix)));
            };
            count_word(&mut count, span)?;
            prefix = span;
            let chars = &word.chars;
            if placement::is_placement(chars) {
                placement::add(chars, span, &mut placement)?;
                let first = *placement_span.get_or_insert(span);
                placement_span = Some(first.to(span));
            } else if let Some(assignment) = assignment(chars, span)? {
                env.push(assignment);
            } else {
                if env.is_empty() {
                    refuse_reserved(chars, span)?;
                }
                break (app(chars, span)?, span);
            }
        };
        let mut end = app_span;
        let mut args = Vec::new();
        while let Some((word, span)) = self.word()? {
            count_word(&mut count, span)?;
            let word = words::argument(&word.chars)?;
            args.push(SpannedWord { span, word });
            end = span;
        }
        Ok(Stage {
            span: start.to(end),
            placement,
            placement_span,
            env,
            app: SpannedWord {
                span: app_span,
                word: app,
            },
            args,
            stderr_joined: false,
        })
    }
}

fn at(kind: Kind, span: Span) -> ParseError {
    ParseError { kind, span }
}

fn count_word(count: &mut usize, span: Span) -> Result<(), ParseError> {
    *count += 1;
    if *count > MAX_WORDS {
        return Err(at(Kind::TooManyWords, span));
    }
    Ok(())
}

/// The word as an assignment, if it is one where a command is expected.
fn assignment(chars: &[RawChar], span: Span) -> Result<Option<Assignment>, ParseError> {
    let Some(length) = words::name_length(chars) else {
        return Ok(None);
    };
    let bare = |offset: usize| chars.get(length + offset).and_then(|c| c.bare());
    match (bare(0), bare(1)) {
        (Some('='), _) => Ok(Some(Assignment {
            name: words::text(&chars[..length]),
            value: words::value(&chars[length + 1..])?,
            span,
        })),
        (Some('+'), Some('=')) => {
            let end = chars[length + 1].end();
            Err(ParseError::new(Kind::AppendAssignment, span.start, end))
        }
        // After `name[` a shell reads an index, blanks and all.
        (Some('['), _) => {
            let end = chars[length].end();
            Err(ParseError::new(Kind::ArrayAssignment, span.start, end))
        }
        _ => Ok(None),
    }
}

fn refuse_reserved(chars: &[RawChar], span: Span) -> Result<(), ParseError> {
    let word: Option<String> = chars.iter().map(|c| c.bare()).collect();
    let reserved = RESERVED
        .into_iter()
        .find(|reserved| Some(*reserved) == word.as_deref());
    match reserved {
        None => Ok(()),
        Some("!") => Err(at(Kind::Negation, span)),
        Some(word) => Err(at(Kind::Reserved(word), span)),
    }
}

/// The app's name, which must be one without the node's help: it decides which node that is.
fn app(chars: &[RawChar], span: Span) -> Result<Word, ParseError> {
    let word = words::argument(chars)?;
    let literal = |part: &Part| matches!(part, Part::Text(_));
    if word.parts.is_empty() {
        Err(at(Kind::EmptyApp, span))
    } else if word.parts.iter().all(literal) {
        Ok(word)
    } else {
        Err(at(Kind::PatternAsApp, span))
    }
}

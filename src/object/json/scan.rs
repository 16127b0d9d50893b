//! The grammar of RFC 8259 as a machine that can stop after any byte and go on.

use super::{
    super::Problem,
    is_space,
    levels::{Level, Levels},
    spaces,
    swar::find_special,
};

/// Reads one value, in as many pieces as it comes in.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    levels: Levels,
    max_depth: usize,
}

/// Hexadecimal digits of an escaped code unit.
const HEX_DIGITS: u8 = 4;

/// What a scanner says of the bytes that it was given.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// All of them belong to the value, and more may come.
    More,
    /// So many of them belong to the value, which is whole.
    Done(usize),
    /// This one cannot stand here.
    Bad { at: usize, problem: Problem },
}

/// What comes next. White space may come first where it may.
#[derive(Clone, Copy, Debug)]
enum State {
    /// A value.
    Value,
    /// A value, or the end of an empty list.
    FirstItem,
    /// A key, or the end of an empty object.
    FirstKey,
    /// A key.
    Key,
    /// What stands between a key and its value.
    Colon,
    /// A comma, or the end of the list or object.
    Next,
    /// The rest of a string.
    Text(Role),
    /// What follows a backslash.
    Escape(Role),
    /// So many hexadecimal digits.
    Hex(Role, u8),
    /// More of a number.
    Number(Digits),
    /// So many bytes of a word were there.
    Word(Word, usize),
    /// At the root, what cannot be taken for more of the word before.
    Apart,
}

/// What a string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Key,
    Value,
}

/// What was read of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digits {
    /// `-`.
    Minus,
    /// `0`, after which no digit comes.
    Zero,
    /// `12`.
    Whole,
    /// `12.`.
    Point,
    /// `12.3`.
    Fraction,
    /// `12e`.
    E,
    /// `12e+`.
    Sign,
    /// `12e+3`.
    Exponent,
}

#[derive(Clone, Copy, Debug)]
enum Word {
    True,
    False,
    Null,
}

// === impl Scanner ===

impl Scanner {
    pub(super) fn new(max_depth: usize) -> Self {
        Self {
            state: State::Value,
            levels: Levels::default(),
            max_depth,
        }
    }

    /// Gets ready for another value.
    pub(super) fn restart(&mut self) {
        self.state = State::Value;
        self.levels.clear();
    }

    /// Whether the value would be whole if the stream ended here, as a number at the root is.
    pub(super) const fn ends_here(&self) -> bool {
        match self.state {
            State::Number(digits) => self.levels.depth() == 0 && digits.are_enough(),
            State::Apart => true,
            _ => false,
        }
    }

    /// What should come now.
    pub(super) const fn wanted(&self) -> &'static str {
        self.state.wanted(self.levels.innermost())
    }

    /// Reads on. What comes most often is looked for first, without a way through the states: a colon after a key, a key after a comma.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut at = 0;
        let mut state = self.state;
        let next = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
        let scan = loop {
            let Some(&byte) = bytes.get(at) else {
                break Scan::More;
            };
            match (state, byte) {
                (State::Text(role), _) => {
                    let Some(special) = find_special(bytes, at) else {
                        break Scan::More;
                    };
                    at = special;
                    match bytes.get(at) {
                        Some(b'"') if role == Role::Key => {
                            at += 1;
                            state = State::Colon;
                            if next(at, b':') {
                                at += 1;
                                state = State::Value;
                                if next(at, b'"') {
                                    at += 1;
                                    state = State::Text(Role::Value);
                                }
                            }
                        }
                        Some(b'"') => {
                            at += 1;
                            state = State::Next;
                            if self.levels.depth() == 0 {
                                break Scan::Done(at);
                            }
                        }
                        Some(b'\\') => {
                            at += 1;
                            state = State::Escape(role);
                        }
                        _ => break self.bad(bytes, at, state),
                    }
                }
                (State::Next, b',') => {
                    at += 1;
                    state = match self.levels.innermost() {
                        Level::List => State::Value,
                        Level::Object if next(at, b'"') => {
                            at += 1;
                            State::Text(Role::Key)
                        }
                        Level::Object => State::Key,
                    };
                }
                (State::Value | State::FirstItem, b'"') => {
                    at += 1;
                    state = State::Text(Role::Value);
                }
                (State::Value | State::FirstItem, b'{' | b'[') => {
                    if self.levels.depth() >= self.max_depth {
                        let limit = self.max_depth;
                        let problem = Problem::TooDeep { limit };
                        break Scan::Bad { at, problem };
                    }
                    at += 1;
                    if byte == b'[' {
                        self.levels.open(Level::List);
                        state = State::FirstItem;
                    } else {
                        self.levels.open(Level::Object);
                        state = State::FirstKey;
                    }
                }
                (State::Value | State::FirstItem, b'0'..=b'9' | b'-') => {
                    at += 1;
                    state = State::Number(Digits::first(byte));
                }
                (State::Value | State::FirstItem, b't' | b'f' | b'n') => {
                    at += 1;
                    state = State::Word(Word::of(byte), 1);
                }
                (State::Number(digits), _) => {
                    let (end, digits) = digits.read(bytes, at);
                    at = end;
                    state = State::Number(digits);
                    let Some(&byte) = bytes.get(at) else {
                        break Scan::More;
                    };
                    if !digits.are_enough() {
                        break self.bad(bytes, at, state);
                    }
                    if self.levels.depth() > 0 {
                        state = State::Next;
                    } else if stands_apart(byte) {
                        break Scan::Done(at);
                    } else {
                        break self.bad(bytes, at, State::Apart);
                    }
                }
                (State::Word(word, read), _) => {
                    let rest = word.text().get(read..).unwrap_or_default();
                    let more = rest.bytes().zip(&bytes[at..]);
                    let same = more.take_while(|(wanted, found)| wanted == *found).count();
                    at += same;
                    if same == rest.len() {
                        state = match self.levels.depth() {
                            0 => State::Apart,
                            _ => State::Next,
                        };
                    } else if at == bytes.len() {
                        state = State::Word(word, read + same);
                        break Scan::More;
                    } else {
                        break self.bad(bytes, at, state);
                    }
                }
                (State::Next | State::FirstKey, b'}') | (State::Next | State::FirstItem, b']') => {
                    let closed = if byte == b'}' {
                        Level::Object
                    } else {
                        Level::List
                    };
                    if self.levels.innermost() != closed {
                        break self.bad(bytes, at, state);
                    }
                    at += 1;
                    self.levels.close();
                    state = State::Next;
                    if self.levels.depth() == 0 {
                        break Scan::Done(at);
                    }
                }
                (State::FirstKey | State::Key, b'"') => {
                    at += 1;
                    state = State::Text(Role::Key);
                }
                (State::Colon, b':') => {
                    at += 1;
                    state = State::Value;
                }
                (State::Escape(role), b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                    at += 1;
                    state = State::Text(role);
                }
                (State::Escape(role), b'u') => {
                    at += 1;
                    state = State::Hex(role, HEX_DIGITS);
                }
                (State::Hex(role, left), _) if byte.is_ascii_hexdigit() => {
                    at += 1;
                    state = match left {
                        1 => State::Text(role),
                        _ => State::Hex(role, left - 1),
                    };
                }
                (State::Apart, _) if stands_apart(byte) => break Scan::Done(at),
                (
                    State::Value
                    | State::FirstItem
                    | State::FirstKey
                    | State::Key
                    | State::Colon
                    | State::Next,
                    b' ' | b'\t' | b'\n' | b'\r',
                ) => {
                    at += 1;
                    at += spaces(&bytes[at..]);
                }
                _ => break self.bad(bytes, at, state),
            }
        };
        self.state = state;
        scan
    }

    /// A byte that cannot stand here.
    #[cold]
    fn bad(&self, bytes: &[u8], at: usize, state: State) -> Scan {
        let found = bytes.get(at).copied().unwrap_or_default();
        let wanted = state.wanted(self.levels.innermost());
        Scan::Bad {
            at,
            problem: Problem::Unexpected { found, wanted },
        }
    }
}

/// Whether a byte ends a number or a word at the root: what it begins cannot be more of it.
const fn stands_apart(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b'"' | b'{' | b'[')
}

// === impl State ===

impl State {
    /// What should come, on such a level.
    const fn wanted(self, level: Level) -> &'static str {
        match self {
            Self::Value => "a value",
            Self::FirstItem => "a value or `]`",
            Self::FirstKey => "a key or `}`",
            Self::Key => "a key",
            Self::Colon => "`:`",
            Self::Next => match level {
                Level::List => "a comma or `]`",
                Level::Object => "a comma or `}`",
            },
            Self::Text(_) => "the rest of a text",
            Self::Escape(_) => "an escape such as `n`",
            Self::Hex(..) => "a hexadecimal digit",
            Self::Number(_) => "a digit",
            Self::Word(word, _) => word.wanted(),
            Self::Apart => "white space or another value",
        }
    }
}

// === impl Digits ===

impl Digits {
    /// What a number's first byte makes of it.
    const fn first(byte: u8) -> Self {
        match byte {
            b'-' => Self::Minus,
            b'0' => Self::Zero,
            _ => Self::Whole,
        }
    }

    /// Whether it may end so.
    const fn are_enough(self) -> bool {
        matches!(
            self,
            Self::Zero | Self::Whole | Self::Fraction | Self::Exponent
        )
    }

    /// Reads on as far as it is a number: where it stops, and what was read by then.
    #[inline(always)]
    fn read(mut self, bytes: &[u8], from: usize) -> (usize, Self) {
        let mut at = from;
        loop {
            if matches!(self, Self::Whole | Self::Fraction | Self::Exponent) {
                while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                    at += 1;
                }
            }
            let Some(&byte) = bytes.get(at) else {
                break;
            };
            self = match (self, byte) {
                (Self::Minus, b'0') => Self::Zero,
                (Self::Minus, b'1'..=b'9') => Self::Whole,
                (Self::Zero | Self::Whole, b'.') => Self::Point,
                (Self::Point, b'0'..=b'9') => Self::Fraction,
                (Self::Zero | Self::Whole | Self::Fraction, b'e' | b'E') => Self::E,
                (Self::E, b'+' | b'-') => Self::Sign,
                (Self::E | Self::Sign, b'0'..=b'9') => Self::Exponent,
                _ => break,
            };
            at += 1;
        }
        (at, self)
    }
}

// === impl Word ===

impl Word {
    /// The word with this first letter.
    const fn of(first: u8) -> Self {
        match first {
            b't' => Self::True,
            b'f' => Self::False,
            _ => Self::Null,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Null => "null",
        }
    }

    const fn wanted(self) -> &'static str {
        match self {
            Self::True => "`true`",
            Self::False => "`false`",
            Self::Null => "`null`",
        }
    }
}

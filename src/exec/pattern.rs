//! One path component with wildcards, matched against file names that may be any bytes.

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A unit that stands for itself.
    Unit(u32),
    /// `*`; several in a row are one, so `**` is nothing special.
    Any,
    /// `?`.
    One,
    /// A bracket expression.
    Set {
        /// Whether it began with `!` or `^`.
        negated: bool,
        /// What it lists.
        items: Vec<Item>,
    },
}

/// A member of a bracket expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// From one unit to another, both included.
    Range(u32, u32),
    /// A class as in `[[:alpha:]]`.
    Class(Class),
}

/// A named class of characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Alnum,
    Alpha,
    Blank,
    Cntrl,
    Digit,
    Graph,
    Lower,
    Print,
    Punct,
    Space,
    Upper,
    Word,
    Xdigit,
}

/// Bytes that are no UTF-8 become units from here on, beyond every character, so that each matches one `?`.
const RAW_BYTE: u32 = 0x11_0000;

/// Splits bytes into characters, and single bytes where they are none.
pub(super) fn units(bytes: &[u8]) -> Vec<u32> {
    let mut units = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        units.extend(chunk.valid().chars().map(u32::from));
        units.extend(chunk.invalid().iter().map(|b| RAW_BYTE + u32::from(*b)));
    }
    units
}

/// Reads the text of an unquoted wildcard: `*`, `?` and bracket expressions; everything else stands for itself.
pub(super) fn parse(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        match chars[at] {
            '*' => tokens.push(Token::Any),
            '?' => tokens.push(Token::One),
            '[' => {
                if let Some((set, next)) = parse_set(&chars, at + 1) {
                    tokens.push(set);
                    at = next;
                    continue;
                }
                tokens.push(Token::Unit('['.into()));
            }
            other => tokens.push(Token::Unit(other.into())),
        }
        at += 1;
    }
    tokens
}

/// Reads a bracket expression from behind its `[`; `None` if it is not complete. A slash ends it, as no file name holds one.
fn parse_set(chars: &[char], mut at: usize) -> Option<(Token, usize)> {
    let negated = matches!(chars.get(at), Some('!' | '^'));
    at += usize::from(negated);
    let first = at;
    let mut items = Vec::new();
    loop {
        match *chars.get(at)? {
            ']' if at > first => return Some((Token::Set { negated, items }, at + 1)),
            '[' if chars.get(at + 1) == Some(&':')
                && let Some((class, next)) = parse_class(chars, at + 2) =>
            {
                // An unknown class matches nothing, as in bash.
                items.extend(class.map(Item::Class));
                at = next;
                continue;
            }
            _ => {}
        }
        let (low, next) = parse_member(chars, at)?;
        at = next;
        let is_range =
            chars.get(at) == Some(&'-') && !matches!(chars.get(at + 1), None | Some(']'));
        let high = if is_range {
            let (high, next) = parse_member(chars, at + 1)?;
            at = next;
            high
        } else {
            low
        };
        items.push(Item::Range(low, high));
    }
}

fn parse_member(chars: &[char], at: usize) -> Option<(u32, usize)> {
    match *chars.get(at)? {
        '/' => None,
        '\\' => Some((u32::from(*chars.get(at + 1)?), at + 2)),
        other => Some((other.into(), at + 1)),
    }
}

fn parse_class(chars: &[char], at: usize) -> Option<(Option<Class>, usize)> {
    let length = chars[at..].iter().position(|c| !c.is_ascii_lowercase())?;
    let end = at + length;
    if chars.get(end) != Some(&':') || chars.get(end + 1) != Some(&']') {
        return None;
    }
    let name: String = chars[at..end].iter().collect();
    let class = match name.as_str() {
        "alnum" => Class::Alnum,
        "alpha" => Class::Alpha,
        "blank" => Class::Blank,
        "cntrl" => Class::Cntrl,
        "digit" => Class::Digit,
        "graph" => Class::Graph,
        "lower" => Class::Lower,
        "print" => Class::Print,
        "punct" => Class::Punct,
        "space" => Class::Space,
        "upper" => Class::Upper,
        "word" => Class::Word,
        "xdigit" => Class::Xdigit,
        _ => return Some((None, end + 2)),
    };
    Some((Some(class), end + 2))
}

/// Whether a name fits a pattern, which both cover one path component. Names that begin with a dot need a pattern that does.
pub(super) fn matches(pattern: &[Token], name: &[u32]) -> bool {
    const DOT: u32 = '.' as u32;
    if name.first() == Some(&DOT) && pattern.first() != Some(&Token::Unit(DOT)) {
        return false;
    }
    // Only the last `*` has to be tried again when something behind it does not fit: linear memory, no recursion.
    let (mut p, mut n) = (0, 0);
    let mut retry = None;
    loop {
        match pattern.get(p) {
            Some(Token::Any) => {
                p += 1;
                retry = Some((p, n));
                continue;
            }
            Some(token) if name.get(n).is_some_and(|unit| token.fits(*unit)) => {
                p += 1;
                n += 1;
                continue;
            }
            None if n == name.len() => return true,
            _ => {}
        }
        match retry {
            Some((behind, from)) if from < name.len() => {
                retry = Some((behind, from + 1));
                (p, n) = (behind, from + 1);
            }
            _ => return false,
        }
    }
}

// === impl Token ===

impl Token {
    /// Whether the token needs a look at the file system.
    pub(super) fn is_wild(&self) -> bool {
        !matches!(self, Self::Unit(_))
    }

    fn fits(&self, unit: u32) -> bool {
        match self {
            Self::Unit(own) => *own == unit,
            Self::Any => false,
            Self::One => true,
            Self::Set { negated, items } => items.iter().any(|item| item.fits(unit)) != *negated,
        }
    }
}

impl Item {
    fn fits(&self, unit: u32) -> bool {
        match self {
            Self::Range(low, high) => (*low..=*high).contains(&unit),
            Self::Class(class) => char::from_u32(unit).is_some_and(|c| class.fits(c)),
        }
    }
}

impl Class {
    fn fits(self, c: char) -> bool {
        match self {
            Self::Alnum => c.is_alphanumeric(),
            Self::Alpha => c.is_alphabetic(),
            Self::Blank => matches!(c, ' ' | '\t'),
            Self::Cntrl => c.is_control(),
            Self::Digit => c.is_ascii_digit(),
            Self::Graph => !c.is_control() && !c.is_whitespace(),
            Self::Lower => c.is_lowercase(),
            Self::Print => !c.is_control(),
            Self::Punct => !c.is_control() && !c.is_whitespace() && !c.is_alphanumeric(),
            Self::Space => c.is_whitespace(),
            Self::Upper => c.is_uppercase(),
            Self::Word => c.is_alphanumeric() || c == '_',
            Self::Xdigit => c.is_ascii_hexdigit(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, name: &[u8]) -> bool {
        matches(&parse(pattern), &units(name))
    }

    #[test]
    fn wildcards_are_those_of_bash() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "a", true),
            ("*", ".a", false),
            (".*", ".a", true),
            ("?a", ".a", false),
            ("[.]a", ".a", false),
            ("a*b*c", "aXbXbYc", true),
            ("a*b*c", "aXbXbY", false),
            ("**", "abc", true),
            ("[!x]", "a", true),
            ("[!x]", "x", false),
            ("[^x]", "x", false),
            ("[]a]", "]", true),
            ("[a-c]x", "bx", true),
            ("[a-]", "-", true),
            ("[[:digit:]]", "7", true),
            ("[[:digit:]]", "x", false),
            ("[[:nonsense:]]", "x", false),
            (r"[\]]", "]", true),
            ("[ab", "[ab", true),
            ("?", "ä", true),
            ("??", "ä", false),
        ] {
            assert_eq!(fits(pattern, name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_byte_that_is_no_utf8_is_one_character() {
        assert!(fits("a?b", b"a\xffb"));
        assert!(fits("*", b"\xff\xfe"));
        assert!(!fits("?", b"\xff\xfe"));
    }

    proptest! {
        #[test]
        fn stars_between_all_characters_match_what_they_came_from(name in "[a-c]{0,12}") {
            let pattern: String = name.chars().flat_map(|c| ['*', c]).chain(['*']).collect();
            prop_assert!(fits(&pattern, name.as_bytes()));
        }

        #[test]
        fn no_pattern_panics_or_hangs(pattern in r"[\[\]*?!a\-:\\]{0,16}", name in proptest::collection::vec(any::<u8>(), 0..24)) {
            let _ = fits(&pattern, &name);
        }
    }
}

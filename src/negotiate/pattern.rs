//! Globs over whole words, as rules for arguments and names of variables use them.

/// Whether a pattern fits a whole text: `*` is any characters, `?` one, `[a-z]` or `[!a-z]` one of a set. A bracket that is never closed
/// stands for itself. There is no way to write a pattern wrong, and no text for which matching takes long.
#[must_use]
pub fn matches(pattern: &str, text: &[u8]) -> bool {
    let pattern = pattern.as_bytes();
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last `*` when the rest did not fit: only the last one needs another try.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
                continue;
            }
            None if t == text.len() => return true,
            None => None,
            Some(_) if t == text.len() => return false,
            Some(_) => one(&pattern[p..], &text[t..]),
        };
        match (step, retry) {
            (Some((pattern_used, text_used)), _) => {
                p += pattern_used;
                t += text_used;
            }
            (None, Some((after_star, from))) if from < text.len() => {
                let from = from + character(&text[from..]);
                retry = Some((after_star, from));
                (p, t) = (after_star, from);
            }
            (None, _) => return false,
        }
    }
}

/// Matches one character; how many bytes of pattern and text it took.
fn one(pattern: &[u8], text: &[u8]) -> Option<(usize, usize)> {
    match pattern[0] {
        b'?' => Some((1, character(text))),
        b'[' if let Some((inside, length)) = set(pattern) => {
            let (inside, negated) = match inside {
                [b'!' | b'^', rest @ ..] => (rest, true),
                all => (all, false),
            };
            (contains(inside, text[0]) != negated).then_some((length, character(text)))
        }
        literal => (literal == text[0]).then_some((1, 1)),
    }
}

/// The inside of a bracket expression and its whole length, if it is closed. A `]` in first place belongs to the set.
fn set(pattern: &[u8]) -> Option<(&[u8], usize)> {
    let start = if matches!(pattern.get(1), Some(b'!' | b'^')) {
        3
    } else {
        2
    };
    let end = pattern.iter().skip(start).position(|b| *b == b']')? + start;
    Some((&pattern[1..end], end + 1))
}

fn contains(mut set: &[u8], byte: u8) -> bool {
    loop {
        set = match set {
            [] => return false,
            [from, b'-', to, rest @ ..] => {
                if (*from..=*to).contains(&byte) {
                    return true;
                }
                rest
            }
            [one, rest @ ..] => {
                if *one == byte {
                    return true;
                }
                rest
            }
        };
    }
}

/// How many bytes the first character has; bytes that are no UTF-8 count singly.
fn character(text: &[u8]) -> usize {
    let continued = |byte: &&u8| **byte & 0b1100_0000 == 0b1000_0000;
    match text[0] {
        0xc0.. => 1 + text[1..].iter().take(3).take_while(continued).count(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_fit_whole_words() {
        for (pattern, text, expected) in [
            ("-o*", "-o", true),
            ("-o*", "-output", true),
            ("-o*", "x-o", false),
            ("LC_*", "LC_ALL", true),
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
            ("?", "ä", true),
            ("*b*c", "abcbc", true),
            ("*b*c", "abcbd", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[", "[", true),
            ("--opt=[", "--opt=[", true),
            ("a/*", "a/b/c", true),
        ] {
            assert_eq!(
                matches(pattern, text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
        assert!(matches("?*", b"\xff\xfe"));
    }

    #[test]
    fn many_stars_take_no_long_time() {
        let pattern = "*a".repeat(60) + "b";
        assert!(!matches(&pattern, "a".repeat(50_000).as_bytes()));
    }

    proptest! {
        #[test]
        fn a_word_fits_itself_its_ends_and_no_other_word(word in "[a-zA-Z0-9=/.-]{0,12}", cut in 0..13_usize) {
            prop_assert!(matches(&word, word.as_bytes()));
            let longer = format!("{word}x");
            prop_assert!(!matches(&word, longer.as_bytes()));
            let cut = cut.min(word.len());
            let (head, tail) = word.split_at(cut);
            let (prefix, suffix, both) = (format!("{head}*"), format!("*{tail}"), format!("{head}*{tail}"));
            for pattern in [prefix, suffix, both] {
                prop_assert!(matches(&pattern, word.as_bytes()));
            }
        }

        #[test]
        fn nothing_panics(pattern in "\\PC{0,12}", text: Vec<u8>) {
            let _ = matches(&pattern, &text);
        }
    }
}

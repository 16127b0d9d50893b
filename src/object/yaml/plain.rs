//! Strings as YAML writes them: plain where YAML 1.1 and 1.2 read them as the same string, else in double quotes.

use std::fmt::Write;

/// Words that are no strings for a reader of YAML 1.1 or 1.2, in any case.
const WORDS: &[&str] = &["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

/// Longest string that is written plain, in bytes: longer ones are read by people in no case.
const MAX_PLAIN: usize = 256;

/// Writes a string.
pub(super) fn write(text: &str, out: &mut String) {
    if may_be_plain(text) {
        out.push_str(text);
    } else {
        write_quoted(text, out);
    }
}

/// Writes a string in double quotes, with everything escaped that is not printable (YAML 1.2.2, section 5.1).
pub(super) fn write_quoted(text: &str, out: &mut String) {
    out.push('"');
    let mut start = 0;
    for (at, c) in text.char_indices() {
        let escape = match c {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            ' '..='~' => continue,
            _ if is_unprintable(c) => "",
            _ => continue,
        };
        out.push_str(&text[start..at]);
        start = at + c.len_utf8();
        if escape.is_empty() {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(&text[start..]);
    out.push('"');
}

const fn is_unprintable(c: char) -> bool {
    matches!(
        c,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}'
    )
}

/// Whether a string is the same string in YAML 1.1 and 1.2 without quotes. It does not begin as numbers, dates and indicators do, and
/// nothing in it separates a key or a comment.
fn may_be_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else {
        return false;
    };
    let can_begin = first.is_alphabetic() || matches!(first, '_' | '/');
    let mut before = first;
    let all_fit = text.chars().all(|c| {
        let fits = match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' => true,
            '_' | '-' | '.' | '/' | '+' | '@' | '%' | '=' | '(' | ')' | ';' | '~' | '^' => true,
            ' ' => before != ' ',
            ':' => false,
            _ => c.is_alphanumeric(),
        };
        before = c;
        fits
    });
    text.len() <= MAX_PLAIN
        && can_begin
        && all_fit
        && before != ' '
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = String::new();
        write(text, &mut out);
        out
    }

    #[test]
    fn strings_that_all_readers_take_for_strings_are_plain() {
        for text in [
            "a",
            "web-1",
            "/usr/bin",
            "some text",
            "größe",
            "日本",
            "_x",
            "a=b",
            "e1",
            "inf",
        ] {
            assert_eq!(written(text), text);
        }
    }

    #[test]
    fn strings_that_some_reader_takes_for_something_else_are_quoted() {
        for text in [
            "",
            " ",
            "a ",
            " a",
            "y",
            "N",
            "yes",
            "No",
            "ON",
            "off",
            "True",
            "null",
            "NULL",
            "~",
            "1",
            "-1",
            "1e3",
            "0x1",
            "1_000",
            "12:30",
            "2001-12-14",
            "=",
            "<<",
            ".inf",
            ".5",
            "+1",
            "-",
            "---",
            "...",
            "- a",
            "a: b",
            "a:",
            "a #b",
            "#a",
            "&a",
            "*a",
            "!a",
            "%a",
            "@a",
            "`a",
            "[a",
            "{a",
            "]",
            "}",
            ",",
            "?",
            "|",
            ">",
            "'a'",
            "a,b",
            "a  b",
        ] {
            assert_eq!(written(text), format!("\"{text}\""), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_printable_is_escaped() {
        assert_eq!(
            written("\"\\\n\r\t\0\x1b\x7f\u{85}\u{a0}\u{2028}\u{2029}\u{feff}😀"),
            "\"\\\"\\\\\\n\\r\\t\\u0000\\u001b\\u007f\\u0085\u{a0}\\u2028\\u2029\\ufeff😀\""
        );
    }
}

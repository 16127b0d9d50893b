//! The members of a root that is an object, and only those: what is in them is passed over.

use super::{spaces, swar::find_special};

/// Where a member stands in the text of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member<'t> {
    /// Its key as it is written, without the quotation marks.
    pub(super) key: &'t [u8],
    /// Where the key begins, with its quotation mark.
    pub(super) start: usize,
    /// Where the value ends.
    pub(super) end: usize,
}

/// The members of an object, in their order. The text was checked before; of one that was not, some may be missing.
#[derive(Clone, Debug)]
pub(super) struct Members<'t> {
    text: &'t [u8],
    /// What was read so far: an opening brace, or a member and the comma after it.
    at: usize,
}

impl<'t> Members<'t> {
    pub(super) const fn new(text: &'t [u8]) -> Self {
        Self { text, at: 1 }
    }

    fn skip_spaces(&mut self) {
        self.at += spaces(self.text.get(self.at..).unwrap_or_default());
    }
}

impl<'t> Iterator for Members<'t> {
    type Item = Member<'t>;

    fn next(&mut self) -> Option<Member<'t>> {
        self.skip_spaces();
        let start = self.at;
        let key_end = string(self.text, start)?;
        let key = self.text.get(start + 1..key_end - 1)?;
        self.at = key_end;
        self.skip_spaces();
        self.at += 1;
        self.skip_spaces();
        let end = value(self.text, self.at)?;
        self.at = end;
        self.skip_spaces();
        self.at += 1;
        Some(Member { key, start, end })
    }
}

/// Where the string ends that begins here, if one does.
fn string(text: &[u8], start: usize) -> Option<usize> {
    if text.get(start) != Some(&b'"') {
        return None;
    }
    let mut at = start + 1;
    loop {
        at = find_special(text, at)?;
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Where the value ends that begins here.
fn value(text: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = start;
    loop {
        match text.get(at)? {
            b'"' => at = string(text, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
                continue;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            _ => {
                let is_plain = |byte: &u8| !b",]} \t\n\r".contains(byte);
                at += text[at..].iter().take_while(|byte| is_plain(byte)).count();
            }
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// What a key says. Half of a surrogate pair becomes U+FFFD, which no name of ours holds.
pub(super) fn unescaped(key: &[u8]) -> String {
    let key = String::from_utf8_lossy(key);
    let mut said = String::with_capacity(key.len());
    let mut rest = key.as_ref();
    while let Some((plain, escaped)) = rest.split_once('\\') {
        said.push_str(plain);
        let mut chars = escaped.chars();
        match chars.next() {
            Some('u') => {
                let (c, after) = code_point(chars.as_str());
                said.push(c);
                rest = after;
                continue;
            }
            Some('b') => said.push('\u{8}'),
            Some('f') => said.push('\u{c}'),
            Some('n') => said.push('\n'),
            Some('r') => said.push('\r'),
            Some('t') => said.push('\t'),
            Some(itself) => said.push(itself),
            None => {}
        }
        rest = chars.as_str();
    }
    said.push_str(rest);
    said
}

/// What `\u` means with the digits after it, and with another one if they are the first half of a pair; and what comes then.
fn code_point(digits: &str) -> (char, &str) {
    let Some((high, rest)) = code_unit(digits) else {
        return (char::REPLACEMENT_CHARACTER, digits);
    };
    if let Some(c) = char::from_u32(high) {
        return (c, rest);
    }
    let pair = rest.strip_prefix("\\u").and_then(code_unit);
    if let (0xd800..=0xdbff, Some((low @ 0xdc00..=0xdfff, after))) = (high, pair) {
        let c = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(c).unwrap_or_default(), after);
    }
    (char::REPLACEMENT_CHARACTER, rest)
}

/// Four hexadecimal digits, and what comes after them.
fn code_unit(digits: &str) -> Option<(u32, &str)> {
    let (unit, rest) = digits.split_at_checked(4)?;
    Some((u32::from_str_radix(unit, 16).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Vec<(&str, &str)> {
        let shown = |member: Member<'_>| {
            let key = &text[member.start + 1..member.start + 1 + member.key.len()];
            (key, &text[member.start..member.end])
        };
        Members::new(text.as_bytes()).map(shown).collect()
    }

    #[test]
    fn only_members_of_the_root_are_seen_whatever_is_in_them() {
        let text = "{ \"a\" : {\"x\":[1,{\"y\":\"}]\\\"\"}]} ,\n\"b\\\"\":-1.5e3,\"c\":[ ], \"\":true\t,\"d\":\"]\" }";
        let expected = [
            ("a", "\"a\" : {\"x\":[1,{\"y\":\"}]\\\"\"}]}"),
            ("b\\\"", "\"b\\\"\":-1.5e3"),
            ("c", "\"c\":[ ]"),
            ("", "\"\":true"),
            ("d", "\"d\":\"]\""),
        ];
        assert_eq!(members(text), expected);
        assert_eq!(members("{}"), []);
        assert_eq!(members("{ \n}"), []);
    }

    #[test]
    fn text_that_is_no_object_ends_early() {
        let text = br#"{"a":[1,{"b":"\"x"}],"c":null}"#;
        for end in 0..text.len() {
            assert!(Members::new(&text[..end]).count() <= 2);
        }
        for odd in ["{\"a\":]}", "{\"a\"", "{\"", "{1:2}", "{\"a\":\"\\", "{,,,"] {
            assert_eq!(members(odd), []);
        }
    }

    #[test]
    fn a_key_means_the_same_however_it_is_escaped() {
        let cases = [
            (r"plain", "plain"),
            (r"\u005f_dpipes", "__dpipes"),
            (r"\u005F\u005fdpipes", "__dpipes"),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\ud83d\ude00x", "\u{1f600}x"),
            (r"\uDBFF\uDFFF", "\u{10ffff}"),
            (r"\ud83d", "\u{fffd}"),
            (r"\ud83dx\ude00", "\u{fffd}x\u{fffd}"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
            (r"\u0000é", "\0é"),
        ];
        for (key, expected) in cases {
            assert_eq!(unescaped(key.as_bytes()), expected, "{key}");
        }
    }
}

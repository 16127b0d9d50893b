//! JSON text as it is written here: compact, and each string in one spelling only, so that equal strings are equal text.

/// Writes a string.
pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| needs_escape(byte)) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => out.extend_from_slice(format!("\\u{other:04x}").as_bytes()),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

const fn needs_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}

/// The items of a list or the members of an object, each as text.
pub(super) fn parts(container: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = container
        .get(1..container.len().saturating_sub(1))
        .unwrap_or_default();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = end_of_part(rest);
        let part = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(part)
    })
}

/// The key of a member.
pub(super) fn key(member: &[u8]) -> &[u8] {
    &member[..end_of_string(member)]
}

fn end_of_part(text: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'"' => {
                at += end_of_string(&text[at..]);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// Behind the closing quote of a string that begins here.
fn end_of_string(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart_at_their_own_commas() {
        let all: Vec<_> = parts(br#"["a,\"]",[1,2],{"x":",","y":[]},null]"#).collect();
        let expected: [&[u8]; 4] = [br#""a,\"]""#, b"[1,2]", br#"{"x":",","y":[]}"#, b"null"];
        assert_eq!(all, expected);
        assert_eq!(parts(b"{}").count(), 0);
        assert_eq!(key(br#""a\\":"b""#), br#""a\\""#);
    }

    #[test]
    fn strings_read_as_they_were() {
        for text in ["", "a", "\"\\/\n\r\t\u{0}\u{1f}\u{7f}\u{2028}é😀"] {
            let mut out = Vec::new();
            write_string(text, &mut out);
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}

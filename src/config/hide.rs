//! Secrets in the text of a file, which errors quote.

use std::ops::Range;

use super::registry::holds_secret;

/// The text with every secret starred out, byte for byte, so that places in it stay what they were.
pub(super) fn hide_secrets(text: &str) -> String {
    let mut hidden = text.as_bytes().to_vec();
    let spans = values_of_secret_keys(text)
        .into_iter()
        .chain(user_infos(text));
    for span in spans {
        for byte in &mut hidden[span] {
            if *byte != b'\n' {
                *byte = b'*';
            }
        }
    }
    // Whole characters are starred, so this is text; if not, nothing of it is shown.
    String::from_utf8(hidden).unwrap_or_else(|_| "*".repeat(text.len()))
}

/// Where the values of secret keys stand. The text may be broken in any way, so this is no reader of YAML: it takes too much rather than
/// too little.
fn values_of_secret_keys(text: &str) -> Vec<Range<usize>> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let mut spans: Vec<Range<usize>> = Vec::new();
    for (colon, _) in text.match_indices(':') {
        let before = text[..colon].trim_end_matches([' ', '\t']);
        let before = before.strip_suffix(['"', '\'']).unwrap_or(before);
        let start = before.rfind(|c| !is_word(c)).map_or(0, |at| {
            at + before[at..].chars().next().map_or(1, char::len_utf8)
        });
        if holds_secret(&before[start..]) {
            let line = text[..colon].rfind('\n').map_or(0, |at| at + 1);
            spans.push(value_after(text, colon + 1, line));
        }
    }
    spans
}

/// The value that begins here, of a key in the line that begins there.
fn value_after(text: &str, from: usize, line: usize) -> Range<usize> {
    let rest = &text[from..];
    let start = from + (rest.len() - rest.trim_start_matches([' ', '\t']).len());
    let rest = &text[start..];
    let end_of_line = rest.find('\n').unwrap_or(rest.len());
    let quoted = rest.chars().next().filter(|c| "\"'".contains(*c));
    if let Some(quote) = quoted {
        let closing = rest[1..].find(quote).map_or(rest.len(), |at| at + 2);
        return start..start + closing;
    }
    let in_flow = text[line..from].contains('{');
    if in_flow && let Some(length) = rest[..end_of_line].find([',', '}']) {
        return start..start + length;
    }
    // The value may go on in lines that are indented further than the key.
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '-']).len();
    let of_key = indent(&text[line..from]);
    let mut end = start + end_of_line;
    for more in text[end..].split_inclusive('\n').skip(1) {
        let belongs = more.trim().is_empty() || indent(more) > of_key;
        if in_flow || !belongs {
            break;
        }
        end += more.len();
    }
    // What was skipped is the newline itself.
    let end = (end + usize::from(end > start + end_of_line)).min(text.len());
    start..end
}

/// Where `user:password` of a URL stands.
fn user_infos(text: &str) -> Vec<Range<usize>> {
    let spans = text.match_indices("://").filter_map(|(at, mark)| {
        let start = at + mark.len();
        let rest = &text[start..];
        let word = &rest[..rest.find(char::is_whitespace).unwrap_or(rest.len())];
        word.rfind('@').map(|at| start..start + at)
    });
    spans.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_keys_are_starred_out_and_nothing_else_moves() {
        let same = |text: &str, hidden: &str| {
            assert_eq!(hide_secrets(text), hidden);
            assert_eq!(text.len(), hidden.len());
        };
        same(
            "- consul: { token: abc, tags: [x] }\n",
            "- consul: { token: ***, tags: [x] }\n",
        );
        same("token: a,b\nnext: c\n", "token: ***\nnext: c\n");
        same("\"token\" : \"a b\", x: y\n", "\"token\" : *****, x: y\n");
        same("token: 'ab", "token: ***");
        same(
            "password: |\n  ab\n  c\nuser: d\n",
            "password: *\n****\n***\nuser: d\n",
        );
        same(
            "token-file: /x\npassword-file: y\n",
            "token-file: /x\npassword-file: y\n",
        );
        same("token: äb\n", "token: ***\n");
        same("- consul://ann:pw@h:1\n", "- consul://******@h:1\n");
        same("a: b\n", "a: b\n");
    }
}

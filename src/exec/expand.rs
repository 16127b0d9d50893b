//! Words become arguments: `~` and wildcards, as bash expands them, with the run user's eyes and in the app's directory.
//!
//! The `glob` crate skips file names that are not UTF-8, and an app that is given `*` must see them; hence the matcher in
//! [`pattern`](super::pattern).

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use super::pattern::{Token, matches, parse, units};
use crate::word::{Part, Word};

/// Where homes are found.
pub(super) trait Homes {
    /// The home directory of this user, or of the run user for `None`.
    fn home(&self, user: Option<&str>) -> Option<PathBuf>;
}

/// Expands one word to one or more arguments. Relative patterns count from `cwd`; the results are as the pattern was, not absolute. A
/// pattern without a match stands for itself. Results are sorted bytewise, as in the C locale.
pub(super) fn expand(word: &Word, homes: &impl Homes, cwd: &Path) -> Vec<OsString> {
    let components = components(word, homes);
    let wild = components
        .iter()
        .flat_map(|c| &c.tokens)
        .any(Token::is_wild);
    if wild {
        let mut found = Vec::new();
        search(&components, Vec::new(), cwd, &mut found);
        if !found.is_empty() {
            found.sort_unstable();
            return found.into_iter().map(OsString::from_vec).collect();
        }
    }
    let literal: Vec<&[u8]> = components.iter().map(|c| c.literal.as_slice()).collect();
    vec![OsString::from_vec(literal.join(&b'/'))]
}

/// Expands a word where wildcards mean nothing, as in an assignment.
pub(super) fn expand_homes(word: &Word, homes: &impl Homes) -> OsString {
    let mut text = OsString::new();
    for part in &word.parts {
        text.push(literal(part, homes));
    }
    text
}

/// What stands between two slashes.
#[derive(Default)]
struct Component {
    /// As text, for when nothing matches.
    literal: Vec<u8>,
    tokens: Vec<Token>,
}

impl Component {
    fn is_wild(&self) -> bool {
        self.tokens.iter().any(Token::is_wild)
    }
}

fn literal(part: &Part, homes: &impl Homes) -> OsString {
    match part {
        Part::Text(text) | Part::Glob(text) => text.into(),
        Part::Home(user) => match (homes.home(user.as_deref()), user) {
            (Some(home), _) => home.into_os_string(),
            (None, None) => "~".into(),
            (None, Some(user)) => format!("~{user}").into(),
        },
    }
}

fn components(word: &Word, homes: &impl Homes) -> Vec<Component> {
    let mut all = vec![Component::default()];
    for part in &word.parts {
        if let Part::Glob(text) = part
            && !text.contains('/')
        {
            let last = all.last_mut().expect("there is always a last component");
            last.literal.extend_from_slice(text.as_bytes());
            last.tokens.extend(parse(text));
            continue;
        }
        for (index, piece) in literal(part, homes)
            .as_bytes()
            .split(|b| *b == b'/')
            .enumerate()
        {
            if index > 0 {
                all.push(Component::default());
            }
            let last = all.last_mut().expect("there is always a last component");
            last.literal.extend_from_slice(piece);
            last.tokens
                .extend(units(piece).into_iter().map(Token::Unit));
        }
    }
    all
}

/// Follows the components from `prefix`, which ends with a slash if it is not empty.
fn search(rest: &[Component], prefix: Vec<u8>, cwd: &Path, found: &mut Vec<Vec<u8>>) {
    let Some(wild) = rest.iter().position(Component::is_wild) else {
        let mut path = prefix;
        path.extend(
            rest.iter()
                .map(|c| c.literal.as_slice())
                .collect::<Vec<_>>()
                .join(&b'/'),
        );
        if fs::symlink_metadata(cwd.join(OsStr::from_bytes(&path))).is_ok() {
            found.push(path);
        }
        return;
    };
    let mut directory = prefix;
    for component in &rest[..wild] {
        directory.extend_from_slice(&component.literal);
        directory.push(b'/');
    }
    // An empty path would not be the working directory but an error.
    let opened = cwd.join(OsStr::from_bytes(&directory));
    let Ok(entries) = fs::read_dir(&opened) else {
        return;
    };
    for name in entries.flatten().map(|entry| entry.file_name()) {
        if !matches(&rest[wild].tokens, &units(name.as_bytes())) {
            continue;
        }
        let mut path = directory.clone();
        path.extend_from_slice(name.as_bytes());
        if rest.len() == wild + 1 {
            found.push(path);
        } else if fs::metadata(opened.join(&name)).is_ok_and(|metadata| metadata.is_dir()) {
            path.push(b'/');
            search(&rest[wild + 1..], path, cwd, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    struct Fixed;

    impl Homes for Fixed {
        fn home(&self, user: Option<&str>) -> Option<PathBuf> {
            match user {
                None => Some("/home/me".into()),
                Some("ann") => Some("/home/ann".into()),
                Some(_) => None,
            }
        }
    }

    /// `text` with every `*`, `?` and `[…]` as a wildcard; the same text is given to bash.
    fn word(text: &str) -> Word {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let length = match c {
                '[' if rest.starts_with("[[:") => rest.find(":]]").map_or(1, |end| end + 3),
                '[' => rest.find(']').map_or(1, |end| end + 1),
                _ => c.len_utf8(),
            };
            let (piece, behind) = rest.split_at(length);
            parts.push(if matches!(c, '*' | '?') || length > 1 && c == '[' {
                Part::Glob(piece.into())
            } else {
                Part::Text(piece.into())
            });
            rest = behind;
        }
        Word { parts }
    }

    fn bash(text: &str, cwd: &Path) -> Vec<OsString> {
        let output = Command::new("bash")
            .args(["-c", &format!("printf '%s\\0' {text}")])
            .current_dir(cwd)
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", "/usr/bin:/bin")
            .output()
            .unwrap();
        let mut all: Vec<OsString> = output
            .stdout
            .split(|b| *b == 0)
            .map(|bytes| OsString::from_vec(bytes.to_vec()))
            .collect();
        all.pop();
        all
    }

    #[test]
    fn wildcards_find_what_bash_finds() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &[u8]| root.path().join(OsStr::from_bytes(name));
        for directory in ["d", "d/e", "d2", ".hid"] {
            fs::create_dir(root.path().join(directory)).unwrap();
        }
        for name in [
            "a.txt", "b.txt", "B.txt", "-rf", "c d", "x*y", "[z]", ".dot", "d/1", "d/.2", "d/e/f",
            "d2/1", ".hid/h",
        ] {
            fs::write(root.path().join(name), "").unwrap();
        }
        fs::write(at(b"bad\xff.txt"), "").unwrap();
        std::os::unix::fs::symlink("d", at(b"link")).unwrap();
        std::os::unix::fs::symlink("nowhere", at(b"dangling")).unwrap();
        for text in [
            "*",
            ".*",
            "*.txt",
            "[ab]*",
            "[!ab]*",
            "[^a-c]*",
            "*/",
            "*/*",
            "*/1",
            "d*/1",
            "d/*/f",
            "**",
            "**/f",
            "./*",
            "d//*",
            "?",
            "???????",
            "nothing*",
            "*/nothing",
            "dang*",
            "dang*/",
            ".h*/*",
            "a.txt",
            "[[:upper:]]*",
            "d/e/*/",
            "../*/a.txt",
            "*/../*.txt",
            "d/.*",
        ] {
            assert_eq!(
                expand(&word(text), &Fixed, root.path()),
                bash(text, root.path()),
                "{text}"
            );
        }
        let absolute = format!("{}/d*/1", root.path().display());
        assert_eq!(
            expand(&word(&absolute), &Fixed, root.path()),
            bash(&absolute, root.path())
        );
    }

    #[test]
    fn quoted_wildcards_stand_for_themselves_beside_real_ones() {
        let root = tempfile::tempdir().unwrap();
        for name in ["x*y", "xay", "x*z"] {
            fs::write(root.path().join(name), "").unwrap();
        }
        let quoted = Word {
            parts: vec![Part::Text("x*".into()), Part::Glob("?".into())],
        };
        assert_eq!(expand(&quoted, &Fixed, root.path()), ["x*y", "x*z"]);
        let literal = Word::literal("x*y");
        assert_eq!(expand(&literal, &Fixed, root.path()), ["x*y"]);
    }

    #[test]
    fn a_tilde_is_a_home_and_an_unknown_user_stays() {
        let home = |user: Option<&str>, rest: &str| Word {
            parts: vec![Part::Home(user.map(Into::into)), Part::Text(rest.into())],
        };
        let cwd = Path::new("/");
        assert_eq!(expand(&home(None, "/a"), &Fixed, cwd), ["/home/me/a"]);
        assert_eq!(expand(&home(Some("ann"), ""), &Fixed, cwd), ["/home/ann"]);
        assert_eq!(expand(&home(Some("bob"), "/a"), &Fixed, cwd), ["~bob/a"]);
        assert_eq!(expand_homes(&home(None, "/*"), &Fixed), "/home/me/*");
        assert_eq!(expand(&Word::default(), &Fixed, cwd), [""]);
    }
}

//! The token of those who may change something over TCP: a line in a file that the daemon's user alone can read.

use std::{
    fmt, fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::process::geteuid;
use subtle::ConstantTimeEq as _;

/// Random bytes of a token that is made here: beyond guessing, and short enough to be pasted.
const RANDOM: usize = 32;

/// Lengths that a token may have. A shorter one can be guessed; a longer one does not fit into a header.
const LENGTHS: std::ops::RangeInclusive<usize> = 16..=1_024;

/// A secret. It is never shown.
pub(super) struct Token(String);

// === impl Token ===

impl Token {
    /// Whether it is this text; in the same time whether nearly all of it is right or nothing.
    pub(super) fn is(&self, said: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(said).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// The token in a file, which is made when it is not there.
///
/// # Errors
///
/// Returns why it cannot be used: that others can read or change it among them.
pub(super) fn read_or_make(path: &Path) -> io::Result<Token> {
    match fs::File::open(path) {
        Ok(file) => read(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
        Err(error) => Err(error),
    }
}

fn read(file: fs::File) -> io::Result<Token> {
    let wrong = |problem: &str| Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    let metadata = file.metadata()?;
    let own = geteuid().as_raw();
    if metadata.mode() & 0o077 != 0 {
        return wrong("others than its owner can read or write it; chmod 600 ends that");
    }
    if metadata.uid() != own && metadata.uid() != 0 {
        return wrong("it belongs to another user");
    }
    let mut text = String::new();
    let most = *LENGTHS.end() as u64 + 2;
    file.take(most).read_to_string(&mut text)?;
    let token = text.trim_end_matches(['\r', '\n']);
    if !LENGTHS.contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return wrong("one line of 16 to 1024 characters without spaces is wanted");
    }
    Ok(Token(token.to_owned()))
}

fn make(path: &Path) -> io::Result<Token> {
    let mut random = [0; RANDOM];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut options = fs::OpenOptions::new();
    // Whoever has put something else there meanwhile is not to be followed.
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{token}")?;
    Ok(Token(token))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_is_made_once_and_read_after_that() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let made = read_or_make(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(made.is(text.trim().as_bytes()) && text.trim().len() == 2 * RANDOM);
        assert!(read_or_make(&path).unwrap().is(text.trim().as_bytes()));
        assert!(!made.is(b"") && !made.is(&text.as_bytes()[1..]));
        assert_eq!(format!("{made:?}"), "Token(hidden)");
    }

    #[test]
    fn a_file_that_others_can_read_or_that_holds_no_token_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        for (mode, text) in [
            (0o644, "a-token-of-some-length"),
            (0o660, "a-token-of-some-length"),
            (0o600, "short"),
            (0o600, "two words of some length"),
            (0o600, ""),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(read_or_make(&path).is_err(), "{mode:o} {text}");
        }
    }
}

//! Reading files that somebody else writes.

use std::{
    fs::Metadata,
    io::{Error, ErrorKind, Result},
    path::Path,
};

use tokio::io::AsyncReadExt;

/// Reads a file of so many bytes at most, and says what it was when it was read.
///
/// # Errors
///
/// Those of the system; also when it is larger, or none that has an end: opening a pipe without a writer would last for ever.
pub(crate) async fn read(path: &Path, most: u64) -> Result<(String, Metadata)> {
    if !tokio::fs::metadata(path).await?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = tokio::fs::File::open(path).await?;
    let metadata = file.metadata().await?;
    let mut contents = String::new();
    let read = file.take(most + 1).read_to_string(&mut contents).await?;
    if u64::try_from(read).is_ok_and(|read| read <= most) {
        return Ok((contents, metadata));
    }
    let detail = format!("larger than {most} bytes");
    Err(Error::new(ErrorKind::FileTooLarge, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_has_no_end_or_is_too_large_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).await.unwrap().0, "12345");
        assert_eq!(
            read(&path, 4).await.unwrap_err().kind(),
            ErrorKind::FileTooLarge
        );
        for endless in ["/dev/zero", "/"] {
            assert!(read(Path::new(endless), 4).await.is_err(), "{endless}");
        }
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        assert!(read(&pipe, 4).await.is_err());
    }
}

//! Manual pages and completions, made of the same definitions as `--help`.

use std::{fs, io, path::Path};

use clap::CommandFactory;

use super::{args::Cli, daemon_args::DaemonCli};

/// The completions of `dpipes` for a shell.
pub(crate) fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dpipes", &mut text);
    text
}

/// dpipes(1).
///
/// # Errors
///
/// Returns the error of writing, which memory does not have.
pub(crate) fn page() -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut text)?;
    Ok(text)
}

/// Writes the pages of both programs and all subcommands, and returns how many.
///
/// # Errors
///
/// Returns why a page cannot be written.
pub(crate) fn write_pages(directory: &Path) -> io::Result<usize> {
    fs::create_dir_all(directory)?;
    let mut cli = Cli::command();
    cli.build();
    let mut daemon = DaemonCli::command();
    daemon.build();
    Ok(write_tree(&cli, "dpipes", "1", directory)?
        + write_tree(&daemon, "dpipesd", "8", directory)?)
}

/// Writes the page of a command and of those below it: `dpipes-lab-up.1`.
fn write_tree(
    command: &clap::Command,
    name: &str,
    section: &str,
    directory: &Path,
) -> io::Result<usize> {
    let mut text = Vec::new();
    let page = command
        .clone()
        .name(name.to_owned())
        .display_name(name.to_owned());
    clap_mangen::Man::new(page)
        .section(section)
        .render(&mut text)?;
    fs::write(directory.join(format!("{name}.{section}")), text)?;
    let mut written = 1;
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
    {
        written += write_tree(
            sub,
            &format!("{name}-{}", sub.get_name()),
            section,
            directory,
        )?;
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subcommand_has_a_page() {
        let directory = tempfile::tempdir().unwrap();
        let written = write_pages(directory.path()).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), written);
        for page in [
            "dpipes.1",
            "dpipes-run.1",
            "dpipes-lab-up.1",
            "dpipesd.8",
            "dpipesd-stop.8",
        ] {
            let text = fs::read_to_string(directory.path().join(page)).unwrap();
            assert!(text.contains(".SH SYNOPSIS"), "{page}");
        }
    }

    #[test]
    fn completions_know_the_subcommands() {
        for shell in [
            clap_complete::Shell::Bash,
            clap_complete::Shell::Zsh,
            clap_complete::Shell::Fish,
        ] {
            let text = String::from_utf8(completions(shell)).unwrap();
            assert!(
                text.contains("doctor") && text.contains("print-status"),
                "{shell}"
            );
        }
    }
}

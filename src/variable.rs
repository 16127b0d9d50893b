//! Names and values of environment variables: which can be one at all, and which are never taken from outside.
//!
//! Both sides of a node need the same answer: negotiation, which refuses, and the start of an app, which enforces it once more.

/// Never from outside, even if an owner lists it: each lets whoever sets it run code, read files or forge where an app believes to be.
/// A `*` at the end stands for any rest. The list begins as that of sudo.
const NEVER: &[&str] = &[
    // Loader, resolver, locale.
    "LD_*",
    "_RLD*",
    "DYLD_*",
    "GCONV_PATH",
    "LOCALDOMAIN",
    "RES_OPTIONS",
    "HOSTALIASES",
    "NLSPATH",
    "PATH_LOCALE",
    "KRB5_CONFIG*",
    "KRB5_KTNAME",
    // Shells.
    "IFS",
    "CDPATH",
    "ENV",
    "BASH_ENV",
    "BASH_FUNC_*",
    "PS4",
    "GLOBIGNORE",
    "SHELLOPTS",
    "BASHOPTS",
    "FPATH",
    "NULLCMD",
    "READNULLCMD",
    "ZDOTDIR",
    "TMPPREFIX",
    // Interpreters and tools.
    "JAVA_TOOL_OPTIONS",
    "PERLIO_DEBUG",
    "PERLLIB",
    "PERL5LIB",
    "PERL5OPT",
    "PERL5DB",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONINSPECT",
    "PYTHONUSERBASE",
    "RUBYLIB",
    "RUBYOPT",
    "NODE_OPTIONS",
    "GIT_SSH*",
    "GIT_EXTERNAL_DIFF",
    "LESSOPEN",
    "TERMINFO*",
    "TERMPATH",
    "TERMCAP",
    // What the node itself sets.
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "DP_*",
];

/// Names that belong to this process and its service manager, and would make an app talk to them.
const ALWAYS_REMOVED: &[&str] = &[
    "NOTIFY_SOCKET",
    "LISTEN_*",
    "WATCHDOG_*",
    "CREDENTIALS_DIRECTORY",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "DPIPES_*",
];

/// What nobody but the daemon sets.
pub const OWN_PREFIX: &str = "DP_";

/// Where the descriptions of time zones lie; elsewhere `TZ` names a file that the C library would open.
const ZONEINFO: &str = "/usr/share/zoneinfo/";

/// Whether a text can be a variable's name: letters, digits and `_`, no digit in front.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    name.bytes().all(legal) && !name.is_empty() && !name.as_bytes()[0].is_ascii_digit()
}

/// Whether a variable is never taken from outside, by its name or by its value.
#[must_use]
pub fn is_never_taken(name: &str, value: &str) -> bool {
    is_listed(NEVER, name)
        || is_always_removed(name)
        || name.starts_with(OWN_PREFIX)
        // A shell would read such a value as a function (CVE-2014-6271).
        || value.starts_with("() ")
        || (name == "TZ" && !is_zone(value))
}

/// Whether a variable never reaches an app, not even one that runs with the client's whole environment.
#[must_use]
pub fn is_always_removed(name: &str) -> bool {
    is_listed(ALWAYS_REMOVED, name)
}

fn is_listed(list: &[&str], name: &str) -> bool {
    list.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *pattern,
    })
}

/// A zone name or rule as in tzset(3): no way out of the zone directory, no other file.
fn is_zone(value: &str) -> bool {
    let text = value.strip_prefix(':').unwrap_or(value);
    let relative = text.strip_prefix(ZONEINFO).unwrap_or(text);
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"/_+-,.:<>".contains(&b);
    !relative.starts_with('/')
        && !relative.split('/').any(|part| part == "..")
        && relative.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_code_or_misleads_is_never_taken() {
        for name in [
            "LD_PRELOAD",
            "BASH_ENV",
            "BASH_FUNC_x%%",
            "PERL5LIB",
            "PERLLIB",
            "PYTHONPATH",
            "PATH",
            "HOME",
            "DP_NODE",
            "DPIPES_CONFIG",
            "LISTEN_FDS",
            "GIT_SSH_COMMAND",
            "KRB5_CONFIG_X",
            "IFS",
        ] {
            assert!(is_never_taken(name, "x"), "{name}");
        }
        for name in [
            "LANG",
            "LC_ALL",
            "MY_PATH",
            "PATHS",
            "LDFLAGS",
            "DPI",
            "ENVIRONMENT",
            "FOO",
        ] {
            assert!(!is_never_taken(name, "x"), "{name}");
        }
        assert!(is_never_taken("FOO", "() { :; }; echo"));
    }

    #[test]
    fn time_zones_are_names_and_no_files() {
        for good in [
            "UTC",
            "Europe/Berlin",
            ":Europe/Berlin",
            "/usr/share/zoneinfo/UTC",
            "CET-1CEST",
            "",
        ] {
            assert!(!is_never_taken("TZ", good), "{good}");
        }
        for bad in [
            "/etc/passwd",
            ":/etc/passwd",
            "../../etc/passwd",
            "/usr/share/zoneinfo/../../../etc/x",
            "a b",
        ] {
            assert!(is_never_taken("TZ", bad), "{bad}");
        }
    }

    #[test]
    fn names_are_what_shells_can_say() {
        assert!(["A", "_", "a_1"].into_iter().all(is_name));
        assert!(!["", "1a", "a-b", "a=b", "ä"].into_iter().any(is_name));
    }
}

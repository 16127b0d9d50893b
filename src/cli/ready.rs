//! The one line with which a daemon tells its parent, or a script, whether it runs.

use serde::{Deserialize, Serialize};

/// The line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// `READY address address ...`: the addresses are open.
    Listening {
        /// Where, as `host:port` and `unix:PATH`.
        addresses: Vec<String>,
    },
    /// `FAILED {"status":69,"message":"..."}`: it does not run.
    Failed(Failed),
}

/// Why a daemon does not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failed {
    /// The exit status for it.
    pub status: u8,
    /// What went wrong, as shown to a user; it may have several lines.
    pub message: String,
}

// === impl Ready ===

impl Ready {
    /// The line with its end.
    pub(crate) fn to_line(&self) -> String {
        match self {
            Self::Listening { addresses } => format!("READY {}\n", addresses.join(" ")),
            Self::Failed(failed) => {
                format!(
                    "FAILED {}\n",
                    serde_json::to_string(failed).expect("a number and a text are JSON")
                )
            }
        }
    }

    /// Reads the line; `None` when it is something else, or not whole.
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let line = line.strip_suffix('\n')?;
        if let Some(json) = line.strip_prefix("FAILED ") {
            return serde_json::from_str(json).ok().map(Self::Failed);
        }
        let addresses = line
            .strip_prefix("READY")?
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect();
        Some(Self::Listening { addresses })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_survives_the_pipe_whatever_the_message_holds() {
        let failed = Failed {
            status: 69,
            message: "two\nlines \"quoted\"".to_owned(),
        };
        for ready in [
            Ready::Listening {
                addresses: vec!["127.0.0.1:3747".to_owned(), "unix:/run/x.sock".to_owned()],
            },
            Ready::Listening { addresses: vec![] },
            Ready::Failed(failed),
        ] {
            let line = ready.to_line();
            assert_eq!(line.matches('\n').count(), 1);
            assert_eq!(Ready::from_line(&line), Some(ready));
            assert_eq!(
                Ready::from_line(line.trim_end()),
                None,
                "half a line is none"
            );
        }
    }
}

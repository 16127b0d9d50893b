//! Variables of the environment that a node accepts.

use super::{pattern::matches, rules::AppRule, rules::Rules};

/// Whether the owner takes a variable of this name from a client, for an app with or without rules of its own.
pub(super) fn is_accepted(name: &str, rules: &Rules, app: Option<&AppRule>) -> bool {
    let own = app.into_iter().flat_map(|app| &app.env_accept);
    own.chain(&rules.env_accept)
        .any(|pattern| matches(pattern, name.as_bytes()))
}

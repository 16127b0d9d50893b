//! Merge keys: `<<: *defaults` brings the members of other mappings into one. YAML 1.2 has none, but they are in use everywhere.

use std::collections::BTreeSet;

use super::{
    super::Problem,
    json_text::{key, parts},
};

/// The key.
pub(super) const KEY: &str = "<<";

/// Appends the members that a mapping gets from others, unless it has them itself; of several others the first one wins.
///
/// `source` is what stands at the key, as JSON; `has` says whether a member, by the JSON text of its key, is there anyway.
///
/// # Errors
///
/// What stands there is neither a mapping nor a list of mappings.
pub(super) fn merge(
    source: &[u8],
    has: impl Fn(&[u8]) -> bool,
    is_empty: bool,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let mut is_first = is_empty;
    let mut seen = BTreeSet::new();
    let mut add = |mapping| {
        for member in parts(mapping) {
            let key = key(member);
            if !has(key) && seen.insert(key) {
                if !std::mem::take(&mut is_first) {
                    out.push(b',');
                }
                out.extend_from_slice(member);
            }
        }
    };
    match source.first() {
        Some(b'{') => add(source),
        Some(b'[') if parts(source).all(|part| part.starts_with(b"{")) => {
            parts(source).for_each(add);
        }
        _ => {
            let detail = "a merge key takes a mapping or a list of mappings".to_owned();
            return Err(Problem::NotYaml { detail });
        }
    }
    Ok(())
}

/// How many similar names are listed: more are no help.
const MAX_NEAR: usize = 3;

/// The names that are few edits away from one, the most similar first; three at most.
pub fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    // One edit in three characters: `srot` finds `sort`, and `cat` does not find `awk`.
    let limit = (name.chars().count() / 3).max(1);
    let mut names: Vec<_> = known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(MAX_NEAR);
    names.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_edit_in_three_characters_is_near() {
        let known = ["stat", "sort", "shred", "sort", "short", "awk"];
        assert_eq!(near("srot", known), ["sort"]);
        assert_eq!(near("sotr", known), ["sort"]);
        assert_eq!(near("sor", known), ["sort"]);
        assert_eq!(near("cat", known), Vec::<&str>::new());
        assert_eq!(near("aw", known), ["awk"]);
        assert_eq!(near("a1", ["a2", "a5", "a4", "a3"]), ["a2", "a3", "a4"]);
    }
}

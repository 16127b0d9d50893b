//! `words.txt`: one word on each line, as often as words are in a text.

use super::random::{Chances, Random};

/// Enough that `sort` and `uniq` have something to do and that two nodes of a playground are done in a second.
const LINES: usize = 200_000;

/// The frequent ones, the most frequent first.
const COMMON: [&str; 24] = [
    "the", "of", "and", "to", "in", "is", "that", "it", "was", "for", "on", "with", "as", "at",
    "by", "from", "this", "not", "but", "are", "what", "all", "when", "there",
];

/// The next ones. Two of them make each of the rare ones, such as `riverstone`.
const NOUNS: [&str; 72] = [
    "water", "fire", "wind", "snow", "rain", "sun", "moon", "star", "sea", "river", "lake", "hill",
    "wood", "tree", "leaf", "root", "seed", "grain", "bread", "salt", "honey", "apple", "plum",
    "pear", "fig", "stone", "sand", "iron", "copper", "silver", "gold", "glass", "paper", "ink",
    "book", "word", "song", "bell", "drum", "bridge", "gate", "road", "wheel", "boat", "sail",
    "mast", "rope", "knot", "net", "lamp", "candle", "window", "door", "table", "chair", "basket",
    "bottle", "barrel", "bucket", "kettle", "spoon", "hammer", "saw", "nail", "pipe", "valve",
    "pump", "bird", "fox", "hare", "owl", "otter",
];

pub(super) fn text(random: &mut Random) -> String {
    let words = vocabulary();
    let chances = Chances::zipf(words.len());
    let mut text = String::new();
    for _ in 0..LINES {
        text.push_str(&words[chances.draw(random)]);
        text.push('\n');
    }
    text
}

/// All words, the most frequent first. The rare ones go round the nouns, so that neighbours in rank are none in the alphabet.
fn vocabulary() -> Vec<String> {
    let nouns = NOUNS.len();
    let pairs = (0..nouns * (nouns - 1)).map(|index| {
        let first = index % nouns;
        let second = (first + 1 + index / nouns) % nouns;
        format!("{}{}", NOUNS[first], NOUNS[second])
    });
    let plain = COMMON.iter().chain(&NOUNS).map(|&word| word.to_owned());
    plain.chain(pairs).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_word_is_there_twice() {
        let words = vocabulary();
        assert_eq!(words.len(), 24 + 72 + 72 * 71);
        assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), words.len());
    }
}

//! `events.ndjson`: one JSON object on each line, about 300 bytes long.
//!
//! Written by hand and not by a serialiser: the point is what serialisers do not keep, such as the spelling of a number or of a letter.

use super::{
    random::{Chances, Random},
    web::{Clock, Visitors},
};

/// As many as make a file about as large as the others.
const LINES: usize = 5_000;

/// The longest pause between two events.
const PAUSE_MS: u64 = 30_000;

/// The levels, each with how many of a hundred events have it.
const LEVELS: [(u64, &str); 4] = [(20, "debug"), (68, "info"), (9, "warn"), (3, "error")];

/// Who speaks, the most talkative first.
const SERVICES: [&str; 5] = ["web", "search", "basket", "stock", "orders"];

/// What is said, as it stands between the quotes.
const MESSAGES: [&str; 6] = [
    "request done",
    "cache missed",
    "na\\u00efve caf\\u00e9: one spelling",
    "naïve café: another",
    "a \\\"quoted\\\" word, a tab\\t and a \\\\",
    "queue is long, \\u2265 100",
];

/// Numbers as JSON allows them to be written; some are equal and spelled differently, some do not survive a `double`.
const NUMBERS: [&str; 14] = [
    "0",
    "-0",
    "1",
    "1.0",
    "1.50",
    "-17",
    "0.1",
    "1e3",
    "1E+3",
    "1000",
    "2.5e-3",
    "9007199254740993",
    "12345678901234567890",
    "0.30000000000000004",
];

pub(super) fn text(random: &mut Random) -> String {
    let visitors = Visitors::new();
    let levels = Chances::weighing(LEVELS.map(|(weight, _)| weight));
    let services = Chances::zipf(SERVICES.len());
    let mut clock = Clock::default();
    let mut text = String::new();
    for id in 1..=LINES {
        clock.advance(PAUSE_MS, random);
        let visit = visitors.next(random);
        let (_, level) = LEVELS[levels.draw(random)];
        let zone = random.one_of(&['a', 'b', 'c']);
        text.push_str(&format!(
            "{{\"id\":{id},\"time\":\"{}\",\"level\":\"{level}\",\"service\":\"{}\",\"node\":{{\"name\":\"node-{zone}\",\"zone\":\"{zone}\"}},\
             \"message\":\"{}\",\"trace\":\"{:016x}\",\"request\":{{\"method\":\"{}\",\"path\":\"{}\",\"status\":{},\"bytes\":{},\
             \"client\":\"{}\"}},\"value\":{},\"timing\":[{},{}.{:02}],\"cached\":{},\"user\":{}}}\n",
            clock.rfc3339(),
            SERVICES[services.draw(random)],
            random.one_of(&MESSAGES),
            random.next(),
            visit.method,
            visit.path,
            visit.status,
            visit.bytes,
            visit.address,
            random.one_of(&NUMBERS),
            random.below(40),
            random.below(900),
            random.below(100),
            visit.status == 304,
            random.one_of(&["null", "null", "\"ann\"", "\"bob\""]),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_an_object_of_about_300_bytes() {
        let text = text(&mut Random::new(1));
        assert_eq!(text.lines().count(), LINES);
        assert!(
            (280..=360).contains(&(text.len() / LINES)),
            "{}",
            text.len()
        );
        for line in text.lines() {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(object["request"]["status"].is_u64(), "{line}");
        }
    }
}

//! `access.log`: a web server's log in the combined format.

use super::{
    random::Random,
    web::{Clock, Visitors},
};

/// A day of a small site.
const LINES: usize = 20_000;

/// The longest pause between two requests, so that the lines fill most of a day.
const PAUSE_MS: u64 = 8_000;

/// Where visitors come from, if they say so.
const REFERERS: [&str; 4] = [
    "-",
    "-",
    "https://www.example.org/",
    "https://search.example.com/?q=lamp",
];

pub(super) fn text(random: &mut Random) -> String {
    let visitors = Visitors::new();
    let mut clock = Clock::default();
    let mut text = String::new();
    for _ in 0..LINES {
        clock.advance(PAUSE_MS, random);
        let visit = visitors.next(random);
        let user = match visit.path {
            "/admin" if visit.status == 200 => random.one_of(&["ann", "bob", "eve"]),
            _ => "-",
        };
        text.push_str(&format!(
            "{} - {user} [{}] \"{} {} HTTP/1.1\" {} {} \"{}\" \"{}\"\n",
            visit.address,
            clock.of_a_log(),
            visit.method,
            visit.path,
            visit.status,
            visit.bytes,
            random.one_of(&REFERERS),
            visit.agent,
        ));
    }
    text
}

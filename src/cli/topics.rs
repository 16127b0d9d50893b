//! `dpipes help TOPIC`: short texts about what no single option explains.

/// The topics by name.
pub(crate) const TOPICS: [(&str, &str); 5] = [
    ("start", include_str!("topics/start.txt")),
    ("exit-codes", include_str!("topics/exit-codes.txt")),
    ("config", include_str!("topics/config.txt")),
    ("grammar", include_str!("topics/grammar.txt")),
    ("access", include_str!("topics/access.txt")),
];

/// The text of a topic.
pub(crate) fn text(topic: &str) -> Option<&'static str> {
    TOPICS
        .iter()
        .find(|(name, _)| *name == topic)
        .map(|(_, text)| *text)
}

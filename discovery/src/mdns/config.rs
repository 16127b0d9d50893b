//! Where multicast DNS is spoken.

/// Multicast DNS: plain data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The interfaces by name; all of them if empty.
    pub interfaces: Vec<String>,
    /// Whether apps are announced for foreign tools too, as subtypes: at most 16 of them, those whose names DNS-SD allows.
    pub subtypes: bool,
}

//! Versions as programs print them, and requirements such as `>=8.30`.

use std::{cmp::Ordering, fmt, str::FromStr};

use thiserror::Error;

/// A version, leniently read: `9.1`, `8.32-4+b1`, `v3.0.0-rc.1`, `2024b`.
///
/// Numbers are compared as numbers, of any size. What follows the numbers does not count, unless it begins with `-` and a letter: then it is a
/// pre-release, as far as letters, digits, `.` and `-` go, and comes before the version itself, as semver has it. Missing numbers are zeros.
#[derive(Clone, Debug, Eq)]
pub struct Version {
    numbers: Vec<u64>,
    pre: Option<String>,
}

/// Versions that will do: comparisons with `>=`, `>`, `<=`, `<`, `=`, `^` or `~`, separated by commas, all of which must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    all: Vec<Comparison>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Comparison {
    operator: Operator,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    AtLeast,
    Above,
    AtMost,
    Below,
    /// The numbers given are equal; further ones are free.
    Is,
    /// At least this, the first number that is not 0 unchanged.
    Caret,
    /// At least this, the first two numbers unchanged.
    Tilde,
}

/// Why a text is no requirement.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no version requirement: `>=8.30`, `<10`, `=9.1`, `^1.2`, `~1.2` and lists such as `>=8.30,<10` are"
)]
pub struct UnknownRequirement(pub String);

// === impl Version ===

impl Version {
    /// Reads a version at the start of a text; `None` if no number is there.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        rest = rest.strip_prefix(['v', 'V']).unwrap_or(rest);
        let mut numbers = Vec::new();
        loop {
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            if end == 0 {
                break;
            }
            // A number beyond 64 bits is larger than any that anybody compares it with.
            numbers.push(rest[..end].parse().unwrap_or(u64::MAX));
            rest = &rest[end..];
            match rest.strip_prefix('.') {
                Some(more) if more.starts_with(|c: char| c.is_ascii_digit()) => rest = more,
                _ => break,
            }
        }
        let letters = rest
            .strip_prefix('-')
            .filter(|pre| pre.starts_with(|c: char| c.is_ascii_alphabetic()));
        let ends = |c: char| !(c.is_ascii_alphanumeric() || ".-".contains(c));
        let pre = letters.map(|pre| pre.split(ends).next().unwrap_or(pre).to_owned());
        (!numbers.is_empty()).then_some(Self { numbers, pre })
    }

    /// The first version in a text, such as the output of `sort --version`.
    #[must_use]
    pub fn find(text: &str) -> Option<String> {
        let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | ';' | '"');
        let bare = |word: &str| {
            // `jq-1.6` and `v1.4` begin with more than the number.
            let named = word.starts_with(|c: char| c.is_ascii_alphabetic());
            let number = match word.split_once('-') {
                Some((_, number)) if named && !word.starts_with('v') => number,
                _ => word,
            };
            let number = number.strip_prefix('v').unwrap_or(number);
            let digits = number.bytes().take_while(u8::is_ascii_digit).count();
            let rest = number.as_bytes().get(digits..).unwrap_or_default();
            // A year at the end of a sentence is none.
            let looks = digits > 0 && matches!(rest, [b'.', b'0'..=b'9', ..]);
            looks.then(|| number.trim_end_matches(['.', ':']).to_owned())
        };
        text.split(ends).find_map(bare)
    }

    fn number(&self, index: usize) -> u64 {
        self.numbers.get(index).copied().unwrap_or(0)
    }

    /// Whether the first `count` numbers are those of another version.
    fn shares(&self, other: &Self, count: usize) -> bool {
        (0..count).all(|index| self.number(index) == other.number(index))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let count = self.numbers.len().max(other.numbers.len());
        let numbers = (0..count).map(|i| self.number(i).cmp(&other.number(i)));
        let first = numbers.into_iter().find(|order| order.is_ne());
        first.unwrap_or_else(|| match (&self.pre, &other.pre) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => pre_release(a, b),
        })
    }
}

/// Part by part, numbers as numbers, as semver has it.
fn pre_release(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

// === impl Requirement ===

impl Requirement {
    /// Whether a version will do.
    #[must_use]
    pub fn accepts(&self, version: &Version) -> bool {
        self.all
            .iter()
            .all(|comparison| comparison.accepts(version))
    }
}

impl Comparison {
    fn accepts(&self, version: &Version) -> bool {
        let wanted = &self.version;
        match self.operator {
            Operator::AtLeast => version >= wanted,
            Operator::Above => version > wanted,
            Operator::AtMost => version <= wanted,
            Operator::Below => version < wanted,
            Operator::Is => {
                version.shares(wanted, wanted.numbers.len())
                    && (wanted.pre.is_none() || version == wanted)
            }
            Operator::Caret => {
                let lead = wanted.numbers.iter().position(|n| *n != 0);
                version >= wanted
                    && version.shares(wanted, lead.map_or(wanted.numbers.len(), |i| i + 1))
            }
            Operator::Tilde => {
                version >= wanted && version.shares(wanted, wanted.numbers.len().min(2))
            }
        }
    }
}

impl FromStr for Requirement {
    type Err = UnknownRequirement;

    fn from_str(text: &str) -> Result<Self, UnknownRequirement> {
        let one = |part: &str| {
            let part = part.trim();
            let digits = part.find(|c: char| c.is_ascii_digit() || c == 'v')?;
            let (sign, version) = part.split_at(digits);
            let operator = match sign.trim() {
                ">=" => Operator::AtLeast,
                ">" => Operator::Above,
                "<=" => Operator::AtMost,
                "<" => Operator::Below,
                "=" | "==" | "" => Operator::Is,
                "^" => Operator::Caret,
                "~" => Operator::Tilde,
                _ => return None,
            };
            if version.contains(char::is_whitespace) {
                return None;
            }
            Some(Comparison {
                operator,
                version: Version::parse(version)?,
            })
        };
        let all: Option<Vec<_>> = text.split(',').map(one).collect();
        all.map(|all| Self { all })
            .ok_or_else(|| UnknownRequirement(text.to_owned()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, number) in self.numbers.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            write!(f, "{dot}{number}")?;
        }
        self.pre.iter().try_for_each(|pre| write!(f, "-{pre}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_programs_print_them_are_compared() {
        let ascending = [
            "0",
            "0.9",
            "1.0.0-alpha",
            "1.0.0-rc.2",
            "1.0.0-rc.10",
            "1",
            "8.32-4+b1",
            "9.1",
            "9.10",
            "2024b",
        ];
        for pair in ascending.windows(2) {
            let [a, b] = [0, 1].map(|i| Version::parse(pair[i]).unwrap());
            assert!(a < b, "{a} {b}");
        }
        for (a, b) in [("8.32-4+b1", "8.32"), ("v1.0", "1"), ("1.2+build", "1.2.0")] {
            assert_eq!(Version::parse(a), Version::parse(b));
        }
        assert_eq!(Version::parse("unknown"), None);
    }

    #[test]
    fn a_pre_release_ends_where_a_requirement_could_not_repeat_it() {
        for (text, spelling) in [
            ("8.32-rc.1,^0", "8.32-rc.1"),
            ("1-a\u{a0} b", "1-a"),
            ("1-beta~deb", "1-beta"),
            ("1-rc.1+build", "1-rc.1"),
        ] {
            let version = Version::parse(text).unwrap();
            assert_eq!(version.to_string(), spelling);
            let same: Requirement = format!("={spelling}").parse().unwrap();
            assert!(same.accepts(&version), "{text}");
        }
    }

    #[test]
    fn requirements_are_met_or_not() {
        for (requirement, good, bad) in [
            (
                ">=8.30",
                &["8.30", "8.32-4+b1", "9"][..],
                &["8.3", "8.29.9", "8.30-rc.1"][..],
            ),
            (">8.30", &["8.30.1"], &["8.30", "8.30.0"]),
            ("<10", &["9.99"], &["10", "10.0.1"]),
            ("<=9.1", &["9.1"], &["9.1.1"]),
            ("=9.1", &["9.1", "9.1.7"], &["9.10", "9"]),
            ("9.1", &["9.1.0"], &["9.2"]),
            ("^1.2", &["1.2", "1.9"], &["2.0", "1.1"]),
            ("^0.2.1", &["0.2.3"], &["0.3", "0.2"]),
            ("~1.2.3", &["1.2.9"], &["1.3", "1.2.2"]),
            (">=8.30, <10", &["9"], &["10", "8"]),
        ] {
            let parsed: Requirement = requirement.parse().unwrap();
            for version in good {
                assert!(
                    parsed.accepts(&Version::parse(version).unwrap()),
                    "{requirement} {version}"
                );
            }
            for version in bad {
                assert!(
                    !parsed.accepts(&Version::parse(version).unwrap()),
                    "{requirement} {version}"
                );
            }
        }
        for bad in ["", ">=", "sort", ">=x", "=>1", ">=1,", "1 2"] {
            assert!(bad.parse::<Requirement>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_version_is_found_in_what_programs_print() {
        for (text, version) in [
            (
                "sort (GNU coreutils) 9.1\nCopyright (C) 2022 Free Software",
                Some("9.1"),
            ),
            ("jq-1.6", Some("1.6")),
            ("Python 3.11.2", Some("3.11.2")),
            ("tool version v1.4.0-rc.1, built today", Some("1.4.0-rc.1")),
            ("nothing here", None),
            ("Python 3.11.7", Some("3.11.7")),
            ("v20.20.2", Some("20.20.2")),
            ("mawk 1.3.4 20200120", Some("1.3.4")),
            ("written in 2022. It is version 2", None),
        ] {
            assert_eq!(Version::find(text).as_deref(), version);
        }
    }
}

//! What a plain scalar means, by the core schema (YAML 1.2.2, section 10.3.2).

use std::borrow::Cow;

/// What a plain scalar is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    /// A number as JSON spells it: as it is written where that will do.
    Number(Cow<'a, str>),
    /// An infinity, or what is no number: JSON has none.
    NoJsonNumber,
    /// A whole number in base 8 or 16 that is greater than is computed here, 2^128 - 1.
    TooGreat,
    /// Anything else.
    Text,
}

impl<'a> Scalar<'a> {
    pub(super) fn of(plain: &'a str) -> Self {
        match plain {
            "" | "~" | "null" | "Null" | "NULL" => Self::Null,
            "true" | "True" | "TRUE" => Self::Bool(true),
            "false" | "False" | "FALSE" => Self::Bool(false),
            ".nan" | ".NaN" | ".NAN" => Self::NoJsonNumber,
            _ => match plain.as_bytes()[0] {
                b'0'..=b'9' | b'+' | b'-' | b'.' => Self::number(plain),
                _ => Self::Text,
            },
        }
    }

    fn number(plain: &'a str) -> Self {
        let based = |digits: &str, base: u32| {
            if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(base)) {
                return Self::Text;
            }
            u128::from_str_radix(digits, base).map_or(Self::TooGreat, |number| {
                Self::Number(Cow::Owned(number.to_string()))
            })
        };
        if let Some(digits) = plain.strip_prefix("0x") {
            return based(digits, 16);
        }
        if let Some(digits) = plain.strip_prefix("0o") {
            return based(digits, 8);
        }
        let (is_negative, unsigned) = match plain.as_bytes()[0] {
            b'-' => (true, &plain[1..]),
            b'+' => (false, &plain[1..]),
            _ => (false, plain),
        };
        if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
            return Self::NoJsonNumber;
        }
        let Some(parts) = Parts::of(unsigned) else {
            return Self::Text;
        };
        if parts.are_json() && plain.as_bytes()[0] != b'+' {
            return Self::Number(Cow::Borrowed(plain));
        }
        Self::Number(Cow::Owned(parts.spelt(is_negative)))
    }
}

/// A number without its sign.
struct Parts<'a> {
    whole: &'a str,
    /// Behind the point, if there is one.
    fraction: Option<&'a str>,
    /// With its letter.
    exponent: &'a str,
}

impl<'a> Parts<'a> {
    /// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
    fn of(unsigned: &'a str) -> Option<Self> {
        let (mantissa, exponent) =
            unsigned.split_at(unsigned.find(['e', 'E']).unwrap_or(unsigned.len()));
        if !exponent.is_empty() {
            let digits = &exponent[1..];
            let digits = digits.strip_prefix(['-', '+']).unwrap_or(digits);
            if digits.is_empty() || !are_digits(digits) {
                return None;
            }
        }
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let has_digits = !whole.is_empty() || fraction.is_some_and(|digits| !digits.is_empty());
        (has_digits && are_digits(whole) && fraction.is_none_or(are_digits)).then_some(Self {
            whole,
            fraction,
            exponent,
        })
    }

    fn are_json(&self) -> bool {
        let has_leading_zero = self.whole.len() > 1 && self.whole.starts_with('0');
        !self.whole.is_empty() && !has_leading_zero && self.fraction != Some("")
    }

    fn spelt(&self, is_negative: bool) -> String {
        let or_zero = |digits: &'a str| if digits.is_empty() { "0" } else { digits };
        let sign = if is_negative { "-" } else { "" };
        let whole = or_zero(self.whole.trim_start_matches('0'));
        let exponent = self.exponent;
        match self.fraction {
            Some(fraction) => format!("{sign}{whole}.{}{exponent}", or_zero(fraction)),
            None => format!("{sign}{whole}{exponent}"),
        }
    }
}

fn are_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_spelling_where_json_has_it() {
        for same in [
            "0",
            "-0",
            "0.10",
            "12",
            "1e400",
            "1E5",
            "-1.50e+05",
            "9223372036854775809",
            "123456789012345678901234567890",
        ] {
            let Scalar::Number(Cow::Borrowed(spelling)) = Scalar::of(same) else {
                panic!("{same}");
            };
            assert_eq!(spelling, same);
        }
    }

    #[test]
    fn other_numbers_are_spelt_anew() {
        for (written, spelt) in [
            ("+1", "1"),
            ("012", "12"),
            ("-007", "-7"),
            ("00", "0"),
            (".5", "0.5"),
            ("-.5e3", "-0.5e3"),
            ("5.", "5.0"),
            ("+5.e1", "5.0e1"),
            ("0x1F", "31"),
            ("0o17", "15"),
            (
                "0xffffffffffffffffffffffffffffffff",
                "340282366920938463463374607431768211455",
            ),
        ] {
            assert_eq!(
                Scalar::of(written),
                Scalar::Number(spelt.into()),
                "{written}"
            );
        }
        let too_great = "0x100000000000000000000000000000000";
        assert_eq!(Scalar::of(too_great), Scalar::TooGreat);
    }

    #[test]
    fn what_only_looks_like_something_is_text() {
        for text in [
            "no",
            "on",
            "Yes",
            "y",
            "nUll",
            "tRue",
            ".",
            "+",
            "-",
            "..",
            "1.2.3",
            "1e",
            "e1",
            "0x",
            "0xg",
            "0o8",
            "-0x1",
            "+0o1",
            "1_000",
            "1:30",
            "2001-12-14",
            "--1",
            "+-1",
            ".e1",
            ".iNf",
            "0b1",
            "<<",
            "=",
        ] {
            assert_eq!(Scalar::of(text), Scalar::Text, "{text}");
        }
        for none in [".inf", "-.Inf", "+.INF", ".nan", ".NaN"] {
            assert_eq!(Scalar::of(none), Scalar::NoJsonNumber);
        }
    }
}

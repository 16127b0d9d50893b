//! Numbers as people read them.

use std::time::Duration;

/// A count with separators: `1,288,490,188`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes with a unit: `4.0 KiB`.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1_024 {
        return format!("{number} B");
    }
    // Whole numbers all the way: tenths of a unit, rounded half up.
    let mut unit = 0;
    let mut divisor: u128 = 1_024;
    while u128::from(number) * 10 / divisor >= 10_235 && unit + 1 < UNITS.len() {
        divisor *= 1_024;
        unit += 1;
    }
    let tenths = (u128::from(number) * 10 + divisor / 2) / divisor;
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A length of time in seconds: `0.08s`, `15.0s`.
pub(crate) fn seconds(ms: u64) -> String {
    let duration = Duration::from_millis(ms);
    if ms < 10_000 {
        format!("{:.2}s", duration.as_secs_f64())
    } else {
        format!("{:.1}s", duration.as_secs_f64())
    }
}

/// An age for a table: `120ms`, `2s`, `3m`, `5h`, `2d`.
pub(crate) fn age(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..120_000 => format!("{}s", ms / 1_000),
        120_000..7_200_000 => format!("{}m", ms / 60_000),
        7_200_000..172_800_000 => format!("{}h", ms / 3_600_000),
        _ => format!("{}d", ms / 86_400_000),
    }
}

/// `1 node`, `3 nodes`.
pub(crate) fn plural(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {what}{s}", count(number))
}

/// A signal by name, as `SIGPIPE`; its number when it has none.
pub(crate) fn signal(number: i32) -> String {
    nix::sys::signal::Signal::try_from(number).map_or_else(
        |_| format!("signal {number}"),
        |signal| signal.as_str().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_288_490_188), "1,288,490,188");
        assert_eq!(bytes(1_023), "1023 B");
        assert_eq!(bytes(4_096), "4.0 KiB");
        assert_eq!(bytes(1 << 20), "1.0 MiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
        assert_eq!(seconds(80), "0.08s");
        assert_eq!(seconds(15_000), "15.0s");
        assert_eq!(age(2_400), "2s");
        assert_eq!(plural(1, "node"), "1 node");
        assert_eq!(signal(13), "SIGPIPE");
        assert_eq!(signal(99), "signal 99");
    }

    proptest! {
        #[test]
        fn no_unit_is_left_with_a_thousand(number: u64) {
            let text = bytes(number);
            let value: f64 = text.split(' ').next().unwrap().parse().unwrap();
            prop_assert!(value < 1_024.0, "{}", text);
        }
    }
}

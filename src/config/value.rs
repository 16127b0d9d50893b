//! Values of the configuration that are written as one word: durations, sizes, addresses, prefixes, modes.

use std::{
    collections::BTreeMap,
    fmt,
    marker::PhantomData,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A value with a text form. The file, the environment, `-o` and the flags all read it in the same way.
pub trait Text: Sized {
    /// What a user should have written, for errors.
    const EXPECTED: &'static str;

    /// Reads the text.
    ///
    /// # Errors
    ///
    /// Returns a sentence fragment that says what is wrong with it.
    fn from_text(text: &str) -> Result<Self, String>;

    /// Writes it so that [`Text::from_text`] reads the same.
    fn to_text(&self) -> String;
}

/// A length of time: `10s`, `5m`, `250ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

/// A number of bytes: `4096`, `64K`, `16M`, `1G`; powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// A place to listen at: `host:port` or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `host:port`.
    Tcp(String),
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// An address prefix: `10.0.0.0/8`; an address alone is a prefix of full length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpAddr, pub u8);

/// A file mode mask in octal: `077` or `0o077`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask(pub u32);

/// A map that refuses a repeated key, which a plain map would silently overwrite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueMap<V>(pub BTreeMap<String, V>);

// === impl Period ===

impl Text for Period {
    const EXPECTED: &'static str = "a duration such as `10s`, `5m` or `250ms`";

    fn from_text(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|_| format!("`{text}` is no duration: write it as `10s`, `5m` or `250ms`"))
    }

    fn to_text(&self) -> String {
        humantime::format_duration(self.0)
            .to_string()
            .replace(' ', "")
    }
}

// === impl Size ===

impl Text for Size {
    const EXPECTED: &'static str = "a size such as `64K` or `16M`";

    fn from_text(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no size: write it as `4096`, `64K`, `16M` or `1G`");
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor: u64 = match text[digits.len()..].to_ascii_uppercase().as_str() {
            "" | "B" => 1,
            "K" | "KIB" => 1 << 10,
            "M" | "MIB" => 1 << 20,
            "G" | "GIB" => 1 << 30,
            "T" | "TIB" => 1 << 40,
            _ => return Err(wrong()),
        };
        let number: u64 = digits.trim().parse().map_err(|_| wrong())?;
        number
            .checked_mul(factor)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is more than any machine has"))
    }

    fn to_text(&self) -> String {
        for (shift, unit) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return format!("{}{unit}", self.0 >> shift);
            }
        }
        self.0.to_string()
    }
}

// === impl Address ===

impl Address {
    /// The same address with a relative socket path taken from this directory.
    #[must_use]
    pub fn rebased(self, directory: &Path) -> Self {
        match self {
            Self::Unix(path) => Self::Unix(directory.join(path)),
            Self::Tcp(address) => Self::Tcp(address),
        }
    }
}

impl Text for Address {
    const EXPECTED: &'static str =
        "an address such as `127.0.0.1:3747` or `unix:/run/dpipes/dpipesd.sock`";

    fn from_text(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err("`unix:` lacks the path of the socket".to_owned());
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let wrong = || format!("`{text}` is no address: write `HOST:PORT` or `unix:PATH`");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || (host.contains(':') && !bracketed) || host.contains('/') {
            return Err(wrong());
        }
        port.parse::<u16>()
            .map_err(|_| format!("`{port}` is no port: 0 to 65535 are"))?;
        Ok(Self::Tcp(text.to_owned()))
    }

    fn to_text(&self) -> String {
        match self {
            Self::Tcp(address) => address.clone(),
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

// === impl Network ===

impl Text for Network {
    const EXPECTED: &'static str = "an address prefix such as `10.0.0.0/8`";

    fn from_text(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no address prefix: write it as `10.0.0.0/8`");
        let (address, length) = text
            .split_once('/')
            .map_or((text, None), |(a, l)| (a, Some(l)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => most,
            Some(length) => length.parse().map_err(|_| wrong())?,
        };
        if length > most {
            return Err(format!("a prefix of `{address}` has {most} bits at most"));
        }
        Ok(Self(address, length))
    }

    fn to_text(&self) -> String {
        format!("{}/{}", self.0, self.1)
    }
}

// === impl Mask ===

impl Text for Mask {
    const EXPECTED: &'static str = "a mode mask in octal such as `077`";

    fn from_text(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        match u32::from_str_radix(digits, 8) {
            Ok(mask) if mask <= 0o777 => Ok(Self(mask)),
            _ => Err(format!(
                "`{text}` is no mode mask: write it in octal as `077`"
            )),
        }
    }

    fn to_text(&self) -> String {
        format!("{:03o}", self.0)
    }
}

// === serde of all of them ===

/// Reads what has a text form.
pub(super) struct TextVisitor<T>(pub(super) PhantomData<T>);

impl<T: Text> de::Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).map_err(E::custom)
    }
}

/// Makes the text form of these types their form in YAML, too.
macro_rules! serde_as_text {
    ($($name:ty),+) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(
                &self,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&$crate::config::value::Text::to_text(self))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::config::value::TextVisitor(
                    std::marker::PhantomData,
                ))
            }
        }
    )+};
}

pub(super) use serde_as_text;

serde_as_text!(Period, Size, Address, Network, Mask);

// === impl UniqueMap ===

impl<V> Default for UniqueMap<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V: Serialize> Serialize for UniqueMap<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for UniqueMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> de::Visitor<'de> for Visitor<V> {
            type Value = UniqueMap<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if entries.contains_key(&key) {
                        return Err(de::Error::custom(format!("duplicate field `{key}`")));
                    }
                    entries.insert(key, map.next_value()?);
                }
                Ok(UniqueMap(entries))
            }
        }

        deserializer.deserialize_map(Visitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(Size::from_text("64K"), Ok(Size(65_536)));
        assert_eq!(Size::from_text("512M"), Ok(Size(512 << 20)));
        assert_eq!(Size::from_text("0"), Ok(Size(0)));
        for bad in ["", "K", "1.5M", "64X", "-1", "99999999T"] {
            assert!(Size::from_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(
            Period::from_text("15s"),
            Ok(Period(Duration::from_secs(15)))
        );
        assert_eq!(
            Period(Duration::from_millis(90_500)).to_text(),
            "1m30s500ms"
        );
        for bad in ["15", "", "s", "-1s"] {
            assert!(Period::from_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_have_a_host_and_a_port_or_a_path() {
        for good in [
            "127.0.0.1:3747",
            "[::1]:0",
            "node-b.example:80",
            "unix:/run/x.sock",
            "unix:x.sock",
        ] {
            assert_eq!(
                Address::from_text(good).map(|a| a.to_text()),
                Ok(good.to_owned())
            );
        }
        for bad in [
            "3747",
            ":3747",
            "host",
            "host:",
            "host:99999",
            "::1:80",
            "unix:",
            "tcp://h:1",
        ] {
            assert!(Address::from_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prefixes_are_no_longer_than_the_address() {
        assert_eq!(
            Network::from_text("10.0.0.0/8"),
            Ok(Network([10, 0, 0, 0].into(), 8))
        );
        assert_eq!(
            Network::from_text("10.1.2.3"),
            Ok(Network([10, 1, 2, 3].into(), 32))
        );
        for bad in ["10.0.0.0/33", "10.0.0/8", "::/129", "x"] {
            assert!(Network::from_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn masks_are_octal() {
        assert_eq!(Mask::from_text("077"), Ok(Mask(0o77)));
        assert_eq!(Mask::from_text("0o022"), Ok(Mask(0o22)));
        assert!(Mask::from_text("99").is_err());
        assert!(Mask::from_text("1777").is_err());
    }

    proptest! {
        #[test]
        fn sizes_survive_text(bytes: u64) {
            prop_assert_eq!(Size::from_text(&Size(bytes).to_text()), Ok(Size(bytes)));
        }

        #[test]
        fn durations_survive_text(ms in 0_u64..10_000_000_000) {
            let period = Period(Duration::from_millis(ms));
            prop_assert_eq!(Period::from_text(&period.to_text()), Ok(period));
        }
    }
}

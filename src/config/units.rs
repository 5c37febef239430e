//! How durations, sizes, addresses and paths are written.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

/// A duration as people write it: a whole number and its unit, `250ms`, `8s`, `10m`, `12h`, `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Time(pub(crate) Duration);

/// A number of bytes as people write it: a whole number and its unit, `64KiB`, `64MiB`, `1GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Size(pub(crate) u64);

/// An IP address and a port, `127.0.0.1:2455`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Address(pub(super) SocketAddr);

/// An address, or `off`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct AddressOrOff(pub(super) Option<SocketAddr>);

/// Unit and its length in milliseconds, longest first.
const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Unit and its length in bytes, longest first.
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        quantity(&text, &TIME_UNITS).map(|ms| Self(Duration::from_millis(ms))).ok_or_else(|| {
            format!("{text:?} is not a duration; expected a whole number with ms, s, m, h or d, such as 8s")
        })
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_quantity(f, u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &TIME_UNITS)
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        quantity(&text, &SIZE_UNITS).map(Self).ok_or_else(|| {
            format!("{text:?} is not a size; expected a whole number with KiB, MiB or GiB, such as 64MiB")
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_quantity(f, self.0, &SIZE_UNITS)
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            format!("{text:?} is not an address; expected IP and port, such as 127.0.0.1:2455 or [::1]:2455")
        })
    }
}

impl TryFrom<String> for AddressOrOff {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse().map(|address| Self(Some(address))).map_err(|_| {
            format!("{text:?} is not an address; expected IP and port, such as 127.0.0.1:2456, or off")
        })
    }
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = text.get(digits.len()..)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse::<u64>().ok())??
        .checked_mul(*factor)
}

fn write_quantity(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let (unit, factor) =
        units.iter().find(|(_, factor)| value > 0 && value.is_multiple_of(*factor)).unwrap_or(&("", 1));
    write!(f, "{}{unit}", value / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_read_again() {
        for text in ["250ms", "8s", "90s", "10m", "12h", "30d"] {
            assert_eq!(Time::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        for text in ["1000B", "64KiB", "64MiB", "3GiB"] {
            assert_eq!(Size::try_from(text.to_owned()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_number_without_its_unit_is_refused() {
        for text in ["8", "", "s", "-1s", "+1s", "1.5h", "1 h", "8S", "1h30m", "99999999999999999999d"] {
            assert!(Time::try_from(text.to_owned()).is_err(), "{text}");
        }
        for text in ["64", "64MB", "64mib", "-1MiB", "18446744073709551615GiB"] {
            assert!(Size::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_is_an_ip_and_a_port() {
        for text in ["127.0.0.1:2455", "[::1]:2455", "0.0.0.0:0"] {
            assert!(Address::try_from(text.to_owned()).is_ok(), "{text}");
        }
        for text in ["2455", "localhost:2455", ":2455", "127.0.0.1", "off"] {
            assert!(Address::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}

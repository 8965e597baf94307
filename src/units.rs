//! Durations, sizes and rates as people write them: `250ms`, `30s`, `15m`, `24h`, `90d`; `64KiB`, `16MiB`; `600/m`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A length of time. Written as a whole number and a unit: `ms`, `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(Duration);

impl TimeSpan {
    /// A span of whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// A span of milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// A span of the standard library's type.
    pub const fn of(duration: Duration) -> Self {
        Self(duration)
    }

    /// The span as the standard library's type.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for TimeSpan {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "a duration is expected here, such as `250ms`, `30s`, `15m`, `24h` or `90d`";
        let (number, unit) = split_unit(text).ok_or(EXPECTED)?;
        let millis_each = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(EXPECTED),
        };
        number.checked_mul(millis_each).map(Self::millis).ok_or("this duration is too long")
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        for (each, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
            if millis >= each && millis.is_multiple_of(each) {
                return write!(formatter, "{}{unit}", millis / each);
            }
        }
        write!(formatter, "{millis}ms")
    }
}

/// A duration in hours, minutes and seconds, such as `24h 30s`: [`TimeSpan`] writes it in one unit, as files have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanDuration(pub Duration);

impl fmt::Display for HumanDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        // `24h` and `36h` are read more easily than `1d` and `1d 12h`.
        let days = if seconds < 2 * 86_400 { 0 } else { seconds / 86_400 };
        let rest = seconds - days * 86_400;
        let parts = [(days, "d"), (rest / 3600, "h"), (rest / 60 % 60, "m"), (rest % 60, "s")];
        let mut parts = parts.into_iter().filter(|(number, _)| *number > 0);
        let Some((number, unit)) = parts.next() else { return formatter.write_str("0s") };
        write!(formatter, "{number}{unit}")?;
        parts.try_for_each(|(number, unit)| write!(formatter, " {number}{unit}"))
    }
}

/// A number of bytes. Written as a whole number and a unit: `B`, `KiB`, `MiB` or `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// A size of `kibibytes` × 1024 bytes.
    pub const fn kibibytes(kibibytes: u64) -> Self {
        Self(kibibytes << 10)
    }

    /// A size of `bytes` bytes.
    pub const fn of(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = self;
        for (each, unit) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
            if *bytes >= each && bytes.is_multiple_of(each) {
                return write!(formatter, "{}{unit}", bytes / each);
            }
        }
        write!(formatter, "{bytes}B")
    }
}

impl FromStr for ByteSize {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "a size is expected here, such as `512B`, `64KiB`, `16MiB` or `1GiB`";
        let (number, unit) = split_unit(text).ok_or(EXPECTED)?;
        let shift = match unit {
            "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err(EXPECTED),
        };
        number.checked_mul(1 << shift).map(Self).ok_or("this size is too large")
    }
}

/// How often something may happen: a whole number from 1 for each second, minute or hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    per: Duration,
}

impl Rate {
    /// How many, for each [`Rate::per`].
    pub const fn count(self) -> u32 {
        self.count.get()
    }

    /// A second, a minute or an hour.
    pub const fn per(self) -> Duration {
        self.per
    }
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "a rate is expected here, such as `10/s`, `600/m` or `1000/h`";
        let (count, unit) = text.split_once('/').ok_or(EXPECTED)?;
        let per = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return Err(EXPECTED),
        };
        let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        let count = count.parse().ok().filter(|_| is_number).ok_or(EXPECTED)?;
        Ok(Self { count, per: Duration::from_secs(per) })
    }
}

/// A [`Rate`], or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// Written as a rate.
    Limited(Rate),
    /// Written `unlimited`.
    Unlimited,
}

impl Quota {
    /// `count` a minute.
    pub const fn a_minute(count: NonZeroU32) -> Self {
        Self::Limited(Rate { count, per: Duration::from_secs(60) })
    }
}

impl FromStr for Quota {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        text.parse()
            .map(Self::Limited)
            .map_err(|_| "a rate from 1 is expected here, such as `20/m`, or `unlimited`")
    }
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start_matches(' ')))
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnitVisitor { expected: "a duration such as `30s`", unit: PhantomData })
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnitVisitor { expected: "a size such as `64KiB`", unit: PhantomData })
    }
}

impl<'de> Deserialize<'de> for Quota {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnitVisitor { expected: "a rate such as `20/m`", unit: PhantomData })
    }
}

struct UnitVisitor<T> {
    expected: &'static str,
    unit: PhantomData<T>,
}

impl<T: FromStr<Err = &'static str>> Visitor<'_> for UnitVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl JsonSchema for TimeSpan {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+ ?(ms|s|m|h|d)$|\\$\\{",
            "description": "A whole number and a unit: ms, s, m, h or d.",
            "examples": ["250ms", "30s", "15m", "24h"]
        })
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB)$|\\$\\{",
            "description": "A whole number and a unit: B, KiB, MiB or GiB.",
            "examples": ["64KiB", "16MiB"]
        })
    }
}

impl JsonSchema for Quota {
    fn schema_name() -> Cow<'static, str> {
        "Quota".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[1-9][0-9]*/(s|m|h)$|^unlimited$|\\$\\{",
            "description": "How often, for each second, minute or hour, or `unlimited`.",
            "examples": ["20/m", "1000/h", "unlimited"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis, shown) in [
            ("250ms", 250, "250ms"),
            ("30s", 30_000, "30s"),
            ("120s", 120_000, "2m"),
            ("15 m", 900_000, "15m"),
            ("24h", 86_400_000, "1d"),
            ("0s", 0, "0ms"),
        ] {
            let span: TimeSpan = text.parse().unwrap();
            assert_eq!((span.duration().as_millis(), span.to_string().as_str()), (millis, shown), "{text}");
        }
        for text in ["", "30", "s", "-1s", "1.5s", "30S", "1w", "99999999999999999999s", "9999999999999999d"]
        {
            assert!(text.parse::<TimeSpan>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("512B", 512), ("64KiB", 65_536), ("16MiB", 16 << 20), ("1GiB", 1 << 30)] {
            let size = text.parse::<ByteSize>().unwrap();
            assert_eq!((size.bytes(), &*size.to_string()), (bytes, text));
        }
        for text in ["", "64", "64KB", "64kib", "-1B", "99999999999GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn rates() {
        for (text, count, seconds) in [("10/s", 10, 1), ("600/m", 600, 60), ("1/h", 1, 3_600)] {
            let Ok(Quota::Limited(rate)) = text.parse() else { panic!("{text}") };
            assert_eq!((rate.count(), rate.per().as_secs()), (count, seconds), "{text}");
        }
        assert_eq!("unlimited".parse(), Ok(Quota::Unlimited));
        for text in
            ["", "10", "/m", "0/m", "-1/m", "+1/m", "1.5/m", "10/d", "10/min", "10 /m", "99999999999/s"]
        {
            assert!(text.parse::<Quota>().is_err(), "{text}");
        }
    }
}

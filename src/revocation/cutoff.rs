//! Up to when an entry denies: the time that stands in the value of an entry about a subject or a client.
//!
//! A value that cannot be read denies everything. Someone wanted that subject out, and a typing error must not let it
//! back in.

use crate::authn::revocable::Kind;

/// Denies what was issued at or before a second, and whatever does not say when it was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutoff(u32);

impl Cutoff {
    /// Denies whatever was issued, and whenever.
    pub const EVERYTHING: Self = Self(u32::MAX);

    /// Denies what was issued at or before `unix_seconds`. A time past the year 2106 denies everything.
    pub fn at(unix_seconds: u64) -> Self {
        u32::try_from(unix_seconds).map_or(Self::EVERYTHING, Self)
    }

    /// Whether a credential that was issued at `issued_at`, in seconds since the Unix epoch, is denied. One that was
    /// issued in the very second is: which of the two came first is not known.
    pub fn denies(self, issued_at: Option<u64>) -> bool {
        self == Self::EVERYTHING || issued_at.is_none_or(|issued_at| issued_at <= u64::from(self.0))
    }

    /// The four bytes it takes in the mirror.
    pub(super) fn seconds(self) -> u32 {
        self.0
    }

    /// The cutoff that [`Cutoff::seconds`] stands for.
    pub(super) fn from_seconds(seconds: u32) -> Self {
        Self(seconds)
    }
}

/// Whether the value of an entry of this kind begins with a time.
pub fn carries_time(kind: Kind) -> bool {
    match kind {
        Kind::Client | Kind::Sub => true,
        Kind::Jti | Kind::Key | Kind::Sid | Kind::User => false,
    }
}

/// The longest time that is read: ten digits, a point and a fraction.
pub const LONGEST_TIME: usize = 32;

/// A time as it stands in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// What it denies.
    pub cutoff: Cutoff,
    /// The time in milliseconds since the Unix epoch, or `None` when it cannot be read.
    pub millis: Option<u64>,
}

impl Stamp {
    /// What a value without a readable time means.
    pub const UNREADABLE: Self = Self { cutoff: Cutoff::EVERYTHING, millis: None };

    /// Reads the time at the beginning of `value`, which ends at the first white space: seconds since the Unix epoch,
    /// with or without a fraction. Milliseconds, as JavaScript counts them, are not a time before the year 2106 and so
    /// deny everything.
    pub fn read(value: &[u8]) -> Self {
        let end = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
        let number = std::str::from_utf8(&value[..end]).unwrap_or_default();
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Self::UNREADABLE;
        }
        match whole.parse::<u32>() {
            Ok(seconds) if seconds != u32::MAX => {
                let thousandths = fraction.bytes().chain([b'0'; 3]).take(3);
                let millis = thousandths.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
                Self { cutoff: Cutoff(seconds), millis: Some(u64::from(seconds) * 1000 + millis) }
            }
            Ok(_) | Err(_) => Self::UNREADABLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_values() {
        let whole = Some((1_795_251_600, 1_795_251_600_000));
        for (value, expect) in [
            ("1795251600", whole),
            ("1795251600 left the company", whole),
            ("1795251600\n", whole),
            ("1795251600.", None),
            ("1795251600.25", Some((1_795_251_600, 1_795_251_600_250))),
            ("1795251600.1239 x", Some((1_795_251_600, 1_795_251_600_123))),
            ("0", Some((0, 0))),
            ("4294967294", Some((4_294_967_294, 4_294_967_294_000))),
            ("4294967295", None),
            ("1795251600000", None),
            ("", None),
            (" 1795251600", None),
            ("-1", None),
            ("+1", None),
            ("1e9", None),
            ("0x10", None),
            (".5", None),
            ("1.-5", None),
            ("2026-11-21T09:00:00Z", None),
            ("yes", None),
            ("١٧٩٥٢٥١٦٠٠", None),
        ] {
            let stamp = Stamp::read(value.as_bytes());
            let expect = expect.map_or(Stamp::UNREADABLE, |(seconds, millis)| Stamp {
                cutoff: Cutoff(seconds),
                millis: Some(millis),
            });
            assert_eq!(stamp, expect, "{value:?}");
        }
        assert_eq!(Stamp::read(&[0xff, 0xfe]), Stamp::UNREADABLE);
    }

    #[test]
    fn a_cutoff_denies_up_to_its_second() {
        for (cutoff, issued_at, denied) in [
            (Cutoff::at(100), Some(99), true),
            (Cutoff::at(100), Some(100), true),
            (Cutoff::at(100), Some(101), false),
            (Cutoff::at(100), None, true),
            (Cutoff::at(0), Some(1), false),
            (Cutoff::EVERYTHING, Some(u64::MAX), true),
            (Cutoff::at(u64::MAX), Some(u64::MAX), true),
            (Cutoff::at(u64::from(u32::MAX)), Some(u64::MAX), true),
        ] {
            assert_eq!(cutoff.denies(issued_at), denied, "{cutoff:?} {issued_at:?}");
        }
    }
}

//! The only reader of the time. Everything that depends on it takes a [`Clock`], so that tests can set it.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};

/// A source of wall-clock time.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    /// The machine's clock.
    #[default]
    System,
    /// Milliseconds since the Unix epoch, moved by hand.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `unix_seconds` until it is moved with [`Clock::advance`].
    pub fn manual(unix_seconds: u64) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(unix_seconds.saturating_mul(1000)))))
    }

    /// Moves a manual clock forward; the machine's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(millis) = &self.0 {
            millis.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
        }
    }

    /// Milliseconds since the Unix epoch; a clock set before 1970 reads as 0.
    pub fn unix_millis(&self) -> u64 {
        match &self.0 {
            Source::System => {
                #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the time")]
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            }
            Source::Manual(millis) => millis.load(Ordering::SeqCst),
        }
    }

    /// Whole seconds since the Unix epoch.
    pub fn unix_seconds(&self) -> u64 {
        self.unix_millis() / 1000
    }
}

/// Milliseconds since the Unix epoch as RFC 3339 text in UTC, such as `2026-11-21T09:00:00.000Z`.
pub fn rfc3339_millis(unix_millis: u64) -> String {
    date_time(unix_millis).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Milliseconds since the Unix epoch, written as RFC 3339 text in UTC. Writing many of the same second is cheap: each
/// thread keeps the text of the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Appends the text.
    pub fn append_to(self, out: &mut Vec<u8>) {
        thread_local! {
            static LAST: RefCell<(u64, String)> = RefCell::new((0, rfc3339(0)));
        }
        LAST.with_borrow_mut(|(second, text)| {
            if *second != self.0 / 1000 {
                *second = self.0 / 1000;
                *text = rfc3339(*second);
            }
            // The text ends with `Z`, before which the milliseconds stand.
            out.extend_from_slice(&text.as_bytes()[..text.len() - 1]);
            let millis = self.0 % 1000;
            let digit = |unit: u64| b'0' + u8::try_from(millis / unit % 10).unwrap_or_default();
            out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1), b'Z']);
        });
    }
}

/// Seconds since the Unix epoch as RFC 3339 text in UTC, such as `2026-11-21T09:00:00Z`.
pub fn rfc3339(unix_seconds: u64) -> String {
    date_time(unix_seconds.saturating_mul(1000)).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Reads RFC 3339 text; times before 1970 are refused.
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    u64::try_from(time.timestamp()).ok()
}

fn date_time(unix_millis: u64) -> DateTime<Utc> {
    i64::try_from(unix_millis)
        .ok()
        .and_then(DateTime::from_timestamp_millis)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = Clock::manual(1_000);
        assert_eq!(clock.unix_seconds(), 1_000);
        clock.advance(Duration::from_millis(2_500));
        assert_eq!((clock.unix_seconds(), clock.unix_millis()), (1_002, 1_002_500));
    }

    #[test]
    fn a_timestamp_reads_the_same_whatever_was_written_before() {
        for millis in
            [0, 7, 1_795_251_600_007, 1_795_251_600_999, 1_795_251_601_000, 1_795_251_600_070, u64::MAX]
        {
            let mut text = Vec::new();
            Timestamp(millis).append_to(&mut text);
            let text = String::from_utf8(text).unwrap();
            let expect = if millis == u64::MAX { text.clone() } else { rfc3339_millis(millis) };
            assert_eq!(text, expect);
        }
    }

    #[test]
    fn rfc3339_round_trip() {
        assert_eq!(rfc3339(1_795_251_600), "2026-11-21T09:00:00Z");
        assert_eq!(parse_rfc3339("2026-11-21T10:00:00+01:00"), Some(1_795_251_600));
        for text in ["", "2026-11-21", "2026-11-21T09:00:00", "1960-01-01T00:00:00Z", "never"] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}

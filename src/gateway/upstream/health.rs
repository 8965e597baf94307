//! What requests have found out about a target: how often it failed, why, and when that was last reported.
//!
//! A reload that keeps the target keeps this. Requests that succeed do not come here.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::UpstreamError;

/// How often the log of the process repeats that a target fails for the same reason.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// What is known about a target.
#[derive(Debug, Default)]
pub struct TargetHealth {
    failures: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    count: u64,
    last: Option<LastFailure>,
    /// By the position of the error in [`UpstreamError::ALL`].
    reports: [Option<Report>; UpstreamError::ALL.len()],
}

/// The last failure of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastFailure {
    /// Why the attempt failed.
    pub error: UpstreamError,
    /// When, in seconds since the Unix epoch.
    pub at: u64,
}

/// What the log of the process has reported about one reason.
#[derive(Clone, Copy, Debug)]
struct Report {
    at: Instant,
    /// How many failures followed that were not reported.
    unreported: u64,
}

impl TargetHealth {
    /// Counts a failed attempt at `now`, which is `unix` in seconds since the Unix epoch. Returns how many failures for this
    /// reason were not reported if this one should be.
    pub fn record_failure(&self, error: UpstreamError, now: Instant, unix: u64) -> Option<u64> {
        let mut failures = self.lock();
        failures.count += 1;
        failures.last = Some(LastFailure { error, at: unix });
        let report = &mut failures.reports[error as usize];
        match report {
            Some(report) if now.saturating_duration_since(report.at) < REPORT_INTERVAL => {
                report.unreported += 1;
                None
            }
            _ => {
                let unreported = report.map_or(0, |report| report.unreported);
                *report = Some(Report { at: now, unreported: 0 });
                Some(unreported)
            }
        }
    }

    /// How many attempts failed, and the last of them.
    pub fn failures(&self) -> (u64, Option<LastFailure>) {
        let failures = self.lock();
        (failures.count, failures.last)
    }

    fn lock(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_each_reason_once_in_an_interval_and_counts_the_others() {
        let health = TargetHealth::default();
        let began = Instant::now();
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        let refused = UpstreamError::ConnectRefused;
        for (error, seconds, report) in [
            (refused, 0, Some(0)),
            (refused, 1, None),
            (UpstreamError::Reset, 2, Some(0)),
            (refused, 59, None),
            (refused, 60, Some(2)),
            (refused, 61, None),
            (UpstreamError::Reset, 300, Some(0)),
            (refused, 300, Some(1)),
        ] {
            assert_eq!(health.record_failure(error, at(seconds), seconds), report, "{error:?} at {seconds}");
        }
        assert_eq!(health.failures(), (8, Some(LastFailure { error: refused, at: 300 })));
    }
}

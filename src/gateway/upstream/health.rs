//! What requests have found out about a target: how often it failed, why, and whether it is skipped for now.
//!
//! After a failed connection, requests skip the target for a while, as long as there is another one. Then one request at a
//! time tries it again. Nothing is probed without a request. A reload that keeps the target keeps this.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::UpstreamError;

/// How often the log of the process repeats that a target fails for the same reason.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// How long a target is skipped after a failed connection, and then twice as long after each failed trial, up to a bound.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is known about a target.
#[derive(Debug)]
pub struct TargetHealth {
    created: Instant,
    /// When it may be tried again, in milliseconds since `created`; 0 while it is not skipped.
    retry_at: AtomicU64,
    /// How many trials failed in a row.
    trials: AtomicU32,
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

impl Default for TargetHealth {
    fn default() -> Self {
        Self {
            created: Instant::now(),
            retry_at: AtomicU64::new(0),
            trials: AtomicU32::new(0),
            failures: Mutex::default(),
        }
    }
}

impl TargetHealth {
    /// Whether a request may use the target at `now`. A target that was skipped for long enough is tried by the request that
    /// asks first; for others the pause begins again.
    pub fn may_be_used(&self, now: Instant) -> bool {
        let retry_at = self.retry_at.load(Ordering::Relaxed);
        if retry_at == 0 {
            return true;
        }
        let now = self.millis(now);
        if now < retry_at {
            return false;
        }
        let trials = self.trials.load(Ordering::Relaxed).saturating_add(1);
        let next = now + pause(trials);
        let taken =
            self.retry_at.compare_exchange(retry_at, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if taken {
            self.trials.store(trials, Ordering::Relaxed);
        }
        taken
    }

    /// Whether requests use the target as if it had never failed.
    pub fn is_healthy(&self) -> bool {
        self.retry_at.load(Ordering::Relaxed) == 0
    }

    /// Skips the target after a connection that failed at `now`. Returns whether it was healthy before.
    pub fn skip(&self, now: Instant) -> bool {
        let until = self.millis(now) + pause(0);
        self.retry_at.compare_exchange(0, until, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Uses the target again, which has sent a response. Returns whether it was skipped before.
    pub fn recover(&self) -> bool {
        if self.is_healthy() {
            return false;
        }
        self.trials.store(0, Ordering::Relaxed);
        self.retry_at.swap(0, Ordering::Relaxed) != 0
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.created).as_millis()).unwrap_or(u64::MAX)
    }

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

/// How long a target is skipped after this many failed trials, in milliseconds.
fn pause(trials: u32) -> u64 {
    let pause = FIRST_PAUSE.saturating_mul(1 << trials.min(8)).min(LONGEST_PAUSE);
    u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_one_request_try_a_skipped_target_after_each_pause() {
        let health = TargetHealth::default();
        let began = Instant::now() + Duration::from_secs(1);
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        assert!(health.is_healthy() && health.may_be_used(at(0)) && !health.recover());
        assert!(health.skip(at(0)) && !health.skip(at(1)) && !health.is_healthy());
        let tried: Vec<u64> = (0..200)
            .flat_map(|second| [second, second])
            .filter(|second| health.may_be_used(at(*second)))
            .collect();
        assert_eq!(tried, [5, 15, 35, 75, 135, 195]);
        assert!(health.recover() && health.is_healthy() && health.may_be_used(at(200)));
        // The next failure begins with the first pause again.
        assert!(health.skip(at(200)));
        assert!(!health.may_be_used(at(204)) && health.may_be_used(at(205)));
    }

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

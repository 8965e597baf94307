//! The series of one upstream, and what went wrong with it last.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Histogram, IntCounterVec};

use super::Metrics;

/// What an upstream's answers add up to.
#[derive(Clone, Debug)]
pub struct UpstreamSeries {
    pub(super) name: Arc<str>,
    /// Until the head of the answer.
    pub duration: Histogram,
    pub(super) failures: IntCounterVec,
    pub(super) retries: IntCounterVec,
    pub(super) trouble: Arc<Mutex<Option<Trouble>>>,
}

/// What is known of an upstream's failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// How many there were since the process began.
    pub failures: u64,
    /// What the last one was: `connect`, `timeout`, `reset`, `tls` or `protocol`.
    pub kind: &'static str,
    /// When that was, in seconds since the Unix epoch.
    pub at: u64,
    /// How many requests had been answered by then.
    pub answered_before: u64,
}

impl UpstreamSeries {
    /// Counts a failed attempt at `target`, at `now` in seconds since the Unix epoch; `kind` is `connect`, `timeout`,
    /// `reset`, `tls` or `protocol`.
    pub fn failed(&self, target: &str, kind: &'static str, now: u64) {
        self.failures.with_label_values(&[&*self.name, target, kind]).inc();
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = trouble.map_or(0, |trouble| trouble.failures) + 1;
        *trouble = Some(Trouble { failures, kind, at: now, answered_before: self.answered() });
    }

    /// Counts an attempt that follows a failed one of the same request.
    pub fn retried(&self) {
        self.retries.with_label_values(&[&*self.name, "attempted"]).inc();
    }

    /// How many requests it has answered.
    pub fn answered(&self) -> u64 {
        self.duration.get_sample_count()
    }

    /// What went wrong, if anything ever did.
    pub fn trouble(&self) -> Option<Trouble> {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Metrics {
    /// Shows which of these targets are healthy, and nothing about others.
    pub fn show_targets<'a>(&self, targets: impl Iterator<Item = (&'a str, &'a str, bool)>) {
        self.target_healthy.reset();
        for (upstream, target, healthy) in targets {
            self.target_healthy.with_label_values(&[upstream, target]).set(i64::from(healthy));
        }
    }
}

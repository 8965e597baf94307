//! What is known of an issuer's keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::IntCounter;

/// What is known of an issuer's keys.
#[derive(Clone, Debug)]
pub struct JwksSeries {
    pub(super) read: Arc<Read>,
    /// Attempts that brought keys.
    pub succeeded: IntCounter,
    /// Attempts that did not.
    pub failed: IntCounter,
}

/// What the last attempt that brought keys has found.
#[derive(Debug, Default)]
pub(super) struct Read {
    keys: AtomicU64,
    /// In seconds since the Unix epoch; 0 as long as there was none.
    at: AtomicU64,
}

impl JwksSeries {
    /// Counts an attempt that brought `keys` keys, at `now` in seconds since the Unix epoch.
    pub fn succeed(&self, keys: usize, now: u64) {
        self.read.keys.store(u64::try_from(keys).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.read.at.store(now, Ordering::Relaxed);
        // Counted last, so that whoever sees the count sees what came of it.
        self.succeeded.inc();
    }

    /// Keys in use.
    pub fn keys(&self) -> u64 {
        self.read.keys.load(Ordering::Relaxed)
    }

    /// When they were last read, in seconds since the Unix epoch, if they ever were.
    pub fn last_success(&self) -> Option<u64> {
        Some(self.read.at.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }
}

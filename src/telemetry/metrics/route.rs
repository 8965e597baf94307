//! The series of one route, resolved once: counting a request is then an atomic addition and no look-up by label.

use std::sync::{Arc, OnceLock};

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

/// The methods that have a label of their own. Anything else counts as `other`, so that a client cannot add series.
pub const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];

const OTHER: &str = "other";

/// Statuses from 100 to 599; anything else is counted as 0, which also stands for "no answer was sent".
const STATUSES: usize = 500;

/// Counts what happens on one route.
pub struct RouteSeries {
    name: Arc<str>,
    requests: IntCounterVec,
    decisions: IntCounterVec,
    /// From the first byte of the request to the last of the answer.
    pub duration: Histogram,
    by_method: [OnceLock<Box<[OnceLock<IntCounter>]>>; METHODS.len() + 1],
}

impl RouteSeries {
    pub(super) fn new(
        name: &str,
        requests: IntCounterVec,
        decisions: IntCounterVec,
        duration: &HistogramVec,
    ) -> Self {
        Self {
            name: name.into(),
            requests,
            decisions,
            duration: duration.with_label_values(&[name]),
            by_method: std::array::from_fn(|_| OnceLock::new()),
        }
    }

    /// Counts an answered request. A series comes into being with its first request.
    pub fn answered(&self, method: &str, status: u16) {
        let method_at = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len());
        let status = if (100..600).contains(&status) { status } else { 0 };
        let status_at = if status == 0 { STATUSES } else { usize::from(status) - 100 };
        let row = self.by_method[method_at].get_or_init(|| (0..=STATUSES).map(|_| OnceLock::new()).collect());
        row[status_at]
            .get_or_init(|| {
                let method = METHODS.get(method_at).copied().unwrap_or(OTHER);
                self.requests.with_label_values(&[&*self.name, method, status.to_string().as_str()])
            })
            .inc();
    }

    /// The counter of decisions with this outcome. Look it up once and keep it where it is counted often.
    pub fn decisions(&self, auth: &str, result: &'static str, reason: &'static str) -> IntCounter {
        self.decisions.with_label_values(&[&*self.name, auth, result, reason])
    }
}

/// The label of a method: itself, or `other`.
pub fn method_label(method: &str) -> &'static str {
    METHODS.into_iter().find(|known| *known == method).unwrap_or(OTHER)
}

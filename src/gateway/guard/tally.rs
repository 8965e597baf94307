//! The series of a guard's decisions, resolved when the policy is compiled: counting one is then an addition.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::{Histogram, IntCounter};

use crate::authn::{Authenticator, Reason};
use crate::telemetry::metrics::{NO_AUTH, RouteSeries};

/// Counts the decisions of one guard.
pub(super) struct Tallies {
    series: Arc<RouteSeries>,
    /// One for each authenticator, and one for requests that none of them looked at.
    by_method: Vec<Tally>,
}

struct Tally {
    auth: Arc<str>,
    allowed: IntCounter,
    /// How long decisions took; nobody's decisions are not timed.
    duration: Option<Histogram>,
    refused: [OnceLock<IntCounter>; Reason::ALL.len()],
    reported: [OnceLock<IntCounter>; Reason::ALL.len()],
}

/// How a guarded request came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Allowed,
    /// It did not.
    Refused(Reason),
    /// It would not have, but its route only reports.
    Reported(Reason),
}

impl Outcome {
    /// The metric label and log field.
    pub fn label(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused(_) => "refused",
            Self::Reported(_) => "reported",
        }
    }

    /// Why.
    pub fn reason(self) -> Reason {
        match self {
            Self::Allowed => Reason::Ok,
            Self::Refused(reason) | Self::Reported(reason) => reason,
        }
    }
}

impl Tallies {
    pub(super) fn new(authenticators: &[Authenticator], series: &Arc<RouteSeries>) -> Self {
        let tally = |auth: Arc<str>, duration| Tally {
            allowed: series.decisions(&auth, Outcome::Allowed.label(), Reason::Ok.label()),
            auth,
            duration,
            refused: [const { OnceLock::new() }; Reason::ALL.len()],
            reported: [const { OnceLock::new() }; Reason::ALL.len()],
        };
        let methods = authenticators
            .iter()
            .map(|method| tally(method.name().clone(), Some(method.series().duration.clone())));
        let by_method = methods.chain([tally(NO_AUTH.into(), None)]).collect();
        Self { series: series.clone(), by_method }
    }

    /// Counts a decision about a credential of the authenticator at `method`, or of none.
    pub(super) fn count(&self, method: Option<usize>, outcome: Outcome, took: Duration) {
        let nobody = self.by_method.len().saturating_sub(1);
        let Some(tally) = self.by_method.get(method.unwrap_or(nobody)) else { return };
        let first_time = |reason: Reason| self.series.decisions(&tally.auth, outcome.label(), reason.label());
        match outcome {
            Outcome::Allowed => tally.allowed.inc(),
            Outcome::Refused(reason) => {
                tally.refused[reason.index()].get_or_init(|| first_time(reason)).inc();
            }
            Outcome::Reported(reason) => {
                tally.reported[reason.index()].get_or_init(|| first_time(reason)).inc();
            }
        }
        if let Some(duration) = &tally.duration {
            duration.observe(took.as_secs_f64());
        }
    }
}

impl std::fmt::Debug for Tallies {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tallies").finish_non_exhaustive()
    }
}

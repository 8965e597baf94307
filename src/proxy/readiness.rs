//! Whether this process can decide requests as the file says: what `/readyz`, the status page and the metrics report.
//!
//! A [`Readiness`] is one reading: callers that show several parts of it take them from the same value, so that the parts
//! never contradict each other.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::warn;

use super::keys;
use super::shared::Shared;
use crate::authn::jwt::KeySource;
use crate::config::Configuration;
use crate::revocation::OnOutage;

/// How long a process waits at start for what it can do without: the keys of each issuer and, with `on_outage: allow`, the
/// revocation list. One attempt to fetch keys takes 5 s at most, so an issuer gets a second one. An issuer that is down for
/// longer must not stop a rollout, because the other routes do not need it.
const START_WAIT: Duration = Duration::from_secs(10);

/// Whether requests should be sent to this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Readiness {
    /// Why not; `None` when the process is ready.
    pub(super) waiting: Option<Waiting>,
    /// What the process decides without.
    pub(super) degraded: Vec<Degraded>,
    /// Whether the view of the revocation list is younger than `max_stale`.
    pub(super) list_is_fresh: bool,
}

/// Why a process is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The process is shutting down.
    Draining,
    /// The keys of the issuer of this method have never been read.
    Keys(Arc<str>),
    /// The revocation list has never been read, or the view of it is too old and `on_outage` is `deny`.
    Revocations,
}

/// A dependency that the process decides without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Degraded {
    /// The keys of the issuer of this method have never been read. Its tokens get 503.
    Issuer(Arc<str>),
    /// The view of the revocation list is too old, and `on_outage` is `allow`.
    Redis,
}

/// How far the start of the process has come.
#[derive(Debug)]
pub(super) struct Start {
    began: Instant,
    /// Whether the process no longer waits for issuers. It never waits again: a reload that adds an issuer which cannot be
    /// reached must not take a process that serves out of rotation.
    issuers_awaited: AtomicBool,
}

impl Start {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), issuers_awaited: AtomicBool::new(false) }
    }

    fn is_over(&self) -> bool {
        self.began.elapsed() >= START_WAIT
    }

    /// Whether the process still waits for the issuers of `missing`.
    fn waits_for_issuers(&self, missing: &[Arc<str>]) -> bool {
        if self.issuers_awaited.load(Ordering::Relaxed) {
            return false;
        }
        let waits = !missing.is_empty() && !self.is_over();
        if !waits && !self.issuers_awaited.swap(true, Ordering::Relaxed) {
            for auth in missing {
                warn!(
                    "auth `{auth}`: the issuer's keys could not be read within {} s; its tokens get 503, other routes are \
                     served",
                    START_WAIT.as_secs()
                );
            }
        }
        waits
    }
}

impl Waiting {
    fn key(&self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Keys(_) | Self::Revocations => "waiting",
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draining => formatter.write_str("the process is shutting down"),
            Self::Keys(auth) => write!(formatter, "the keys of issuer `{auth}` have not been read yet"),
            Self::Revocations => {
                formatter.write_str("the revocation list has not been read, or is older than `max_stale`")
            }
        }
    }
}

impl Degraded {
    /// Every value of the label `dependency`.
    pub(super) const DEPENDENCIES: [&str; 2] = ["issuer", "redis"];

    /// The label `dependency` in the metrics.
    pub(super) fn dependency(&self) -> &'static str {
        match self {
            Self::Issuer(_) => "issuer",
            Self::Redis => "redis",
        }
    }
}

impl fmt::Display for Degraded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer(auth) => write!(formatter, "issuer `{auth}`: no keys, its tokens get 503"),
            Self::Redis => formatter.write_str(
                "redis: the revocation list is older than `max_stale`, and `on_outage: allow` applies",
            ),
        }
    }
}

impl Readiness {
    /// Reads the state of the process under `configuration`, which is the one in force.
    pub(super) fn of(shared: &Shared, configuration: &Configuration) -> Self {
        let revocations = &configuration.gateway.revocations;
        let list_is_fresh = revocations.is_in_touch();
        let keyless = issuers_without_keys(configuration);
        let waits_for_issuers = shared.start.waits_for_issuers(&keyless);
        let can_do_without_list = match revocations.on_outage() {
            // A list that was never read would let every revoked credential pass, so the start waits for it for a while.
            OnOutage::Allow => revocations.has_been_read() || shared.start.is_over(),
            OnOutage::Deny => false,
        };
        let waiting = if shared.drain.is_announced() {
            Some(Waiting::Draining)
        } else if !list_is_fresh && !can_do_without_list {
            Some(Waiting::Revocations)
        } else if waits_for_issuers {
            keyless.first().cloned().map(Waiting::Keys)
        } else {
            None
        };
        let unreachable = if waits_for_issuers { Vec::new() } else { keyless };
        let mut degraded: Vec<Degraded> = unreachable.into_iter().map(Degraded::Issuer).collect();
        if !list_is_fresh && can_do_without_list {
            degraded.push(Degraded::Redis);
        }
        Self { waiting, degraded, list_is_fresh }
    }

    /// The body of `/readyz`: `ready` or `not ready`, and one line for each cause.
    pub(super) fn text(&self) -> String {
        let mut text = String::from(if self.waiting.is_none() { "ready\n" } else { "not ready\n" });
        // Writing to a string does not fail.
        if let Some(waiting) = &self.waiting {
            let _ = writeln!(text, "{}: {waiting}", waiting.key());
        }
        for degraded in &self.degraded {
            let _ = writeln!(text, "degraded: {degraded}");
        }
        text
    }
}

/// What a process that is to replace another one waits for. It waits for everything: the old process has the keys and the
/// list, so taking over without them would break what works.
pub(super) fn missing_for_takeover(shared: &Shared) -> Option<Waiting> {
    let configuration = shared.configuration.load();
    if !configuration.gateway.revocations.is_in_touch() {
        return Some(Waiting::Revocations);
    }
    issuers_without_keys(&configuration).into_iter().next().map(Waiting::Keys)
}

fn issuers_without_keys(configuration: &Configuration) -> Vec<Arc<str>> {
    let name = |source: Arc<KeySource>| (!source.is_ready()).then(|| Arc::from(source.auth()));
    keys::sources(configuration).filter_map(name).collect()
}

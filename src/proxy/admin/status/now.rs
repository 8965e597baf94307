//! How the gateway is at this moment: a document for people, by way of a page, and for programs.
//!
//! Everything that adds up is told as it has added up since the process began: whoever asks twice can work out rates.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::super::super::readiness::Readiness;
use super::super::super::shared::Shared;
use super::super::super::{keys, resolve};
use crate::authn::Authenticator;
use crate::authn::guessing::State;
use crate::authn::jwt::KeySource;
use crate::authn::revocable::Kind;
use crate::clock::{rfc3339, rfc3339_millis};
use crate::config::Configuration;
use crate::gateway::upstream::{Destination, ECHO, Target, Upstream};
use crate::revocation::{Backing, OnOutage};
use crate::telemetry::metrics::Answered;
use crate::telemetry::refusals::Refusal;

/// How the gateway is.
#[derive(Serialize)]
pub(super) struct Now {
    /// RFC 3339 in UTC, as all times here.
    time: String,
    version: &'static str,
    /// Why `/readyz` returns 503; `null` when it returns 200.
    waiting_for: Option<String>,
    /// What the gateway decides without, as in `/readyz`.
    degraded: Vec<String>,
    policy: Policy,
    requests_in_flight: i64,
    connections: i64,
    /// By route; `none` stands for requests that match no route.
    answered: BTreeMap<String, Answered>,
    upstreams: Vec<UpstreamNow>,
    issuers: Vec<IssuerNow>,
    credentials: Vec<CredentialsNow>,
    revocations: RevocationsNow,
    certificates: Vec<CertificateNow>,
    failed_attempts: FailedAttempts,
    /// The newest first.
    refusals: Vec<Refusal>,
}

#[derive(Serialize)]
struct Policy {
    /// How many were accepted since the process began.
    number: u64,
    accepted: String,
    /// Whether the file as it is now was refused, so that an older policy goes on.
    newer_refused: bool,
}

/// How something is that the gateway relies on.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    /// It works.
    Good,
    /// It has not been needed yet.
    Unknown,
    /// It works, and did not always lately, or will not for much longer.
    Doubtful,
    /// It does not work.
    Bad,
}

#[derive(Serialize)]
struct UpstreamNow {
    name: String,
    health: Health,
    /// Where requests go, as the file writes it.
    targets: Vec<TargetNow>,
    /// Requests that it has answered.
    answered: u64,
    failures: u64,
    last_failure: Option<LastFailure>,
}

#[derive(Serialize)]
struct TargetNow {
    /// As the file writes it.
    target: String,
    /// Whether an address is known.
    resolved: bool,
    /// Whether requests use it; not while they skip it after a failed connection.
    healthy: bool,
    /// Attempts that failed.
    failures: u64,
    last_failure: Option<TargetFailure>,
}

#[derive(Serialize)]
struct TargetFailure {
    /// As `upstream_error` in the access log.
    error: &'static str,
    time: String,
}

#[derive(Serialize)]
struct LastFailure {
    /// `connect`, `timeout`, `reset`, `tls` or `protocol`.
    kind: &'static str,
    time: String,
    /// How many requests were answered since.
    answered_since: u64,
}

#[derive(Serialize)]
struct IssuerNow {
    /// The name of the method in `auth`.
    auth: String,
    health: Health,
    keys: u64,
    /// When they were last read.
    read: Option<String>,
    age_seconds: Option<u64>,
    /// Why the last attempt to read them failed.
    failure: Option<String>,
}

/// Keys and users of the files.
#[derive(Serialize)]
struct CredentialsNow {
    auth: String,
    /// `api_key` or `basic`.
    kind: &'static str,
    count: usize,
    /// When the next key expires.
    next_expiry: Option<String>,
}

#[derive(Serialize)]
struct RevocationsNow {
    health: Health,
    /// `memory` or `redis`.
    store: &'static str,
    /// Whether Redis answers; nothing where there is none.
    redis_up: Option<bool>,
    /// Whether the view of the list is young enough.
    in_touch: bool,
    /// How old the view may be.
    staleness_seconds: f64,
    /// What happens while it is too old: `deny` or `allow`.
    on_outage: &'static str,
    /// How many entries there are, by kind.
    entries: BTreeMap<&'static str, i64>,
}

#[derive(Serialize)]
struct CertificateNow {
    /// Its file, or `self-signed`.
    certificate: String,
    health: Health,
    names: Vec<String>,
    expires: String,
    /// Whole days until then; below zero once it has expired.
    days: i64,
}

#[derive(Serialize)]
struct FailedAttempts {
    tracked: usize,
    /// Clients and user names that may try no more for now.
    sources_limited: usize,
    principals_limited: usize,
}

/// A failure that is younger than this, in seconds, still says something.
const LATELY: u64 = 60;

/// Keys that could not be read again for so long, in seconds, are about to be a problem: they are read every five minutes.
const OLD_KEYS: u64 = 15 * 60;

/// A certificate should have been renewed by then.
const DAYS_TO_RENEW: i64 = 14;

const DAY: i64 = 24 * 60 * 60;

impl Now {
    /// How the gateway is.
    pub(super) fn of(shared: &Shared) -> Self {
        let configuration = shared.configuration.load_full();
        let gateway = &configuration.gateway;
        let metrics = &shared.metrics;
        let now = shared.clock.unix_seconds();
        // One reading for all parts of the document that show it.
        let readiness = Readiness::of(shared, &configuration);
        let State { tracked, sources, principals } = gateway.limiter.state();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds since 1970")]
        let accepted = metrics.reload_success_time.get() as u64;
        Self {
            time: rfc3339_millis(shared.clock.unix_millis()),
            version: env!("CARGO_PKG_VERSION"),
            waiting_for: readiness.waiting.as_ref().map(ToString::to_string),
            degraded: readiness.degraded.iter().map(ToString::to_string).collect(),
            policy: Policy {
                number: shared.policies.load(Ordering::Relaxed),
                accepted: rfc3339(accepted),
                newer_refused: metrics.reload_successful.get() == 0,
            },
            requests_in_flight: metrics.requests_in_flight.get(),
            connections: metrics.connections.get(),
            answered: metrics.answered(),
            upstreams: gateway.upstreams.iter().map(|upstream| UpstreamNow::of(upstream, now)).collect(),
            issuers: keys::sources(&configuration).map(|source| IssuerNow::of(&source, now)).collect(),
            credentials: gateway
                .methods
                .iter()
                .filter_map(|method| CredentialsNow::of(method, now))
                .collect(),
            revocations: RevocationsNow::of(shared, &configuration, &readiness),
            certificates: certificates(&configuration, now),
            failed_attempts: FailedAttempts {
                tracked,
                sources_limited: sources,
                principals_limited: principals,
            },
            refusals: shared.refusals.last(),
        }
    }
}

impl UpstreamNow {
    fn of(upstream: &Arc<Upstream>, now: u64) -> Self {
        let targets: Vec<TargetNow> = match &upstream.destination {
            Destination::Echo => vec![TargetNow::echo()],
            Destination::Targets(targets) => targets.iter().map(TargetNow::of).collect(),
        };
        let answered = upstream.series.answered();
        let trouble = upstream.series.trouble();
        let last_failure = trouble.map(|trouble| LastFailure {
            kind: trouble.kind,
            time: rfc3339(trouble.at),
            answered_since: answered.saturating_sub(trouble.answered_before),
        });
        let lately = trouble.is_some_and(|trouble| now.saturating_sub(trouble.at) < LATELY);
        let resolved = targets.iter().filter(|target| target.resolved).count();
        let skipped = targets.iter().any(|target| !target.healthy);
        let health = match &last_failure {
            _ if resolved == 0 => Health::Bad,
            Some(LastFailure { answered_since: 0, .. }) => Health::Bad,
            Some(_) if lately => Health::Doubtful,
            Some(_) | None if resolved < targets.len() || skipped => Health::Doubtful,
            None if answered == 0 => Health::Unknown,
            Some(_) | None => Health::Good,
        };
        let failures = trouble.map_or(0, |trouble| trouble.failures);
        Self { name: upstream.name.to_string(), health, targets, answered, failures, last_failure }
    }
}

impl TargetNow {
    fn of(target: &Target) -> Self {
        let (failures, last) = target.health.failures();
        Self {
            target: target.label.to_string(),
            resolved: resolve::pick(target).is_some(),
            healthy: target.health.is_healthy(),
            failures,
            last_failure: last
                .map(|last| TargetFailure { error: last.error.label(), time: rfc3339(last.at) }),
        }
    }

    fn echo() -> Self {
        Self { target: ECHO.to_owned(), resolved: true, healthy: true, failures: 0, last_failure: None }
    }
}

impl IssuerNow {
    fn of(source: &KeySource, now: u64) -> Self {
        let read = source.series().last_success();
        let age = read.map(|read| now.saturating_sub(read));
        let failure = source.failure().map(|failure| failure.to_string());
        let health = match (age, &failure) {
            (None, _) => Health::Bad,
            (Some(age), Some(_)) if age > OLD_KEYS => Health::Bad,
            (Some(_), Some(_)) => Health::Doubtful,
            (Some(_), None) => Health::Good,
        };
        Self {
            auth: source.auth().to_owned(),
            health,
            keys: source.series().keys(),
            read: read.map(rfc3339),
            age_seconds: age,
            failure,
        }
    }
}

impl CredentialsNow {
    fn of(method: &Authenticator, now: u64) -> Option<Self> {
        let (count, next_expiry) = match method {
            Authenticator::ApiKey(method) => (method.identities().count(), method.next_expiry(now)),
            Authenticator::Basic(method) => (method.identities().count(), None),
            Authenticator::Jwt(_) => return None,
        };
        Some(Self {
            auth: method.name().to_string(),
            kind: method.kind().name(),
            count,
            next_expiry: next_expiry.map(rfc3339),
        })
    }
}

impl RevocationsNow {
    fn of(shared: &Shared, configuration: &Configuration, readiness: &Readiness) -> Self {
        let metrics = &shared.metrics;
        let revocations = &configuration.gateway.revocations;
        let in_touch = readiness.list_is_fresh;
        let (store, redis_up) = match configuration.list.backing() {
            Backing::Memory => ("memory", None),
            Backing::Redis(_) => ("redis", Some(metrics.redis_up.get() == 1)),
        };
        let health = match (in_touch, revocations.on_outage(), redis_up) {
            (false, OnOutage::Deny, _) => Health::Bad,
            // As `/readyz` says: degraded, and not unready.
            (false, OnOutage::Allow, _) | (true, _, Some(false)) => Health::Doubtful,
            (true, _, Some(true) | None) => Health::Good,
        };
        Self {
            health,
            store,
            redis_up,
            in_touch,
            staleness_seconds: metrics.revocation_staleness.get(),
            on_outage: match revocations.on_outage() {
                OnOutage::Allow => "allow",
                OnOutage::Deny => "deny",
            },
            entries: Kind::ALL
                .into_iter()
                .map(|kind| (kind.name(), metrics.revocation_entries(kind.name()).get()))
                .collect(),
        }
    }
}

fn certificates(configuration: &Configuration, now: u64) -> Vec<CertificateNow> {
    let certificates = configuration.tls.iter().flat_map(|tls| &tls.certificates);
    let certificates = certificates.map(|certificate| {
        let left =
            i64::try_from(certificate.expires).unwrap_or(i64::MAX) - i64::try_from(now).unwrap_or(i64::MAX);
        let days = left.div_euclid(DAY);
        let health = match days {
            ..0 => Health::Bad,
            0..DAYS_TO_RENEW => Health::Doubtful,
            _ => Health::Good,
        };
        CertificateNow {
            certificate: certificate.label.clone(),
            health,
            names: certificate.names.clone(),
            expires: rfc3339(certificate.expires),
            days,
        }
    });
    certificates.collect()
}

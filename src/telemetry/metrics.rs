//! Every series that Portcullis exposes to Prometheus, by name, label and meaning.
//!
//! Labels come from the configuration or from closed sets, so traffic never adds a series. What a request needs is
//! resolved to a handle when the policy is compiled ([`RouteSeries`], [`AuthSeries`], [`UpstreamSeries`]).

mod jwks;
mod maker;
mod retain;
mod route;
mod sums;
mod upstream;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Registry, TextEncoder,
};

pub use jwks::JwksSeries;
use maker::Maker;
use retain::retain;
pub use route::{METHODS, RouteSeries, method_label};
pub use sums::Answered;
pub use upstream::{Trouble, UpstreamSeries};

/// All series of one process.
pub struct Metrics {
    registry: Registry,
    /// The names of the process's series are a convention of their own and take no prefix.
    process: Registry,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    upstream_duration: HistogramVec,
    upstream_failures: IntCounterVec,
    upstream_retries: IntCounterVec,
    target_healthy: IntGaugeVec,
    /// By the upstream's name: what went wrong is remembered across reloads, as what was counted is.
    upstream_trouble: Mutex<BTreeMap<String, Arc<Mutex<Option<Trouble>>>>>,
    decisions: IntCounterVec,
    auth_duration: HistogramVec,
    cache_hits: IntCounterVec,
    cache_misses: IntCounterVec,
    jwks_keys: GaugeVec,
    jwks_last_success: GaugeVec,
    jwks_fetches: IntCounterVec,
    certificate_expiry: GaugeVec,
    api_key_expiry: GaugeVec,
    handshakes: IntCounterVec,
    discarded_bodies: IntCounterVec,
    revocation_entries: IntGaugeVec,
    /// Requests that have been received and not yet answered.
    pub requests_in_flight: IntGauge,
    /// How old the view of the revocation list may be, in seconds.
    pub revocation_staleness: Gauge,
    /// From the write of a revocation to its being enforced here, in seconds.
    pub revocation_propagation: Histogram,
    /// 1 while Redis answers. Shown once [`Self::show_redis`] was called.
    pub redis_up: IntGauge,
    /// 1 when the last reload was accepted.
    pub reload_successful: IntGauge,
    /// Reloads whose policy was put in place.
    pub reloads_accepted: IntCounter,
    /// Reloads whose policy was refused, each time it was tried.
    pub reloads_refused: IntCounter,
    /// When a policy was last accepted, in seconds since the Unix epoch.
    pub reload_success_time: Gauge,
    /// Open connections on the listeners.
    pub connections: IntGauge,
    /// Access-log lines that were lost.
    pub access_log_dropped: IntCounter,
    /// Audit-log lines that were lost.
    pub audit_log_dropped: IntCounter,
    /// Spans of sampled requests that did not reach the collector.
    pub spans_dropped: IntCounter,
    /// Clients, user names and pairs of them with failed attempts that still count.
    pub failed_attempts_tracked: IntGauge,
    failed_attempts_limited: IntGaugeVec,
    degraded: IntGaugeVec,
}

/// The label of decisions about requests that no authentication method looked at.
pub const NO_AUTH: &str = "none";

/// 1 ms to 30 s.
const REQUEST_BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// 1 µs to 1 s: a decision from a cache takes about one, a password hash tens of thousands.
const DECISION_BUCKETS: [f64; 13] = [
    0.000_001,
    0.000_002_5,
    0.000_005,
    0.000_01,
    0.000_025,
    0.000_05,
    0.000_1,
    0.000_5,
    0.001,
    0.005,
    0.025,
    0.1,
    1.0,
];

impl Metrics {
    /// A fresh set of series, all at zero.
    ///
    /// # Errors
    /// Only a name or label that the Prometheus data model forbids, which the tests exclude.
    #[expect(clippy::too_many_lines, reason = "a list of series, one after the other")]
    pub fn new(version: &str, revision: &str) -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new_custom(Some("portcullis".to_owned()), None)?;
        let make = Maker { registry: &registry };
        let build =
            make.gauges("build_info", "The version that is running; always 1.", &["version", "revision"])?;
        build.with_label_values(&[version, revision]).set(1.0);
        let reloads =
            make.counters("config_reloads_total", "Attempts to load another configuration.", &["result"])?;
        let metrics = Self {
            requests: make.counters(
                "http_requests_total",
                "Answered requests.",
                &["route", "method", "status"],
            )?,
            request_duration: make.histograms(
                "http_request_duration_seconds",
                "From the first byte of the request to the last of the answer.",
                &["route"],
                &REQUEST_BUCKETS,
            )?,
            upstream_duration: make.histograms(
                "upstream_request_duration_seconds",
                "From choosing the upstream to the head of its answer.",
                &["upstream"],
                &REQUEST_BUCKETS,
            )?,
            upstream_failures: make.counters(
                "upstream_failures_total",
                "Attempts at a target that failed.",
                &["upstream", "target", "kind"],
            )?,
            upstream_retries: make.counters(
                "upstream_retries_total",
                "Attempts that followed a failed one of the same request.",
                &["upstream", "result"],
            )?,
            target_healthy: make.int_gauges(
                "upstream_target_healthy",
                "0 while requests skip the target after a failed connection, as long as there is another one.",
                &["upstream", "target"],
            )?,
            upstream_trouble: Mutex::default(),
            decisions: make.counters(
                "auth_decisions_total",
                "Decisions on guarded routes.",
                &["route", "auth", "result", "reason"],
            )?,
            auth_duration: make.histograms(
                "auth_duration_seconds",
                "How long a decision took.",
                &["auth"],
                &DECISION_BUCKETS,
            )?,
            cache_hits: make.counters(
                "auth_cache_hits_total",
                "Credentials found in the cache of verified ones.",
                &["auth"],
            )?,
            cache_misses: make.counters(
                "auth_cache_misses_total",
                "Credentials that had to be verified.",
                &["auth"],
            )?,
            jwks_keys: make.gauges("jwks_keys", "Keys of the issuer in use.", &["auth"])?,
            jwks_last_success: make.gauges(
                "jwks_last_success_timestamp_seconds",
                "When the issuer's keys were last read.",
                &["auth"],
            )?,
            jwks_fetches: make.counters(
                "jwks_fetches_total",
                "Attempts to read the issuer's keys.",
                &["auth", "result"],
            )?,
            certificate_expiry: make.gauges(
                "tls_certificate_expiry_timestamp_seconds",
                "When the certificate expires.",
                &["certificate"],
            )?,
            api_key_expiry: make.gauges(
                "api_key_expiry_timestamp_seconds",
                "When the next API key expires.",
                &["auth"],
            )?,
            handshakes: make.counters(
                "tls_handshakes_total",
                "Finished TLS handshakes.",
                &["result", "version"],
            )?,
            discarded_bodies: make.counters(
                "discarded_bodies_total",
                "Request bodies that were discarded, in whole or in part, because the response came first.",
                &["result"],
            )?,
            revocation_entries: make.int_gauges(
                "revocation_entries",
                "Entries of the revocation list.",
                &["kind"],
            )?,
            requests_in_flight: make.int_gauge("http_requests_in_flight", "Requests being answered.")?,
            revocation_staleness: make.gauge(
                "revocation_staleness_seconds",
                "How old the view of the revocation list may be; 0 while its store is in touch.",
            )?,
            revocation_propagation: make.histogram(
                "revocation_propagation_seconds",
                "From the write of a revocation, where it carries a time, to its being enforced here.",
                &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0],
            )?,
            redis_up: IntGauge::new("redis_up", "1 while Redis answers.")?,
            reload_successful: make.int_gauge(
                "config_last_reload_successful",
                "1 when the last attempt to load the configuration was accepted.",
            )?,
            reloads_accepted: reloads.with_label_values(&["accepted"]),
            reloads_refused: reloads.with_label_values(&["refused"]),
            reload_success_time: make.gauge(
                "config_last_reload_success_timestamp_seconds",
                "When a configuration was last accepted.",
            )?,
            connections: make.int_gauge("connections", "Open connections on the listeners.")?,
            access_log_dropped: make
                .counter("access_log_dropped_total", "Access-log lines that were lost.")?,
            spans_dropped: make.counter("spans_dropped_total", "Spans that did not reach the collector.")?,
            audit_log_dropped: make.counter("audit_log_dropped_total", "Audit-log lines that were lost.")?,
            failed_attempts_tracked: make.int_gauge(
                "failed_attempts_tracked",
                "Clients, user names and pairs of them with failed attempts that still count.",
            )?,
            failed_attempts_limited: make.int_gauges(
                "failed_attempts_limited",
                "Clients (source) and user names (principal) that have used up their failed attempts.",
                &["by"],
            )?,
            degraded: make.int_gauges(
                "degraded",
                "1 while the gateway decides without this dependency.",
                &["dependency"],
            )?,
            process: Registry::new(),
            registry: registry.clone(),
        };
        // They exist from the start, so that an alert on their rate sees the first one.
        for result in ["aborted", "completed", "limit", "timeout"] {
            metrics.discarded_bodies(result);
        }
        metrics.process.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Arc::new(metrics))
    }

    /// The series of a route.
    pub fn route(&self, name: &str) -> RouteSeries {
        RouteSeries::new(name, self.requests.clone(), self.decisions.clone(), &self.request_duration)
    }

    /// The series of an authentication method.
    pub fn auth(&self, name: &str) -> AuthSeries {
        AuthSeries {
            duration: self.auth_duration.with_label_values(&[name]),
            cache_hits: self.cache_hits.with_label_values(&[name]),
            cache_misses: self.cache_misses.with_label_values(&[name]),
        }
    }

    /// The series of an issuer's keys, for the method `name`.
    pub fn jwks(&self, name: &str) -> JwksSeries {
        JwksSeries {
            read: Arc::default(),
            succeeded: self.jwks_fetches.with_label_values(&[name, "success"]),
            failed: self.jwks_fetches.with_label_values(&[name, "failure"]),
        }
    }

    /// The series of an upstream.
    pub fn upstream(&self, name: &str) -> UpstreamSeries {
        let mut trouble = self.upstream_trouble.lock().unwrap_or_else(PoisonError::into_inner);
        UpstreamSeries {
            name: name.into(),
            duration: self.upstream_duration.with_label_values(&[name]),
            failures: self.upstream_failures.clone(),
            retries: self.upstream_retries.clone(),
            trouble: trouble.entry(name.to_owned()).or_default().clone(),
        }
    }

    /// When the certificate called `name` expires, in seconds since the Unix epoch.
    pub fn certificate_expiry(&self, name: &str) -> Gauge {
        self.certificate_expiry.with_label_values(&[name])
    }

    /// Forgets certificates that are no longer in use.
    pub fn reset_certificates(&self) {
        self.certificate_expiry.reset();
    }

    /// Shows whether Redis answers. Where there is none, the series would say that it is down.
    pub fn show_redis(&self) {
        // It may be shown already.
        let _ = self.registry.register(Box::new(self.redis_up.clone()));
    }

    /// Shows what is known of the keys of these methods, and of no others: a method that a reload has removed would
    /// otherwise have keys that get older and older.
    pub fn show_jwks<'a>(&self, methods: impl Iterator<Item = (&'a str, &'a JwksSeries)>) {
        let mut names = Vec::new();
        let mut read_names = Vec::new();
        for (name, series) in methods {
            names.push(name);
            self.jwks_keys.with_label_values(&[name]).set(float(series.keys()));
            if let Some(at) = series.last_success() {
                read_names.push(name);
                self.jwks_last_success.with_label_values(&[name]).set(float(at));
            }
        }
        retain(&self.jwks_keys, &names);
        retain(&self.jwks_last_success, &read_names);
    }

    /// Shows when the next API key of these methods expires, in seconds since the Unix epoch, and of no others.
    pub fn show_api_key_expiry<'a>(&self, methods: impl Iterator<Item = (&'a str, u64)>) {
        let mut names = Vec::new();
        for (name, next) in methods {
            names.push(name);
            self.api_key_expiry.with_label_values(&[name]).set(float(next));
        }
        retain(&self.api_key_expiry, &names);
    }

    /// Finished handshakes; `result` is `success` or `failure`, `version` is `1.2`, `1.3` or `none`.
    pub fn handshakes(&self, result: &str, version: &str) -> IntCounter {
        self.handshakes.with_label_values(&[result, version])
    }

    /// Discarded request bodies; `result` is `completed`, `limit`, `timeout` or `aborted`.
    pub fn discarded_bodies(&self, result: &str) -> IntCounter {
        self.discarded_bodies.with_label_values(&[result])
    }

    /// Entries of the revocation list of one kind.
    pub fn revocation_entries(&self, kind: &str) -> IntGauge {
        self.revocation_entries.with_label_values(&[kind])
    }

    /// Who has used up the failed attempts; `by` is `source` or `principal`.
    pub fn failed_attempts_limited(&self, by: &str) -> IntGauge {
        self.failed_attempts_limited.with_label_values(&[by])
    }

    /// 1 while the gateway decides without a dependency; `dependency` is `issuer` or `redis`.
    pub fn degraded(&self, dependency: &str) -> IntGauge {
        self.degraded.with_label_values(&[dependency])
    }

    /// Everything in the Prometheus text format.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        // Encoding into memory fails only for series without a name or help, and none of ours are.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        let _ = TextEncoder::new().encode(&self.process.gather(), &mut text);
        text
    }
}

/// What the decisions of one authentication method add up to.
#[derive(Clone, Debug)]
pub struct AuthSeries {
    /// How long decisions took.
    pub duration: Histogram,
    /// Credentials found in the cache of verified ones.
    pub cache_hits: IntCounter,
    /// Credentials that had to be verified.
    pub cache_misses: IntCounter,
}

/// Prometheus counts in floating point.
fn float(number: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "keys and seconds since 1970 are far below 2^53")]
    let number = number as f64;
    number
}

#[cfg(test)]
mod tests;

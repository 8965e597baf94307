//! What every part of the proxy works with, for as long as the process lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::admin::TurnedAway;
use super::drain::Drain;
use super::journals::Journals;
use super::readiness::{Readiness, Start};
use super::sources::Sources;
use super::succession::Gate;
use super::tls::TlsState;
use crate::clock::Clock;
use crate::config::Configuration;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::{Metrics, RouteSeries};
use crate::telemetry::refusals::Refusals;
use crate::telemetry::trace::Tracer;

/// The state of the process.
pub(super) struct Shared {
    /// The policy that new requests are decided by. A request takes it once.
    pub(super) configuration: ArcSwap<Configuration>,
    /// Certificates for new handshakes; nothing when no listener speaks TLS.
    pub(super) tls: Option<TlsState>,
    /// The port of the first listener that speaks TLS.
    pub(super) tls_port: Option<u16>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// The series of requests that match no route.
    pub(super) no_route: RouteSeries,
    pub(super) access_log: AccessLog,
    pub(super) audit: Audit,
    /// Where both are written.
    pub(super) journals: Journals,
    /// Who was refused on the admin listener.
    pub(super) turned_away: TurnedAway,
    /// The last requests that were refused.
    pub(super) refusals: Refusals,
    /// How many policies were accepted since the process began, to tell one from the next.
    pub(super) policies: AtomicU64,
    /// What traces requests; nothing while they are not traced.
    pub(super) tracer: Option<Tracer>,
    pub(super) drain: Drain,
    /// How far the start of this process has come.
    pub(super) start: Start,
    /// Whether it is this process that accepts connections.
    pub(super) gate: Gate,
    /// Who has how many connections open.
    pub(super) sources: Sources,
}

impl Shared {
    /// Puts a configuration in place for requests that begin from now on. Returns the one before.
    pub(super) fn accept(&self, configuration: Configuration) -> Arc<Configuration> {
        // Once this process was ready, issuers that only the new policy names do not make it unready.
        let _ = Readiness::of(self, &self.configuration.load());
        let before = self.configuration.swap(Arc::new(configuration));
        self.accepted();
        before
    }

    /// Notes in the metrics that the current configuration was accepted.
    pub(super) fn accepted(&self) {
        self.policies.fetch_add(1, Ordering::Relaxed);
        let metrics = &self.metrics;
        metrics.reload_successful.set(1);
        metrics.reload_success_time.set(seconds(self.clock.unix_seconds()));
        metrics.reset_certificates();
        for certificate in self.configuration.load().tls.iter().flat_map(|tls| &tls.certificates) {
            metrics.certificate_expiry(&certificate.label).set(seconds(certificate.expires));
        }
    }
}

/// Prometheus counts in floating point.
fn seconds(unix: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
    let seconds = unix as f64;
    seconds
}

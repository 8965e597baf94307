//! Turns a finished exchange into one line of the access log and its metrics.

use http::Version;
use pingora::protocols::http::ServerSession;

use super::exchange::{Exchange, Verdict};
use super::shared::Shared;
use super::spans;
use crate::authn::{Identity, Reason};
use crate::clock::Timestamp;
use crate::gateway::guard::{self, Guard};
use crate::gateway::route::{Access, Route};
use crate::gateway::upstream::{Upstream, UpstreamError};
use crate::hex;
use crate::secret::looks_like_a_credential;
use crate::telemetry::access_log::{Entry, FailedAttempt};
use crate::telemetry::metrics::method_label;

/// The label of requests that match no route.
pub(super) const NO_ROUTE: &str = "none";

/// The outcome of requests that were not let through.
const REFUSED: &str = "refused";

/// Records `exchange`.
pub(super) fn finish(shared: &Shared, session: &ServerSession, exchange: &Exchange) {
    let duration = exchange.began.elapsed();
    let written = session.response_written().map_or(0, |response| response.status.as_u16());
    // A gRPC client gets a refusal with the HTTP status 200. What counts here is the status of the refusal.
    let grpc = exchange.grpc_refusal.filter(|_| written > 0);
    let status = grpc.map_or(written, |refusal| refusal.http_status);
    let head = session.req_header();
    let method = method_label(head.method.as_str());
    let outcome = Outcome::of(&exchange.verdict, exchange.overturned);
    let route = outcome.route();
    let series = route.map_or(&shared.no_route, |route| &route.series);
    series.answered(method, status);
    series.duration.observe(duration.as_secs_f64());
    let upstream = exchange.admission().map(|admission| &admission.route().upstream);
    if let (Some(upstream), Some(took)) = (upstream, exchange.upstream_took) {
        upstream.series.duration.observe(took.as_secs_f64());
    }
    if let (Some((guard, method, decision)), Some(took)) = (outcome.decision(), exchange.decided_in) {
        guard.count(method, decision, took);
    }
    let identity = outcome.identity;
    let entry = Entry {
        time: Timestamp(exchange.began_at),
        request_id: exchange.request_id.as_str(),
        trace_id: exchange.trace_id(),
        client: exchange.client(),
        protocol: if head.version == Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" },
        method,
        host: &exchange.host,
        path: &exchange.path,
        route: route.map_or(NO_ROUTE, |route| &route.name),
        status,
        grpc_status: grpc.map(|refusal| refusal.grpc_status),
        duration: duration.into(),
        upstream: upstream.map(|upstream| &*upstream.name),
        target: upstream
            .filter(|_| exchange.upstream_chosen.is_some())
            .and_then(|upstream| upstream.target_label(exchange.target)),
        upstream_error: exchange.upstream_error.map(UpstreamError::label),
        failed_attempts: upstream.map(|upstream| failed_attempts(upstream, exchange)).unwrap_or_default(),
        upstream_took: exchange.upstream_took.map(Into::into),
        received_bytes: exchange.received,
        sent_bytes: session.body_bytes_sent() as u64,
        auth: outcome.auth,
        auth_method: identity.map(|identity| identity.method.name()),
        subject: identity.map(|identity| identity.subject.as_str()),
        key_id: identity.and_then(|identity| identity.key_id.as_deref()),
        outcome: outcome.result,
        reason: outcome.reason,
    };
    write(shared, &entry);
    if exchange.trace.is_some() {
        let Entry { auth, auth_method, outcome, reason, .. } = entry;
        spans::record(shared, session, exchange, &Told { status, route, outcome, reason, auth, auth_method });
    }
}

fn failed_attempts<'a>(upstream: &'a Upstream, exchange: &Exchange) -> Vec<FailedAttempt<'a>> {
    let attempts = exchange.failed_attempts.iter().filter_map(|attempt| {
        let target = upstream.target_label(attempt.target)?;
        Some(FailedAttempt { target, upstream_error: attempt.error.label() })
    });
    attempts.collect()
}

/// What spans say of a request beside the log.
pub(super) struct Told<'a> {
    pub(super) status: u16,
    pub(super) route: Option<&'a Route>,
    pub(super) outcome: &'a str,
    pub(super) reason: &'a str,
    pub(super) auth: Option<&'a str>,
    pub(super) auth_method: Option<&'a str>,
}

/// Records a request that was refused before the library saw it.
pub(super) fn refused_early(
    shared: &Shared,
    client: std::net::IpAddr,
    status: u16,
    reason: &str,
    request_id: &str,
    began_at: u64,
) {
    shared.no_route.answered("other", status);
    let entry = Entry {
        time: Timestamp(began_at),
        request_id,
        client: Some(client.to_canonical()),
        protocol: "HTTP/1.1",
        method: "other",
        route: NO_ROUTE,
        status,
        outcome: REFUSED,
        reason,
        ..Entry::default()
    };
    write(shared, &entry);
}

/// Writes a line to the access log, and to the audit log if the request was refused, or would have been.
fn write(shared: &Shared, entry: &Entry<'_>) {
    if entry.outcome == REFUSED {
        // Kept before it is logged, so that whoever has seen the line finds it on the status page.
        shared.refusals.keep(entry);
    }
    shared.access_log.write(entry);
    if matches!(entry.outcome, REFUSED | "reported") {
        shared.audit.refused(entry);
    }
}

/// What the access log says of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// `public`, `allowed`, `reported`, `redirected` or `refused`.
    pub outcome: &'static str,
    /// Why.
    pub reason: &'static str,
    /// The route's name.
    pub route: Option<String>,
    /// The name of the method in `auth`.
    pub auth: Option<String>,
    /// Who it was.
    pub subject: Option<String>,
}

/// What the access log would say of `verdict`.
pub(super) fn logged(verdict: &Verdict) -> Logged {
    let outcome = Outcome::of(verdict, None);
    Logged {
        outcome: outcome.result,
        reason: outcome.reason,
        route: outcome.route().map(|route| route.name.to_string()),
        auth: outcome.auth.map(str::to_owned),
        subject: outcome.identity.map(|identity| identity.subject.as_str().to_owned()),
    }
}

/// How the exchange was decided, in the words of the log.
struct Outcome<'a> {
    verdict: &'a Verdict,
    result: &'static str,
    reason: &'static str,
    auth: Option<&'a str>,
    identity: Option<&'a Identity>,
}

impl<'a> Outcome<'a> {
    fn of(verdict: &'a Verdict, overturned: Option<&'static str>) -> Self {
        let ok = Reason::Ok.label();
        let without_caller = |result, reason| Self { verdict, result, reason, auth: None, identity: None };
        match verdict {
            Verdict::Open => without_caller(REFUSED, "aborted"),
            Verdict::Redirected => without_caller("redirected", ok),
            Verdict::Admitted(admission) => {
                let decided = admission
                    .outcome()
                    .map_or(("public", ok), |outcome| (outcome.label(), outcome.reason().label()));
                let (result, reason) = overturned.map_or(decided, |code| (REFUSED, code));
                let auth = guard(admission.route()).and_then(|guard| guard.auth(admission.method()));
                let identity = admission.caller().map(|identity| &**identity);
                Self { verdict, result, reason, auth, identity }
            }
            Verdict::Refused(refused) => {
                let guard = refused.route.as_deref().and_then(guard);
                Self {
                    verdict,
                    result: REFUSED,
                    reason: refused.label(),
                    auth: guard.and_then(|guard| guard.auth(refused.method)),
                    identity: refused.identity.as_deref(),
                }
            }
        }
    }

    fn route(&self) -> Option<&'a Route> {
        match self.verdict {
            Verdict::Open | Verdict::Redirected => None,
            Verdict::Admitted(admission) => Some(admission.route()),
            Verdict::Refused(refused) => refused.route.as_deref(),
        }
    }

    /// What a guard decided about the caller, if one did.
    fn decision(&self) -> Option<(&'a Guard, Option<usize>, guard::Outcome)> {
        let guard = guard(self.route()?)?;
        match self.verdict {
            Verdict::Open | Verdict::Redirected => None,
            Verdict::Admitted(admission) => Some((guard, admission.method(), admission.outcome()?)),
            Verdict::Refused(refused) => {
                Some((guard, refused.method, guard::Outcome::Refused(refused.reason?)))
            }
        }
    }
}

fn guard(route: &Route) -> Option<&Guard> {
    match &route.access {
        Access::Guarded(guard) => Some(guard),
        Access::Public(_) => None,
    }
}

/// The path as it may be logged: segments that look like a credential are redacted. The query is never logged at all.
pub fn loggable_path(path: &str) -> String {
    const LONGEST: usize = 1024;
    let mut shown = String::with_capacity(path.len().min(LONGEST));
    for (at, segment) in path.split('/').enumerate() {
        if at > 0 {
            shown.push('/');
        }
        shown.push_str(if hides_a_credential(segment) { "[redacted]" } else { segment });
        if shown.len() > LONGEST {
            let end = (0..=LONGEST).rev().find(|at| shown.is_char_boundary(*at)).unwrap_or_default();
            shown.truncate(end);
            shown.push('…');
            break;
        }
    }
    shown
}

/// Escapes do not hide it: an upstream takes the segment for what it decodes to.
fn hides_a_credential(segment: &str) -> bool {
    if !segment.contains('%') {
        return looks_like_a_credential(segment);
    }
    let unescape = |text: &str| String::from_utf8_lossy(&hex::unescape(text)).into_owned();
    // Twice, because the escapes may have been escaped in their turn.
    let once = unescape(segment);
    [segment, &once, &unescape(&once)].into_iter().any(looks_like_a_credential)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_logged_without_credentials() {
        for (path, shown) in [
            ("/v1/orders/42", "/v1/orders/42"),
            ("/", "/"),
            ("/v1/pcl_k_4fQ9xT_abc/x", "/v1/[redacted]/x"),
            ("/eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "/[redacted]"),
            ("/t/9aF3kLm2Qx7Zp0Rt5Vb8Yc1Nd4Gh6Jk3", "/t/[redacted]"),
            ("/v1/%70cl_k_4fQ9xT_abc/x", "/v1/[redacted]/x"),
            ("/v1/pcl%255Fk_4fQ9xT_abc", "/v1/[redacted]"),
            ("/eyJhbGciOiJSUzI1NiJ9%2Ee30%2Ec2ln", "/[redacted]"),
            ("/v1;key=9aF3kLm2Qx7Zp0Rt5Vb8Yc1Nd4Gh6Jk3/x", "/[redacted]/x"),
            ("/caf%C3%A9", "/caf%C3%A9"),
            ("/d/6f1e3c9a-1b2c-4d5e-8f90-a1b2c3d4e5f6", "/d/6f1e3c9a-1b2c-4d5e-8f90-a1b2c3d4e5f6"),
        ] {
            assert_eq!(loggable_path(path), shown);
        }
        assert!(loggable_path(&format!("/{}", "x".repeat(5000))).len() < 1100);
    }
}

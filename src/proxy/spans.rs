//! What is told of a sampled request: a span of the request, one of the decision, and one of the call upstream; and the thread
//! that sends them to a collector.

mod export;

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use export::Outcome;
use http::Version;
use log::warn;
use pingora::protocols::http::ServerSession;

use super::ServeError;
use super::exchange::Exchange;
use super::fetch::Fetch;
use super::record::Told;
use super::shared::Shared;
use crate::config::tracing::Tracing;
use crate::hex;
use crate::telemetry::metrics::{Metrics, method_label};
use crate::telemetry::trace::Tracer;
use crate::telemetry::trace::otlp::{Attribute, Kind, Span, Status, body};

/// How long the end waits for the last spans.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// How often it is said that a collector takes nothing.
const COMPLAINT: Duration = Duration::from_secs(60);

/// The thread that exports.
pub(super) struct Exporter {
    tracer: Tracer,
    done: Receiver<()>,
}

impl Exporter {
    /// Starts the thread.
    ///
    /// # Errors
    /// The thread or what it sends with cannot be set up.
    pub(super) fn start(tracing: &Tracing, metrics: &Metrics) -> Result<Self, ServeError> {
        let tracer = Tracer::new(tracing.sample, metrics.spans_dropped.clone());
        let fetch = Fetch::new()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ServeError::Thread)?;
        let (ended, done) = channel();
        let (taking, Tracing { endpoint, service, sample: _ }) = (tracer.clone(), tracing.clone());
        let exporting = move || {
            let mut said: Option<Instant> = None;
            while let Some(spans) = taking.take() {
                let body = body(&service, &spans);
                let send = || Outcome::of(runtime.block_on(fetch.post(&endpoint, body.clone())));
                let (lost, why) = send_until_settled(&taking, spans.len(), send);
                taking.lost(lost);
                if let Some(why) = why
                    && said.is_none_or(|said| said.elapsed() > COMPLAINT)
                {
                    said = Some(Instant::now());
                    match lost {
                        0 => warn!("tracing: the collector remarks: {why}"),
                        lost => warn!("tracing: the collector has not taken {lost} spans: {why}"),
                    }
                }
            }
            drop(ended);
        };
        std::thread::Builder::new()
            .name("tracing".to_owned())
            .spawn(exporting)
            .map_err(ServeError::Thread)?;
        Ok(Self { tracer, done })
    }

    /// What records spans for it.
    pub(super) fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Waits for the last spans to be exported, but not for long.
    pub(super) fn end(&self) {
        self.tracer.close();
        if self.done.recv_timeout(LAST_SPANS) == Err(RecvTimeoutError::Timeout) {
            warn!("tracing: the collector is too slow, and the last spans are lost");
        }
    }
}

/// Sends the same spans until it is settled what becomes of them: how many are lost, and why. New ones wait in the buffer
/// meanwhile. Once the process ends, nothing is sent twice.
fn send_until_settled(tracer: &Tracer, count: usize, send: impl Fn() -> Outcome) -> (usize, Option<String>) {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match send() {
            Outcome::Taken { rejected, remark } => return (rejected.min(count), remark),
            Outcome::Lost(why) => return (count, Some(why)),
            Outcome::Later { after, why } => match export::pause(attempts, after) {
                Some(pause) if tracer.waits(pause) => {}
                Some(_) | None => return (count, Some(why)),
            },
        }
    }
}

/// Records the spans of a finished exchange, if it is one that is sampled.
pub(super) fn record(shared: &Shared, session: &ServerSession, exchange: &Exchange, told: &Told<'_>) {
    let (Some(tracer), Some(trace)) = (&shared.tracer, &exchange.trace) else { return };
    if !trace.sampled {
        return;
    }
    let now = Instant::now();
    let wall = shared.clock.unix_millis().saturating_mul(1_000_000);
    let at = |moment: Instant| {
        let ago = u64::try_from(now.saturating_duration_since(moment).as_nanos()).unwrap_or(u64::MAX);
        wall.saturating_sub(ago).to_string()
    };
    let head = session.req_header();
    let method = method_label(head.method.as_str());
    let span = |id: String, parent: Option<String>, from: Instant, until: Instant| Span {
        trace_id: trace.trace_id.clone(),
        span_id: id,
        parent_span_id: parent,
        start_time_unix_nano: at(from),
        end_time_unix_nano: at(until),
        ..Span::default()
    };
    let status = u64::from(told.status);
    let mut spans = Vec::with_capacity(3);

    let pattern = told.route.map(|route| route.pattern.path.to_string());
    let mut server = span(trace.server.clone(), trace.parent.clone(), exchange.began, now);
    server.kind = Kind::Server;
    server.name = pattern.as_ref().map_or(method.to_owned(), |pattern| format!("{method} {pattern}"));
    server.status = Status::failed_if(status >= 500);
    let protocol = if head.version == Version::HTTP_2 { "2" } else { "1.1" };
    server.attributes = vec![
        Attribute::text("http.request.method", if method == "other" { "_OTHER" } else { method }),
        Attribute::text("url.path", &*exchange.path),
        Attribute::text("server.address", &*exchange.host),
        Attribute::text("network.protocol.version", protocol),
        Attribute::text("portcullis.request_id", exchange.request_id.as_str()),
        Attribute::text("portcullis.route", told.route.map_or(super::record::NO_ROUTE, |route| &*route.name)),
        Attribute::text("portcullis.outcome", told.outcome),
        Attribute::text("portcullis.reason", told.reason),
    ];
    server.attributes.extend(pattern.map(|pattern| Attribute::text("http.route", pattern)));
    server
        .attributes
        .extend(exchange.client().map(|client| Attribute::text("client.address", client.to_string())));
    server.attributes.extend(told.auth_method.map(|kind| Attribute::text("portcullis.auth_method", kind)));
    if status > 0 {
        server.attributes.push(Attribute::number("http.response.status_code", status));
    }
    if status >= 500 {
        server.attributes.push(Attribute::text("error.type", status.to_string()));
    }
    spans.push(server);

    if let (Some(began), Some(took)) = (exchange.decision_began, exchange.decided_in) {
        let id = decision_id(&trace.server, &trace.client);
        let mut decision = span(id, Some(trace.server.clone()), began, began + took);
        "decide".clone_into(&mut decision.name);
        decision.attributes = vec![
            Attribute::text("portcullis.outcome", told.outcome),
            Attribute::text("portcullis.reason", told.reason),
        ];
        decision.attributes.extend(told.auth.map(|auth| Attribute::text("portcullis.auth", auth)));
        spans.push(decision);
    }

    if let (Some(chosen), Some(admission)) = (exchange.upstream_chosen, exchange.admission()) {
        let mut client = span(trace.client.clone(), Some(trace.server.clone()), chosen, now);
        client.kind = Kind::Client;
        method.clone_into(&mut client.name);
        let upstream = &admission.route().upstream;
        client.attributes = vec![
            Attribute::text("http.request.method", if method == "other" { "_OTHER" } else { method }),
            Attribute::text("portcullis.upstream", &*upstream.name),
        ];
        client
            .attributes
            .extend(exchange.upstream_host.clone().map(|host| Attribute::text("server.address", host)));
        let answered = exchange.upstream_took.is_some();
        if answered && status > 0 {
            client.attributes.push(Attribute::number("http.response.status_code", status));
        }
        let target =
            upstream.target_label(exchange.target).map(|target| Attribute::text("portcullis.target", target));
        client.attributes.extend(target);
        if !exchange.failed_attempts.is_empty() {
            let resent = exchange.failed_attempts.len() as u64;
            client.attributes.push(Attribute::number("http.request.resend_count", resent));
        }
        let failed = !answered || status >= 400 || exchange.upstream_error.is_some();
        if failed {
            let kind = match exchange.upstream_error {
                Some(error) => error.label().to_owned(),
                None if answered => status.to_string(),
                None => "no_answer".to_owned(),
            };
            client.attributes.push(Attribute::text("error.type", kind));
        }
        client.status = Status::failed_if(failed);
        spans.push(client);
    }
    tracer.record(spans);
}

/// The decision has an identifier that nobody else needs: one that is made from the two others, which are random.
fn decision_id(server: &str, client: &str) -> String {
    let [server, client] = [server, client].map(|id| hex::decode::<8>(id).unwrap_or_default());
    let mut id = [0; 8];
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = server[at] ^ client[at].rotate_left(1);
    }
    hex::encode(&id)
}

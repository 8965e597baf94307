//! Between the proxy library and the gateway: translates a session into a request, asks for a decision, and carries it
//! out. What is decided is decided elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{StatusCode, Version};
use pingora::connectors::L4Connect;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use super::answer::Answer;
use super::exchange::{Exchange, Verdict};
use super::facts::Facts;
use super::forward::{self, Preparation, client_address, is_trusted};
use super::peer::{self, Need, Reuse};
use super::request_id::{REQUEST_ID, RequestId};
use super::shared::Shared;
use super::{failure, reading, record, redirect, reply};
use crate::config::listeners::ListenerKind;
use crate::gateway::refusal::Refused;
use crate::gateway::upstream::Destination;

/// The callbacks of the proxy library.
pub(super) struct Edge {
    pub(super) shared: Arc<Shared>,
    pub(super) echo: Arc<dyn L4Connect + Send + Sync>,
}

/// How often the credential of a long request or answer is checked again.
const RECHECK: Duration = Duration::from_millis(250);

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new(self.shared.configuration.load_full(), self.shared.clock.unix_millis())
    }

    /// No modules: the gateway compresses and decompresses nothing.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        self.shared.metrics.requests_in_flight.inc();
        let Some(facts) = Facts::of(session).cloned() else {
            return Err(Error::explain(ErrorType::InternalError, "a connection without facts"));
        };
        self.begin(session, exchange, &facts);
        if facts.listener == ListenerKind::Redirect {
            return self.redirect(session, exchange, &facts).await;
        }
        match self.decide(session, exchange, &facts).await {
            Ok(admission) => {
                exchange.verdict = Verdict::Admitted(admission);
                forward::accept(session.req_header_mut(), facts.asks_for_upgrade());
                // A 100 goes out before the body has come, and is no reason to close; see `response_filter`.
                session.set_close_on_response_before_downstream_finish(false);
                Ok(false)
            }
            Err(refused) => {
                self.part(session);
                let answer = Answer::new(&refused.refusal, &exchange.request_id, exchange.trace_id());
                exchange.verdict = Verdict::Refused(refused);
                answer.write(session).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, session: &mut Session, exchange: &mut Exchange) -> Result<Box<HttpPeer>> {
        let Some(admission) = exchange.admission() else {
            return Err(Error::explain(ErrorType::InternalError, "no admission, no upstream"));
        };
        let upstream = admission.route().upstream.clone();
        exchange.upstream_chosen.get_or_insert_with(Instant::now);
        exchange.targets_tried += 1;
        let need = if session.is_upgrade_req() {
            Need::Upgrade
        } else if session.req_header().version == Version::HTTP_2 {
            Need::Two
        } else {
            Need::One
        };
        let reuse = if exchange.upstream_closed { Reuse::Never } else { Reuse::Allowed };
        match &upstream.destination {
            Destination::Echo => Ok(peer::for_builtin(self.echo.clone(), upstream.timeouts)),
            Destination::Targets(targets) => {
                // A target whose name has no address is passed over, as long as there is another one.
                for _ in 0..targets.len() {
                    let Some(target) = targets.next() else { break };
                    if let Some(address) = super::resolve::pick(target) {
                        exchange.upstream_host = exchange.trace.as_ref().map(|_| target.host.clone());
                        return Ok(peer::for_target(target, address, upstream.timeouts, need, reuse));
                    }
                }
                Err(Error::new_up(ErrorType::ConnectNoRoute))
            }
        }
    }

    /// A target that cannot be reached has seen nothing of the request, so the next one may be asked.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        exchange: &mut Exchange,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let others =
            exchange.admission().map_or(0, |admission| match &admission.route().upstream.destination {
                Destination::Echo => 0,
                Destination::Targets(targets) => targets.len().saturating_sub(exchange.targets_tried),
            });
        error.set_retry(others > 0);
        error
    }

    /// What may be repeated is repeated when a connection turns out to have been closed by the upstream meanwhile.
    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        exchange: &mut Exchange,
        reused: bool,
    ) -> Box<Error> {
        // RFC 9110 §9.2.2: a proxy does not repeat what is not idempotent.
        if session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated() {
            error.retry.decide_reuse(reused);
        } else {
            error.set_retry(false);
        }
        exchange.upstream_closed |= error.retry();
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let (Some(admission), Some(facts)) = (exchange.admission(), Facts::of(session)) else {
            return Err(Error::explain(ErrorType::InternalError, "no admission, no upstream"));
        };
        if session.is_upgrade_req() {
            facts.upgrade.ask(admission.route().upstream.timeouts.request);
        }
        let gateway = &exchange.configuration.gateway;
        let preparation = Preparation {
            admission,
            connection: &facts.connection,
            identity_headers: &gateway.identity_headers,
            trusted_proxies: &gateway.trusted_proxies,
            request_id: &exchange.request_id,
            trace: exchange.trace.as_ref(),
        };
        preparation.apply(request)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        self.check_again(exchange)?;
        // An empty piece at the end is what HTTP/2 ends many bodies with. The library would write it as the last chunk,
        // and then the last chunk: the second one would be read as the beginning of the next request.
        if end && body.as_ref().is_some_and(Bytes::is_empty) {
            *body = None;
        }
        if let Some(piece) = body {
            exchange.received += piece.len() as u64;
            if exchange.received > exchange.configuration.gateway.limits.request_body_bytes {
                return Err(Error::explain(
                    ErrorType::HTTPStatus(413),
                    "the body is larger than the policy allows",
                ));
            }
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if let Some(chosen) = exchange.upstream_chosen
            && exchange.upstream_took.is_none()
        {
            exchange.upstream_took = Some(chosen.elapsed());
        }
        reply::prepare(response, session.is_upgrade_req())?;
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            self.grant_lease(session, exchange);
            // What is spoken from now on has its own idea of how long a silence may be.
            session.set_read_timeout(None);
            return Ok(());
        }
        if !response.status.is_informational() {
            self.part(session);
            if let Some(facts) = Facts::of(session) {
                facts.upgrade.decline();
            }
            // A client that has not sent all of its body may send the rest or not: where its next request would begin is
            // not known.
            if !session.is_body_done() {
                session.set_keepalive(None);
            }
        }
        if !response.headers.contains_key(REQUEST_ID) {
            response.insert_header(REQUEST_ID, exchange.request_id.value().clone())?;
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        _end: bool,
        exchange: &mut Exchange,
    ) -> Result<Option<Duration>> {
        self.check_again(exchange)?;
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        failure::answer(&self.shared, session, error, exchange).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        self.shared.metrics.requests_in_flight.dec();
        record::finish(&self.shared, session, error, exchange);
    }

    /// The library's error lines contain paths and addresses; what they say is in the access log and the metrics.
    fn suppress_error_log(&self, _session: &Session, _exchange: &Exchange, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _exchange: &Exchange,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    fn request_summary(&self, _session: &Session, exchange: &Exchange) -> String {
        format!("request {}", exchange.request_id.as_str())
    }
}

impl Edge {
    /// Notes what the log will want to know, whatever becomes of the request.
    fn begin(&self, session: &mut Session, exchange: &mut Exchange, facts: &Facts) {
        let gateway = &exchange.configuration.gateway;
        let peer = facts.connection.peer;
        let request = session.req_header();
        if request.version != Version::HTTP_2 {
            exchange.began = facts.request_began();
        }
        exchange.client = Some(client_address(request, peer, &gateway.trusted_proxies));
        let believed = is_trusted(peer, &gateway.trusted_proxies).then_some(&request.headers);
        let sent = believed.and_then(|headers| headers.get(REQUEST_ID));
        exchange.request_id = sent.and_then(RequestId::accept).unwrap_or_else(RequestId::fresh);
        exchange.trace = self.shared.tracer.as_ref().and_then(|tracer| tracer.begin(believed));
        let limits = gateway.limits;
        session.set_read_timeout(Some(limits.body_timeout));
        session.set_write_timeout(Some(limits.body_timeout));
        self.part(session);
    }

    /// Makes the answer that is about to be written the last one on its connection, if the process is ending. Over HTTP/2
    /// the library says so by itself.
    fn part(&self, session: &mut Session) {
        if self.shared.drain.has_begun() {
            session.set_keepalive(None);
        }
    }

    async fn decide(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        facts: &Facts,
    ) -> Result<crate::gateway::admission::Admission, Refused> {
        let configuration = exchange.configuration.clone();
        let gateway = &configuration.gateway;
        let client = exchange.client.unwrap_or(facts.connection.peer);
        let request = reading::parse(session.req_header(), facts, client, &gateway.limits)
            .map_err(Refused::without_route)?;
        request.host().clone_into(&mut exchange.host);
        exchange.path = record::loggable_path(request.target().path());
        reading::check(&request, facts, self.shared.tls.as_ref(), &gateway.limits)
            .map_err(Refused::without_route)?;
        let before = Instant::now();
        exchange.decision_began = Some(before);
        let verdict = gateway.admit(&request, self.shared.clock.unix_seconds()).await;
        exchange.decided_in = Some(before.elapsed());
        verdict
    }

    async fn redirect(&self, session: &mut Session, exchange: &mut Exchange, facts: &Facts) -> Result<bool> {
        match redirect::location(session.req_header(), facts, self.shared.tls_port) {
            Ok(location) => {
                exchange.verdict = Verdict::Redirected;
                Answer::redirect(location, &exchange.request_id).write(session).await?;
            }
            Err(refusal) => {
                let answer = Answer::new(&refusal, &exchange.request_id, exchange.trace_id());
                exchange.verdict = Verdict::Refused(Refused::without_route(refusal));
                answer.write(session).await?;
            }
        }
        Ok(true)
    }

    /// Lets an upgraded connection go on for as long as its credential is good.
    fn grant_lease(&self, session: &Session, exchange: &Exchange) {
        let Some(facts) = Facts::of(session) else { return };
        let identity = exchange.admission().and_then(|admission| admission.leased_to()).cloned();
        let shared = self.shared.clone();
        facts
            .upgrade
            .agree(Box::new(move || identity.as_ref().is_none_or(|identity| is_good(&shared, identity))));
    }

    /// Ends a request or an answer that goes on for long when its credential was revoked or has expired meanwhile.
    fn check_again(&self, exchange: &mut Exchange) -> Result<()> {
        if exchange.checked.elapsed() < RECHECK {
            return Ok(());
        }
        exchange.checked = Instant::now();
        let identity = exchange.admission().and_then(|admission| admission.leased_to());
        if identity.is_none_or(|identity| is_good(&self.shared, identity)) {
            Ok(())
        } else {
            Err(Error::explain(ErrorType::ConnectionClosed, "the credential is no longer good"))
        }
    }
}

/// Whether a credential that was good when its request began still is, by the policy of now.
fn is_good(shared: &Shared, identity: &crate::authn::Identity) -> bool {
    let gateway = &shared.configuration.load().gateway;
    identity.validity.check(shared.clock.unix_seconds()).is_ok()
        && gateway.revocations.confirm(&identity.revocable).is_ok()
}

//! How a request begins: it is read, decided on, and answered at once unless it is admitted.

use std::time::Instant;

use http::Version;
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType, Result};

use super::Edge;
use super::passage::close_unless_discarded;
use crate::config::listeners::ListenerKind;
use crate::gateway::admission::Admission;
use crate::gateway::refusal::{Refusal, Refused};
use crate::proxy::answer::Answer;
use crate::proxy::exchange::{Exchange, Verdict};
use crate::proxy::facts::Facts;
use crate::proxy::forward;
use crate::proxy::request_id::{REQUEST_ID, RequestId};
use crate::proxy::{reading, record, redirect};
use crate::request::origin::Origin;

impl Edge {
    /// Decides on the request whose head is in `session`. Returns whether it was answered; otherwise it is admitted.
    pub(super) async fn arrive(&self, session: &mut ServerSession, exchange: &mut Exchange) -> Result<bool> {
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
                Ok(false)
            }
            Err(refused) => {
                close_unless_discarded(session, exchange);
                self.part(session);
                let answer = exchange.refuse(&refused.refusal, session.req_header());
                exchange.verdict = Verdict::Refused(refused);
                answer.write(session).await?;
                Ok(true)
            }
        }
    }

    /// Notes what the log will want to know, whatever becomes of the request.
    fn begin(&self, session: &mut ServerSession, exchange: &mut Exchange, facts: &Facts) {
        let gateway = &exchange.configuration.gateway;
        let peer = facts.connection.peer;
        let request = session.req_header();
        if request.version != Version::HTTP_2 {
            exchange.began = facts.request_began();
        }
        let origin = Origin::of(&request.headers, peer, &gateway.trusted_proxies);
        let believed = origin.is_forwarded().then_some(&request.headers);
        let sent = believed.and_then(|headers| headers.get(REQUEST_ID));
        exchange.request_id = sent.and_then(RequestId::accept).unwrap_or_else(RequestId::fresh);
        exchange.origin = Some(origin);
        exchange.trace = self.shared.tracer.as_ref().and_then(|tracer| tracer.begin(believed));
        let limits = gateway.limits;
        session.set_read_timeout(Some(limits.body_timeout));
        session.set_write_timeout(Some(limits.body_timeout));
        // Whether an early response ends the connection is decided in `close_unless_discarded`; an early 100 never does.
        session.set_close_on_response_before_downstream_finish(false);
        // A client of HTTP/1.0 would take an interim answer for its answer (RFC 9110 §15.2).
        session.set_ignore_info_resp(session.req_header().version == Version::HTTP_10);
        self.part(session);
    }

    async fn decide(
        &self,
        session: &mut ServerSession,
        exchange: &mut Exchange,
        facts: &Facts,
    ) -> Result<Admission, Refused> {
        let configuration = exchange.configuration.clone();
        let gateway = &configuration.gateway;
        let Some(origin) = &exchange.origin else {
            return Err(Refused::without_route(Refusal::UpstreamFailed));
        };
        let request = reading::parse(session.req_header(), facts, origin, &gateway.limits)
            .map_err(Refused::without_route)?;
        request.host().clone_into(&mut exchange.host);
        exchange.path = record::loggable_path(request.target().path());
        let request =
            reading::check(request, facts, self.shared.tls.as_ref()).map_err(Refused::without_route)?;
        let before = Instant::now();
        exchange.decision_began = Some(before);
        let verdict = gateway.admit(&request, self.shared.clock.unix_seconds()).await;
        exchange.decided_in = Some(before.elapsed());
        verdict
    }

    async fn redirect(
        &self,
        session: &mut ServerSession,
        exchange: &mut Exchange,
        facts: &Facts,
    ) -> Result<bool> {
        close_unless_discarded(session, exchange);
        match redirect::location(session.req_header(), facts, self.shared.tls_port) {
            Ok(location) => {
                exchange.verdict = Verdict::Redirected;
                Answer::redirect(location, &exchange.request_id).write(session).await?;
            }
            Err(refusal) => {
                let answer = exchange.refuse(&refusal, session.req_header());
                exchange.verdict = Verdict::Refused(Refused::without_route(refusal));
                answer.write(session).await?;
            }
        }
        Ok(true)
    }
}

//! One request, from its head to its line in the log, and what becomes of its connection.

use std::sync::Arc;

use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType, Result};

use super::{Edge, passage};
use crate::config::Configuration;
use crate::gateway::Limits;
use crate::proxy::discard::{Budget, discard_stream};
use crate::proxy::exchange::Exchange;
use crate::proxy::failure;

/// What becomes of an HTTP/1 connection after a request.
pub(in crate::proxy) enum AfterRequest {
    /// It is closed. If the HTTP library has given it back, the client can still read the response.
    Close,
    /// The rest of the body is discarded, and then another request may follow. The HTTP library has given it back.
    Discard,
    /// Another request may follow.
    Next(Stream),
}

impl Edge {
    /// Serves the request whose head waits to be read from `stream`, by `configuration`, all of whose upstreams must speak
    /// HTTP/1.1.
    pub(in crate::proxy) async fn conduct(
        &self,
        stream: Stream,
        configuration: Arc<Configuration>,
    ) -> AfterRequest {
        let mut session = ServerSession::new_http1(stream);
        if !matches!(session.read_request().await, Ok(true)) {
            // The head was judged before, so whatever the library has against it has no reason of ours.
            let _ = session.respond_error(400).await;
            session.shutdown().await;
            return AfterRequest::Close;
        }
        if !self.carry(&mut session, configuration).await {
            // Dropped as it is: an orderly end could make a response that was cut look like a whole one.
            return AfterRequest::Close;
        }
        if session.is_body_done() {
            return match session.finish().await {
                Ok(Some(reusable)) => AfterRequest::Next(reusable.into_parts().0),
                Ok(None) | Err(_) => AfterRequest::Close,
            };
        }
        let keeps = session.get_keepalive().is_some();
        // The library would read the body itself, without these bounds.
        session.set_keepalive(None);
        let _ = session.finish().await;
        if keeps { AfterRequest::Discard } else { AfterRequest::Close }
    }

    /// Serves the request whose head came on a stream of HTTP/2, by `configuration`, all of whose upstreams must speak
    /// HTTP/1.1.
    pub(in crate::proxy) async fn conduct_stream(
        &self,
        mut session: ServerSession,
        configuration: Arc<Configuration>,
    ) {
        let limits = configuration.gateway.limits;
        if self.carry(&mut session, configuration).await && session.finish_body().await.is_ok() {
            self.discard_stream(&mut session, &limits).await;
        }
        // A stream that is dropped before its end is reset.
    }

    /// Discards what the client still sends on a stream of HTTP/2 after the whole response.
    pub(super) async fn discard_stream(&self, session: &mut ServerSession, limits: &Limits) {
        let budget = Budget::begin(limits);
        if session.is_body_done() || budget.is_empty() {
            return;
        }
        let discarded = discard_stream(session, budget).await;
        self.shared.metrics.discarded_bodies(discarded.label()).inc();
    }

    /// Serves a request and logs it. Returns whether the client was sent a whole response.
    async fn carry(&self, session: &mut ServerSession, configuration: Arc<Configuration>) -> bool {
        let mut exchange = Exchange::new(configuration, self.shared.clock.unix_millis());
        exchange.can_discard = true;
        let outcome = self.serve(session, &mut exchange).await;
        if let Err(error) = &outcome {
            failure::answer(session, error, &mut exchange).await;
        }
        self.depart(session, &exchange);
        outcome.is_ok() || exchange.refusal_written
    }

    async fn serve(&self, session: &mut ServerSession, exchange: &mut Exchange) -> Result<()> {
        if self.arrive(session, exchange).await? {
            return Ok(());
        }
        if !passage::may_relay(session, exchange) {
            return Err(Error::explain(ErrorType::InternalError, "an upstream that cannot be spoken to"));
        }
        self.relay(session, exchange).await
    }
}

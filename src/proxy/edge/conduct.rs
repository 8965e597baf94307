//! One request, from its head to its line in the log.

use std::sync::Arc;

use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType, Result};

use super::{Edge, passage};
use crate::config::Configuration;
use crate::proxy::exchange::Exchange;
use crate::proxy::failure;

impl Edge {
    /// Serves the request whose head waits to be read from `stream`, by `configuration`, all of whose upstreams must speak
    /// HTTP/1.1. Returns the connection if there may be another request on it.
    pub(in crate::proxy) async fn conduct(
        &self,
        stream: Stream,
        configuration: Arc<Configuration>,
    ) -> Option<Stream> {
        let mut session = ServerSession::new_http1(stream);
        if !matches!(session.read_request().await, Ok(true)) {
            // The head was judged before, so whatever the library has against it has no reason of ours.
            let _ = session.respond_error(400).await;
            session.shutdown().await;
            return None;
        }
        self.carry(&mut session, configuration).await.ok()?;
        let (stream, _) = session.finish().await.ok()??.into_parts();
        Some(stream)
    }

    /// Serves the request whose head came on a stream of HTTP/2, by `configuration`, all of whose upstreams must speak
    /// HTTP/1.1.
    pub(in crate::proxy) async fn conduct_stream(
        &self,
        mut session: ServerSession,
        configuration: Arc<Configuration>,
    ) {
        if self.carry(&mut session, configuration).await.is_ok() {
            let _ = session.finish().await;
        }
        // A stream that is dropped before its end is reset.
    }

    async fn carry(&self, session: &mut ServerSession, configuration: Arc<Configuration>) -> Result<()> {
        let mut exchange = Exchange::new(configuration, self.shared.clock.unix_millis());
        let outcome = self.serve(session, &mut exchange).await;
        if let Err(error) = &outcome {
            failure::answer(session, error, &mut exchange).await;
        }
        self.depart(session, &exchange);
        outcome
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

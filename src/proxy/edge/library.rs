//! The callbacks of the proxy library.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};

use super::{Edge, passage};
use crate::proxy::exchange::Exchange;
use crate::proxy::{failure, trailers};

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new(self.shared.configuration.load_full(), self.shared.clock.unix_millis())
    }

    /// No modules: the gateway compresses and decompresses nothing.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        if self.arrive(session, exchange).await? {
            return Ok(true);
        }
        if !passage::may_relay(session, exchange) {
            return Ok(false);
        }
        self.relay(session, exchange).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, session: &mut Session, exchange: &mut Exchange) -> Result<Box<HttpPeer>> {
        self.choose_peer(session, exchange)
    }

    /// A target that cannot be reached has seen nothing of the request, so the next one may be asked.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        exchange: &mut Exchange,
        mut error: Box<Error>,
    ) -> Box<Error> {
        passage::fail_to_connect(&self.shared, exchange, &mut error);
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
        passage::fail_to_exchange(&self.shared, session, exchange, &mut error, reused);
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        passage::prepare(session, request, exchange)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        // With an upstream over HTTP/2, the library waits for its response after any error that is not the client's.
        self.filter_request_body(body, end, exchange).map_err(Error::into_down)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        self.filter_response(session, response, exchange)
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

    async fn response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut HeaderMap,
        exchange: &mut Exchange,
    ) -> Result<Option<Bytes>> {
        trailers::remove_forbidden(trailers, &exchange.configuration.gateway.identity_headers);
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        let outcome = failure::answer(session, error, exchange).await;
        if exchange.refusal_written && !session.is_http2() {
            // Gives the connection back, which the library would drop.
            session.shutdown().await;
        }
        outcome
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        self.depart(session, exchange);
        if session.is_http2() && (error.is_none() || exchange.refusal_written) {
            let limits = exchange.configuration.gateway.limits;
            self.discard_stream(session, &limits).await;
        }
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

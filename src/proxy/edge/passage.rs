//! The stages of a request that was admitted, whoever carries it upstream.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{StatusCode, Version, header};
use log::{info, warn};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use super::Edge;
use crate::authn::Identity;
use crate::gateway::upstream::{Destination, Protocol, Target, Targets, Upstream, UpstreamError};
use crate::proxy::discard::keeps_connection;
use crate::proxy::exchange::Exchange;
use crate::proxy::facts::Facts;
use crate::proxy::forward::Preparation;
use crate::proxy::location::UpstreamView;
use crate::proxy::peer::{self, Need, Reuse};
use crate::proxy::request_id::REQUEST_ID;
use crate::proxy::shared::Shared;
use crate::proxy::{failure, record, reply, resolve};

/// How often the credential of a long request or answer is checked again.
const RECHECK: Duration = Duration::from_millis(250);

/// Who takes a request back later than this may have waited for an answer for as long as it can.
const SOON: Duration = Duration::from_secs(1);

impl Edge {
    /// The server that the request goes to this time.
    pub(super) fn choose_peer(
        &self,
        session: &ServerSession,
        exchange: &mut Exchange,
    ) -> Result<Box<HttpPeer>> {
        let Some(admission) = exchange.admission() else {
            return Err(Error::explain(ErrorType::InternalError, "no admission, no upstream"));
        };
        let upstream = admission.route().upstream.clone();
        let timeouts = admission.route().timeouts();
        exchange.upstream_chosen.get_or_insert_with(Instant::now);
        exchange.targets_tried += 1;
        let reuse = if exchange.upstream_closed { Reuse::Never } else { Reuse::Allowed };
        match &upstream.destination {
            Destination::Echo => {
                exchange.begin_attempt();
                Ok(peer::for_builtin(self.echo.clone(), timeouts))
            }
            Destination::Targets(targets) => {
                let chosen = self.choose_target(&upstream, targets, exchange);
                let (target, address) = chosen.ok_or_else(|| Error::new_up(failure::NO_ADDRESS))?;
                exchange.upstream_host = exchange.trace.as_ref().map(|_| target.host.clone());
                let mut peer = peer::for_target(target, address, timeouts, need(session), reuse);
                if !may_relay(session, exchange) && is_stream(session) {
                    // The library has one timeout for the head and the body of a response.
                    peer.options.read_timeout =
                        peer.options.read_timeout.map(|timeout| timeout.max(timeouts.stream_idle));
                }
                Ok(peer)
            }
        }
    }

    /// The next target in turn that is not skipped, or, if all are, the next one at which this request has not failed.
    fn choose_target<'a>(
        &self,
        upstream: &Upstream,
        targets: &'a Targets,
        exchange: &mut Exchange,
    ) -> Option<(&'a Target, SocketAddr)> {
        let now = Instant::now();
        let may_skip = targets.len() > 1;
        for skips in [true, false] {
            for _ in 0..targets.len() {
                let (position, target) = targets.next()?;
                if skips && may_skip && !target.health.may_be_used(now)
                    || exchange.could_not_connect(position)
                {
                    continue;
                }
                if exchange.begin_attempt() {
                    upstream.series.retried();
                }
                exchange.target = Some(position);
                match resolve::pick(target) {
                    Some(address) => return Some((target, address)),
                    None => record_failure(&self.shared, exchange, UpstreamError::Dns),
                }
            }
        }
        None
    }

    /// Looks at a piece of the request's body before it goes upstream.
    pub(super) fn filter_request_body(
        &self,
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
            let limit = exchange
                .admission()
                .map(|admission| exchange.configuration.gateway.body_limit(admission.route()));
            if limit.is_none_or(|limit| exchange.received > limit) {
                let what = "the body is larger than the policy allows";
                return Err(Error::explain(ErrorType::HTTPStatus(413), what));
            }
        }
        Ok(())
    }

    /// Makes `response` what the client gets.
    pub(super) fn filter_response(
        &self,
        session: &mut ServerSession,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if let Some(chosen) = exchange.upstream_chosen
            && exchange.upstream_took.is_none()
        {
            exchange.upstream_took = Some(chosen.elapsed());
        }
        recover_target(exchange);
        reply::prepare(response, session.is_upgrade_req())?;
        if let (Some(view), Some(admission)) = (&exchange.upstream_view, exchange.admission()) {
            view.map_references(admission.route(), response)?;
        }
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            self.grant_lease(session, exchange);
            // From now on, `stream_idle` bounds a silence, which the connection of the client keeps.
            session.set_read_timeout(None);
            return Ok(());
        }
        if !response.status.is_informational() {
            self.part(session);
            if let Some(facts) = Facts::of(session) {
                facts.upgrade.decline();
            }
            close_unless_discarded(session, exchange);
        }
        // A client of HTTP/1.0 knows no chunks: its answer ends with the connection (RFC 9112 §6.1).
        if session.req_header().version == Version::HTTP_10
            && response.remove_header(&header::TRANSFER_ENCODING).is_some()
        {
            session.set_keepalive(None);
        }
        if !response.headers.contains_key(REQUEST_ID) {
            response.insert_header(REQUEST_ID, exchange.request_id.value().clone())?;
        }
        Ok(())
    }

    /// Makes the answer that is about to be written the last one on its connection, if the process is ending. Over HTTP/2
    /// the library says so by itself.
    pub(super) fn part(&self, session: &mut ServerSession) {
        if self.shared.drain.has_begun() {
            session.set_keepalive(None);
        }
    }

    /// Writes the exchange down when it is over.
    pub(super) fn depart(&self, session: &ServerSession, exchange: &Exchange) {
        self.shared.metrics.requests_in_flight.dec();
        if session.response_written().is_none()
            && exchange.began.elapsed() < SOON
            && let Some(facts) = Facts::of(session)
        {
            facts.take_back();
        }
        record::finish(&self.shared, session, exchange);
    }

    /// Lets an upgraded connection go on for as long as its credential is good.
    fn grant_lease(&self, session: &ServerSession, exchange: &Exchange) {
        let Some(facts) = Facts::of(session) else { return };
        let identity = exchange.admission().and_then(|admission| admission.leased_to()).cloned();
        let shared = self.shared.clone();
        let holds = move || identity.as_ref().is_none_or(|identity| is_good(&shared, identity));
        let idle = stream_idle(exchange).unwrap_or(Duration::MAX);
        facts.upgrade.agree(Box::new(holds), idle);
    }

    /// Ends a request or an answer that goes on for long when its credential was revoked or has expired meanwhile.
    pub(super) fn check_again(&self, exchange: &mut Exchange) -> Result<()> {
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

/// How long a response may pause after its head.
pub(super) fn stream_idle(exchange: &Exchange) -> Option<Duration> {
    exchange.admission().map(|admission| admission.route().timeouts().stream_idle)
}

/// Whether a credential that was good when its request began still is, by the policy of now.
fn is_good(shared: &Shared, identity: &Identity) -> bool {
    let gateway = &shared.configuration.load().gateway;
    identity.validity.check(shared.clock.unix_seconds()).is_ok()
        && gateway.revocations.confirm(&identity.revocable).is_ok()
}

/// Makes the response that is about to be written the last one on its connection, unless the client has sent its whole
/// request or the gateway can discard the rest. Only then is it known where the next request begins.
pub(super) fn close_unless_discarded(session: &mut ServerSession, exchange: &Exchange) {
    let limits = &exchange.configuration.gateway.limits;
    let goes_on = session.is_body_done() || exchange.can_discard && keeps_connection(session, limits);
    if !goes_on {
        session.set_keepalive(None);
    }
}

/// Whether an admitted request is for an upstream that speaks HTTP/1.1 with it.
pub(super) fn may_relay(session: &ServerSession, exchange: &Exchange) -> bool {
    let Some(admission) = exchange.admission() else { return false };
    match (&admission.route().upstream.destination, need(session)) {
        (_, Need::Upgrade) => false,
        (Destination::Echo, Need::One | Need::Two) => true,
        (Destination::Targets(targets), need) => targets.iter().all(|target| match target.protocol {
            Protocol::Http => true,
            Protocol::Https => need == Need::One,
            Protocol::HttpTwo => false,
        }),
    }
}

/// Records that no connection with a target was established. The target has received nothing, so the request may go to
/// another one.
pub(super) fn fail_to_connect(shared: &Shared, exchange: &mut Exchange, error: &mut Error) {
    record_failure(shared, exchange, failure::connect_error(error));
    skip_target(exchange);
    let others = exchange.admission().map_or(0, |admission| match &admission.route().upstream.destination {
        Destination::Echo => 0,
        Destination::Targets(targets) => targets.len().saturating_sub(exchange.targets_tried),
    });
    error.set_retry(others > 0);
}

/// Records that an exchange with a target failed, and decides whether the request is sent again: the upstream may have
/// closed a connection that was kept.
pub(super) fn fail_to_exchange(
    shared: &Shared,
    session: &ServerSession,
    exchange: &mut Exchange,
    error: &mut Error,
    reused: bool,
) {
    // RFC 9110 §9.2.2: a proxy does not repeat a request that is not idempotent.
    if session.req_header().method.is_idempotent() && !session.retry_buffer_truncated() {
        error.retry.decide_reuse(reused);
    } else {
        error.set_retry(false);
    }
    let upstream_error = failure::upstream_error(session, error);
    if error.retry() {
        exchange.upstream_closed = true;
        // Its body is counted anew as it is sent anew.
        exchange.received = 0;
        // An upstream may close a connection that it does not use. That is not a failure of the target.
        exchange.upstream_error = upstream_error;
    } else if let Some(upstream_error) = upstream_error {
        record_failure(shared, exchange, upstream_error);
    }
}

/// Lets requests use other targets for a while.
fn skip_target(exchange: &Exchange) {
    let Some((upstream, targets, target)) = target_of(exchange) else { return };
    if target.health.skip(Instant::now()) && targets.len() > 1 {
        let (name, label) = (&upstream.name, &target.label);
        warn!(
            "upstream {name}, target {label}: no connection, so requests use other targets and try it from time to time"
        );
    }
}

/// Notes that the target of `exchange` has sent a response.
fn recover_target(exchange: &Exchange) {
    let Some((upstream, targets, target)) = target_of(exchange) else { return };
    if target.health.recover() && targets.len() > 1 {
        info!(
            "upstream {}, target {}: responds again, so requests use it again",
            upstream.name, target.label
        );
    }
}

fn target_of(exchange: &Exchange) -> Option<(&Upstream, &Targets, &Target)> {
    let upstream = &exchange.admission()?.route().upstream;
    match &upstream.destination {
        Destination::Echo => None,
        Destination::Targets(targets) => Some((upstream, targets, targets.get(exchange.target?)?)),
    }
}

/// Whether a response may pause for longer than other responses: gRPC, and server-sent events.
fn is_stream(session: &ServerSession) -> bool {
    let headers = &session.req_header().headers;
    let begins = |name, prefix: &[u8]| {
        headers.get(name).is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(prefix))
    };
    begins(header::CONTENT_TYPE, b"application/grpc") || begins(header::ACCEPT, b"text/event-stream")
}

/// Counts a failed attempt, and reports it in the log of the process once in an interval.
fn record_failure(shared: &Shared, exchange: &mut Exchange, error: UpstreamError) {
    exchange.upstream_error = Some(error);
    let Some(admission) = exchange.admission() else { return };
    let upstream = &admission.route().upstream;
    let Some(label) = upstream.target_label(exchange.target) else { return };
    let now = shared.clock.unix_seconds();
    upstream.series.failed(label, error.kind(), now);
    let Destination::Targets(targets) = &upstream.destination else { return };
    let Some(target) = exchange.target.and_then(|position| targets.get(position)) else { return };
    let Some(unreported) = target.health.record_failure(error, Instant::now(), now) else { return };
    let (name, cause, code) = (&upstream.name, error.description(), error.label());
    match unreported {
        0 => warn!("upstream {name}, target {label}: {cause} ({code})"),
        more => warn!(
            "upstream {name}, target {label}: {cause} ({code}), {more} more times since the last report"
        ),
    }
}

/// Makes `request` what the upstream gets.
pub(super) fn prepare(
    session: &ServerSession,
    request: &mut RequestHeader,
    exchange: &mut Exchange,
) -> Result<()> {
    let (Some(admission), Some(origin), Some(facts)) =
        (exchange.admission(), &exchange.origin, Facts::of(session))
    else {
        return Err(Error::explain(ErrorType::InternalError, "no admission, no upstream"));
    };
    if session.is_upgrade_req() {
        facts.upgrade.ask(admission.route().timeouts().request);
    }
    let gateway = &exchange.configuration.gateway;
    let preparation = Preparation {
        admission,
        connection: &facts.connection,
        identity_headers: &gateway.identity_headers,
        host: admission.route().upstream.host_for(exchange.target),
        origin,
        request_id: &exchange.request_id,
        trace: exchange.trace.as_ref(),
    };
    preparation.apply(request)?;
    if admission.route().changes_url() {
        exchange.upstream_view = Some(Box::new(UpstreamView::of(request)));
    }
    Ok(())
}

/// Which version of HTTP the request needs at the upstream.
fn need(session: &ServerSession) -> Need {
    if session.is_upgrade_req() {
        Need::Upgrade
    } else if session.req_header().version == Version::HTTP_2 {
        Need::Two
    } else {
        Need::One
    }
}

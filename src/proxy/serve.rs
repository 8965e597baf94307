//! One connection from its first byte to its last: the handshake, and then its requests, one after the other. Those over
//! HTTP/2 come in [`streams`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::HttpServerApp;
use pingora::protocols::Ssl;
use pingora::protocols::http::ServerSession;
use pingora::protocols::{ALPN, Stream};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::answer::{Answer, ClientKind};
use super::discard::{Budget, Discarded};
use super::downstream::{Downstream, HeadOutcome, HeadTimes, Transport, Wire};
use super::drain::OpenConnection;
use super::edge::AfterRequest;
use super::engine::Engine;
use super::facts::Facts;
use super::reading::{self, head_limits};
use super::record;
use super::request_id::RequestId;
use super::shared::Shared;
use super::streams;
use super::tls::read_client_certificate;
use crate::config::listeners::ListenerKind;
use crate::gateway::Gateway;
use crate::gateway::refusal::Refusal;
use crate::gateway::upstream::Http2;
use crate::request::{self, Connection};

/// How long a connection that is about to be closed is listened to once more: what the system has received by then is
/// told to the process.
const LAST_LOOK: Duration = Duration::from_millis(20);

/// How long the last words of a connection may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Serves `stream`, which was counted as `_open`, until it is closed.
pub(super) async fn connection(
    engine: Arc<Engine>,
    _open: OpenConnection,
    stream: TcpStream,
    peer: SocketAddr,
    listener: ListenerKind,
) {
    let shared = &engine.edge.shared;
    let (limits, most) = {
        let gateway = &shared.configuration.load().gateway;
        (gateway.limits, most_of(gateway, peer.ip()))
    };
    let Some(_place) = shared.sources.enter(peer.ip(), most) else { return };
    // Answers are written whole, so waiting for more of them to fill a packet only delays.
    let _ = stream.set_nodelay(true);
    let downstream = match listener {
        ListenerKind::Tls => handshake(shared, stream, peer, limits.handshake_timeout).await,
        ListenerKind::Plaintext | ListenerKind::Redirect => {
            let connection =
                Connection { peer: peer.ip(), transport: request::Transport::Plaintext, certificate: None };
            Some(Downstream::new(Transport::Plain(stream), Arc::new(Facts::new(connection, listener, None))))
        }
    };
    let Some(mut downstream) = downstream else { return };
    if matches!(downstream.selected_alpn_proto(), Some(ALPN::H2)) {
        // The library would wait for it for ever.
        if !downstream.preface(limits.header_timeout).await {
            downstream.close(Budget::none()).await;
            return;
        }
        // On the heap, so that connections over HTTP/1 have no room for it.
        Box::pin(streams::serve(&engine, downstream, &limits)).await;
    } else {
        requests(&engine, Box::new(downstream)).await;
    }
}

/// How many connections one source may have open. A trusted proxy has those of all its clients.
fn most_of(gateway: &Gateway, peer: IpAddr) -> usize {
    if gateway.trusted_proxies.contains(peer) { usize::MAX } else { gateway.limits.connections_per_source }
}

async fn handshake(
    shared: &Shared,
    stream: TcpStream,
    peer: SocketAddr,
    within: Duration,
) -> Option<Downstream> {
    let config = shared.tls.as_ref()?.config();
    let Ok(Ok(stream)) = timeout(within, TlsAcceptor::from(config).accept(Wire::new(stream))).await else {
        shared.metrics.handshakes("failure", "none").inc();
        return None;
    };
    let session = stream.get_ref().1;
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "1.3",
        Some(_) | None => "1.2",
    };
    shared.metrics.handshakes("success", version).inc();
    let certificate = session.peer_certificates().and_then(|chain| chain.first());
    let connection = Connection {
        peer: peer.ip(),
        transport: request::Transport::Tls,
        certificate: certificate.and_then(|der| read_client_certificate(der)),
    };
    let server_name = session.server_name().map(str::to_ascii_lowercase);
    let facts = Arc::new(Facts::new(connection, ListenerKind::Tls, server_name));
    Some(Downstream::new(Transport::Tls(Box::new(stream)), facts))
}

/// Serves HTTP/1: each head is read and judged here, and only then handed to the library.
async fn requests(engine: &Engine, mut downstream: Box<Downstream>) {
    let shared = &engine.edge.shared;
    let facts = downstream.facts().clone();
    let watch = shared.drain.watch();
    let mut first = true;
    loop {
        let limits = shared.configuration.load().gateway.limits;
        let idle = if first { limits.header_timeout } else { limits.idle_timeout };
        first = false;
        downstream.rest();
        downstream.set_patience(limits.body_timeout);
        let times = HeadTimes { idle, whole: limits.header_timeout };
        let outcome = tokio::select! {
            biased;
            outcome = downstream.head(head_limits(&limits), times) => outcome,
            // A request that has begun, or has just arrived, is still answered.
            () = shared.drain.lingered() => {
                downstream.head(head_limits(&limits), HeadTimes { idle: LAST_LOOK, ..times }).await
            }
        };
        match outcome {
            HeadOutcome::Ready => {}
            HeadOutcome::Refused(error) => {
                return Box::pin(refuse(shared, &mut downstream, &reading::refusal(error))).await;
            }
            HeadOutcome::TimedOut => {
                return Box::pin(refuse(shared, &mut downstream, &Refusal::RequestTimeout)).await;
            }
            HeadOutcome::Closed | HeadOutcome::Idle => {
                return Box::pin(close(shared, &mut downstream)).await;
            }
        }
        let configuration = shared.configuration.load_full();
        let by_library =
            downstream.facts().asks_for_upgrade() || configuration.gateway.http2 == Http2::Required;
        let stream: Stream = downstream;
        let after = if by_library {
            // Not by a name of its own, for which a connection that waits would keep the place.
            let reused = engine.library.process_new_http(ServerSession::new_http1(stream), &watch).await;
            reused.map_or(AfterRequest::Close, |reused| AfterRequest::Next(reused.consume().0))
        } else {
            // On the heap, so that a connection that waits takes no room for it.
            Box::pin(engine.edge.conduct(stream, configuration)).await
        };
        let next = match after {
            AfterRequest::Next(stream) => stream.into_any().downcast::<Downstream>().ok(),
            AfterRequest::Discard => Box::pin(discard(shared, &facts)).await,
            AfterRequest::Close => {
                if let Some(mut given_back) = facts.take_connection() {
                    Box::pin(close(shared, &mut given_back)).await;
                }
                return;
            }
        };
        match next {
            // Fails closed: what is left of a body is never read as a request.
            Some(next) if !next.is_within_body() => downstream = next,
            Some(_) | None => return,
        }
    }
}

/// Discards the rest of the last request's body. Returns the connection if another request may follow.
async fn discard(shared: &Shared, facts: &Facts) -> Option<Box<Downstream>> {
    let mut connection = facts.take_connection()?;
    let mut budget = budget(shared);
    let discarded = connection.discard_body(&mut budget).await;
    shared.metrics.discarded_bodies(discarded.label()).inc();
    if discarded == Discarded::Completed {
        return Some(connection);
    }
    // The client had the time that there is to read the response.
    connection.close(Budget::none()).await;
    None
}

/// What may be discarded by the policy that is in place.
fn budget(shared: &Shared) -> Budget {
    Budget::begin(&shared.configuration.load().gateway.limits)
}

/// Ends a connection so that the client can read the last response.
async fn close(shared: &Shared, downstream: &mut Downstream) {
    if let Some(discarded) = downstream.close(budget(shared)).await {
        shared.metrics.discarded_bodies(discarded.label()).inc();
    }
}

/// Answers a request that has no acceptable head, and closes: where the next one would begin is not known.
async fn refuse(shared: &Shared, downstream: &mut Downstream, refusal: &Refusal) {
    let request_id = RequestId::fresh();
    let answer =
        Answer::new(refusal, ClientKind::Other, &request_id, None).to_http1(downstream.asks_for_head());
    let client = downstream.facts().connection.peer;
    let began_at = shared.clock.unix_millis();
    record::refused_early(
        shared,
        client,
        refusal.status().as_u16(),
        refusal.code(),
        request_id.as_str(),
        began_at,
    );
    downstream.lose_framing();
    if let Ok(Ok(())) = timeout(LAST_WORDS, downstream.write_all(&answer)).await {
        downstream.close(budget(shared)).await;
    }
}

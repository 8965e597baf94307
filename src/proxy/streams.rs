//! One connection over HTTP/2: each of its streams carries a request, which has a task of its own.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Accept, H2Options, HttpSession, default_h2_options, handshake};
use pingora::protocols::{Digest, GetProxyDigest, Stream};
use pingora::server::ShutdownWatch;
use tokio::select;
use tokio::time::{Instant, sleep_until};

use super::downstream::Downstream;
use super::engine::Engine;
use crate::gateway::Limits;
use crate::gateway::upstream::Http2;

/// Requests that are not even answered, since they contradict themselves (RFC 9113 §8.1.1), before their connection ends.
const MALFORMED: usize = 32;

/// How long an idle client has to take leave. What it had sent before it heard of the end is still answered.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves the requests on `downstream`, whose client has sent the preface of HTTP/2, until it is closed.
pub(super) async fn serve(engine: &Arc<Engine>, downstream: Downstream, limits: &Limits) {
    let digest = Arc::new(Digest { proxy_digest: downstream.get_proxy_digest(), ..Digest::default() });
    let stream: Stream = Box::new(downstream.open());
    let Ok(mut connection) = handshake(stream, Some(options(limits))).await else { return };
    let watch = engine.edge.shared.drain.watch();
    let mut draining = watch.clone();
    let mut draining = pin!(draining.wait_for(|begun| *begun));
    let streams = Arc::new(Streams::new());
    let mut look = pin!(sleep_until(Instant::now() + limits.idle_timeout));
    let mut ending = false;
    let mut malformed = 0;
    loop {
        select! {
            biased;
            _ = &mut draining, if !ending => {
                connection.graceful_shutdown();
                ending = true;
            }
            // This is also what reads and writes for all streams.
            accepted = HttpSession::from_h2_conn(&mut connection, digest.clone()) => match accepted {
                Ok(Some(H2Accept::Session(session))) => {
                    tokio::spawn(request(engine.clone(), session, watch.clone(), streams.enter()));
                }
                Ok(Some(H2Accept::Rejected)) => {
                    malformed += 1;
                    if malformed == MALFORMED {
                        return;
                    }
                }
                Ok(None) | Err(_) => return,
            },
            () = &mut look => match streams.idle_since() {
                Some(since) if since.elapsed() >= limits.idle_timeout => {
                    if ending {
                        return;
                    }
                    // RFC 9113 §6.8: a request that is on its way is not lost.
                    connection.graceful_shutdown();
                    ending = true;
                    look.as_mut().reset(Instant::now() + FAREWELL);
                }
                Some(since) => look.as_mut().reset(since + limits.idle_timeout),
                // It is looked at more often than it has to be, rather than each time that a request ends.
                None => look.as_mut().reset(Instant::now() + limits.idle_timeout / 4),
            },
        }
    }
}

/// Serves the request that `session` begins with.
async fn request(engine: Arc<Engine>, session: HttpSession, watch: ShutdownWatch, _open: OpenStream) {
    let session = ServerSession::new_http2(session);
    let configuration = engine.edge.shared.configuration.load_full();
    match configuration.gateway.http2 {
        Http2::Never => engine.edge.conduct_stream(session, configuration).await,
        Http2::Offered | Http2::Required => {
            // By the policy that is in place when it is decided, which may be the next one.
            drop(configuration);
            engine.library.process_new_http(session, &watch).await;
        }
    }
}

/// What a client may do on one connection before it is told to calm down (RFC 9113 §10.5).
fn options(limits: &Limits) -> H2Options {
    /// Streams that the library resets because of the client's errors; after that many the connection ends. Far fewer
    /// than by default: a client that means well makes none.
    const FAULTY_STREAMS: usize = 100;
    /// What is kept of an answer while the client does not read, for each stream.
    const SEND_BUFFER: usize = 64 << 10;
    /// What a field counts for beside its text (RFC 9113 §6.5.2).
    const FIELD: u64 = 32;
    /// The least that is unpacked of a head.
    const LEAST_HEAD: u64 = 64 << 10;
    let mut options = default_h2_options();
    // What the policy refuses is refused with an answer of ours, so the library's own limit only has to end excesses.
    let head = limits.request_header_bytes.saturating_mul(2) + FIELD * limits.request_headers as u64;
    options.max_header_list_size(u32::try_from(head.max(LEAST_HEAD)).unwrap_or(u32::MAX));
    options.max_concurrent_streams(limits.http2_streams);
    options.max_local_error_reset_streams(Some(FAULTY_STREAMS));
    options.max_send_buffer_size(SEND_BUFFER);
    options
}

/// How many streams of a connection are open.
struct Streams {
    /// When the connection began.
    began: Instant,
    open: AtomicUsize,
    /// When one last ended, in milliseconds since the beginning.
    last: AtomicU64,
}

/// A stream that is open; dropping it ends it.
struct OpenStream(Arc<Streams>);

impl Streams {
    fn new() -> Self {
        Self { began: Instant::now(), open: AtomicUsize::new(0), last: AtomicU64::new(0) }
    }

    fn enter(self: &Arc<Self>) -> OpenStream {
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenStream(self.clone())
    }

    /// Since when none is open, if none is.
    fn idle_since(&self) -> Option<Instant> {
        let idle = self.open.load(Ordering::Acquire) == 0;
        idle.then(|| self.began + Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let Self(streams) = self;
        let since = u64::try_from(streams.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        streams.last.store(since, Ordering::Relaxed);
        streams.open.fetch_sub(1, Ordering::Release);
    }
}

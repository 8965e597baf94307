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
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};

use super::downstream::Downstream;
use super::engine::Engine;
use crate::gateway::Limits;
use crate::gateway::upstream::Http2;

/// Requests that are not even answered, since they contradict themselves (RFC 9113 §8.1.1), before their connection ends.
const MALFORMED: usize = 32;

/// Requests that are taken back soon after they were made, before their client is told to go if they are most of all. Each
/// has cost a decision, and perhaps the upstream a connection (CVE-2023-44487).
const TAKEN_BACK: u32 = 200;

/// Requests that such a client makes all the same, before its connection ends with what it has under way.
const UNHEARD: u32 = 1000;

/// How long a client that is told to go has to take leave. What it had sent before it heard of the end is still answered.
const FAREWELL: Duration = Duration::from_secs(1);

/// `REFUSED_STREAM` and `ENHANCE_YOUR_CALM` (RFC 9113 §7).
const REFUSED: u32 = 0x7;
const CALM: u32 = 0xb;

/// Serves the requests on `downstream`, whose client has sent the preface of HTTP/2, until it is closed and each of them is
/// over.
pub(super) async fn serve(engine: &Arc<Engine>, downstream: Downstream, limits: &Limits) {
    let streams = Arc::new(Streams::new());
    accept(engine, downstream, limits, &streams).await;
    // A request may have been given up by its client and not have heard of it, because it waits for something else.
    streams.ended().await;
}

async fn accept(engine: &Arc<Engine>, downstream: Downstream, limits: &Limits, streams: &Arc<Streams>) {
    let digest = Arc::new(Digest { proxy_digest: downstream.get_proxy_digest(), ..Digest::default() });
    let facts = downstream.facts().clone();
    let stream: Stream = Box::new(downstream.open());
    let Ok(mut connection) = handshake(stream, Some(options(limits))).await else { return };
    let watch = engine.edge.shared.drain.watch();
    let mut drain = watch.clone();
    let mut draining = pin!(async move { drop(drain.wait_for(|begun| *begun).await) });
    let mut look = pin!(sleep_until(Instant::now() + limits.idle_timeout));
    let mut patience = limits.idle_timeout;
    let (mut leaves, mut told, mut rash) = (false, false, false);
    let (mut asked, mut unheard, mut malformed) = (0_u32, 0, 0);
    loop {
        if leaves && !told {
            // RFC 9113 §6.8: a request that is on its way is not lost.
            connection.graceful_shutdown();
            told = true;
            patience = FAREWELL;
            look.as_mut().reset(Instant::now() + patience);
        }
        select! {
            biased;
            () = &mut draining, if !leaves => leaves = true,
            // This is also what reads and writes for all streams.
            accepted = HttpSession::from_h2_conn(&mut connection, digest.clone()) => match accepted {
                Ok(Some(H2Accept::Session(mut session))) => {
                    asked = asked.saturating_add(1);
                    let taken_back = facts.taken_back();
                    rash |= taken_back >= TAKEN_BACK && taken_back > asked / 2;
                    leaves |= rash;
                    let open = if rash { None } else { streams.enter(limits.http2_streams).await };
                    match open {
                        Some(open) => {
                            tokio::spawn(request(engine.clone(), session, watch.clone(), open));
                        }
                        None => session.shutdown_with_reason(REFUSED.into()),
                    }
                    unheard += u32::from(rash);
                    if unheard == UNHEARD {
                        break;
                    }
                }
                Ok(Some(H2Accept::Rejected)) => {
                    malformed += 1;
                    if malformed == MALFORMED {
                        break;
                    }
                }
                Ok(None) | Err(_) => return,
            },
            () = &mut look => match streams.idle_since() {
                Some(since) if since.elapsed() >= patience => {
                    if told {
                        return;
                    }
                    leaves = true;
                }
                Some(since) => look.as_mut().reset(since + patience),
                // It is looked at more often than it has to be, rather than each time that a request ends.
                None => look.as_mut().reset(Instant::now() + patience / 4),
            },
        }
    }
    connection.abrupt_shutdown(CALM.into());
    let _ = timeout(FAREWELL, async {
        while let Ok(Some(_)) = HttpSession::from_h2_conn(&mut connection, digest.clone()).await {}
    })
    .await;
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
    /// Told when none is open any more.
    ended: Notify,
}

/// A stream that is open; dropping it ends it.
struct OpenStream(Arc<Streams>);

impl Streams {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            open: AtomicUsize::new(0),
            last: AtomicU64::new(0),
            ended: Notify::new(),
        }
    }

    /// Counts a stream, unless `most` are open already. To HTTP/2 one is over as soon as it is taken back (CVE-2023-44487),
    /// and here when its request has noticed.
    async fn enter(self: &Arc<Self>, most: u32) -> Option<OpenStream> {
        let is_full = || u32::try_from(self.open()).unwrap_or(u32::MAX) >= most;
        if is_full() {
            // Those that have heard of it get their turn.
            yield_now().await;
            if is_full() {
                return None;
            }
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(OpenStream(self.clone()))
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Waits until none is open.
    async fn ended(&self) {
        while self.open() > 0 {
            self.ended.notified().await;
        }
    }

    /// Since when none is open, if none is.
    fn idle_since(&self) -> Option<Instant> {
        (self.open() == 0).then(|| self.began + Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let Self(streams) = self;
        let since = u64::try_from(streams.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        streams.last.store(since, Ordering::Relaxed);
        if streams.open.fetch_sub(1, Ordering::Release) == 1 {
            // Whoever waits later finds that it was told.
            streams.ended.notify_one();
        }
    }
}

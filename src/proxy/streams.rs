//! One connection over HTTP/2: each of its streams carries a request, which has a task of its own.

mod goaway;

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
use goaway::Http2Transport;

/// Requests that are not even answered, since they contradict themselves (RFC 9113 §8.1.1), before their connection ends.
const MALFORMED: usize = 32;

/// Requests that are taken back soon after they were made, before their client is told to go if they are most of all. Each
/// has cost a decision, and perhaps the upstream a connection (CVE-2023-44487).
const TAKEN_BACK: u32 = 200;

/// Requests that such a client makes after `GOAWAY`, before its connection ends with what is in flight.
const MAX_AFTER_GOAWAY: u32 = 1000;

/// How long a connection waits for a moment without a request in flight before the first `GOAWAY`. Some clients, such as
/// Python's h2, give up every response that has not ended when it arrives.
const QUIET_WAIT: Duration = Duration::from_secs(1);

/// The time between the first `GOAWAY` and the last, during which requests are served that the client sent before it had
/// received the first one. More than a round trip (RFC 9113 §6.8).
const GOAWAY_GRACE: Duration = Duration::from_secs(1);

/// How long the last `GOAWAY` may take to be sent, and the client to close its side.
const LAST_GOAWAY: Duration = Duration::from_secs(2);

/// How often a connection that is to end is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// `NO_ERROR`, `REFUSED_STREAM` and `ENHANCE_YOUR_CALM` (RFC 9113 §7).
const NO_ERROR: u32 = 0x0;
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
    let (transport, announcement) = Http2Transport::new(downstream.open());
    let stream: Stream = Box::new(transport);
    let Ok(mut connection) = handshake(stream, Some(options(limits))).await else { return };
    let watch = engine.edge.shared.drain.watch();
    let mut drain = watch.clone();
    let mut draining = pin!(async move { drop(drain.wait_for(|begun| *begun).await) });
    let mut look = pin!(sleep_until(Instant::now() + limits.idle_timeout));
    let mut end = End::NotYet;
    let mut rapid_reset = false;
    let (mut requests, mut after_goaway, mut malformed) = (0_u32, 0, 0);
    let reason = loop {
        let now = Instant::now();
        if let End::Due { latest } = end
            && (latest <= now || (streams.open() == 0 && !connection.has_streams()))
        {
            announcement.send();
            end = End::Announced { at: now };
        }
        select! {
            biased;
            () = &mut draining, if end == End::NotYet => {
                end = End::Due { latest: now + QUIET_WAIT };
                look.as_mut().reset(now);
            }
            // This is also what reads and writes for all streams.
            accepted = HttpSession::from_h2_conn(&mut connection, digest.clone()) => match accepted {
                Ok(Some(H2Accept::Session(mut session))) => {
                    requests = requests.saturating_add(1);
                    let taken_back = facts.taken_back();
                    rapid_reset |= taken_back >= TAKEN_BACK && taken_back > requests / 2;
                    if rapid_reset && end == End::NotYet {
                        end = End::Due { latest: now };
                        look.as_mut().reset(now);
                    }
                    let is_late = matches!(end, End::Announced { at } if at.elapsed() >= GOAWAY_GRACE);
                    let open =
                        if rapid_reset || is_late { None } else { streams.enter(limits.http2_streams).await };
                    match open {
                        Some(open) => {
                            tokio::spawn(request(engine.clone(), session, watch.clone(), open));
                        }
                        None => session.shutdown_with_reason(REFUSED.into()),
                    }
                    after_goaway += u32::from(rapid_reset);
                    if after_goaway == MAX_AFTER_GOAWAY {
                        break CALM;
                    }
                }
                Ok(Some(H2Accept::Rejected)) => {
                    malformed += 1;
                    if malformed == MALFORMED {
                        break CALM;
                    }
                }
                Ok(None) | Err(_) => return,
            },
            () = &mut look => match (end, streams.idle_since()) {
                (End::NotYet, Some(since)) if since.elapsed() >= limits.idle_timeout => {
                    end = End::Due { latest: now };
                    look.as_mut().reset(now);
                }
                (End::NotYet, Some(since)) => look.as_mut().reset(since + limits.idle_timeout),
                // It is looked at more often than it has to be, rather than each time that a request ends.
                (End::NotYet, None) => look.as_mut().reset(Instant::now() + limits.idle_timeout / 4),
                (End::Announced { at }, Some(since))
                    if at.elapsed() >= GOAWAY_GRACE
                        // The last response may not have been sent whole. A client that does not read it is not waited for.
                        && (!connection.has_streams() || since.elapsed() >= limits.body_timeout) =>
                {
                    break NO_ERROR;
                }
                (End::Due { .. } | End::Announced { .. }, _) => look.as_mut().reset(Instant::now() + LOOK),
            },
        }
    };
    // The last `GOAWAY`, and the end of the connection once the client has read it; see `goaway`.
    connection.abrupt_shutdown(reason.into());
    let _ = timeout(LAST_GOAWAY, async {
        while let Ok(Some(_)) = HttpSession::from_h2_conn(&mut connection, digest.clone()).await {}
    })
    .await;
}

/// How far the end of a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It serves.
    NotYet,
    /// The first `GOAWAY` is sent when no request is in flight, and at this time at the latest.
    Due { latest: Instant },
    /// The first `GOAWAY` was sent.
    Announced { at: Instant },
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

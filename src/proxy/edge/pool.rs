//! Connections to upstreams that no request uses at the moment, for the requests of one thread.
//!
//! The library's own pool watches each of them with a task that is made and ended for each request. Here they are looked at
//! when they are put down, when they are taken up, and once a second.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use pingora::Result;
use pingora::protocols::Stream;
use pingora::protocols::l4::socket::SocketAddr as Address;
use pingora::upstreams::peer::{HttpPeer, Peer};
use tokio::io::AsyncReadExt;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep};

use super::Edge;

/// How often connections are looked at that nobody takes: those that their server has closed are given up by then.
const PERIOD: Duration = Duration::from_secs(1);

/// Idle connections.
pub(in crate::proxy) struct Pool {
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Those put down last are at the back.
    by_server: HashMap<Key, VecDeque<Idle>>,
    count: usize,
    /// Whether a task looks at them.
    watched: bool,
}

/// What connections have in common that may take each other's place: the server's address, and a digest of how it is spoken
/// to, over TLS or not, and as whom it has to prove itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(Option<SocketAddr>, u64);

struct Idle {
    stream: Stream,
    since: Instant,
    /// When it is given up.
    until: Instant,
}

impl Key {
    pub(super) fn of(peer: &HttpPeer) -> Self {
        let address = match peer.address() {
            Address::Inet(address) => Some(*address),
            Address::Unix(_) => None,
        };
        Self(address, peer.reuse_hash())
    }
}

impl Edge {
    /// A connection with the server of `peer`, and whether it was used before.
    ///
    /// # Errors
    /// There is none that waits, and none can be made.
    pub(super) async fn connection(&self, peer: &HttpPeer) -> Result<(Stream, bool)> {
        if let Some(stream) = self.pool.take(&Key::of(peer)) {
            return Ok((stream, true));
        }
        // On the heap, so that requests that need no new connection have no room for making one.
        Box::pin(self.connector.new_stream(peer)).await.map(|stream| (stream, false))
    }
}

impl Pool {
    /// A pool that keeps `most` connections.
    pub(in crate::proxy) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, kept: Mutex::default() })
    }

    /// Takes the connection that was used last. Nothing has come on it since, and its server has not closed it as far as the
    /// system knows.
    fn take(&self, key: &Key) -> Option<Stream> {
        loop {
            let mut idle = self.kept().pop(key)?;
            if idle.until > Instant::now() && is_quiet(&mut idle.stream) {
                return Some(idle.stream);
            }
        }
    }

    /// Keeps a connection for `timeout`, unless it is none that may be used again: what has come on it would be taken for the
    /// answer to the next request.
    pub(super) fn keep(self: &Arc<Self>, key: Key, mut stream: Stream, timeout: Duration) {
        if timeout.is_zero() || self.most == 0 || !is_quiet(&mut stream) {
            return;
        }
        let since = Instant::now();
        let mut kept = self.kept();
        let evicted = if kept.count < self.most { None } else { kept.pop_oldest() };
        kept.by_server.entry(key).or_default().push_back(Idle { stream, since, until: since + timeout });
        kept.count += 1;
        if !kept.watched {
            kept.watched = true;
            tokio::spawn(watch(Arc::downgrade(self)));
        }
        drop(kept);
        drop(evicted);
    }

    /// Gives up those that are of no use any more. Returns whether there are others.
    fn sweep(&self) -> bool {
        let now = Instant::now();
        let mut kept = self.kept();
        let Kept { by_server, count, watched } = &mut *kept;
        by_server.retain(|_, idle| {
            idle.retain_mut(|idle| idle.until > now && is_quiet(&mut idle.stream));
            !idle.is_empty()
        });
        *count = by_server.values().map(VecDeque::len).sum();
        *watched = *count > 0;
        *watched
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn pop(&mut self, key: &Key) -> Option<Idle> {
        let idle = self.by_server.get_mut(key)?.pop_back()?;
        self.count -= 1;
        Some(idle)
    }

    /// The one that has been idle for longest.
    fn pop_oldest(&mut self) -> Option<Idle> {
        let fronts = self.by_server.values_mut().filter(|idle| !idle.is_empty());
        let oldest = fronts.min_by_key(|idle| idle.front().map(|idle| idle.since))?.pop_front()?;
        self.count -= 1;
        Some(oldest)
    }
}

async fn watch(pool: Weak<Pool>) {
    loop {
        sleep(PERIOD).await;
        if !pool.upgrade().is_some_and(|pool| pool.sweep()) {
            return;
        }
    }
}

/// Whether nothing has come on a connection, neither bytes nor its end.
fn is_quiet(stream: &mut Stream) -> bool {
    // A task that has done much already is told by the runtime that nothing is ready, unless it is asked like this.
    unconstrained(stream.read(&mut [0])).now_or_never().is_none()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn key(port: u16, digest: u64) -> Key {
        Key(Some(SocketAddr::from(([127, 0, 0, 1], port))), digest)
    }

    fn connection() -> (Stream, DuplexStream) {
        let (ours, theirs) = duplex(64);
        (Box::new(ours), theirs)
    }

    /// Writes `mark` at the other end, to tell connections apart.
    async fn mark(mut theirs: DuplexStream, mark: u8) -> DuplexStream {
        theirs.write_u8(mark).await.unwrap();
        theirs
    }

    #[tokio::test]
    async fn a_connection_is_for_its_own_server_only_and_once() {
        let pool = Pool::new(10);
        let (ours, _theirs) = connection();
        pool.keep(key(1, 1), ours, LONG);
        for other in [key(2, 1), key(1, 2), Key(None, 1)] {
            assert!(pool.take(&other).is_none(), "{other:?}");
        }
        assert!(pool.take(&key(1, 1)).is_some());
        assert!(pool.take(&key(1, 1)).is_none());
    }

    /// What comes from a server without being asked for: its end, or a byte.
    async fn news(theirs: DuplexStream, closes: bool) -> Option<DuplexStream> {
        if closes { None } else { Some(mark(theirs, 1).await) }
    }

    #[tokio::test]
    async fn a_connection_on_which_something_has_come_is_not_used_again() {
        for closes in [false, true] {
            let pool = Pool::new(10);
            let (ours, theirs) = connection();
            let _theirs = news(theirs, closes).await;
            pool.keep(key(1, 1), ours, LONG);
            assert_eq!(pool.kept().count, 0, "closes {closes}");

            let (ours, theirs) = connection();
            pool.keep(key(1, 1), ours, LONG);
            let _theirs = news(theirs, closes).await;
            assert!(pool.take(&key(1, 1)).is_none(), "closes {closes}");
        }
    }

    #[tokio::test]
    async fn it_is_looked_at_even_by_a_task_that_has_done_much() {
        let pool = Pool::new(10);
        let (ours, theirs) = connection();
        pool.keep(key(1, 1), ours, LONG);
        let _theirs = mark(theirs, 1).await;
        tokio::spawn(async move {
            while tokio::task::coop::has_budget_remaining() {
                tokio::task::coop::consume_budget().await;
            }
            assert!(pool.take(&key(1, 1)).is_none());
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn the_one_that_was_used_last_is_taken_first_and_the_oldest_goes_when_there_are_too_many() {
        let pool = Pool::new(3);
        let mut theirs = Vec::new();
        for port in [1, 1, 2, 2] {
            let (ours, other) = connection();
            theirs.push(other);
            pool.keep(key(port, 1), ours, LONG);
        }
        // The first one had to go, whose server is 1.
        assert!(theirs[0].write_u8(0).await.is_err());
        let mut last = pool.take(&key(2, 1)).unwrap();
        let _ = mark(theirs.pop().unwrap(), 7).await;
        assert_eq!(last.read_u8().await.unwrap(), 7);
        assert!(pool.take(&key(1, 1)).is_some() && pool.take(&key(1, 1)).is_none());
        assert!(pool.take(&key(2, 1)).is_some() && pool.take(&key(2, 1)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_given_up() {
        let pool = Pool::new(3);
        for timeout in [Duration::ZERO, Duration::from_millis(1)] {
            let (ours, mut theirs) = connection();
            pool.keep(key(1, 1), ours, timeout);
            // Closed from our side, within a period.
            assert_eq!(theirs.read(&mut [0]).await.unwrap(), 0);
        }
        assert!(!pool.kept().watched);
        let (ours, theirs) = connection();
        pool.keep(key(1, 1), ours, LONG);
        drop(theirs);
        sleep(2 * PERIOD).await;
        let kept = pool.kept();
        assert_eq!((kept.count, kept.watched), (0, false));
    }
}

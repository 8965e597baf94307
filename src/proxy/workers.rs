//! The threads that serve connections, each of which keeps to itself what it works with.
//!
//! A connection stays on one thread from its first byte to its last, with the connections to upstreams that its requests
//! use: no other thread is woken for it, and no other core asks for its memory.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use log::error;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::drain::OpenConnection;
use super::engine::Engine;
use super::serve;
use crate::config::listeners::ListenerKind;

/// A connection that was accepted, on its way to the thread that serves it.
pub(super) struct Arrival {
    pub(super) stream: StdStream,
    pub(super) peer: SocketAddr,
    pub(super) kind: ListenerKind,
    /// Its place among the connections of the process, taken before anybody could believe that none is open.
    pub(super) open: OpenConnection,
}

/// The threads that serve. They go on until the process ends.
pub(super) struct Workers(Vec<Worker>);

struct Worker {
    arrivals: UnboundedSender<(Arrival, Load)>,
    connections: Arc<AtomicUsize>,
}

/// One connection in the count of a thread; dropping it takes it out.
struct Load(Arc<AtomicUsize>);

/// What each thread has for as long as it serves.
pub(super) struct Lives(mpsc::Sender<Infallible>);

/// Tells when no thread serves any more. Nothing is known that ends one, but a process without any would close every
/// connection at once and look healthy.
pub(super) struct Ended(mpsc::Receiver<Infallible>);

/// The life of one thread.
struct Life {
    at: usize,
    _held: mpsc::Sender<Infallible>,
}

/// Lives for threads, and what tells when all have ended.
pub(super) fn lives() -> (Lives, Ended) {
    let (lives, ended) = mpsc::channel(1);
    (Lives(lives), Ended(ended))
}

impl Workers {
    /// Starts a thread for each of `engines`.
    ///
    /// # Errors
    /// A runtime cannot be made, or a thread cannot be started.
    pub(super) fn start(engines: Vec<Engine>, lives: Lives) -> io::Result<Self> {
        let serve = |engine: Engine| {
            let engine = Arc::new(engine);
            move |stream: TcpStream, peer, kind, open| {
                serve::connection(engine.clone(), open, stream, peer, kind)
            }
        };
        Self::start_with(engines.into_iter().map(serve), lives)
    }

    /// Starts a thread for each of `serve`, which serve connections.
    fn start_with<S, F>(serve: impl Iterator<Item = S>, lives: Lives) -> io::Result<Self>
    where
        S: Fn(TcpStream, SocketAddr, ListenerKind, OpenConnection) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Lives(lives) = lives;
        let start = |(at, serve)| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (arrivals, arriving) = unbounded_channel();
            let life = Life { at, _held: lives.clone() };
            let work = move || {
                // The runtime ends first, and with it the connections that the thread has.
                let (_life, runtime) = (life, runtime);
                runtime.block_on(serving(serve, arriving));
            };
            std::thread::Builder::new().name(format!("worker-{at}")).spawn(work)?;
            Ok(Worker { arrivals, connections: Arc::default() })
        };
        serve.enumerate().map(start).collect::<io::Result<_>>().map(Self)
    }

    /// Gives a connection to the thread that has the fewest of them. One that has ended has none, and is passed over: it
    /// would get every connection. Where all have, the connection is closed, and the process is about to end.
    pub(super) fn serve(&self, mut arrival: Arrival) {
        let open = |worker: &&Worker| worker.connections.load(Ordering::Relaxed);
        // A thread that has ended has dropped its end of the queue.
        let living = || self.0.iter().filter(|worker| !worker.arrivals.is_closed());
        while let Some(worker) = living().min_by_key(open) {
            let Err(returned) = worker.arrivals.send((arrival, Load::new(&worker.connections))) else {
                return;
            };
            (arrival, _) = returned.0;
        }
    }
}

impl Ended {
    /// Waits until no thread serves any more.
    pub(super) async fn all(&mut self) {
        while self.0.recv().await.is_some() {}
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        error!("the thread worker-{} has ended, and serves no connection any more", self.at);
    }
}

impl Load {
    fn new(connections: &Arc<AtomicUsize>) -> Self {
        connections.fetch_add(1, Ordering::Relaxed);
        Self(connections.clone())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves each connection that arrives on a task of its own, on the thread that calls. A task that panics ends by itself.
async fn serving<S, F>(serve: S, mut arriving: UnboundedReceiver<(Arrival, Load)>)
where
    S: Fn(TcpStream, SocketAddr, ListenerKind, OpenConnection) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    while let Some((arrival, load)) = arriving.recv().await {
        let Arrival { stream, peer, kind, open } = arrival;
        match TcpStream::from_std(stream) {
            Ok(stream) => {
                let serving = serve(stream, peer, kind, open);
                tokio::spawn(async move {
                    serving.await;
                    drop(load);
                });
            }
            Err(error) => error!("a connection cannot be used: {error}"),
        }
    }
    // Those who would send are gone, but the connections that were sent are not.
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use prometheus::IntGauge;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::drain::Drain;
    use super::*;

    /// A client says what becomes of the connection, and may say more: `t` ends the thread that serves it, `p` panics,
    /// anything else is sent back.
    async fn served(mut stream: TcpStream, open: OpenConnection) {
        let mut said = [0];
        while stream.read_exact(&mut said).await.is_ok() {
            assert_ne!(&said, b"p", "this is asked for");
            if stream.write_all(&said).await.is_err() {
                return;
            }
        }
        drop(open);
    }

    struct Stand {
        workers: Workers,
        drain: Drain,
        door: TcpListener,
        ended: Ended,
    }

    impl Stand {
        /// Threads, of which those in `doomed` end when they get a connection.
        async fn new(threads: usize, doomed: &'static [usize]) -> Self {
            let (lives, ended) = lives();
            let serve = (0..threads).map(|at| {
                move |stream: TcpStream, _, _, open| {
                    assert!(!doomed.contains(&at), "this thread ends");
                    served(stream, open)
                }
            });
            Self {
                workers: Workers::start_with(serve, lives).unwrap(),
                drain: Drain::new(IntGauge::new("open", "open").unwrap()),
                door: TcpListener::bind("127.0.0.1:0").await.unwrap(),
                ended,
            }
        }

        /// A client whose connection has been given to a thread.
        async fn client(&self) -> TcpStream {
            let client = TcpStream::connect(self.door.local_addr().unwrap());
            let (client, accepted) = tokio::join!(client, self.door.accept());
            let (stream, peer) = accepted.unwrap();
            let (stream, open) = (stream.into_std().unwrap(), self.drain.enter(100).unwrap());
            self.workers.serve(Arrival { stream, peer, kind: ListenerKind::Plaintext, open });
            client.unwrap()
        }

        fn loads(&self) -> Vec<usize> {
            self.workers.0.iter().map(|worker| worker.connections.load(Ordering::Relaxed)).collect()
        }
    }

    /// Whether a connection is served: otherwise it is closed.
    async fn is_served(client: &mut TcpStream) -> bool {
        let mut answer = [0];
        client.write_all(b"x").await.is_ok() && client.read_exact(&mut answer).await.is_ok()
    }

    #[tokio::test]
    async fn a_thread_that_has_ended_gets_no_connection_and_the_others_get_them_all() {
        let stand = Stand::new(3, &[0]).await;
        // The first one gets the first connection, which ends it.
        let mut lost = stand.client().await;
        assert!(!is_served(&mut lost).await);
        stand.workers.0[0].arrivals.closed().await;
        let mut clients = Vec::new();
        for _ in 0..8 {
            let mut client = stand.client().await;
            assert!(is_served(&mut client).await);
            clients.push(client);
        }
        assert_eq!(stand.loads(), [0, 4, 4]);
        assert_eq!(stand.drain.open(), 8);
    }

    #[tokio::test]
    async fn it_is_told_when_no_thread_is_left() {
        let mut stand = Stand::new(2, &[0, 1]).await;
        let mut first = stand.client().await;
        assert!(!is_served(&mut first).await);
        stand.workers.0[0].arrivals.closed().await;
        // One is left, so there is nothing to tell.
        assert!(futures_util::FutureExt::now_or_never(stand.ended.all()).is_none());
        let mut second = stand.client().await;
        assert!(!is_served(&mut second).await);
        stand.ended.all().await;
        // Whoever comes now is not kept waiting, nor counted.
        let mut third = stand.client().await;
        assert!(!is_served(&mut third).await);
        assert_eq!((stand.loads(), stand.drain.open()), (vec![0, 0], 0));
    }

    #[tokio::test]
    async fn a_panic_ends_the_connection_that_it_is_about_and_no_other() {
        let mut stand = Stand::new(1, &[]).await;
        let mut steady = stand.client().await;
        assert!(is_served(&mut steady).await);
        for _ in 0..3 {
            let mut client = stand.client().await;
            client.write_all(b"p").await.unwrap();
            assert!(!is_served(&mut client).await);
        }
        assert!(is_served(&mut steady).await);
        assert!(is_served(&mut stand.client().await).await);
        assert!(futures_util::FutureExt::now_or_never(stand.ended.all()).is_none());
        // Those that panicked are out of every account.
        assert!(stand.loads()[0] <= 2 && stand.drain.open() <= 2);
    }
}

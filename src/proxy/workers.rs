//! The threads that serve connections, each of which keeps to itself what it works with.
//!
//! A connection stays on one thread from its first byte to its last, with the connections to upstreams that its requests
//! use: no other thread is woken for it, and no other core asks for its memory.

use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use log::error;
use pingora::proxy::HttpProxy;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::drain::OpenConnection;
use super::edge::Edge;
use super::serve;
use super::shared::Shared;
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

impl Workers {
    /// Starts a thread for each of `proxies`.
    ///
    /// # Errors
    /// A runtime cannot be made, or a thread cannot be started.
    pub(super) fn start(shared: &Arc<Shared>, proxies: Vec<HttpProxy<Edge>>) -> io::Result<Self> {
        let start = |(at, proxy)| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (arrivals, arriving) = unbounded_channel();
            let serving = serving(shared.clone(), Arc::new(proxy), arriving);
            std::thread::Builder::new()
                .name(format!("worker-{at}"))
                .spawn(move || runtime.block_on(serving))?;
            Ok(Worker { arrivals, connections: Arc::default() })
        };
        proxies.into_iter().enumerate().map(start).collect::<io::Result<_>>().map(Self)
    }

    /// Gives a connection to the thread that has the fewest of them.
    pub(super) fn serve(&self, arrival: Arrival) {
        let open = |worker: &&Worker| worker.connections.load(Ordering::Relaxed);
        let Some(worker) = self.0.iter().min_by_key(open) else { return };
        // A thread that is gone has dropped its end of the queue, and the connection is closed with what comes back.
        if worker.arrivals.send((arrival, Load::new(&worker.connections))).is_err() {
            error!("a thread that serves connections has ended");
        }
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

/// Serves each connection that arrives on a task of its own, on the thread that calls.
async fn serving(
    shared: Arc<Shared>,
    proxy: Arc<HttpProxy<Edge>>,
    mut arriving: UnboundedReceiver<(Arrival, Load)>,
) {
    while let Some((arrival, load)) = arriving.recv().await {
        let Arrival { stream, peer, kind, open } = arrival;
        match TcpStream::from_std(stream) {
            Ok(stream) => {
                let serving = serve::connection(shared.clone(), proxy.clone(), open, stream, peer, kind);
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

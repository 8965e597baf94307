//! The listening sockets and the loops that accept connections.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use log::{error, info};
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::sleep;

use super::drain::Held;
use super::shared::Shared;
use super::workers::{Arrival, Workers};
use crate::config::listeners::{Listener, ListenerKind};

/// A socket that listens and has not begun to accept.
pub(super) struct BoundListener {
    socket: StdListener,
    kind: ListenerKind,
}

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 4096;

/// How long to wait when the system has no more file descriptors: trying again at once would only burn the processor.
const PAUSE: Duration = Duration::from_millis(100);

/// How often it is said that connections cannot be accepted, for as long as that is so.
const REMINDER: Duration = Duration::from_secs(60);

/// Binds `address`.
pub(super) fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _context = runtime.enter();
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted gateway must not wait for the connections of the old one to be forgotten (TIME_WAIT).
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

impl BoundListener {
    /// Listens at an address, on the socket `inherited` from the process that this one replaces, or on one of its own.
    pub(super) fn new(listener: &Listener, inherited: Option<StdListener>) -> io::Result<Self> {
        let socket = inherited.map_or_else(|| bind(listener.address), Ok)?;
        info!("listening on {} ({})", socket.local_addr()?, listener.kind.name());
        Ok(Self { socket, kind: listener.kind })
    }

    /// The same socket once more, to hand it to another process.
    pub(super) fn socket(&self) -> io::Result<StdListener> {
        self.socket.try_clone()
    }

    /// Its port, if it speaks TLS.
    pub(super) fn tls_port(&self) -> Option<u16> {
        match self.kind {
            ListenerKind::Tls => self.socket.local_addr().ok().map(|address| address.port()),
            ListenerKind::Plaintext | ListenerKind::Redirect => None,
        }
    }
}

/// Accepts connections on all listeners, and gives them to the threads that serve.
pub(super) struct ListenService {
    pub(super) shared: Arc<Shared>,
    pub(super) workers: Arc<Workers>,
    pub(super) listeners: Vec<BoundListener>,
    /// The process does not end before everything that it has accepted is counted.
    pub(super) accepting: Option<Held>,
}

#[async_trait]
impl Service for ListenService {
    async fn start_service(
        &mut self,
        _descriptors: Option<ListenFds>,
        _shutdown: ShutdownWatch,
        _per_socket: usize,
    ) {
        self.shared.gate.opened().await;
        let mut loops = Vec::new();
        for BoundListener { socket, kind } in self.listeners.drain(..) {
            match TcpListener::from_std(socket) {
                Ok(socket) => {
                    let door = Door { shared: self.shared.clone(), workers: self.workers.clone(), kind };
                    loops.push(tokio::spawn(door.accept(socket)));
                }
                Err(error) => error!("a listening socket cannot be used: {error}"),
            }
        }
        for accepting in loops {
            let _ = accepting.await;
        }
        self.accepting = None;
    }

    fn name(&self) -> &'static str {
        "listen"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}

/// Where connections of one kind come in.
struct Door {
    shared: Arc<Shared>,
    workers: Arc<Workers>,
    kind: ListenerKind,
}

impl Door {
    /// Accepts until the process begins to end. Connections that wait by then are still served: their clients believe to
    /// be connected.
    async fn accept(self, socket: TcpListener) {
        let mut ending = self.shared.drain.watch();
        let mut said: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                biased;
                accepted = socket.accept() => accepted,
                _ = ending.wait_for(|ending| *ending) => break,
            };
            match accepted {
                Ok((stream, peer)) => match stream.into_std() {
                    Ok(stream) => self.admit(stream, peer),
                    Err(error) => error!("a connection cannot be used: {error}"),
                },
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    if said.is_none_or(|said| said.elapsed() > REMINDER) {
                        said = Some(Instant::now());
                        error!("accepting connections failed, and is tried again: {error}");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
        // The runtime may not have heard yet of connections that the system has: it is asked itself.
        let Ok(socket) = socket.into_std() else { return };
        while let Ok((stream, peer)) = socket.accept() {
            if stream.set_nonblocking(true).is_ok() {
                self.admit(stream, peer);
            }
        }
    }

    /// Lets a connection in, unless there are too many. Counted here and not by the thread that serves it, which may begin
    /// when the process has been found to have none left.
    fn admit(&self, stream: StdStream, peer: SocketAddr) {
        let most = self.shared.configuration.load().gateway.limits.connections;
        let Some(open) = self.shared.drain.enter(most) else { return };
        self.workers.serve(Arrival { stream, peer, kind: self.kind, open });
    }
}

/// Whether the error is the client's, which was gone before it was accepted.
pub(super) fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

//! A wire that breaks on demand: a TCP proxy between the gateway and Redis, an issuer or an upstream, whose faults are
//! switched while connections go through it.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::background::Task;
use super::port::ReservedPort;

/// What the wire does. A change applies to connections that are open as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: everything passes.
    None,
    /// Connections are closed properly after so many bytes from the server, counted from now.
    CutAfter(usize),
    /// Every piece takes so much longer, in each direction.
    Delay(Duration),
    /// Clients get something that is in no protocol, and nothing reaches the server.
    Garbage,
    /// Everything stands still: connections are accepted, and not a byte passes.
    Hang,
    /// New connections are refused and open ones are reset.
    Refuse,
    /// Connections are accepted and reset at once.
    Reset,
    /// So many bytes a second pass, in each direction.
    Throttle(usize),
}

/// A proxy in front of one address.
pub struct FaultyProxy {
    port: ReservedPort,
    server: SocketAddr,
    fault: watch::Sender<Fault>,
    connections: Arc<AtomicUsize>,
    open: Open,
    listening: Mutex<Option<Task>>,
}

/// The open connections, which outlive the listening.
type Open = Arc<Mutex<JoinSet<()>>>;

impl FaultyProxy {
    /// Starts a proxy in front of `server` that lets everything pass.
    pub fn to(server: SocketAddr) -> Self {
        let proxy = Self {
            port: ReservedPort::take(),
            server,
            fault: watch::Sender::new(Fault::None),
            connections: Arc::default(),
            open: Open::default(),
            listening: Mutex::default(),
        };
        *proxy.listening.lock().unwrap() = Some(proxy.listen());
        proxy
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// How many connections have been accepted.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Does this from now on. When it returns, a fault has taken hold for new connections.
    pub async fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
        let before = self.listening.lock().unwrap().take();
        if fault == Fault::Refuse {
            if let Some(task) = before {
                task.end().await;
            }
            return;
        }
        let task = before.unwrap_or_else(|| self.listen());
        *self.listening.lock().unwrap() = Some(task);
    }

    fn listen(&self) -> Task {
        let listener = self.port.listen();
        let (server, fault) = (self.server, self.fault.clone());
        let (connections, open) = (self.connections.clone(), self.open.clone());
        Task::start(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                connections.fetch_add(1, Ordering::SeqCst);
                let fault = fault.subscribe();
                let mut open = open.lock().unwrap();
                open.spawn(async move {
                    let _ = carry(client, server, fault).await;
                });
                while open.try_join_next().is_some() {}
            }
        })
    }
}

async fn carry(
    mut client: TcpStream,
    server: SocketAddr,
    mut fault: watch::Receiver<Fault>,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    // Until something passes, no connection to the server is needed.
    loop {
        let now = *fault.borrow_and_update();
        match now {
            Fault::Hang => wait_for_change(&mut fault).await,
            Fault::Reset | Fault::Refuse => return client.set_zero_linger(),
            Fault::Garbage => return garbage(client).await,
            Fault::None | Fault::CutAfter(_) | Fault::Delay(_) | Fault::Throttle(_) => break,
        }
    }
    let mut server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    // Halves that borrow: those that own would send a FIN when they are dropped, even before a reset.
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let up = pass(from_client, to_server, fault.clone(), Direction::Up);
    let down = pass(from_server, to_client, fault, Direction::Down);
    // The first fault ends both directions, and with them the connection; a proper end of one leaves the other.
    tokio::try_join!(up, down).map(|_| ())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Down,
    Up,
}

async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut fault: watch::Receiver<Fault>,
    direction: Direction,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    let mut since_change = 0;
    loop {
        let now = *fault.borrow_and_update();
        let limit = match now {
            Fault::Reset | Fault::Refuse => return reset(&from, &to),
            Fault::Garbage if direction == Direction::Down => {
                to.write_all(GARBAGE).await?;
                return close(to).await;
            }
            Fault::Hang | Fault::Garbage => {
                wait_for_change(&mut fault).await;
                since_change = 0;
                continue;
            }
            Fault::CutAfter(bytes) if direction == Direction::Down => {
                if since_change >= bytes {
                    return close(to).await;
                }
                bytes - since_change
            }
            Fault::Throttle(per_second) => (per_second / 50).max(1),
            Fault::None | Fault::CutAfter(_) | Fault::Delay(_) => buffer.len(),
        };
        let limit = limit.min(buffer.len());
        let count = tokio::select! {
            biased;
            _ = fault.changed() => {
                since_change = 0;
                continue;
            }
            count = from.read(&mut buffer[..limit]) => count?,
        };
        match now {
            Fault::Delay(delay) => tokio::time::sleep(delay).await,
            Fault::Throttle(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => {}
        }
        if count == 0 {
            return to.shutdown().await;
        }
        since_change += count;
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            // A receiver that does not read must not keep a fault from being noticed.
            tokio::select! {
                biased;
                _ = fault.changed() => {
                    since_change = 0;
                    if matches!(*fault.borrow_and_update(), Fault::Reset | Fault::Refuse) {
                        return reset(&from, &to);
                    }
                }
                written = to.write(rest) => rest = &rest[written?..],
            }
        }
    }
}

const GARBAGE: &[u8] = b"\x00\xff\xfe*-1\r\n$99999999999\r\n<html>HTTP/9.9\r\n\r\n";

async fn garbage(mut client: TcpStream) -> io::Result<()> {
    client.write_all(GARBAGE).await?;
    client.shutdown().await?;
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.map(|_| ())
}

/// Closes this direction properly and then, by failing, the whole connection.
async fn close(mut to: WriteHalf<'_>) -> io::Result<()> {
    to.shutdown().await?;
    Err(io::ErrorKind::ConnectionAborted.into())
}

/// Makes the end of the connection a reset, and ends it by failing.
fn reset(from: &ReadHalf<'_>, to: &WriteHalf<'_>) -> io::Result<()> {
    from.as_ref().set_zero_linger()?;
    to.as_ref().set_zero_linger()?;
    Err(io::ErrorKind::ConnectionReset.into())
}

/// Waits until the fault is another one. The proxy being gone is a change too: the task is about to be dropped.
async fn wait_for_change(fault: &mut watch::Receiver<Fault>) {
    let _ = fault.changed().await;
}

//! Keeps connections busy, with a number of requests at once, and counts the answers.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pemfile::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An encrypted connection to a gateway.
pub(crate) type Tls = TlsStream<TcpStream>;

/// Writes the request that has this number.
pub(crate) type Requests = Arc<dyn Fn(usize, &mut Vec<u8>) + Send + Sync>;

/// Requests for `path` that carry these header lines in turn; one empty one for none.
pub(crate) fn in_turn(path: &str, credentials: &[String]) -> Requests {
    let requests: Vec<Vec<u8>> = credentials
        .iter()
        .map(|credential| {
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n{credential}\r\n")
                .into_bytes()
        })
        .collect();
    Arc::new(move |number, request| request.extend_from_slice(&requests[number % requests.len()]))
}

/// Sends one kind of requests to one gateway.
pub(crate) struct Loader {
    address: SocketAddr,
    connector: TlsConnector,
    requests: Requests,
    /// The status that must come back.
    status: u16,
    turn: Arc<AtomicUsize>,
}

impl Loader {
    pub(crate) fn new(address: SocketAddr, client: ClientConfig, requests: Requests, status: u16) -> Self {
        Self {
            address,
            connector: TlsConnector::from(Arc::new(client)),
            requests,
            status,
            turn: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// Whether a request is answered as expected.
    pub(crate) async fn is_answered(&self) -> bool {
        let mut request = Vec::new();
        self.next(&mut request);
        answer(&mut self.connect().await, &request, &mut vec![0; BUFFER]).await == self.status
    }

    /// Opens so many connections, and returns them when a request was answered as expected on each.
    pub(crate) async fn open(&self, connections: usize) -> Vec<Tls> {
        let mut streams = Vec::with_capacity(connections);
        for _ in 0..connections {
            let mut stream = self.connect().await;
            self.send(&mut stream).await;
            streams.push(stream);
        }
        streams
    }

    /// Sends one request, which must be answered as expected.
    pub(crate) async fn send(&self, stream: &mut Tls) {
        let mut request = Vec::new();
        self.next(&mut request);
        let status = answer(stream, &request, &mut vec![0; BUFFER]).await;
        assert_eq!(status, self.status, "the answer to {}", String::from_utf8_lossy(&request));
    }

    /// Sends requests for `time`, `at_once` of them at any moment, on these connections in turn. Returns the connections,
    /// and how many requests were answered.
    pub(crate) async fn drive(&self, streams: Vec<Tls>, at_once: usize, time: Duration) -> (Vec<Tls>, u64) {
        let lane = Lane {
            idle: Arc::new(Mutex::new(streams.into())),
            requests: self.requests.clone(),
            status: self.status,
            turn: self.turn.clone(),
            counted: Arc::new(AtomicU64::new(0)),
            end: Instant::now() + time,
        };
        let tasks: Vec<_> = (0..at_once).map(|_| tokio::spawn(lane.clone().go())).collect();
        for task in tasks {
            task.await.expect("a connection that is served to the end");
        }
        let streams = std::mem::take(&mut *lane.idle.lock().unwrap_or_else(PoisonError::into_inner));
        (streams.into(), lane.counted.load(Ordering::Relaxed))
    }

    async fn connect(&self) -> Tls {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let _ = stream.set_nodelay(true);
        let name = ServerName::try_from("localhost").expect("a name");
        self.connector.connect(name, stream).await.expect("a handshake")
    }

    fn next(&self, request: &mut Vec<u8>) {
        request.clear();
        (self.requests)(self.turn.fetch_add(1, Ordering::Relaxed), request);
    }
}

/// One of those that send at once.
#[derive(Clone)]
struct Lane {
    idle: Arc<Mutex<VecDeque<Tls>>>,
    requests: Requests,
    status: u16,
    turn: Arc<AtomicUsize>,
    counted: Arc<AtomicU64>,
    end: Instant,
}

impl Lane {
    async fn go(self) {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut request, mut buffer) = (Vec::new(), vec![0; BUFFER]);
        while Instant::now() < self.end {
            let next = idle().pop_front();
            let Some(mut stream) = next else { return };
            request.clear();
            (self.requests)(self.turn.fetch_add(1, Ordering::Relaxed), &mut request);
            let status = answer(&mut stream, &request, &mut buffer).await;
            assert_eq!(status, self.status, "the answer to {}", String::from_utf8_lossy(&request));
            self.counted.fetch_add(1, Ordering::Relaxed);
            idle().push_back(stream);
        }
    }
}

/// Sends `request`, reads the whole answer and returns its status.
async fn answer(stream: &mut Tls, request: &[u8], buffer: &mut [u8]) -> u16 {
    stream.write_all(request).await.expect("a request that can be sent");
    stream.flush().await.expect("a request that can be sent");
    let mut filled = 0;
    let end = loop {
        let count = stream.read(&mut buffer[filled..]).await.expect("an answer");
        assert!(count > 0, "an answer before the end");
        filled += count;
        if let Some(at) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).expect("a status");
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    let mut missing = (end + length.unwrap_or(0)).saturating_sub(filled);
    while missing > 0 {
        let count = stream.read(buffer).await.expect("the rest of an answer");
        assert!(count > 0, "a whole answer before the end");
        missing = missing.saturating_sub(count);
    }
    status
}

/// Bytes that are read at once.
const BUFFER: usize = 64 << 10;

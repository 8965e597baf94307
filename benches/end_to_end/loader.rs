//! Keeps a number of connections busy, each with one request after the other, and counts the answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rustls_pemfile::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::material::Material;

/// A request that is sent again and again.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    /// The header lines that carry the credential, used in turn; one empty one for none.
    pub(crate) credentials: Vec<String>,
    /// The status that must come back.
    pub(crate) status: u16,
}

/// Sends one scenario.
pub(crate) struct Loader {
    address: SocketAddr,
    connector: TlsConnector,
    requests: Arc<Vec<Vec<u8>>>,
    status: String,
}

impl Loader {
    pub(crate) async fn new(address: SocketAddr, material: &Material, scenario: &Scenario) -> Self {
        let requests = scenario.credentials.iter().map(|credential| {
            format!("GET {} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n{credential}\r\n", scenario.path)
                .into_bytes()
        });
        let loader = Self {
            address,
            connector: TlsConnector::from(Arc::new(material.client(b"http/1.1"))),
            requests: Arc::new(requests.collect()),
            status: format!("HTTP/1.1 {} ", scenario.status),
        };
        loader.warm_up(scenario).await;
        loader
    }

    /// The first request may have to be verified for real; it must come back as expected before anything is counted.
    async fn warm_up(&self, scenario: &Scenario) {
        let answered = self.run(1, Duration::from_millis(200)).await;
        assert!(answered > 0, "{} is not answered as expected", scenario.name);
    }

    /// Keeps `connections` busy for `time`; returns how many requests were answered as expected.
    pub(crate) async fn run(&self, connections: usize, time: Duration) -> u64 {
        let mut streams = Vec::new();
        for _ in 0..connections {
            streams.push(self.connect().await);
        }
        let counted = Arc::new(AtomicU64::new(0));
        let turn = Arc::new(AtomicUsize::new(0));
        let end = Instant::now() + time;
        let tasks: Vec<_> = streams
            .into_iter()
            .map(|stream| {
                let (requests, status) = (self.requests.clone(), self.status.clone());
                tokio::spawn(one_after_the_other(
                    stream,
                    requests,
                    status,
                    turn.clone(),
                    counted.clone(),
                    end,
                ))
            })
            .collect();
        for task in tasks {
            task.await.expect("a connection that is served to the end");
        }
        counted.load(Ordering::Relaxed)
    }

    /// Opens `connections`, sends one request on each, and returns them when all are answered.
    pub(crate) async fn rest(&self, connections: usize) -> Vec<TlsStream<TcpStream>> {
        let mut streams = Vec::with_capacity(connections);
        let mut buffer = vec![0; 16 << 10];
        for _ in 0..connections {
            let mut stream = self.connect().await;
            answer(&mut stream, &self.requests[0], &self.status, &mut buffer).await;
            streams.push(stream);
        }
        streams
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let _ = stream.set_nodelay(true);
        let name = ServerName::try_from("localhost").expect("a name");
        self.connector.connect(name, stream).await.expect("a handshake")
    }
}

async fn one_after_the_other(
    mut stream: TlsStream<TcpStream>,
    requests: Arc<Vec<Vec<u8>>>,
    status: String,
    turn: Arc<AtomicUsize>,
    counted: Arc<AtomicU64>,
    end: Instant,
) {
    let mut buffer = vec![0; 16 << 10];
    while Instant::now() < end {
        let at = turn.fetch_add(1, Ordering::Relaxed) % requests.len();
        answer(&mut stream, &requests[at], &status, &mut buffer).await;
        counted.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends `request` and reads its answer, which must have this status.
async fn answer(stream: &mut TlsStream<TcpStream>, request: &[u8], status: &str, buffer: &mut [u8]) {
    stream.write_all(request).await.expect("a request that can be sent");
    stream.flush().await.expect("a request that can be sent");
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..]).await.expect("an answer");
        assert!(count > 0, "an answer before the end");
        filled += count;
        if is_whole(&buffer[..filled]) {
            break;
        }
    }
    let answered = buffer[..filled].starts_with(status.as_bytes());
    assert!(answered, "{}", String::from_utf8_lossy(&buffer[..filled]));
}

/// Whether the head and as much of a body as it announces are there.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4) else {
        return false;
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let length =
        text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
    answer.len() >= head + length.unwrap_or(0)
}

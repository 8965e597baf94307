//! An upstream that answers with the same few bytes, as cheaply as possible, and on `/bytes/N` with N bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n{\"id\":42,\"state\":\"shipped\"}";

pub(crate) struct Upstream {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl Upstream {
    /// Runs beside whoever starts it.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("an address");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(AtomicU64::new(0));
        let counted = requests.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, counted.clone()));
            }
        });
        Self { address, requests }
    }

    /// Runs on a thread of its own, to the end of the process.
    pub(crate) fn start_apart() -> Self {
        let (tell, started) = sync_channel(1);
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tell.send(Self::start().await).expect("somebody who waits");
                std::future::pending::<()>().await;
            });
        });
        started.recv().expect("an upstream")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests have come so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Answers each head when it is there. Only floods send bodies, and theirs do not end.
async fn serve(mut stream: TcpStream, requests: Arc<AtomicU64>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = vec![0; 16 << 10];
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]).await {
            Ok(0) | Err(_) => return,
            Ok(count) => filled += count,
        }
        if buffer.starts_with(b"POST ") {
            while let Ok(1..) = stream.read(&mut buffer).await {}
            return;
        }
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            requests.fetch_add(1, Ordering::SeqCst);
            let sent = match wanted(&buffer[..filled]) {
                Some(bytes) => send(&mut stream, bytes).await,
                None => stream.write_all(ANSWER).await,
            };
            if sent.is_err() {
                return;
            }
            filled = 0;
        }
    }
}

/// How many bytes `/bytes/N` asks for.
fn wanted(head: &[u8]) -> Option<usize> {
    let path = head.strip_prefix(b"GET /bytes/")?;
    std::str::from_utf8(path).ok()?.split(' ').next()?.parse().ok()
}

async fn send(stream: &mut TcpStream, bytes: usize) -> std::io::Result<()> {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n").into_bytes();
    let mut left = bytes;
    loop {
        let piece = left.min(PIECE);
        answer.resize(answer.len() + piece, b'x');
        stream.write_all(&answer).await?;
        left -= piece;
        if left == 0 {
            return Ok(());
        }
        answer.clear();
    }
}

/// Bytes that are sent at once.
const PIECE: usize = 64 << 10;

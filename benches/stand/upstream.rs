//! An upstream that answers with the same few bytes, as cheaply as possible, and on `/large` with as many as are taken.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n{\"id\":42,\"state\":\"shipped\"}";

const LARGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n";

pub(crate) struct Upstream {
    address: SocketAddr,
}

impl Upstream {
    /// Runs beside whoever starts it.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("an address");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Self { address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Answers each head when it is there. Only floods send bodies, and theirs do not end.
async fn serve(mut stream: TcpStream) {
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
            filled = 0;
            if buffer.starts_with(b"GET /large ") {
                let _ = stream.write_all(LARGE).await;
                while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
                return;
            }
            if stream.write_all(ANSWER).await.is_err() {
                return;
            }
        }
    }
}

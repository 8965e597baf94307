//! An upstream that answers with a few bytes, and on `/large` with as many as are taken.

use std::net::SocketAddr;
use std::sync::mpsc::sync_channel;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n{\"id\":42,\"state\":\"shipped\"}";

const LARGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n";

pub(crate) struct Upstream {
    address: SocketAddr,
}

impl Upstream {
    /// Runs on a thread of its own, to the end of the process.
    pub(crate) fn start() -> Self {
        let (tell, address) = sync_channel(1);
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("an address");
                tell.send(listener.local_addr().expect("an address")).expect("somebody who waits");
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream));
                }
            });
        });
        Self { address: address.recv().expect("an address") }
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

//! `builtin:echo`: an upstream inside the gateway that answers with what it received.
//!
//! It is talked to like any other upstream, through the same forwarding, over a connection in memory. What it shows is
//! therefore exactly what a real upstream would see.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora::Result;
use pingora::apps::ServerApp;
use pingora::apps::http_app::{HttpServer, ServeHttp};
use pingora::connectors::L4Connect;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::server::ShutdownWatch;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

/// Bytes that fit between the gateway and the echo before one waits for the other.
const BUFFER: usize = 64 << 10;

/// The most of a body that is repeated.
const MOST_BODY: usize = 64 << 10;

/// Connects to the echo.
#[derive(Debug)]
pub(super) struct EchoConnector {
    shutdown: ShutdownWatch,
}

impl EchoConnector {
    pub(super) fn new(shutdown: ShutdownWatch) -> Arc<Self> {
        Arc::new(Self { shutdown })
    }
}

#[async_trait]
impl L4Connect for EchoConnector {
    async fn connect(&self, _address: &SocketAddr) -> Result<Stream> {
        let (ours, theirs) = duplex(BUFFER);
        let app = Arc::new(HttpServer::new_app(Echo));
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move { app.process_new(Box::new(theirs), &shutdown).await });
        Ok(Stream::from(VirtualSocketStream::new(Box::new(MemorySocket(ours)))))
    }
}

#[derive(Debug)]
struct MemorySocket(DuplexStream);

impl VirtualSocket for MemorySocket {
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for MemorySocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for MemorySocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

struct Echo;

#[async_trait]
impl ServeHttp for Echo {
    async fn response(&self, session: &mut ServerSession) -> http::Response<Vec<u8>> {
        let mut body = Vec::new();
        let mut bytes = 0;
        while let Ok(Some(piece)) = session.read_request_body().await {
            bytes += piece.len();
            let room = MOST_BODY.saturating_sub(body.len()).min(piece.len());
            body.extend_from_slice(&piece[..room]);
        }
        let request = session.req_header();
        let mut headers = Map::new();
        for (name, value) in &request.headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            match headers.get_mut(name.as_str()) {
                None => {
                    headers.insert(name.as_str().to_owned(), Value::String(value));
                }
                Some(Value::Array(values)) => values.push(Value::String(value)),
                Some(first) => *first = json!([first, value]),
            }
        }
        let text = json!({
            "method": request.method.as_str(),
            "path": String::from_utf8_lossy(request.raw_path()),
            "headers": headers,
            "body": String::from_utf8_lossy(&body),
            "body_bytes": bytes,
        });
        let mut text = serde_json::to_vec_pretty(&text).unwrap_or_default();
        text.push(b'\n');
        let length = text.len();
        let mut response = http::Response::new(text);
        let fields = response.headers_mut();
        fields.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        fields.insert(http::header::CONTENT_LENGTH, http::HeaderValue::from(length));
        response
    }
}

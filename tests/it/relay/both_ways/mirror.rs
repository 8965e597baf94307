//! An upstream that takes nothing more of a request until it has got rid of its answer to what it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::harness::background::{Task, servers};
use crate::harness::http1::{Body, Framing, RequestHead, request_head};
use crate::harness::port::ReservedPort;
use crate::harness::tls::{Authority, Stream, server_config};

/// What it refuses `/refused` with when it is told to, and without reading anything of its body.
const REFUSAL: &str = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\n\r\ntoo big";

/// What it says at once for paths that begin with `/early`, whose bodies it reads after that.
const EARLY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly";

/// What nobody has asked for, and a client could take for its answer.
const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

/// After how much of a body `/early/then` says it.
const AFTER: usize = 16 << 20;

/// Sends back what it gets, except where the path says something else.
pub struct Mirror {
    url: String,
    connections: Arc<AtomicUsize>,
    refusing: Arc<Notify>,
    _task: Task,
}

impl Mirror {
    /// Starts one with buffers of its sockets of this size, if not of the usual one, that sends each byte so many times.
    pub fn start(tls: bool, buffers: Option<u32>, times: usize) -> Self {
        let port = ReservedPort::take();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        if let Some(size) = buffers {
            socket.set_recv_buffer_size(size).unwrap();
            socket.set_send_buffer_size(size).unwrap();
        }
        socket.bind(port.address()).unwrap();
        let url = format!("http{}://{}", if tls { "s" } else { "" }, port.address());
        let acceptor = tls.then(|| {
            let certificate = Authority::shared().server(&["127.0.0.1"]);
            TlsAcceptor::from(server_config(&certificate, None, &["http/1.1"]))
        });
        let listener = {
            let _entered = servers().enter();
            socket.listen(16).unwrap()
        };
        let connections = Arc::<AtomicUsize>::default();
        let refusing = Arc::<Notify>::default();
        let (count, told) = (connections.clone(), refusing.clone());
        let task = Task::start(async move {
            let _port = port;
            let mut tasks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (acceptor, told) = (acceptor.clone(), told.clone());
                tasks.spawn(async move {
                    let stream = match acceptor {
                        None => Stream::Plain(stream),
                        Some(acceptor) => {
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            Stream::Tls(Box::new(stream.into()))
                        }
                    };
                    let mut connection = Connection { stream, buffer: BytesMut::new(), times, told };
                    while connection.exchange().await.is_some() {}
                });
            }
        });
        Self { url, connections, refusing, _task: task }
    }

    /// What an `upstreams:` entry wants.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Refuses a request.
    pub fn refuse(&self) {
        self.refusing.notify_one();
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

struct Connection {
    stream: Stream,
    /// Received and not yet part of a request.
    buffer: BytesMut,
    times: usize,
    /// To refuse something.
    told: Arc<Notify>,
}

impl Connection {
    /// Answers one request, unless it is the end.
    async fn exchange(&mut self) -> Option<()> {
        let head = loop {
            if let Some((head, length)) = request_head(&self.buffer).unwrap() {
                let _ = self.buffer.split_to(length);
                break head;
            }
            self.fill().await?;
        };
        match head.target.as_str() {
            "/refused" => {
                self.told.notified().await;
                self.write(REFUSAL).await?;
                // Whoever goes away is not noticed either.
                std::future::pending().await
            }
            path if path.starts_with("/early") => {
                self.write(EARLY).await?;
                self.read_all(&head, path).await
            }
            path => {
                self.mirror(&head).await?;
                if path == "/late" { self.write(POISON).await } else { Some(()) }
            }
        }
    }

    /// Sends back each piece of the body before it reads the next one.
    async fn mirror(&mut self, head: &RequestHead) -> Option<()> {
        let framing = Framing::of_request(head).unwrap();
        let field = match framing {
            Framing::Length(length) => format!("Content-Length: {}", length * self.times as u64),
            _ => "Transfer-Encoding: chunked".to_owned(),
        };
        let mut answer = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n").into_bytes();
        let mut body = Body::new(framing);
        loop {
            let mut content = Vec::new();
            let done = body.read(&mut self.buffer, |piece| content.extend_from_slice(piece)).unwrap();
            let content = content.repeat(self.times);
            if framing != Framing::Chunked {
                answer.extend_from_slice(&content);
            } else if !content.is_empty() {
                answer.extend_from_slice(format!("{:x}\r\n", content.len()).as_bytes());
                answer.extend_from_slice(&content);
                answer.extend_from_slice(b"\r\n");
            }
            if done && framing == Framing::Chunked {
                answer.extend_from_slice(b"0\r\n\r\n");
            }
            self.write(&answer).await?;
            if done {
                return Some(());
            }
            answer.clear();
            self.fill().await?;
        }
    }

    /// Reads the body, and says on the way what it should not.
    async fn read_all(&mut self, head: &RequestHead, path: &str) -> Option<()> {
        let mut body = Body::new(Framing::of_request(head).unwrap());
        let mut says = path == "/early/then";
        let mut received = 0;
        while !body.read(&mut self.buffer, |piece| received += piece.len()).unwrap() {
            if says && received > AFTER {
                says = false;
                self.write(POISON).await?;
            }
            self.fill().await?;
        }
        Some(())
    }

    async fn write(&mut self, bytes: impl AsRef<[u8]>) -> Option<()> {
        self.stream.write_all(bytes.as_ref()).await.ok()?;
        self.stream.flush().await.ok()
    }

    async fn fill(&mut self) -> Option<()> {
        self.buffer.reserve(8 << 10);
        let count = self.stream.read_buf(&mut self.buffer).await.ok()?;
        (count > 0).then_some(())
    }
}

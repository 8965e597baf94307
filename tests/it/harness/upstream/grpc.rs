//! An HTTP/2 upstream that behaves like a gRPC server: in the clear by prior knowledge, or over TLS by ALPN.
//!
//! A path that ends with `/Unary` is answered when the whole request is there, with the same bytes; `/Bidi` sends each
//! piece back as it comes; `/Trailers` does the same and has the trailer fields of [`MISPLACED`], too; `/Fail` answers with
//! trailers only; `/Hang` never responds; `/Redirect` refers to what `x-refer-to` says; anything else is `UNIMPLEMENTED`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use rustls::ServerConfig;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::harness::background::Task;
use crate::harness::http1::Headers;
use crate::harness::port::ReservedPort;
use crate::harness::tls::Stream;

/// A recording gRPC-like upstream.
pub struct GrpcUpstream {
    port: ReservedPort,
    tls: bool,
    calls: Calls,
    _task: Task,
}

/// A call that has arrived.
#[derive(Clone, Debug, Default)]
pub struct RecordedCall {
    /// The method.
    pub method: String,
    /// The `:path`.
    pub path: String,
    /// The `:authority`.
    pub authority: String,
    /// The header fields.
    pub headers: Headers,
    /// The body so far.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Headers,
    /// Whether all of it has arrived.
    pub complete: bool,
}

type Calls = Arc<Mutex<Vec<RecordedCall>>>;

impl GrpcUpstream {
    /// Starts in the clear.
    pub fn start() -> Self {
        Self::new(None)
    }

    /// Starts over TLS; the configuration offers `h2`. See [`crate::harness::tls::server_config`].
    pub fn start_tls(config: Arc<ServerConfig>) -> Self {
        Self::new(Some(TlsAcceptor::from(config)))
    }

    fn new(tls: Option<TlsAcceptor>) -> Self {
        let port = ReservedPort::take();
        let listener = port.listen();
        let calls = Calls::default();
        let (over_tls, recorded) = (tls.is_some(), calls.clone());
        let task = Task::start(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (tls, calls) = (tls.clone(), recorded.clone());
                connections.spawn(async move {
                    let stream = match tls {
                        None => Stream::Plain(stream),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => Stream::Tls(Box::new(stream.into())),
                            Err(_) => return,
                        },
                    };
                    serve(stream, calls).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { port, tls: over_tls, calls, _task: task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// What an `upstreams:` entry wants.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.address())
    }

    /// Every call whose head has arrived.
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.calls.lock().unwrap().clone()
    }
}

async fn serve(stream: Stream, calls: Calls) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let mut streams = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        let calls = calls.clone();
        // A client that has gone away in the middle of a call is none of our business.
        streams.spawn(async move {
            let _ = answer(request, respond, &calls).await;
        });
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    calls: &Calls,
) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    let call = RecordedCall {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        authority: head.uri.authority().map(ToString::to_string).unwrap_or_default(),
        headers: Headers::from(&head.headers),
        ..RecordedCall::default()
    };
    let number = {
        let mut calls = calls.lock().unwrap();
        calls.push(call);
        calls.len() - 1
    };
    let name = head.uri.path().rsplit('/').next().unwrap_or_default();
    if name == "Hang" {
        std::future::pending::<()>().await;
    }
    if name == "Redirect" {
        let to = head.headers.get("x-refer-to").cloned().unwrap_or_else(|| HeaderValue::from_static("/"));
        let mut answer = Response::builder().status(201);
        for name in ["location", "content-location", "x-other"] {
            answer = answer.header(name, to.clone());
        }
        respond.send_response(answer.body(()).unwrap(), true)?;
        return Ok(());
    }
    let answer = Response::builder().header("content-type", "application/grpc");
    if !["Unary", "Bidi", "Trailers"].contains(&name) {
        // Trailers only: the status stands in the one header block that there is.
        let status = if name == "Fail" { "7" } else { "12" };
        let answer = answer.header("grpc-status", status).header("grpc-message", "as asked");
        respond.send_response(answer.body(()).unwrap(), true)?;
        return Ok(());
    }
    let answer = answer.body(()).unwrap();
    if name == "Unary" {
        let whole = read(&mut body, None, calls, number).await?;
        let mut send = respond.send_response(answer, false)?;
        send_all(&mut send, whole.into()).await?;
        return send.send_trailers(done());
    }
    let mut send = respond.send_response(answer, false)?;
    read(&mut body, Some(&mut send), calls, number).await?;
    let mut trailers = done();
    if name == "Trailers" {
        trailers.extend(
            MISPLACED.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))),
        );
    }
    send.send_trailers(trailers)
}

/// Fields that have no place in trailers (RFC 9110 section 6.5.1), or that only a gateway may set.
pub const MISPLACED: [(&str, &str); 18] = [
    ("authorization", "Bearer x"),
    ("content-encoding", "gzip"),
    ("content-length", "3"),
    ("content-range", "bytes 0-1/2"),
    ("content-type", "text/html"),
    ("content_length", "3"),
    ("cookie", "a=b"),
    ("forwarded", "for=192.0.2.1"),
    ("host", "evil.example"),
    ("proxy-authenticate", "Basic"),
    ("set-cookie", "session=evil"),
    ("trailer", "x"),
    ("www-authenticate", "Basic realm=x"),
    ("x-api-key", "x"),
    ("x-auth-subject", "root"),
    ("x-forwarded-for", "192.0.2.1"),
    ("x-request-id", "other"),
    ("x_auth_subject", "root"),
];

/// Reads the whole request, and sends each piece back `to` the client if told to.
async fn read(
    body: &mut RecvStream,
    mut to: Option<&mut SendStream<Bytes>>,
    calls: &Calls,
    number: usize,
) -> Result<Vec<u8>, h2::Error> {
    let mut whole = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        calls.lock().unwrap()[number].body.extend_from_slice(&piece);
        match &mut to {
            Some(send) => send_all(send, piece).await?,
            None => whole.extend_from_slice(&piece),
        }
    }
    let trailers = body.trailers().await?;
    {
        let call = &mut calls.lock().unwrap()[number];
        call.trailers = trailers.as_ref().map(Headers::from).unwrap_or_default();
        call.complete = true;
    }
    Ok(whole)
}

/// The trailer fields of a call that succeeded.
fn done() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers.insert("grpc-message", HeaderValue::from_static("well done"));
    trailers
}

async fn send_all(send: &mut SendStream<Bytes>, mut bytes: Bytes) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        send.reserve_capacity(bytes.len());
        let Some(granted) = std::future::poll_fn(|context| send.poll_capacity(context)).await else {
            return Ok(());
        };
        send.send_data(bytes.split_to(granted?.min(bytes.len())), false)?;
    }
    Ok(())
}

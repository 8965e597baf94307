//! An HTTP/1.1 connection on which a test writes what it likes. Answers are read by a strict parser; bytes that belong to
//! no answer are kept, because a byte too many is exactly what a smuggling test looks for.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::{Call, Client, Failure, Request, Response};
use crate::harness::deadline::within;
use crate::harness::http1::{Body, Framing, status_head};
use crate::harness::tls::{Negotiated, Stream};

/// An open connection: `connection.get("/").await` for a well-formed request, `write` and `response` for any other.
pub struct Connection {
    stream: Stream,
    tls: Option<Negotiated>,
    client: Client,
    /// Received and not yet part of an answer.
    buffer: BytesMut,
    /// The body that is being read.
    body: Option<Body>,
    /// Content of the body that was read and not given out yet.
    ahead: Vec<u8>,
    end: Option<End>,
}

/// How the other side ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Properly: with a FIN and, over TLS, a `close_notify` before it.
    Closed,
    /// Over TLS, with a FIN and no `close_notify`, which an attacker could have sent too.
    Truncated,
    /// With a TCP reset.
    Reset,
}

impl Connection {
    pub(super) fn new(stream: Stream, tls: Option<Negotiated>, client: Client) -> Self {
        Self { stream, tls, client, buffer: BytesMut::new(), body: None, ahead: Vec::new(), end: None }
    }

    /// What TLS agreed on; fails the test on a connection in the clear.
    pub fn tls(&self) -> &Negotiated {
        self.tls.as_ref().expect("a connection over TLS")
    }

    /// A `GET` over this connection.
    pub fn get(&mut self, path: &str) -> Call<'_> {
        self.call("GET", path)
    }

    /// A `POST` over this connection.
    pub fn post(&mut self, path: &str) -> Call<'_> {
        self.call("POST", path)
    }

    /// Any method over this connection.
    pub fn call(&mut self, method: &str, path: &str) -> Call<'_> {
        Call::http1(self, Request::new(method, path))
    }

    /// Writes bytes as they are.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes).await.unwrap_or_else(|error| panic!("writing: {error}"));
    }

    /// Writes bytes as they are. The other side may have closed already, which is not for this to judge.
    pub async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("the other side to take what is written", self.send(bytes.as_ref())).await
    }

    /// Writes bytes as they are and reads nothing meanwhile, as a client that ignores responses does. A write that does not
    /// end within `limit` means that the other side takes no more.
    ///
    /// # Errors
    /// When the connection is closed, or `limit` has passed.
    pub async fn write_without_reading(&mut self, bytes: &[u8], limit: Duration) -> io::Result<()> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        tokio::time::timeout(limit, write).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Says that nothing more will be written: `close_notify` and FIN. Answers can still be read.
    pub async fn finish_writing(&mut self) {
        let _ = within("the end of writing", self.stream.shutdown()).await;
    }

    /// Reads an answer to a `GET`, past any 1xx answers before it.
    pub async fn response(&mut self) -> Response {
        self.response_to("GET").await
    }

    /// Reads an answer to a request with this method. The method decides whether there is a body.
    pub async fn response_to(&mut self, method: &str) -> Response {
        self.try_response_to(method).await.unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Reads an answer, or says why there is none.
    pub async fn try_response_to(&mut self, method: &str) -> Result<Response, Failure> {
        within(format!("an answer to {method}"), self.read_response(method)).await
    }

    /// Reads an answer to a `GET` and fails the test unless the connection is closed after it without another byte.
    pub async fn only_response(&mut self) -> Response {
        let response = self.response().await;
        self.closed().await;
        response
    }

    /// Reads the head of an answer; its body follows with [`Connection::piece`].
    pub async fn head_to(&mut self, method: &str) -> Response {
        within("the head of an answer", self.read_head(method))
            .await
            .unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Reads the content of the body that [`Connection::head_to`] announced up to and including `end`: one event, one
    /// line, one record.
    pub async fn content_until(&mut self, end: &str) -> String {
        let mut content = Vec::new();
        let whole = loop {
            if let Some(at) = content.windows(end.len()).position(|window| window == end.as_bytes()) {
                break at + end.len();
            }
            match self.piece().await {
                Some(piece) => content.extend_from_slice(&piece),
                None => panic!("the body ended before {end:?}: {}", content.escape_ascii()),
            }
        };
        self.ahead = content.split_off(whole);
        String::from_utf8(content).expect("content of text")
    }

    /// Reads the next piece of the body that [`Connection::head_to`] announced, as it comes, or `None` at its end.
    pub async fn piece(&mut self) -> Option<Vec<u8>> {
        within("a piece of a body", self.read_piece()).await.unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Reads whatever comes next, or `None` at the end of the connection.
    pub async fn some_bytes(&mut self) -> Option<Vec<u8>> {
        if self.buffer.is_empty() {
            within("any byte", self.fill()).await.ok();
        }
        let bytes = self.buffer.split();
        (!bytes.is_empty()).then(|| bytes.to_vec())
    }

    /// Waits until the other side ends the connection; fails the test when a byte comes before that.
    pub async fn closed(&mut self) -> End {
        while self.end.is_none() && self.buffer.is_empty() {
            within("the end of the connection", self.fill()).await.ok();
        }
        assert!(self.buffer.is_empty(), "bytes instead of the end: {}", self.buffer.escape_ascii());
        self.end.unwrap_or(End::Closed)
    }

    /// Whether the other side has neither ended the connection nor sent anything that was not read yet, as far as the
    /// kernel knows here and now.
    pub async fn is_idle(&mut self) -> bool {
        while self.end.is_none() && self.buffer.is_empty() {
            if !self.stream.has_news() {
                return true;
            }
            // Over TLS the news may be a session ticket, which is for nobody but TLS.
            let _ = self.stream.tcp().readable().await;
            tokio::select! {
                biased;
                _ = self.fill() => {}
                () = std::future::ready(()) => {}
            }
        }
        false
    }

    /// Ends the connection with a TCP reset.
    pub fn reset(self) {
        self.stream.reset();
    }

    pub(super) fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.buffer)
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a well-formed request and reads its answer. An early answer counts even when the request could not be sent
    /// to its end.
    pub(super) async fn exchange(&mut self, request: &Request) -> Result<Response, Failure> {
        let bytes = request.to_http1(&self.client);
        let written = self.send(&bytes).await;
        let response = self.read_response(&request.method).await;
        match (response, written) {
            (Err(Failure::Unanswered(_)), Err(error)) => Err(Failure::Unanswered(error.to_string())),
            (response, _) => response,
        }
    }

    async fn read_response(&mut self, method: &str) -> Result<Response, Failure> {
        let mut response = self.read_head(method).await?;
        while let Some(piece) = self.read_piece().await? {
            response.body.extend_from_slice(&piece);
        }
        if let Some(body) = self.body.take() {
            response.trailers = body.trailers;
        }
        Ok(response)
    }

    async fn read_head(&mut self, method: &str) -> Result<Response, Failure> {
        let violation = |violation: crate::harness::http1::Violation| Failure::Violation(violation.0);
        let mut informational = Vec::new();
        loop {
            let Some((head, length)) = status_head(&self.buffer).map_err(violation)? else {
                self.fill().await.map_err(|text| {
                    if self.buffer.is_empty() { Failure::Unanswered(text) } else { Failure::Truncated(text) }
                })?;
                continue;
            };
            let _ = self.buffer.split_to(length);
            let framing = Framing::of_answer(method, &head).map_err(violation)?;
            let mut response = Response::from_head(head);
            // 101 ends the exchange of messages: what follows is another protocol (RFC 9110 section 15.2.2).
            if response.status < 200 && response.status != 101 {
                informational.push(response);
                continue;
            }
            response.informational = informational;
            self.body = Some(Body::new(framing));
            return Ok(response);
        }
    }

    async fn read_piece(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        if !self.ahead.is_empty() {
            return Ok(Some(std::mem::take(&mut self.ahead)));
        }
        let Some(body) = &mut self.body else { return Ok(None) };
        let mut piece = Vec::new();
        loop {
            let done = body
                .read(&mut self.buffer, |content| piece.extend_from_slice(content))
                .map_err(|violation| Failure::Violation(violation.0))?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
            if done {
                return Ok(None);
            }
            if let Err(text) = fill(&mut self.stream, &mut self.buffer, &mut self.end).await {
                // A body that ends with the connection must end properly, or a part of it could be missing.
                let proper = self.end == Some(End::Closed) && body.may_end_here();
                return if proper { Ok(None) } else { Err(Failure::Truncated(text)) };
            }
        }
    }

    /// Received and not yet part of anything.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Reads at least one byte into the buffer, or says how the connection ended.
    pub(super) async fn fill(&mut self) -> Result<(), String> {
        fill(&mut self.stream, &mut self.buffer, &mut self.end).await
    }

    /// Writes, and keeps what comes meanwhile: an early answer would be lost with the reset that may follow it.
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        let write = async {
            writer.write_all(bytes).await?;
            writer.flush().await
        };
        tokio::pin!(write);
        loop {
            tokio::select! {
                biased;
                written = &mut write => return written,
                read = fill(&mut reader, &mut self.buffer, &mut self.end), if self.end.is_none() => {
                    if let Err(text) = read && self.end != Some(End::Closed) {
                        return Err(io::Error::other(text));
                    }
                }
            }
        }
    }
}

/// Reads at least one byte, or says how the connection ended.
async fn fill(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    end: &mut Option<End>,
) -> Result<(), String> {
    buffer.reserve(16 << 10);
    let (how, text) = match stream.read_buf(buffer).await {
        Ok(0) => (End::Closed, "the connection was closed".to_owned()),
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => (End::Truncated, error.to_string()),
        Err(error) => (End::Reset, error.to_string()),
    };
    end.get_or_insert(how);
    Err(text)
}

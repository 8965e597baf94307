//! HTTP/2 as a well-behaved client speaks it, with streams whose two directions a test drives apart from each other.

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use tokio::task::JoinHandle;

use super::{Call, Client, Failure, Request, Response};
use crate::harness::deadline::within;
use crate::harness::http1::Headers;
use crate::harness::tls::{Negotiated, Stream};

/// An HTTP/2 connection. Calls may overlap.
pub struct Http2 {
    send: SendRequest<Bytes>,
    tls: Option<Negotiated>,
    client: Client,
    driver: JoinHandle<Result<(), h2::Error>>,
}

/// One request and its answer, both open.
pub struct Http2Stream {
    send: SendStream<Bytes>,
    answer: Answer,
}

/// How far an answer has come.
enum Answer {
    Awaited(ResponseFuture),
    Begun(RecvStream),
}

impl Http2 {
    pub(super) async fn open(
        stream: Stream,
        tls: Option<Negotiated>,
        client: Client,
    ) -> Result<Self, Failure> {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 22);
        let (send, connection) = within("an HTTP/2 handshake", builder.handshake(stream))
            .await
            .map_err(|error| Failure::http2(&error))?;
        Ok(Self { send, tls, client, driver: tokio::spawn(connection) })
    }

    /// What TLS agreed on; fails the test on a connection in the clear.
    pub fn tls(&self) -> &Negotiated {
        self.tls.as_ref().expect("a connection over TLS")
    }

    /// A `GET` over this connection.
    pub fn get(&self, path: &str) -> Call<'_> {
        self.call("GET", path)
    }

    /// A `POST` over this connection.
    pub fn post(&self, path: &str) -> Call<'_> {
        self.call("POST", path)
    }

    /// Any method over this connection.
    pub fn call(&self, method: &str, path: &str) -> Call<'_> {
        Call::http2(self, Request::new(method, path))
    }

    /// Sends the head of `request` and leaves its body open.
    pub async fn open_stream(&self, request: &Request) -> Result<Http2Stream, Failure> {
        self.start(request, false).await
    }

    /// Sends `request` without a body and leaves its answer open.
    pub async fn open_answer(&self, request: &Request) -> Result<Http2Stream, Failure> {
        self.start(request, true).await
    }

    /// Waits until the other side ends the connection: `Ok` after a `GOAWAY` without an error.
    pub async fn closed(&mut self) -> Result<(), Failure> {
        let ended = within("the end of the HTTP/2 connection", &mut self.driver).await.unwrap();
        ended.map_err(|error| Failure::http2(&error))
    }

    pub(super) async fn exchange(&self, request: &Request) -> Result<Response, Failure> {
        let stream = self.start(request, request.body.is_empty()).await?;
        let Http2Stream { mut send, answer } = stream;
        let body = request.body.clone();
        // Sent on the side, because the answer may come before the body is through, and may make the rest unwanted.
        let sending = tokio::spawn(async move {
            if !body.is_empty() {
                let _ = send_all(&mut send, &body, true).await;
            }
        });
        let response = answer.read().await;
        sending.abort();
        response
    }

    async fn start(&self, request: &Request, ends: bool) -> Result<Http2Stream, Failure> {
        let failure = |error: h2::Error| Failure::http2(&error);
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let host = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = host.map_or(&self.client.host, |(_, value)| value);
        let mut head = http::Request::builder()
            .version(Version::HTTP_2)
            .method(request.method.as_str())
            .uri(format!("{scheme}://{host}{}", request.path));
        for (name, value) in self.client.headers.iter().chain(&request.headers) {
            if !name.eq_ignore_ascii_case("host") {
                head = head.header(name, value);
            }
        }
        if !ends && !request.body.is_empty() {
            head = head.header("content-length", request.body.len());
        }
        let mut send = self.send.clone().ready().await.map_err(failure)?;
        let (answer, send) = send.send_request(head.body(()).unwrap(), ends).map_err(failure)?;
        Ok(Http2Stream { send, answer: Answer::Awaited(answer) })
    }
}

impl Http2Stream {
    /// Sends a piece of the body, waiting for the window where it has to.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        within("the window of an HTTP/2 stream", send_all(&mut self.send, bytes, false)).await
    }

    /// Ends the body.
    pub fn finish(&mut self) -> Result<(), Failure> {
        self.send.send_data(Bytes::new(), true).map_err(|error| Failure::http2(&error))
    }

    /// Ends the body with trailer fields.
    pub fn send_trailers(&mut self, fields: &[(&str, &str)]) -> Result<(), Failure> {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        self.send.send_trailers(map).map_err(|error| Failure::http2(&error))
    }

    /// Ends the stream with `RST_STREAM`.
    pub fn reset(&mut self, reason: h2::Reason) {
        self.send.send_reset(reason);
    }

    /// Waits for the head of the answer; the body follows with [`Http2Stream::data`].
    pub async fn response(&mut self) -> Result<Response, Failure> {
        within("the head of an HTTP/2 answer", self.answer.head()).await
    }

    /// The next piece of the answer's body, or `None` at its end.
    pub async fn data(&mut self) -> Result<Option<Bytes>, Failure> {
        within("a piece of an HTTP/2 body", self.answer.data()).await
    }

    /// The trailer fields after the body; none when there are none.
    pub async fn trailers(&mut self) -> Result<Headers, Failure> {
        within("the end of an HTTP/2 stream", self.answer.trailers()).await
    }
}

impl Answer {
    /// The whole answer.
    async fn read(mut self) -> Result<Response, Failure> {
        let mut response = self.head().await?;
        while let Some(data) = self.data().await? {
            response.body.extend_from_slice(&data);
        }
        response.trailers = self.trailers().await?;
        Ok(response)
    }

    async fn head(&mut self) -> Result<Response, Failure> {
        let Self::Awaited(future) = self else { panic!("the head of an answer is read once") };
        let (head, body) = future.await.map_err(|error| Failure::http2(&error))?.into_parts();
        *self = Self::Begun(body);
        Ok(Response {
            version: "HTTP/2".to_owned(),
            status: head.status.as_u16(),
            headers: Headers::from(&head.headers),
            body: Vec::new(),
            trailers: Headers::default(),
            informational: Vec::new(),
        })
    }

    async fn data(&mut self) -> Result<Option<Bytes>, Failure> {
        let body = self.body();
        let Some(data) = body.data().await else { return Ok(None) };
        let data = data.map_err(|error| Failure::http2(&error))?;
        let _ = body.flow_control().release_capacity(data.len());
        Ok(Some(data))
    }

    async fn trailers(&mut self) -> Result<Headers, Failure> {
        let trailers = self.body().trailers().await.map_err(|error| Failure::http2(&error))?;
        Ok(trailers.as_ref().map(Headers::from).unwrap_or_default())
    }

    fn body(&mut self) -> &mut RecvStream {
        let Self::Begun(body) = self else { panic!("the head of an answer is read before its body") };
        body
    }
}

async fn send_all(send: &mut SendStream<Bytes>, bytes: &[u8], ends: bool) -> Result<(), Failure> {
    let mut rest = Bytes::copy_from_slice(bytes);
    while !rest.is_empty() {
        send.reserve_capacity(rest.len());
        let granted = std::future::poll_fn(|context| send.poll_capacity(context)).await;
        let granted = match granted {
            Some(granted) => granted.map_err(|error| Failure::http2(&error))?,
            None => return Err(Failure::Http2(None, "the stream no longer takes data".to_owned())),
        };
        let piece = rest.split_to(granted.min(rest.len()));
        let last = ends && rest.is_empty();
        send.send_data(piece, last).map_err(|error| Failure::http2(&error))?;
    }
    Ok(())
}

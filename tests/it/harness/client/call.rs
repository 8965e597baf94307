//! One request and one answer, written as a sentence: `client.get("/v1/orders").header("X-API-Key", key).await`.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use super::{Client, Connection, Failure, Http2, Response};
use crate::harness::deadline::DEADLINE;

/// A well-formed request. A malformed one is written by hand, with [`Connection::write`] or [`super::Frames`].
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The request target: a path and perhaps a query.
    pub path: String,
    /// The fields besides `Host` and `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without fields or body.
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// A `GET`.
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// Adds a field. A `Host` replaces the client's.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The request in HTTP/1.1, with a `Content-Length` where the method or the body wants one.
    pub(super) fn to_http1(&self, client: &Client) -> Vec<u8> {
        let mut lines = vec![format!("{} {} HTTP/1.1", self.method, self.path)];
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            lines.push(format!("Host: {}", client.host));
        }
        let fields = client.headers.iter().chain(&self.headers);
        lines.extend(fields.map(|(name, value)| format!("{name}: {value}")));
        if !self.body.is_empty() || ["POST", "PUT", "PATCH"].contains(&self.method.as_str()) {
            lines.push(format!("Content-Length: {}", self.body.len()));
        }
        let mut bytes = (lines.join("\r\n") + "\r\n\r\n").into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A request together with the connection that will carry it. Await it for the [`Response`].
#[must_use = "a call is made when it is awaited"]
pub struct Call<'a> {
    request: Request,
    over: Over<'a>,
}

enum Over<'a> {
    Fresh1(&'a Client),
    Fresh2(&'a Client),
    Http1(&'a mut Connection),
    Http2(&'a Http2),
}

impl<'a> Call<'a> {
    pub(super) fn fresh(client: &'a Client, request: Request) -> Self {
        Self { request, over: Over::Fresh1(client) }
    }

    pub(super) fn http1(connection: &'a mut Connection, request: Request) -> Self {
        Self { request, over: Over::Http1(connection) }
    }

    pub(super) fn http2(connection: &'a Http2, request: Request) -> Self {
        Self { request, over: Over::Http2(connection) }
    }

    /// Adds a field. A `Host` replaces the client's.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Adds several fields.
    pub fn headers(mut self, headers: &[(&str, &str)]) -> Self {
        for (name, value) in headers {
            self.request = self.request.header(name, value);
        }
        self
    }

    /// Sends this body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.request = self.request.body(body);
        self
    }

    /// Sends this document as `application/json`.
    pub fn json(self, document: &serde_json::Value) -> Self {
        self.header("Content-Type", "application/json").body(document.to_string())
    }

    /// Uses a fresh HTTP/2 connection. Says nothing new where the connection is given.
    pub fn over_http2(mut self) -> Self {
        if let Over::Fresh1(client) = self.over {
            self.over = Over::Fresh2(client);
        }
        self
    }

    /// Sends the request and reads the answer, or says why there is none.
    pub async fn outcome(self) -> Result<Response, Failure> {
        self.outcome_within(DEADLINE).await
    }

    /// The same for parties that may take longer than that.
    pub async fn outcome_within(self, limit: Duration) -> Result<Response, Failure> {
        let Self { request, over } = self;
        let exchange = async {
            match over {
                Over::Fresh1(client) => client.try_connect().await?.exchange(&request).await,
                Over::Fresh2(client) => client.try_http2().await?.exchange(&request).await,
                Over::Http1(connection) => connection.exchange(&request).await,
                Over::Http2(connection) => connection.exchange(&request).await,
            }
        };
        tokio::time::timeout(limit, exchange).await.unwrap_or(Err(Failure::TimedOut))
    }
}

impl<'a> IntoFuture for Call<'a> {
    type Output = Response;
    type IntoFuture = Pin<Box<dyn Future<Output = Response> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let what = format!("{} {}", self.request.method, self.request.path);
            self.outcome().await.unwrap_or_else(|failure| panic!("{what}: {failure}"))
        })
    }
}

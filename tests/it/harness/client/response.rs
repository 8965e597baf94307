//! What a client received.

use crate::harness::http1::{Headers, StatusHead};

/// An answer. Displaying it with `{:?}` shows its head and the text of its body.
#[derive(Clone)]
pub struct Response {
    /// `HTTP/1.1`, `HTTP/1.0` or `HTTP/2`.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// The header fields, in order; over HTTP/2 the pseudo-fields are not among them.
    pub headers: Headers,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Headers,
    /// The 1xx answers that came before.
    pub informational: Vec<Response>,
}

impl Response {
    pub(super) fn from_head(head: StatusHead) -> Self {
        let StatusHead { version, status, reason: _, headers } = head;
        Self {
            version,
            status,
            headers,
            body: Vec::new(),
            trailers: Headers::default(),
            informational: Vec::new(),
        }
    }

    /// The value of the only field with this name; fails the test when there are two.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The body as text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|_| panic!("the body is no text: {self:?}"))
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails the test, showing the whole answer, unless it has this status.
    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.body[..self.body.len().min(2_000)];
        formatter
            .debug_struct("Response")
            .field("version", &self.version)
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body", &format_args!("({} bytes) {}", self.body.len(), shown.escape_ascii()))
            .field("trailers", &self.trailers)
            .field("informational", &self.informational)
            .finish()
    }
}

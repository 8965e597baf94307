//! An HTTP/1.1 reader of our own (RFC 9112), written to be strict and independent of everything the gateway uses: what
//! it refuses, no proxy should have let through. Clients read answers with it and upstreams read requests.

mod body;
mod head;
mod headers;

pub use body::{Body, Framing};
pub use head::{RequestHead, StatusHead, request_head, status_head};
pub use headers::Headers;

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl Violation {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

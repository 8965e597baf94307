//! How an upstream answers, from the ordinary to the malicious.

use std::sync::Arc;
use std::time::Duration;

use super::{Events, Recorded};

/// An answer: `Answer::ok("hello").header("Cache-Control", "no-store").after(Duration::from_millis(50))`.
#[derive(Clone)]
pub struct Answer {
    pub(super) act: Act,
    pub(super) when: When,
    pub(super) delay: Duration,
    pub(super) informational: Vec<(u16, Vec<(String, String)>)>,
}

/// What is done.
#[derive(Clone)]
pub(super) enum Act {
    Close,
    Echo,
    Events(Events),
    Function(Arc<dyn Fn(&Recorded) -> Answer + Send + Sync>),
    Hang,
    Raw {
        bytes: Vec<u8>,
        then_close: bool,
    },
    Reset,
    Respond(Respond),
    /// 101, and then every byte is sent back.
    Upgrade(String),
    /// These messages in the same packet as the 101, and then every message is sent back.
    WebSocket(Vec<String>),
}

/// A well-formed answer.
#[derive(Clone)]
pub(super) struct Respond {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) content: Content,
    pub(super) closes: bool,
}

#[derive(Clone)]
pub(super) enum Content {
    /// With a `Content-Length`.
    Bytes(Vec<u8>),
    /// One chunk for each piece, and trailer fields.
    Chunks(Vec<Vec<u8>>, Vec<(String, String)>),
    /// A `Content-Length` that is larger than what follows; then the connection is closed.
    Half(Vec<u8>),
    /// This many zero bytes, with a `Content-Length`.
    Zeros(u64),
    /// Delimited by the end of the connection.
    UntilClose(Vec<u8>),
}

/// What of a request is read before it is answered, and what becomes of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// The head; the body is read after the answer.
    Head,
    /// All of it, kept.
    Body,
    /// All of it, counted and hashed only.
    SunkBody,
}

impl Default for Answer {
    fn default() -> Self {
        Self::ok("ok")
    }
}

impl Answer {
    fn new(act: Act) -> Self {
        Self { act, when: When::Body, delay: Duration::ZERO, informational: Vec::new() }
    }

    fn with(status: u16, content: Content) -> Self {
        Self::new(Act::Respond(Respond { status, headers: Vec::new(), content, closes: false }))
    }

    /// `200` with this body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200, body)
    }

    /// Any status with this body.
    pub fn status(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::with(status, Content::Bytes(body.into()))
    }

    /// `200` with this document as JSON.
    pub fn json(document: &serde_json::Value) -> Self {
        Self::ok(document.to_string()).header("Content-Type", "application/json")
    }

    /// `200` with a JSON document of `method`, `target`, `headers` (each a list of values, names in lower case),
    /// `body` (as text) and `connection`, so that a client sees what arrived for it.
    pub fn echo() -> Self {
        Self::new(Act::Echo)
    }

    /// `200` with one chunk for each piece.
    pub fn chunks(pieces: &[&str]) -> Self {
        let pieces = pieces.iter().map(|piece| piece.as_bytes().to_vec()).collect();
        Self::with(200, Content::Chunks(pieces, Vec::new()))
    }

    /// `200` with a body that ends with the connection.
    pub fn until_close(body: impl Into<Vec<u8>>) -> Self {
        Self::with(200, Content::UntilClose(body.into()))
    }

    /// `200` with so many zero bytes.
    pub fn download(bytes: u64) -> Self {
        Self::with(200, Content::Zeros(bytes))
    }

    /// `200` with the body `ok`; the request's body is counted and hashed and not kept.
    pub fn sink() -> Self {
        Self { when: When::SunkBody, ..Self::ok("ok") }
    }

    /// The promise of 100 bytes more than follow before the connection is closed.
    pub fn half(body: impl Into<Vec<u8>>) -> Self {
        Self::with(200, Content::Half(body.into()))
    }

    /// These bytes and nothing else; the connection stays open.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Act::Raw { bytes: bytes.into(), then_close: false })
    }

    /// These bytes, and the connection is closed.
    pub fn raw_then_close(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new(Act::Raw { bytes: bytes.into(), then_close: true })
    }

    /// What is no HTTP at all.
    pub fn garbage() -> Self {
        Self::raw_then_close(*b"\x16\x03\x01\x00\xa5 220 smtp.example ESMTP\r\n\r\n\x00\xff")
    }

    /// No answer: the connection is closed.
    pub fn close() -> Self {
        Self::new(Act::Close)
    }

    /// No answer: the connection is reset.
    pub fn reset() -> Self {
        Self::new(Act::Reset)
    }

    /// No answer, ever; the connection stays open until the other side closes it.
    pub fn hang() -> Self {
        Self::new(Act::Hang)
    }

    /// A WebSocket that sends every message back; `426` to anything that does not ask for one.
    pub fn websocket() -> Self {
        Self::websocket_greeting(&[])
    }

    /// The same, with these messages right behind the `101`, in the same packet.
    pub fn websocket_greeting(messages: &[&str]) -> Self {
        let messages = messages.iter().map(|text| (*text).to_owned()).collect();
        Self { when: When::Head, ..Self::new(Act::WebSocket(messages)) }
    }

    /// `101` to this protocol, after which every byte is sent back.
    pub fn upgrade(protocol: &str) -> Self {
        Self { when: When::Head, ..Self::new(Act::Upgrade(protocol.to_owned())) }
    }

    /// Server-sent events that a test sends with `events`.
    pub fn events(events: &Events) -> Self {
        Self::new(Act::Events(events.clone()))
    }

    /// What `function` makes of the request, once all of it has arrived. With [`Answer::before_body`] it is called when
    /// the head has arrived.
    pub fn from_fn(function: impl Fn(&Recorded) -> Self + Send + Sync + 'static) -> Self {
        Self::new(Act::Function(Arc::new(function)))
    }

    /// Adds a header field to a well-formed answer.
    #[must_use]
    #[track_caller]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.respond().headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a trailer field to an answer in chunks.
    #[must_use]
    #[track_caller]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        let Content::Chunks(_, trailers) = &mut self.respond().content else {
            panic!("only an answer in chunks has trailer fields")
        };
        trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Closes the connection after a well-formed answer, and says so in it.
    #[must_use]
    #[track_caller]
    pub fn closing(mut self) -> Self {
        self.respond().closes = true;
        self
    }

    /// Sends this 1xx answer first.
    #[must_use]
    pub fn informational(mut self, status: u16, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.informational.push((status, headers));
        self
    }

    /// Answers when the head has arrived, without waiting for the body. The body is read after that.
    #[must_use]
    pub fn before_body(mut self) -> Self {
        self.when = When::Head;
        self
    }

    /// Waits before the answer.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    #[track_caller]
    fn respond(&mut self) -> &mut Respond {
        let Act::Respond(respond) = &mut self.act else {
            panic!("this is no well-formed answer with fields of its own")
        };
        respond
    }
}

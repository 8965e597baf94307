//! HTTP/2 frame by frame (RFC 9113 section 4), for what no library would send: bad fields, wrong lengths, floods.

use bytes::{Buf, BytesMut};

use super::hpack::status_of;
use super::{Connection, End};
use crate::harness::deadline::within;

/// The types of frames.
pub mod kind {
    /// Content.
    pub const DATA: u8 = 0;
    /// The head of a message, or its trailers.
    pub const HEADERS: u8 = 1;
    /// The end of a stream, with an error code.
    pub const RST_STREAM: u8 = 3;
    /// Parameters of the connection.
    pub const SETTINGS: u8 = 4;
    /// A question whether the other side is there.
    pub const PING: u8 = 6;
    /// The end of the connection, with an error code.
    pub const GOAWAY: u8 = 7;
    /// More room for content.
    pub const WINDOW_UPDATE: u8 = 8;
    /// The rest of a header block.
    pub const CONTINUATION: u8 = 9;
}

/// The flags of frames.
pub mod flag {
    /// The last frame of a stream.
    pub const END_STREAM: u8 = 0x1;
    /// The answer to `SETTINGS` or `PING`.
    pub const ACK: u8 = 0x1;
    /// The last frame of a header block.
    pub const END_HEADERS: u8 = 0x4;
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type; see [`kind`].
    pub kind: u8,
    /// Its flags; see [`flag`].
    pub flags: u8,
    /// Its stream, or 0.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer with this status and this body.
    Answered(u16, Vec<u8>),
    /// `RST_STREAM` with this error code, such as 1 for `PROTOCOL_ERROR`.
    Reset(u32),
    /// `GOAWAY` with this error code.
    GoAway(u32),
    /// The connection was closed without a word.
    Closed,
}

/// An HTTP/2 connection on which a test writes frames.
pub struct Frames {
    connection: Connection,
}

impl Frames {
    /// Sends the preface and settings under which answers are easy to read.
    pub(super) async fn open(connection: Connection) -> Self {
        let mut frames = Self { connection };
        frames.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        // No dynamic table for header fields (1), and large windows (4).
        let settings = [[0, 1, 0, 0, 0, 0], [0, 4, 0, 0x10, 0, 0]].concat();
        frames.frame(kind::SETTINGS, 0, 0, &settings).await;
        frames.frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0x10, 0, 0]).await;
        frames
    }

    /// Writes bytes as they are, frames or not. Whether the other side has closed already is not for this to judge.
    pub async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.connection.try_write(bytes).await;
    }

    /// Writes a frame. Nothing about it is checked.
    pub async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.raw(&encode(kind, flags, stream, payload)).await;
    }

    /// Writes `HEADERS` with a whole header block; see [`super::block`]. `ends` says that no body follows.
    pub async fn headers(&mut self, stream: u32, block: &[u8], ends: bool) {
        let flags = flag::END_HEADERS | if ends { flag::END_STREAM } else { 0 };
        self.frame(kind::HEADERS, flags, stream, block).await;
    }

    /// Writes `DATA`.
    pub async fn data(&mut self, stream: u32, bytes: &[u8], ends: bool) {
        self.frame(kind::DATA, if ends { flag::END_STREAM } else { 0 }, stream, bytes).await;
    }

    /// Reads the next frame, or `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        within("a frame", async {
            loop {
                if let Some(frame) = decode(self.connection.buffer()) {
                    return Some(frame);
                }
                if self.connection.fill().await.is_err() {
                    return None;
                }
            }
        })
        .await
    }

    /// How the connection ended, once everything has been read.
    pub async fn ended(&mut self) -> End {
        while self.next().await.is_some() {}
        self.connection.closed().await
    }

    /// Reads frames until it is clear what became of `stream`. Answers `SETTINGS` and `PING` on the way.
    pub async fn outcome(&mut self, stream: u32) -> Outcome {
        let mut status = None;
        let mut body = Vec::new();
        while let Some(frame) = self.next().await {
            let Frame { kind, flags, stream: on, payload } = frame;
            match kind {
                kind::SETTINGS | kind::PING if flags & flag::ACK == 0 => {
                    let echo = if kind == kind::PING { payload } else { Vec::new() };
                    self.frame(kind, flag::ACK, 0, &echo).await;
                }
                kind::GOAWAY => {
                    // Code 0 announces a shutdown, after which the stream may still be answered.
                    let code = payload.get(4..8).map_or(0, |mut code| code.get_u32());
                    if code != 0 {
                        return Outcome::GoAway(code);
                    }
                }
                kind::RST_STREAM if on == stream => {
                    // After a whole answer, code 0 only says that the rest of the request is not wanted.
                    return Outcome::Reset(payload.get(..4).map_or(0, |mut code| code.get_u32()));
                }
                kind::HEADERS if on == stream && status.is_none() => status = status_of(&payload),
                kind::DATA if on == stream => body.extend_from_slice(&payload),
                _ => {}
            }
            let ends = (kind == kind::HEADERS || kind == kind::DATA) && on == stream;
            if let Some(status) = status.filter(|_| ends && flags & flag::END_STREAM != 0) {
                return Outcome::Answered(status, body);
            }
        }
        Outcome::Closed
    }
}

/// A frame as it is written. Nothing about it is checked.
pub fn encode(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn decode(buffer: &mut BytesMut) -> Option<Frame> {
    let (head, _) = buffer.split_at_checked(9)?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    if buffer.len() < 9 + length {
        return None;
    }
    let mut head = buffer.split_to(9);
    head.advance(3);
    let (kind, flags, stream) = (head.get_u8(), head.get_u8(), head.get_u32() & 0x7fff_ffff);
    Some(Frame { kind, flags, stream, payload: buffer.split_to(length).to_vec() })
}

//! WebSocket frames (RFC 6455 section 5) for both sides. Fragments are put together; masks are checked, because a proxy
//! that loses or adds bytes shows there first.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What one side says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Bytes.
    Binary(Vec<u8>),
    /// The end, with a status code and a reason where they were given.
    Close(Option<(u16, String)>),
    /// A question whether the other side is there.
    Ping(Vec<u8>),
    /// The answer to it.
    Pong(Vec<u8>),
    /// Text.
    Text(String),
}

/// Which end of the connection this is. A client masks what it sends, a server does not (section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that asked for the WebSocket.
    Client,
    /// The one that was asked.
    Server,
}

/// A WebSocket after the handshake.
pub struct Socket<S> {
    stream: S,
    buffer: BytesMut,
    side: Side,
    /// The opcode and the content of a message that has not come to its end.
    fragments: Option<(u8, Vec<u8>)>,
}

/// The value of `Sec-WebSocket-Accept` for this `Sec-WebSocket-Key` (section 4.2.2).
pub fn accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// A message as one frame.
pub fn frame(message: &Message, side: Side) -> Vec<u8> {
    let (opcode, payload) = match message {
        Message::Text(text) => (1, text.as_bytes().to_vec()),
        Message::Binary(bytes) => (2, bytes.clone()),
        Message::Close(None) => (8, Vec::new()),
        Message::Close(Some((code, reason))) => (8, [&code.to_be_bytes(), reason.as_bytes()].concat()),
        Message::Ping(bytes) => (9, bytes.clone()),
        Message::Pong(bytes) => (10, bytes.clone()),
    };
    encode(0x80 | opcode, payload, side)
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Takes over a connection; `buffer` holds what was read past the handshake.
    pub fn new(stream: S, buffer: BytesMut, side: Side) -> Self {
        Self { stream, buffer, side, fragments: None }
    }

    /// Sends a message in one frame.
    pub async fn send(&mut self, message: &Message) -> std::io::Result<()> {
        self.stream.write_all(&frame(message, self.side)).await?;
        self.stream.flush().await
    }

    /// The next message; `Ok(None)` when the connection ends, wherever it does, and an error for what is not in the
    /// protocol. A control frame may stand between the fragments of a message (section 5.4) and comes first then.
    pub async fn receive(&mut self) -> Result<Option<Message>, String> {
        loop {
            let Some((head, payload)) = self.frame().await? else { return Ok(None) };
            let (last, opcode) = (head & 0x80 != 0, head & 0x0f);
            if opcode >= 8 {
                return if last {
                    message(opcode, payload).map(Some)
                } else {
                    Err("a part of a control frame".to_owned())
                };
            }
            let whole = match (opcode, self.fragments.take()) {
                (0, Some((opcode, mut sofar))) => {
                    sofar.extend_from_slice(&payload);
                    (opcode, sofar)
                }
                (0, None) => return Err("a continuation of nothing".to_owned()),
                (opcode, None) => (opcode, payload),
                (_, Some(_)) => return Err("a message within another".to_owned()),
            };
            if last {
                return message(whole.0, whole.1).map(Some);
            }
            self.fragments = Some(whole);
        }
    }

    async fn frame(&mut self) -> Result<Option<(u8, Vec<u8>)>, String> {
        loop {
            if let Some(frame) = decode(&mut self.buffer, self.side)? {
                return Ok(Some(frame));
            }
            if !matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..)) {
                return Ok(None);
            }
        }
    }
}

fn message(opcode: u8, payload: Vec<u8>) -> Result<Message, String> {
    Ok(match opcode {
        1 => Message::Text(String::from_utf8(payload).map_err(|_| "text that is not UTF-8")?),
        2 => Message::Binary(payload),
        8 if payload.is_empty() => Message::Close(None),
        8 => {
            let (code, reason) = payload.split_at_checked(2).ok_or("a status code of one byte")?;
            let reason = String::from_utf8(reason.to_vec()).map_err(|_| "a reason that is not UTF-8")?;
            Message::Close(Some((u16::from_be_bytes([code[0], code[1]]), reason)))
        }
        9 => Message::Ping(payload),
        10 => Message::Pong(payload),
        _ => return Err(format!("the opcode {opcode}")),
    })
}

fn encode(head: u8, mut payload: Vec<u8>, side: Side) -> Vec<u8> {
    let masked = if side == Side::Client { 0x80 } else { 0 };
    let mut bytes = vec![head];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..=125), _) => bytes.push(masked | length),
        (_, Ok(length)) => {
            bytes.push(masked | 0x7e);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            bytes.push(masked | 0x7f);
            bytes.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    if side == Side::Client {
        bytes.extend_from_slice(&MASK);
        mask(&mut payload, MASK);
    }
    bytes.extend_from_slice(&payload);
    bytes
}

/// The first byte and the payload of the next frame, if all of it is there.
fn decode(buffer: &mut BytesMut, side: Side) -> Result<Option<(u8, Vec<u8>)>, String> {
    let mut rest = &buffer[..];
    if rest.len() < 2 {
        return Ok(None);
    }
    let (head, second) = (rest.get_u8(), rest.get_u8());
    if head & 0x70 != 0 {
        return Err(format!("reserved bits in {head:#04x}"));
    }
    if (second & 0x80 != 0) != (side == Side::Server) {
        return Err("clients mask their frames, and servers do not".to_owned());
    }
    let length = match second & 0x7f {
        126 if rest.len() < 2 => return Ok(None),
        126 => u64::from(rest.get_u16()),
        127 if rest.len() < 8 => return Ok(None),
        127 => rest.get_u64(),
        length => u64::from(length),
    };
    let key = match side {
        Side::Client => [0; 4],
        Side::Server if rest.len() < 4 => return Ok(None),
        Side::Server => rest.get_u32().to_be_bytes(),
    };
    let length = usize::try_from(length).map_err(|_| "a frame of that length")?;
    if rest.len() < length {
        return Ok(None);
    }
    let mut payload = rest[..length].to_vec();
    mask(&mut payload, key);
    let taken = buffer.len() - rest.len() + length;
    buffer.advance(taken);
    Ok(Some((head, payload)))
}

fn mask(payload: &mut [u8], key: [u8; 4]) {
    for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

//! Where a message ends (RFC 9112 sections 6 and 7): by its length, by its chunks, or with the connection.

use bytes::BytesMut;

use super::head::trailers;
use super::{Headers, RequestHead, StatusHead, Violation};

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By chunks.
    Chunked,
    /// By a length in bytes; 0 when there is no body.
    Length(u64),
    /// By the end of the connection.
    UntilClose,
}

impl Framing {
    /// How the body of a request is delimited.
    pub fn of_request(head: &RequestHead) -> Result<Self, Violation> {
        Ok(Self::declared(&head.version, &head.headers)?.unwrap_or(Self::Length(0)))
    }

    /// How the body of an answer to a request with `method` is delimited.
    pub fn of_answer(method: &str, head: &StatusHead) -> Result<Self, Violation> {
        let declared = Self::declared(&head.version, &head.headers)?;
        match head.status {
            100..=199 | 204 if declared.is_some() => Err(Violation::new(format!(
                "a {} with a Content-Length or Transfer-Encoding (RFC 9110 section 8.6)",
                head.status
            ))),
            100..=199 | 204 | 304 => Ok(Self::Length(0)),
            _ if method == "HEAD" => Ok(Self::Length(0)),
            _ => Ok(declared.unwrap_or(Self::UntilClose)),
        }
    }

    fn declared(version: &str, headers: &Headers) -> Result<Option<Self>, Violation> {
        let lengths = headers.all("content-length");
        let codings = headers.all("transfer-encoding");
        match (&lengths[..], &codings[..]) {
            ([], []) => Ok(None),
            ([length], []) => {
                let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
                match length.parse() {
                    Ok(length) if digits => Ok(Some(Self::Length(length))),
                    _ => Err(Violation::new(format!("not a length: {length:?}"))),
                }
            }
            ([], [coding]) if coding.eq_ignore_ascii_case("chunked") && version == "HTTP/1.1" => {
                Ok(Some(Self::Chunked))
            }
            _ => Err(Violation::new(format!(
                "ambiguous framing: Content-Length {lengths:?}, Transfer-Encoding {codings:?} in {version}"
            ))),
        }
    }
}

/// Reads a body piece by piece.
#[derive(Debug)]
pub struct Body {
    state: State,
    /// The fields after the last chunk.
    pub trailers: Headers,
}

#[derive(Debug)]
enum State {
    /// This many bytes of a body with a length are still to come.
    Remaining(u64),
    UntilClose,
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    Done,
}

impl Body {
    /// A body that is delimited like this.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Chunked => State::ChunkSize,
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Remaining(length),
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, trailers: Headers::default() }
    }

    /// Takes what belongs to the body out of `buffer`, gives its content to `content`, and says whether that was all.
    pub fn read(&mut self, buffer: &mut BytesMut, mut content: impl FnMut(&[u8])) -> Result<bool, Violation> {
        loop {
            self.state = match &mut self.state {
                State::Done => return Ok(true),
                State::UntilClose => {
                    content(&buffer.split());
                    return Ok(false);
                }
                State::Remaining(left) => {
                    if !take(left, buffer, &mut content) {
                        return Ok(false);
                    }
                    State::Done
                }
                State::Chunk(left) => {
                    if !take(left, buffer, &mut content) {
                        return Ok(false);
                    }
                    State::ChunkEnd
                }
                State::ChunkEnd => {
                    if buffer.len() < 2 {
                        return Ok(false);
                    }
                    if buffer.split_to(2) != b"\r\n"[..] {
                        return Err(Violation::new("a chunk that does not end with CR LF"));
                    }
                    State::ChunkSize
                }
                State::ChunkSize => match chunk_size(buffer)? {
                    None => return Ok(false),
                    Some(0) => State::Trailers,
                    Some(size) => State::Chunk(size),
                },
                State::Trailers => match trailers(buffer)? {
                    None => return Ok(false),
                    Some((fields, length)) => {
                        let _ = buffer.split_to(length);
                        self.trailers = fields;
                        State::Done
                    }
                },
            };
        }
    }

    /// Whether the body is complete now that the connection has ended.
    pub fn may_end_here(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClose)
    }
}

/// Takes up to `left` bytes of content, and says whether that was all of them.
fn take(left: &mut u64, buffer: &mut BytesMut, content: &mut impl FnMut(&[u8])) -> bool {
    let here = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
    content(&buffer.split_to(here));
    *left -= here as u64;
    *left == 0
}

/// The size of the next chunk: hexadecimal digits and nothing else. Extensions are allowed by RFC 9112 and sent by
/// nobody, so one that turns up has been smuggled through.
fn chunk_size(buffer: &mut BytesMut) -> Result<Option<u64>, Violation> {
    let Some(end) = buffer.iter().position(|byte| *byte == b'\n') else {
        return if buffer.len() > 18 {
            Err(Violation::new(format!("not a chunk size: {}", buffer.escape_ascii())))
        } else {
            Ok(None)
        };
    };
    let line = buffer.split_to(end + 1);
    let digits = line.strip_suffix(b"\r\n").filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    let size = digits
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| u64::from_str_radix(digits, 16).ok());
    match size {
        Some(size) => Ok(Some(size)),
        None => Err(Violation::new(format!("not a chunk size: {}", line.escape_ascii()))),
    }
}

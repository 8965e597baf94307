//! The head of an HTTP/1 request, read from the raw bytes before any other parser sees them (RFC 9112).
//!
//! HTTP libraries forgive: a bare line feed, two lengths, a space too many. Each such kindness is a chance that the
//! next server reads the same bytes differently. This reader forgives nothing that changes where a message ends or who
//! it is for, and says where the body ends, so that bytes after it are never taken for part of it.

use std::ops::Range;

use super::Malformed;
use super::authority::Authority;

/// A complete head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Empty lines before the request line, to be passed over (RFC 9112 §2.2).
    pub skip: usize,
    /// Its length with the empty line that ends it, counted from the start of the buffer.
    pub length: usize,
    /// `http://host` in a target in absolute form (RFC 9112 §3.2.2), which is cut out: the `Host` field says the same.
    pub cut: Option<Range<usize>>,
    /// What follows it.
    pub body: Body,
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// The chunked coding, which ends itself.
    Chunked,
    /// This many bytes; 0 when there is no body.
    Length(u64),
    /// Another protocol, if the upstream agrees; no body before that.
    Upgrade,
}

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head.
    pub bytes: usize,
    /// Number of header fields.
    pub fields: usize,
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// It has no single meaning: 400.
    Malformed(Malformed),
    /// It is larger than the limits allow: 431.
    TooLarge,
    /// It asks for a tunnel, which is never made: 405.
    Tunnel,
}

impl From<Malformed> for HeadError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// Reads a head that arrives in pieces. Each byte is looked at once while the end is searched, and once when it is
/// parsed.
#[derive(Debug, Default)]
pub struct HeadReader {
    searched: usize,
}

impl HeadReader {
    /// Looks for the end of the head in `buffer`, which holds everything received so far, and parses it when it is
    /// there. `Ok(None)` asks for more bytes.
    ///
    /// # Errors
    /// As soon as the bytes cannot become an acceptable head, without waiting for its end.
    pub fn read(&mut self, buffer: &[u8], limits: HeadLimits) -> Result<Option<Head>, HeadError> {
        let skip = if buffer.starts_with(b"\r\n") { 2 } else { 0 };
        let mut from = self.searched.max(skip);
        while let Some(at) = memchr::memchr(b'\n', &buffer[from..]).map(|at| from + at) {
            if at == 0 || buffer[at - 1] != b'\r' {
                return Err(Malformed::LineEnding.into());
            }
            if buffer[..=at].ends_with(b"\r\n\r\n") && at + 1 >= skip + 4 {
                if at + 1 > limits.bytes {
                    return Err(HeadError::TooLarge);
                }
                return parse(buffer, skip, at + 1, limits).map(Some);
            }
            from = at + 1;
        }
        self.searched = from.min(buffer.len());
        if buffer.len() > limits.bytes {
            return Err(HeadError::TooLarge);
        }
        Ok(None)
    }
}

/// The fields that decide about framing and routing, collected in one pass.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    content_length: Option<u64>,
    chunked: bool,
    upgrades: usize,
    upgrade_to_websocket: bool,
    connection_upgrade: bool,
}

fn parse(buffer: &[u8], skip: usize, length: usize, limits: HeadLimits) -> Result<Head, HeadError> {
    // The blank line is left out; every line before it ends with CR LF.
    let head = &buffer[skip..length - 2];
    let mut lines = Lines(head);
    let line = RequestLine::parse(lines.next().ok_or(Malformed::RequestLine)?)?;
    let mut fields = Fields::default();
    let mut count = 0;
    for line in lines {
        count += 1;
        if count > limits.fields {
            return Err(HeadError::TooLarge);
        }
        let (name, value) = field(line)?;
        fields.note(name, value)?;
    }
    let host = fields.host.ok_or(Malformed::Host)?;
    // The library would refuse some hosts by itself, in its own words and without a line in the log.
    Authority::parse(host)?;
    let cut = line.absolute_form(host)?.map(|range| range.start + skip..range.end + skip);
    let body = fields.body(&line)?;
    Ok(Head { skip, length, cut, body })
}

/// The lines of a head without their CR LF.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(b'\n', self.0)?;
        let line = &self.0[..end.saturating_sub(1)];
        self.0 = &self.0[end + 1..];
        Some(line)
    }
}

struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    version: Version,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

impl<'a> RequestLine<'a> {
    /// `METHOD SP TARGET SP HTTP/1.x`, with single spaces.
    fn parse(line: &'a [u8]) -> Result<Self, HeadError> {
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Malformed::RequestLine.into());
        };
        if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
            return Err(Malformed::Method.into());
        }
        if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
            return Err(Malformed::ControlByte.into());
        }
        if target.len() > LONGEST_TARGET {
            return Err(HeadError::TooLarge);
        }
        if !is_target(target) {
            return Err(Malformed::Target.into());
        }
        if method == b"CONNECT" {
            return Err(HeadError::Tunnel);
        }
        let version = match version {
            b"HTTP/1.0" => Version::Http10,
            b"HTTP/1.1" => Version::Http11,
            _ => return Err(Malformed::RequestLine.into()),
        };
        Ok(Self { method, target, version })
    }

    /// Where `http://host` stands in a target in absolute form, after checking that it names the same host as the
    /// `Host` field.
    fn absolute_form(&self, host: &[u8]) -> Result<Option<Range<usize>>, Malformed> {
        if self.target.starts_with(b"/") {
            return Ok(None);
        }
        let scheme = [&b"http://"[..], b"https://"]
            .into_iter()
            .find(|scheme| {
                self.target.len() > scheme.len() && self.target[..scheme.len()].eq_ignore_ascii_case(scheme)
            })
            .ok_or(Malformed::Target)?;
        let rest = &self.target[scheme.len()..];
        let path = memchr::memchr(b'/', rest).ok_or(Malformed::Target)?;
        if Authority::parse(&rest[..path])? != Authority::parse(host)? {
            return Err(Malformed::Host);
        }
        let start = self.method.len() + 1;
        Ok(Some(start..start + scheme.len() + path))
    }
}

/// Splits a header line, which must be `name:value` with a token for a name and no control bytes in the value.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let colon = memchr::memchr(b':', line).ok_or(Malformed::Field)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(Malformed::Field);
    }
    // A lone CR would be a control byte too; obs-text (0x80 and above) is passed on, as RFC 9110 §5.5 asks for. A token is
    // a long value: all bytes are looked at without a branch for each, so that several are looked at in one instruction.
    let control = |byte: u8| byte.is_ascii_control() && byte != b'\t';
    if value.iter().fold(false, |found, byte| found | control(*byte)) {
        return Err(Malformed::Field);
    }
    Ok((name, value.trim_ascii()))
}

impl<'a> Fields<'a> {
    fn note(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Malformed> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") && self.host.replace(value).is_some() => {
                return Err(Malformed::Host);
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.upgrades += 1;
                self.upgrade_to_websocket |= value.eq_ignore_ascii_case(b"websocket");
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.connection_upgrade |= value
                    .split(|byte| *byte == b',')
                    .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = content_length(value).ok_or(Malformed::ContentLength)?;
                if self.content_length.replace(length).is_some() {
                    return Err(Malformed::ContentLength);
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Malformed::TransferEncoding);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn body(&self, line: &RequestLine<'_>) -> Result<Body, Malformed> {
        // Which one of several an upstream would choose is not known, so they are none.
        let upgrade = self.upgrades == 1 && self.upgrade_to_websocket && self.connection_upgrade;
        match (self.chunked, self.content_length) {
            (true, Some(_)) => Err(Malformed::ContentLength),
            (true, None) if line.version == Version::Http10 => Err(Malformed::TransferEncoding),
            (true, None) | (false, Some(1..)) if upgrade => Err(Malformed::Upgrade),
            (true, None) => Ok(Body::Chunked),
            (false, _) if upgrade && line.version == Version::Http11 && line.method == b"GET" => {
                Ok(Body::Upgrade)
            }
            (false, length) => Ok(Body::Length(length.unwrap_or_default())),
        }
    }
}

/// The longest target that the library takes; it would refuse longer ones in its own words.
const LONGEST_TARGET: usize = u16::MAX as usize - 1;

/// Whether the library takes every byte of `target`, which are graphic ASCII. It would cut a fragment off without a word,
/// and refuse the others in its own words; none of them may stand in a URI (RFC 3986 §3.3, §3.4).
fn is_target(target: &[u8]) -> bool {
    let query = memchr::memchr(b'?', target).unwrap_or(target.len());
    let (path, query) = target.split_at(query);
    !path.iter().any(|byte| matches!(byte, b'#' | b'<' | b'>' | b'`'))
        && !query.iter().any(|byte| matches!(byte, b'#' | b'<' | b'>' | b'"'))
}

/// A plain decimal number below 2^63: no sign, no list, no white space (RFC 9110 §8.6).
fn content_length(value: &[u8]) -> Option<u64> {
    let plain = (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let number: u64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (plain && i64::try_from(number).is_ok()).then_some(number)
}

/// The characters of a token (RFC 9110 §5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests;

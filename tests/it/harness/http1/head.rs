//! Start lines and header fields (RFC 9112 sections 3 to 5).

use super::{Headers, Violation};

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The method, as it was spelled.
    pub method: String,
    /// The request target, byte for byte.
    pub target: String,
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// The header fields.
    pub headers: Headers,
}

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusHead {
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// The header fields.
    pub headers: Headers,
}

/// The longest head that is read.
const LONGEST: usize = 1 << 20;

/// Reads a request's head from the beginning of `bytes`: the head and its length, or `None` when more bytes are needed.
pub fn request_head(bytes: &[u8]) -> Result<Option<(RequestHead, usize)>, Violation> {
    let Some((lines, length)) = lines(bytes)? else { return Ok(None) };
    let (start, fields) =
        lines.split_first().ok_or_else(|| Violation::new("a request without a start line"))?;
    let start = ascii(start)?;
    let parts: Vec<&str> = start.split(' ').collect();
    let [method, target, version] = parts[..] else {
        return Err(Violation::new(format!("not a request line: {start:?}")));
    };
    if !is_token(method.as_bytes()) {
        return Err(Violation::new(format!("not a method: {method:?}")));
    }
    if target.is_empty() || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Violation::new(format!("not a request target: {target:?}")));
    }
    let headers = fields_of(fields)?;
    let hosts = headers.all("host").len();
    if hosts > 1 || (hosts == 0 && version == "HTTP/1.1") {
        return Err(Violation::new(format!("a request with {hosts} Host fields")));
    }
    let head = RequestHead {
        method: method.to_owned(),
        target: target.to_owned(),
        version: http_version(version)?,
        headers,
    };
    Ok(Some((head, length)))
}

/// Reads an answer's head from the beginning of `bytes`: the head and its length, or `None` when more bytes are needed.
pub fn status_head(bytes: &[u8]) -> Result<Option<(StatusHead, usize)>, Violation> {
    let Some((lines, length)) = lines(bytes)? else { return Ok(None) };
    let (start, fields) =
        lines.split_first().ok_or_else(|| Violation::new("an answer without a start line"))?;
    let text = ascii(start)?;
    let wrong = || Violation::new(format!("not a status line: {text:?}"));
    let (version, rest) = text.split_once(' ').ok_or_else(wrong)?;
    let (status, reason) = rest.split_once(' ').ok_or_else(wrong)?;
    if status.len() != 3 || !status.bytes().all(|byte| byte.is_ascii_digit()) || status.starts_with('0') {
        return Err(wrong());
    }
    let head = StatusHead {
        version: http_version(version)?,
        status: status.parse().map_err(|_| wrong())?,
        reason: reason.to_owned(),
        headers: fields_of(fields)?,
    };
    Ok(Some((head, length)))
}

/// Lines without their ends, and how long all of them are with theirs.
type Lines<'a> = (Vec<&'a [u8]>, usize);

/// The lines up to the empty one, and how long all of it is. Lines end with CR LF and nothing else.
fn lines(bytes: &[u8]) -> Result<Option<Lines<'_>>, Violation> {
    let mut lines = Vec::new();
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = match end {
            Some(end) => &rest[..=end],
            None if bytes.len() > LONGEST => return Err(Violation::new("a head of more than 1 MiB")),
            None => return Ok(None),
        };
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(Violation::new(format!("a line that ends with a bare LF: {}", line.escape_ascii())));
        };
        at += line.len() + 2;
        if line.is_empty() {
            return Ok(Some((lines, at)));
        }
        if let Some(control) = line.iter().find(|byte| (**byte < 0x20 && **byte != b'\t') || **byte == 0x7f) {
            return Err(Violation::new(format!(
                "the byte {control:#04x} in the line {}",
                line.escape_ascii()
            )));
        }
        lines.push(line);
    }
}

/// Header fields, or the trailer fields that end a chunked body.
fn fields_of(lines: &[&[u8]]) -> Result<Headers, Violation> {
    let mut headers = Headers::default();
    for line in lines {
        let wrong = || Violation::new(format!("not a field line: {}", line.escape_ascii()));
        let colon = line.iter().position(|byte| *byte == b':').ok_or_else(wrong)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if !is_token(name) {
            return Err(wrong());
        }
        let value = value.trim_ascii();
        headers.push(String::from_utf8(name.to_vec()).map_err(|_| wrong())?, value);
    }
    Ok(headers)
}

/// Reads trailer fields up to and including the empty line: the fields and their length, or `None` when more is needed.
pub(super) fn trailers(bytes: &[u8]) -> Result<Option<(Headers, usize)>, Violation> {
    let Some((lines, length)) = lines(bytes)? else { return Ok(None) };
    Ok(Some((fields_of(&lines)?, length)))
}

fn http_version(text: &str) -> Result<String, Violation> {
    match text {
        "HTTP/1.1" | "HTTP/1.0" => Ok(text.to_owned()),
        _ => Err(Violation::new(format!("not a version: {text:?}"))),
    }
}

fn ascii(line: &[u8]) -> Result<&str, Violation> {
    match std::str::from_utf8(line) {
        Ok(text) if text.is_ascii() => Ok(text),
        _ => Err(Violation::new(format!("a start line with bytes outside ASCII: {}", line.escape_ascii()))),
    }
}

fn is_token(bytes: &[u8]) -> bool {
    let tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(tchar)
}

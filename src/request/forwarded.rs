//! The `Forwarded` header field (RFC 7239), read element by element from the right: the last element is the one that the
//! nearest proxy added.
//!
//! A client can write anything in front of what a proxy adds. Reading from the right keeps the proxy's own element apart
//! from a quote that the client opened and did not close. Each element is parsed strictly; the reader stops where one is
//! malformed.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::{self, HeaderMap, HeaderValue};

use super::authority::Authority;
use super::origin::Scheme;

/// One element: how the proxy that added it received the request (RFC 7239 §4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// The address in `for`; none for `unknown` and for obfuscated identifiers (RFC 7239 §6.2 and §6.3).
    pub client: Option<IpAddr>,
    /// The value of `host`.
    pub host: Option<HeaderValue>,
    /// The scheme in `proto`, where it is `http` or `https`.
    pub scheme: Option<Scheme>,
}

/// An element that RFC 7239 does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed element of `Forwarded`")]
pub struct MalformedElement;

/// More parameters than any proxy writes. The bound keeps the search for duplicates cheap.
const MAX_PARAMETERS: usize = 16;

/// The elements of all `Forwarded` lines, last line and last element first.
pub fn from_right(headers: &HeaderMap) -> impl Iterator<Item = Result<Element, MalformedElement>> + '_ {
    let lines = headers.get_all(header::FORWARDED).iter().rev();
    lines.flat_map(|line| FromRight(Some(line.as_bytes()))).map(Element::parse)
}

/// The comma-separated elements of a line, from the right.
struct FromRight<'a>(Option<&'a [u8]>);

impl<'a> Iterator for FromRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0.take()?;
        let mut quoted = false;
        for (at, byte) in rest.iter().enumerate().rev() {
            match byte {
                b'"' if quoted => quoted = is_escaped(&rest[..at]),
                b'"' => quoted = true,
                b',' if !quoted => {
                    self.0 = Some(&rest[..at]);
                    return Some(&rest[at + 1..]);
                }
                _ => {}
            }
        }
        Some(rest)
    }
}

/// Whether a byte that follows `before` in a quoted string is escaped.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

impl Element {
    /// Parses one element.
    ///
    /// # Errors
    /// The element does not follow the grammar, is empty, or has a parameter twice.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedElement> {
        let mut reader = Reader(trim(bytes));
        if reader.0.is_empty() {
            return Err(MalformedElement);
        }
        let mut element = Self::default();
        let mut seen: [&[u8]; MAX_PARAMETERS] = [b""; MAX_PARAMETERS];
        let mut count = 0;
        loop {
            // A pair may be missing between two semicolons.
            while reader.skip(b';') {}
            if reader.0.is_empty() {
                return Ok(element);
            }
            let name = reader.token()?;
            if seen[..count].iter().any(|other| other.eq_ignore_ascii_case(name)) {
                return Err(MalformedElement);
            }
            *seen.get_mut(count).ok_or(MalformedElement)? = name;
            count += 1;
            if !reader.skip(b'=') {
                return Err(MalformedElement);
            }
            let value = reader.value()?;
            element.set(name, &value)?;
            if !reader.0.is_empty() && reader.0.first() != Some(&b';') {
                return Err(MalformedElement);
            }
        }
    }

    fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), MalformedElement> {
        if name.eq_ignore_ascii_case(b"for") {
            self.client = node(value)?;
        } else if name.eq_ignore_ascii_case(b"by") {
            node(value)?;
        } else if name.eq_ignore_ascii_case(b"host") {
            Authority::parse(value).map_err(|_| MalformedElement)?;
            self.host = Some(HeaderValue::from_bytes(value).map_err(|_| MalformedElement)?);
        } else if name.eq_ignore_ascii_case(b"proto") {
            if !is_scheme(value) {
                return Err(MalformedElement);
            }
            self.scheme = Scheme::parse(value);
        }
        Ok(())
    }
}

/// Reads an element from the left.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn skip(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// A token (RFC 9110 §5.6.2).
    fn token(&mut self) -> Result<&'a [u8], MalformedElement> {
        let end = self.0.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        if token.is_empty() { Err(MalformedElement) } else { Ok(token) }
    }

    /// A token or a quoted string (RFC 9110 §5.6.4), without its quotes and escapes. Bytes beyond ASCII are refused.
    fn value(&mut self) -> Result<Cow<'a, [u8]>, MalformedElement> {
        if !self.skip(b'"') {
            return self.token().map(Cow::Borrowed);
        }
        let whole = self.0;
        let mut unescaped: Option<Vec<u8>> = None;
        let mut at = 0;
        loop {
            let byte = *whole.get(at).ok_or(MalformedElement)?;
            let content = match byte {
                b'"' => break,
                b'\\' => {
                    unescaped.get_or_insert_with(|| whole[..at].to_vec());
                    at += 1;
                    *whole.get(at).ok_or(MalformedElement)?
                }
                other => other,
            };
            if !matches!(content, b'\t' | b' '..=b'~') {
                return Err(MalformedElement);
            }
            if let Some(unescaped) = &mut unescaped {
                unescaped.push(content);
            }
            at += 1;
        }
        self.0 = &whole[at + 1..];
        Ok(unescaped.map_or(Cow::Borrowed(&whole[..at]), Cow::Owned))
    }
}

/// The address of a node (RFC 7239 §6); none for `unknown` and obfuscated identifiers.
fn node(value: &[u8]) -> Result<Option<IpAddr>, MalformedElement> {
    let text = std::str::from_utf8(value).map_err(|_| MalformedElement)?;
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or(MalformedElement)?;
        let address: Ipv6Addr = address.parse().map_err(|_| MalformedElement)?;
        let port_is_fine = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        return if port_is_fine { Ok(Some(IpAddr::V6(address))) } else { Err(MalformedElement) };
    }
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    if port.is_some_and(|port| !is_port(port)) {
        return Err(MalformedElement);
    }
    if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
        return Ok(None);
    }
    let address: Ipv4Addr = name.parse().map_err(|_| MalformedElement)?;
    Ok(Some(IpAddr::V4(address)))
}

fn is_port(text: &str) -> bool {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits || is_obfuscated(text)
}

fn is_obfuscated(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(allowed))
}

/// A URI scheme (RFC 3986 §3.1).
fn is_scheme(value: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    value.first().is_some_and(u8::is_ascii_alphabetic) && value.iter().all(allowed)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `bytes` without optional white space at both ends (RFC 9110 §5.6.3).
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests;

//! The path and query of a request (RFC 9112 §3.2.1), read in the strictest way.
//!
//! The bytes are forwarded as they are. What is matched is each segment with its escapes decoded once, because that is
//! what an upstream will take it for: `/%61dmin` is matched as `/admin`. Every spelling that some upstream might turn
//! into another path is refused: dot segments in any disguise, empty segments, backslashes, control bytes.

use std::borrow::Cow;

use super::Malformed;

/// A path that starts with `/` and an optional query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    path: &'a str,
    query: Option<&'a str>,
    escapes: Escapes,
}

/// What the path's percent-escapes contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escapes {
    /// There are none: a segment is what it says.
    None,
    /// Some, but no slash among them.
    Plain,
    /// A slash is among them: the route must allow that.
    Slash,
}

impl<'a> Target<'a> {
    /// Parses path and query.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.first() != Some(&b'/') {
            return Err(Malformed::Target);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed::ControlByte)?;
        if !bytes.iter().all(u8::is_ascii_graphic) {
            return Err(Malformed::ControlByte);
        }
        if bytes.contains(&b'#') {
            return Err(Malformed::Target);
        }
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text, None),
        };
        let escapes = check_path(path)?;
        Ok(Self { path, query, escapes })
    }

    /// The path, exactly as it was sent.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The query without its question mark, exactly as it was sent.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// Whether a segment contains an encoded slash.
    pub fn has_encoded_slash(&self) -> bool {
        self.escapes == Escapes::Slash
    }

    /// The segments after the leading slash, with their escapes decoded once. `/` has one, empty, segment.
    pub fn segments(&self) -> Segments<'a> {
        Segments { rest: Some(&self.path[1..]), escapes: self.escapes }
    }
}

/// Iterates over the segments of a path.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    rest: Option<&'a str>,
    escapes: Escapes,
}

impl<'a> Iterator for Segments<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Cow<'a, str>> {
        let rest = self.rest?;
        let (segment, rest) = match rest.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (rest, None),
        };
        self.rest = rest;
        Some(match self.escapes {
            Escapes::None => Cow::Borrowed(segment),
            Escapes::Plain | Escapes::Slash => decode(segment).unwrap_or(Cow::Borrowed(segment)),
        })
    }
}

fn check_path(path: &str) -> Result<Escapes, Malformed> {
    if path.contains('\\') {
        return Err(Malformed::Backslash);
    }
    let mut escapes = Escapes::None;
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Err(Malformed::EmptySegment);
        }
        if !segment.contains('%') {
            check_dots(segment)?;
            continue;
        }
        let decoded = decode(segment)?;
        if decoded.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(Malformed::ControlByte);
        }
        if decoded.contains('\\') {
            return Err(Malformed::Backslash);
        }
        // An upstream that decodes an escaped slash sees segments inside the segment: each is held to the same rules.
        let mut inner = decoded.split('/').peekable();
        let nested = decoded.contains('/');
        while let Some(part) = inner.next() {
            check_dots(part)?;
            if nested && part.is_empty() && (inner.peek().is_some() || segments.peek().is_some()) {
                return Err(Malformed::EmptySegment);
            }
        }
        escapes = if nested || escapes == Escapes::Slash { Escapes::Slash } else { Escapes::Plain };
    }
    Ok(escapes)
}

/// Refuses `.` and `..`, alone or before a `;` parameter: some servers cut parameters off before they resolve dots.
fn check_dots(segment: &str) -> Result<(), Malformed> {
    let name = segment.split(';').next().unwrap_or_default();
    if matches!(name, "." | "..") { Err(Malformed::DotSegment) } else { Ok(()) }
}

/// Decodes the percent-escapes of a segment once.
fn decode(segment: &str) -> Result<Cow<'_, str>, Malformed> {
    if !segment.contains('%') {
        return Ok(Cow::Borrowed(segment));
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let [high, low, after @ ..] = tail else { return Err(Malformed::InvalidEscape) };
            let (high, low) = (hexadecimal(*high)?, hexadecimal(*low)?);
            bytes.push(high << 4 | low);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Malformed::InvalidEscape)
}

fn hexadecimal(digit: u8) -> Result<u8, Malformed> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(Malformed::InvalidEscape),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_targets_keep_their_bytes_and_decode_their_segments() {
        for (raw, path, query, segments) in [
            ("/", "/", None, vec![""]),
            ("/a/b", "/a/b", None, vec!["a", "b"]),
            ("/a/", "/a/", None, vec!["a", ""]),
            ("/a?x=/../#".trim_end_matches('#'), "/a", Some("x=/../"), vec!["a"]),
            ("/%61dmin", "/%61dmin", None, vec!["admin"]),
            ("/caf%C3%A9", "/caf%C3%A9", None, vec!["café"]),
            ("/a%2Fb/c", "/a%2Fb/c", None, vec!["a/b", "c"]),
            ("/%252e%252e/x", "/%252e%252e/x", None, vec!["%2e%2e", "x"]),
            ("/a;v=1/b", "/a;v=1/b", None, vec!["a;v=1", "b"]),
            ("/..a/.b/c..", "/..a/.b/c..", None, vec!["..a", ".b", "c.."]),
            ("/a??x", "/a", Some("?x"), vec!["a"]),
            ("/a?", "/a", Some(""), vec!["a"]),
        ] {
            let target = Target::parse(raw.as_bytes()).unwrap();
            assert_eq!((target.path(), target.query()), (path, query), "{raw}");
            assert_eq!(target.segments().collect::<Vec<_>>(), segments, "{raw}");
        }
        assert!(Target::parse(b"/a%2fb").unwrap().has_encoded_slash());
        assert!(Target::parse(b"/a%2fb/%61").unwrap().has_encoded_slash());
        assert!(!Target::parse(b"/a%20b").unwrap().has_encoded_slash());
    }

    #[test]
    fn everything_with_two_readings_is_refused() {
        use Malformed as M;
        for (raw, expect) in [
            (&b""[..], M::Target),
            (b"admin", M::Target),
            (b"*", M::Target),
            (b"http://a/", M::Target),
            (b"/a#b", M::Target),
            (b"/public/../admin", M::DotSegment),
            (b"/public/..", M::DotSegment),
            (b"/./a", M::DotSegment),
            (b"/public/%2e%2e/admin", M::DotSegment),
            (b"/public/.%2E/admin", M::DotSegment),
            (b"/public/%2e%2e%2fadmin", M::DotSegment),
            (b"/public/x%2f..%2fadmin", M::DotSegment),
            (b"/public/..;/admin", M::DotSegment),
            (b"/public/..;x=1/admin", M::DotSegment),
            (b"/public/%2e%2e%3b/admin", M::DotSegment),
            (b"/.;/a", M::DotSegment),
            (b"//admin", M::EmptySegment),
            (b"/public//../admin", M::EmptySegment),
            (b"///", M::EmptySegment),
            (b"/a%2f%2fb", M::EmptySegment),
            (b"/%2fa", M::EmptySegment),
            (b"/a%2f/b", M::EmptySegment),
            (b"/public/..\\admin", M::Backslash),
            (b"/public/..%5cadmin", M::Backslash),
            (b"/a%5Cb", M::Backslash),
            (b"/a%00", M::ControlByte),
            (b"/a%0d%0aX: y", M::ControlByte),
            (b"/a%0d%0a", M::ControlByte),
            (b"/a%7f", M::ControlByte),
            (b"/a\0", M::ControlByte),
            (b"/a\tb", M::ControlByte),
            (b"/a b", M::ControlByte),
            (b"/a?b c", M::ControlByte),
            (b"/caf\xc3\xa9", M::ControlByte),
            (b"/\xff", M::ControlByte),
            (b"/a?\x80", M::ControlByte),
            (b"/%zz", M::InvalidEscape),
            (b"/%", M::InvalidEscape),
            (b"/%4", M::InvalidEscape),
            (b"/%+1", M::InvalidEscape),
            (b"/%c0%ae%c0%ae/", M::InvalidEscape),
            (b"/%ff", M::InvalidEscape),
        ] {
            assert_eq!(Target::parse(raw).unwrap_err(), expect, "{}", raw.escape_ascii());
        }
    }
}

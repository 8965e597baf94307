//! The host and port that a request is for (RFC 9110 §7.2, RFC 3986 §3.2), in the one spelling that is matched.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::Malformed;

/// A host in lower case, without trailing dot, and the port if one was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    host: Cow<'a, str>,
    port: Option<u16>,
}

/// The longest name that DNS has (RFC 1035 §2.3.4).
const LONGEST_HOST: usize = 255;

impl<'a> Authority<'a> {
    /// Parses `host[:port]`; user information is refused, as is everything that is neither a name nor an address.
    ///
    /// # Errors
    /// [`Malformed::Host`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Host)?;
        let (host, port) = if text.starts_with('[') {
            let end = text.find(']').ok_or(Malformed::Host)? + 1;
            let (host, rest) = text.split_at(end);
            host[1..end - 1].parse::<Ipv6Addr>().map_err(|_| Malformed::Host)?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(Malformed::Host),
            }
        } else {
            match text.bytes().position(|byte| byte == b':') {
                Some(colon) => (name(&text[..colon])?, Some(&text[colon + 1..])),
                None => (name(text)?, None),
            }
        };
        let port = port.map(parse_port).transpose()?;
        let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        };
        Ok(Self { host, port })
    }

    /// The host; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, where one was given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

/// A host name or IPv4 address: letters, digits, hyphens, underscores and single dots.
fn name(host: &str) -> Result<&str, Malformed> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let well_formed = !host.is_empty()
        && host.len() <= LONGEST_HOST
        && host.bytes().all(allowed)
        && !host.as_bytes().starts_with(b".")
        && !host.as_bytes().ends_with(b".")
        && !host.as_bytes().windows(2).any(|window| window == b"..");
    if well_formed { Ok(host) } else { Err(Malformed::Host) }
}

fn parse_port(text: &str) -> Result<u16, Malformed> {
    let plain = !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if plain && port > 0 => Ok(port),
        Ok(_) | Err(_) => Err(Malformed::Host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for (text, host, port) in [
            ("api.example.com", "api.example.com", None),
            ("API.Example.COM:8443", "api.example.com", Some(8443)),
            ("api.example.com.", "api.example.com", None),
            ("10.0.0.1:80", "10.0.0.1", Some(80)),
            ("[::1]", "[::1]", None),
            ("[2001:DB8::1]:443", "[2001:db8::1]", Some(443)),
            ("my_service", "my_service", None),
        ] {
            let authority = Authority::parse(text.as_bytes()).unwrap();
            assert_eq!((authority.host(), authority.port()), (host, port), "{text}");
        }
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "a b",
            "a,b",
            "a@b",
            "user:pw@a",
            "a:",
            "a:0",
            "a:99999",
            "a:+80",
            "a:80:80",
            "a/../b",
            "a%2fb",
            "a\\b",
            "[::1",
            "[::1]x",
            "[zz]",
            "::1",
            "a\u{e9}",
            "a\0",
            "a\t",
            "a#b",
            "a?b",
            "[::1%eth0]",
        ] {
            assert_eq!(Authority::parse(text.as_bytes()), Err(Malformed::Host), "{text:?}");
        }
        assert_eq!(Authority::parse(&[b'a'; 256]), Err(Malformed::Host));
        assert_eq!(Authority::parse(&[0xff]), Err(Malformed::Host));
    }
}

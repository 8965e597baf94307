//! Reads the URL of a target.

use std::net::Ipv6Addr;

use crate::gateway::upstream::{BasePath, BasePathError, Protocol};
use crate::request::Malformed;
use crate::request::authority::Authority;

/// How a target is written.
pub(super) const NO_TARGET: &str =
    "write `http://host:port`, `https://host:port`, or `h2c://host:port` for HTTP/2 in the clear";

/// The parts of a target's URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TargetUrl {
    pub(super) protocol: Protocol,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) base_path: BasePath,
}

/// What is wrong with a URL, and what to write in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TargetError {
    pub(super) what: &'static str,
    pub(super) hint: &'static str,
}

impl TargetUrl {
    pub(super) fn parse(text: &str) -> Result<Self, TargetError> {
        const NO_URL: TargetError = TargetError { what: "this is not the URL of a server", hint: NO_TARGET };
        let (scheme, rest) = text.split_once("://").ok_or(NO_URL)?;
        let protocol = match scheme {
            "http" => Protocol::Http,
            "h2c" => Protocol::HttpTwo,
            "https" => Protocol::Https,
            _ => return Err(NO_URL),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(TargetError {
                what: "the URL of a target has no user name and password",
                hint: "remove what stands before the `@`: the gateway does not sign in to upstreams",
            });
        }
        let authority = Authority::parse(authority.as_bytes()).map_err(|_| NO_URL)?;
        let host = authority.host();
        // An address is resolved without its brackets.
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().map_err(|_| NO_URL)?.to_string(),
            None => host.to_owned(),
        };
        let port = authority.port().unwrap_or(protocol.default_port());
        let base_path = base_path(path)?;
        Ok(Self { protocol, host, port, base_path })
    }
}

fn base_path(path: &str) -> Result<BasePath, TargetError> {
    let error = |what, hint| Err(TargetError { what, hint });
    if path.contains('#') {
        return error("the URL of a target has no fragment", "remove the `#` and what follows it");
    }
    if path.contains('?') {
        return error(
            "the URL of a target has no query",
            "remove the `?` and what follows it: each request goes upstream with its own query",
        );
    }
    match BasePath::parse(path) {
        Ok(base_path) => Ok(base_path),
        Err(BasePathError::Wildcard) => error(
            "the path of this URL has a wildcard, and every request goes below the path",
            "write the path without it, such as `http://orders:8080/api`",
        ),
        Err(BasePathError::EncodedSlash | BasePathError::Malformed(Malformed::Backslash)) => error(
            "the path of this URL has an encoded slash or a backslash, which servers read in different ways",
            "write plain segments, such as `http://orders:8080/api`",
        ),
        Err(BasePathError::Malformed(Malformed::DotSegment)) => error(
            "the path of this URL has a segment `.` or `..`, which servers resolve in different ways",
            "write the path that it leads to, such as `http://orders:8080/api`",
        ),
        Err(BasePathError::Malformed(Malformed::EmptySegment)) => error(
            "the path of this URL has an empty segment (`//`), which servers read in different ways",
            "write one slash between segments, such as `http://orders:8080/api`",
        ),
        Err(BasePathError::Malformed(_)) => error(
            "the path of this URL is not one that a request could have",
            "write visible ASCII characters, and others as escapes such as `%C3%A9`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_targets() {
        for (text, protocol, host, port, path) in [
            ("http://orders:8080", Protocol::Http, "orders", 8080, ""),
            ("https://Orders.internal/", Protocol::Https, "orders.internal", 443, ""),
            ("h2c://10.0.0.1:50051", Protocol::HttpTwo, "10.0.0.1", 50051, ""),
            ("http://[::1]:80", Protocol::Http, "::1", 80, ""),
            ("http://orders/api", Protocol::Http, "orders", 80, "/api"),
            ("https://[::1]/api/v2/", Protocol::Https, "::1", 443, "/api/v2"),
            ("h2c://orders:1/a%20b", Protocol::HttpTwo, "orders", 1, "/a%20b"),
        ] {
            let url = TargetUrl::parse(text).unwrap();
            let found = (url.protocol, &*url.host, url.port, url.base_path.as_str());
            assert_eq!(found, (protocol, host, port, path), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_url() {
        for (text, what) in [
            ("orders:8080", "not the URL of a server"),
            ("ftp://orders", "not the URL of a server"),
            ("HTTP://orders", "not the URL of a server"),
            ("http://", "not the URL of a server"),
            ("http:///api", "not the URL of a server"),
            ("http://orders:0/api", "not the URL of a server"),
            ("http://orders\\@evil/", "no user name and password"),
            ("http://user:pw@orders", "no user name and password"),
            ("http://orders/api@v2?x", "no query"),
            ("http://orders?x", "no query"),
            ("http://orders/a#b?c", "no fragment"),
            ("http://orders//", "empty segment"),
            ("http://orders/a//b", "empty segment"),
            ("http://orders/a/../b", "`.` or `..`"),
            ("http://orders/%2E%2e/b", "`.` or `..`"),
            ("http://orders/a%2Fb", "encoded slash"),
            ("http://orders/a\\b", "backslash"),
            ("http://orders/a/**", "wildcard"),
            ("http://orders/a b", "not one that a request could have"),
            ("http://orders/%zz", "not one that a request could have"),
        ] {
            let error = TargetUrl::parse(text).unwrap_err();
            assert!(error.what.contains(what) && !error.hint.is_empty(), "{text}: {error:?}");
        }
    }
}

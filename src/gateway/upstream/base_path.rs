//! The path of an upstream's URL, which stands in front of the path of each of its requests.

use std::borrow::Cow;
use std::fmt;

use crate::request::Malformed;
use crate::request::target::Target;

/// A canonical path without a slash at its end; empty where the URL of the upstream has no path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasePath(Box<str>);

/// Why a path is no base path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasePathError {
    /// A request could not have this path either.
    Malformed(Malformed),
    /// A segment contains an encoded slash.
    EncodedSlash,
    /// It contains a `*`.
    Wildcard,
}

impl BasePath {
    /// Parses the path of a URL. One slash at the end makes no difference.
    ///
    /// # Errors
    /// What a request could not have as its path.
    pub fn parse(path: &str) -> Result<Self, BasePathError> {
        if path.is_empty() {
            return Ok(Self::default());
        }
        let target = Target::parse(path.as_bytes()).map_err(BasePathError::Malformed)?;
        if target.has_encoded_slash() {
            return Err(BasePathError::EncodedSlash);
        }
        if path.contains('*') {
            return Err(BasePathError::Wildcard);
        }
        let path = target.path();
        Ok(Self(path.strip_suffix('/').unwrap_or(path).into()))
    }

    /// The path: `/api`, or nothing.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `rest` behind this path. `rest` is empty or begins with a slash.
    pub fn join<'a>(&self, rest: &'a str) -> Cow<'a, str> {
        match (self.is_empty(), rest) {
            (true, "") => "/".into(),
            (true, rest) => rest.into(),
            (false, rest) => format!("{self}{rest}").into(),
        }
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_whole_segments() {
        for (base, rest, expected) in [
            ("", "/orders", "/orders"),
            ("", "", "/"),
            ("/", "/orders", "/orders"),
            ("/api", "/orders/1", "/api/orders/1"),
            ("/api/", "/orders/", "/api/orders/"),
            ("/api/v2", "", "/api/v2"),
            ("/api/v2", "/", "/api/v2/"),
            ("/caf%C3%A9;v=1", "/a", "/caf%C3%A9;v=1/a"),
        ] {
            assert_eq!(BasePath::parse(base).unwrap().join(rest), expected, "{base} {rest}");
        }
    }

    #[test]
    fn refuses_what_no_request_could_have() {
        use BasePathError as E;
        for (path, expected) in [
            ("api", E::Malformed(Malformed::Target)),
            ("//", E::Malformed(Malformed::EmptySegment)),
            ("/api//", E::Malformed(Malformed::EmptySegment)),
            ("/a/../b", E::Malformed(Malformed::DotSegment)),
            ("/%2e%2e/b", E::Malformed(Malformed::DotSegment)),
            ("/a\\b", E::Malformed(Malformed::Backslash)),
            ("/a b", E::Malformed(Malformed::ControlByte)),
            ("/é", E::Malformed(Malformed::ControlByte)),
            ("/%zz", E::Malformed(Malformed::InvalidEscape)),
            ("/a%2fb", E::EncodedSlash),
            ("/api/*", E::Wildcard),
            ("/api/**", E::Wildcard),
        ] {
            assert_eq!(BasePath::parse(path), Err(expected), "{path}");
        }
    }
}

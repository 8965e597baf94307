//! What a route matches, as the file writes it: `host`, `path`, `methods`.

use std::fmt;

use super::reading;
use crate::gateway::requirement::Methods;
use crate::request::authority::Authority;
use crate::request::target::Target;

/// What a route matches.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Which hosts.
    pub host: HostPattern,
    /// Which paths.
    pub path: PathPattern,
    /// Which methods; `None` for any.
    pub methods: Option<Methods>,
}

/// Which hosts a route matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Any host.
    Any,
    /// This one.
    Exact(Box<str>),
    /// Every host that ends in this suffix, which begins with a dot: `*.example.com`.
    Wildcard(Box<str>),
}

/// Which paths a route matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    /// The segments after the leading slash.
    pub segments: Vec<Segment>,
    /// What follows them.
    pub tail: Tail,
}

/// One segment of a path pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// `*`: any one segment that is not empty.
    Any,
    /// This one, with its escapes decoded.
    Literal(Box<str>),
}

/// How a path pattern ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tail {
    /// The path ends where the pattern ends.
    End,
    /// `**`: the path itself and everything under it.
    Everything,
}

/// What is wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// What is wrong.
    pub what: &'static str,
    /// What would be right.
    pub hint: &'static str,
}

impl HostPattern {
    /// Parses `api.example.com` or `*.example.com`.
    ///
    /// # Errors
    /// Anything else, with a hint.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        const NO_HOST: PatternError = PatternError {
            what: "this is not a host",
            hint: "write `api.example.com` or `*.example.com`, without a port",
        };
        let (name, wildcard) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let authority = Authority::parse(name.as_bytes()).map_err(|_| NO_HOST)?;
        if authority.port().is_some() || (wildcard && authority.host().starts_with('[')) {
            return Err(NO_HOST);
        }
        Ok(if wildcard {
            Self::Wildcard(format!(".{}", authority.host()).into())
        } else {
            Self::Exact(authority.host().into())
        })
    }
}

impl PathPattern {
    /// Parses `/a/b`, `/a/*` or `/a/**`.
    ///
    /// # Errors
    /// Anything else, with a hint.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.contains('?') {
            return Err(PatternError {
                what: "a path pattern has no query",
                hint: "routes are matched by path only",
            });
        }
        let (body, tail) = match text.strip_suffix("/**") {
            Some(body) => (body, Tail::Everything),
            None => (text, Tail::End),
        };
        if tail == Tail::Everything && body.ends_with('/') {
            return Err(PatternError { what: "this path has an empty segment", hint: "everything is `/**`" });
        }
        if body.is_empty() && tail == Tail::Everything {
            return Ok(Self { segments: Vec::new(), tail });
        }
        let target = Target::parse(body.as_bytes()).map_err(|_| PatternError {
            what: "this is not a path that a request could have",
            hint: "a path starts with `/` and has no empty, `.` or `..` segments",
        })?;
        if target.has_encoded_slash() {
            return Err(PatternError {
                what: "a path pattern has no encoded slash",
                hint: "match the segment with `*` and set `encoded_slashes: allow` on the route",
            });
        }
        let mut segments = Vec::new();
        for segment in target.segments() {
            segments.push(match &*segment {
                "*" => Segment::Any,
                text if text.contains('*') => {
                    return Err(PatternError {
                        what: "a wildcard stands for whole segments",
                        hint: "write `/a/*` for one segment or `/a/**` for everything under `/a`",
                    });
                }
                text => Segment::Literal(text.into()),
            });
        }
        Ok(Self { segments, tail })
    }
}

impl Segment {
    /// The same in lower case.
    pub(super) fn to_lower_case(&self) -> Self {
        match self {
            Self::Any => Self::Any,
            Self::Literal(text) => Self::Literal(reading::fold(text).into()),
        }
    }
}

impl PathPattern {
    /// Whether it is the path of a folder: `/a/`.
    pub(super) fn ends_with_slash(&self) -> bool {
        self.without_slash().0.len() < self.segments.len()
    }

    /// Its segments and tail, without the slash at the end of `/a/`.
    pub(super) fn without_slash(&self) -> (&[Segment], Tail) {
        match self.segments.as_slice() {
            [all @ .., Segment::Literal(last)] if last.is_empty() && !all.is_empty() => (all, self.tail),
            all => (all, self.tail),
        }
    }

    /// Whether the two are the same for whoever compares without case.
    pub(super) fn eq_ignoring_case(&self, other: &Self) -> bool {
        let folded = |pattern: &Self| pattern.segments.iter().map(Segment::to_lower_case).collect::<Vec<_>>();
        self.tail == other.tail && folded(self) == folded(other)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("*"),
            Self::Exact(host) => formatter.write_str(host),
            Self::Wildcard(suffix) => write!(formatter, "*{suffix}"),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Any => formatter.write_str("/*")?,
                Segment::Literal(text) => write!(formatter, "/{text}")?,
            }
        }
        match self.tail {
            Tail::End => Ok(()),
            Tail::Everything => formatter.write_str("/**"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (text, shown) in [
            ("api.example.com", "api.example.com"),
            ("API.Example.com.", "api.example.com"),
            ("*.example.com", "*.example.com"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(HostPattern::parse(text).unwrap().to_string(), shown);
        }
        for text in ["", "*", "*example.com", "a.*.com", "api.example.com:443", "https://a", "*.[::1]", "a b"]
        {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths() {
        for (text, shown) in [
            ("/", "/"),
            ("/**", "/**"),
            ("/a/b", "/a/b"),
            ("/a/", "/a/"),
            ("/a/*/c/**", "/a/*/c/**"),
            ("/%61", "/a"),
            ("/*", "/*"),
        ] {
            assert_eq!(PathPattern::parse(text).unwrap().to_string(), shown);
        }
        for text in [
            "", "a", "/a**", "/a/b*", "/**/a", "/a//b", "/a/../b", "/a?x", "/a%2fb", "/a b", "//**", "/**/**",
        ] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
    }
}

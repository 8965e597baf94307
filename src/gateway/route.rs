//! A route: what is matched, who may, and where it goes.

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderValue;

use super::guard::Guard;
use super::matcher::Pattern;
use super::requirement::Methods;
use super::upstream::{BasePath, HostPolicy, Timeouts, Upstream};
use crate::telemetry::metrics::RouteSeries;
use crate::units::{ByteSize, TimeSpan};

/// One compiled route.
pub struct Route {
    /// Its name, in logs and metrics.
    pub name: Arc<str>,
    /// What it matches.
    pub pattern: Pattern,
    /// Who may.
    pub access: Access,
    /// Where it goes.
    pub upstream: Arc<Upstream>,
    /// What is removed from the beginning of the path before it goes upstream.
    pub strip_prefix: Option<StripPrefix>,
    /// Whether `%2F` may stand in a segment.
    pub allows_encoded_slashes: bool,
    /// Whether a refusal is enforced or only reported.
    pub mode: Mode,
    /// Limits of its own.
    pub limits: RouteLimits,
    /// Its series.
    pub series: Arc<RouteSeries>,
}

/// Who may use a route. Nothing is optional: a route without protection says so.
#[derive(Debug)]
pub enum Access {
    /// Only callers that pass the guard.
    Guarded(Guard),
    /// Anyone, with these methods.
    Public(Methods),
}

/// What happens to a request that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is refused.
    Enforce,
    /// It is logged and counted as refused, and passes.
    Report,
}

/// Whole segments that are removed from the beginning of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StripPrefix {
    /// How many.
    pub segments: usize,
    /// The segments as the file writes them.
    pub path: BasePath,
    /// The same as a header.
    pub header: HeaderValue,
}

/// Limits of a route in place of the general ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteLimits {
    /// Bytes of a request's body.
    pub request_body_bytes: Option<ByteSize>,
    /// The time until the upstream's response begins.
    pub request_timeout: Option<TimeSpan>,
}

impl Route {
    /// Whether anyone may use it.
    pub fn is_public(&self) -> bool {
        matches!(self.access, Access::Public(_))
    }

    /// How long its requests wait for the upstream.
    pub fn timeouts(&self) -> Timeouts {
        let timeouts = self.upstream.timeouts;
        let request = self.limits.request_timeout.map_or(timeouts.request, TimeSpan::duration);
        Timeouts { request, ..timeouts }
    }

    /// Whether a request has another path upstream than the client sent.
    pub fn rewrites_path(&self) -> bool {
        self.strip_prefix.is_some() || !self.upstream.base_path.is_empty()
    }

    /// Whether the upstream sees another URL than the client, so that what it refers to is mapped back.
    pub fn changes_url(&self) -> bool {
        self.rewrites_path() || self.upstream.host != HostPolicy::Preserve
    }

    /// The path that goes upstream for the path `path` of a request. Whole segments are removed, in whatever spelling: the
    /// pattern has already matched them. The base path of the upstream is put in front of the rest.
    pub fn upstream_path<'a>(&self, path: &'a str) -> Cow<'a, str> {
        let rest = match &self.strip_prefix {
            None => path,
            Some(strip) => path.match_indices('/').nth(strip.segments).map_or("", |(at, _)| &path[at..]),
        };
        self.upstream.base_path.join(rest)
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Route")
            .field("name", &self.name)
            .field("pattern", &self.pattern)
            .finish_non_exhaustive()
    }
}

//! The shape of an entry of `routes`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::AuthReference;
use crate::units::{ByteSize, TimeSpan};
use crate::yaml::{Entries, Located};

/// One route.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteEntry {
    /// Its name, in logs and metrics.
    pub name: Located<String>,
    /// What it matches.
    #[serde(rename = "match")]
    pub matches: MatchEntry,
    /// `public`, or the names of the methods in `auth` of which any is accepted.
    #[serde(default)]
    #[schemars(required, with = "AuthReference")]
    pub auth: Option<Located<AuthReference>>,
    /// What a caller needs, by method; a method that is not listed is answered 405. Without it, any accepted caller may
    /// use any usual method.
    #[serde(default)]
    pub allow: Option<Located<Entries<RequirementEntry>>>,
    /// The upstream it goes to.
    pub upstream: Located<String>,
    /// How the path is changed before it goes upstream.
    #[serde(default)]
    pub rewrite: Option<RewriteEntry>,
    /// Whether `%2F` may stand in a segment.
    #[serde(default)]
    pub encoded_slashes: EncodedSlashes,
    /// Whether refusals are enforced.
    #[serde(default)]
    pub mode: ModeEntry,
    /// Limits of this route in place of the general ones.
    #[serde(default)]
    pub limits: Option<Located<RouteLimitsEntry>>,
}

/// What a route matches.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchEntry {
    /// `api.example.com` or `*.example.com`; any host by default.
    #[serde(default)]
    pub host: Option<Located<String>>,
    /// `/a/b` exactly, `/a/*` with any one segment, `/a/**` with everything under it.
    pub path: Located<String>,
    /// Only these methods; any by default.
    #[serde(default)]
    pub methods: Option<Located<Vec<Located<String>>>>,
}

/// What a caller needs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RequirementEntry {
    /// All of these scopes.
    pub scopes: Vec<Located<String>>,
    /// One of these roles.
    pub roles: Vec<Located<String>>,
}

/// How a path is changed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RewriteEntry {
    /// Leading segments to remove; the route's path must begin with them. The upstream gets them as `X-Forwarded-Prefix`, and
    /// they are put back into `Location` and `Content-Location` of its responses.
    pub strip_prefix: Located<String>,
}

/// Limits of one route in place of the general ones.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteLimitsEntry {
    /// Bytes of a request's body, in place of `request_body_bytes` in `limits`; a larger body is answered 413.
    pub request_body_bytes: Option<ByteSize>,
    /// The time until the upstream's response begins, in place of `request` in the upstream's `timeouts`; a later response
    /// is a 504.
    #[schemars(with = "Option<TimeSpan>")]
    pub request_timeout: Option<Located<TimeSpan>>,
}

/// Whether `%2F` may stand in a segment.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum EncodedSlashes {
    /// It stays as it is, for APIs that carry paths in a segment.
    Allow,
    /// It is answered 400.
    #[default]
    Refuse,
}

/// Whether refusals are enforced.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ModeEntry {
    /// They are.
    #[default]
    Enforce,
    /// They are only logged and counted, and the request passes without an identity.
    Report,
}

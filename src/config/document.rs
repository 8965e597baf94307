//! The shape of gateway.yaml. Doc comments here become the descriptions that editors show.

mod listen;
mod logs;
mod references;
mod routes;
mod tracing;
mod trials;

use std::num::NonZeroU32;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::listeners::Address;
use crate::authn::{api_key, basic, jwt};
use crate::loading::SecretReference;
use crate::revocation;
use crate::units::{ByteSize, Quota, TimeSpan};
use crate::yaml::{Entries, Located};
pub use listen::{ListenEntry, Redirect, TrustedProxiesEntry, TrustedProxiesSettings};
pub use logs::{DestinationEntry, LogEntry};
pub use references::{AuthReference, NameList, UpstreamEntry};
pub use routes::{
    EncodedSlashes, MatchEntry, ModeEntry, RequirementEntry, RewriteEntry, RouteEntry, RouteLimitsEntry,
};
pub use tracing::TracingEntry;
pub use trials::{ClaimsEntry, Expectation, KeyChoice, Peer, TestEntry, TestFile};

/// The whole file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The version of the file format: 1.
    pub version: Located<u32>,
    /// Where clients connect to.
    pub listen: Located<Vec<Located<ListenEntry>>>,
    /// Where operators connect to: metrics, health, revocations, the status page. On 127.0.0.1:9180 unless said otherwise.
    #[serde(default)]
    pub admin: Option<Located<AdminEntry>>,
    /// Certificates and how they are used.
    #[serde(default)]
    pub tls: Option<Located<TlsEntry>>,
    /// The Redis that holds the revocation list.
    #[serde(default)]
    pub redis: Option<Located<revocation::RedisConfig>>,
    /// The proxies in front of the gateway: only their forwarding header, `X-Request-Id` and `traceparent` are read. None by
    /// default. A list of networks means the header `x-forwarded-for`.
    #[serde(default)]
    pub trusted_proxies: TrustedProxiesEntry,
    /// Named ways to say who you are, one kind each.
    #[serde(default)]
    pub auth: Entries<AuthEntry>,
    /// Where the revocation list is, and how much it must be in touch.
    #[serde(default)]
    pub revocation: Option<Located<revocation::Config>>,
    /// What upstreams are told about the caller.
    #[serde(default)]
    pub identity: Option<Located<IdentityEntry>>,
    /// How much a request may ask for.
    #[serde(default)]
    pub limits: LimitsEntry,
    /// Where the access log and the audit log go.
    #[serde(default)]
    pub log: LogEntry,
    /// Spans of requests for an OpenTelemetry collector; none by default.
    #[serde(default)]
    pub tracing: Option<Located<TracingEntry>>,
    /// Where requests go.
    pub upstreams: Entries<Located<UpstreamEntry>>,
    /// What is matched, who may, and where it goes.
    pub routes: Located<Vec<Located<RouteEntry>>>,
    /// Requests and what is expected of them, for `portcullis test`.
    #[serde(default)]
    pub tests: Vec<Located<TestEntry>>,
}

/// Where operators connect to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminEntry {
    /// Address and port. Keep it off the networks that clients come from.
    #[schemars(with = "String")]
    pub address: Located<Address>,
    /// What a request must carry as `Authorization: Bearer` to read or write revocations, and what operators sign in to
    /// the status page with. Without it, both are possible on a loopback address only, and the page is read-only.
    #[serde(default)]
    pub token: Option<Located<SecretReference>>,
}

/// Certificates and how they are used.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsEntry {
    /// Chosen by the name that the client asks for, from the names in the certificates; the first is the default. Read
    /// again when the files change.
    #[serde(default)]
    pub certificates: Vec<Located<CertificateEntry>>,
    /// For development: a certificate for these names is made at start.
    #[serde(default)]
    pub self_signed: Option<Located<Vec<Located<String>>>>,
    /// The oldest version of TLS that is spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// Whether clients show a certificate.
    #[serde(default)]
    pub client_auth: Option<Located<ClientAuthEntry>>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    #[serde(rename = "1.2")]
    OneTwo,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    OneThree,
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateEntry {
    /// The certificate and the intermediate ones after it.
    #[schemars(with = "String")]
    pub cert: Located<PathBuf>,
    /// Its private key.
    #[schemars(with = "String")]
    pub key: Located<PathBuf>,
}

/// Whether clients show a certificate.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientAuthEntry {
    /// The authorities that issue client certificates, in PEM.
    #[schemars(with = "String")]
    pub ca: Located<PathBuf>,
    /// Whether a certificate must be shown.
    #[serde(default)]
    pub mode: ClientAuthMode,
}

/// Whether a client certificate must be shown.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthMode {
    /// None is asked for.
    Off,
    /// One is asked for and verified if shown.
    Optional,
    /// Without one there is no connection.
    #[default]
    Required,
}

/// One way to say who you are.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthEntry {
    /// API keys.
    ApiKey(Located<api_key::Config>),
    /// Names and passwords (RFC 7617).
    Basic(Located<basic::Config>),
    /// Signed tokens (RFC 7519).
    Jwt(Box<Located<jwt::Config>>),
}

/// What upstreams are told about the caller.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityEntry {
    /// Header fields and what stands in them: `subject`, `method`, `auth`, `scopes`, `roles`, `key_id`,
    /// `claims.NAME`, `certificate.subject` or `certificate.names`. A client's own copy is always removed first.
    #[schemars(with = "std::collections::BTreeMap<String, String>")]
    pub headers: Entries<Located<String>>,
}

/// How much a request may ask for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsEntry {
    /// Bytes of a request's head; more is answered 431.
    pub request_header_bytes: ByteSize,
    /// Number of header fields; more is answered 431.
    pub request_headers: u32,
    /// Bytes of a request's body; more is answered 413.
    pub request_body_bytes: ByteSize,
    /// How long a TLS handshake may take.
    pub handshake_timeout: TimeSpan,
    /// From the first byte of a connection or a request to the end of its head.
    pub header_timeout: TimeSpan,
    /// How long a request's body may pause, and how long a client may take nothing of its answer.
    pub body_timeout: TimeSpan,
    /// How long a connection may stay without a request.
    pub idle_timeout: TimeSpan,
    /// Bytes of a request's body that are read and discarded when the response comes before the body's end, so that the
    /// client can read the response. A client that sends more is cut off. `0` discards nothing.
    pub discard_body_bytes: ByteSize,
    /// How long that may take. A client that sends nothing for five seconds is cut off earlier.
    pub discard_body_timeout: TimeSpan,
    /// Open connections on all listeners together.
    pub connections: u32,
    /// Open connections of one client: an IPv4 address or a /64 of IPv6. Trusted proxies may have more.
    pub connections_per_source: u32,
    /// Requests that are under way at once on an HTTP/2 connection. Each keeps the number that it began with.
    pub http2_streams: u32,
    /// How often somebody may be wrong; more is answered 429.
    pub failed_attempts: Option<Located<FailedAttemptsEntry>>,
}

impl Default for LimitsEntry {
    fn default() -> Self {
        Self {
            request_header_bytes: ByteSize::kibibytes(32),
            request_headers: 100,
            request_body_bytes: ByteSize::kibibytes(16 << 10),
            handshake_timeout: TimeSpan::seconds(10),
            header_timeout: TimeSpan::seconds(10),
            body_timeout: TimeSpan::seconds(60),
            idle_timeout: TimeSpan::seconds(75),
            discard_body_bytes: ByteSize::kibibytes(64 << 10),
            discard_body_timeout: TimeSpan::seconds(30),
            connections: 20_000,
            connections_per_source: 10_000,
            http2_streams: 100,
            failed_attempts: None,
        }
    }
}

/// How often somebody may be wrong before attempts are refused without being looked at. Only failures count.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FailedAttemptsEntry {
    /// Wrong passwords, and wrong keys of less than 32 characters, from one client: an IPv4 address or a /64 of IPv6. Of
    /// forged tokens and longer keys, which cannot be guessed, fifty times as many.
    pub source: Quota,
    /// Wrong passwords for one user name, from everywhere. When they are used up, each further client has one attempt in
    /// the time that all of them take to be forgotten.
    pub principal: Quota,
}

impl Default for FailedAttemptsEntry {
    fn default() -> Self {
        let quota = Quota::a_minute(const { NonZeroU32::new(20).unwrap() });
        Self { source: quota, principal: quota }
    }
}

/// An upstream in full.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSettings {
    /// Servers, used in turn: `http://host:port`, `https://host:port`, or `h2c://host:port` for HTTP/2 in the clear. A path
    /// (`http://host:port/api`) stands in front of the path of each request; all targets have the same one.
    pub targets: Located<Vec<Located<String>>>,
    /// How long to wait.
    #[serde(default)]
    pub timeouts: TimeoutsEntry,
    /// How `https` targets prove who they are.
    #[serde(default)]
    pub tls: Option<Located<UpstreamTlsEntry>>,
    /// The `Host` of its requests, or `:authority` over HTTP/2: `preserve` (the default) for the client's, `upstream` for
    /// host and port of the target, or a fixed host such as `orders.example.com`. `X-Forwarded-Host` has the client's.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub host: Option<Located<String>>,
}

/// How long to wait for an upstream.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsEntry {
    /// For a connection, TLS included.
    pub connect: TimeSpan,
    /// For the head of the response, after the last piece of the request.
    pub request: TimeSpan,
    /// For each pause in a response after its head: server-sent events, gRPC, downloads. Also how long an upgraded connection
    /// (WebSocket) may be silent in both directions.
    pub stream_idle: TimeSpan,
    /// Before an unused connection is closed.
    pub idle: TimeSpan,
}

impl Default for TimeoutsEntry {
    fn default() -> Self {
        Self {
            connect: TimeSpan::seconds(1),
            request: TimeSpan::seconds(15),
            stream_idle: TimeSpan::seconds(300),
            idle: TimeSpan::seconds(60),
        }
    }
}

/// How an upstream proves who it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTlsEntry {
    /// The authorities that issued its certificate, in PEM; the system's by default.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub ca: Option<Located<PathBuf>>,
    /// The name in its certificate, where it differs from the target's host.
    #[serde(default)]
    pub server_name: Option<Located<String>>,
}

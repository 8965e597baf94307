//! Spans as the OpenTelemetry protocol says them in JSON (OTLP 1.x, the JSON encoding of protobuf with hexadecimal
//! identifiers). Names of attributes are those of the semantic conventions, and ours begin with `portcullis.`.

use serde::Serialize;

/// One span.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// The trace that it belongs to, in hexadecimal digits.
    pub trace_id: String,
    /// Itself.
    pub span_id: String,
    /// The span that it is a part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    /// What is done.
    pub name: String,
    /// From which side.
    pub kind: Kind,
    /// When it began, in nanoseconds since the Unix epoch, as text.
    pub start_time_unix_nano: String,
    /// When it ended.
    pub end_time_unix_nano: String,
    /// How it went.
    pub attributes: Vec<Attribute>,
    /// Whether it failed.
    pub status: Status,
}

/// The side of a span: a number of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(into = "u8")]
pub enum Kind {
    /// Somebody else is asked.
    Client,
    /// Something within the process.
    #[default]
    Internal,
    /// Somebody else asks.
    Server,
}

impl From<Kind> for u8 {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Internal => 1,
            Kind::Server => 2,
            Kind::Client => 3,
        }
    }
}

/// Whether something failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    code: u8,
}

impl Status {
    /// Failed if so, and otherwise unset: whether it went well is not for us to say.
    pub fn failed_if(failed: bool) -> Self {
        Self { code: if failed { 2 } else { 0 } }
    }
}

/// Something that is known of a span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attribute {
    key: &'static str,
    value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
enum Value {
    /// 64-bit numbers are text in JSON.
    #[serde(rename = "intValue")]
    Number(String),
    #[serde(rename = "stringValue")]
    Text(String),
}

impl Attribute {
    /// A text.
    pub fn text(key: &'static str, value: impl Into<String>) -> Self {
        Self { key, value: Value::Text(value.into()) }
    }

    /// A number.
    pub fn number(key: &'static str, value: u64) -> Self {
        Self { key, value: Value::Number(value.to_string()) }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Export<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Resource {
    attributes: [Attribute; 2],
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: &'a [Span],
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

/// The body of a request to a collector, of the service called `service`.
pub fn body(service: &str, spans: &[Span]) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let attributes = [Attribute::text("service.name", service), Attribute::text("service.version", version)];
    let scope_spans = [ScopeSpans { scope: Scope { name: "portcullis", version }, spans }];
    let export =
        Export { resource_spans: [ResourceSpans { resource: Resource { attributes }, scope_spans }] };
    // Texts and numbers always serialize.
    serde_json::to_vec(&export).unwrap_or_default()
}

//! The part of the file that says how requests are traced.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::yaml::Located;

/// Distributed tracing: spans of requests for an OpenTelemetry collector. Takes effect with a restart.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TracingEntry {
    /// Where the collector takes spans over HTTP, such as `http://collector:4318`; `/v1/traces` is added where there is no
    /// path.
    #[schemars(with = "String")]
    pub otlp: Located<String>,
    /// The share of requests that are traced, from 0 to 1; 0.01 by default. Callers in `trusted_proxies` decide for
    /// themselves, by `traceparent`.
    #[serde(default)]
    #[schemars(with = "Option<f64>", range(min = 0.0, max = 1.0))]
    pub sample: Option<Located<f64>>,
    /// What the gateway is called (`service.name`); `portcullis` by default.
    #[serde(default)]
    pub service: Option<String>,
}

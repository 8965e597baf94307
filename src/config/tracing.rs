//! Where spans go, and of how many requests.

use url::Url;

use super::document::TracingEntry;
use crate::loading::Loading;
use crate::yaml::Located;

/// How requests are traced; fixed while the process lives.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    /// Where a collector takes spans (OTLP over HTTP).
    pub endpoint: Url,
    /// The share of requests that are traced when no caller that is believed has decided, from 0 to 1.
    pub sample: f64,
    /// What the gateway is called among other services.
    pub service: String,
}

/// Where collectors take spans unless the address says another path (OTLP/HTTP §Request).
const PATH: &str = "/v1/traces";

/// Compiles `tracing`.
pub(super) fn compile(entry: &Located<TracingEntry>, loading: &mut Loading<'_>) -> Option<Tracing> {
    let TracingEntry { otlp, sample, service } = &**entry;
    let sample_place = sample.as_ref().map_or(entry.place(), Located::place);
    let sample = sample.as_ref().map_or(SAMPLE, |sample| **sample);
    if !(0.0..=1.0).contains(&sample) {
        loading
            .error(sample_place, "this is no share of requests")
            .hint("write a number from 0 to 1, such as 0.01");
    }
    let endpoint = Url::parse(otlp).ok().filter(|url| {
        let plain = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && url.has_host() && plain && url.fragment().is_none()
    });
    let Some(mut endpoint) = endpoint else {
        loading
            .error(otlp.place(), "this is not the URL of a collector")
            .hint("write `http://host:4318` or `https://host:4318/path`, without a user or a password");
        return None;
    };
    if matches!(endpoint.path(), "" | "/") {
        endpoint.set_path(PATH);
    }
    let service = service.clone().unwrap_or_else(|| "portcullis".to_owned());
    Some(Tracing { endpoint, sample, service })
}

/// One request in a hundred.
const SAMPLE: f64 = 0.01;

//! Compiles `host` of an upstream.

use http::HeaderValue;

use crate::gateway::upstream::HostPolicy;
use crate::loading::Loading;
use crate::problem::nearest;
use crate::request::authority::Authority;
use crate::yaml::Located;

/// The words that are no hosts.
const PRESERVE: &str = "preserve";
const UPSTREAM: &str = "upstream";

pub(super) fn compile(entry: &Located<String>, loading: &mut Loading<'_>) -> HostPolicy {
    match entry.as_str() {
        PRESERVE => return HostPolicy::Preserve,
        UPSTREAM => return HostPolicy::Target,
        _ => {}
    }
    // A misspelt word would be sent as a host.
    if let Some(word) = nearest(entry, [PRESERVE, UPSTREAM]) {
        loading
            .error(entry.place(), format!("`{}` is neither `{PRESERVE}` nor `{UPSTREAM}`", **entry))
            .hint(format!("did you mean `{word}`? A host of that name is written with its port"));
        return HostPolicy::Preserve;
    }
    let host = Authority::parse(entry.as_bytes()).ok().and_then(|authority| header(&authority));
    host.map_or_else(
        || {
            loading.error(entry.place(), "this is not a host").hint(format!(
                "write `{PRESERVE}`, `{UPSTREAM}`, or a host such as `orders.example.com`, with a port if it needs one"
            ));
            HostPolicy::Preserve
        },
        HostPolicy::Fixed,
    )
}

/// Host and port as a header has them.
fn header(authority: &Authority<'_>) -> Option<HeaderValue> {
    let text = match authority.port() {
        Some(port) => format!("{}:{port}", authority.host()),
        None => authority.host().to_owned(),
    };
    HeaderValue::try_from(text).ok()
}

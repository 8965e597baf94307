//! Advice about paths that are changed on the way upstream.

use url::Url;

use crate::config::document::{Document, UpstreamEntry};
use crate::problem::Problems;

/// Reports prefixes that the base path of the upstream puts back.
pub(super) fn advise(document: &Document, advice: &mut Problems) {
    for route in document.routes.iter() {
        let Some(rewrite) = &route.rewrite else { continue };
        let upstream = document.upstreams.iter().find(|(name, _)| ***name == **route.upstream);
        let target = upstream.and_then(|(_, entry)| match &**entry {
            UpstreamEntry::Short(target) => Some(target.as_str()),
            UpstreamEntry::Full(settings) => settings.targets.first().map(|target| target.as_str()),
        });
        if target.and_then(base_path_of).is_some_and(|path| path == rewrite.strip_prefix.as_str()) {
            advice
                .advice(
                    rewrite.strip_prefix.place(),
                    format!("the base path of `{}` puts back what this takes off", *route.upstream),
                )
                .hint(
                    "remove both: the upstream gets the same path without them, and no `X-Forwarded-Prefix`",
                );
        }
    }
}

fn base_path_of(url: &str) -> Option<String> {
    // The parser does not know the form of `h2c`.
    let url = url.strip_prefix("h2c://").map_or_else(|| url.to_owned(), |rest| format!("http://{rest}"));
    Some(Url::parse(&url).ok()?.path().trim_end_matches('/').to_owned())
}

//! Finds routes that could both win for the same request, and rules that look like a mistake.

use std::collections::HashMap;

use crate::config::document::RouteEntry;
use crate::gateway::matcher::{HostPattern, PathPattern, Pattern, Tail};
use crate::loading::Loading;
use crate::yaml::Located;

/// A route's pattern beside the place it came from.
pub(super) struct Entry<'a> {
    pub(super) route: &'a Located<RouteEntry>,
    pub(super) pattern: Pattern,
    pub(super) public: bool,
}

/// Reports every pair of routes that matches the same requests with the same rank. Routes of different patterns never
/// do: the order of segments, literals and wildcards always prefers one of them.
pub(super) fn check(entries: &[Entry<'_>], loading: &mut Loading<'_>) {
    let mut same: HashMap<(&HostPattern, &PathPattern), Vec<&Entry<'_>>> = HashMap::new();
    for entry in entries {
        let group = same.entry((&entry.pattern.host, &entry.pattern.path)).or_default();
        if let Some(other) = group.iter().find(|other| shares_a_method(&other.pattern, &entry.pattern)) {
            loading
                .error(
                    entry.route.matches.path.place(),
                    format!("this matches the same requests as the route `{}`", *other.route.name),
                )
                .hint(format!(
                    "it stands in line {}: change the path, the host or the methods of one of them",
                    other.route.matches.path.place().line()
                ));
        }
        group.push(entry);
    }
    warn_about_wide_public_routes(entries, loading);
}

fn shares_a_method(left: &Pattern, right: &Pattern) -> bool {
    match (&left.methods, &right.methods) {
        (None, None) => true,
        (Some(left), Some(right)) => left.iter().any(|method| right.contains(method)),
        // The one with methods is preferred for them.
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// A public `/**` beside guarded routes answers for every misspelt path of theirs.
fn warn_about_wide_public_routes(entries: &[Entry<'_>], loading: &mut Loading<'_>) {
    let has_guarded = |host: &HostPattern| {
        entries
            .iter()
            .any(|entry| !entry.public && (entry.pattern.host == *host || *host == HostPattern::Any))
    };
    for entry in entries {
        let everything =
            entry.pattern.path.segments.is_empty() && entry.pattern.path.tail == Tail::Everything;
        if entry.public && everything && has_guarded(&entry.pattern.host) {
            loading
                .problems
                .warning(
                    entry.route.matches.path.place(),
                    "this public route takes every path that no other route takes",
                )
                .hint("a misspelt path of a guarded route ends here: match the public paths by name");
        }
    }
}

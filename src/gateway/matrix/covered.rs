//! Routes that no request takes, and routes that change nothing.

use std::collections::BTreeSet;
use std::iter;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderValue};

use crate::authn::identity::Words;
use crate::gateway::Gateway;
use crate::gateway::guard::Guard;
use crate::gateway::matcher::{HostPattern, Lookup, PathPattern, RouteTable, Segment, Tail};
use crate::gateway::requirement::Methods;
use crate::gateway::route::{Access, Route};
use crate::request::{Connection, Parts, Request, Transport};

/// Whether other routes take what `route` is for, or would do the same with it.
pub(super) fn covering(
    route: &Arc<Route>,
    gateway: &Gateway,
) -> impl Iterator<Item = (&'static str, String)> {
    let table = &gateway.routes;
    shadow(route, table).or_else(|| twin(route, table)).into_iter()
}

/// The route is shadowed when every request that is made up for it goes elsewhere.
fn shadow(route: &Arc<Route>, table: &RouteTable) -> Option<(&'static str, String)> {
    let pattern = &route.pattern;
    let methods: BTreeSet<&str> = match &route.access {
        Access::Public(methods) => methods.iter().collect(),
        Access::Guarded(guard) => guard.rules().iter().flat_map(|rule| rule.methods.iter()).collect(),
    };
    let matched = |method: &&str| pattern.methods.as_ref().is_none_or(|methods| methods.contains(method));
    let methods: Vec<&str> = methods.into_iter().filter(matched).collect();
    let mut others = BTreeSet::new();
    for (method, target) in asked(&methods, &Sampler::new(table).targets(&pattern.host, &pattern.path)) {
        match find(table, method, target)? {
            Lookup::Found(found) if Arc::ptr_eq(&found, route) => return None,
            Lookup::Found(found) => _ = others.insert(format!("`{}`", found.name)),
            Lookup::MethodNotAllowed(_) | Lookup::NoRoute => {}
        }
    }
    let others: Vec<String> = others.into_iter().collect();
    let detail = if others.is_empty() {
        "no request that it is for goes here, because of stricter routes".to_owned()
    } else {
        format!("everything that it is for goes to {}", others.join(" and "))
    };
    Some(("shadowed", detail))
}

/// The route is redundant when without it every request would come to the same.
///
/// It is enough to ask for what the route has in common with each route, itself among them, and is not more special than
/// that: which of the routes that match is first is a matter of their patterns, not of what was asked for.
fn twin(route: &Arc<Route>, table: &RouteTable) -> Option<(&'static str, String)> {
    let without = RouteTable::new(table.iter().filter(|other| !Arc::ptr_eq(other, route)).cloned().collect());
    let sampler = Sampler::new(table);
    let methods: Vec<&str> = table.iter().flat_map(|route| methods(route)).chain(["SAMPLE"]).collect();
    let methods: Vec<&str> = methods.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    let mut twins = BTreeSet::new();
    // Its own pattern goes first: most routes make a difference there.
    for other in iter::once(route).chain(table.iter()) {
        let host = common_host(&route.pattern.host, &other.pattern.host);
        let path = common_path(&route.pattern.path, &other.pattern.path);
        let (Some(host), Some(path)) = (host, path) else { continue };
        for (method, target) in asked(&methods, &sampler.targets(host, &path)) {
            match (find(table, method, target)?, find(&without, method, target)?) {
                (Lookup::Found(before), Lookup::Found(after)) if Arc::ptr_eq(&before, route) => {
                    if !do_the_same(&before, &after, method) {
                        return None;
                    }
                    twins.insert(format!("`{}`", after.name));
                }
                (Lookup::Found(before), Lookup::Found(after)) if Arc::ptr_eq(&before, &after) => {}
                (Lookup::MethodNotAllowed(_), Lookup::MethodNotAllowed(_))
                | (Lookup::NoRoute, Lookup::NoRoute) => {}
                _ => return None,
            }
        }
    }
    let twins: Vec<String> = twins.into_iter().collect();
    let detail = format!("without it, {} would do the same with the same requests", twins.join(" and "));
    (!twins.is_empty()).then_some(("redundant", detail))
}

fn methods(route: &Route) -> impl Iterator<Item = &str> {
    let (public, rules) = match &route.access {
        Access::Public(methods) => (Some(methods), [].as_slice()),
        Access::Guarded(guard) => (None, guard.rules()),
    };
    let matched = route.pattern.methods.iter();
    matched.chain(public).chain(rules.iter().map(|rule| &rule.methods)).flat_map(Methods::iter)
}

/// The hosts that both patterns match.
fn common_host<'p>(left: &'p HostPattern, right: &'p HostPattern) -> Option<&'p HostPattern> {
    use HostPattern::{Any, Exact, Wildcard};
    match (left, right) {
        (Any, other) | (other, Any) => Some(other),
        (Exact(one), Exact(two)) => (one == two).then_some(left),
        (Exact(host), Wildcard(suffix)) => host.ends_with(&**suffix).then_some(left),
        (Wildcard(suffix), Exact(host)) => host.ends_with(&**suffix).then_some(right),
        (Wildcard(one), Wildcard(two)) if one.ends_with(&**two) => Some(left),
        (Wildcard(one), Wildcard(two)) => two.ends_with(&**one).then_some(right),
    }
}

/// The paths that both patterns match.
fn common_path(left: &PathPattern, right: &PathPattern) -> Option<PathPattern> {
    let (short, long) =
        if left.segments.len() <= right.segments.len() { (left, right) } else { (right, left) };
    let same_length = short.segments.len() == long.segments.len();
    if !same_length && short.tail == Tail::End {
        return None;
    }
    let both = short.segments.iter().zip(&long.segments).map(|pair| match pair {
        (Segment::Any, Segment::Any) => Some(Segment::Any),
        (Segment::Any, Segment::Literal(text)) | (Segment::Literal(text), Segment::Any) => {
            (!text.is_empty()).then(|| Segment::Literal(text.clone()))
        }
        (Segment::Literal(one), Segment::Literal(two)) => (one == two).then(|| Segment::Literal(one.clone())),
    });
    let mut segments = both.collect::<Option<Vec<Segment>>>()?;
    segments.extend(long.segments[short.segments.len()..].iter().cloned());
    let ends = long.tail == Tail::End || (same_length && short.tail == Tail::End);
    Some(PathPattern { segments, tail: if ends { Tail::End } else { Tail::Everything } })
}

fn do_the_same(left: &Route, right: &Route, method: &str) -> bool {
    let access = match (&left.access, &right.access) {
        (Access::Public(left), Access::Public(right)) => left.contains(method) == right.contains(method),
        (Access::Guarded(left), Access::Guarded(right)) => ask_the_same(left, right, method),
        (Access::Public(_), Access::Guarded(_)) | (Access::Guarded(_), Access::Public(_)) => false,
    };
    access
        && Arc::ptr_eq(&left.upstream, &right.upstream)
        && left.strip_prefix == right.strip_prefix
        && left.allows_encoded_slashes == right.allows_encoded_slashes
        && left.mode == right.mode
        && left.limits == right.limits
}

fn ask_the_same(left: &Guard, right: &Guard, method: &str) -> bool {
    let names = |guard: &Guard| {
        let mut names: Vec<Arc<str>> =
            guard.authenticators().iter().map(|method| method.name().clone()).collect();
        names.sort();
        names
    };
    let words = |guard: &Guard| {
        let requirement = guard.requirement(method)?;
        let sorted = |words: &Words| {
            let mut words: Vec<String> = words.iter().map(str::to_owned).collect();
            words.sort();
            words
        };
        Some((sorted(&requirement.scopes), sorted(&requirement.roles)))
    };
    names(left) == names(right) && words(left) == words(right)
}

/// Makes up what could be asked for.
struct Sampler {
    /// What stands where a pattern takes anything: no route is spelled so.
    word: String,
    /// More segments than any route has.
    depth: usize,
}

/// A host and a path that could be asked for.
struct Target {
    host: String,
    path: String,
}

impl Sampler {
    fn new(table: &RouteTable) -> Self {
        let spelled: Vec<String> = table
            .iter()
            .map(|route| format!("{}{}", route.pattern.host, route.pattern.path).to_lowercase())
            .collect();
        let unused = |word: &String| !spelled.iter().any(|text| text.contains(word.as_str()));
        let word = (0..=spelled.len()).map(|number| format!("sample{number}x")).find(unused);
        let depth = table.iter().map(|route| route.pattern.path.segments.len()).max().unwrap_or_default() + 1;
        Self { word: word.unwrap_or_default(), depth }
    }

    /// One of each kind that the patterns match: by the count of segments, and with or without a slash at the end.
    fn targets(&self, host: &HostPattern, pattern: &PathPattern) -> Vec<Target> {
        let host = match host {
            HostPattern::Any => self.word.clone(),
            HostPattern::Exact(host) => host.to_string(),
            HostPattern::Wildcard(suffix) => format!("{}{suffix}", self.word),
        };
        let segment = |segment: &Segment| match segment {
            Segment::Any => format!("/{}", self.word),
            Segment::Literal(text) => format!("/{}", escaped(text)),
        };
        let mut path: String = pattern.segments.iter().map(segment).collect();
        let mut paths = vec![if path.is_empty() { "/".to_owned() } else { path.clone() }];
        if pattern.tail == Tail::Everything {
            if !path.is_empty() && !path.ends_with('/') {
                paths.push(format!("{path}/"));
            }
            for _ in pattern.segments.len()..self.depth {
                path = format!("{}/{}", path.trim_end_matches('/'), self.word);
                paths.extend([path.clone(), format!("{path}/")]);
            }
        }
        paths.into_iter().map(|path| Target { host: host.clone(), path }).collect()
    }
}

/// Each target with each method.
fn asked<'a>(methods: &'a [&'a str], targets: &'a [Target]) -> impl Iterator<Item = (&'a str, &'a Target)> {
    targets.iter().flat_map(move |target| methods.iter().map(move |method| (*method, target)))
}

fn escaped(segment: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let escape = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    segment.bytes().map(escape).collect()
}

/// Which route of `table` a request takes; nothing when there is no such request.
fn find(table: &RouteTable, method: &str, target: &Target) -> Option<Lookup> {
    let Target { host, path } = target;
    let headers: HeaderMap =
        [(header::HOST, HeaderValue::try_from(host.as_str()).ok()?)].into_iter().collect();
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let connection = Connection { peer, transport: Transport::Tls, certificate: None };
    let parts = Parts {
        method,
        target: path.as_bytes(),
        authority: None,
        headers: &headers,
        connection: &connection,
    };
    Some(table.find(&Request::parse(parts).ok()?))
}

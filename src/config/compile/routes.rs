//! Compiles `routes`: patterns, guards and rules.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderValue;

use super::{Named, find, names, names::Uses};
use crate::authn::Authenticator;
use crate::authn::identity::{Words, is_word};
use crate::config::Services;
use crate::config::document::{
    AuthReference, EncodedSlashes, MatchEntry, ModeEntry, NameList, RequirementEntry, RewriteEntry,
    RouteEntry, RouteLimitsEntry,
};
use crate::config::overlap;
use crate::gateway::guard::{Guard, Rule};
use crate::gateway::matcher::{HostPattern, PathPattern, Pattern, PatternError, Segment, Tail};
use crate::gateway::requirement::{Methods, Requirement, USUAL_METHODS};
use crate::gateway::route::{Access, Mode, Route, RouteLimits, StripPrefix};
use crate::gateway::upstream::{BasePath, Upstream};
use crate::loading::Loading;
use crate::problem::Place;
use crate::telemetry::metrics::RouteSeries;
use crate::yaml::{Entries, Located};

pub(super) fn compile(
    entries: &Located<Vec<Located<RouteEntry>>>,
    methods: &[Named<Authenticator>],
    upstreams: &[Named<Arc<Upstream>>],
    uses: &mut Uses,
    services: &Services<'_>,
    loading: &mut Loading<'_>,
) -> Vec<Arc<Route>> {
    if entries.is_empty() && !loading.problems.has_errors() {
        loading.error(entries.place(), "at least one route must stand here");
    }
    let mut routes = Vec::with_capacity(entries.len());
    let mut patterns = Vec::with_capacity(entries.len());
    let mut seen: HashMap<&str, &Located<String>> = HashMap::with_capacity(entries.len());
    for entry in entries.iter() {
        let RouteEntry { name, matches, auth: _, allow: _, upstream, rewrite, encoded_slashes, mode, limits } =
            &**entry;
        names::check(name, loading);
        if let Some(first) = seen.insert(name, name) {
            loading.error(name.place(), format!("the route `{}` is given twice", **name)).hint_at_line(
                "the first one is in line ",
                first.place(),
                "",
            );
        }
        uses.upstream(upstream, upstream.place(), loading);
        let pattern = compile_pattern(matches, loading);
        let series = Arc::new(services.metrics.route(name));
        let access = compile_access(entry, pattern.as_ref(), methods, &series, uses, loading);
        let limits = limits.as_ref().map(|limits| compile_limits(limits, loading)).unwrap_or_default();
        let Some(pattern) = pattern else { continue };
        let strip_prefix =
            rewrite.as_ref().and_then(|rewrite| compile_rewrite(rewrite, &pattern.path, loading));
        let public = matches!(access, Some(Access::Public(_)));
        patterns.push(overlap::Entry { route: entry, pattern: pattern.clone(), public });
        let (Some(access), Some(upstream)) = (access, find(upstreams, upstream)) else { continue };
        routes.push(Arc::new(Route {
            name: name.as_str().into(),
            pattern,
            access,
            upstream: upstream.clone(),
            strip_prefix,
            allows_encoded_slashes: *encoded_slashes == EncodedSlashes::Allow,
            mode: match mode {
                ModeEntry::Enforce => Mode::Enforce,
                ModeEntry::Report => Mode::Report,
            },
            limits,
            series,
        }));
    }
    overlap::check(&patterns, loading);
    routes
}

fn compile_pattern(entry: &MatchEntry, loading: &mut Loading<'_>) -> Option<Pattern> {
    let MatchEntry { host, path, methods } = entry;
    let mut report = |error: PatternError, place: &Place| {
        loading.error(place, error.what).hint(error.hint);
    };
    let host = match host {
        None => Some(HostPattern::Any),
        Some(host) => HostPattern::parse(host).map_err(|error| report(error, host.place())).ok(),
    };
    let path = PathPattern::parse(path).map_err(|error| report(error, path.place())).ok();
    let methods = methods.as_ref().map(|methods| compile_method_list(methods, loading));
    Some(Pattern { host: host?, path: path?, methods })
}

fn compile_method_list(list: &Located<Vec<Located<String>>>, loading: &mut Loading<'_>) -> Methods {
    if list.is_empty() {
        loading
            .error(list.place(), "at least one method must stand here")
            .hint("leave `methods` out to match all of them");
    }
    for name in list.iter() {
        check_method(name, name.place(), loading);
    }
    Methods::new(list.iter().map(|name| name.as_str()))
}

fn check_method(name: &str, place: &Place, loading: &mut Loading<'_>) {
    let token = !name.is_empty()
        && name.len() <= 32
        && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    if matches!(name, "CONNECT" | "TRACE") {
        loading
            .error(place, format!("{name} is never passed on"))
            .hint("it makes a tunnel or echoes credentials");
    } else if !token {
        loading
            .error(place, "this is no method")
            .hint("such as GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS");
    } else if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        loading
            .error(place, format!("methods are case-sensitive: `{name}` would match nothing"))
            .hint(format!("write `{}`", name.to_ascii_uppercase()));
    }
}

fn compile_access(
    entry: &Located<RouteEntry>,
    pattern: Option<&Pattern>,
    methods: &[Named<Authenticator>],
    series: &Arc<RouteSeries>,
    uses: &mut Uses,
    loading: &mut Loading<'_>,
) -> Option<Access> {
    let (auth, allow) = (entry.auth.as_ref(), entry.allow.as_ref());
    let Some(auth) = auth else {
        loading
            .error(entry.place(), "`auth` is missing here")
            .hint("name a method of `auth`, or write `auth: public` if anyone may use this route");
        return None;
    };
    let matched = pattern.and_then(|pattern| pattern.methods.clone());
    let names = match &**auth {
        AuthReference::Public => {
            if let Some(allow) = allow {
                loading
                    .error(
                        allow.place(),
                        "`allow` says what a caller needs, and a public route knows no caller",
                    )
                    .hint("limit the methods with `match: { methods: […] }`, or remove `allow`");
            }
            return Some(Access::Public(matched.unwrap_or_else(Methods::usual)));
        }
        AuthReference::Methods(names) => names,
    };
    let mut authenticators: Vec<Authenticator> = Vec::new();
    let mut complete = true;
    let mut seen: Vec<&str> = Vec::new();
    let listed: Vec<(&str, &Place)> = match names {
        NameList::One(name) => vec![(name.as_str(), auth.place())],
        NameList::Several(names) => names.iter().map(|name| (name.as_str(), name.place())).collect(),
    };
    for (name, place) in listed {
        uses.method(name, place, loading);
        if seen.contains(&name) {
            loading.error(place, format!("`{name}` is listed twice"));
        }
        seen.push(name);
        match find(methods, name) {
            Some(method) => authenticators.push(method.clone()),
            None => complete = false,
        }
    }
    report_shared_issuer(auth, &authenticators, loading);
    let rules = compile_rules(allow, matched, loading);
    complete.then(|| Access::Guarded(Guard::new(authenticators, rules, series)))
}

/// The issuer of a token picks the method, so two methods for one issuer on a route would leave the second unused.
fn report_shared_issuer(
    auth: &Located<AuthReference>,
    authenticators: &[Authenticator],
    loading: &mut Loading<'_>,
) {
    let mut issuers: Vec<&str> = Vec::new();
    for authenticator in authenticators {
        let Authenticator::Jwt(method) = authenticator else { continue };
        if issuers.contains(&method.issuer()) {
            loading
                .error(auth.place(), format!("two of these methods take tokens of `{}`", method.issuer()))
                .hint("use one method that lists every audience");
        }
        issuers.push(method.issuer());
    }
}

fn compile_rules(
    allow: Option<&Located<Entries<RequirementEntry>>>,
    matched: Option<Methods>,
    loading: &mut Loading<'_>,
) -> Vec<Rule> {
    let Some(allow) = allow else {
        return vec![Rule {
            methods: matched.unwrap_or_else(Methods::usual),
            requirement: Requirement::default(),
        }];
    };
    if allow.is_empty() {
        loading
            .error(allow.place(), "`allow` lists no method, so nobody could use this route")
            .hint("remove it, or list methods");
    }
    let mut seen: Vec<String> = Vec::new();
    let mut rules = Vec::new();
    let mut rest = None;
    for (key, entry) in allow.iter() {
        let requirement = compile_requirement(entry, loading);
        if key.trim() == "*" {
            rest = Some(requirement);
            continue;
        }
        let mut names = Vec::new();
        for name in key.split(',').map(str::trim) {
            check_method(name, key.place(), loading);
            if seen.iter().any(|other| other == name) {
                loading
                    .error(key.place(), format!("{name} is listed twice"))
                    .hint("each method has one rule");
            }
            if matched.as_ref().is_some_and(|matched| !matched.contains(name)) {
                loading
                    .error(key.place(), format!("the route does not match {name}"))
                    .hint("add it to `match: { methods: […] }`, or remove it here");
            }
            seen.push(name.to_owned());
            names.push(name);
        }
        rules.push(Rule { methods: Methods::new(names), requirement });
    }
    if let Some(requirement) = rest {
        let all: Vec<String> = match &matched {
            Some(matched) => matched.iter().map(str::to_owned).collect(),
            None => USUAL_METHODS.map(str::to_owned).to_vec(),
        };
        let others = all.iter().filter(|name| !seen.contains(name)).map(String::as_str);
        rules.push(Rule { methods: Methods::new(others), requirement });
    }
    rules
}

fn compile_requirement(entry: &RequirementEntry, loading: &mut Loading<'_>) -> Requirement {
    let RequirementEntry { scopes, roles } = entry;
    // RFC 6749 §3.3: visible ASCII without the quote and the backslash.
    let scope_token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b','))
    };
    for scope in scopes.iter().filter(|scope| !scope_token(scope)) {
        loading
            .error(scope.place(), "this is no scope")
            .hint("visible ASCII characters without quotes, commas and backslashes");
    }
    for role in roles.iter().filter(|role| !is_word(role)) {
        loading
            .error(role.place(), "this is no role")
            .hint("text without white space, commas and control characters");
    }
    Requirement {
        scopes: Words::new(scopes.iter().map(|scope| scope.as_str())),
        roles: Words::new(roles.iter().map(|role| role.as_str())),
    }
}

/// What is removed from paths. The route's path must begin with it, or some requests would keep it.
fn compile_rewrite(
    entry: &RewriteEntry,
    path: &PathPattern,
    loading: &mut Loading<'_>,
) -> Option<StripPrefix> {
    let RewriteEntry { strip_prefix } = entry;
    let is_literal = |segment: &Segment| matches!(segment, Segment::Literal(text) if !text.is_empty());
    let prefix = PathPattern::parse(strip_prefix)
        .ok()
        .filter(|prefix| prefix.tail == Tail::End && prefix.segments.iter().all(is_literal));
    let (Some(prefix), Ok(text)) = (prefix, BasePath::parse(strip_prefix)) else {
        loading
            .error(strip_prefix.place(), "this is no prefix of a path")
            .hint("such as `/v1`: whole segments, no wildcards");
        return None;
    };
    if !path.segments.starts_with(&prefix.segments) {
        loading
            .error(strip_prefix.place(), "the route's path does not begin with this")
            .hint(format!("the path is `{path}`"));
        return None;
    }
    // A canonical path contains nothing that a header cannot hold.
    let header = HeaderValue::try_from(text.as_str()).ok()?;
    Some(StripPrefix { segments: prefix.segments.len(), path: text, header })
}

fn compile_limits(entry: &Located<RouteLimitsEntry>, loading: &mut Loading<'_>) -> RouteLimits {
    let RouteLimitsEntry { request_body_bytes, request_timeout } = &**entry;
    // A value that cannot be read has been reported and counts as none.
    if request_body_bytes.is_none() && request_timeout.is_none() && !loading.problems.has_errors() {
        loading
            .error(entry.place(), "`limits` sets no limit here")
            .hint("write `request_body_bytes: 64MiB` or `request_timeout: 60s`, or remove it");
    }
    if let Some(timeout) = request_timeout
        && timeout.duration().is_zero()
    {
        loading
            .error(timeout.place(), "no upstream can respond in no time")
            .hint("write how long it may take, such as `60s`");
    }
    RouteLimits {
        request_body_bytes: *request_body_bytes,
        request_timeout: request_timeout.as_ref().map(|timeout| **timeout),
    }
}

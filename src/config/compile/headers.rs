//! Compiles `identity`: which fields upstreams receive, and what stands in them.

use std::sync::Arc;

use http::HeaderName;

use crate::authn::jwt::ClaimPath;
use crate::config::document::IdentityEntry;
use crate::gateway::fact::{DEFAULT_FIELDS, Fact, IdentityHeaders};
use crate::loading::Loading;
use crate::problem::nearest;
use crate::request::normal_header_name;
use crate::yaml::Located;

/// The facts that need no argument.
const FACTS: [(&str, Fact); 8] = [
    ("auth", Fact::Auth),
    ("certificate.names", Fact::CertificateNames),
    ("certificate.subject", Fact::CertificateSubject),
    ("key_id", Fact::KeyId),
    ("method", Fact::Method),
    ("roles", Fact::Roles),
    ("scopes", Fact::Scopes),
    ("subject", Fact::Subject),
];

/// Fields that mean something else: an identity in them would change what the request is.
const TAKEN: [&str; 26] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "origin",
    "proxy",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

pub(super) fn compile(
    entry: Option<&Located<IdentityEntry>>,
    loading: &mut Loading<'_>,
) -> Option<IdentityHeaders> {
    let Some(entry) = entry else {
        let fields = DEFAULT_FIELDS.map(|(name, fact)| (HeaderName::from_static(name), fact));
        return Some(IdentityHeaders::new(fields.into(), Arc::default()));
    };
    let IdentityEntry { headers } = &**entry;
    let errors_before = loading.problems.error_count();
    let mut fields: Vec<(HeaderName, Fact)> = Vec::with_capacity(headers.len());
    let mut claims = Vec::new();
    for (name, value) in headers.iter() {
        let Some(field) = compile_name(name, &fields, loading) else { continue };
        if let Some(fact) = compile_fact(value, &mut claims, loading) {
            fields.push((field, fact));
        }
    }
    (loading.problems.error_count() == errors_before).then(|| IdentityHeaders::new(fields, claims.into()))
}

fn compile_name(
    name: &Located<String>,
    fields: &[(HeaderName, Fact)],
    loading: &mut Loading<'_>,
) -> Option<HeaderName> {
    let Ok(field) = HeaderName::from_bytes(name.as_bytes()) else {
        loading.error(name.place(), "this is no name of a header field").hint("such as `X-Auth-Subject`");
        return None;
    };
    let normal = normal_header_name(field.as_str());
    if TAKEN.contains(&&*normal) {
        loading
            .error(name.place(), format!("`{}` has a meaning of its own", **name))
            .hint("choose a name such as `X-Auth-Subject`");
        return None;
    }
    if let Some((other, _)) = fields.iter().find(|(other, _)| normal_header_name(other.as_str()) == normal) {
        loading
            .error(name.place(), format!("upstreams may not tell `{}` from `{other}`", **name))
            .hint("many servers take upper and lower case, `_`, `.` and `-` for the same");
        return None;
    }
    Some(field)
}

fn compile_fact(
    value: &Located<String>,
    claims: &mut Vec<ClaimPath>,
    loading: &mut Loading<'_>,
) -> Option<Fact> {
    if let Some((_, fact)) = FACTS.iter().find(|(name, _)| *name == value.as_str()) {
        return Some(*fact);
    }
    if let Some(path) = value.strip_prefix("claims.") {
        let Some(path) = ClaimPath::parse(path) else {
            loading
                .error(value.place(), "this names no claim")
                .hint("such as `claims.email` or `claims.realm_access.roles`");
            return None;
        };
        claims.push(path);
        return Some(Fact::Claim(claims.len() - 1));
    }
    let names: Vec<&str> = FACTS.iter().map(|(name, _)| *name).collect();
    let suggestion = nearest(value, names.iter().copied());
    let problem =
        loading.error(value.place(), format!("nothing called `{}` is known about a caller", **value));
    match suggestion {
        Some(suggestion) => problem.hint(format!("did you mean `{suggestion}`?")),
        None => problem.hint(format!("known are {} and `claims.NAME`", names.join(", "))),
    };
    None
}

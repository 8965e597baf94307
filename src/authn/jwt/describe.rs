//! What stands in a token and what was needed, in words, for whoever asks why a request was refused. Signatures and keys
//! are never shown.

use super::Keys;
use super::algorithm::Algorithms;
use super::claim_path::ClaimPath;
use super::claims::Rules;
use super::compact::Signed;
use super::json::{Json, Object};
use crate::clock::rfc3339;

/// The beginning of a text that is longer than anybody wants to read.
const LONGEST: usize = 200;

pub(super) fn header(header: &Object<'_>, accepted: Algorithms) -> String {
    let kind = header.get("typ").map(|kind| format!(", `typ` is {}", shown(Some(kind)))).unwrap_or_default();
    format!("`alg` is {}{kind}; accepted: {accepted}", shown(header.get("alg")))
}

pub(super) fn signature(signed: &Signed<'_>, keys: &Keys) -> String {
    let by = match signed.kid() {
        Some(kid) => format!("the token names the key `{}`", cut(kid)),
        None => "the token names no key".to_owned(),
    };
    match keys {
        Keys::Fixed(_) => by,
        Keys::Fetched(source) if source.is_ready() => format!("{by}; keys of {}", source.origin()),
        Keys::Fetched(source) => {
            let why = source.failure().map(|why| format!(": {why}")).unwrap_or_default();
            format!("the keys of {} could not be read{why}", source.origin())
        }
    }
}

pub(super) fn kind(claims: &Object<'_>) -> String {
    let telling = ["at_hash", "c_hash", "events", "token_use", "typ"];
    let found: Vec<String> = telling
        .into_iter()
        .filter_map(|name| Some(format!("`{name}` is {}", shown(Some(claims.get(name)?)))))
        .collect();
    if found.is_empty() { "nothing says that it is no access token".to_owned() } else { found.join(", ") }
}

pub(super) fn audience(claims: &Object<'_>, accepted: &[Box<str>]) -> String {
    format!("`aud` is {}; accepted: {}", shown(claims.get("aud")), list(accepted.iter().map(|name| &**name)))
}

pub(super) fn times(claims: &Object<'_>, now: u64, rules: &Rules) -> String {
    let mut parts: Vec<String> = ["iat", "nbf", "exp"]
        .into_iter()
        .filter_map(|name| Some(format!("`{name}` is {}", time(claims.get(name)?, now))))
        .collect();
    if claims.get("exp").is_none() {
        parts.push("`exp` is missing".to_owned());
    }
    let Rules { max_lifetime, leeway, .. } = rules;
    format!("{}; `max_lifetime` is {max_lifetime} s, `leeway` {leeway} s", parts.join(", "))
}

pub(super) fn claim(path: &ClaimPath, claims: &Object<'_>) -> String {
    format!("`{path}` is {}", shown(path.find(claims)))
}

pub(super) fn grants(claims: &Object<'_>, rules: &Rules) -> String {
    let scopes = claim(&rules.scopes, claims);
    match &rules.roles {
        Some(path) => format!("scopes: {scopes}; roles: {}", claim(path, claims)),
        None => format!("scopes: {scopes}; roles are read from no claim"),
    }
}

impl Rules {
    pub(super) fn describe_issuer(&self, claims: &Object<'_>) -> String {
        format!("`iss` is {}; accepted: `{}`", shown(claims.get("iss")), self.issuer)
    }
}

fn time(value: &Json<'_>, now: u64) -> String {
    let Json::Number(number) = value else { return shown(Some(value)) };
    let Some(second) = number.as_f64().filter(|second| (0.0..253_402_300_800.0).contains(second)) else {
        return format!("`{number}`");
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within these bounds")]
    let second = second as u64;
    let away =
        if second > now { format!("in {} s", second - now) } else { format!("{} s ago", now - second) };
    format!("{} ({away})", rfc3339(second))
}

fn shown(value: Option<&Json<'_>>) -> String {
    match value {
        None => "missing".to_owned(),
        Some(Json::Text(text)) => format!("`{}`", cut(text)),
        Some(Json::Boolean(value)) => format!("`{value}`"),
        Some(Json::Number(number)) => format!("`{number}`"),
        Some(Json::Null) => "`null`".to_owned(),
        Some(Json::Object(_)) => "an object".to_owned(),
        Some(items @ Json::List(_)) => match items.texts() {
            Some(texts) => list(texts),
            None => "a list of other things than text".to_owned(),
        },
    }
}

fn list<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| format!("`{}`", cut(text))).collect();
    if texts.is_empty() { "an empty list".to_owned() } else { cut(&texts.join(", ")) }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

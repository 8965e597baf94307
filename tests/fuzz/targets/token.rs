//! Claims under a good signature: what is admitted is a token that an independent reader finds good, too. The same bytes
//! as a whole token, whose signature cannot be good, are never admitted.

use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;

use super::policy::{self, NOW};

pub fn run(input: &[u8]) {
    let as_token = bearer(&String::from_utf8_lossy(input));
    assert!(as_token.is_none_or(|headers| policy::admit("GET", b"/tokens/a", &headers).is_none()));

    let Some(headers) = bearer(&policy::sign(input)) else { return };
    let Some(admission) = policy::admit("GET", b"/tokens/a", &headers) else { return };
    // Remembered, it is judged the same.
    assert!(policy::admit("GET", b"/tokens/a", &headers).is_some());
    let claims: Value = serde_json::from_slice(input).expect("JSON");
    let Value::Object(claims) = claims else { panic!("claims are an object") };
    let number = |name: &str| claims.get(name).map(|value| value.as_f64().expect("a number"));
    let now = NOW as f64;
    let subject = claims.get("sub").and_then(Value::as_str).expect("a subject");
    let identity = admission.identity().expect("an identity");
    assert_eq!(identity.subject.as_str(), subject);
    assert_eq!(claims.get("iss").and_then(Value::as_str), Some("https://id.example.com"));
    let ours = |value: &Value| matches!(value.as_str(), Some("api" | "other"));
    let audience = claims.get("aud").expect("an audience");
    assert!(ours(audience) || audience.as_array().is_some_and(|list| list.iter().any(ours)));
    let expires = number("exp").expect("an end");
    assert!(expires > now - 31.0, "{expires} is over");
    assert!(number("nbf").is_none_or(|from| from <= now + 31.0));
    if let Some(issued) = number("iat") {
        assert!(issued <= now + 31.0, "issued in the future");
        assert!(expires - issued <= 3601.0, "lives for too long");
    }
    // What it may do is what it says, and nothing else.
    let may_write = match claims.get("scope") {
        Some(Value::String(words)) => words.split(' ').any(|scope| scope == "write"),
        Some(Value::Array(words)) => words.iter().any(|scope| scope == "write"),
        Some(_) | None => false,
    };
    assert_eq!(policy::admit("POST", b"/tokens/a", &headers).is_some(), may_write);
}

fn bearer(token: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("api.example.com"));
    headers.insert(header::AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).ok()?);
    Some(headers)
}

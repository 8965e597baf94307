//! What the gateway says of its own accord: exactly what its contract lists, and nothing that helps an attacker.

use std::collections::BTreeMap;

use super::client::Response;

/// Fails the test unless this is the gateway's own response (RFC 9457) with this status and this code: its five members,
/// `accepted` in a 401, no others, and nothing about versions, upstreams or files anywhere.
#[track_caller]
pub fn assert_problem(response: &Response, status: u16, code: &str) {
    assert_members(response, status, code, &[]);
}

/// The same for a request whose credential is of a scheme that the route does not accept. The response says that, and lists
/// the schemes that it does accept.
#[track_caller]
pub fn assert_unaccepted_credential(response: &Response, accepted: &[&str]) {
    assert_members(response, 401, "no_credential", &["detail"]);
    let document = response.json();
    assert_eq!(
        document["detail"],
        "The credential in the request is of a scheme that this route does not accept"
    );
    assert_eq!(document["accepted"], serde_json::json!(accepted), "{response:?}");
}

/// The same for a request that is traced, whose answer has the trace's identifier as well.
#[track_caller]
pub fn assert_traced_problem(response: &Response, status: u16, code: &str) {
    assert_members(response, status, code, &["trace_id"]);
}

#[track_caller]
fn assert_members(response: &Response, status: u16, code: &str, more: &[&str]) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.header("Content-Type"), Some("application/problem+json"), "{response:?}");
    let document = response.json();
    let members: BTreeMap<String, serde_json::Value> =
        serde_json::from_value(document.clone()).expect("a JSON object");
    let names: Vec<&str> = members.keys().map(String::as_str).collect();
    let mut expected = ["code", "request_id", "status", "title", "type"].to_vec();
    expected.extend((status == 401).then_some("accepted"));
    expected.extend(more);
    expected.sort_unstable();
    assert_eq!(names, expected, "{response:?}");
    assert_eq!(document["code"], code, "{response:?}");
    assert_eq!(document["status"], status, "{response:?}");
    for member in ["title", "type", "request_id"] {
        let filled = document[member].as_str().is_some_and(|text| !text.is_empty());
        assert!(filled, "`{member}`: {response:?}");
    }
    if let Some(id) = response.header("X-Request-Id") {
        assert_eq!(document["request_id"], id, "two identifiers for one request: {response:?}");
    }
    assert_reveals_nothing(response);
}

/// Fails the test when an answer tells what the gateway is made of or what stands behind it.
#[track_caller]
pub fn assert_reveals_nothing(response: &Response) {
    let text = format!("{:?}\n{}", response.headers, response.body.escape_ascii()).to_ascii_lowercase();
    let telling = [
        "pingora",
        "rustls",
        "tokio",
        "panicked",
        "127.0.0.1",
        "/tmp/",
        ".yaml",
        ".rs:",
        "connection refused",
    ];
    for word in telling {
        assert!(!text.contains(word), "`{word}` is revealed: {response:?}");
    }
    assert!(
        !response.headers.contains("Server") && !response.headers.contains("X-Powered-By"),
        "{response:?}"
    );
    let version = env!("CARGO_PKG_VERSION");
    assert!(!text.contains(version), "the version {version} is revealed: {response:?}");
}

/// One challenge of `WWW-Authenticate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The scheme, such as `Bearer`.
    pub scheme: String,
    /// Its parameters, names in lower case.
    pub parameters: BTreeMap<String, String>,
}

/// The challenges of an answer, one for each field.
#[track_caller]
pub fn challenges(response: &Response) -> Vec<Challenge> {
    response.headers.all("WWW-Authenticate").into_iter().map(challenge).collect()
}

/// Fails the test unless there is exactly one challenge with this scheme and these parameters. Of the others, only `realm`
/// may be there.
#[track_caller]
pub fn assert_challenge(response: &Response, scheme: &str, parameters: &[(&str, &str)]) {
    let all = challenges(response);
    let found: Vec<&Challenge> =
        all.iter().filter(|challenge| challenge.scheme.eq_ignore_ascii_case(scheme)).collect();
    let [found] = found[..] else { panic!("{} challenges for {scheme}: {response:?}", found.len()) };
    for (name, value) in parameters {
        assert_eq!(found.parameters.get(*name).map(String::as_str), Some(*value), "{response:?}");
    }
    for name in found.parameters.keys() {
        let expected = name == "realm" || parameters.iter().any(|(known, _)| known == name);
        assert!(expected, "the parameter `{name}` was not expected: {response:?}");
    }
}

/// Reads `Scheme name="value", name=value` (RFC 9110 section 11.6.1). Strict: anything else fails the test.
#[track_caller]
fn challenge(text: &str) -> Challenge {
    let (scheme, mut rest) = text.split_once(' ').unwrap_or((text, ""));
    let mut parameters = BTreeMap::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').unwrap_or_else(|| panic!("no challenge: {text}"));
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or_else(|| panic!("an open quote: {text}")),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        let twice = parameters.insert(name.to_ascii_lowercase(), value.to_owned());
        assert!(twice.is_none(), "`{name}` is there twice: {text}");
        rest = match after.strip_prefix(", ") {
            Some(more) if !more.is_empty() => more,
            _ if after.is_empty() => after,
            _ => panic!("not a list of parameters: {text}"),
        };
    }
    Challenge { scheme: scheme.to_owned(), parameters }
}

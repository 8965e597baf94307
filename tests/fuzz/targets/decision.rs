//! A whole decision: what passes a guard carried the one good credential, for the path that an upstream will see.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::policy::{self, KEY, NOW};

/// Lines: the method, the target, then fields as `name:value`, where `KEY` and `TOKEN` stand for good credentials.
pub fn run(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let method = lines.next().unwrap_or_default();
    let (Ok(method), Some(target)) = (std::str::from_utf8(method), lines.next()) else { return };
    let token = policy::sign(
        format!(r#"{{"iss":"https://id.example.com","aud":"api","sub":"alice","exp":{}}}"#, NOW + 60)
            .as_bytes(),
    );
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let value = String::from_utf8_lossy(&line[colon + 1..]).replace("KEY", KEY).replace("TOKEN", &token);
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(value.as_bytes()))
        {
            headers.append(name, value);
        }
    }
    let Some(admission) = policy::admit(method, target, &headers) else { return };
    let text = std::str::from_utf8(target).expect("an admitted target is text");
    let path = text.split('?').next().unwrap_or_default();
    let first = path.split('/').nth(1).unwrap_or_default();
    let host = headers.get(header::HOST).expect("a host").to_str().expect("text").to_ascii_lowercase();
    let route = &*admission.route().name;
    let name = host.split(':').next().unwrap_or_default();
    let at_both = name.strip_suffix('.').unwrap_or(name) == "both.example.com";
    match route {
        "open" => assert!(
            !at_both && unescape(first) == "open" && method == "GET" && admission.identity().is_none()
        ),
        "keys" => assert!(!at_both && unescape(first) == "keys" && matches!(method, "GET" | "POST")),
        "tokens" => assert!(!at_both && unescape(first) == "tokens" && method == "GET"),
        "both" => assert!(at_both),
        other => panic!("no route is called {other}"),
    }
    if route == "open" {
        return;
    }
    let fields: Vec<(&HeaderName, &str)> = headers
        .iter()
        .filter(|(name, _)| matches!(name.as_str(), "authorization" | "x-api-key"))
        .map(|(name, value)| (name, value.to_str().unwrap_or_default()))
        .collect();
    let carries_key = fields.iter().any(|(name, value)| {
        let apikey =
            value.len() > 7 && value[..7].eq_ignore_ascii_case("apikey ") && value[7..].trim_start() == KEY;
        (name.as_str() == "x-api-key" && value.trim() == KEY) || apikey
    });
    let carries_token = fields.iter().any(|(_, value)| {
        value.len() > 7 && value[..7].eq_ignore_ascii_case("bearer ") && value[7..].trim_start() == token
    });
    let identity = admission.identity().expect("a guard lets nobody pass without a name");
    match identity.subject.as_str() {
        "acme" => assert!(carries_key && route != "tokens"),
        "alice" => assert!(carries_token && route != "keys"),
        other => panic!("nobody is called {other}"),
    }
    assert_eq!(
        headers.get_all(header::AUTHORIZATION).iter().count().min(2),
        usize::from(headers.contains_key(header::AUTHORIZATION)),
        "two Authorization fields"
    );
}

/// What a segment of letters says when its escapes are decoded.
fn unescape(segment: &str) -> String {
    let mut out = String::new();
    let mut rest = segment;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let byte = u8::from_str_radix(&rest[at + 1..at + 3], 16).expect("an escape");
        out.push(char::from(byte));
        rest = &rest[at + 3..];
    }
    out + rest
}

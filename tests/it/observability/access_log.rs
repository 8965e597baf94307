//! One line for each request, with what is known of it and nothing that is not.

use std::collections::{BTreeSet, HashMap};

use portcullis::clock::parse_rfc3339;
use serde_json::Value;

use super::stand::Stand;

/// What every line has.
const ALWAYS: [&str; 14] = [
    "client",
    "duration_ms",
    "host",
    "method",
    "outcome",
    "path",
    "protocol",
    "reason",
    "received_bytes",
    "request_id",
    "route",
    "sent_bytes",
    "status",
    "time",
];

#[tokio::test]
async fn every_request_has_one_line_that_says_how_it_went() {
    let stand = Stand::start().await;
    let mut sent = HashMap::new();
    for row in stand.rows() {
        sent.insert(stand.send(&row).await, row);
    }
    let received: HashMap<String, u64> = stand
        .upstream
        .take()
        .iter()
        .map(|request| (request.header("X-Request-Id").unwrap().to_owned(), request.body_length))
        .collect();
    // Whatever was written is written when the process has ended.
    let end = stand.gateway.terminate().await;
    assert!(end.success(), "{end:?}");
    let lines = stand.gateway.access_log();
    assert_eq!(lines.len(), sent.len(), "one line for each request: {lines:#?}");
    for line in &lines {
        let row =
            sent.remove(line["request_id"].as_str().unwrap()).expect("a line for a request, and one only");
        let what = format!("{} {}: {line}", row.method, row.path);
        for (member, expected) in [
            ("method", Some(row.method)),
            ("path", Some(row.path)),
            ("route", Some(row.route)),
            ("outcome", Some(row.outcome)),
            ("reason", Some(row.reason)),
            ("auth", row.auth),
            ("auth_method", row.caller.map(|(kind, ..)| kind)),
            ("subject", row.caller.map(|(_, subject, _)| subject)),
            ("key_id", row.caller.and_then(|(.., id)| id)),
            ("upstream", row.upstream),
            ("host", Some("localhost")),
            ("client", Some("127.0.0.1")),
            ("protocol", Some("HTTP/1.1")),
        ] {
            assert_eq!(line[member].as_str(), expected, "{member} of {what}");
        }
        assert_eq!(line["status"], row.status, "{what}");
        assert!(parse_rfc3339(line["time"].as_str().unwrap()).is_some(), "{what}");
        let answered = row.upstream.is_some() && row.status < 500;
        assert_eq!(
            received.contains_key(line["request_id"].as_str().unwrap()),
            answered || row.status == 504,
            "{what}"
        );
        let (duration, upstream) = (line["duration_ms"].as_f64().unwrap(), line["upstream_ms"].as_f64());
        assert_eq!(upstream.is_some(), answered, "the upstream's time is known when it answered: {what}");
        assert!(duration > 0.0 && upstream.unwrap_or_default() <= duration, "{what}");
        if row.path == "/v1/slow" {
            assert!(upstream.unwrap() >= 50.0, "{what}");
        }
        assert!(line["sent_bytes"].as_u64().unwrap() > 0 || row.method == "HEAD", "{what}");
        let optional = [
            ("auth", row.auth.is_some()),
            ("auth_method", row.caller.is_some()),
            ("subject", row.caller.is_some()),
            ("key_id", row.caller.is_some_and(|(.., id)| id.is_some())),
            ("upstream", row.upstream.is_some()),
            ("target", row.upstream.is_some()),
            ("upstream_error", row.upstream.is_some() && row.status >= 500),
            ("attempts", row.path == "/pair"),
            ("failed_targets", row.path == "/pair"),
            ("upstream_ms", answered),
        ];
        let present = optional.into_iter().filter(|(_, present)| *present).map(|(name, _)| name);
        let expected: BTreeSet<&str> = ALWAYS.into_iter().chain(present).collect();
        assert_eq!(members(line), expected, "{what}");
    }
}

fn members(line: &Value) -> BTreeSet<&str> {
    line.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Bytes are counted, identifiers are the gateway's own, and a line stays one line whatever a client writes.
#[tokio::test]
async fn what_clients_write_neither_breaks_nor_forges_a_line() {
    let stand = Stand::start().await;
    let client = stand.gateway.https();
    let (name, key) = stand.key.header();
    let forged = "%22,%22outcome%22:%22allowed%22,%22x%22:%22";
    let answer = client
        .get(&format!("/v1/{forged}/%1b%5B31m?q=1"))
        .header(name, key)
        .header("X-Request-Id", "forged\"}")
        .header("User-Agent", "\u{1b}[31m\"}{")
        .header("X-Forwarded-For", "6.6.6.6")
        .await;
    // Escapes of control characters have no place in a path.
    answer.assert_status(400);
    let answer =
        client.get(&format!("/v1/{forged}?q=1")).header(name, key).header("X-Request-Id", "forged").await;
    answer.assert_status(200);
    let id = answer.header("X-Request-Id").unwrap();
    assert_ne!(id, "forged");
    let line = stand.gateway.wait_for_access(|line| line["request_id"] == id).await;
    assert_eq!(line["path"], format!("/v1/{forged}"));
    assert_eq!(line["client"], "127.0.0.1");
    assert_eq!((&line["received_bytes"], &line["sent_bytes"]), (&Value::from(0), &Value::from(2)));
    assert_eq!(stand.gateway.access_log().len(), 2);

    let answer = client.post("/watched").header(name, key).body("x".repeat(1234)).over_http2().await;
    answer.assert_status(200);
    let id = answer.header("X-Request-Id").unwrap();
    let line = stand.gateway.wait_for_access(|line| line["request_id"] == id).await;
    assert_eq!((&line["received_bytes"], &line["protocol"]), (&Value::from(1234), &Value::from("HTTP/2")));
}

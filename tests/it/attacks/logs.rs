//! What is written down and told about a request, whatever it contains.

use super::*;
use crate::harness::problem::assert_reveals_nothing;

/// Control bytes and escape sequences in what a client chooses leave each line of the log one JSON object of its own; the
/// harness reads every line as one.
/// Row L02.
#[tokio::test]
async fn no_request_writes_a_log_line_of_its_own() {
    let stand = Stand::start().await;
    let forged = r#"{"status":200,"outcome":"allowed","subject":"root"}"#;
    for request in [
        get("/public/%0d%0a%7b%22status%22:200%7d", &[]),
        get("/public/%1b%5b31m", &[]),
        get(format!("/public/{forged}"), &[]),
        get("/public/\"},{\"", &[]),
        get("/public/x", &["User-Agent: \u{1b}[31mred\u{7}"]),
        get("/public/x", &[&format!("User-Agent: \"}}\t{forged}")]),
        get("/public/x", &[&format!("X-Request-Id: {forged}")]),
        get("/public/x", &["X-Request-Id: a\u{1b}[2J"]),
        get("/public/caf%C3%A9%E2%80%AE", &[]),
        request("{\"x\":1}", "/public/x", &[]),
        b"GET /public/x\x1b[2J HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"GET /public/x HTTP/1.1\r\nHost: \x1b[2J\r\n\r\n".to_vec(),
        format!("{forged}\r\n\r\n").into_bytes(),
    ] {
        let answer = stand.only_answer(&request).await;
        let id = answer.header("X-Request-Id").expect("an identifier").to_owned();
        let line = stand.gateway.wait_for_access(|line| line["request_id"] == *id).await;
        assert_eq!(line["status"], answer.status, "{line}");
        let same = stand.gateway.access_log().iter().filter(|line| line["request_id"] == *id).count();
        assert_eq!(same, 1, "{id}");
    }
    let lines = stand.gateway.access_log();
    assert_eq!(lines.len(), 13, "{lines:#?}");
    assert!(lines.iter().all(|line| line["subject"] != "root"), "{lines:#?}");
    let logged = stand.gateway.everything_logged();
    assert!(!logged.contains('\u{1b}') && !logged.contains('\u{7}'), "{}", logged.escape_debug());
}

/// Answers of the gateway say nothing about what it is, what is behind it, or what would have been right.
/// Row L03.
#[tokio::test]
async fn answers_tell_nothing_about_the_inside() {
    let stand = Stand::start().await;
    let address = stand.upstream.address().to_string();
    let user = format!("X-API-Key: {}", stand.user.key);
    stand.upstream.stop().await;
    for (request, status) in [
        (get("/nowhere", &[]), 404),
        (get("/admin", &[]), 401),
        (get("/admin", &["X-API-Key: wrong"]), 401),
        (get("/admin", &[&user]), 403),
        (get("/public/../x", &[]), 400),
        (get("/public/x", &[]), 502),
        (get("/public/x", &["Content-Length: x"]), 400),
        (request("TRACE", "/admin", &[]), 405),
        (b"\x16\x03\x01 no HTTP\r\n\r\n".to_vec(), 400),
    ] {
        let answer = stand.only_answer(request).await;
        let code = answer.json()["code"].as_str().unwrap().to_owned();
        assert_problem(&answer, status, &code);
        assert_reveals_nothing(&answer);
        let text = answer.text();
        for word in [&*address, "app", "admin", "partners", "keys", "k_acme", "acme"] {
            assert!(!text.contains(word), "`{word}` in {text}");
        }
    }
}

/// What the admin listener serves is not served to the public, under any name.
/// Row L04.
#[tokio::test]
async fn the_admin_listener_is_not_on_the_public_one() {
    let stand = Stand::start().await;
    for target in
        ["/metrics", "/healthz", "/readyz", "/revocations", "/revocations/", "/metrics/", "/debug/pprof", "/"]
    {
        for method in ["GET", "POST", "DELETE"] {
            stand.refuses(request(method, target, &["Content-Length: 0"]), 404, "no_route").await;
        }
        stand.refuses_http2(&get_fields(target), 404, "no_route").await;
    }
    let port = stand.gateway.admin_port();
    stand.refuses(with_host(&format!("127.0.0.1:{port}")), 404, "no_route").await;
}

fn with_host(host: &str) -> String {
    format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

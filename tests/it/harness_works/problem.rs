//! The assertions about the gateway's own answers, seen passing and failing.

use serde_json::json;

use super::failure;
use crate::harness::client::{Client, Response};
use crate::harness::problem::{assert_challenge, assert_problem, assert_reveals_nothing, challenges};
use crate::harness::upstream::{Answer, Upstream};

async fn answered(answer: Answer) -> Response {
    let upstream = Upstream::start();
    upstream.answer_otherwise(answer);
    Client::plain(upstream.address()).get("/").await
}

#[tokio::test]
async fn problems() {
    let good = json!({
        "type": "about:blank", "title": "A credential is needed", "status": 401, "code": "no_credential",
        "accepted": ["basic"], "request_id": "r-1",
    });
    let with = |member: &str, value: serde_json::Value| {
        let mut document = good.clone();
        document[member] = value;
        document
    };
    let without = |member: &str| {
        let mut document = good.clone();
        document.as_object_mut().unwrap().remove(member);
        document
    };
    let answer = |document: &serde_json::Value| {
        Answer::status(401, document.to_string()).header("Content-Type", "application/problem+json")
    };
    for (name, answer, expect) in [
        ("good", answer(&good), None),
        ("same id", answer(&good).header("X-Request-Id", "r-1"), None),
        ("other id", answer(&good).header("X-Request-Id", "r-2"), Some("two identifiers")),
        ("other status", Answer::status(403, "").header("Content-Type", "text/plain"), Some("403")),
        (
            "plain JSON",
            Answer::status(401, good.to_string()).header("Content-Type", "application/json"),
            Some("problem+json"),
        ),
        ("other code", answer(&with("code", json!("expired"))), Some("expired")),
        ("other status inside", answer(&with("status", json!(403))), Some("403")),
        ("further member", answer(&with("detail", json!("x"))), Some("detail")),
        ("missing member", answer(&without("title")), Some("request_id")),
        ("missing schemes", answer(&without("accepted")), Some("request_id")),
        ("empty id", answer(&with("request_id", json!(""))), Some("`request_id`")),
        (
            "no JSON",
            Answer::status(401, "no").header("Content-Type", "application/problem+json"),
            Some("expected"),
        ),
        (
            "upstream's address",
            answer(&with("title", json!("127.0.0.1:80"))),
            Some("`127.0.0.1` is revealed"),
        ),
        ("a library", answer(&good).header("Via", "Pingora"), Some("`pingora` is revealed")),
        ("a server", answer(&good).header("Server", "portcullis"), Some("server")),
        ("a version", answer(&good).header("X-V", env!("CARGO_PKG_VERSION")), Some("the version")),
    ] {
        let response = answered(answer).await;
        match expect {
            None => assert_problem(&response, 401, "no_credential"),
            Some(expect) => {
                let failed = failure(|| assert_problem(&response, 401, "no_credential"));
                assert!(failed.to_lowercase().contains(expect), "{name}: {failed}");
            }
        }
    }
    assert_reveals_nothing(&answered(Answer::ok("fine")).await);
}

#[tokio::test]
async fn challenges_are_read_and_compared() {
    let bearer = r#"Bearer realm="api", error="invalid_token", error_description="It is, well, bad""#;
    let response = answered(
        Answer::status(401, "")
            .header("WWW-Authenticate", bearer)
            .header("WWW-Authenticate", "Basic realm=tools"),
    )
    .await;
    let description = ("error_description", "It is, well, bad");
    assert_challenge(&response, "bearer", &[("error", "invalid_token"), description]);
    assert_challenge(&response, "Basic", &[("realm", "tools")]);
    assert_eq!(challenges(&response).len(), 2);
    let failed = failure(|| assert_challenge(&response, "Bearer", &[("error", "invalid_token")]));
    assert!(failed.contains("`error_description` was not expected"), "{failed}");
    let failed = failure(|| assert_challenge(&response, "Bearer", &[("error", "other"), description]));
    assert!(failed.contains("other"), "{failed}");
    assert!(failure(|| assert_challenge(&response, "ApiKey", &[])).contains("0 challenges"));
    for (bad, expect) in [
        (r#"Bearer realm="a" error="b""#, "not a list"),
        (r#"Bearer realm="a","#, "not a list"),
        (r#"Bearer realm="a, error=b"#, "open quote"),
        ("Bearer realm", "no challenge"),
        (r#"Bearer realm="a", realm="b""#, "twice"),
    ] {
        let response = answered(Answer::status(401, "").header("WWW-Authenticate", bad)).await;
        let failed = failure(|| challenges(&response));
        assert!(failed.contains(expect), "{bad}: {failed}");
    }
}

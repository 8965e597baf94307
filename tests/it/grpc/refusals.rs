//! Refusals of gRPC calls: a Trailers-Only response with `grpc-status`, whatever the gateway refuses.

use serde_json::{Value, json};

use crate::harness::client::{Response, block, flag, kind};
use crate::harness::credentials::{ApiKey, basic, htpasswd_bcrypt, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::port::ReservedPort;
use crate::harness::problem::{assert_challenge, assert_problem, assert_reveals_nothing};
use crate::harness::upstream::{Answer, Upstream};

/// All upstreams speak HTTP/1.1, so the gateway relays each call itself.
const YAML: &str = r#"
    limits: { request_body_bytes: 1KiB, failed_attempts: { source: 3/h, principal: unlimited } }
    auth:
      partners: { api_key: { keys: keys.yaml } }
      staff: { basic: { users: staff.htpasswd, realm: Tools } }
    upstreams:
      orders: "{upstream}"
      silent: { targets: ["{upstream}"], timeouts: { request: 200ms } }
      away: "http://{away}"
    routes:
      - name: orders
        match: { path: /shop.Orders/* }
        auth: [partners, staff]
        allow: { POST: { scopes: [orders:read] } }
        upstream: orders
      - { name: silent, match: { path: /shop.Silent/* }, auth: partners, upstream: silent }
      - { name: away, match: { path: /shop.Away/* }, auth: partners, upstream: away }
      - { name: lists, match: { path: /shop.Lists/* }, auth: partners, allow: { GET: {} }, upstream: orders }
"#;

/// A gateway, an upstream that records what reaches it, and two callers.
pub(super) struct Stand {
    pub(super) gateway: Gateway,
    pub(super) upstream: Upstream,
    /// A key that may call `shop.Orders`.
    pub(super) reader: ApiKey,
    /// A key without a scope.
    pub(super) stranger: ApiKey,
    _away: ReservedPort,
}

impl Stand {
    pub(super) async fn start() -> Self {
        let (upstream, away) = (Upstream::start(), ReservedPort::take());
        upstream.answer("/shop.Silent/Get", Answer::hang());
        let reader = ApiKey::of("acme").scopes(&["orders:read"]);
        let stranger = ApiKey::of("globex");
        let gateway = Gateway::builder(YAML)
            .with("upstream", upstream.url())
            .with("away", away.address().to_string())
            .file("keys.yaml", keys_yaml(&[&reader, &stranger]))
            .file("staff.htpasswd", htpasswd_bcrypt("bob", "correct horse"))
            .start()
            .await;
        Self { gateway, upstream, reader, stranger, _away: away }
    }

    async fn call(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let client = self.gateway.https();
        let call = client.post(path).header("content-type", "application/grpc");
        call.headers(headers).body(body).over_http2().await
    }

    /// The line of the access log for a response.
    async fn logged(&self, response: &Response) -> Value {
        let id = response.header("X-Request-Id").expect("X-Request-Id").to_owned();
        self.gateway.wait_for_access(move |line| line["request_id"] == id.as_str()).await
    }
}

/// Fails the test unless this is a Trailers-Only response with this status and this message.
#[track_caller]
fn assert_grpc(response: &Response, status: u16, message: &str) {
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/grpc"), "{response:?}");
    let status = status.to_string();
    assert_eq!(response.header("grpc-status"), Some(&*status), "{response:?}");
    assert_eq!(response.header("grpc-message"), Some(message), "{response:?}");
    assert_eq!((response.body.len(), response.header("content-length")), (0, None), "{response:?}");
    assert_reveals_nothing(response);
}

/// The statuses of `http-grpc-status-mapping.md` and `statuscodes.md`. Log and metrics have the HTTP status of the refusal.
#[tokio::test]
async fn refuses_grpc_calls_with_grpc_status_and_logs_http_status() {
    let stand = Stand::start().await;
    let (reader, stranger) = (stand.reader.header(), stand.stranger.header());
    let (small, large) = (vec![0; 5], vec![0; 4 << 10]);
    let both = vec![reader, ("Authorization", "ApiKey x")];
    for (path, headers, body, status, grpc_status, message) in [
        ("/shop.Orders/Get", vec![], &small, 401, 16, "no_credential: A credential is needed"),
        (
            "/shop.Orders/Get",
            vec![("X-API-Key", "wrong")],
            &small,
            401,
            16,
            "invalid_credential: The credential is not valid",
        ),
        ("/shop.Orders/Get", vec![stranger], &small, 403, 7, "forbidden: The caller may not do this"),
        ("/shop.None/Get", vec![reader], &small, 404, 12, "no_route: There is nothing here"),
        (
            "/shop.Lists/Get",
            vec![reader],
            &small,
            405,
            12,
            "method_not_allowed: The method is not allowed here",
        ),
        (
            "/shop.Orders/Get",
            both,
            &small,
            400,
            13,
            "multiple_credentials: The request has more than one credential",
        ),
        ("/shop.Orders/Get", vec![reader], &large, 413, 8, "body_too_large: The request's body is too large"),
        (
            "/shop.Away/Get",
            vec![reader],
            &small,
            502,
            14,
            "upstream_failed: The upstream gave no proper answer",
        ),
    ] {
        let response = stand.call(path, &headers, body).await;
        assert_grpc(&response, grpc_status, message);
        let line = stand.logged(&response).await;
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["grpc_status"], grpc_status, "{line}");
        stand.upstream.assert_nothing();
    }
    let labels = [("route", "orders"), ("status", "401")];
    stand.gateway.wait_for_count("portcullis_http_requests_total", &labels, 2).await;

    let response = stand.call("/shop.Silent/Get", &[reader], &small).await;
    assert_grpc(&response, 4, "upstream_timed_out: The upstream did not answer in time");
    assert_eq!(stand.logged(&response).await["status"], 504);
    assert_eq!(stand.upstream.take().len(), 1, "only this call was admitted and reached the upstream");
}

#[tokio::test]
async fn keeps_challenges_and_retry_after_in_grpc_refusals() {
    let stand = Stand::start().await;
    let response = stand.call("/shop.Orders/Get", &[], b"x").await;
    assert_challenge(&response, "ApiKey", &[("realm", "portcullis")]);
    assert_challenge(&response, "Basic", &[("realm", "Tools"), ("charset", "UTF-8")]);
    let wrong = basic("bob", "wrong");
    for _ in 0..3 {
        let response = stand.call("/shop.Orders/Get", &[("Authorization", &wrong)], b"x").await;
        assert_grpc(&response, 16, "invalid_credential: The credential is not valid");
    }
    let response = stand.call("/shop.Orders/Get", &[("Authorization", &wrong)], b"x").await;
    assert_grpc(&response, 8, "too_many_attempts: There were too many failed attempts: try again later");
    assert!(response.header("Retry-After").is_some(), "{response:?}");
    let line = stand.logged(&response).await;
    assert_eq!((&line["status"], &line["reason"]), (&json!(429), &json!("too_many_attempts")), "{line}");
    stand.upstream.assert_nothing();
}

/// A client knows a Trailers-Only response by the `END_STREAM` of its header block.
#[tokio::test]
async fn ends_stream_with_header_block_of_grpc_refusal() {
    let stand = Stand::start().await;
    let head = block(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/shop.Orders/Get"),
        ("content-type", "application/grpc+proto"),
        ("te", "trailers"),
    ]);
    let mut frames = stand.gateway.https().frames().await;
    frames.headers(1, &head, true).await;
    let frame = loop {
        let frame = frames.next().await.expect("a response");
        if frame.stream == 1 && frame.kind != kind::WINDOW_UPDATE {
            break frame;
        }
    };
    assert_eq!(frame.kind, kind::HEADERS);
    assert_eq!(frame.flags & flag::END_STREAM, flag::END_STREAM);
    stand.upstream.assert_nothing();
}

/// gRPC-Web carries the status in the body, and gRPC does not exist over HTTP/1.1.
#[tokio::test]
async fn sends_problem_document_when_request_is_not_grpc() {
    let stand = Stand::start().await;
    let client = stand.gateway.https();
    for content_type in ["application/grpc-web+proto", "application/grpc-web-text", "application/json"] {
        let call = client.post("/shop.Orders/Get").header("content-type", content_type);
        assert_problem(&call.body("x").over_http2().await, 401, "no_credential");
    }
    let call = client.post("/shop.Orders/Get").header("content-type", "application/grpc");
    let response = call.body("x").await;
    assert_problem(&response, 401, "no_credential");
    assert_eq!(stand.logged(&response).await["grpc_status"], Value::Null);
    stand.upstream.assert_nothing();
}

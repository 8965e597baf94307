//! `limits` of a route: its own body size and its own time to the response head.

use std::time::Duration;

use serde_json::Value;

use crate::harness::client::{Failure, Request};
use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::problem::assert_problem;
use crate::harness::process::{portcullis_command, run};
use crate::harness::upstream::{Answer, GrpcUpstream, Upstream};

const YAML: &str = r#"
    limits: { request_body_bytes: 16KiB }
    auth: { partners: { api_key: { keys: keys.yaml } } }
    upstreams:
      api: { targets: ["{upstream}"], timeouts: { request: 10m } }
      hasty: { targets: ["{upstream}"], timeouts: { request: 100ms } }
      calls: { targets: ["h2c://{calls}"], timeouts: { request: 10m } }
    routes:
      - { name: general, match: { path: /general/** }, auth: public, upstream: api }
      - { name: large, match: { path: /large/** }, auth: public, upstream: api, limits: { request_body_bytes: 64KiB } }
      - { name: small, match: { path: /small/** }, auth: public, upstream: api, limits: { request_body_bytes: 1KiB } }
      - { name: empty, match: { path: /none/** }, auth: partners, upstream: api, limits: { request_body_bytes: 0B } }
      - name: reported
        match: { path: /reported/** }
        auth: partners
        upstream: api
        mode: report
        limits: { request_body_bytes: 1KiB }
      - { name: calls, match: { path: /calls/** }, auth: public, upstream: calls, limits: { request_body_bytes: 64KiB } }
      - { name: brief, match: { path: /brief/** }, auth: public, upstream: api, limits: { request_timeout: 200ms } }
      - { name: patient, match: { path: /patient/** }, auth: public, upstream: hasty, limits: { request_timeout: 1m } }
      - { name: brief-calls, match: { path: /brief-calls/** }, auth: public, upstream: calls, limits: { request_timeout: 200ms } }
"#;

const KIB: usize = 1 << 10;

struct Stand {
    gateway: Gateway,
    upstream: Upstream,
    calls: GrpcUpstream,
}

impl Stand {
    async fn start() -> Self {
        Self::with(YAML).await
    }

    async fn with(yaml: &str) -> Self {
        let (upstream, calls) = (Upstream::start(), GrpcUpstream::start());
        let gateway = Gateway::builder(yaml)
            .with("upstream", upstream.url())
            .with("calls", calls.address().to_string())
            .file("keys.yaml", keys_yaml(&[&ApiKey::of("acme")]))
            .start()
            .await;
        Self { gateway, upstream, calls }
    }

    /// Sends a body of so many bytes, announced by `Content-Length`, and asserts the status over HTTP/1.1 and HTTP/2. A
    /// refused request does not reach the upstream.
    async fn check(&self, path: &str, bytes: usize, status: u16) {
        for http2 in [false, true] {
            let client = self.gateway.https();
            let call = client.post(path).body(vec![b'x'; bytes]);
            let response = if http2 { call.over_http2().await } else { call.await };
            if status == 413 {
                assert_problem(&response, 413, "body_too_large");
                self.upstream.assert_nothing();
            } else {
                response.assert_status(status);
                assert_eq!(self.upstream.take_one().body_length, bytes as u64, "{path}");
            }
        }
    }
}

/// Rows D04 of the attack catalogue, for limits of routes: a route may allow more or less than the general limit.
#[tokio::test]
async fn applies_the_body_limit_of_the_route_to_announced_lengths() {
    let stand = Stand::start().await;
    stand.check("/general/a", 16 * KIB, 200).await;
    stand.check("/general/a", 16 * KIB + 1, 413).await;
    stand.check("/large/a", 64 * KIB, 200).await;
    stand.check("/large/a", 64 * KIB + 1, 413).await;
    stand.check("/small/a", KIB, 200).await;
    stand.check("/small/a", KIB + 1, 413).await;
    // Report mode lets callers pass that would be refused, and not bodies that are too large.
    stand.check("/reported/a", KIB, 200).await;
    stand.check("/reported/a", KIB + 1, 413).await;
    // The length is checked before the credential, so nobody pays for a password of a request that cannot pass.
    stand.check("/none/a", 1, 413).await;
    let key = ApiKey::of("acme");
    stand.gateway.https().get("/none/a").headers(&[key.header()]).await.assert_status(200);
    stand.upstream.take_one();
    let refused = |line: &Value| line["path"] == "/small/a" && line["reason"] == "body_too_large";
    let line = stand.gateway.wait_for_access(refused).await;
    assert_eq!(
        (&line["route"], &line["status"], &line["outcome"]),
        (&"small".into(), &413.into(), &"refused".into())
    );
}

/// A body without an announced length is cut as soon as it is longer than the route allows, on both ways upstream.
#[tokio::test]
async fn applies_the_body_limit_of_the_route_while_the_body_arrives() {
    let stand = Stand::start().await;
    for (path, allowed) in [("/general/a", 16), ("/large/a", 64), ("/small/a", 1), ("/calls/Unary", 64)] {
        for (kibibytes, passes) in [(allowed, true), (allowed + 1, false)] {
            let place = format!("{path}, {kibibytes} KiB");
            let mut connection = stand.gateway.https().connect().await;
            connection
                .write(format!(
                    "POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                ))
                .await;
            for _ in 0..kibibytes {
                let chunk = [b"400\r\n", &[b'x'; KIB][..], b"\r\n"].concat();
                let _ = connection.try_write(&chunk).await;
            }
            let _ = connection.try_write("0\r\n\r\n").await;
            let response = connection.response_to("POST").await;
            stand.assert_outcome(&place, response.status, passes);

            let client = stand.gateway.https().http2().await;
            let mut stream = client.open_stream(&Request::new("POST", path)).await.unwrap();
            for _ in 0..kibibytes {
                let _ = stream.send(&[b'x'; KIB]).await;
            }
            let _ = stream.finish();
            match stream.response().await {
                Ok(response) => stand.assert_outcome(&place, response.status, passes),
                Err(failure) => {
                    assert!(!passes && matches!(failure, Failure::Http2(..)), "{place}: {failure}");
                }
            }
        }
    }
}

impl Stand {
    #[track_caller]
    fn assert_outcome(&self, place: &str, status: u16, passes: bool) {
        assert_eq!(status, if passes { 200 } else { 413 }, "{place}");
        let received = self.upstream.take();
        let to_calls = place.starts_with("/calls/");
        assert_eq!(
            received.iter().filter(|request| request.complete).count(),
            usize::from(passes && !to_calls),
            "{place}"
        );
        let complete =
            self.calls.calls().iter().filter(|call| call.complete && call.body.len() > 64 * KIB).count();
        assert_eq!(complete, 0, "{place}");
    }
}

/// A route may give its upstream less or more time until the response begins than `timeouts.request` of the upstream.
#[tokio::test]
async fn applies_the_request_timeout_of_the_route() {
    let stand = Stand::start().await;
    stand.upstream.answer("/brief/a", Answer::hang());
    stand.upstream.answer("/patient/a", Answer::ok("late").after(Duration::from_millis(600)));
    for http2 in [false, true] {
        let client = stand.gateway.https();
        let send = |path: &str| if http2 { client.get(path).over_http2() } else { client.get(path) };
        assert_problem(&send("/brief/a").await, 504, "upstream_timed_out");
        assert_eq!(send("/patient/a").await.text(), "late");
        assert_problem(&send("/brief-calls/Hang").await, 504, "upstream_timed_out");
    }
    // An upgrade waits as long as the route says.
    let refused = stand.gateway.https().websocket("/brief/a", &[]).await;
    let Err(response) = refused else { panic!("the upstream never agreed") };
    assert_problem(&response, 504, "upstream_timed_out");
}

/// `explain` and `routes` show the limits of a route.
#[tokio::test]
async fn shows_the_limits_of_the_route() {
    let stand = Stand::start().await;
    let file = stand.gateway.path("gateway.yaml");
    let url = "https://localhost/large/a";
    for (arguments, expected) in [
        (vec!["explain", "GET", url], "limits    a body of 64KiB, 10m until the response begins"),
        (
            vec!["explain", "GET", "https://localhost/patient/a"],
            "limits    a body of 16KiB, 1m until the response begins",
        ),
        (vec!["explain", "GET", url, "--format", "json"], "\"request_body_bytes\": 65536"),
        (
            vec!["explain", "POST", url, "-H", "Content-Length: 65537"],
            "the request announces 65537 bytes, and the limit is 65536 → body_too_large",
        ),
        (vec!["routes"], "  body 64KiB\n"),
        (vec!["routes"], "  response 1m\n"),
    ] {
        let finished = run(portcullis_command().args(&arguments).arg("--config").arg(&file)).await;
        assert!(finished.assert_success().stdout.contains(expected), "{arguments:?}: {}", finished.stdout);
    }
}

//! The access log, the log of the process, the metrics and the status page say why an attempt at a target failed, on every
//! way to an upstream.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::gateway::Gateway;
use crate::harness::port::ReservedPort;
use crate::harness::problem::assert_problem;
use crate::harness::proxy::{Fault, FaultyProxy};
use crate::harness::tls::{Authority, server_config};
use crate::harness::upstream::{Answer, Upstream};

/// How a request reaches the gateway, which decides on the way to its upstream.
#[derive(Clone, Copy, Debug)]
enum Client {
    Http1,
    Http2,
    Upgrade,
}

const CLIENTS: [Client; 3] = [Client::Http1, Client::Http2, Client::Upgrade];

/// Sends a request that must fail with `status`, and returns its line in the access log.
async fn line_of_failure(gateway: &Gateway, client: Client, status: u16) -> Value {
    let https = gateway.https();
    let response = match client {
        Client::Http1 => https.get("/").await,
        Client::Http2 => https.get("/").over_http2().await,
        Client::Upgrade => match https.websocket("/", &[]).await {
            Err(response) => response,
            Ok(_) => panic!("the upgrade succeeded"),
        },
    };
    let code = if status == 504 { "upstream_timed_out" } else { "upstream_failed" };
    assert_problem(&response, status, code);
    let id = response.header("X-Request-Id").unwrap().to_owned();
    gateway.wait_for_access(|line| line["request_id"] == id).await
}

pub(super) async fn gateway_to(upstream: &str) -> Gateway {
    Gateway::builder(
        r"
        upstreams: { app: {app} }
        routes: [{ name: app, match: { path: /** }, auth: public, upstream: app }]
        ",
    )
    .with("app", upstream)
    .file("ca.crt", Authority::shared().pem())
    .file("other.crt", Authority::new("Another Authority").pem())
    .start()
    .await
}

/// Asserts that one failure of each client is logged, counted and shown as `error`.
async fn check(row: &str, target: &str, settings: &str, (status, error, kind): (u16, &str, &str)) {
    let gateway = gateway_to(&format!("{{ targets: [{target:?}], {settings} }}")).await;
    for client in CLIENTS {
        let line = line_of_failure(&gateway, client, status).await;
        let what = format!("{row}, {client:?}: {line}");
        assert_eq!(line["upstream_error"], error, "{what}");
        assert_eq!(line["target"], target, "{what}");
        assert_eq!((&line["attempts"], &line["failed_targets"]), (&Value::Null, &Value::Null), "{what}");
        assert_eq!(line["status"], status, "{what}");
    }
    let labels = [("upstream", "app"), ("target", target), ("kind", kind)];
    let count = gateway.metrics().await.count("portcullis_upstream_failures_total", &labels);
    assert_eq!(count, CLIENTS.len() as u64, "{row}");
    let reports = gateway.log().into_iter().filter(|line| line.message.contains(target)).collect::<Vec<_>>();
    assert_eq!(reports.len(), 1, "{row}: {reports:?}");
    let begin = format!("upstream app, target {target}: ");
    assert_eq!(reports[0].level, "warn", "{row}");
    assert!(reports[0].message.starts_with(&begin), "{row}: {reports:?}");
    assert!(reports[0].message.ends_with(&format!("({error})")), "{row}: {reports:?}");
    let now = gateway.admin().get("/status/now").await.json();
    let shown = &now["upstreams"][0]["targets"][0];
    assert_eq!((&shown["target"], &shown["failures"]), (&json!(target), &json!(3)), "{row}: {shown}");
    assert_eq!(shown["last_failure"]["error"], error, "{row}: {shown}");
}

#[tokio::test]
async fn reports_connections_that_cannot_be_established() {
    let gone = Upstream::start();
    gone.stop().await;
    let refused = (502, "connect_refused", "connect");
    check("nothing listens", &gone.url(), "", refused).await;
    check("nothing listens for TLS", &gone.url().replace("http:", "https:"), "", refused).await;
    check("nothing listens for HTTP/2", &gone.url().replace("http:", "h2c:"), "", refused).await;
    check("no address", "http://nowhere.invalid:8080", "", (502, "dns", "connect")).await;
    check("no address for TLS", "https://nowhere.invalid", "", (502, "dns", "connect")).await;
    let wire = FaultyProxy::to(gone.address());
    wire.set(Fault::Hang).await;
    let target = format!("https://{}", wire.address());
    let timeout = (504, "connect_timeout", "timeout");
    check("a handshake without an end", &target, "timeouts: { connect: 200ms }", timeout).await;
}

#[tokio::test]
async fn reports_connections_that_are_not_accepted() {
    let port = ReservedPort::take();
    let _full = FullListener::at(&port).await;
    let timeout = (504, "connect_timeout", "timeout");
    for scheme in ["http", "h2c"] {
        let target = format!("{scheme}://{}", port.address());
        check("a full backlog", &target, "timeouts: { connect: 200ms }", timeout).await;
    }
}

/// A listener whose backlog is full: the system answers nothing at all to further connections.
pub(super) struct FullListener {
    _listener: tokio::net::TcpListener,
    _waiting: Vec<tokio::net::TcpStream>,
}

impl FullListener {
    pub(super) async fn at(port: &ReservedPort) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(port.address()).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut waiting = Vec::new();
        let limit = Duration::from_millis(200);
        while let Ok(Ok(stream)) =
            tokio::time::timeout(limit, tokio::net::TcpStream::connect(port.address())).await
        {
            waiting.push(stream);
        }
        Self { _listener: listener, _waiting: waiting }
    }
}

/// The library reports a certificate for another name as text only, so this holds that text.
#[tokio::test]
async fn distinguishes_certificates_for_another_name() {
    let certificate = Authority::shared().server(&["127.0.0.1"]);
    let upstream = Upstream::start_tls(server_config(&certificate, None, &["h2", "http/1.1"]));
    let (target, clear) = (upstream.url(), Upstream::start());
    for (row, target, tls, error) in [
        ("another name", &target, "{ ca: ca.crt, server_name: billing.internal }", "tls_name"),
        ("another authority", &target, "{ ca: other.crt }", "tls_other"),
        ("no TLS", &clear.url().replace("http:", "https:"), "{ ca: ca.crt }", "tls_other"),
    ] {
        check(row, target, &format!("tls: {tls}"), (502, error, "tls")).await;
    }
    upstream.assert_nothing();
    clear.expect_violations();
}

#[tokio::test]
async fn reports_targets_that_fail_after_the_connection() {
    let certificate = Authority::shared().server(&["127.0.0.1"]);
    let (clear, tls) =
        (Upstream::start(), Upstream::start_tls(server_config(&certificate, None, &["http/1.1"])));
    for (row, answer, expected) in [
        ("closes", Answer::close(), (502, "reset", "reset")),
        ("resets", Answer::reset(), (502, "reset", "reset")),
        ("half a head", Answer::raw_then_close("HTTP/1.1 200 OK\r\nContent-Le"), (502, "reset", "reset")),
        ("no HTTP", Answer::garbage(), (502, "protocol", "protocol")),
        ("no response", Answer::hang(), (504, "timeout", "timeout")),
    ] {
        for (upstream, settings) in [(&clear, ""), (&tls, ", tls: { ca: ca.crt }")] {
            upstream.answer_otherwise(answer.clone());
            let settings = format!("timeouts: {{ request: 300ms }}{settings}");
            check(row, &upstream.url(), &settings, expected).await;
        }
    }
}

/// A failed attempt that another target made up for is visible as well.
#[tokio::test]
async fn shows_failed_attempts_before_a_successful_one() {
    let (gone, upstream) = (Upstream::start(), Upstream::start());
    gone.stop().await;
    let targets = format!("[\"http://nowhere.invalid\", {:?}, {:?}]", gone.url(), upstream.url());
    let gateway = gateway_to(&format!("{{ targets: {targets} }}")).await;
    let response = gateway.https().get("/").await;
    response.assert_status(200);
    let id = response.header("X-Request-Id").unwrap().to_owned();
    let line = gateway.wait_for_access(|line| line["request_id"] == id).await;
    assert_eq!(line["target"], upstream.url(), "{line}");
    assert_eq!(line["upstream_error"], Value::Null, "{line}");
    assert_eq!(line["attempts"], 3, "{line}");
    let failed = json!([
        { "target": "http://nowhere.invalid", "upstream_error": "dns" },
        { "target": gone.url(), "upstream_error": "connect_refused" },
    ]);
    assert_eq!(line["failed_targets"], failed);
    let metrics = gateway.metrics().await;
    for target in ["http://nowhere.invalid", &gone.url()] {
        let labels = [("target", target), ("kind", "connect")];
        assert_eq!(metrics.count("portcullis_upstream_failures_total", &labels), 1, "{target}");
    }
    let retried = [("upstream", "app"), ("result", "attempted")];
    assert_eq!(metrics.count("portcullis_upstream_retries_total", &retried), 2);
}

/// A reload that keeps a target keeps what is known about it, and says nothing again.
#[tokio::test]
async fn keeps_failures_of_a_target_when_the_policy_is_reloaded() {
    let gone = Upstream::start();
    gone.stop().await;
    let yaml = |name: &str| {
        format!(
            "upstreams: {{ app: {:?} }}\nroutes: [{{ name: {name}, match: {{ path: /** }}, auth: public, upstream: app }}]",
            gone.url()
        )
    };
    let gateway = Gateway::builder(&yaml("before")).start().await;
    line_of_failure(&gateway, Client::Http1, 502).await;
    gateway.reload_with(&yaml("after")).await;
    let line = line_of_failure(&gateway, Client::Http1, 502).await;
    assert_eq!(line["route"], "after");
    let now = gateway.admin().get("/status/now").await.json();
    assert_eq!(now["upstreams"][0]["targets"][0]["failures"], 2, "{now}");
    let reports = gateway.log().into_iter().filter(|line| line.message.contains("connect_refused"));
    assert_eq!(reports.count(), 1);
}

//! Upstreams: which one is asked, what it is told, and what a client is told when it does not answer.

use std::time::Duration;

use crate::harness::client::{Load, Request};
use crate::harness::gateway::Gateway;
use crate::harness::port::ReservedPort;
use crate::harness::problem::assert_problem;
use crate::harness::proxy::{Fault, FaultyProxy};
use crate::harness::tls::{Authority, server_config};
use crate::harness::upstream::{Answer, Upstream};

/// A gateway with everything public and one upstream, which is written as given.
async fn gateway_to(upstream: &str) -> Gateway {
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

fn quoted(upstreams: &[&Upstream]) -> String {
    let urls: Vec<String> = upstreams.iter().map(|upstream| format!("{:?}", upstream.url())).collect();
    urls.join(", ")
}

#[tokio::test]
async fn targets_are_used_in_turn() {
    let upstreams = [Upstream::start(), Upstream::start(), Upstream::start()];
    let targets = quoted(&upstreams.each_ref());
    let gateway = gateway_to(&format!("{{ targets: [{targets}] }}")).await;
    let mut connection = gateway.https().connect().await;
    for _ in 0..9 {
        connection.get("/").await.assert_status(200);
    }
    for upstream in &upstreams {
        assert_eq!((upstream.requests().len(), upstream.connections()), (3, 1));
    }
}

/// A target that cannot be reached has seen nothing of the request, so another one is asked, whatever the method.
#[tokio::test]
async fn a_target_that_is_down_is_passed_over() {
    let upstreams = [Upstream::start(), Upstream::start(), Upstream::start()];
    let targets = quoted(&upstreams.each_ref());
    let gateway = gateway_to(&format!("{{ targets: [{targets}] }}")).await;
    upstreams[1].stop().await;
    for method in ["GET", "POST"].repeat(6) {
        let answer = gateway.https().call(method, "/").await;
        assert_eq!(answer.text(), "ok", "{method}");
    }
    upstreams[0].stop().await;
    for _ in 0..6 {
        gateway.https().post("/").body("x").await.assert_status(200);
    }
    upstreams[2].stop().await;
    assert_problem(&gateway.https().get("/").await, 502, "upstream_failed");
    upstreams[1].start_again();
    gateway.https().get("/").await.assert_status(200);
}

/// An upstream that fails at any stage before its answer is a 502, which names nothing.
#[tokio::test]
async fn an_upstream_that_fails_is_a_502() {
    let upstream = Upstream::start();
    let cases = [
        ("closed without a word", Answer::close()),
        ("reset", Answer::reset()),
        ("no HTTP", Answer::garbage()),
        ("half a status line", Answer::raw_then_close("HTTP/1.1 20")),
        ("half a head", Answer::raw_then_close("HTTP/1.1 200 OK\r\nContent-Le")),
        ("closed after 100", Answer::raw_then_close("HTTP/1.1 100 Continue\r\n\r\n")),
        (
            "two lengths",
            Answer::raw_then_close("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        ),
    ];
    let gateway = gateway_to(&upstream.url()).await;
    for (name, answer) in cases {
        upstream.answer_otherwise(answer);
        for method in ["GET", "POST"] {
            let answer = gateway.https().call(method, "/").await;
            assert_eq!(answer.status, 502, "{name}, {method}: {answer:?}");
            assert_problem(&answer, 502, "upstream_failed");
            assert_eq!(upstream.take().len(), 1, "{name}, {method}: asked again");
        }
        let answer = gateway.https().get("/").over_http2().await;
        assert_problem(&answer, 502, "upstream_failed");
        upstream.take();
    }
    let line = gateway.wait_for_access(|line| line["status"] == 502).await;
    assert_eq!((&line["upstream"], &line["outcome"]), (&"app".into(), &"public".into()));
    upstream.stop().await;
    let refused = gateway.https().get("/").await;
    assert_problem(&refused, 502, "upstream_failed");
    for kind in ["reset", "protocol", "connect"] {
        let labels = [("upstream", "app"), ("kind", kind)];
        let count = gateway.metrics().await.sum("portcullis_upstream_failures_total", &labels);
        assert!(count.is_some_and(|count| count > 0.0), "{kind}");
    }
}

#[tokio::test]
async fn a_name_without_an_address_is_a_502() {
    let gateway = gateway_to("http://nowhere.invalid:8080").await;
    assert_problem(&gateway.https().get("/").await, 502, "upstream_failed");
}

/// An upstream that closes a connection while a request is on its way to it may not have seen it. What may be repeated is
/// repeated, on a connection of its own; what may not (RFC 9110 section 9.2.2) is never sent twice.
#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_costs_no_request() {
    let upstream = Upstream::start();
    upstream.answer_once_on_each_connection();
    let gateway = gateway_to(&upstream.url()).await;
    // More idle connections than a request is tried times.
    let clients: Vec<_> = (0..20).map(|_| gateway.https()).collect();
    let calls = clients.iter().map(|client| {
        tokio::spawn({
            let client = client.clone();
            async move { client.get("/warm").await.status }
        })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), 200);
    }
    upstream.take();
    for number in 0..5 {
        gateway.https().get("/").await.assert_status(200);
        let tried = upstream.take().len();
        assert!(tried <= 2, "request {number} was sent {tried} times");
    }
    for _ in 0..5 {
        let answer = gateway.https().post("/").body("once").await;
        let sent = upstream.take().len();
        assert!(matches!((answer.status, sent), (200 | 502, 1)), "{} after {sent}", answer.status);
    }
}

/// An upstream that closes idle connections at once, as some do under load or after a restart.
#[tokio::test]
async fn closing_upstreams_cost_no_request_under_load() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::raw_then_close("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    let gateway = gateway_to(&upstream.url()).await;
    let load = Load::of(&gateway.https(), Request::get("/")).connections(8).start();
    load.wait_for_more(500).await;
    load.stop().await.assert_all(200);
}

/// Requests of different clients share connections, and an idle one is used again: each thread keeps one.
#[tokio::test]
async fn connections_are_used_again() {
    let upstream = Upstream::start();
    let gateway = gateway_to(&upstream.url()).await;
    let http2 = gateway.https().http2().await;
    for _ in 0..5 {
        gateway.https().get("/").await.assert_status(200);
        gateway.https().post("/").body("x").await.assert_status(200);
        http2.get("/").await.assert_status(200);
    }
    let threads = std::thread::available_parallelism().unwrap().get();
    assert_eq!(upstream.requests().len(), 15);
    assert!(
        upstream.connections() <= threads,
        "{} connections for {threads} threads",
        upstream.connections()
    );
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_in_time_is_a_504() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::hang());
    let upstream_url = upstream.url();
    let gateway =
        gateway_to(&format!("{{ targets: [{upstream_url:?}], timeouts: {{ request: 200ms }} }}")).await;
    for method in ["GET", "POST"] {
        let answer = gateway.https().call(method, "/").await;
        assert_problem(&answer, 504, "upstream_timed_out");
        assert_eq!(upstream.take().len(), 1, "{method}: asked again");
    }
    assert_problem(&gateway.https().get("/").over_http2().await, 504, "upstream_timed_out");
    gateway.wait_for_count("portcullis_upstream_failures_total", &[("kind", "timeout")], 3).await;
}

/// A connection is given its time whether it is TCP or TLS that does not come about.
#[tokio::test]
async fn a_connection_that_does_not_come_about_is_a_504() {
    let upstream = Upstream::start();
    let wire = FaultyProxy::to(upstream.address());
    wire.set(Fault::Hang).await;
    let target = format!("https://{}", wire.address());
    let gateway = gateway_to(&format!("{{ targets: [{target:?}], timeouts: {{ connect: 200ms }} }}")).await;
    assert_problem(&gateway.https().get("/").await, 504, "upstream_timed_out");
    upstream.assert_nothing();
}

/// A listener whose queue is full answers nothing at all.
#[tokio::test]
async fn a_connection_that_nobody_accepts_is_a_504() {
    let port = ReservedPort::take();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(port.address()).unwrap();
    let _listener = socket.listen(1).unwrap();
    let mut queue = Vec::new();
    while let Ok(Ok(waiting)) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(port.address())).await
    {
        queue.push(waiting);
    }
    let target = format!("http://{}", port.address());
    let gateway = gateway_to(&format!("{{ targets: [{target:?}], timeouts: {{ connect: 200ms }} }}")).await;
    assert_problem(&gateway.https().get("/").await, 504, "upstream_timed_out");
}

#[tokio::test]
async fn an_upstream_proves_who_it_is() {
    let certificate = Authority::shared().server(&["127.0.0.1", "orders.internal"]);
    let elsewhere = Authority::shared().server(&["elsewhere.internal"]);
    let right = Upstream::start_tls(server_config(&certificate, None, &["http/1.1"]));
    let wrong = Upstream::start_tls(server_config(&elsewhere, None, &[]));
    for (name, upstream, tls, status) in [
        ("the right authority", &right, "{ ca: ca.crt }", 200),
        ("and the name in the certificate", &right, "{ ca: ca.crt, server_name: orders.internal }", 200),
        ("another authority", &right, "{ ca: other.crt }", 502),
        ("another name than asked for", &right, "{ ca: ca.crt, server_name: billing.internal }", 502),
        ("a certificate for someone else", &wrong, "{ ca: ca.crt }", 502),
        ("someone else by its right name", &wrong, "{ ca: ca.crt, server_name: elsewhere.internal }", 200),
        ("the authorities of the system", &right, "{ server_name: orders.internal }", 502),
    ] {
        let url = upstream.url();
        let gateway = gateway_to(&format!("{{ targets: [{url:?}], tls: {tls} }}")).await;
        let answer = gateway.https().get("/").header("X-API-Key", "secret").await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        if status == 502 {
            assert_problem(&answer, 502, "upstream_failed");
            upstream.assert_nothing();
            gateway.wait_for_count("portcullis_upstream_failures_total", &[("kind", "tls")], 1).await;
        } else {
            upstream.take_one();
        }
    }
    assert!(right.server_names().contains(&Some("orders.internal".to_owned())));
}

/// Two upstreams at the same address that differ in whom they trust share no connection.
#[tokio::test]
async fn trust_is_not_shared_between_upstreams() {
    let certificate = Authority::shared().server(&["127.0.0.1"]);
    let upstream = Upstream::start_tls(server_config(&certificate, None, &["http/1.1"]));
    let gateway = Gateway::builder(
        r#"
        upstreams:
          good: { targets: ["{upstream}"], tls: { ca: ca.crt } }
          bad: { targets: ["{upstream}"], tls: { ca: other.crt } }
        routes:
          - { name: good, match: { path: /good }, auth: public, upstream: good }
          - { name: bad, match: { path: /bad }, auth: public, upstream: bad }
        "#,
    )
    .with("upstream", upstream.url())
    .file("ca.crt", Authority::shared().pem())
    .file("other.crt", Authority::new("Another Authority").pem())
    .start()
    .await;
    for _ in 0..3 {
        gateway.https().get("/good").await.assert_status(200);
        assert_problem(&gateway.https().get("/bad").await, 502, "upstream_failed");
    }
    assert!(upstream.requests().iter().all(|request| request.path() == "/good"));
}

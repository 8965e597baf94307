//! The end of the process: what was begun is finished, nothing new is begun, and the deadline is kept.

use std::time::Duration;

use crate::harness::background::servers;
use crate::harness::client::{Client, End, Failure, Load, Request};
use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::deadline::{eventually, within};
use crate::harness::gateway::{Gateway, GatewayBuilder};
use crate::harness::process::{Process, Signal, portcullis_command};
use crate::harness::upstream::{Answer, Upstream};

const YAML: &str = r#"
    listen: [{ address: "127.0.0.1:0", tls: true }, { address: "127.0.0.1:0", plaintext: true }]
    upstreams: { app: "{upstream}" }
    routes: [{ name: app, match: { path: /** }, auth: public, upstream: app }]
"#;

fn builder(upstream: &Upstream) -> GatewayBuilder {
    Gateway::builder(YAML).with("upstream", upstream.url())
}

/// Waits until the gateway has heard of its end.
async fn draining(gateway: &Gateway) {
    gateway.wait_for_log(|line| line.message.starts_with("draining")).await;
}

#[tokio::test]
async fn under_load_no_request_is_lost() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::ok("ok").after(Duration::from_millis(3)));
    let gateway = builder(&upstream).start().await;
    let loads = [
        Load::of(&gateway.https(), Request::get("/")).connections(4).rate(800.0).start(),
        Load::of(&gateway.http(), Request::get("/")).connections(4).start(),
        Load::of(&gateway.https(), Request::new("POST", "/").body("hello")).connections(2).start(),
    ];
    for load in &loads {
        load.wait_for_more(50).await;
    }
    gateway.signal(Signal::Terminate);
    for load in &loads {
        load.wait_for_refusal().await;
    }
    assert_eq!(gateway.ended().await.code(), Some(0));
    for load in loads {
        load.stop().await.assert_all(200);
    }
}

/// Connections that are made while the end begins are either refused or served.
#[tokio::test]
async fn no_connection_is_taken_and_dropped() {
    let upstream = Upstream::start();
    let gateway = builder(&upstream).start().await;
    let load =
        Load::of(&gateway.https(), Request::get("/")).connections(4).each_on_a_fresh_connection().start();
    load.wait_for_more(20).await;
    gateway.signal(Signal::Terminate);
    load.wait_for_refusal().await;
    assert_eq!(gateway.ended().await.code(), Some(0));
    load.stop().await.assert_all(200);
}

/// Over HTTP/2 the client is told by GOAWAY which requests will still be answered, and those are.
#[tokio::test]
async fn under_load_no_http2_request_is_lost() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::ok("ok").after(Duration::from_millis(3)));
    let gateway = builder(&upstream).start().await;
    let workers: Vec<_> = (0..4).map(|_| servers().spawn(ask_until_goaway(gateway.https()))).collect();
    gateway.wait_for_metric("portcullis_http_requests_total", &[], |count| count > 100.0).await;
    gateway.signal(Signal::Terminate);
    for worker in workers {
        let answered = within("the end of an HTTP/2 load", worker).await.unwrap();
        assert!(answered > 0);
    }
    assert_eq!(gateway.ended().await.code(), Some(0));
}

/// Asks on one connection until it takes no more requests. Every request that was sent must be answered.
async fn ask_until_goaway(client: Client) -> u32 {
    let mut http2 = client.http2().await;
    let mut answered = 0;
    loop {
        let Ok(mut stream) = http2.open_stream(&Request::get("/")).await else { break };
        if stream.finish().is_err() {
            break;
        }
        match stream.response().await {
            Ok(answer) => answer.assert_status(200),
            // The one failure that says that nothing was done with the request (RFC 9113 section 8.7).
            Err(failure) if failure.reason() == Some(h2::Reason::REFUSED_STREAM) => break,
            Err(failure) => panic!("request {answered}: {failure}"),
        };
        answered += 1;
    }
    // The gateway may have closed before it could read the client's last words, which is no loss to anybody.
    if let Err(failure) = http2.closed().await {
        assert_eq!(failure.reason(), None, "{failure}");
    }
    answered
}

/// Requests in flight are finished over HTTP/1.1, HTTP/2 and WebSocket, and no connection is reset at its end.
#[tokio::test]
async fn finishes_requests_in_flight_after_sigterm() {
    let upstream = Upstream::start();
    let events = upstream.events("/events");
    upstream.answer("/ws", Answer::websocket());
    let gateway = builder(&upstream).start().await;
    let mut idle = gateway.https().connect().await;
    idle.get("/").await.assert_status(200);
    let mut upload = gateway.https().connect().await;
    upload.write("POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello").await;
    let mut slow = gateway.http().connect().await;
    slow.write("GET /slow HTTP/1.1\r\nHo").await;
    let mut stream = gateway.https().connect().await;
    stream.write("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    stream.head_to("GET").await.assert_status(200);
    events.wait_for_subscribers(1).await;
    let mut socket = gateway.https().websocket("/ws", &[]).await.unwrap();
    let mut http2 = gateway.https().http2().await;
    let mut open = http2.open_stream(&Request::new("POST", "/h2")).await.unwrap();
    open.send(b"hello").await.unwrap();
    eventually("the uploads", || {
        let begun = |path: &str| upstream.requests().iter().any(|request| request.path() == path);
        (begun("/upload") && begun("/h2")).then_some(())
    })
    .await;

    gateway.signal(Signal::Terminate);
    draining(&gateway).await;
    // A connection that is idle is good for one more answer, which says that it is the last.
    let answer = idle.get("/last").await;
    assert_eq!((answer.status, answer.header("Connection")), (200, Some("close")));
    assert_eq!(idle.closed().await, End::Closed);
    slow.write("st: localhost\r\n\r\n").await;
    assert_eq!(slow.only_response().await.header("Connection"), Some("close"));
    let refused = |client: Client| async move {
        loop {
            if let Err(Failure::Refused(_)) = client.try_connect().await {
                return;
            }
        }
    };
    within("refused connections", async {
        refused(gateway.https()).await;
        refused(gateway.http()).await;
    })
    .await;
    let ready = gateway.admin().get("/readyz").await;
    assert_eq!((ready.status, ready.text()), (503, "not ready\ndraining: the process is shutting down\n"));
    gateway.admin().get("/healthz").await.assert_status(200);

    upload.write("world").await;
    let answer = upload.only_response().await;
    assert_eq!((answer.status, answer.header("Connection")), (200, Some("close")));
    open.send(b"world").await.unwrap();
    open.finish().unwrap();
    open.response().await.unwrap().assert_status(200);
    while open.data().await.unwrap().is_some() {}
    http2.closed().await.unwrap();
    for number in 0..3 {
        events.send(&format!("{number}"));
        assert_eq!(stream.content_until("\n\n").await, format!("data: {number}\n\n"));
        socket.echo("still there").await;
    }
    events.end();
    assert_eq!(stream.piece().await, None);
    stream.closed().await;
    assert!(gateway.process().ended().is_none(), "a WebSocket is still open");
    drop(socket);
    assert_eq!(gateway.ended().await.code(), Some(0));
    for path in ["/upload", "/h2"] {
        let requests = upstream.requests();
        let request = requests.iter().find(|request| request.path() == path).unwrap();
        assert_eq!(request.text(), "helloworld", "{path}");
    }
}

/// An answer that is on its way when the end begins says `Connection: close`, though its request came before.
#[tokio::test]
async fn an_answer_under_way_says_that_it_is_the_last() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::ok("ok").after(Duration::from_millis(200)));
    let gateway = builder(&upstream).start().await;
    let mut connections = [gateway.https().connect().await, gateway.http().connect().await];
    for connection in &mut connections {
        connection.write("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    }
    eventually("the requests", || (upstream.requests().len() == 2).then_some(())).await;
    gateway.signal(Signal::Terminate);
    for connection in &mut connections {
        let answer = connection.only_response().await;
        assert_eq!((answer.status, answer.header("Connection")), (200, Some("close")), "{answer:?}");
    }
    assert_eq!(gateway.ended().await.code(), Some(0));
}

/// The gateway's own refusals say it too.
#[tokio::test]
async fn a_refusal_says_that_it_is_the_last() {
    let gateway = Gateway::builder(
        r"
        upstreams: { app: builtin:echo }
        routes: [{ name: app, match: { path: /app }, auth: public, upstream: app }]
        ",
    )
    .start()
    .await;
    let mut connection = gateway.https().connect().await;
    connection.get("/app").await.assert_status(200);
    // A request that has begun is not hurried, however long it takes until the end is seen here.
    connection.write("GET /nowhere HTTP/1.1\r\n").await;
    gateway.signal(Signal::Terminate);
    draining(&gateway).await;
    connection.write("Host: localhost\r\n\r\n").await;
    let answer = connection.only_response().await;
    assert_eq!((answer.status, answer.header("Connection")), (404, Some("close")));
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_deadline_ends_what_does_not_end() {
    let upstream = Upstream::start();
    let events = upstream.events("/events");
    upstream.answer("/ws", Answer::websocket()).answer("/hang", Answer::hang());
    let gateway = builder(&upstream).argument("--drain").argument("300ms").start().await;
    let mut socket = gateway.https().websocket("/ws", &[]).await.unwrap();
    let mut hanging = gateway.https().connect().await;
    hanging.write("GET /hang HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut stream = gateway.http().connect().await;
    stream.write("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    stream.head_to("GET").await.assert_status(200);
    events.wait_for_subscribers(1).await;
    gateway.signal(Signal::Terminate);
    assert_eq!(gateway.ended().await.code(), Some(0));
    let line = gateway.wait_for_log(|line| line.message.starts_with("the deadline ends")).await;
    assert_eq!(line.message, "the deadline ends 3 connections");
    assert_eq!(socket.closed().await, None);
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::hang());
    for (first, second) in [(Signal::Terminate, Signal::Terminate), (Signal::Interrupt, Signal::Interrupt)] {
        let gateway = builder(&upstream).start().await;
        let mut hanging = gateway.https().connect().await;
        hanging.write("GET /hang HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        eventually("the request", || (!upstream.requests().is_empty()).then_some(())).await;
        upstream.take();
        gateway.signal(first);
        draining(&gateway).await;
        assert!(gateway.process().ended().is_none());
        gateway.signal(second);
        assert_eq!(gateway.ended().await.code(), Some(0));
        gateway.wait_for_log(|line| line.message.starts_with("a second signal ends 1")).await;
    }
}

#[tokio::test]
async fn an_idle_process_ends_at_once_and_says_so_in_the_access_log_no_more() {
    let upstream = Upstream::start();
    let gateway = builder(&upstream).start().await;
    gateway.https().get("/only").await.assert_status(200);
    assert_eq!(gateway.terminate().await.code(), Some(0));
    // The last lines are written before the end.
    assert_eq!(gateway.access_log().len(), 1);
    assert_eq!(gateway.access_log()[0]["path"], "/only");
}

/// A signal that comes before anything listens is not lost. The policy takes a while to read, and the signal is sent as
/// soon as the process would not die of it.
#[tokio::test]
async fn a_signal_at_the_very_start_is_honoured() {
    let keys: Vec<ApiKey> =
        (0..300).map(|at| ApiKey::from_text("acme", &format!("{at:040}")).id(&format!("k_{at}"))).collect();
    let keys = keys_yaml(&keys.iter().collect::<Vec<_>>());
    for signals in [&[Signal::Terminate][..], &[Signal::Interrupt], &[Signal::Hangup, Signal::Terminate]] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.yaml");
        std::fs::write(directory.path().join("keys.yaml"), &keys).unwrap();
        std::fs::write(&path, AT_START).unwrap();
        let process = Process::start(portcullis_command().args(["run", "--config"]).arg(&path));
        eventually("the process to listen to signals", || process.catches(signals).then_some(())).await;
        assert!(!process.stderr.text().contains("listening on"), "it listens to clients before signals");
        for signal in signals {
            process.signal(*signal);
        }
        let status = process.wait().await;
        assert_eq!(status.code(), Some(0), "{signals:?}: {}", process.stderr.text());
    }
}

const AT_START: &str = r#"
version: 1
listen: [{ address: "127.0.0.1:0", plaintext: true }]
admin: { address: "127.0.0.1:0" }
auth: { partners: { api_key: { keys: keys.yaml } } }
upstreams: { app: builtin:echo }
routes: [{ name: app, match: { path: / }, auth: partners, upstream: app }]
"#;

/// Requests that are one packet behind each other when the end begins: the first answer says `close`, and the second
/// request is either answered or visibly not begun.
#[tokio::test]
async fn a_connection_is_closed_after_the_answer_that_said_so() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::ok("ok").after(Duration::from_millis(100)));
    let gateway = builder(&upstream).start().await;
    let mut connection = gateway.http().connect().await;
    let request = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    connection.write(request.repeat(3)).await;
    eventually("the first request", || (!upstream.requests().is_empty()).then_some(())).await;
    gateway.signal(Signal::Terminate);
    let answer = connection.response().await;
    assert_eq!(answer.header("Connection"), Some("close"));
    connection.closed().await;
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert_eq!(upstream.requests().len(), 1);
}

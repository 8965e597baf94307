//! Clients that go away in the middle: the upstream is let go, the log has a line, and nothing is counted as under way.

use super::{gateway, is_at_rest};
use crate::harness::client::{Connection, Request};
use crate::harness::deadline::eventually;
use crate::harness::upstream::{Answer, Upstream};

/// How far each has come.
const STAGES: [(&str, &str); 5] = [
    ("/silent/head", "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("/silent/whole", "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody"),
    ("/silent/half", "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nbody"),
    (
        "/silent/chunk",
        "PUT {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n",
    ),
    ("/half", "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
];

/// Waits for the head of a request.
async fn has_come(upstream: &Upstream) {
    eventually("the head at the upstream", || (!upstream.requests().is_empty()).then_some(())).await;
}

/// The ways to go away.
const WAYS: [fn(Connection); 2] = [drop, Connection::reset];

#[tokio::test]
async fn a_client_that_goes_away_takes_its_request_along() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::hang().before_body());
    upstream.answer("/half", Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"));
    let gateway = gateway(upstream.url(), "{}").await;
    for (path, request) in STAGES {
        for (number, leave) in WAYS.into_iter().enumerate() {
            let path = if path == "/half" { path.to_owned() } else { format!("{path}/{number}") };
            let mut connection = gateway.https().connect().await;
            connection.write(request.replace("{path}", &path)).await;
            has_come(&upstream).await;
            leave(connection);
            let line = gateway.wait_for_access(|line| line["path"] == path).await;
            assert_eq!(line["outcome"], "public", "{line}");
            assert_eq!(line["status"].as_u64(), Some(if path == "/half" { 200 } else { 0 }), "{line}");
            eventually(format!("the end of {path} at the upstream"), || {
                (upstream.open_connections() == 0).then_some(())
            })
            .await;
            assert_eq!(upstream.take().len(), 1, "{path} was asked again");
        }
    }
    is_at_rest(&gateway).await;
    // Nothing of theirs is left for others.
    upstream.answer_otherwise(Answer::ok("ok"));
    assert_eq!(gateway.https().get("/after").await.text(), "ok");
}

/// The same over HTTP/2, whose streams are carried upstream over HTTP/1.1 too.
#[tokio::test]
async fn a_stream_that_is_reset_takes_its_request_along() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::hang().before_body());
    let gateway = gateway(upstream.url(), "{}").await;
    let connection = gateway.https().http2().await;
    for (number, begun) in [false, true].into_iter().enumerate() {
        let path = format!("/{number}");
        let request = Request::new("POST", &path);
        let mut stream = connection.open_stream(&request).await.unwrap();
        if begun {
            stream.send(b"body").await.unwrap();
        } else {
            stream.finish().unwrap();
        }
        has_come(&upstream).await;
        stream.reset(h2::Reason::CANCEL);
        let line = gateway.wait_for_access(|line| line["path"] == path).await;
        assert_eq!((line["status"].as_u64(), line["outcome"].as_str()), (Some(0), Some("public")), "{line}");
        eventually("the end at the upstream", || (upstream.open_connections() == 0).then_some(())).await;
        assert_eq!(upstream.take().len(), 1);
    }
    upstream.answer_otherwise(Answer::ok("ok"));
    assert_eq!(connection.get("/after").await.text(), "ok");
    drop(connection);
    is_at_rest(&gateway).await;
}

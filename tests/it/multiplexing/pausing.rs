//! Bodies over HTTP/2 that begin and do not go on: `body_timeout` is kept as over HTTP/1.1.

use std::time::Duration;

use super::{gateway, is_at_rest};
use crate::harness::client::Request;
use crate::harness::deadline::eventually;
use crate::harness::problem::assert_problem;
use crate::harness::upstream::{Answer, Upstream};

/// Far longer than a test waits, so that no other limit ends what this one has to.
const PATIENT: &str = "{ request: 10m }";

async fn is_let_go(upstream: &Upstream, what: &str) {
    eventually(format!("the end of {what} at the upstream"), || {
        (upstream.open_connections() == 0).then_some(())
    })
    .await;
}

/// A body of which nothing comes, or not all of it: the client is told so, and what the upstream has of it is never taken for
/// whole, nor its connection for one that can be used again.
#[tokio::test]
async fn a_body_that_pauses_is_a_408() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream.url(), "{ body_timeout: 300ms }", PATIENT).await;
    let connection = gateway.https().http2().await;
    for (path, length, pieces) in [
        ("/nothing", None, 0),
        ("/nothing/announced", Some("10"), 0),
        ("/half", None, 1),
        ("/half/announced", Some("10"), 1),
        ("/slow", None, 5),
    ] {
        let mut request = Request::new("POST", path);
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        let mut stream = connection.open_stream(&request).await.unwrap();
        for _ in 0..pieces {
            // Each pause is short enough, whatever they add up to.
            stream.send(b"x").await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut answer = stream.response().await.unwrap();
        while let Some(piece) = stream.data().await.unwrap() {
            answer.body.extend_from_slice(&piece);
        }
        assert_problem(&answer, 408, "request_timeout");
        is_let_go(&upstream, path).await;
        let received = upstream.take_one();
        assert!(!received.complete && received.body_length == pieces, "{received:?}");
        let line = gateway.wait_for_access(|line| line["path"] == path).await;
        assert_eq!((&line["status"], &line["reason"]), (&408.into(), &"request_timeout".into()), "{line}");
        assert_eq!(line["received_bytes"], pieces, "{line}");
    }
    let failed = gateway.metrics().await.count("portcullis_upstream_failures_total", &[]);
    assert_eq!(failed, 0, "the upstream is not to blame");
    // The connection is as good as before.
    connection.get("/after").await.assert_status(200);
    is_at_rest(&gateway).await;
}

/// The upstream has answered, and the client sends no more, and does not say so.
#[tokio::test]
async fn a_body_that_pauses_after_its_answer_holds_nothing() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::ok("early").before_body());
    let gateway = gateway(&upstream.url(), "{ body_timeout: 300ms }", PATIENT).await;
    let connection = gateway.https().http2().await;
    for number in 0..3 {
        let path = format!("/{number}");
        let mut stream = connection.open_stream(&Request::new("POST", &path)).await.unwrap();
        if number > 0 {
            stream.send(b"x").await.unwrap();
        }
        stream.response().await.unwrap().assert_status(200);
        assert_eq!(stream.data().await.unwrap().as_deref(), Some(&b"early"[..]));
        let line = gateway.wait_for_access(|line| line["path"] == path).await;
        assert_eq!(line["status"], 200, "{line}");
        is_let_go(&upstream, &path).await;
    }
    is_at_rest(&gateway).await;
    connection.get("/after").await.assert_status(200);
}

/// A client whose body is whole may wait for its answer as long as the upstream does.
#[tokio::test]
async fn a_body_that_is_whole_does_not_pause() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::ok("late").after(Duration::from_millis(900)));
    let gateway = gateway(&upstream.url(), "{ body_timeout: 200ms }", PATIENT).await;
    let connection = gateway.https().http2().await;
    for body in ["", "whole"] {
        for length in [None, Some(body.len().to_string())] {
            let mut request = Request::new("POST", "/");
            if let Some(length) = &length {
                request = request.header("content-length", length);
            }
            let mut stream = connection.open_stream(&request).await.unwrap();
            if !body.is_empty() {
                stream.send(body.as_bytes()).await.unwrap();
            }
            stream.finish().unwrap();
            stream.response().await.unwrap().assert_status(200);
            assert_eq!(upstream.take_one().text(), body);
        }
    }
}

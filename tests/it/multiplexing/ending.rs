//! How a connection over HTTP/2 ends: idle, at the end of the process, and with requests that are on their way.

use std::time::Duration;

use super::{gateway, head};
use crate::harness::client::{Frame, Frames, Outcome, kind};
use crate::harness::deadline::{eventually, within};
use crate::harness::process::Signal;
use crate::harness::upstream::{Answer, Upstream};

/// What a client that has to go hears first (RFC 9113 section 6.8).
const ALL: [u8; 4] = [0x7f, 0xff, 0xff, 0xff];

/// Reads up to the next `GOAWAY`, answers nothing, and returns its last stream.
async fn told_to_go(frames: &mut Frames) -> [u8; 4] {
    loop {
        let Frame { kind, payload, .. } = frames.next().await.expect("a GOAWAY before the end");
        if kind == kind::GOAWAY {
            assert_eq!(payload[4..8], [0; 4], "an error");
            return payload[..4].try_into().unwrap();
        }
    }
}

async fn ends(frames: &mut Frames) {
    while frames.next().await.is_some() {}
}

/// An idle client is told, and what it sends before it has heard is answered; then the connection ends, whether it answers
/// to `PING` or not.
#[tokio::test]
async fn an_idle_client_is_told_to_go() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream.url(), "{ idle_timeout: 400ms }", "{}").await;
    for used in [false, true] {
        for answers in [false, true] {
            let mut frames = gateway.https().frames().await;
            if used {
                frames.headers(1, &head("GET", "/x"), true).await;
                assert_eq!(frames.outcome(1).await, Outcome::Answered(200, b"ok".to_vec()));
            }
            assert_eq!(told_to_go(&mut frames).await, ALL, "{used} {answers}");
            frames.headers(3, &head("GET", "/late"), true).await;
            if answers {
                assert_eq!(frames.outcome(3).await, Outcome::Answered(200, b"ok".to_vec()));
            }
            ends(&mut frames).await;
            let late = || upstream.requests().iter().any(|request| request.path() == "/late").then_some(());
            eventually("the late request", late).await;
            upstream.take();
        }
    }
    gateway.wait_for_metric("portcullis_connections", &[], |open| open < 0.5).await;
}

/// Who asks whether the gateway is there asks for nothing.
#[tokio::test]
async fn pings_and_settings_keep_no_connection_open() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream.url(), "{ idle_timeout: 500ms }", "{}").await;
    let mut frames = gateway.https().frames().await;
    within("the end of an idle connection", async {
        let mut told = false;
        loop {
            frames.frame(kind::PING, 0, 0, b"8 bytes!").await;
            frames.frame(kind::SETTINGS, 0, 0, &[]).await;
            frames.frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            match frames.next().await {
                None => break,
                Some(frame) => told |= frame.kind == kind::GOAWAY,
            }
        }
        assert!(told, "it was not told");
    })
    .await;
}

/// A stream that is open keeps its connection, however long nothing is said on it.
#[tokio::test]
async fn a_connection_with_a_request_is_not_idle() {
    let upstream = Upstream::start();
    let events = upstream.events("/events");
    let gateway = gateway(&upstream.url(), "{ idle_timeout: 200ms }", "{}").await;
    let mut frames = gateway.https().frames().await;
    frames.headers(1, &head("GET", "/events"), true).await;
    events.wait_for_subscribers(1).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    events.send("still here");
    events.end();
    let outcome = frames.outcome(1).await;
    assert_eq!(outcome, Outcome::Answered(200, b"data: still here\n\n".to_vec()));
    assert_eq!(told_to_go(&mut frames).await, ALL);
    ends(&mut frames).await;
}

/// The end of the process: idle clients are told and leave; one that says nothing does not hold it up.
#[tokio::test]
async fn a_client_that_does_not_leave_does_not_hold_up_the_end() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream.url(), "{ idle_timeout: 10m }", "{}").await;
    let mut silent = gateway.https().frames().await;
    let mut used = gateway.https().frames().await;
    used.headers(1, &head("GET", "/x"), true).await;
    assert_eq!(used.outcome(1).await, Outcome::Answered(200, b"ok".to_vec()));
    gateway.signal(Signal::Terminate);
    assert_eq!(told_to_go(&mut silent).await, ALL);
    assert_eq!(told_to_go(&mut used).await, ALL);
    used.headers(3, &head("GET", "/late"), true).await;
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert!(upstream.requests().iter().any(|request| request.path() == "/late"));
}

/// A client that agrees on HTTP/2 while the process ends is told at once, and is answered what it asks before it hears it.
#[tokio::test]
async fn a_client_that_comes_at_the_last_moment() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream.url(), "{}", "{}").await;
    let mut connection = gateway.https().connect_for_http2().await;
    gateway.signal(Signal::Terminate);
    gateway.wait_for_log(|line| line.message.starts_with("draining")).await;
    let request = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], b"\0\0\0\x04\0\0\0\0\0"].concat();
    connection.write(request).await;
    let mut received = Vec::new();
    while let Some(bytes) = connection.some_bytes().await {
        received.extend(bytes);
    }
    // GOAWAY with the largest identifier of a stream, and no error.
    let told = [&[0, 0, 8, kind::GOAWAY, 0, 0, 0, 0, 0][..], &ALL, &[0; 4]].concat();
    assert!(received.windows(told.len()).any(|window| window == told), "{received:?}");
    assert_eq!(gateway.ended().await.code(), Some(0));
}

/// What was begun is finished and is in the log, also that of a client that goes away at the same time.
#[tokio::test]
async fn the_log_is_whole_at_the_end() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::hang());
    for _ in 0..5 {
        let gateway = gateway(&upstream.url(), "{}", "{}").await;
        let mut frames = gateway.https().frames().await;
        for number in 0..50_u32 {
            frames.headers(number * 2 + 1, &head("GET", "/x"), true).await;
        }
        eventually("all requests", || (upstream.requests().len() == 50).then_some(())).await;
        upstream.take();
        gateway.signal(Signal::Terminate);
        gateway.wait_for_log(|line| line.message.starts_with("draining")).await;
        for number in 0..50_u32 {
            frames.frame(kind::RST_STREAM, 0, number * 2 + 1, &[0, 0, 0, 8]).await;
        }
        drop(frames);
        assert_eq!(gateway.ended().await.code(), Some(0));
        assert_eq!(gateway.access_log().len(), 50);
    }
}

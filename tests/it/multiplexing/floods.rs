//! What one connection over HTTP/2 can cost, where upstreams are spoken to by the library as where they are not.

use std::time::Duration;

use tokio::time::timeout;

use super::{gateway, head, is_at_rest, read_so_far, upstreams};
use crate::harness::client::{Frames, Outcome, encode as frame, flag, kind, literal};
use crate::harness::deadline::eventually;
use crate::harness::gateway::Gateway;
use crate::harness::upstream::{Answer, Upstream};

fn request(method: &str, stream: u32, flags: u8) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS | flags, stream, &head(method, "/flood"))
}

/// Reads up to the end, and returns with which error it was told, if it was.
async fn told_why(frames: &mut Frames) -> Option<u8> {
    let mut why = None;
    while let Some(frame) = frames.next().await {
        if frame.kind == kind::GOAWAY {
            why = frame.payload.get(7).copied();
        }
    }
    why
}

async fn others_are_served(gateway: &Gateway) {
    gateway.https().get("/after").over_http2().await.assert_status(200);
    gateway.wait_for_metric("portcullis_connections", &[], |open| open < 0.5).await;
    is_at_rest(gateway).await;
}

/// Streams that are opened only to be reset, by the client (CVE-2023-44487), or by the gateway because of what follows
/// (`MadeYouReset`, CVE-2025-8671), of requests that are let through.
#[tokio::test]
async fn streams_that_are_reset_without_number() {
    type Reset = fn(u32) -> Vec<u8>;
    let ways: [(&str, &str, u8, Reset); 5] = [
        ("taken back", "GET", flag::END_STREAM, |stream| frame(kind::RST_STREAM, 0, stream, &[0, 0, 0, 8])),
        ("no window", "POST", 0, |stream| frame(kind::WINDOW_UPDATE, 0, stream, &[0; 4])),
        ("too much window", "POST", 0, |stream| {
            frame(kind::WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff])
        }),
        ("its own parent", "POST", 0, |stream| {
            frame(2, 0, stream, &[&stream.to_be_bytes()[..], &[1]].concat())
        }),
        ("content after the end", "GET", flag::END_STREAM, |stream| frame(kind::DATA, 0, stream, b"x")),
    ];
    for upstream in upstreams() {
        upstream.answer("/flood", Answer::hang());
        let gateway = gateway(&upstream.url(), "{}", "{}").await;
        for (what, method, flags, reset) in ways {
            for pause in [1, 100] {
                let mut frames = gateway.https().frames().await;
                for begin in (0..5000_u32).step_by(pause) {
                    let streams = (begin..).take(pause).map(|number| number * 2 + 1);
                    let opened: Vec<u8> =
                        streams.clone().flat_map(|stream| request(method, stream, flags)).collect();
                    let resets: Vec<u8> = streams.flat_map(reset).collect();
                    frames.raw(&[opened, resets].concat()).await;
                }
                assert!(told_why(&mut frames).await != Some(0), "{what}: it was not ended for it");
                others_are_served(&gateway).await;
            }
        }
        let reached = upstream.requests().iter().filter(|request| request.path() == "/flood").count();
        assert!(reached < 2500, "{reached} of 50000 requests reached the upstream");
    }
}

/// Requests that contradict themselves are refused one by one, up to a number; then the client is told to calm down.
#[tokio::test]
async fn requests_that_contradict_themselves() {
    for upstream in upstreams() {
        let gateway = gateway(&upstream.url(), "{}", "{}").await;
        let mut frames = gateway.https().frames().await;
        let malformed = [head("POST", "/flood"), literal("host", "elsewhere")].concat();
        for number in 0..31_u32 {
            frames.headers(number * 4 + 1, &malformed, true).await;
            assert_eq!(frames.outcome(number * 4 + 1).await, Outcome::Answered(400, Vec::new()), "{number}");
            // What means well in between is served, and pays for nothing.
            frames.headers(number * 4 + 3, &head("GET", "/good"), true).await;
            assert_eq!(frames.outcome(number * 4 + 3).await, Outcome::Answered(200, b"ok".to_vec()));
        }
        frames.headers(201, &malformed, true).await;
        assert_eq!(told_why(&mut frames).await, Some(11), "ENHANCE_YOUR_CALM");
        others_are_served(&gateway).await;
        assert!(upstream.requests().iter().all(|request| request.path() != "/flood"));
    }
}

/// Small answers without number that nobody reads: the gateway stops asking for them, and ends the connection in time.
#[tokio::test]
async fn small_answers_that_nobody_reads() {
    for upstream in upstreams() {
        upstream.answer("/flood", Answer::ok(vec![b'x'; 8 << 10]));
        let gateway = gateway(&upstream.url(), "{ body_timeout: 500ms, idle_timeout: 500ms }", "{}").await;
        let mut frames = gateway.https().frames().await;
        // Windows of the largest size, so that only the connection is full.
        frames.frame(kind::SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]).await;
        frames.frame(kind::WINDOW_UPDATE, 0, 0, &[0x70, 0, 0, 0]).await;
        let mut number = 0;
        // As much as is taken.
        while number < 100_000 {
            let requests: Vec<u8> = (number..number + 50)
                .flat_map(|number| request("GET", number * 2 + 1, flag::END_STREAM))
                .collect();
            if timeout(Duration::from_secs(1), frames.raw(&requests)).await.is_err() {
                break;
            }
            number += 50;
        }
        gateway.wait_for_metric("portcullis_connections", &[], |open| open < 0.5).await;
        is_at_rest(&gateway).await;
        gateway.https().get("/after").over_http2().await.assert_status(200);
    }
}

/// As many requests at once as there may be, each with as large a head as there may be.
#[tokio::test]
async fn large_heads_on_all_streams() {
    let upstream = Upstream::start();
    upstream.answer("/flood", Answer::hang());
    let gateway = gateway(&upstream.url(), "{}", "{}").await;
    gateway.https().get("/before").over_http2().await.assert_status(200);
    let before = gateway.rss_bytes();
    let mut frames = gateway.https().frames().await;
    for number in 0..100_u32 {
        let mut block = head("GET", "/flood");
        block.extend(literal("x-large", "x".repeat(30 << 10)));
        let (first, rest) = block.split_at(16 << 10);
        frames.frame(kind::HEADERS, flag::END_STREAM, number * 2 + 1, first).await;
        frames.frame(kind::CONTINUATION, flag::END_HEADERS, number * 2 + 1, rest).await;
    }
    read_so_far(&mut frames).await;
    eventually("all of them at the upstream", || {
        (upstream.requests().iter().filter(|request| request.path() == "/flood").count() == 100).then_some(())
    })
    .await;
    let during = gateway.rss_bytes();
    assert!(during < before + (32 << 20), "{before} and then {during} bytes");
    drop(frames);
    others_are_served(&gateway).await;
}

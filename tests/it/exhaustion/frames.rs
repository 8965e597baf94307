//! HTTP/2 connections on which frames come without number (D02).

use std::time::Duration;

use super::{gateway, most_memory, others_are_served};
use crate::harness::client::{Frames, Outcome, block, encode as frame, flag, kind, literal};
use crate::harness::credentials::ApiKey;
use crate::harness::upstream::{Answer, Upstream};

/// How much memory a flood may take, of which the client's own part is in another process.
const MORE: u64 = 48 << 20;

/// One kind of flood.
struct Flood {
    what: &'static str,
    /// Sent once, before all others.
    first: Vec<u8>,
    /// The frames with this number, counted from 0.
    each: fn(u32) -> Vec<u8>,
    count: u32,
    /// Whether the connection has to end by it; otherwise it may.
    ends: bool,
}

fn request(method: &str) -> Vec<u8> {
    block(&[(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", "/v1/flood")])
}

fn headers(stream: u32, method: &str, flags: u8) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS | flags, stream, &request(method))
}

fn floods() -> Vec<Flood> {
    vec![
        // Rapid reset, CVE-2023-44487.
        Flood {
            what: "requests that are taken back at once",
            first: Vec::new(),
            each: |number| {
                let stream = number * 2 + 1;
                [headers(stream, "GET", flag::END_STREAM), frame(kind::RST_STREAM, 0, stream, &[0, 0, 0, 8])]
                    .concat()
            },
            count: 20_000,
            ends: true,
        },
        // MadeYouReset, CVE-2025-8671 and RUSTSEC-2025-0070: the server is made to take them back itself.
        Flood {
            what: "requests that the gateway has to reset",
            first: Vec::new(),
            each: |number| {
                let stream = number * 2 + 1;
                [headers(stream, "POST", 0), frame(kind::WINDOW_UPDATE, 0, stream, &[0, 0, 0, 0])].concat()
            },
            count: 20_000,
            ends: true,
        },
        // The same by a body that is longer than was announced to be over.
        Flood {
            what: "content after the end",
            first: Vec::new(),
            each: |number| {
                let stream = number * 2 + 1;
                [headers(stream, "GET", flag::END_STREAM), frame(kind::DATA, 0, stream, b"x")].concat()
            },
            count: 20_000,
            ends: true,
        },
        // RUSTSEC-2024-0332.
        Flood {
            what: "a head that does not end",
            first: frame(kind::HEADERS, flag::END_STREAM, 1, &request("GET")),
            each: |_| frame(kind::CONTINUATION, 0, 1, &literal("x-more", "x".repeat(1000))),
            count: 50_000,
            ends: true,
        },
        Flood {
            what: "a head that does not end in pieces without content",
            first: frame(kind::HEADERS, flag::END_STREAM, 1, &request("GET")),
            each: |_| frame(kind::CONTINUATION, 0, 1, &[]),
            count: 100_000,
            ends: true,
        },
        // CVE-2019-9518 and RUSTSEC-2026-0258.
        Flood {
            what: "content without content",
            first: headers(1, "POST", 0),
            each: |_| frame(kind::DATA, 0, 1, &[]),
            count: 100_000,
            ends: true,
        },
        // CVE-2019-9515.
        Flood {
            what: "settings",
            first: Vec::new(),
            each: |number| frame(kind::SETTINGS, 0, 0, &[&[0, 3], &number.to_be_bytes()[..]].concat()),
            count: 50_000,
            ends: false,
        },
        // CVE-2019-9512.
        Flood {
            what: "pings",
            first: Vec::new(),
            each: |_| frame(kind::PING, 0, 0, b"8 bytes!"),
            count: 100_000,
            ends: false,
        },
        Flood {
            what: "windows",
            first: Vec::new(),
            each: |_| frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
            count: 100_000,
            ends: false,
        },
        // CVE-2019-9513.
        Flood {
            what: "priorities",
            first: Vec::new(),
            each: |number| frame(2, 0, number * 2 + 1, &[0, 0, 0, 0, 1]),
            count: 100_000,
            ends: false,
        },
        Flood {
            what: "frames of no known kind",
            first: Vec::new(),
            each: |_| frame(0xfa, 0, 0, &[0; 100]),
            count: 100_000,
            ends: false,
        },
    ]
}

/// Whether the connection has ended, by a word or without one. Only called when it must.
async fn has_ended(frames: &mut Frames) -> bool {
    while let Some(frame) = frames.next().await {
        if frame.kind == kind::GOAWAY && frame.payload.get(4..8) != Some(&[0; 4]) {
            return true;
        }
    }
    true
}

/// D02: frames without number end the connection, or are merely read; they take no memory and nothing from others.
#[tokio::test]
async fn floods_of_frames() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    let gateway = gateway(&upstream, &key, "{ idle_timeout: 75s }").await;
    others_are_served(&gateway, &key).await;
    for Flood { what, first, each, count, ends } in floods() {
        let before = most_memory(&gateway);
        let mut frames = gateway.https().frames().await;
        frames.raw(&first).await;
        for begin in (0..count).step_by(500) {
            let piece: Vec<u8> = (begin..begin + 500).flat_map(each).collect();
            frames.raw(&piece).await;
        }
        if ends {
            assert!(has_ended(&mut frames).await, "{what}");
        }
        others_are_served(&gateway, &key).await;
        drop(frames);
        let after = most_memory(&gateway);
        assert!(after < before + MORE, "{what}: {before} and then {after} bytes");
    }
    // Nobody was let in by it.
    assert!(upstream.take().iter().all(|request| request.path() == "/v1/a"));
    gateway.wait_for_metric("portcullis_connections", &[], |open| open < 0.5).await;
}

/// Rapid reset with a good credential: the upstream is not flooded in its turn.
#[tokio::test]
async fn requests_that_are_taken_back_do_not_flood_the_upstream() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    upstream.answer("/v1/flood", Answer::hang());
    let gateway = gateway(&upstream, &key, "{ idle_timeout: 75s }").await;
    let mut frames = gateway.https().frames().await;
    let mut head = request("GET");
    head.extend(literal("x-api-key", &key.key));
    for begin in (0..10_000_u32).step_by(100) {
        let piece: Vec<u8> = (begin..begin + 100)
            .flat_map(|number| {
                let stream = number * 2 + 1;
                let head = frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &head);
                [head, frame(kind::RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
            })
            .collect();
        frames.raw(&piece).await;
    }
    assert!(has_ended(&mut frames).await);
    others_are_served(&gateway, &key).await;
    let flood = upstream.requests().iter().filter(|request| request.path() == "/v1/flood").count();
    assert!(flood <= 200, "{flood} of 10000 requests reached the upstream");
}

/// An HPACK bomb (CVE-2016-6581): a large field that is put into the table once and referred to thousands of times.
#[tokio::test]
async fn a_small_head_that_unpacks_to_a_large_one() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    let gateway = gateway(&upstream, &key, "{ idle_timeout: 75s }").await;
    others_are_served(&gateway, &key).await;
    let before = most_memory(&gateway);
    let mut head = request("GET");
    // A literal with indexing (RFC 7541 section 6.2.1) that fills the table, and references to entry 62.
    let mut large = literal("x-bomb", "x".repeat(4000));
    large[0] = 0x40;
    head.extend(large);
    head.extend([0xbe; 12_000]);
    for _ in 0..20 {
        let mut frames = gateway.https().frames().await;
        frames.headers(1, &head, true).await;
        let outcome = frames.outcome(1).await;
        assert!(!matches!(outcome, Outcome::Answered(200..=299, _)), "{outcome:?}");
    }
    others_are_served(&gateway, &key).await;
    let after = most_memory(&gateway);
    assert!(after < before + MORE, "{before} and then {after} bytes");
    assert!(upstream.take().iter().all(|request| request.path() == "/v1/a"));
}

/// How many requests may be under way on a connection (RFC 9113 section 5.1.2).
async fn most_streams(frames: &mut Frames) -> Option<u32> {
    while let Some(frame) = frames.next().await {
        if frame.kind == kind::SETTINGS && frame.flags & flag::ACK == 0 {
            let mut most = frame.payload.chunks_exact(6).filter(|setting| setting[..2] == [0, 3]);
            return Some(u32::from_be_bytes(most.next()?[2..].try_into().unwrap()));
        }
    }
    None
}

/// A new number of streams holds for new connections; those that are open were told another one.
#[tokio::test]
async fn another_number_of_streams_is_for_other_connections() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    let gateway = gateway(&upstream, &key, "{ http2_streams: 10 }").await;
    let mut before = gateway.https().frames().await;
    assert_eq!(most_streams(&mut before).await, Some(10));
    let yaml = std::fs::read_to_string(gateway.path("gateway.yaml")).unwrap();
    gateway.reload_with(&yaml.replace("http2_streams: 10", "http2_streams: 20")).await;
    let mut after = gateway.https().frames().await;
    assert_eq!(most_streams(&mut after).await, Some(20));
    before.headers(1, &request("GET"), true).await;
    assert!(matches!(before.outcome(1).await, Outcome::Answered(401, _)));
    upstream.assert_nothing();
}

/// Streams that stay open are counted: there is a limit for each connection, and another connection has its own.
#[tokio::test]
async fn streams_that_stay_open() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    upstream.answer("/v1/flood", Answer::ok("late").after(Duration::from_secs(600)));
    let gateway = gateway(&upstream, &key, "{ http2_streams: 10 }").await;
    let mut frames = gateway.https().frames().await;
    let mut head = request("GET");
    head.extend(literal("x-api-key", &key.key));
    for number in 0..400_u32 {
        frames.headers(number * 2 + 1, &head, true).await;
    }
    // REFUSED_STREAM (7), or the connection ends.
    let last = frames.outcome(799).await;
    assert!(matches!(last, Outcome::Reset(7) | Outcome::GoAway(_) | Outcome::Closed), "{last:?}");
    let open = upstream.requests().iter().filter(|request| request.path() == "/v1/flood").count();
    assert!(open <= 10, "{open} requests at once from one connection");
    others_are_served(&gateway, &key).await;
}

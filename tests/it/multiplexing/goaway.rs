//! RFC 9113 section 6.8: a connection ends with two `GOAWAY` frames, and no frame that a client does not expect.

use std::time::Duration;

use tokio::time::sleep;

use super::{gateway, head};
use crate::harness::client::{End, Frame, Frames, Outcome, flag, kind};
use crate::harness::deadline::{eventually, within_time};
use crate::harness::gateway::Gateway;
use crate::harness::process::Signal;
use crate::harness::programs::python;
use crate::harness::upstream::{Answer, Upstream};

/// The stream identifier of the first `GOAWAY`.
const HIGHEST: u32 = 0x7fff_ffff;

/// A client that is a program of its own may take long to start on a busy machine.
const CLIENT: Duration = Duration::from_secs(60);

/// Reads everything up to the end of the connection, and answers nothing.
async fn rest(frames: &mut Frames) -> Vec<Frame> {
    let mut all = Vec::new();
    while let Some(frame) = frames.next().await {
        all.push(frame);
    }
    all
}

/// Drops the frames before the first `GOAWAY`.
fn since_goaway(all: &[Frame]) -> &[Frame] {
    let first = all.iter().position(|frame| frame.kind == kind::GOAWAY).expect("a GOAWAY");
    &all[first..]
}

/// The last stream of a `GOAWAY` without an error.
#[track_caller]
fn last_stream(frame: &Frame) -> u32 {
    assert_eq!((frame.kind, frame.flags, frame.stream), (kind::GOAWAY, 0, 0), "{frame:?}");
    assert_eq!(frame.payload[4..], [0; 4], "no error and no data: {frame:?}");
    u32::from_be_bytes(frame.payload[..4].try_into().unwrap())
}

async fn start(upstream: &Upstream, limits: &str) -> Gateway {
    gateway(&upstream.url(), limits, "{}").await
}

/// An idle connection, whether it is closed for being idle or at the end of the process: `GOAWAY` with the highest stream,
/// `GOAWAY` with the last stream, and the end. Python's h2 rejects every other frame in between (python-hyper/h2#1181).
#[tokio::test]
async fn sends_goaway_twice_and_no_other_frame() {
    let upstream = Upstream::start();
    for (limits, ends) in [("{ idle_timeout: 300ms }", false), ("{ idle_timeout: 10m }", true)] {
        for used in [0, 1, 2] {
            let gateway = start(&upstream, limits).await;
            let mut frames = gateway.https().frames().await;
            for request in 0..used {
                frames.headers(2 * request + 1, &head("GET", "/x"), true).await;
                assert_eq!(frames.outcome(2 * request + 1).await, Outcome::Answered(200, b"ok".to_vec()));
            }
            if ends {
                gateway.signal(Signal::Terminate);
            }
            let all = rest(&mut frames).await;
            let end = since_goaway(&all);
            let last = if used == 0 { 0 } else { 2 * used - 1 };
            let streams: Vec<u32> = end.iter().map(last_stream).collect();
            assert_eq!(streams, [HIGHEST, last], "{end:?}");
            drop(frames);
            if ends {
                assert_eq!(gateway.ended().await.code(), Some(0));
            }
        }
    }
}

/// What a client sends after the first `GOAWAY` is answered before the last one, and nothing follows that.
#[tokio::test]
async fn sends_no_frame_after_the_last_goaway() {
    let upstream = Upstream::start();
    let gateway = start(&upstream, "{ idle_timeout: 10m }").await;
    let mut frames = gateway.https().frames().await;
    frames.headers(1, &head("GET", "/x"), true).await;
    assert_eq!(frames.outcome(1).await, Outcome::Answered(200, b"ok".to_vec()));
    gateway.signal(Signal::Terminate);
    let mut streams = Vec::new();
    let mut is_acknowledged = false;
    while let Some(frame) = frames.next().await {
        match frame.kind {
            kind::GOAWAY => streams.push(last_stream(&frame)),
            kind::PING if streams.len() == 1 && frame.flags & flag::ACK != 0 => is_acknowledged = true,
            other => assert!(streams.is_empty(), "a frame of type {other} after GOAWAY: {streams:?}"),
        }
        // Also after the last one, when the gateway discards what comes.
        frames.frame(kind::PING, 0, 0, b"anything").await;
    }
    assert_eq!(streams, [HIGHEST, 1]);
    assert!(is_acknowledged);
    drop(frames);
    assert_eq!(gateway.ended().await.code(), Some(0));
}

/// A response in flight is sent before the first `GOAWAY`, because some clients give it up then.
#[tokio::test]
async fn waits_for_requests_in_flight_before_goaway() {
    let upstream = Upstream::start();
    upstream.answer("/slow", Answer::ok("slow").after(Duration::from_millis(200)));
    let gateway = start(&upstream, "{ idle_timeout: 10m }").await;
    let mut frames = gateway.https().frames().await;
    frames.headers(1, &head("GET", "/slow"), true).await;
    eventually("the request", || (!upstream.requests().is_empty()).then_some(())).await;
    gateway.signal(Signal::Terminate);
    let all = rest(&mut frames).await;
    let is_end = |frame: &Frame| frame.stream == 1 && frame.flags & flag::END_STREAM != 0;
    let response = all.iter().position(is_end).expect("the end of the response");
    let goaway = all.iter().position(|frame| frame.kind == kind::GOAWAY).unwrap();
    assert!(response < goaway, "{all:?}");
    assert_eq!(since_goaway(&all).iter().map(last_stream).collect::<Vec<_>>(), [HIGHEST, 1]);
}

/// A stream that goes on is not waited for: it continues after the first `GOAWAY`. New streams are served for a second and
/// refused after that, so that their requests can be sent elsewhere, and the last `GOAWAY` comes when the stream has ended.
#[tokio::test]
async fn continues_a_long_stream_after_goaway_and_refuses_new_ones() {
    let upstream = Upstream::start();
    let events = upstream.events("/events");
    let gateway = start(&upstream, "{ idle_timeout: 10m }").await;
    let mut frames = gateway.https().frames().await;
    frames.headers(1, &head("GET", "/events"), true).await;
    events.wait_for_subscribers(1).await;
    gateway.signal(Signal::Terminate);
    loop {
        let frame = frames.next().await.expect("a GOAWAY");
        if frame.kind == kind::GOAWAY {
            assert_eq!(last_stream(&frame), HIGHEST);
            break;
        }
    }
    let mut stream = 3;
    let refused = loop {
        frames.headers(stream, &head("GET", "/late"), true).await;
        match frames.outcome(stream).await {
            Outcome::Answered(200, _) => stream += 2,
            outcome => break outcome,
        }
        sleep(Duration::from_millis(20)).await;
    };
    // REFUSED_STREAM: nothing was done with the request.
    assert_eq!(refused, Outcome::Reset(7));
    assert!(stream > 3, "the first one came within the round trip");
    events.send("still here");
    events.end();
    let all = rest(&mut frames).await;
    let data: Vec<u8> =
        all.iter().filter(|frame| frame.stream == 1).flat_map(|frame| frame.payload.clone()).collect();
    assert_eq!(String::from_utf8_lossy(&data), "data: still here\n\n");
    let end: Vec<u32> = since_goaway(&all).iter().map(last_stream).collect();
    assert_eq!(end, [stream], "{all:?}");
    drop(frames);
    assert_eq!(gateway.ended().await.code(), Some(0));
}

/// A client that has not closed its side yet can write without an error, and reads everything: a connection that is closed
/// with unread data would be reset.
#[tokio::test]
async fn keeps_reading_until_the_client_closes_its_side() {
    let upstream = Upstream::start();
    let gateway = start(&upstream, "{ idle_timeout: 10m }").await;
    let mut frames = gateway.https().frames().await;
    gateway.signal(Signal::Terminate);
    let mut goaways = 0;
    while goaways < 2 {
        let frame = frames.next().await.expect("two GOAWAY");
        goaways += usize::from(frame.kind == kind::GOAWAY);
    }
    for _ in 0..3 {
        frames.frame(kind::PING, 0, 0, b"anything").await;
    }
    assert_eq!(frames.ended().await, End::Closed);
    drop(frames);
    assert_eq!(gateway.ended().await.code(), Some(0));
}

/// A client that treats every frame after a `GOAWAY` as an error (python-hyper/h2#1181) gets the response to its request in
/// flight.
#[tokio::test]
async fn httpx_receives_its_response_when_the_process_ends() {
    const SCRIPT: &str = "
import os, sys, httpx
with httpx.Client(http2=True, verify=os.environ['CA'], timeout=30) as client:
    for path in ['/first', '/slow']:
        response = client.get(sys.argv[1] + path)
        print(response.http_version, response.status_code, response.text)
";
    let upstream = Upstream::start();
    upstream.answer("/slow", Answer::ok("slow").after(Duration::from_millis(300)));
    let gateway = start(&upstream, "{ idle_timeout: 10m }").await;
    let url = format!("https://localhost:{}", gateway.https_port(0));
    let arguments = [&*url];
    let end = async {
        let begun = || upstream.requests().iter().any(|request| request.path() == "/slow").then_some(());
        within_time(CLIENT, "the request", async {
            while begun().is_none() {
                sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        gateway.signal(Signal::Terminate);
    };
    let (finished, ()) = tokio::join!(python(SCRIPT, &arguments), end);
    finished.assert_success();
    assert_eq!(finished.stdout, "HTTP/2 200 ok\nHTTP/2 200 slow\n");
    assert_eq!(gateway.ended().await.code(), Some(0));
}

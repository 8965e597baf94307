//! The load generator, against upstreams that fail in known ways.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::harness::client::{Client, Failure, Load, Report, Request};
use crate::harness::upstream::{Answer, Upstream};

#[tokio::test]
async fn every_answer_is_counted() {
    let upstream = Upstream::start();
    let client = Client::plain(upstream.address());
    let load = Load::of(&client, Request::get("/")).connections(3).start();
    load.wait_for_more(100).await;
    let report = load.stop().await;
    report.assert_all(200);
    assert_eq!(report.answered(), upstream.requests().len() as u64);
    assert_eq!((report.connections, report.refused), (3, 0));
    assert!(report.percentile(0.5) <= report.percentile(0.99) && report.percentile(1.0) > Duration::ZERO);
}

#[tokio::test]
async fn connection_close_is_honoured() {
    let upstream = Upstream::start();
    upstream.answer("/", Answer::ok("bye").closing());
    let client = Client::plain(upstream.address());
    let load = Load::of(&client, Request::get("/")).start();
    load.wait_for_more(20).await;
    let report = load.stop().await;
    report.assert_all(200);
    assert_eq!(report.connections, report.answered());
    let load = Load::of(&client, Request::get("/other")).each_on_a_fresh_connection().start();
    load.wait_for_more(20).await;
    let report = load.stop().await;
    assert_eq!(report.connections, report.answered());
}

#[tokio::test]
async fn a_lost_request_is_told_from_a_refused_connection() {
    let upstream = Upstream::start();
    let client = Client::plain(upstream.address());
    // Every tenth request is lost half way.
    let counter = AtomicU64::new(0);
    upstream.answer(
        "/",
        Answer::from_fn(move |_| {
            let tenth = counter.fetch_add(1, Ordering::SeqCst) % 10 == 9;
            if tenth { Answer::half("a") } else { Answer::ok("a") }
        }),
    );
    let load = Load::of(&client, Request::get("/")).connections(1).start();
    load.wait_for_more(40).await;
    let report = load.stop().await;
    assert!(report.failures.len() >= 4, "{report:?}");
    assert!(report.failures.iter().all(|failure| matches!(failure, Failure::Truncated(_))), "{report:?}");
    assert!(super::failure(|| report.assert_all(200)).contains("Truncated"));

    let load = Load::of(&client, Request::get("/other")).connections(1).start();
    load.wait_for_more(5).await;
    upstream.stop().await;
    load.wait_for_refusal().await;
    upstream.start_again();
    load.wait_for_more(5).await;
    let report: Report = load.stop().await;
    // The upstream was stopped in the middle of one request at most.
    let lost = report.failures.len() as u64 + report.closed_under_way;
    assert!(lost <= 1 && report.refused >= 1 && report.connections >= 2, "{report:?}");
}

#[tokio::test]
async fn a_request_on_a_kept_connection_that_is_not_answered_is_a_race() {
    let upstream = Upstream::start();
    let counter = AtomicU64::new(0);
    upstream.answer(
        "/",
        Answer::from_fn(move |_| {
            let second = counter.fetch_add(1, Ordering::SeqCst) % 2 == 1;
            if second { Answer::close() } else { Answer::ok("a") }
        }),
    );
    let client = Client::plain(upstream.address());
    let load = Load::of(&client, Request::get("/")).connections(1).start();
    load.wait_for_more(10).await;
    let report = load.stop().await;
    assert!(report.closed_under_way >= 9 && report.failures.is_empty(), "{report:?}");
    assert!(super::failure(|| report.assert_all(200)).contains("closed_under_way"));
}

#[tokio::test]
async fn unexpected_answers_and_refusals_are_reported() {
    let upstream = Upstream::start();
    let client = Client::plain(upstream.address());
    let load = Load::of(&client, Request::get("/"))
        .expecting(|answer| if answer.text() == "ok" { Err("it is ok".to_owned()) } else { Ok(()) })
        .start();
    load.wait_for_more(1).await;
    let report = load.stop().await;
    assert!(report.failures.contains(&Failure::Unexpected("it is ok".to_owned())), "{report:?}");

    upstream.stop().await;
    let load = Load::of(&client, Request::get("/")).start();
    load.wait_for_refusal().await;
    let report = load.stop().await;
    assert!(report.refused > 0 && report.answered() == 0 && report.failures.is_empty(), "{report:?}");
}

#[tokio::test]
async fn the_rate_is_kept() {
    let upstream = Upstream::start();
    let client = Client::plain(upstream.address());
    let started = tokio::time::Instant::now();
    let load = Load::of(&client, Request::get("/")).rate(200.0).start();
    load.wait_for_more(40).await;
    let report = load.stop().await;
    // 40 requests at 200 a second take 195 ms at least; how much longer is up to the machine.
    assert!(started.elapsed() >= Duration::from_millis(195), "{report:?}");
    report.assert_all(200);
}

//! A target that cannot be connected to is skipped for a while, and metrics, log and status page say so.

use serde_json::json;

use super::upstream_errors::{FullListener, gateway_to};
use crate::harness::deadline::eventually;
use crate::harness::port::ReservedPort;
use crate::harness::problem::assert_problem;
use crate::harness::upstream::Upstream;

/// The system answers nothing to connections of the one target. Without memory, every second request would wait for it.
#[tokio::test]
async fn skips_a_target_that_accepts_nothing_while_another_one_works() {
    let port = ReservedPort::take();
    let _full = FullListener::at(&port).await;
    let upstream = Upstream::start();
    let (hole, good) = (format!("http://{}", port.address()), upstream.url());
    let settings = format!("{{ targets: [{hole:?}, {good:?}], timeouts: {{ connect: 200ms }} }}");
    let gateway = gateway_to(&settings).await;
    for _ in 0..20 {
        gateway.https().get("/").await.assert_status(200);
    }
    assert_eq!(upstream.take().len(), 20);
    let metrics = gateway.metrics().await;
    let failed = metrics.count("portcullis_upstream_failures_total", &[("target", &hole)]);
    // The first request finds out. Should the others take more than five seconds, one of them tries the target again.
    assert!((1..=2).contains(&failed), "{failed} of 20 requests waited for the target");
    let healthy = |target: &str| metrics.count("portcullis_upstream_target_healthy", &[("target", target)]);
    assert_eq!((healthy(&hole), healthy(&good)), (0, 1));
    eventually("20 lines", || (gateway.access_log().len() >= 20).then_some(())).await;
    let slow = gateway.access_log().into_iter().filter(|line| line["attempts"].is_number()).count();
    assert_eq!(slow as u64, failed);
    let now = gateway.admin().get("/status/now").await.json();
    let targets = &now["upstreams"][0]["targets"];
    assert_eq!((&targets[0]["healthy"], &targets[1]["healthy"]), (&json!(false), &json!(true)), "{now}");
    gateway.wait_for_log(|line| line.message.contains("requests use other targets")).await;
}

/// Where all targets are skipped, a request tries them all, so that the first one that is back serves at once.
#[tokio::test]
async fn tries_every_target_when_all_are_skipped() {
    let ports = (ReservedPort::take(), ReservedPort::take());
    let (one, other) = (format!("http://{}", ports.0.address()), format!("http://{}", ports.1.address()));
    let gateway = gateway_to(&format!("{{ targets: [{one:?}, {other:?}] }}")).await;
    for _ in 0..3 {
        let response = gateway.https().get("/").await;
        assert_problem(&response, 502, "upstream_failed");
        let id = response.header("X-Request-Id").unwrap().to_owned();
        let line = gateway.wait_for_access(|line| line["request_id"] == id).await;
        assert_eq!(line["attempts"], 2, "{line}");
    }
    let metrics = gateway.metrics().await;
    for target in [&one, &other] {
        let labels = [("target", target.as_str())];
        assert_eq!(metrics.count("portcullis_upstream_failures_total", &labels), 3, "{target}");
    }
}

//! The wire that breaks on demand.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::client::{Client, End, Failure};
use crate::harness::proxy::{Fault, FaultyProxy};
use crate::harness::upstream::{Answer, Upstream};

#[tokio::test]
async fn every_fault_takes_hold_of_new_connections_and_passes_again() {
    let upstream = Upstream::start();
    upstream.answer("/large", Answer::download(100_000));
    let proxy = FaultyProxy::to(upstream.address());
    let client = Client::plain(proxy.address());
    let outcome = async || client.get("/").outcome().await;
    assert_eq!(client.get("/large").await.body.len(), 100_000);

    proxy.set(Fault::Refuse).await;
    assert!(matches!(outcome().await, Err(Failure::Refused(_))));
    proxy.set(Fault::Reset).await;
    // A reset that is quick enough is one of the connection being made.
    let reset = outcome().await.unwrap_err();
    let (Failure::Unanswered(text) | Failure::Refused(text)) = &reset else { panic!("{reset}") };
    assert!(text.contains("reset"), "{reset}");
    proxy.set(Fault::Garbage).await;
    assert!(matches!(outcome().await, Err(Failure::Violation(_))));
    proxy.set(Fault::CutAfter(10)).await;
    assert!(matches!(outcome().await, Err(Failure::Truncated(_))));
    proxy.set(Fault::Delay(Duration::from_millis(20))).await;
    let asked = Instant::now();
    assert_eq!(outcome().await.unwrap().text(), "ok");
    assert!(asked.elapsed() >= Duration::from_millis(40), "a delay in each direction");
    proxy.set(Fault::Throttle(500_000)).await;
    let asked = Instant::now();
    assert_eq!(client.get("/large").await.body.len(), 100_000);
    assert!(asked.elapsed() >= Duration::from_millis(180), "100 kB at 500 kB/s");
    proxy.set(Fault::None).await;
    assert_eq!(outcome().await.unwrap().text(), "ok");
    assert_eq!(proxy.connections(), 7);
}

#[tokio::test]
async fn faults_take_hold_of_open_connections() {
    let upstream = Upstream::start();
    let proxy = FaultyProxy::to(upstream.address());
    let client = Client::plain(proxy.address());
    for (fault, expect) in
        [(Fault::Refuse, End::Reset), (Fault::Reset, End::Reset), (Fault::CutAfter(0), End::Closed)]
    {
        proxy.set(Fault::None).await;
        let mut connection = client.connect().await;
        assert_eq!(connection.get("/").await.text(), "ok");
        proxy.set(fault).await;
        assert_eq!(connection.closed().await, expect, "{fault:?}");
    }

    proxy.set(Fault::None).await;
    let mut connection = client.connect().await;
    assert_eq!(connection.get("/").await.text(), "ok");
    upstream.take();
    proxy.set(Fault::Hang).await;
    connection.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    // A connection that is made now hangs as well.
    let mut other = client.connect().await;
    other.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(connection.is_idle().await && other.is_idle().await);
    upstream.assert_nothing();
    proxy.set(Fault::None).await;
    assert_eq!((connection.response().await.text(), other.response().await.text()), ("ok", "ok"));
    proxy.set(Fault::Garbage).await;
    assert!(connection.some_bytes().await.unwrap().starts_with(b"\x00\xff"));
}

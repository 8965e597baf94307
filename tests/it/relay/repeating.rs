//! Requests that are sent again because a connection that was kept had been closed meanwhile.

use super::gateway;
use crate::harness::gateway::Gateway;
use crate::harness::problem::assert_problem;
use crate::harness::upstream::Upstream;

/// An upstream whose connections are good for one answer each, and that closes them without a word when there is a second
/// request; and a gateway that has kept more of them than a request is tried times.
async fn stand(limits: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::start();
    upstream.answer_once_on_each_connection();
    let gateway = gateway(upstream.url(), limits).await;
    let warm = |_| {
        let client = gateway.https();
        tokio::spawn(async move { client.get("/warm").await.status })
    };
    for call in (0..20).map(warm).collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), 200);
    }
    upstream.take();
    (upstream, gateway)
}

/// A body that fits into what is kept for this passes whole again, however it was framed, and is counted once: neither the
/// limit nor the log takes the second time for more.
#[tokio::test]
async fn a_body_that_is_sent_again_is_whole_and_counted_once() {
    let (upstream, gateway) = stand("{ request_body_bytes: 40KiB }").await;
    let body: Vec<u8> = (0..30_u32 << 10).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let chunked = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    let mut sent_again = 0;
    for number in 0..6 {
        let path = format!("/{number}");
        let answer = match number % 3 {
            0 => gateway.https().call("PUT", &path).body(body.clone()).await,
            1 => gateway.https().call("PUT", &path).body(body.clone()).over_http2().await,
            _ => {
                let mut connection = gateway.https().connect().await;
                let head =
                    format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
                connection.write(head).await;
                connection.write(&chunked).await;
                connection.response_to("PUT").await
            }
        };
        assert_eq!(answer.status, 200, "{answer:?}");
        let requests = upstream.take();
        assert!(requests.len() <= 2, "{} times", requests.len());
        sent_again += requests.len() - 1;
        let last = requests.last().unwrap();
        assert!(last.complete && last.body == body, "{} bytes", last.body.len());
        let line = gateway.wait_for_access(|line| line["path"] == path).await;
        assert_eq!(line["received_bytes"], body.len(), "{line}");
    }
    assert!(sent_again > 0, "no connection had been closed");
}

/// A chunked body of nothing has no second end when it is sent again.
#[tokio::test]
async fn an_empty_body_that_is_sent_again_is_empty() {
    let (upstream, gateway) = stand("{}").await;
    for _ in 0..4 {
        let mut connection = gateway.https().connect().await;
        let head = "PUT / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        for _ in 0..2 {
            connection.write(head).await;
            connection.response_to("PUT").await.assert_status(200);
        }
        assert!(upstream.take().iter().all(|request| request.complete && request.body.is_empty()));
    }
}

/// What is too large to be kept is sent once: no upstream gets the end of a body without its beginning.
#[tokio::test]
async fn a_body_that_is_too_large_to_be_kept_is_sent_once() {
    let (upstream, gateway) = stand("{}").await;
    let mut refused = 0;
    for _ in 0..4 {
        let answer = gateway.https().call("PUT", "/").body(vec![7; 200 << 10]).await;
        let requests = upstream.take();
        assert_eq!(requests.len(), 1);
        if answer.status != 200 {
            assert_problem(&answer, 502, "upstream_failed");
            refused += 1;
        }
    }
    assert!(refused > 0, "no connection had been closed");
}

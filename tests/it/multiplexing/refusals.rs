//! Answers of the gateway itself over HTTP/2: they are whole, whatever was asked and whenever it failed.

use super::{gateway, is_at_rest, upstreams};
use crate::harness::problem::assert_problem;
use crate::harness::upstream::{Answer, Upstream};

/// An answer to `HEAD` ends with its head. A stream that is reset behind it would say that it is not whole.
#[tokio::test]
async fn an_answer_to_head_is_whole() {
    for upstream in upstreams() {
        upstream.answer("/closed", Answer::close()).answer("/late", Answer::hang());
        upstream.answer("/bad", Answer::garbage());
        let gateway = gateway(&upstream.url(), "{}", "{ request: 300ms }").await;
        let connection = gateway.https().http2().await;
        for (path, status) in
            [("/closed", 502), ("/late", 504), ("/bad", 502), ("/a/../b", 400), ("/good", 200)]
        {
            let answer = connection.call("HEAD", path).await;
            assert_eq!((answer.status, answer.body.len()), (status, 0), "{path}");
            if status != 200 {
                let answer = connection.get(path).await;
                assert_eq!(answer.status, status, "{path}");
                assert!(answer.json()["code"].is_string(), "{path}");
            }
        }
        is_at_rest(&gateway).await;
    }
}

/// The same where nobody listens.
#[tokio::test]
async fn an_upstream_that_is_away_is_a_502_for_every_method() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream.url(), "{}", "{}").await;
    upstream.stop().await;
    let connection = gateway.https().http2().await;
    for _ in 0..2 {
        assert_eq!(connection.call("HEAD", "/").await.status, 502);
        assert_problem(&connection.get("/").await, 502, "upstream_failed");
        assert_problem(&connection.post("/").body("x").await, 502, "upstream_failed");
    }
}

//! Answers of an upstream that is broken or hostile: they are held to what was asked, and nobody gets a byte of another's.

use super::*;
use crate::harness::client::Failure;
use crate::harness::upstream::Answer;

/// What a client is told for an answer.
enum Told {
    /// That the upstream failed.
    Failed,
    /// A status and a body.
    Passed(u16, &'static str),
    /// The answer, but not to its end.
    Broken,
}
use Told::{Broken, Failed, Passed};

/// An answer that a client could take for its own if it came on its connection.
const SECOND: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

/// Bytes behind the end of an answer, and answers whose end is ambiguous (pingora CVE-2025-4366).
#[tokio::test]
async fn nobody_gets_a_byte_of_anothers_answer() {
    let stand = Stand::start().await;
    stand.upstream.answer("/public/good", Answer::ok("good"));
    let rows = [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Passed(200, "ok")),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Passed(200, "ok"),
        ),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", Passed(204, "")),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", Passed(204, "")),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", Passed(304, "")),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", Passed(200, "")),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Passed(200, "")),
    ];
    for (method, answer, told) in rows {
        for extra in ["", SECOND, "x", "\r\n"] {
            check(&stand, method, &format!("{answer}{extra}"), &told).await;
        }
    }
}

/// Answers that no strict reader accepts are not passed on.
#[tokio::test]
async fn malformed_answers_are_not_passed_on() {
    let stand = Stand::start().await;
    stand.upstream.answer("/public/good", Answer::ok("good"));
    for (answer, told) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\nokok", Failed),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 4\r\n\r\nokok", Failed),
        ("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", Failed),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok", Failed),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok", Failed),
        ("HTTP/1.1 200 OK\r\nX Y: z\r\nContent-Length: 2\r\n\r\nok", Failed),
        ("HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 2\r\n\r\nok", Failed),
        ("HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 2\r\n\r\nok", Failed),
        ("HTTP/1.1 99 OK\r\nContent-Length: 2\r\n\r\nok", Failed),
        ("HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok", Failed),
        ("HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok", Failed),
        ("HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\nok", Failed),
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n", Failed),
        ("\0\0\0\0\0\0\0\0\r\n\r\n", Failed),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n", Broken),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokX\r\n0\r\n\r\n", Broken),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n", Broken),
    ] {
        check(&stand, "GET", answer, &told).await;
    }
}

/// Two lengths in an answer: the client reads one end or none, and the connection to the upstream is not used again.
#[tokio::test]
async fn answers_with_two_lengths_leave_nothing_behind() {
    let stand = Stand::start().await;
    stand.upstream.answer("/public/good", Answer::ok("good"));
    for answer in [
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{SECOND}"
        ),
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{SECOND}"
        ),
        format!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{SECOND}"),
    ] {
        stand.upstream.answer("/public/bad", Answer::raw_then_close(answer.as_bytes()));
        for http2 in [false, true] {
            let client = stand.gateway.https();
            let call = client.get("/public/bad");
            let outcome = if http2 { call.over_http2() } else { call }.outcome().await;
            if let Ok(told) = outcome {
                assert!(
                    told.status == 502 || (told.status == 200 && !told.headers.contains("Content-Length")),
                    "{told:?}"
                );
            }
            stand.upstream.take();
            assert_eq!(stand.gateway.https().get("/public/good").await.text(), "good");
            stand.upstream.take_one();
        }
    }
}

/// Interim answers reach the client in front of its own answer, and are no end of it.
#[tokio::test]
async fn interim_answers_are_no_answers() {
    let stand = Stand::start().await;
    let hints =
        Answer::ok("done").informational(103, &[("Link", "</a.css>; rel=preload")]).informational(102, &[]);
    stand.upstream.answer("/public/hints", hints);
    let mut connection = stand.gateway.https().connect().await;
    for _ in 0..2 {
        let answer = connection.get("/public/hints").await;
        assert_eq!((answer.status, answer.text()), (200, "done"), "{answer:?}");
        assert!(
            answer.informational.iter().all(|interim| [102, 103].contains(&interim.status)),
            "{answer:?}"
        );
    }
    let answer = stand.gateway.https().get("/public/hints").over_http2().await;
    assert_eq!((answer.status, answer.text()), (200, "done"), "{answer:?}");
    // One interim answer after the other is no answer either, however many there are.
    stand
        .upstream
        .answer("/public/endless", Answer::raw_then_close("HTTP/1.1 100 Continue\r\n\r\n".repeat(5000)));
    let failed = stand.gateway.https().get("/public/endless").outcome().await;
    assert!(failed.is_err() || failed.is_ok_and(|answer| answer.status == 502));
}

/// What the upstream says about itself and its connection stays there.
#[tokio::test]
async fn fields_of_the_upstreams_connection_stay_there() {
    let stand = Stand::start().await;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
                  Proxy-Connection: keep-alive\r\nProxy-Authenticate: Basic\r\nX-Request-Id: of-the-upstream\r\n\r\nok";
    stand.upstream.answer("/public/x", Answer::raw(answer));
    for http2 in [false, true] {
        let client = stand.gateway.https();
        let call = client.get("/public/x");
        let answer = if http2 { call.over_http2() } else { call }.await;
        assert_eq!(answer.text(), "ok");
        for name in ["X-Hop", "Keep-Alive", "Proxy-Connection"] {
            assert!(!answer.headers.contains(name), "{name}: {answer:?}");
        }
        assert!(!http2 || !answer.headers.contains("Connection"), "{answer:?}");
    }
}

/// Asks for this answer, and checks that the next client gets its own.
async fn check(stand: &Stand, method: &str, answer: &str, told: &Told) {
    stand.upstream.answer("/public/bad", Answer::raw(answer));
    for http2 in [false, true] {
        let client = stand.gateway.https();
        let call = client.call(method, "/public/bad");
        let outcome = if http2 { call.over_http2() } else { call }.outcome().await;
        match (outcome, told) {
            (Ok(answer), Failed) => {
                assert_problem(&answer, 502, "upstream_failed");
                let id = answer.json()["request_id"].as_str().unwrap().to_owned();
                let line = stand.gateway.wait_for_access(|line| line["request_id"] == *id).await;
                assert_eq!((line["status"].as_u64(), line["upstream"].as_str()), (Some(502), Some("app")));
            }
            (Ok(answer), Passed(status, body)) => {
                assert_eq!((answer.status, answer.text()), (*status, *body), "{answer:?}");
            }
            (Ok(answer), Broken) => assert_eq!(answer.status, 502, "{answer:?}"),
            (Err(Failure::Truncated(_) | Failure::Http2(..)), Broken) => {}
            (Err(failure), _) => panic!("{answer:?}: {failure}"),
        }
        stand.upstream.take_one();
        let own = stand.gateway.https().get("/public/good").await;
        assert_eq!((own.status, own.text()), (200, "good"), "after {answer:?}");
        stand.upstream.take_one();
    }
}

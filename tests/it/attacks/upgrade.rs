//! Half an upgrade is none: only a `GET` of HTTP/1.1 with both `Upgrade: websocket` and `Connection: Upgrade` asks for
//! another protocol (RFC 9110 section 7.8). Everything else is a request like any other, for the upstream too.

use super::*;
use crate::harness::upstream::Answer;

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Requests that name a protocol and do not ask for it, with what follows them on the connection.
fn halves() -> Vec<(&'static str, String)> {
    let head = |method: &str, version: &str, lines: &str| {
        format!("{method} /public/x HTTP/{version}\r\nHost: localhost\r\n{lines}\r\n")
    };
    vec![
        ("no option", head("GET", "1.1", "Upgrade: websocket\r\n")),
        ("another option", head("GET", "1.1", "Connection: keep-alive\r\nUpgrade: websocket\r\n")),
        ("another method", head("POST", "1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n")),
        ("a body and no option", head("GET", "1.1", "Upgrade: websocket\r\nContent-Length: 5\r\n") + "hello"),
        (
            "chunks and no option",
            head("POST", "1.1", "Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n",
        ),
        ("two protocols", head("GET", "1.1", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n")),
        (
            "two protocols in two fields",
            head("GET", "1.1", "Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n"),
        ),
        ("an older version", head("GET", "1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n")),
    ]
}

/// The upstream is not asked to switch by half of an upgrade, and when it switches all the same it is not followed
/// (pingora CVE-2026-2833, RUSTSEC-2026-0033).
/// Row F04.
#[tokio::test]
async fn half_an_upgrade_is_none() {
    let stand = Stand::start().await;
    for (what, request) in halves() {
        for switches in [false, true] {
            let answer = if switches { Answer::raw(SWITCH).before_body() } else { Answer::ok("plain") };
            stand.upstream.answer("/public/x", answer);
            let mut connection = stand.gateway.https().connect().await;
            connection.write(&request).await;
            let method = request.split(' ').next().unwrap();
            let answer = connection.response_to(method).await;
            let received = stand.upstream.take_one();
            assert_eq!(received.headers.all("Upgrade"), Vec::<&str>::new(), "{what}: {received:?}");
            assert!(!received.headers.lists("Connection", "upgrade"), "{what}: {received:?}");
            if switches {
                assert_problem(&answer, 502, "upstream_failed");
                connection.closed().await;
            } else {
                assert_eq!((answer.status, answer.text()), (200, "plain"), "{what}");
            }
        }
    }
}

/// Nor does it take the time away that an upstream is given for its answer, which would let anyone hold connections to it
/// for ever.
/// Row F04.
#[tokio::test]
async fn half_an_upgrade_waits_no_longer() {
    let short = ROUTES
        .replace("app: \"{upstream}\",", "app: { targets: [\"{upstream}\"], timeouts: { request: 300ms } },");
    let stand = Stand::with(&short).await;
    stand.upstream.answer("/public/x", Answer::hang());
    for (what, request) in halves() {
        let mut connection = stand.gateway.https().connect().await;
        connection.write(&request).await;
        let answer = connection.response_to(request.split(' ').next().unwrap()).await;
        assert_eq!(answer.status, 504, "{what}");
    }
}

//! Connections to upstreams are shared by all clients, and carry nothing from one to another.

use super::*;
use crate::harness::client::{Connection, Http2};
use crate::harness::upstream::Answer;

/// What the upstream says of a request: who sent it, with which mark, and whatever else it could have kept.
fn mirror() -> Answer {
    Answer::from_fn(|request| {
        let field = |name: &str| request.headers.all(name).join("|");
        let names = ["X-Auth-Subject", "X-Mark", "Cookie", "X-Only-Acme"];
        Answer::ok(format!("{} {}", names.map(field).join(" "), request.body.escape_ascii()))
    })
}

/// One client, request after request, each with a mark of its own.
async fn ask(connection: &mut Connection, key: &str, subject: &str, times: usize) {
    for number in 0..times {
        let mark = format!("{subject}-{number}");
        let own = subject == "acme" && number % 2 == 0;
        let fields = [("X-API-Key", key), ("X-Mark", &mark), ("Cookie", &mark)];
        let call = connection.post("/v1/x").headers(&fields).body(mark.as_bytes());
        let answer = if own { call.header("X-Only-Acme", "1") } else { call }.await;
        let expect = format!("{subject} {mark} {mark} {} {mark}", if own { "1" } else { "" });
        assert_eq!(answer.text(), expect);
    }
}

/// The same by HTTP/2, several at once.
async fn ask_http2(client: &Http2, key: &str, subject: &str, times: usize) {
    for number in 0..times {
        let marks: Vec<String> = (0..4).map(|each| format!("{subject}-h2-{number}-{each}")).collect();
        let call = async |mark: &str| {
            let fields = [("x-api-key", key), ("x-mark", mark), ("cookie", mark)];
            let answer = client.post("/v1/x").headers(&fields).body(mark.as_bytes()).await;
            assert_eq!(answer.text(), format!("{subject} {mark} {mark}  {mark}"));
        };
        tokio::join!(call(&marks[0]), call(&marks[1]), call(&marks[2]), call(&marks[3]));
    }
}

/// Clients with interleaved identities, thousands of requests over few connections: never a field of another.
/// Row F13, and H09 for what a request does not have.
#[tokio::test]
async fn interleaved_clients_never_see_each_other() {
    let stand = Stand::start().await;
    stand.upstream.answer_otherwise(mirror());
    let client = stand.gateway.https();
    let (mut first, mut second) = (client.connect().await, client.connect().await);
    let (third, fourth) = (client.http2().await, client.http2().await);
    let (admin, user) = (&stand.admin.key, &stand.user.key);
    tokio::join!(
        ask(&mut first, admin, "root", 600),
        ask(&mut second, user, "acme", 600),
        ask_http2(&third, admin, "root", 150),
        ask_http2(&fourth, user, "acme", 150),
    );
    assert_eq!(stand.upstream.take().len(), 2400);
    assert!(stand.upstream.connections() < 50, "{} connections", stand.upstream.connections());
}

/// A client that goes away in the middle of an answer leaves a connection that nobody gets, or a clean one.
#[tokio::test]
async fn an_answer_that_is_not_read_is_nobody_elses() {
    let stand = Stand::start().await;
    stand.upstream.answer("/v1/large", Answer::ok("secret of acme ".repeat(200_000)));
    stand.upstream.answer("/v1/x", Answer::ok("own"));
    for _ in 0..10 {
        let mut connection = stand.gateway.https().connect().await;
        let head =
            format!("GET /v1/large HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}\r\n\r\n", stand.user.key);
        connection.write(head).await;
        connection.some_bytes().await.expect("the beginning of an answer");
        connection.reset();
        for _ in 0..3 {
            let answer = stand.gateway.https().get("/v1/x").headers(&[stand.admin.header()]).await;
            assert_eq!(answer.text(), "own");
        }
    }
}

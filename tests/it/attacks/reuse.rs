//! Connections to upstreams are shared by all clients, and carry nothing from one to another.

use super::*;
use crate::harness::client::Client;
use crate::harness::scale::scaled;
use crate::harness::upstream::Answer;

/// What the upstream says of a request: who sent it, with which mark, and whatever else it could have kept.
fn mirror() -> Answer {
    Answer::from_fn(|request| {
        let field = |name: &str| request.headers.all(name).join("|");
        let names = ["X-Auth-Subject", "X-Auth-Scopes", "X-Mark", "Cookie", "X-Only-Some"];
        Answer::ok(format!("{} {}", names.map(field).join(" "), request.body.escape_ascii()))
    })
}

/// A request of one of the callers or of nobody, and what the upstream must say of it.
struct Ask {
    path: &'static str,
    fields: Vec<(&'static str, String)>,
    mark: String,
    expect: String,
}

/// Every second caller has a scope, its own.
fn scope(caller: usize) -> String {
    if caller.is_multiple_of(2) { format!("of-{caller}") } else { String::new() }
}

/// Request `number` on connection `connection`: each is another caller's than the one before it on the same connection,
/// and than those that are under way on others.
fn ask(callers: &[ApiKey], connection: usize, number: usize) -> Ask {
    let mark = format!("{connection}-{number}");
    let mut fields = vec![("X-Mark", mark.clone()), ("Cookie", mark.clone())];
    let some = number.is_multiple_of(3);
    if some {
        fields.push(("X-Only-Some", mark.clone()));
    }
    let only = if some { mark.as_str() } else { "" };
    let at = (connection * 17 + number * 7) % (callers.len() + 1);
    let (path, told) = match callers.get(at) {
        Some(key) => {
            fields.push(("X-API-Key", key.key.clone()));
            ("/v1/x", format!("caller-{at} {}", scope(at)))
        }
        None => ("/public/x", " ".to_owned()),
    };
    let expect = format!("{told} {mark} {mark} {only} {mark}");
    Ask { path, fields, mark, expect }
}

async fn ask_http1(client: Client, callers: &[ApiKey], number: usize, times: usize) {
    let mut connection = client.connect().await;
    for time in 0..times {
        let Ask { path, fields, mark, expect } = ask(callers, number, time);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = connection.post(path).headers(&fields).body(mark.as_bytes()).await;
        assert_eq!(answer.text(), expect);
    }
}

/// The same by HTTP/2, several at once.
async fn ask_http2(client: Client, callers: &[ApiKey], number: usize, times: usize) {
    let client = client.http2().await;
    let call = async |time: usize| {
        let Ask { path, fields, mark, expect } = ask(callers, number, time);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = client.post(path).headers(&fields).body(mark.as_bytes()).await;
        assert_eq!(answer.text(), expect);
    };
    for time in (0..times).step_by(4) {
        tokio::join!(call(time), call(time + 1), call(time + 2), call(time + 3));
    }
}

/// Forty callers and nobody in turn on every connection of a client, thousands of requests over few connections to the
/// upstream: never a field of another.
/// Row F13, and H09 for what a request does not have.
#[tokio::test]
async fn interleaved_clients_never_see_each_other() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(mirror());
    let callers: Vec<ApiKey> = (0..40)
        .map(|at| {
            ApiKey::of(&format!("caller-{at}")).scopes(&scope(at).split_whitespace().collect::<Vec<_>>())
        })
        .collect();
    let gateway = Gateway::builder(ROUTES)
        .with("upstream", upstream.url())
        .file("keys.yaml", keys_yaml(&callers.iter().collect::<Vec<_>>()))
        .start()
        .await;
    let client = || gateway.https();
    // In parts, because the upstream keeps what it received until it is asked.
    for _ in 0..scaled(1) {
        tokio::join!(
            ask_http1(client(), &callers, 0, 2000),
            ask_http1(client(), &callers, 1, 2000),
            ask_http1(client(), &callers, 2, 2000),
            ask_http2(client(), &callers, 3, 2000),
            ask_http2(client(), &callers, 4, 2000),
        );
        assert_eq!(upstream.take().len(), 10_000);
    }
    assert!(upstream.connections() < 50, "{} connections", upstream.connections());
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

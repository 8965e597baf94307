//! Every kind of credential is refused by every gateway, at once and within a second, and good again when that is lifted.

use std::time::Duration;

use portcullis::authn::revocable::issuer_hash;

use super::{Caller, Cast, GUARDED, MAX_STALE, PUBLIC, lift, revoke};
use crate::harness::issuer::Token;
use crate::harness::problem::assert_problem;
use crate::harness::redis::Redis;

/// One way to revoke a credential.
struct Row {
    what: &'static str,
    credential: (&'static str, String),
    /// What stands in Redis after `portcullis:revoked:`, and its value.
    entry: (String, String),
}

fn bearer(token: &Token) -> (&'static str, String) {
    ("Authorization", token.bearer())
}

fn rows(cast: &Cast) -> Vec<Row> {
    let issuer = &cast.issuer;
    let now = portcullis::clock::Clock::system().unix_seconds().to_string();
    let by_jti = issuer.token();
    let by_issuer = issuer.token();
    let row = |what, credential, name: &str, value: &str| Row {
        what,
        credential,
        entry: (name.to_owned(), value.to_owned()),
    };
    vec![
        row("a jti of any issuer", bearer(&by_jti), &format!("jti:*:{}", by_jti.jti()), ""),
        row(
            "a jti of this issuer",
            bearer(&by_issuer),
            &format!("jti:{}:{}", issuer_hash(&issuer.url()), by_issuer.jti()),
            "",
        ),
        row("a subject", bearer(&issuer.token().claim("sub", "dora")), "sub:dora", &now),
        row("a session", bearer(&issuer.token().claim("sid", "s-1")), "sid:s-1", ""),
        row("a client", bearer(&issuer.token().claim("client_id", "shop")), "client:shop", &now),
        row("a client by azp", bearer(&issuer.token().claim("azp", "app")), "client:app", &now),
        row(
            "a client by client_id where azp is another",
            bearer(&issuer.token().claim("azp", "front").claim("client_id", "back")),
            "client:back",
            &now,
        ),
        // R03: what has no jti or no iat can be revoked all the same.
        row(
            "a token without jti",
            bearer(&issuer.token().without("jti").claim("sub", "emil")),
            "sub:emil",
            &now,
        ),
        row(
            "a token without jti, by session",
            bearer(&issuer.token().without("jti").claim("sid", "s-2")),
            "sid:s-2",
            "",
        ),
        row("an API key", cast.acme(), "key:k_acme", ""),
        row("the owner of an API key", cast.acme(), "sub:acme", &now),
        row("a Basic user", Cast::bob(), "user:bob", ""),
        row("the subject that a Basic user is", Cast::bob(), "sub:bob", &now),
        row(
            "a value that is no time",
            bearer(&issuer.token().claim("sub", "fred")),
            "sub:fred",
            "yes please",
        ),
        row(
            "a reason after the time",
            bearer(&issuer.token().claim("sub", "gus")),
            "sub:gus",
            &format!("{now} left"),
        ),
    ]
}

/// R01: written with plain `SET`, a revocation holds on every gateway within a second, without a restart, for credentials
/// that the gateways remember from before; when its key is deleted, they are good again.
#[tokio::test]
async fn whatever_is_revoked_is_refused_everywhere_at_once_until_it_is_lifted() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    let gateways =
        [cast.gateway(&redis.url(), "").start().await, cast.gateway(&redis.url(), "").start().await];
    let [one, two] = &gateways;
    let mut slowest = Duration::ZERO;
    for Row { what, credential, entry: (name, value) } in rows(&cast) {
        let mut callers = [Caller::new(one, &credential).await, Caller::new(two, &credential).await];
        for caller in &mut callers {
            caller.ask().await.assert_status(200);
        }
        let since = revoke(&redis, &name, &value).await;
        let [first, second] = &mut callers;
        let (first, second) =
            tokio::join!(first.refused_since(since, MAX_STALE), second.refused_since(since, MAX_STALE));
        slowest = slowest.max(first).max(second);
        cast.upstream.take();
        for (caller, gateway) in callers.iter_mut().zip(&gateways) {
            let answer = caller.ask().await;
            assert_problem(&answer, 401, "credential_revoked");
            let id = answer.json()["request_id"].clone();
            let line = gateway.wait_for_access(|line| line["request_id"] == id).await;
            assert_eq!(
                (line["reason"].as_str(), line["outcome"].as_str()),
                (Some("revoked"), Some("refused")),
                "{what}"
            );
            assert_eq!(line["route"], "app", "{what}");
            // Others are as good as before.
            gateway.https().get(PUBLIC).await.assert_status(200);
        }
        let received = cast.upstream.take();
        assert!(
            received.len() == 2 && received.iter().all(|request| request.path() == PUBLIC),
            "{what}: {received:?}"
        );
        lift(&redis, &name).await;
        for caller in &mut callers {
            caller.answered(200).await;
        }
    }
    report(&format!("the slowest of all revocations held after {slowest:?}"));
    for gateway in &gateways {
        let refused = gateway.metrics().await;
        let count =
            refused.count("portcullis_auth_decisions_total", &[("result", "refused"), ("reason", "revoked")]);
        assert!(count >= 30, "{count}");
    }
}

/// What is revoked before it was ever seen is refused at the first request.
#[tokio::test]
async fn what_was_revoked_before_it_is_first_used_never_passes() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    let all = rows(&cast);
    for Row { entry: (name, value), .. } in &all {
        revoke(&redis, name, value).await;
    }
    let gateway = cast.gateway(&redis.url(), "").start().await;
    for Row { what, credential: (name, value), .. } in &all {
        for over_http2 in [false, true] {
            let client = gateway.https();
            let call = client.get(GUARDED).header(name, value);
            let answer = if over_http2 { call.over_http2().await } else { call.await };
            assert!(answer.status == 401, "{what}: {answer:?}");
            assert_problem(&answer, 401, "credential_revoked");
        }
    }
    cast.upstream.assert_nothing();
}

/// R02: an entry with a time is about what was issued until then, the very second included; what has no time of issue
/// is meant as well (R03).
#[tokio::test]
async fn a_subject_is_revoked_up_to_a_time() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    let now = portcullis::clock::Clock::system().unix_seconds();
    let at = now - 100;
    revoke(&redis, "sub:alice", &at.to_string()).await;
    revoke(&redis, "client:shop", &at.to_string()).await;
    let gateway = cast.gateway(&redis.url(), "").start().await;
    for (what, token, status) in [
        ("issued before", cast.issuer.token().claim("iat", at - 1), 401),
        ("issued in that second", cast.issuer.token().claim("iat", at), 401),
        ("issued in that second, with a fraction", cast.issuer.token().claim("iat", fraction(at)), 401),
        ("issued after", cast.issuer.token().claim("iat", at + 1), 200),
        ("issued after, to somebody else", cast.issuer.token().claim("sub", "zoe").claim("iat", at - 1), 200),
        (
            "of the client, issued before",
            cast.issuer.token().claim("sub", "zoe").claim("azp", "shop").claim("iat", at),
            401,
        ),
        (
            "of the client, issued after",
            cast.issuer.token().claim("sub", "zoe").claim("azp", "shop").claim("iat", at + 1),
            200,
        ),
    ] {
        let answer = gateway.https().get(GUARDED).header("Authorization", &token.bearer()).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        if status == 401 {
            assert_problem(&answer, 401, "credential_revoked");
        }
    }
    assert_eq!(cast.upstream.take().len(), 3);
}

/// A time of issue in the middle of a second.
fn fraction(second: u64) -> serde_json::Value {
    serde_json::from_str(&format!("{second}.5")).unwrap()
}

/// Shows a measurement to whoever runs the tests with their output; nothing is asserted about it.
#[expect(clippy::print_stderr, reason = "the runner keeps what a test prints")]
fn report(text: &str) {
    eprintln!("{text}");
}

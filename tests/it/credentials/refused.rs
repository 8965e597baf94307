//! Bad credentials: status, body, challenges, silence towards the upstream, and the reason in the log.

use std::time::Duration;

use crate::harness::client::Response;
use crate::harness::credentials::{basic, bearer};
use crate::harness::issuer::{SigningKey, Token};
use crate::harness::problem::{assert_challenge, assert_problem, challenges};

use super::door::{Door, PASSWORD, SECRET, Version, request_id};

/// What a client is told about a token that is not accepted, whatever was wrong with it.
const INVALID_TOKEN: &str = "The access token is malformed, expired, revoked or not meant for this API";

/// What the challenges say about the credential that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Nothing,
    Token,
}

/// One challenge for each scheme of the route, in the order of the file, with nothing but what RFC 6750 and RFC 7617 ask for.
#[track_caller]
fn assert_challenges(answer: &Response, sent: Sent) {
    let schemes: Vec<String> = challenges(answer).into_iter().map(|challenge| challenge.scheme).collect();
    assert_eq!(schemes, ["Bearer", "ApiKey", "Basic"], "{answer:?}");
    match sent {
        Sent::Nothing => assert_challenge(answer, "Bearer", &[("realm", "portcullis")]),
        Sent::Token => assert_challenge(
            answer,
            "Bearer",
            &[("realm", "portcullis"), ("error", "invalid_token"), ("error_description", INVALID_TOKEN)],
        ),
    }
    assert_challenge(answer, "ApiKey", &[("realm", "portcullis")]);
    assert_challenge(answer, "Basic", &[("realm", "Internal tools"), ("charset", "UTF-8")]);
}

/// The exact document of a refusal, and the fields around it.
#[track_caller]
fn assert_document(answer: &Response, status: u16, code: &str) {
    assert_problem(answer, status, code);
    let title = match code {
        "credential_expired" => "The credential has expired",
        "invalid_credential" => "The credential is not valid",
        "malformed_credential" => "The credential is not well formed",
        "no_credential" => "A credential is needed",
        _ => panic!("{code} is not expected here"),
    };
    let id = request_id(answer);
    let expect = format!(
        r#"{{"type":"urn:portcullis:problem:{code}","title":"{title}","status":{status},"code":"{code}","accepted":["api_key","basic","jwt"],"request_id":"{id}"}}"#
    );
    assert_eq!(answer.text(), expect);
    assert_eq!(answer.header("Cache-Control"), Some("no-store"), "{answer:?}");
}

/// A credential that is refused: what it is, the field that carries it, the code of the answer and the reason in the log.
type Bad = (&'static str, Option<(&'static str, String)>, &'static str, &'static str);

fn bad_keys_and_pairs(door: &Door) -> Vec<Bad> {
    let own = portcullis::authn::api_key::format::generate().unwrap();
    let mut mistyped = own.key.to_string();
    let other = if mistyped[8..9] == *"x" { "y" } else { "x" };
    mistyped.replace_range(8..9, other);
    let key = |key: &str| Some(("X-API-Key", key.to_owned()));
    let authorization = |value: &str| Some(("Authorization", value.to_owned()));
    vec![
        ("nothing", None, "no_credential", "no_credential"),
        ("a key of nobody", key("sk_live_nobody"), "invalid_credential", "unknown_key"),
        ("an own key of nobody", key(&own.key), "invalid_credential", "unknown_key"),
        ("a mistyped key", key(&mistyped), "malformed_credential", "malformed"),
        ("an empty key", key(""), "malformed_credential", "malformed"),
        ("a key with a space", key("a b"), "malformed_credential", "malformed"),
        ("an expired key", key(&door.expired.key), "credential_expired", "expired"),
        ("ApiKey with a wrong key", authorization("ApiKey x"), "invalid_credential", "unknown_key"),
        ("a wrong key in a pair", authorization(&basic("apikey", "x")), "invalid_credential", "unknown_key"),
        ("a wrong password", authorization(&basic("alice", "x")), "invalid_credential", "bad_password"),
        ("an unknown user", authorization(&basic("eve", PASSWORD)), "invalid_credential", "bad_password"),
        ("no base64", authorization("Basic !!!"), "malformed_credential", "malformed"),
        ("a scheme alone", authorization("Bearer"), "malformed_credential", "malformed"),
    ]
}

fn bad_tokens(door: &Door) -> Vec<Bad> {
    let stranger = SigningKey::es256("es256-1");
    let guess = SigningKey::secret("hs256-1", "x".repeat(32));
    let secret = SigningKey::secret("es256-1", SECRET);
    let hour = Duration::from_secs(3600);
    let token = || door.token();
    let rows: [(&str, Token, &str, &str); 9] = [
        ("a corrupt signature", token().corrupt(), "invalid_credential", "bad_signature"),
        ("another's key", token().signed_by(&stranger), "invalid_credential", "bad_signature"),
        ("an expired token", token().issued(hour, hour / 2), "credential_expired", "expired"),
        (
            "another issuer",
            token().claim("iss", "https://evil.example"),
            "invalid_credential",
            "wrong_issuer",
        ),
        ("another audience", token().claim("aud", "evil"), "invalid_credential", "wrong_audience"),
        ("no audience", token().without("aud"), "invalid_credential", "missing_claim"),
        ("no subject", token().without("sub"), "invalid_credential", "missing_claim"),
        ("another secret", door.legacy().signed_by(&guess), "invalid_credential", "bad_signature"),
        (
            "one issuer's secret for the other",
            token().signed_by(&secret),
            "invalid_credential",
            "wrong_algorithm",
        ),
    ];
    let no_token = ("no token", Some(("Authorization", bearer("x.y"))), "malformed_credential", "malformed");
    let rows = rows
        .into_iter()
        .map(|(what, token, code, reason)| (what, Some(("Authorization", token.bearer())), code, reason));
    rows.chain([no_token]).collect()
}

#[tokio::test]
async fn bad_keys_and_pairs_are_answered_401_and_reach_nobody() {
    let door = Door::open().await;
    assert_all_refused(&door, bad_keys_and_pairs(&door), Sent::Nothing).await;
}

#[tokio::test]
async fn bad_tokens_are_answered_401_and_reach_nobody() {
    let door = Door::open().await;
    assert_all_refused(&door, bad_tokens(&door), Sent::Token).await;
}

async fn assert_all_refused(door: &Door, rows: Vec<Bad>, sent: Sent) {
    let client = door.gateway.https();
    for (what, field, code, reason) in rows {
        for version in Version::ALL {
            let mut call = client.get("/v1/orders/7");
            if let Some((name, value)) = &field {
                call = call.header(name, value);
            }
            let answer = version.over(call).await;
            assert_document(&answer, 401, code);
            assert_challenges(&answer, sent);
            let line = door.assert_refused(&answer, what, "orders", reason).await;
            assert!(line["subject"].is_null() && line["key_id"].is_null(), "{what} is nobody: {line}");
            assert!(line["upstream"].is_null() && line["upstream_ms"].is_null(), "{what}: {line}");
            assert_eq!(line["protocol"], version.name(), "{what}");
        }
    }
}

/// L03, and RFC 9110 section 15.5.2: nothing tells a wrong user from a wrong password, or a key that is unknown from one that
/// is wrong.
#[tokio::test]
async fn a_guesser_learns_nothing_from_an_answer() {
    let door = Door::open().await;
    let mut seen = None;
    for field in [
        ("Authorization", basic("alice", "wrong")),
        ("Authorization", basic("bob", "wrong")),
        ("Authorization", basic("mallory", "wrong")),
        ("X-API-Key", "sk_live_nobody".to_owned()),
    ] {
        let answer = door.gateway.https().get("/v1/orders/7").headers(&[(field.0, &field.1)]).await;
        let same = |text: &str| text.replace(&request_id(&answer), "ID");
        let fields: Vec<String> = answer
            .headers
            .iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("date"))
            .map(|(name, value)| same(&format!("{name}: {}", value.escape_ascii())))
            .collect();
        let shown = (answer.status, fields, same(answer.text()));
        assert_eq!(*seen.get_or_insert_with(|| shown.clone()), shown);
    }
    door.upstream.assert_nothing();
}

#[tokio::test]
async fn an_answer_to_head_has_the_fields_and_no_body() {
    let door = Door::open().await;
    for version in Version::ALL {
        let client = door.gateway.https();
        let answer = version.over(client.call("HEAD", "/v1/orders/7")).await;
        assert_eq!((answer.status, answer.body.len()), (401, 0), "{answer:?}");
        assert_challenges(&answer, Sent::Nothing);
        door.assert_refused(&answer, "HEAD", "orders", "no_credential").await;
    }
}

//! Several methods on one route: the form of a credential picks the method, and two credentials are one too many.

use crate::harness::credentials::{ApiKey, basic, htpasswd_bcrypt, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::issuer::Issuer;
use crate::harness::problem::{assert_problem, assert_unaccepted_credential, challenges};
use crate::harness::upstream::Upstream;

use super::door::{Door, PASSWORD, Version};

/// H11: of two credentials none is believed, even where they belong to the same caller or both are good.
#[tokio::test]
async fn two_credentials_are_refused_whichever_they_are() {
    let door = Door::open().await;
    let key = door.writer.key.clone();
    let token = door.token().bearer();
    let pair = basic("bob", PASSWORD);
    let authorization = |value: &str| ("Authorization", value.to_owned());
    let api_key = |value: &str| ("X-API-Key", value.to_owned());
    let rows = [
        ("a key and a token", vec![api_key(&key), authorization(&token)]),
        ("a token and a key", vec![authorization(&token), api_key(&key)]),
        ("a key and a pair", vec![api_key(&key), authorization(&pair)]),
        (
            "the same key twice, in two places",
            vec![api_key(&key), authorization(&door.writer.authorization())],
        ),
        ("the same key twice", vec![api_key(&key), api_key(&key)]),
        ("two keys", vec![api_key(&key), api_key(&door.reader.key)]),
        ("two tokens", vec![authorization(&token), authorization(&token)]),
        ("a token and a pair", vec![authorization(&token), authorization(&pair)]),
        ("a token and an unknown scheme", vec![authorization(&token), authorization("Digest x=y")]),
        ("two keys in a list", vec![api_key(&format!("{key}, {}", door.reader.key))]),
        ("a token and a pair in a list", vec![authorization(&format!("{token}, {pair}"))]),
        ("a good key and a bad token", vec![api_key(&key), authorization("Bearer x")]),
        ("a bad key and a good token", vec![api_key("x"), authorization(&token)]),
    ];
    for version in Version::ALL {
        for (what, fields) in &rows {
            let client = door.gateway.https();
            let fields: Vec<(&str, &str)> =
                fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let answer = version.over(client.get("/v1/orders/7").headers(&fields)).await;
            assert_problem(&answer, 400, "multiple_credentials");
            assert!(challenges(&answer).is_empty(), "{what}: {answer:?}");
            door.assert_refused(&answer, what, "orders", "multiple_credentials").await;
        }
    }
}

/// The response lists the schemes that `WWW-Authenticate` names, and does not say whether the credential is good elsewhere.
#[tokio::test]
async fn rejects_credential_of_unaccepted_scheme_and_lists_accepted_schemes() {
    let upstream = Upstream::start();
    let issuer = Issuer::start();
    let key = ApiKey::of("acme");
    let gateway = Gateway::builder(
        r#"
        auth:
          partners: { api_key: { keys: keys.yaml } }
          staff: { basic: { users: staff.htpasswd, realm: Tools } }
          users: { jwt: { issuer: "{issuer}", audience: https://api.example.com } }
        upstreams: { it: "{upstream}" }
        routes:
          - { name: keys, match: { path: /keys }, auth: partners, upstream: it }
          - { name: pairs, match: { path: /pairs }, auth: staff, upstream: it }
          - { name: tokens, match: { path: /tokens }, auth: users, upstream: it }
          - { name: open, match: { path: /open }, auth: public, upstream: it }
        "#,
    )
    .with("upstream", upstream.url())
    .with("issuer", issuer.url())
    .file("keys.yaml", keys_yaml(&[&key]))
    .file("staff.htpasswd", htpasswd_bcrypt("bob", PASSWORD))
    .start()
    .await;
    let (pair, token) = (basic("bob", PASSWORD), issuer.token().bearer());
    let fields = [("X-API-Key", key.key.as_str()), ("Authorization", &pair), ("Authorization", &token)];
    let routes = [("/keys", "ApiKey", "api_key"), ("/pairs", "Basic", "basic"), ("/tokens", "Bearer", "jwt")];
    for (at, (path, scheme, name)) in routes.into_iter().enumerate() {
        for (sent, field) in fields.iter().enumerate() {
            let answer = gateway.https().get(path).headers(&[*field]).await;
            if at == sent {
                answer.assert_status(200);
                assert_eq!(upstream.take_one().header(field.0), None, "{path}");
                continue;
            }
            assert_unaccepted_credential(&answer, &[name]);
            let offered: Vec<_> = challenges(&answer).into_iter().map(|challenge| challenge.scheme).collect();
            assert_eq!(offered, [scheme], "{path}");
            let id = answer.header("X-Request-Id").unwrap().to_owned();
            let line = gateway.wait_for_access(move |line| line["request_id"] == id.as_str()).await;
            assert_eq!(line["reason"], "unaccepted_credential", "{line}");
            assert!(line["auth"].is_null() && line["subject"].is_null(), "{line}");
            upstream.assert_nothing();
        }
        for unknown in ["Digest username=alice", "Negotiate YII", "xyz"] {
            let answer = gateway.https().get(path).header("Authorization", unknown).await;
            assert_unaccepted_credential(&answer, &[name]);
            assert!(!answer.text().contains("alice"), "{answer:?}");
        }
        let answer = gateway.https().get(path).await;
        assert_problem(&answer, 401, "no_credential");
        assert_eq!(answer.json()["accepted"], serde_json::json!([name]));
        upstream.assert_nothing();
    }
    // What a route does not accept is for the upstream to judge: the key picks the method, and the token goes on.
    let both = [("X-API-Key", key.key.as_str()), ("Authorization", token.as_str())];
    gateway.https().get("/keys").headers(&both).await.assert_status(200);
    let received = upstream.take_one();
    assert_eq!(
        (received.header("X-API-Key"), received.header("Authorization")),
        (None, Some(token.as_str()))
    );
    gateway.https().get("/open").headers(&both).await.assert_status(200);
    let received = upstream.take_one();
    assert_eq!(received.header("X-Auth-Subject"), None);
}

/// A credential that is present and bad is never skipped in favour of another method that would accept nothing.
#[tokio::test]
async fn two_methods_of_one_kind_are_asked_in_turn() {
    let upstream = Upstream::start();
    let (first, second) = (ApiKey::of("acme"), ApiKey::of("globex"));
    let gateway = Gateway::builder(
        r#"
        auth:
          one: { api_key: { keys: one.yaml } }
          two: { api_key: { keys: two.yaml } }
          staff: { basic: { users: staff.htpasswd, realm: One } }
          guests: { basic: { users: guests.htpasswd, realm: Two } }
        identity: { headers: { X-Auth-Via: auth } }
        upstreams: { it: "{upstream}" }
        routes:
          - { name: it, match: { path: /it }, auth: [one, two, staff, guests], upstream: it }
        "#,
    )
    .with("upstream", upstream.url())
    .file("one.yaml", keys_yaml(&[&first]))
    .file("two.yaml", keys_yaml(&[&second]))
    .file("staff.htpasswd", htpasswd_bcrypt("bob", PASSWORD))
    .file("guests.htpasswd", htpasswd_bcrypt("bob", "another") + &htpasswd_bcrypt("eve", PASSWORD))
    .start()
    .await;
    for (name, value, expect) in [
        ("X-API-Key", first.key.clone(), Some("one")),
        ("X-API-Key", second.key.clone(), Some("two")),
        ("Authorization", basic("bob", PASSWORD), Some("staff")),
        ("Authorization", basic("eve", PASSWORD), Some("guests")),
        // The first file that knows the user decides.
        ("Authorization", basic("bob", "another"), None),
    ] {
        let answer = gateway.https().get("/it").header(name, &value).await;
        if let Some(auth) = expect {
            answer.assert_status(200);
            assert_eq!(upstream.take_one().header("X-Auth-Via"), Some(auth));
        } else {
            assert_problem(&answer, 401, "invalid_credential");
            let realms: Vec<_> = challenges(&answer)
                .into_iter()
                .filter_map(|each| each.parameters.get("realm").cloned())
                .collect();
            assert_eq!(
                realms,
                ["portcullis", "One", "Two"],
                "two realms are two challenges, one scheme is one"
            );
            upstream.assert_nothing();
        }
    }
}

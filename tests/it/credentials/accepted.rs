//! Good credentials: who the upstream hears of, and that it never sees the credential itself.

use crate::harness::credentials::{ApiKey, basic, htpasswd_bcrypt, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::issuer::Issuer;
use crate::harness::upstream::Upstream;

use super::door::{Door, FIELDS, PASSWORD, Version};

/// K02: the same key in each of its places is the same caller.
#[tokio::test]
async fn every_kind_opens_the_same_route_and_the_upstream_hears_who_it_is() {
    let door = Door::open().await;
    for version in Version::ALL {
        for good in door.good() {
            let what = format!("{} over {}", good.what, version.name());
            let (name, value) = &good.field;
            let client = door.gateway.https();
            // Whatever a client says about itself is not what the upstream hears.
            let call = client.get("/v1/orders/7?page=2").header(name, value).header("X-Auth-Subject", "root");
            let answer = version.over(call.header("X-Auth-Roles", "admin")).await;
            assert_eq!((answer.status, answer.text()), (200, "ok"), "{what}: {answer:?}");

            let received = door.upstream.take_one();
            assert_eq!(received.target, "/v1/orders/7?page=2", "{what}");
            for (field, expect) in FIELDS.iter().zip(&good.expect) {
                assert_eq!(received.header(field), expect.as_deref(), "{what}: {field}");
            }
            assert_eq!(received.header("Authorization"), None, "{what}");
            assert_eq!(received.header("X-API-Key"), None, "{what}");

            let line = door.line(&answer).await;
            let [auth, method, subject, .., key_id] = &good.expect;
            assert_eq!(received.header("X-Request-Id"), line["request_id"].as_str(), "{what}");
            for (member, expect) in
                [("auth", auth), ("auth_method", method), ("subject", subject), ("key_id", key_id)]
            {
                assert_eq!(line[member].as_str(), expect.as_deref(), "{what}: {member} in {line}");
            }
            assert_eq!(line["outcome"], "allowed", "{what}: {line}");
            assert_eq!(line["reason"], "ok", "{what}: {line}");
            assert_eq!(line["protocol"], version.name(), "{what}: {line}");
            assert_eq!(line["path"], "/v1/orders/7", "the query is never logged: {line}");
            assert_eq!(line["status"], 200, "{what}: {line}");
            assert_eq!(line["upstream"], "orders", "{what}: {line}");
        }
    }
}

#[tokio::test]
async fn a_credential_is_forwarded_only_where_the_file_says_so() {
    let upstream = Upstream::start();
    let issuer = Issuer::start();
    let key = ApiKey::of("acme");
    let gateway = Gateway::builder(
        r#"
        auth:
          partners: { api_key: { keys: keys.yaml, forward_credential: true } }
          staff: { basic: { users: staff.htpasswd, realm: Tools, forward_credential: true } }
          users: { jwt: { issuer: "{issuer}", audience: https://api.example.com, forward_credential: true } }
        upstreams: { orders: "{upstream}" }
        routes:
          - name: orders
            match: { path: /v1/orders/** }
            auth: [partners, staff, users]
            upstream: orders
        "#,
    )
    .with("upstream", upstream.url())
    .with("issuer", issuer.url())
    .file("keys.yaml", keys_yaml(&[&key]))
    .file("staff.htpasswd", htpasswd_bcrypt("bob", PASSWORD))
    .start()
    .await;
    let bearer = issuer.token().bearer();
    for (name, value) in [
        ("X-API-Key", key.key.clone()),
        ("Authorization", key.authorization()),
        ("Authorization", basic("apikey", &key.key)),
        ("Authorization", basic("bob", PASSWORD)),
        ("Authorization", bearer),
    ] {
        for version in Version::ALL {
            let client = gateway.https();
            let answer = version.over(client.get("/v1/orders/7").header(name, &value)).await;
            answer.assert_status(200);
            let received = upstream.take_one();
            assert_eq!(received.header(name), Some(value.as_str()), "{version:?}");
            assert!(received.header("X-Auth-Subject").is_some());
        }
    }
}

/// H09: what is known of one caller never shows in the request of the next one on the same connections.
#[tokio::test]
async fn nothing_of_one_caller_is_left_for_the_next() {
    let door = Door::open().await;
    let mut connection = door.gateway.https().connect().await;
    let http2 = door.gateway.https().http2().await;
    for _ in 0..3 {
        for good in door.good() {
            let (name, value) = &good.field;
            connection.get("/v1/orders/7").header(name, value).await.assert_status(200);
            http2.get("/v1/orders/7").header(name, value).await.assert_status(200);
            for received in door.upstream.take() {
                for (field, expect) in FIELDS.iter().zip(&good.expect) {
                    assert_eq!(received.header(field), expect.as_deref(), "{}: {field}", good.what);
                }
            }
        }
    }
}

//! The issuer. Its signatures are verified with a library that the harness signs nothing with.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use crate::harness::client::{Client, Failure};
use crate::harness::deadline::eventually;
use crate::harness::issuer::{AUDIENCE, DISCOVERY_PATH, Issuer, JWKS_PATH, Serving, SigningKey};

fn verify(token: &str, key: &SigningKey) -> Result<Value, String> {
    let jwk: Jwk = serde_json::from_value(key.jwk()).unwrap();
    let algorithm: Algorithm = key.algorithm().parse().unwrap();
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&[AUDIENCE]);
    let key = DecodingKey::from_jwk(&jwk).unwrap();
    decode(token, &key, &validation).map(|token| token.claims).map_err(|error| error.to_string())
}

#[test]
fn every_algorithm_signs_what_others_verify() {
    let rsa = SigningKey::rsa("rsa");
    let secret = SigningKey::secret("secret", "x".repeat(64));
    let keys = [
        SigningKey::es256("a"),
        SigningKey::es384("b"),
        SigningKey::eddsa("c"),
        rsa.clone(),
        rsa.clone().with_algorithm("RS384"),
        rsa.clone().with_algorithm("RS512"),
        rsa.clone().with_algorithm("PS256"),
        rsa.clone().with_algorithm("PS384"),
        rsa.clone().with_algorithm("PS512"),
        secret.clone(),
        secret.clone().with_algorithm("HS384"),
        secret.with_algorithm("HS512"),
    ];
    let issuer = Issuer::start();
    for key in keys {
        let token = issuer.token().signed_by(&key);
        let claims = verify(&token.sign(), &key).unwrap_or_else(|error| panic!("{key:?}: {error}"));
        assert_eq!(claims, token.claims(), "{key:?}");
        assert_eq!(verify(&token.clone().corrupt().sign(), &key).unwrap_err(), "InvalidSignature", "{key:?}");
        let header = decode_header(token.sign()).unwrap();
        assert_eq!(header.kid.as_deref(), Some(key.kid()));
    }
}

type Read = fn(&[u8]) -> jsonwebtoken::errors::Result<DecodingKey>;

#[test]
fn public_keys_as_pem() {
    let token = Issuer::start().token();
    let read: [(SigningKey, Read); 3] = [
        (SigningKey::rsa("rsa"), DecodingKey::from_rsa_pem),
        (SigningKey::es256("ec"), DecodingKey::from_ec_pem),
        (SigningKey::eddsa("ed"), DecodingKey::from_ed_pem),
    ];
    for (key, read) in read {
        let mut validation = Validation::new(key.algorithm().parse().unwrap());
        validation.set_audience(&[AUDIENCE]);
        let decoding = read(key.public_pem().as_bytes()).unwrap();
        let decoded = decode::<Value>(token.clone().signed_by(&key).sign(), &decoding, &validation);
        assert!(decoded.is_ok(), "{key:?}: {decoded:?}");
    }
    let other = SigningKey::new_rsa("rsa");
    assert_ne!(other.jwk(), SigningKey::rsa("rsa").jwk());
    assert_eq!(SigningKey::rsa("b").with_kid("rsa").jwk(), SigningKey::rsa("rsa").jwk());
}

#[test]
fn tokens_can_be_wrong_in_every_way() {
    let issuer = Issuer::start();
    let key = issuer.key();
    let part = |token: &str, at: usize| {
        let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap()).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let good = issuer.token();
    assert_ne!(good.jti(), issuer.token().jti());
    assert_eq!(verify(good.bearer().strip_prefix("Bearer ").unwrap(), &key).unwrap(), good.claims());
    assert_eq!(good.claims()["iss"], issuer.url());

    let expired = good.clone().issued(Duration::from_secs(3600), Duration::from_secs(1800));
    assert_eq!(verify(&expired.sign(), &key).unwrap_err(), "ExpiredSignature");
    let odd =
        good.clone().without("sub").claim("aud", json!([AUDIENCE, "b"])).expires_in(Duration::from_secs(9));
    let claims = verify(&odd.sign(), &key).unwrap();
    assert!(claims.get("sub").is_none() && claims["aud"][1] == "b");

    let unsigned = good.clone().unsigned("none").sign();
    assert!(unsigned.ends_with('.') && part(&unsigned, 0).contains(r#""alg":"none""#), "{unsigned}");
    let raw = good.clone().raw_claims(r#"{"sub":"a","sub":"b"}"#).raw_header("{").sign();
    assert_eq!((part(&raw, 0).as_str(), part(&raw, 1).as_str()), ("{", r#"{"sub":"a","sub":"b"}"#));
    let given = good.clone().signature([0; 64]).sign();
    assert!(given.ends_with(&"A".repeat(86)), "{given}");
    let header = part(&good.clone().without_header("kid").header("crit", json!(["x"])).sign(), 0);
    assert!(!header.contains("kid") && header.contains(r#""crit":["x"]"#), "{header}");

    // The public key as a secret: signed by whoever knows what everyone knows.
    let confused = good.hmac("HS256", key.public_pem()).sign();
    let secret = SigningKey::secret(key.kid(), key.public_pem());
    assert!(verify(&confused, &secret).is_ok());
    assert!(part(&confused, 0).contains(r#""alg":"HS256""#));
}

#[tokio::test]
async fn documents_are_served_counted_and_broken() {
    let issuer = Issuer::start();
    let client = Client::plain(issuer.url().trim_start_matches("http://").parse().unwrap());
    let discovery = client.get(DISCOVERY_PATH).await.json();
    assert_eq!(
        (&discovery["issuer"], &discovery["jwks_uri"]),
        (&issuer.url().into(), &issuer.jwks_url().into())
    );
    assert_eq!(client.get(JWKS_PATH).await.json(), issuer.jwks());
    assert_eq!((issuer.key_fetches(), issuer.fetches(DISCOVERY_PATH), issuer.traffic()), (1, 1, (2, 2)));

    for (serving, status, text) in [
        (Serving::NotFound, 404, "not here"),
        (Serving::ServerError, 500, "not now"),
        (Serving::Html, 200, "<!doctype html>"),
        (Serving::Redirect("http://127.0.0.1:1/".to_owned()), 302, "elsewhere"),
        (Serving::Text("{}".to_owned()), 200, "{}"),
        (Serving::Slowly(Duration::from_millis(20)), 200, "keys"),
        (Serving::Properly, 200, "keys"),
    ] {
        issuer.serve_keys(&serving);
        let answer = client.get(JWKS_PATH).await;
        assert!(answer.status == status && answer.text().contains(text), "{serving:?}: {answer:?}");
    }
    issuer.serve_keys(&Serving::Huge);
    let mut connection = client.connect().await;
    connection.write(format!("GET {JWKS_PATH} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    assert_eq!(connection.head_to("GET").await.header("content-length"), Some("104857600"));
    issuer.serve_discovery_like(&Serving::Hang);
    let mut connection = client.connect().await;
    connection.write(format!("GET {DISCOVERY_PATH} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    eventually("the request", || (issuer.fetches(DISCOVERY_PATH) == 2).then_some(())).await;
    issuer.serve_discovery(json!({ "issuer": "https://elsewhere.example" }));
    assert_eq!(client.get(DISCOVERY_PATH).await.json()["issuer"], "https://elsewhere.example");
    assert!(connection.is_idle().await);

    issuer.stop().await;
    assert!(matches!(client.get(JWKS_PATH).outcome().await, Err(Failure::Refused(_))));
    issuer.start_again();
    client.get(DISCOVERY_PATH).await;
}

#[tokio::test]
async fn keys_rotate() {
    let issuer = Issuer::with_keys(vec![SigningKey::es256("a")]);
    let kids = |issuer: &Issuer| {
        let keys = issuer.jwks()["keys"].as_array().unwrap().clone();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    issuer.add(SigningKey::es256("b"));
    assert_eq!(
        (kids(&issuer), issuer.key().kid().to_owned()),
        (vec!["a".into(), "b".into()], "a".to_owned())
    );
    issuer.remove("a");
    assert_eq!((kids(&issuer), issuer.key().kid().to_owned()), (vec!["b".into()], "b".to_owned()));
    issuer.rotate(vec![SigningKey::eddsa("c")]);
    assert_eq!(kids(&issuer), ["c"]);
    let client = Client::plain(issuer.url().trim_start_matches("http://").parse().unwrap());
    assert_eq!(client.get(JWKS_PATH).await.json(), issuer.jwks());
}

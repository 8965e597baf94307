//! Files of credentials, read by the libraries that the formats come from.

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use serde_json::{Value, json};

use crate::harness::credentials::{
    ApiKey, basic, bearer, htpasswd_argon2id, htpasswd_bcrypt, htpasswd_slow, keys_yaml, sha256,
};

#[test]
fn keys() {
    let acme = ApiKey::of("acme").scopes(&["orders:read"]).roles(&["editor"]).expires("2027-02-19T09:00:00Z");
    let other = ApiKey::from_text("a: \"b\"", "legacy").id("k_2").created("2026-11-21T09:00:00Z");
    let document: Value = serde_yaml::from_str(&keys_yaml(&[&acme, &other])).unwrap();
    assert_eq!(
        document["keys"][0],
        json!({
            "id": "k_acme", "owner": "acme", "sha256": sha256(&acme.key), "scopes": ["orders:read"],
            "roles": ["editor"], "expires": "2027-02-19T09:00:00Z",
        })
    );
    assert_eq!(
        (&document["keys"][1]["owner"], &document["keys"][1]["expires"]),
        (&json!("a: \"b\""), &json!("never"))
    );
    assert_eq!(document["keys"][1]["created"], "2026-11-21T09:00:00Z");
    assert_eq!(serde_yaml::from_str::<Value>(&keys_yaml(&[])).unwrap(), json!({ "keys": [] }));
    assert_eq!(
        (acme.header(), acme.authorization()),
        (("X-API-Key", acme.key.as_str()), format!("ApiKey {}", acme.key))
    );
}

#[test]
fn passwords() {
    for line in [htpasswd_argon2id("alice", "secret"), htpasswd_slow("alice", "secret")] {
        let hash = line.strip_prefix("alice:").and_then(|line| line.strip_suffix('\n')).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
        let hash = PasswordHash::new(hash).unwrap();
        let verify = |password: &str| argon2::Argon2::default().verify_password(password.as_bytes(), &hash);
        assert!(verify("secret").is_ok() && verify("wrong").is_err());
    }
    let line = htpasswd_bcrypt("bob", "secret");
    let hash = line.strip_prefix("bob:$2y$04$").map(|rest| format!("$2y$04${}", rest.trim_end())).unwrap();
    assert!(bcrypt::verify("secret", &hash).unwrap() && !bcrypt::verify("wrong", &hash).unwrap());
}

#[test]
fn header_values() {
    // RFC 7617 section 2, RFC 6750 section 2.1.
    assert_eq!(basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_eq!(bearer("mF_9.B5f-4.1JqM"), "Bearer mF_9.B5f-4.1JqM");
    assert_eq!(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

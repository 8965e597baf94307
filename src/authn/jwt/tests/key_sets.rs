//! Key sets: which keys are used (J03), which of them is tried for a token, and what becomes of them when the set changes.

use serde_json::json;

use super::super::key_document::{NoKeys, read_jwks};
use super::super::key_set::KeySet;
use super::signer::{Signer, encode, jwk_set, jwks};
use super::*;

/// `jwk` with some members changed; `null` removes one.
fn with(jwk: &Value, changes: &Value) -> Value {
    let mut jwk = jwk.clone();
    for (name, value) in changes.as_object().unwrap() {
        jwk[name] = value.clone();
    }
    jwk.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    jwk
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn keys_that_are_used_and_keys_that_are_not() {
    const MALFORMED: Option<&str> = Some("it is not well formed");
    const ALG: Option<&str> = Some("its `alg` does not fit it or is not supported");
    const CURVE: Option<&str> = Some("its curve is not supported, only P-256, P-384 and Ed25519 are");
    const KIND: Option<&str> = Some("keys of its kind are not supported, only RSA, EC and Ed25519 are");
    const OPS: Option<&str> = Some("its `key_ops` does not contain `verify`");
    const PRIVATE: Option<&str> = Some("it is a private key, which belongs to the issuer alone");
    const SYMMETRIC: Option<&str> = Some("it is a shared secret, which must not stand among public keys");
    const USE: Option<&str> = Some("its `use` is not `sig`");
    let signers = asymmetric();
    let [ed, p256, p384, rsa] = KEYS.map(|kid| signers[kid].jwk());
    let number = |bytes: usize, first: u8| {
        let mut number = vec![0x55; bytes];
        number[0] = first;
        number[bytes - 1] |= 1;
        encode(number)
    };
    let modulus =
        base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, rsa["n"].as_str().unwrap())
            .unwrap();
    let (x, y) = (p256["x"].as_str().unwrap(), p256["y"].as_str().unwrap());
    for (jwk, expect) in [
        (ed.clone(), None),
        (p256.clone(), None),
        (p384.clone(), None),
        (rsa.clone(), None),
        (with(&rsa, &json!({ "kid": null })), None),
        (with(&rsa, &json!({ "use": "sig", "key_ops": ["verify"], "alg": "PS512" })), None),
        (with(&rsa, &json!({ "key_ops": ["sign", "verify"] })), None),
        (with(&rsa, &json!({ "x5t": "AAAA", "x5c": ["AAAA"], "x5u": "https://evil.example" })), None),
        (with(&rsa, &json!({ "x-vendor": { "a": [1] } })), None),
        (with(&ed, &json!({ "alg": "EdDSA" })), None),
        (with(&ed, &json!({ "alg": "Ed25519" })), None),
        (with(&rsa, &json!({ "n": encode([&[0], &modulus[..]].concat()) })), None),
        (with(&rsa, &json!({ "e": encode([0, 1, 0, 1]) })), None),
        (with(&rsa, &json!({ "e": encode([3]) })), None),
        // For something else.
        (with(&rsa, &json!({ "use": "enc" })), USE),
        (with(&rsa, &json!({ "use": "SIG" })), USE),
        (with(&rsa, &json!({ "use": "" })), USE),
        (with(&rsa, &json!({ "use": "tls" })), USE),
        (with(&rsa, &json!({ "use": 1 })), MALFORMED),
        (with(&rsa, &json!({ "key_ops": [] })), OPS),
        (with(&rsa, &json!({ "key_ops": ["sign"] })), OPS),
        (with(&rsa, &json!({ "key_ops": ["encrypt", "wrapKey"] })), OPS),
        (with(&rsa, &json!({ "key_ops": ["Verify"] })), OPS),
        (with(&rsa, &json!({ "key_ops": "verify" })), MALFORMED),
        // For another algorithm.
        (with(&rsa, &json!({ "alg": "ES256" })), ALG),
        (with(&rsa, &json!({ "alg": "HS256" })), ALG),
        (with(&rsa, &json!({ "alg": "none" })), ALG),
        (with(&rsa, &json!({ "alg": "RSA-OAEP" })), ALG),
        (with(&rsa, &json!({ "alg": "rs256" })), ALG),
        (with(&rsa, &json!({ "alg": "" })), ALG),
        (with(&rsa, &json!({ "alg": 256 })), ALG),
        (with(&p256, &json!({ "alg": "ES384" })), ALG),
        (with(&p384, &json!({ "alg": "ES256" })), ALG),
        (with(&p256, &json!({ "alg": "ECDH-ES" })), ALG),
        (with(&ed, &json!({ "alg": "ES256" })), ALG),
        (with(&ed, &json!({ "alg": "Ed448" })), ALG),
        // Of another kind.
        (json!({ "kty": "oct", "k": encode("x".repeat(64)), "kid": "s" }), SYMMETRIC),
        (json!({ "kty": "oct", "k": encode("x".repeat(64)), "alg": "HS256", "use": "sig" }), SYMMETRIC),
        (with(&rsa, &json!({ "kty": "rsa" })), KIND),
        (with(&rsa, &json!({ "kty": "AKP" })), KIND),
        (with(&rsa, &json!({ "kty": null })), MALFORMED),
        (with(&rsa, &json!({ "kty": 1 })), MALFORMED),
        (with(&p256, &json!({ "crv": "P-521" })), CURVE),
        (with(&p256, &json!({ "crv": "secp256k1" })), CURVE),
        (with(&p256, &json!({ "crv": "p-256" })), CURVE),
        (with(&p256, &json!({ "crv": "Ed25519" })), CURVE),
        (with(&p256, &json!({ "crv": null })), MALFORMED),
        (with(&ed, &json!({ "crv": "Ed448" })), CURVE),
        (with(&ed, &json!({ "crv": "X25519" })), CURVE),
        (with(&ed, &json!({ "crv": "P-256" })), CURVE),
        (with(&rsa, &json!({ "d": "AQAB" })), PRIVATE),
        (with(&ed, &json!({ "d": "AQAB" })), PRIVATE),
        // Too weak, too large, or no key at all.
        (
            with(&rsa, &json!({ "n": number(128, 0xc0) })),
            Some("its RSA modulus has 1024 bits, and 2048 to 8192 are needed"),
        ),
        (
            with(&rsa, &json!({ "n": number(256, 0x7f) })),
            Some("its RSA modulus has 2047 bits, and 2048 to 8192 are needed"),
        ),
        (
            with(&rsa, &json!({ "n": number(1025, 1) })),
            Some("its RSA modulus has 8193 bits, and 2048 to 8192 are needed"),
        ),
        (
            with(&rsa, &json!({ "n": encode([vec![0; 128], vec![0xff; 128]].concat()) })),
            Some("its RSA modulus has 1024 bits, and 2048 to 8192 are needed"),
        ),
        (with(&rsa, &json!({ "n": "" })), MALFORMED),
        (with(&rsa, &json!({ "n": null })), MALFORMED),
        (with(&rsa, &json!({ "n": format!("{}=", rsa["n"].as_str().unwrap()) })), MALFORMED),
        (with(&rsa, &json!({ "e": encode([1]) })), MALFORMED),
        (with(&rsa, &json!({ "e": encode([2]) })), MALFORMED),
        (with(&rsa, &json!({ "e": encode([0]) })), MALFORMED),
        (with(&rsa, &json!({ "e": encode([1, 0, 0]) })), MALFORMED),
        (with(&rsa, &json!({ "e": encode([2, 0, 0, 0, 1]) })), MALFORMED),
        (with(&rsa, &json!({ "e": "" })), MALFORMED),
        (with(&p256, &json!({ "y": x, "x": y })), MALFORMED),
        (with(&p256, &json!({ "x": encode([0; 32]), "y": encode([0; 32]) })), MALFORMED),
        (with(&p256, &json!({ "x": encode([1; 31]) })), MALFORMED),
        (with(&p256, &json!({ "y": null })), MALFORMED),
        (with(&p256, &json!({ "crv": "P-384" })), MALFORMED),
        (with(&p384, &json!({ "crv": "P-256" })), MALFORMED),
        (with(&ed, &json!({ "x": encode([7; 31]) })), MALFORMED),
        (with(&ed, &json!({ "x": encode([7; 33]) })), MALFORMED),
        (with(&ed, &json!({ "x": encode(signers["ed"].spki()) })), MALFORMED),
        (with(&rsa, &json!({ "kid": 7 })), MALFORMED),
        (json!("key"), MALFORMED),
        (json!(null), MALFORMED),
        (json!([]), MALFORMED),
        (json!({}), MALFORMED),
    ] {
        let found = match read_jwks(jwk_set([jwk.clone()]).as_bytes(), None) {
            Ok(reading) => {
                assert!(reading.left_out.is_empty());
                None
            }
            Err(error) => Some(error.to_string()),
        };
        let name =
            jwk.get("kid").and_then(Value::as_str).map_or("key 1".to_owned(), |kid| format!("key `{kid}`"));
        let expect = expect.map(|reason| format!("it holds no usable key; {name} is left out: {reason}"));
        assert_eq!(found, expect, "{jwk:#}");
    }
}

#[test]
fn documents_that_are_no_key_set() {
    for document in [
        "",
        "{}",
        "[]",
        "null",
        "{\"keys\":null}",
        "{\"keys\":{}}",
        "{\"keys\":\"x\"}",
        "<html></html>",
        "{\"keys\":[]",
        "\u{feff}{\"keys\":[]}",
    ] {
        assert_eq!(read_jwks(document.as_bytes(), None).unwrap_err(), NoKeys::NotJwks, "{document}");
    }
    assert_eq!(read_jwks(b"{\"keys\":[]}", None).unwrap_err(), NoKeys::NoneUsable(Vec::new()));
}

#[test]
fn a_set_is_bounded() {
    let signers: Vec<Signer> = (0..101).map(|_| Signer::ed25519(None)).collect();
    let reading = read_jwks(jwks(&signers.iter().collect::<Vec<_>>()).as_bytes(), None).unwrap();
    let left_out: Vec<String> = reading.left_out.iter().map(ToString::to_string).collect();
    assert_eq!(
        (reading.keys.len(), left_out),
        (100, vec!["key 101 is left out: only the first 100 keys are read".to_owned()])
    );
}

/// The names of keys come from outside and end up in logs.
#[test]
fn names_of_keys_are_shown_only_when_they_can_be() {
    for (kid, shown) in [
        (json!("2026-11"), "key `2026-11`"),
        (json!("a\nb"), "key 1"),
        (json!("\u{1b}[31m"), "key 1"),
        (json!("x".repeat(65)), "key 1"),
        (json!(""), "key 1"),
    ] {
        let error = read_jwks(jwk_set([json!({ "kty": "oct", "k": "AA", "kid": kid })]).as_bytes(), None)
            .unwrap_err();
        let expect = format!(
            "it holds no usable key; {shown} is left out: it is a shared secret, which must not stand among public keys"
        );
        assert_eq!(error.to_string(), expect);
    }
}

#[tokio::test]
async fn the_key_is_chosen_by_name_and_by_algorithm() {
    let [first, second, third] = [Signer::p256("same"), Signer::p256("same"), Signer::ed25519("same")];
    let (other, nameless) = (Signer::p256("other"), Signer::p256(None));
    let claims = claims(&json!({}));
    let renamed = |signer: &Signer, kid: Option<&str>| {
        let header = match kid {
            Some(kid) => json!({ "alg": signer.algorithms()[0], "kid": kid }),
            None => json!({ "alg": signer.algorithms()[0] }),
        };
        signer.sign(signer.algorithms()[0], &header.to_string(), &claims.to_string())
    };
    let bench = Bench::new();
    let named = bench.with_keys(&[&first, &second, &third, &other]);
    let mixed = bench.with_keys(&[&first, &nameless]);
    for (method, name, token, expect) in [
        (&named, "first of two with the name", renamed(&first, Some("same")), "verified"),
        (&named, "second of two with the name", renamed(&second, Some("same")), "verified"),
        (&named, "of another kind with the name", renamed(&third, Some("same")), "verified"),
        (&named, "under the name of another", renamed(&first, Some("other")), "bad_signature"),
        (&named, "of another kind under a name", renamed(&third, Some("other")), "wrong_algorithm"),
        (&named, "under an unknown name", renamed(&first, Some("unknown")), "unknown_key"),
        (&named, "without a name", renamed(&other, None), "verified"),
        (&named, "without a name, unknown", renamed(&nameless, None), "bad_signature"),
        (&mixed, "nameless key, no name", renamed(&nameless, None), "verified"),
        (&mixed, "nameless key, some name", renamed(&nameless, Some("unknown")), "verified"),
        (&mixed, "nameless key, name of another", renamed(&nameless, Some("same")), "bad_signature"),
        (&mixed, "named key, no name", renamed(&first, None), "verified"),
        (&mixed, "named key, unknown name", renamed(&first, Some("unknown")), "bad_signature"),
        (&mixed, "no key of the kind", renamed(&third, None), "wrong_algorithm"),
    ] {
        check(method, name, &token, expect).await;
    }
}

#[tokio::test]
async fn a_key_is_good_for_the_algorithm_that_it_names() {
    let bench = Bench::new();
    let rsa = Signer::rsa("rsa");
    bench.write("keys.json", jwk_set([with(&rsa.jwk(), &json!({ "alg": "PS256" }))]));
    let method = bench.compile(&yaml("jwks_file: keys.json\n"));
    for algorithm in rsa.algorithms() {
        let token = rsa.sign(algorithm, &rsa.header(algorithm), &claims(&json!({})).to_string());
        check(&method, algorithm, &token, if *algorithm == "PS256" { "verified" } else { "wrong_algorithm" })
            .await;
    }
}

/// What the method does not accept, no key makes acceptable.
#[tokio::test]
async fn a_method_accepts_the_algorithms_that_it_names() {
    let bench = Bench::new();
    let signers = asymmetric();
    bench.write("keys.json", jwks(&signers.values().collect::<Vec<_>>()));
    let method = bench.compile(&yaml("jwks_file: keys.json\nalgorithms: [RS256, EdDSA]\n"));
    for signer in signers.values() {
        for algorithm in signer.algorithms() {
            let token = signer.sign(algorithm, &signer.header(algorithm), &claims(&json!({})).to_string());
            let accepted = ["RS256", "EdDSA", "Ed25519"].contains(algorithm);
            check(&method, algorithm, &token, if accepted { "verified" } else { "wrong_algorithm" }).await;
        }
    }
}

/// Without a name at most eight keys are tried, so a token cannot make the gateway verify a hundred signatures.
#[tokio::test]
async fn tries_are_bounded() {
    let signers: Vec<Signer> = (0..9).map(|_| Signer::ed25519(None)).collect();
    let method = Bench::new().with_keys(&signers.iter().collect::<Vec<_>>());
    for (at, signer) in signers.iter().enumerate() {
        let expect = if at < 8 { "verified" } else { "bad_signature" };
        check(&method, &format!("key {at}"), &signer.token(&claims(&json!({}))), expect).await;
    }
}

#[test]
fn a_set_takes_over_what_it_knows_and_retires_the_rest() {
    let [a, b, c] = [Signer::ed25519("a"), Signer::ed25519("b"), Signer::ed25519("c")];
    let read = |signers: &[&Signer], before: Option<&KeySet>| {
        read_jwks(jwks(signers).as_bytes(), before).unwrap().keys
    };
    let first = read(&[&a, &b, &b], None);
    assert_eq!(first.len(), 2, "the same key twice is one key");
    let second = read(&[&c, &b], Some(&first));
    assert!(!first.has_same_keys(&second) && first.has_same_keys(&read(&[&b, &a], None)));
    first.retire_for(&second);
    let retired = |set: &KeySet| {
        set.iter().map(|key| (key.id().unwrap().to_owned(), key.is_retired())).collect::<Vec<_>>()
    };
    assert_eq!(retired(&first), [("a".to_owned(), true), ("b".to_owned(), false)]);
    assert_eq!(retired(&second), [("c".to_owned(), false), ("b".to_owned(), false)]);
    // A key of the same name that is another key does not inherit the trust.
    let third = read(&[&c, &Signer::ed25519("b")], Some(&second));
    second.retire_for(&third);
    assert_eq!(retired(&second), [("c".to_owned(), false), ("b".to_owned(), true)]);
    // Nor does the same key for other algorithms: it was told apart on purpose.
    let rsa = Signer::rsa("r");
    let all = read(&[&rsa], None);
    let narrowed = jwk_set([with(&rsa.jwk(), &json!({ "alg": "RS256" }))]);
    let narrowed = read_jwks(narrowed.as_bytes(), Some(&all)).unwrap().keys;
    all.retire_for(&narrowed);
    assert_eq!(retired(&all), [("r".to_owned(), true)]);
}

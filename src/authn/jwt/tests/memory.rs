//! What is remembered of a verified token, for how long, and across which reloads (J15).

use serde_json::json;

use super::super::cache::Remembered;
use super::signer::{Signer, jwks};
use super::*;

/// Whether `token` is remembered and, as every caller checks, valid at `now`.
fn remembers(method: &Method, token: &str, now: u64) -> bool {
    method.remembered(Token::from(token)).is_some_and(|identity| identity.validity.check(now).is_ok())
}

fn counts(bench: &Bench) -> (u64, u64) {
    let series = bench.metrics.auth("users");
    (series.cache_hits.get(), series.cache_misses.get())
}

#[tokio::test]
async fn a_verified_token_is_remembered_until_it_ends() {
    let bench = Bench::new();
    let signer = Signer::ed25519("ed");
    let method = bench.with_keys(&[&signer]);
    let token = signer.token(&claims(&json!({ "nbf": NOW - 10 })));
    assert!(!remembers(&method, &token, NOW));
    assert_eq!(counts(&bench), (0, 0), "not knowing a token says nothing about it");
    let identity = identify(&method, &token).await;
    assert_eq!(counts(&bench), (0, 1));
    let remembered = method.remembered(Token::from(&*token)).unwrap();
    assert!(Arc::ptr_eq(&identity, &remembered));
    assert_eq!(counts(&bench), (1, 1));
    // exp is NOW + 600 and the leeway 30.
    for (now, expect) in [(NOW - 41, false), (NOW - 40, true), (NOW + 629, true), (NOW + 630, false)] {
        assert_eq!(remembers(&method, &token, now), expect, "{now}");
        let attempt = method.attempt(Token::from(&*token), now).await;
        assert_eq!(matches!(attempt, Attempt::Verified(_)), expect, "{now}: remembered or not");
    }
}

#[tokio::test]
async fn only_the_same_token_is_remembered() {
    let bench = Bench::new();
    let signer = Signer::ed25519("ed");
    let method = bench.with_keys(&[&signer]);
    let token = signer.token(&claims(&json!({})));
    identify(&method, &token).await;
    for at in 0..token.len() {
        let mut other = token.clone().into_bytes();
        other[at] ^= 1;
        assert!(!remembers(&method, std::str::from_utf8(&other).unwrap(), NOW), "{at}");
    }
    assert!(!remembers(&method, &token[..token.len() - 1], NOW));
    assert!(!remembers(&method, &format!("{token}A"), NOW));
    assert!(remembers(&method, &token, NOW));
}

#[tokio::test]
async fn failures_are_not_remembered() {
    let bench = Bench::new();
    let signer = Signer::ed25519("ed");
    let method = bench.with_keys(&[&signer]);
    for (name, changes, expect) in [
        ("expired", json!({ "exp": NOW - 100 }), "expired"),
        ("not yet valid", json!({ "nbf": NOW + 100 }), "not_yet_valid"),
        ("for someone else", json!({ "aud": "x" }), "wrong_audience"),
        ("of someone else", json!({ "iss": "x" }), "absent"),
    ] {
        let token = signer.token(&claims(&changes));
        check(&method, name, &token, expect).await;
        assert!(!remembers(&method, &token, NOW), "{name}");
    }
    let stranger = Signer::ed25519("ed").token(&claims(&json!({})));
    check(&method, "signed by someone else", &stranger, "bad_signature").await;
    assert!(!remembers(&method, &stranger, NOW));
    // A token of another issuer is none of this method's business.
    assert_eq!(counts(&bench), (0, 8));
}

/// CVE-2021-32701, CVE-2026-39035: a token that was accepted for one audience must be judged anew for another.
#[tokio::test]
async fn what_one_method_remembers_is_nothing_to_another() {
    let bench = Bench::new();
    let signer = Signer::ed25519("ed");
    let one = bench.with_keys(&[&signer]);
    let other = bench.compile(&format!("issuer: {ISSUER}\naudience: elsewhere\njwks_file: keys.json\n"));
    let token = signer.token(&claims(&json!({})));
    check(&one, "its own", &token, "verified").await;
    assert!(remembers(&one, &token, NOW) && !remembers(&other, &token, NOW));
    check(&other, "the other", &token, "wrong_audience").await;
}

#[tokio::test]
async fn a_token_is_forgotten_with_the_key_that_verified_it() {
    let bench = Bench::new();
    let (old, new) = (Signer::ed25519("old"), Signer::ed25519("new"));
    let method = bench.compile(&yaml("jwks_url: https://id.example.com/keys\n"));
    let mut tending = method.key_source().unwrap().tend().unwrap();
    let mut refresh =
        |signers: &[&Signer]| tending.begin().unwrap().accept(jwks(signers).as_bytes(), NOW).unwrap();
    refresh(&[&old]);
    let by_old = old.token(&claims(&json!({})));
    identify(&method, &by_old).await;
    refresh(&[&new, &old]);
    assert!(remembers(&method, &by_old, NOW), "the key is still in the set");
    refresh(&[&new]);
    assert!(!remembers(&method, &by_old, NOW));
    // A key that comes back is trusted again, but nothing that was remembered before.
    refresh(&[&new, &old]);
    assert!(!remembers(&method, &by_old, NOW));
    check(&method, "verified again", &by_old, "verified").await;
}

/// A reload that changes nothing keeps everything; one that changes something keeps the keys that were fetched.
#[tokio::test]
async fn reloads() {
    let bench = Bench::new();
    let (signer, other) = (Signer::p256("p256"), Signer::p256("other"));
    bench.write("keys.json", jwks(&[&signer]));
    bench.write("key.pem", signer.pem());
    bench.write("secret", "x".repeat(32));
    let url = "jwks_url: https://id.example.com/keys\n";
    let rewrite: &dyn Fn() = &|| bench.write("keys.json", jwks(&[&signer, &other]));
    let respell: &dyn Fn() = &|| bench.write("key.pem", format!("a comment\n{}", signer.pem()));
    let replace: &dyn Fn() = &|| bench.write("secret", "y".repeat(32));
    let nothing: &dyn Fn() = &|| {};
    for (before, after, wanted, change, same_method, same_source) in [
        (url, url, &[][..], nothing, true, true),
        (url, "# a comment\njwks_url: \"https://id.example.com/keys\"\n", &[], nothing, true, true),
        (
            url,
            "jwks_url: https://id.example.com/keys\nleeway: 30s\nalgorithms: [EdDSA, ES384, ES256, PS512, PS384, PS256, RS512, RS384, RS256]\n",
            &[],
            nothing,
            true,
            true,
        ),
        (url, "jwks_url: https://id.example.com/keys\nleeway: 31s\n", &[], nothing, false, true),
        (url, "jwks_url: https://id.example.com/keys\nalgorithms: [ES256]\n", &[], nothing, false, true),
        (url, "jwks_url: https://id.example.com/keys\nforward_credential: true\n", &[], nothing, false, true),
        (url, url, &["email"], nothing, false, true),
        (url, "jwks_url: https://id.example.com/keys2\n", &[], nothing, false, false),
        (url, "", &[], nothing, false, false),
        (url, "jwks_file: keys.json\n", &[], nothing, false, false),
        ("", "", &[], nothing, true, true),
        ("", "leeway: 1s\n", &[], nothing, false, true),
        ("jwks_file: keys.json\n", "jwks_file: keys.json\n", &[], nothing, true, false),
        ("jwks_file: keys.json\n", "jwks_file: keys.json\n", &[], rewrite, false, false),
        ("public_key: key.pem\n", "public_key: key.pem\n", &[], nothing, true, false),
        ("public_key: key.pem\n", "public_key: key.pem\n", &[], respell, true, false),
        ("secret: file:secret\n", "secret: file:secret\n", &[], nothing, true, false),
        ("secret: file:secret\n", "secret: file:secret\n", &[], replace, false, false),
        ("secret: ${SECRET}\n", "secret: ${SECRET}\n", &[], nothing, true, false),
        ("secret: ${SECRET}\n", "secret: ${SECRET}\nalgorithms: [HS512]\n", &[], nothing, false, false),
    ] {
        let first = bench.compile(&yaml(before));
        change();
        let (second, problems) = bench.try_compile(&yaml(after), wanted, Some(&first));
        let second = second.unwrap_or_else(|| panic!("{problems:?}"));
        let name = format!("{before:?} → {after:?}, {wanted:?}");
        assert_eq!(Arc::ptr_eq(&first, &second), same_method, "{name}");
        let sources = first.key_source().zip(second.key_source());
        assert_eq!(sources.is_some_and(|(first, second)| Arc::ptr_eq(first, second)), same_source, "{name}");
    }
}

#[tokio::test]
async fn a_reload_keeps_keys_and_forgets_tokens_that_it_judges_differently() {
    let bench = Bench::new();
    let signer = Signer::ed25519("ed");
    let more = "jwks_url: https://id.example.com/keys\n";
    let first = bench.compile(&yaml(more));
    let mut tending = first.key_source().unwrap().tend().unwrap();
    tending.begin().unwrap().accept(jwks(&[&signer]).as_bytes(), NOW).unwrap();
    let token = signer.token(&claims(&json!({})));
    identify(&first, &token).await;
    let stricter = format!("issuer: {ISSUER}\naudience: elsewhere\n{more}");
    let (second, _) = bench.try_compile(&stricter, &[], Some(&first));
    let second = second.unwrap();
    assert!(second.key_source().unwrap().is_ready() && !remembers(&second, &token, NOW));
    check(&second, "another audience", &token, "wrong_audience").await;
    // A broken reload leaves the first as it is.
    let (broken, problems) =
        bench.try_compile(&yaml("jwks_url: https://id.example.com/keys\nleeway: 1h\n"), &[], Some(&first));
    assert!(broken.is_none() && problems.len() == 1);
    assert!(remembers(&first, &token, NOW) && first.key_source().unwrap().is_ready());
}

/// The memory that tokens take is bounded, whatever their number and size.
#[tokio::test]
async fn what_is_remembered_is_bounded() {
    let bench = Bench::new();
    let signer = Signer::ed25519("ed");
    let method = bench.with_keys(&[&signer]);
    let identity = identify(&method, &signer.token(&claims(&json!({})))).await;
    let key = super::super::key_document::read_jwks(jwks(&[&signer]).as_bytes(), None).unwrap().keys;
    let key = key.iter().next().unwrap().clone();
    let remembered = Remembered::new(1 << 20);
    for at in 0..20_000 {
        remembered.insert(&format!("{at:0>1000}"), identity.clone(), key.clone());
    }
    // Each weighs 2,512 bytes, so 417 fit into a MiB.
    let count = remembered.len();
    assert!((200..=420).contains(&count), "{count}");
    let large = "x".repeat(16 << 10);
    for at in 0..1_000 {
        remembered.insert(&format!("{at}{large}"), identity.clone(), key.clone());
    }
    assert!(remembered.len() <= 420, "{}", remembered.len());
}

//! The inside of tokens: what claims must say (J06 to J09, J14), and what becomes of them.

use serde_json::json;

use super::signer::Signer;
use super::*;
use crate::authn::identity::Validity;
use crate::authn::revocable::{Kind, Revocable};

/// The claims of a good token as JSON text, with some set to other text; empty text leaves a claim out.
fn payload(changes: &[(&str, &str)]) -> String {
    let mut members: Vec<(String, String)> = claims(&json!({}))
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), value.to_string()))
        .collect();
    for (name, value) in changes {
        members.retain(|(own, _)| own != name);
        if !value.is_empty() {
            members.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn sign(signer: &Signer, payload: &str) -> String {
    signer.sign("EdDSA", &signer.header("EdDSA"), payload)
}

async fn check_rows(more: &str, rows: &[(&[(&str, &str)], &str)]) {
    let bench = Bench::new();
    let signer = Signer::ed25519("ed");
    bench.write("keys.json", signer::jwks(&[&signer]));
    let method = bench.compile(&yaml(&format!("jwks_file: keys.json\n{more}")));
    for (changes, expect) in rows {
        check(&method, &format!("{changes:.120?}"), &sign(&signer, &payload(changes)), expect).await;
    }
}

/// J08, RFC 7519 §4.1.1: compared exactly. A token of another issuer may be for the next method.
#[tokio::test]
async fn issuers() {
    check_rows(
        "",
        &[
            (&[("iss", "\"https://id.example.com\"")], "verified"),
            (&[("iss", "\"https:\\/\\/id.example.com\"")], "verified"),
            (&[("iss", "\"https://id.example.com/\"")], "absent"),
            (&[("iss", "\"https://ID.example.com\"")], "absent"),
            (&[("iss", "\"HTTPS://id.example.com\"")], "absent"),
            (&[("iss", "\"https://id.example.com:443\"")], "absent"),
            (&[("iss", "\"https://id.example.com.evil.example\"")], "absent"),
            (&[("iss", "\"https://id.example\"")], "absent"),
            (&[("iss", "\" https://id.example.com\"")], "absent"),
            (&[("iss", "\"https://id.example.com\\u0000\"")], "absent"),
            (&[("iss", "\"\"")], "absent"),
            (&[("iss", "")], "missing_claim"),
            (&[("iss", "null")], "missing_claim"),
            (&[("iss", "1")], "missing_claim"),
            (&[("iss", "[\"https://id.example.com\"]")], "missing_claim"),
            (&[("iss", "{\"https://id.example.com\":1}")], "missing_claim"),
            (&[("iss", "\"https://id.example.com\",\"iss\":\"https://id.example.com\"")], "malformed"),
            (&[("iss", "\"https://id.example.com\",\"\\u0069ss\":\"x\"")], "malformed"),
        ],
    )
    .await;
}

/// RFC 7519 §4.1.3: a text or a list of texts, one of which is us.
#[tokio::test]
async fn audiences() {
    check_rows(
        "",
        &[
            (&[("aud", "\"https://api.example.com\"")], "verified"),
            (&[("aud", "\"https://other.example.com\"")], "verified"),
            (&[("aud", "[\"https://api.example.com\"]")], "verified"),
            (&[("aud", "[\"x\",\"https://api.example.com\",\"y\"]")], "verified"),
            (&[("aud", "\"https://api.example.com/\"")], "wrong_audience"),
            (&[("aud", "\"https://API.example.com\"")], "wrong_audience"),
            (&[("aud", "\"https://api.example.com https://other.example.com\"")], "wrong_audience"),
            (&[("aud", "\"https://api.example.com.evil.example\"")], "wrong_audience"),
            (&[("aud", "\"api.example.com\"")], "wrong_audience"),
            (&[("aud", "\"*\"")], "wrong_audience"),
            (&[("aud", "\"\"")], "wrong_audience"),
            (&[("aud", "[]")], "wrong_audience"),
            (&[("aud", "[\"x\"]")], "wrong_audience"),
            (&[("aud", "")], "missing_claim"),
            (&[("aud", "null")], "missing_claim"),
            (&[("aud", "1")], "missing_claim"),
            (&[("aud", "true")], "missing_claim"),
            (&[("aud", "{\"https://api.example.com\":true}")], "missing_claim"),
            (&[("aud", "[\"https://api.example.com\",1]")], "missing_claim"),
            (&[("aud", "[[\"https://api.example.com\"]]")], "missing_claim"),
            (&[("aud", "[null]")], "missing_claim"),
        ],
    )
    .await;
}

/// J06, J07: times (RFC 7519 §2, §4.1.4 to §4.1.6). The leeway is 30 seconds, the longest lifetime a day.
#[tokio::test]
async fn times() {
    // What follows is written relative to NOW = 1795251600.
    check_rows(
        "",
        &[
            (&[("exp", "1795251601")], "verified"),
            (&[("exp", "1795251600")], "verified"),
            (&[("exp", "1795251571")], "verified"),
            (&[("exp", "1795251570.5")], "verified"),
            (&[("exp", "1795251570")], "expired"),
            (&[("exp", "1795251569.5")], "expired"),
            (&[("exp", "1795251571.0")], "verified"),
            (&[("exp", "1.795251571e9")], "verified"),
            (&[("exp", "1.79525157e9")], "expired"),
            (&[("exp", "0")], "expired"),
            (&[("exp", "-0")], "expired"),
            (&[("exp", "0.5")], "expired"),
            (&[("exp", "")], "missing_claim"),
            (&[("exp", "null")], "missing_claim"),
            (&[("exp", "\"1795252200\"")], "missing_claim"),
            (&[("exp", "-1")], "missing_claim"),
            (&[("exp", "-1795252200")], "missing_claim"),
            (&[("exp", "-1e300")], "missing_claim"),
            (&[("exp", "true")], "missing_claim"),
            (&[("exp", "[1795252200]")], "missing_claim"),
            (&[("exp", "{}")], "missing_claim"),
            (&[("exp", "1e400")], "malformed"),
            (&[("exp", "NaN")], "malformed"),
            (&[("exp", "0x6b018a10")], "malformed"),
            (&[("exp", "1795252200,\"exp\":9999999999")], "malformed"),
            // Lifetimes.
            (&[("iat", "1795251600"), ("exp", "1795338000")], "verified"),
            (&[("iat", "1795251600.25"), ("exp", "1795338000.25")], "verified"),
            (&[("iat", "1795251600"), ("exp", "1795338001")], "lifetime_too_long"),
            (&[("iat", "1795251000"), ("exp", "1795337401")], "lifetime_too_long"),
            (&[("iat", "0")], "lifetime_too_long"),
            (&[("exp", "9999999999")], "lifetime_too_long"),
            (&[("exp", "18446744073709551615")], "lifetime_too_long"),
            (&[("exp", "18446744073709551616")], "lifetime_too_long"),
            (&[("exp", "1e300")], "lifetime_too_long"),
            (&[("iat", ""), ("exp", "1795338000")], "verified"),
            (&[("iat", ""), ("exp", "1795338001")], "lifetime_too_long"),
            (&[("iat", ""), ("exp", "1e300")], "lifetime_too_long"),
            // Issued in the future.
            (&[("iat", "1795251630")], "verified"),
            (&[("iat", "1795251629.9")], "verified"),
            (&[("iat", "1795251630.1")], "issued_in_future"),
            (&[("iat", "1795251631")], "issued_in_future"),
            (&[("iat", "1e300")], "issued_in_future"),
            (&[("iat", "null")], "missing_claim"),
            (&[("iat", "\"1795251600\"")], "missing_claim"),
            (&[("iat", "-1")], "missing_claim"),
            (&[("iat", "1e400")], "malformed"),
            // Not yet.
            (&[("nbf", "1795251600")], "verified"),
            (&[("nbf", "0")], "verified"),
            (&[("nbf", "1795251630")], "verified"),
            (&[("nbf", "1795251629.5")], "verified"),
            (&[("nbf", "1795251630.5")], "not_yet_valid"),
            (&[("nbf", "1795251631")], "not_yet_valid"),
            (&[("nbf", "1e300")], "not_yet_valid"),
            (&[("nbf", "\"0\"")], "missing_claim"),
            (&[("nbf", "null")], "missing_claim"),
            (&[("nbf", "-1")], "missing_claim"),
            (&[("nbf", "false")], "missing_claim"),
        ],
    )
    .await;
    check_rows(
        "leeway: 0s\nmax_lifetime: 11m\n",
        &[
            (&[("exp", "1795251601")], "verified"),
            (&[("exp", "1795251600.5")], "verified"),
            (&[("exp", "1795251600")], "expired"),
            (&[("nbf", "1795251600")], "verified"),
            (&[("nbf", "1795251600.5")], "not_yet_valid"),
            (&[("iat", "1795251600"), ("exp", "1795252260")], "verified"),
            (&[("iat", "1795251600"), ("exp", "1795252261")], "lifetime_too_long"),
            (&[("iat", "1795251601")], "issued_in_future"),
        ],
    )
    .await;
}

/// J09, RFC 8725 §3.11: tokens that the issuer signed for another purpose.
#[tokio::test]
async fn kinds_of_token() {
    check_rows(
        "",
        &[
            (&[("typ", "\"Bearer\"")], "verified"),
            (&[("token_use", "\"access\"")], "verified"),
            (&[("nonce", "\"n\"")], "verified"),
            (&[("events", "[\"a\"]")], "verified"),
            (&[("at_hash", "\"x\"")], "wrong_type"),
            (&[("at_hash", "null")], "wrong_type"),
            (&[("c_hash", "\"x\"")], "wrong_type"),
            (&[("token_use", "\"id\"")], "wrong_type"),
            (&[("token_use", "\"refresh\"")], "wrong_type"),
            (&[("typ", "\"ID\"")], "wrong_type"),
            (&[("typ", "\"Refresh\"")], "wrong_type"),
            (&[("typ", "\"Offline\"")], "wrong_type"),
            (&[("typ", "\"Logout\"")], "wrong_type"),
            (&[("typ", "\"id\"")], "wrong_type"),
            (&[("events", "{\"http://schemas.openid.net/event/backchannel-logout\":{}}")], "wrong_type"),
            // An ID token is for its client.
            (&[("aud", "\"client-1\""), ("azp", "\"client-1\"")], "wrong_audience"),
        ],
    )
    .await;
}

/// J14 and the names that headers and the revocation list carry.
#[tokio::test]
async fn names() {
    let long = format!("\"{}\"", "x".repeat(513));
    check_rows(
        "claims: { roles: realm_access.roles }\n",
        &[
            (&[("sub", "\"auth0|5f7c12\"")], "verified"),
            (&[("sub", "\"José\"")], "verified"),
            (&[("sub", "")], "missing_claim"),
            (&[("sub", "null")], "missing_claim"),
            (&[("sub", "17")], "missing_claim"),
            (&[("sub", "[\"alice\"]")], "missing_claim"),
            (&[("sub", "\"\"")], "malformed"),
            (&[("sub", "\" alice\"")], "malformed"),
            (&[("sub", "\"alice\\r\\nX-Auth-Roles: admin\"")], "malformed"),
            (&[("sub", "\"alice\\u0000\"")], "malformed"),
            (&[("sub", &long)], "malformed"),
            (&[("sub", "\"alice\",\"sub\":\"admin\"")], "malformed"),
            (&[("jti", "\"t-1\"")], "verified"),
            (&[("jti", "null")], "missing_claim"),
            (&[("sid", "null")], "missing_claim"),
            (&[("azp", "null")], "missing_claim"),
            (&[("client_id", "null")], "missing_claim"),
            (&[("jti", "1")], "missing_claim"),
            (&[("sid", "[\"s\"]")], "missing_claim"),
            (&[("azp", "{}")], "missing_claim"),
            (&[("client_id", "true")], "missing_claim"),
            (&[("scope", "null")], "verified"),
            (&[("scope", "\"\"")], "verified"),
            (&[("scope", "1")], "missing_claim"),
            (&[("scope", "{\"read\":true}")], "missing_claim"),
            (&[("scope", "[\"read\",1]")], "missing_claim"),
            (&[("realm_access", "{\"roles\":\"admin\"}")], "verified"),
            (&[("realm_access", "{\"roles\":7}")], "missing_claim"),
            (&[("realm_access", "\"admin\"")], "verified"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_identity_says_what_the_token_says() {
    let bench = Bench::new();
    let signer = Signer::ed25519("ed");
    bench.write("keys.json", signer::jwks(&[&signer]));
    let method = bench.compile(&yaml("jwks_file: keys.json\nclaims: { roles: realm_access.roles }\n"));
    let identity = identify(
        &method,
        &sign(
            &signer,
            &payload(&[
                ("scope", "\"orders:read  orders:write a,b \""),
                ("realm_access", "{\"roles\":[\"admin\",\"content editor\",\"\"]}"),
                ("nbf", "1795251500"),
                ("iat", "1795251540.75"),
                ("jti", "\"t-1\""),
                ("sid", "\"s-1\""),
                ("azp", "\"app\""),
                ("client_id", "\"back-end\""),
            ]),
        ),
    )
    .await;
    assert_eq!((&*identity.auth, identity.method.name()), ("users", "jwt"));
    assert_eq!((identity.subject.as_str(), identity.key_id.as_deref()), ("alice", Some("ed")));
    assert_eq!(identity.scopes.join("|"), "orders:read|orders:write");
    assert_eq!(identity.roles.join("|"), "admin");
    // The time of issue is later than `nbf`.
    assert_eq!(identity.validity, Validity { from: Some(NOW - 89), until: Some(NOW + 630) });
    let revocable = Revocable::new("alice", Some(NOW - 60))
        .with_jti(ISSUER, "t-1")
        .with(Kind::Sid, "s-1")
        .with(Kind::Client, "app")
        .with(Kind::Client, "back-end");
    assert_eq!(identity.revocable, revocable);

    let bare = identify(&method, &sign(&signer, &payload(&[("iat", ""), ("client_id", "\"cli\"")]))).await;
    assert_eq!(bare.revocable, Revocable::new("alice", None).with(Kind::Client, "cli"));
    assert!(bare.scopes.is_empty() && bare.roles.is_empty() && bare.claims.is_empty());
    assert_eq!(bare.validity.from, None);
}

#[tokio::test]
async fn claims_are_found_where_the_policy_says() {
    let bench = Bench::new();
    let signer = Signer::ed25519("ed");
    bench.write("keys.json", signer::jwks(&[&signer]));
    let more = "jwks_file: keys.json\nclaims: { subject: user.email, scopes: scp, roles: \"https://acme.com/roles\" }\n";
    let token = sign(
        &signer,
        &payload(&[
            ("user", "{\"email\":\"alice@example.com\"}"),
            ("scope", "\"not:this\""),
            ("scp", "[\"orders:read\",\"two words\"]"),
            ("https://acme.com/roles", "\"content editor\""),
        ]),
    );
    let identity = identify(&bench.compile(&yaml(more)), &token).await;
    assert_eq!(identity.subject.as_str(), "alice@example.com");
    assert_eq!(identity.scopes.join("|"), "orders:read");
    // A role with a space must not become the two roles that it consists of.
    assert!(identity.roles.is_empty());
    let names = Revocable::new("alice@example.com", Some(NOW - 60)).with(Kind::Sub, "alice");
    assert_eq!(identity.revocable, names, "who knows only `sub` can revoke too");
}

/// H08, H09: what is passed on arrives unchanged or not at all.
#[tokio::test]
async fn wanted_claims() {
    let rows = [
        ("\"alice@example.com\"", Some("alice@example.com")),
        ("\"José\"", Some("José")),
        ("17", Some("17")),
        ("-1.5", Some("-1.5")),
        ("true", Some("true")),
        ("[\"a\",\"b\",1,false]", Some("a,b,1,false")),
        ("[\"a b\"]", Some("a b")),
        ("[\"a\",\"b,c\"]", None),
        ("[]", None),
        ("[\"a\",[\"b\"]]", None),
        ("[\"a\",null]", None),
        ("[{}]", None),
        ("{\"a\":1}", None),
        ("null", None),
        ("", None),
        ("\"\"", None),
        ("\" a\"", None),
        ("\"a\\r\\nX-Auth-Subject: admin\"", None),
        ("\"a\\u0000b\"", None),
        ("\"a\\u0085\"", None),
        ("[\"a\",\"b\\n\"]", None),
    ];
    let bench = Bench::new();
    let signer = Signer::ed25519("ed");
    bench.write("keys.json", signer::jwks(&[&signer]));
    let (method, problems) =
        bench.try_compile(&yaml("jwks_file: keys.json\n"), &["x", "sub", "x.y", "nothing"], None);
    let method = method.unwrap_or_else(|| panic!("{problems:?}"));
    for (value, expect) in rows {
        let identity = identify(&method, &sign(&signer, &payload(&[("x", value)]))).await;
        let found: Vec<Option<&str>> = identity.claims.iter().map(Option::as_deref).collect();
        assert_eq!(found, [expect, Some("alice"), None, None], "{value}");
    }
    for (length, expect) in [(4096, true), (4097, false)] {
        let value = format!("\"{}\"", "x".repeat(length));
        let identity = identify(&method, &sign(&signer, &payload(&[("x", &value)]))).await;
        assert_eq!(identity.claims[0].is_some(), expect, "{length}");
    }
}

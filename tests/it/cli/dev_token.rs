//! `dev-token`.

use super::{folder, portcullis};
use crate::harness::gateway::Gateway;
use crate::harness::upstream::Upstream;

const SECRET: &str = "a-secret-of-enough-bytes-for-hs512-because-that-needs-sixty-four-of-them";

const ARGUMENTS: [&str; 7] =
    ["dev-token", "--issuer", "https://id.example.com", "--audience", "api", "--subject", "alice"];

/// What is signed with a key is accepted by a gateway that has its public half.
#[tokio::test]
async fn a_token_is_what_the_gateway_accepts() {
    let upstream = Upstream::start();
    let pairs = [
        ("ec.key", rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()),
        ("ed.key", rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()),
    ];
    let secrets = folder(&[("hs", SECRET), ("hs-with-newline", &format!("{SECRET}\r\n"))]);
    let public: String = pairs.iter().map(|(_, pair)| pair.public_key_pem()).collect();
    for (name, pair) in &pairs {
        std::fs::write(secrets.path().join(name), pair.serialize_pem()).unwrap();
    }
    let gateway = Gateway::builder(
        r#"
        auth:
          users: { jwt: { issuer: https://id.example.com, audience: api, public_key: public.pem, claims: { roles: roles } } }
          legacy: { jwt: { issuer: https://legacy.example.com, audience: api, secret: "file:secret", algorithms: [HS256, HS512] } }
        identity: { headers: { X-Subject: subject, X-Scopes: scopes, X-Roles: roles, X-Level: claims.level } }
        upstreams: { api: "{upstream}" }
        routes:
          - { name: api, match: { path: /x }, auth: [users, legacy], upstream: api }
        "#,
    )
    .with("upstream", upstream.url())
    .file("public.pem", &public)
    .file("secret", SECRET)
    .start()
    .await;
    let run = |more: &[&str]| portcullis(secrets.path(), &[&ARGUMENTS, more].concat(), "");
    let ask = async |token: &str| {
        gateway
            .https()
            .get("/x")
            .header("Authorization", &format!("Bearer {}", token.trim_end()))
            .await
            .status
    };
    let more = [
        "--scope",
        "orders:read orders:write",
        "--claim",
        "roles=[\"admin\"]",
        "--claim",
        "level=gold",
        "--claim",
        "n=1",
    ];
    for key in ["ec.key", "ed.key"] {
        let done = run(&[&["--key", key, "--lifetime", "5m"], &more[..]].concat());
        assert_eq!(ask(done.success()).await, 200, "{key}");
        let received = upstream.take_one();
        let fields = ["X-Subject", "X-Scopes", "X-Roles", "X-Level"].map(|name| received.header(name));
        assert_eq!(fields, [Some("alice"), Some("orders:read orders:write"), Some("admin"), Some("gold")]);
    }
    let legacy = ["--claim", "iss=https://legacy.example.com"];
    for (key, algorithm) in [("hs", "HS256"), ("hs", "HS512"), ("hs-with-newline", "HS256")] {
        let done = run(&[&["--key", key, "--algorithm", algorithm], &legacy[..]].concat());
        assert_eq!(ask(done.success()).await, 200, "{key} {algorithm}");
    }
    // A token that was made to be refused is refused.
    assert_eq!(ask(run(&["--key", "ec.key", "--lifetime", "25h"]).success()).await, 401);
    assert_eq!(ask(run(&["--key", "ec.key", "--claim", "aud=x"]).success()).await, 401);
    assert_eq!(ask(run(&["--key", "ec.key", "--claim", "exp=1"]).success()).await, 401);
    assert!(!gateway.everything_logged().contains(SECRET));

    for arguments in [
        &["--key", "none.key"][..],
        &["--key", "ec.key", "--algorithm", "RS256"],
        &["--key", "ec.key", "--algorithm", "HS256"],
        &["--key", "hs", "--algorithm", "ES256"],
        &["--key", "hs"],
        &["--key", "ec.key", "--claim", "novalue"],
    ] {
        let done = run(arguments);
        assert!(done.failure().starts_with("error: "), "{arguments:?}: {}", done.stderr);
        assert!(!done.stderr.contains(SECRET), "{}", done.stderr);
    }
}

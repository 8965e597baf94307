//! Configurations as rows: what is refused, where, and with what advice.

use super::signer::{Signer, pem};
use super::*;

const START: &str = "issuer: https://id.example.com\naudience: api\n";

fn bench() -> (Bench, BTreeMap<&'static str, Signer>) {
    let (bench, signers) = (Bench::new(), asymmetric());
    bench.write("keys.json", signer::jwks(&signers.values().collect::<Vec<_>>()));
    bench.write("p256.pem", signers["p256"].pem());
    bench.write("short", "x".repeat(31));
    bench.write("long", "x".repeat(32));
    bench.write("empty", "\n");
    (bench, signers)
}

#[test]
fn good_configurations() {
    let (bench, _signers) = bench();
    for more in [
        "",
        "algorithms: [ES256]\n",
        "algorithms: [RS256, Ed25519]\njwks_url: https://id.example.com/keys\n",
        "jwks_url: http://127.0.0.1:9000/keys\n",
        "jwks_file: keys.json\nmax_lifetime: 1s\nleeway: 0s\n",
        "jwks_file: keys.json\nleeway: 5m\nforward_credential: true\n",
        "public_key: p256.pem\n",
        "public_key: p256.pem\nalgorithms: [RS256, ES256]\n",
        "secret: file:long\n",
        "secret: ${SECRET}\nalgorithms: [HS512, HS256]\n",
        "claims: { subject: email, scopes: scp, roles: \"https://acme.com/roles\" }\n",
    ] {
        let (method, problems) = bench.try_compile(&format!("{START}{more}"), &[], None);
        assert_eq!(problems, [""; 0], "{more}");
        assert!(method.is_some(), "{more}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_refused_and_why() {
    const ALL: &str = "`RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `EdDSA`, `HS256`, `HS384`, `HS512`";
    const NAME_IT: &str =
        "(name your API as the issuer does: tokens for other services must not be good here)";
    const ONE_PLACE: &str = "(keys come from one place: keep one of them)";
    let (bench, _signers) = bench();
    let unsupported = |name: &str| format!("3: `{name}` is not supported (supported are {ALL})");
    for (yaml, expect) in [
        ("audience: api\n".to_owned(), vec!["1: `issuer` is missing here (add `issuer: …`)".to_owned()]),
        ("issuer: https://a.example\n".to_owned(), vec!["1: `audience` is missing here (add `audience: …`)".to_owned()]),
        (
            "issuer: \"\"\naudience: api\n".to_owned(),
            vec!["1: `issuer` must not be empty (it is what the tokens have in `iss`, such as `https://id.example.com`)".to_owned()],
        ),
        (
            "issuer: https://a.example\naudience: []\n".to_owned(),
            vec![format!("2: `audience` must not be empty {NAME_IT}")],
        ),
        (
            "issuer: https://a.example\naudience: \"\"\n".to_owned(),
            vec![format!("2: an audience must not be empty {NAME_IT}")],
        ),
        (
            "issuer: https://a.example\naudience: [api, \"\"]\n".to_owned(),
            vec![format!("2: an audience must not be empty {NAME_IT}")],
        ),
        (
            "issuer: https://a.example\naudience: { api: 1 }\n".to_owned(),
            vec!["2: text or a list of texts is expected here, found a mapping".to_owned()],
        ),
        (format!("{START}algorithms: []\n"), vec!["3: `algorithms` must not be empty (leave it out to accept all asymmetric ones)".to_owned()]),
        (
            format!("{START}algorithms: [RS256, none]\n"),
            vec!["3: `none` is never accepted: anyone can write a token without a signature (remove it)".to_owned()],
        ),
        (
            format!("{START}algorithms: [None]\n"),
            vec!["3: `none` is never accepted: anyone can write a token without a signature (remove it)".to_owned()],
        ),
        (format!("{START}algorithms: [ES512]\n"), vec![unsupported("ES512")]),
        (format!("{START}algorithms: [ES256K]\n"), vec![unsupported("ES256K")]),
        (format!("{START}algorithms: [RS265]\n"), vec!["3: unknown algorithm `RS265` (did you mean `RS256`?)".to_owned()]),
        (format!("{START}algorithms: [foo]\n"), vec![format!("3: unknown algorithm `foo` (supported are {ALL})")]),
        (
            format!("{START}algorithms:\n  - ES256\n  - HS256\n"),
            vec!["5: `HS256` needs `secret` (whoever has the key of this algorithm can sign with it: use RS256 or ES256 with public keys)".to_owned()],
        ),
        (
            format!("{START}secret: file:long\nalgorithms: [HS256, RS256]\n"),
            vec!["4: `RS256` does not go with `secret` (use HS256, HS384 or HS512, or `jwks_url`, `jwks_file` or `public_key` in place of `secret`)".to_owned()],
        ),
        (
            format!("{START}secret: file:short\n"),
            vec!["3: this secret is too short for `HS256` (RFC 7518 asks for 32 random bytes at least: `openssl rand -hex 32`)".to_owned()],
        ),
        (
            format!("{START}secret: file:long\nalgorithms: [HS256, HS384]\n"),
            vec!["3: this secret is too short for `HS384` (RFC 7518 asks for 48 random bytes at least: `openssl rand -hex 48`)".to_owned()],
        ),
        (
            format!("{START}secret: file:long\nalgorithms: [HS512, HS384]\n"),
            vec!["3: this secret is too short for `HS512` (RFC 7518 asks for 64 random bytes at least: `openssl rand -hex 64`)".to_owned()],
        ),
        (format!("{START}secret: file:empty\n"), vec!["3: this secret is empty".to_owned()]),
        (
            format!("{START}jwks_url: https://a.example/k\npublic_key: p256.pem\nsecret: file:long\nalgorithms: [HS256]\n"),
            vec![
                format!("4: `public_key` and `jwks_url` cannot stand together {ONE_PLACE}"),
                format!("5: `secret` and `jwks_url` cannot stand together {ONE_PLACE}"),
            ],
        ),
        (
            format!("{START}jwks_url: http://id.example.com/keys\n"),
            vec!["3: `jwks_url` is not an https address (whoever can change the keys decides who gets in: use https, or http on this machine only)".to_owned()],
        ),
        (
            format!("{START}jwks_url: https://user:hunter2@id.example.com/keys\n"),
            vec!["3: `jwks_url` contains a user or a password (addresses end up in logs: an issuer's keys are public and need none)".to_owned()],
        ),
        (
            format!("{START}jwks_url: https://id.example.com/keys#a\n"),
            vec!["3: `jwks_url` contains a fragment (remove everything from `#` on)".to_owned()],
        ),
        (
            format!("{START}jwks_url: id.example.com/keys\n"),
            vec!["3: `jwks_url` is not an absolute URL (write it in full, such as `https://id.example.com/.well-known/jwks.json`)".to_owned()],
        ),
        (
            "issuer: http://id.example.com\naudience: api\n".to_owned(),
            vec!["1: keys cannot be discovered, because this issuer is not an https address (say where the keys are with `jwks_url`, `jwks_file`, `public_key` or `secret`)".to_owned()],
        ),
        (
            "issuer: joe\naudience: api\n".to_owned(),
            vec!["1: keys cannot be discovered, because this issuer is not an absolute URL (say where the keys are with `jwks_url`, `jwks_file`, `public_key` or `secret`)".to_owned()],
        ),
        (
            format!("{START}max_lifetime: 0s\n"),
            vec!["3: `max_lifetime` must be longer than nothing (1d is the default)".to_owned()],
        ),
        (
            format!("{START}leeway: 301s\n"),
            vec!["3: `leeway` must not be longer than 5m (it is for clocks that differ a little, and every expired token is good for so much longer)".to_owned()],
        ),
        (
            format!("{START}claims: {{ subject: \"\" }}\n"),
            vec!["3: a claim is expected here, such as `sub` or `realm_access.roles`".to_owned()],
        ),
        (
            format!("{START}claims: {{ role: r }}\n"),
            vec!["3: unknown key `role` (did you mean `roles`?)".to_owned()],
        ),
        (format!("{START}jwks_uri: https://a.example\n"), vec!["3: unknown key `jwks_uri` (did you mean `jwks_url`?)".to_owned()]),
        (
            format!("{START}public_key: p256.pem\nalgorithms: [RS256]\n"),
            vec!["3: no key in this file fits `algorithms` (its keys are for `ES256`)".to_owned()],
        ),
        (
            "issuer: \"\"\naudience: []\nalgorithms: [none]\nleeway: 1h\nmax_lifetime: 0s\njwks_url: ftp://x\n".to_owned(),
            vec![
                "1: `issuer` must not be empty (it is what the tokens have in `iss`, such as `https://id.example.com`)".to_owned(),
                format!("2: `audience` must not be empty {NAME_IT}"),
                "3: `none` is never accepted: anyone can write a token without a signature (remove it)".to_owned(),
                "4: `leeway` must not be longer than 5m (it is for clocks that differ a little, and every expired token is good for so much longer)".to_owned(),
                "5: `max_lifetime` must be longer than nothing (1d is the default)".to_owned(),
                "6: `jwks_url` is not an https address (whoever can change the keys decides who gets in: use https, or http on this machine only)".to_owned(),
            ],
        ),
    ] {
        let (method, problems) = bench.try_compile(&yaml, &[], None);
        assert_eq!(problems, expect, "{yaml}");
        // What only the reader of the file objects to is left out, so that the rest can be looked at too.
        let by_reader = ["missing here", "expected here", "unknown key"].iter().any(|text| expect[0].contains(text));
        assert!(method.is_none() || by_reader, "{yaml}");
    }
}

/// J03 for files: each key that is not used is named, and a file without any is refused.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn key_files() {
    let (bench, signers) = bench();
    let good = signers["p256"].jwk();
    let secret = Signer::shared("x".repeat(32)).jwk();
    let path = bench.folder().to_str().unwrap().to_owned();
    for (content, expect) in [
        (signer::jwk_set([good.clone()]), vec![]),
        (
            signer::jwk_set([good.clone(), secret.clone()]),
            vec!["w3: key 2 is left out: it is a shared secret, which must not stand among public keys"],
        ),
        (
            signer::jwk_set([secret]),
            vec![
                "w3: key 1 is left out: it is a shared secret, which must not stand among public keys",
                "3: this file cannot be used: it holds no usable key",
            ],
        ),
        (signer::jwk_set([]), vec!["3: this file cannot be used: it holds no usable key"]),
        (
            "{}".to_owned(),
            vec!["3: this file cannot be used: it is not a JWK set: a JSON object with a list `keys`"],
        ),
        (
            good.to_string(),
            vec!["3: this file cannot be used: it is not a JWK set: a JSON object with a list `keys`"],
        ),
        (
            signers["p256"].pem(),
            vec!["3: this file cannot be used: it is not a JWK set: a JSON object with a list `keys`"],
        ),
    ] {
        bench.write("k.json", &content);
        let (_, problems) = bench.try_compile(&format!("{START}jwks_file: k.json\n"), &[], None);
        assert_eq!(problems, expect, "{content}");
    }
    let certificate = {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        rcgen::CertificateParams::new(vec!["id.example.com".to_owned()])
            .unwrap()
            .self_signed(&pair)
            .unwrap()
            .pem()
    };
    let rsa_der = signers["rsa"].spki();
    for (content, expect) in [
        (signers["rsa"].pem(), vec![]),
        (signers["ed"].pem(), vec![]),
        (certificate.clone(), vec![]),
        // PKCS#1 is what a SubjectPublicKeyInfo of RSA has after its first 24 bytes.
        (pem("RSA PUBLIC KEY", &rsa_der[24..]), vec![]),
        (
            format!(
                "text before\n{}{}\ntext between\n{certificate}",
                signers["rsa"].pem(),
                signers["p384"].pem()
            ),
            vec![],
        ),
        (
            format!("{}{}", signers["rsa"].pem(), pem("PRIVATE KEY", b"\x30\x00")),
            vec!["w3: key 2 is left out: it is a private key, which belongs to the issuer alone"],
        ),
        (
            rcgen::KeyPair::generate().unwrap().serialize_pem(),
            vec![
                "w3: key 1 is left out: it is a private key, which belongs to the issuer alone",
                "3: this file cannot be used: it holds no usable key",
            ],
        ),
        (
            pem("EC PARAMETERS", b"\x06\x00"),
            vec![
                "w3: key 1 is left out: keys of its kind are not supported, only RSA, EC and Ed25519 are",
                "3: this file cannot be used: it holds no usable key",
            ],
        ),
        (
            pem("PUBLIC KEY", &rsa_der[..100]),
            vec![
                "w3: key 1 is left out: it is not well formed",
                "3: this file cannot be used: it holds no usable key",
            ],
        ),
        (
            jwks_of(&signers),
            vec![
                "3: this file cannot be used: it is not PEM text: a section such as `-----BEGIN PUBLIC KEY-----`",
            ],
        ),
        (
            String::new(),
            vec![
                "3: this file cannot be used: it is not PEM text: a section such as `-----BEGIN PUBLIC KEY-----`",
            ],
        ),
    ] {
        bench.write("k.pem", &content);
        let (_, problems) = bench.try_compile(&format!("{START}public_key: k.pem\n"), &[], None);
        assert_eq!(problems, expect, "{content}");
    }
    for key in ["jwks_file", "public_key"] {
        let (_, problems) = bench.try_compile(&format!("{START}{key}: missing\n"), &[], None);
        let expect = format!(
            "3: cannot read this file: No such file or directory (os error 2) (it is looked for at `{path}/missing`)"
        );
        assert_eq!(problems, [expect]);
    }
}

fn jwks_of(signers: &BTreeMap<&'static str, Signer>) -> String {
    signer::jwks(&signers.values().collect::<Vec<_>>())
}

/// A key in PEM has no `kid`, so it is tried whatever the token names.
#[tokio::test]
async fn keys_in_pem_verify() {
    for signer in asymmetric().into_values() {
        let bench = Bench::new();
        bench.write("k.pem", signer.pem() + &Signer::p256(None).pem());
        let method = bench.compile(&yaml("public_key: k.pem\n"));
        let claims = claims(&serde_json::json!({}));
        check(&method, "named", &signer.token(&claims), "verified").await;
        let nameless = Signer { kid: None, ..signer };
        check(&method, "nameless", &nameless.token(&claims), "verified").await;
        assert_eq!(identify(&method, &nameless.token(&claims)).await.key_id, None);
    }
}

/// Neither a problem nor anything that is printed of a method shows the secret.
#[test]
fn secrets_are_not_shown() {
    let bench = Bench::new();
    bench.write("secret", "hunter2");
    let (_, problems) = bench.try_compile(&format!("{START}secret: file:secret\n"), &[], None);
    assert!(problems.len() == 1 && !problems[0].contains("hunter2"), "{problems:?}");
    bench.write("secret", "hunter2".repeat(10));
    let method = bench.compile(&format!("{START}secret: file:secret\n"));
    assert!(!format!("{method:?}").contains("hunter2"));
}

#[test]
fn the_schema_describes_every_key() {
    let schema = schemars::schema_for!(Config).to_value();
    let keys: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    let expect = [
        "algorithms",
        "audience",
        "claims",
        "forward_credential",
        "issuer",
        "jwks_file",
        "jwks_url",
        "leeway",
        "max_lifetime",
        "public_key",
        "secret",
    ];
    assert_eq!(keys, expect);
    assert_eq!(schema["required"], serde_json::json!(["issuer", "audience"]));
    assert_eq!(schema["additionalProperties"], false);
    for key in expect {
        assert!(schema["properties"][key]["description"].is_string(), "{key}: {schema:#}");
    }
}

//! Keys used for what they are not (J02, J05), and each key tried with every algorithm.

use serde_json::json;

use super::signer::Signer;
use super::*;

/// J02: a public key is known to everyone and must never be taken for a shared secret. See CVE-2015-9235, CVE-2023-48223
/// and RFC 8725 §2.1.
#[tokio::test]
async fn public_keys_are_no_secrets() {
    let mut count = 0;
    let bench = Bench::new();
    let signers = asymmetric();
    let method = bench.with_keys(&signers.values().collect::<Vec<_>>());
    for signer in signers.values() {
        let (jwk, pem, der) = (signer.jwk(), signer.pem(), signer.spki());
        let pem_only = bench_with_pem(&pem);
        for secret in [
            pem.clone().into_bytes(),
            pem.trim_end().as_bytes().to_vec(),
            pem.replace('\n', "\r\n").into_bytes(),
            pem.lines().filter(|line| !line.starts_with('-')).collect::<String>().into_bytes(),
            der,
            jwk.to_string().into_bytes(),
            serde_json::to_string_pretty(&jwk).unwrap().into_bytes(),
            jwk.get("n").or(jwk.get("x")).unwrap().as_str().unwrap().as_bytes().to_vec(),
            Vec::new(),
        ] {
            let attacker = Signer { kid: signer.kid, ..Signer::shared(secret) };
            for algorithm in ["HS256", "HS384", "HS512"] {
                let payload = claims(&json!({})).to_string();
                for header in [attacker.header(algorithm), json!({ "alg": algorithm }).to_string()] {
                    let token = attacker.sign(algorithm, &header, &payload);
                    check(&method, algorithm, &token, "wrong_algorithm").await;
                    check(&pem_only.1, algorithm, &token, "wrong_algorithm").await;
                    // A header of the key's own algorithm does not help either.
                    let header = header.replace(algorithm, signer.algorithms()[0]);
                    let token = attacker.sign(algorithm, &header, &payload);
                    check(&method, algorithm, &token, "bad_signature").await;
                    count += 3;
                }
            }
        }
    }
    assert!(count >= 300, "{count}");
}

fn bench_with_pem(pem: &str) -> (Bench, Arc<Method>) {
    let bench = Bench::new();
    bench.write("key.pem", pem);
    let method = bench.compile(&yaml("public_key: key.pem\n"));
    (bench, method)
}

/// The key decides about the algorithm (RFC 8725 §3.1): a token cannot have one key used in the way of another.
#[tokio::test]
async fn each_key_verifies_only_what_it_is_for() {
    let bench = Bench::new();
    let signers = asymmetric();
    let method = bench.with_keys(&signers.values().collect::<Vec<_>>());
    let payload = claims(&json!({})).to_string();
    for (own, signer) in &signers {
        for real in signer.algorithms() {
            for (kid, claimed_signer) in &signers {
                for claimed in claimed_signer.algorithms() {
                    let header = json!({ "alg": claimed, "kid": own }).to_string();
                    let expect = match (own == kid, real == claimed) {
                        (true, true) => "verified",
                        // Two names of one algorithm.
                        (true, false) if *own == "ed" => "verified",
                        // The key could have signed so, but did not.
                        (true, false) => "bad_signature",
                        (false, _) => "wrong_algorithm",
                    };
                    let token = signer.sign(real, &header, &payload);
                    check(&method, &format!("{own} signs {real}, says {claimed}"), &token, expect).await;
                    // Without a kid, each key that fits is tried.
                    let header = json!({ "alg": claimed }).to_string();
                    let expect = if expect == "wrong_algorithm" { "bad_signature" } else { expect };
                    let token = signer.sign(real, &header, &payload);
                    check(&method, &format!("{own} signs {real}, says {claimed}, no kid"), &token, expect)
                        .await;
                }
            }
        }
    }
}

/// J05: identifiers of keys are compared and nothing else.
#[tokio::test]
async fn key_identifiers_lead_nowhere() {
    let bench = Bench::new();
    let signers = asymmetric();
    let method = bench.with_keys(&signers.values().collect::<Vec<_>>());
    let long = "k".repeat(8 << 10);
    let payload = claims(&json!({})).to_string();
    for kid in [
        "../../dev/null",
        "/dev/null",
        "' OR 1=1 --",
        "RSA",
        "rsa ",
        " rsa",
        "rsa\0",
        "",
        "https://evil.example/k",
        &long,
    ] {
        let header = json!({ "alg": "RS256", "kid": kid }).to_string();
        check(&method, kid, &signers["rsa"].sign("RS256", &header, &payload), "unknown_key").await;
    }
    for kid in [json!(7), json!(null), json!(["rsa"]), json!({ "kid": "rsa" })] {
        let header = json!({ "alg": "RS256", "kid": kid }).to_string();
        check(&method, "kid", &signers["rsa"].sign("RS256", &header, &payload), "malformed").await;
    }
}

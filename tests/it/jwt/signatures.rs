//! Signatures that are none.

use super::stand::Stand;
use crate::harness::issuer::SigningKey;

#[tokio::test]
async fn signatures_of_other_kinds_are_refused() {
    let stand = Stand::start().await;
    for (kid, length) in [("rs256-1", 256), ("es384-1", 96), ("eddsa-1", 64)] {
        let token = stand.token().signed_by(&stand.issuer.key_called(kid));
        for signature in [vec![0; length], vec![0xff; length], vec![1], Vec::new(), vec![0; length + 1]] {
            stand.refuses(kid, &token.clone().signature(signature).sign(), "bad_signature").await;
        }
        stand.refuses(kid, &token.clone().corrupt().sign(), "bad_signature").await;
        // The name of one algorithm over the key of another kind.
        for algorithm in ["ES256", "ES384", "EdDSA", "RS256"] {
            if algorithm != token_algorithm(kid) {
                let token = token.clone().header("alg", algorithm);
                stand.refuses(kid, &token.sign(), "wrong_algorithm").await;
            }
        }
        stand.accepts(kid, &token.sign()).await;
    }
    // What was signed counts, byte for byte: the claims of one token under the signature of another.
    let [first, second] = [stand.token().sign(), stand.token().claim("sub", "root").sign()];
    let (message, _) = second.rsplit_once('.').unwrap();
    let (_, signature) = first.rsplit_once('.').unwrap();
    stand.refuses("mixed", &format!("{message}.{signature}"), "bad_signature").await;
    let other = SigningKey::new_rsa("rs256-1");
    stand.refuses("another RSA key", &stand.token().signed_by(&other).sign(), "bad_signature").await;
}

fn token_algorithm(kid: &str) -> &'static str {
    match kid {
        "rs256-1" => "RS256",
        "es384-1" => "ES384",
        _ => "EdDSA",
    }
}

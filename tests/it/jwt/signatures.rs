//! Signatures that are none.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};

use super::stand::Stand;
use crate::harness::issuer::SigningKey;

/// The order of P-256 (SEC 2 section 2.4.2).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// J16, CVE-2022-21449: both numbers of a signature are between 1 and the order of the curve, and in their fixed form
/// (RFC 7518 section 3.4).
#[tokio::test]
async fn numbers_that_are_no_signature_are_refused() {
    let stand = Stand::start().await;
    let token = stand.token();
    let key = stand.issuer.key();
    let whole = token.sign();
    let (message, _) = whole.rsplit_once('.').unwrap();
    let good = key.sign(message.as_bytes());
    let (r, s) = good.split_at(32);
    let one = [&[0; 31][..], &[1]].concat();
    let der = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let der = der.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec();
    for (what, signature) in [
        ("zeros", vec![0; 64]),
        ("r = 0", [&[0; 32], s].concat()),
        ("s = 0", [r, &[0; 32]].concat()),
        ("r = n", [&ORDER, s].concat()),
        ("s = n", [r, &ORDER].concat()),
        ("r = s = n", [ORDER, ORDER].concat()),
        ("r = s = 1", [&one[..], &one].concat()),
        ("ones", vec![0xff; 64]),
        ("another's in DER", der),
        ("our own in DER", der_of(r, s)),
        ("a byte less", good[..63].to_vec()),
        ("a byte more", [&good[..], &[0]].concat()),
        ("a byte in front", [&[0], &good[..]].concat()),
        ("twice as long", [&[0; 32], r, &[0; 32], s].concat()),
        ("swapped", [s, r].concat()),
        ("empty", Vec::new()),
    ] {
        stand.refuses(what, &token.clone().signature(signature).sign(), "bad_signature").await;
    }
    stand.accepts("the good one", &token.signature(good).sign()).await;
}

/// Two numbers as an `Ecdsa-Sig-Value` (RFC 3279 section 2.2.3).
fn der_of(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let sign: &[u8] = if number[0] & 0x80 == 0 { &[] } else { &[0] };
        let length = u8::try_from(sign.len() + number.len()).unwrap();
        [&[2, length], sign, number].concat()
    };
    let both = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(both.len()).unwrap()], &both[..]].concat()
}

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

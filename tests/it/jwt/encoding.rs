//! The text of a token has one spelling (RFC 7515 section 2) and a size.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::stand::Stand;
use crate::harness::problem::assert_problem;

/// J17: base64url without padding, and no other spelling of the same bytes, which would be another token to a cache or a
/// revocation list.
#[tokio::test]
async fn a_token_has_one_spelling() {
    let stand = Stand::start().await;
    // A claim that makes the payload's length such that it would be padded, and with both letters that differ.
    let good = stand.token().claim("x", "???>>>~~~").sign();
    stand.accepts("the good one", &good).await;
    let parts: Vec<&str> = good.split('.').collect();
    let joined = |at: usize, part: String| {
        let mut parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        parts[at] = part;
        parts.join(".")
    };
    for (at, part) in parts.iter().enumerate() {
        for (what, text) in [
            ("one =", format!("{part}=")),
            ("two =", format!("{part}==")),
            ("= in front", format!("={part}")),
            ("%3D", format!("{part}%3D")),
            ("a letter of no alphabet", format!("{part}!")),
            ("trailing bits", with_trailing_bits(part)),
        ] {
            stand.refuses(what, &joined(at, text), "malformed").await;
        }
        if part.contains(['-', '_']) {
            stand
                .refuses(
                    "the other alphabet",
                    &joined(at, part.replace('-', "+").replace('_', "/")),
                    "malformed",
                )
                .await;
        }
    }
    // White space cannot be in a credential at all, so what was sent is no token.
    for text in [
        format!("{good} {good}"),
        good.replacen('.', ". ", 1),
        good.replacen('.', "\t.", 1),
        format!("\t{good}"),
    ] {
        let answer = stand.ask(&text).await;
        assert_problem(&answer, 401, "malformed_credential");
        stand.upstream.assert_nothing();
        assert_eq!(stand.line(&answer).await["reason"], "malformed");
    }
    stand.accepts("spaces around it are not part of it", &format!("  {good}  ")).await;
}

/// The same bytes with bits set where the last letter has some to spare, or a lone letter where it has none.
fn with_trailing_bits(part: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if part.len().is_multiple_of(4) {
        return format!("{part}A");
    }
    let last = *part.as_bytes().last().unwrap();
    let value = ALPHABET.iter().position(|letter| *letter == last).unwrap();
    format!("{}{}", &part[..part.len() - 1], char::from(ALPHABET[value | 1]))
}

/// J18: large, deep and wide tokens are refused before they cost anything.
#[tokio::test]
async fn size_and_depth_are_bounded() {
    let stand = Stand::start().await;
    let filled = |bytes: usize| stand.token().claim("x", "x".repeat(bytes)).sign();
    for bytes in [40 << 10, 64 << 10] {
        let answer = stand.ask(&filled(bytes)).await;
        assert_problem(&answer, 431, "head_too_large");
        stand.upstream.assert_nothing();
    }
    stand.refuses("17 KiB", &filled(13 << 10), "malformed").await;
    stand.accepts("8 KiB", &filled(6 << 10)).await;
    for (what, open, close) in [("lists", "[", "]"), ("objects", "{\"a\":", "}")] {
        for levels in [40, 1_000] {
            let deep = format!("{}1{}", open.repeat(levels), close.repeat(levels));
            let claims = stand.token().claims().to_string().replacen('{', &format!("{{\"deep\":{deep},"), 1);
            stand.refuses(what, &stand.token().raw_claims(claims).sign(), "malformed").await;
            let header = format!("{{\"alg\":\"ES256\",\"kid\":\"es256-1\",\"deep\":{deep}}}");
            stand.refuses(what, &stand.token().raw_header(header).sign(), "malformed").await;
        }
    }
    // As many claims as fit are read once each.
    let mut claims: Map<String, Value> = serde_json::from_value(stand.token().claims()).unwrap();
    claims.extend((0..1_200).map(|at| (format!("c{at}"), json!(0))));
    stand.accepts("many claims", &stand.token().raw_claims(json!(claims).to_string()).sign()).await;
    let same = format!("{{{}\"sub\":\"x\"}}", "\"a\":0,".repeat(1_500));
    stand.refuses("the same claim many times", &stand.token().raw_claims(same).sign(), "malformed").await;
    stand.refuses("letters of one kind", &URL_SAFE_NO_PAD.encode("a".repeat(9_000)), "malformed").await;
}

//! Where a token begins and ends, and how large it may be.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::stand::Stand;
use crate::harness::problem::assert_problem;

/// J17: white space is no part of a token, and a token is all of the credential.
#[tokio::test]
async fn white_space_is_no_part_of_a_token() {
    let stand = Stand::start().await;
    let good = stand.token().sign();
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

//! The outside of tokens: every algorithm, whole and broken (J01, J04, J14, J17, J18).

use serde_json::json;

use super::signer::{Signer, encode};
use super::*;

/// Rows of a name, a token and what must come of it.
type Rows = Vec<(String, String, &'static str)>;

/// What holds for every algorithm, whoever signs.
#[expect(clippy::too_many_lines, reason = "a table")]
fn rows_of(signer: &Signer, stranger: &Signer, algorithm: &'static str) -> Rows {
    let mut rows = Rows::new();
    let mut row =
        |name: &str, token: String, expect| rows.push((format!("{algorithm}: {name}"), token, expect));
    let payload = claims(&json!({})).to_string();
    let header = signer.header(algorithm);
    let good = signer.sign(algorithm, &header, &payload);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let bytes = signer.signature(algorithm, message.as_bytes());
    let with = |signature: &[u8]| format!("{message}.{}", encode(signature));
    let changed = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        with(&bytes)
    };
    row("as it should be", good.clone(), "verified");

    // RFC 7515 §5.2: the signature is over exactly this message, by this key.
    row("first bit of the signature", changed(0), "bad_signature");
    row("last bit of the signature", changed(bytes.len() - 1), "bad_signature");
    row("no signature", with(&[]), "bad_signature");
    row("one byte of signature", with(&bytes[..1]), "bad_signature");
    row("half a signature", with(&bytes[..bytes.len() / 2]), "bad_signature");
    row("signature without its last byte", with(&bytes[..bytes.len() - 1]), "bad_signature");
    row("signature and a byte", with(&[&bytes[..], &[0]].concat()), "bad_signature");
    row("a byte and the signature", with(&[&[0], &bytes[..]].concat()), "bad_signature");
    row("signature twice", with(&[&bytes[..], &bytes[..]].concat()), "bad_signature");
    row("zeros", with(&vec![0; bytes.len()]), "bad_signature");
    row("ones", with(&vec![0xff; bytes.len()]), "bad_signature");
    row("a stranger's key", stranger.sign(algorithm, &header, &payload), "bad_signature");
    let other = claims(&json!({ "sub": "admin" })).to_string();
    row("other claims", format!("{}.{}.{signature}", encode(&header), encode(&other)), "bad_signature");
    let respelt = header.replacen('{', "{ ", 1);
    row("header respelt", format!("{}.{}.{signature}", encode(&respelt), encode(&payload)), "bad_signature");

    // J01, RFC 8725 §3.1: an algorithm that the policy does not name, `none` above all.
    for none in ["none", "None", "NONE", "nOnE", "", " ", "null", "HS1", "dir", "RSA-OAEP", "ES256K", "ES512"]
    {
        let header = header.replace(&format!("\"{algorithm}\""), &format!("\"{none}\""));
        row(&format!("alg {none:?}"), signer.sign(algorithm, &header, &payload), "wrong_algorithm");
        let unsigned = format!("{}.{}.", encode(&header), encode(&payload));
        row(&format!("alg {none:?}, unsigned"), unsigned, "wrong_algorithm");
    }
    let lower = header.replace(algorithm, &algorithm.to_lowercase());
    row("alg in lower case", signer.sign(algorithm, &lower, &payload), "wrong_algorithm");
    for alg in ["null", "1", "[\"RS256\"]", "{}", "true"] {
        let header = header.replace(&format!("\"{algorithm}\""), alg);
        row(&format!("alg {alg}"), signer.sign(algorithm, &header, &payload), "malformed");
    }
    row("no alg", signer.sign(algorithm, r#"{"kid":"rsa"}"#, &payload), "malformed");

    // J14, J04: header parameters that must be understood, or that bring a key (RFC 7515 §4.1).
    for (more, expect) in [
        (r#""crit":["exp"]"#, "malformed"),
        (r#""crit":[]"#, "malformed"),
        (r#""crit":["b64"],"b64":false"#, "malformed"),
        (r#""b64":false"#, "malformed"),
        (r#""b64":true"#, "malformed"),
        (r#""enc":"A128GCM""#, "malformed"),
        (r#""zip":"DEF""#, "malformed"),
        (r#""jwk":{"kty":"oct","k":"AAAA"}"#, "malformed"),
        (r#""cty":"JWT""#, "malformed"),
        (r#""jku":"http://127.0.0.1:1/keys""#, "verified"),
        (r#""x5u":"http://127.0.0.1:1/cert","x5c":["AAAA"]"#, "verified"),
        (r#""typ":"JWT""#, "verified"),
        (r#""typ":"jwt""#, "verified"),
        (r#""typ":"at+jwt""#, "verified"),
        (r#""typ":"application/AT+JWT""#, "verified"),
        (r#""typ":"application/jwt""#, "verified"),
        (r#""typ":"logout+jwt""#, "wrong_type"),
        (r#""typ":"secevent+jwt""#, "wrong_type"),
        (r#""typ":"dpop+jwt""#, "wrong_type"),
        (r#""typ":"JWE""#, "wrong_type"),
        (r#""typ":"id_token+jwt""#, "wrong_type"),
        (r#""typ":"""#, "wrong_type"),
        (r#""typ":1"#, "malformed"),
        (r#""typ":null"#, "malformed"),
        (r#""alg":"none""#, "malformed"),
        (r#""typ":"JWT","typ":"JWT""#, "malformed"),
        (r#""x":{"a":1,"a":2}"#, "malformed"),
    ] {
        let header = header.replacen('}', &format!(",{more}}}"), 1);
        row(more, signer.sign(algorithm, &header, &payload), expect);
    }
    if signer.kid.is_none() {
        for kid in ["1", "null", "[]", "{}", "true"] {
            let header = header.replacen('}', &format!(",\"kid\":{kid}}}"), 1);
            row(&format!("kid {kid}"), signer.sign(algorithm, &header, &payload), "malformed");
        }
    }

    // J17, RFC 7515 §2 and §3: three parts in the one spelling of base64url without padding.
    let parts: Vec<&str> = good.split('.').collect();
    for (name, token) in [
        ("nothing", String::new()),
        ("one part", parts[0].to_owned()),
        ("two parts", message.to_owned()),
        ("two dots only", "..".to_owned()),
        ("four parts", format!("{good}.")),
        ("four parts with text", format!("{good}.{}", parts[2])),
        ("five parts", format!("{good}.{}.{}", parts[1], parts[2])),
        ("no header", format!(".{}.{}", parts[1], parts[2])),
        ("no payload", format!("{}..{}", parts[0], parts[2])),
        ("padded header", format!("{}=.{}.{}", parts[0], parts[1], parts[2])),
        ("padded payload", format!("{}.{}=.{}", parts[0], parts[1], parts[2])),
        ("padded signature", format!("{good}=")),
        ("doubly padded signature", format!("{good}==")),
        ("space after", format!("{good} ")),
        ("space before", format!(" {good}")),
        ("line end after", format!("{good}\n")),
        ("line end within", format!("{}\n.{}.{}", parts[0], parts[1], parts[2])),
        ("bearer twice", format!("Bearer {good}")),
        ("plus", format!("{message}.{}+", &signature[..signature.len() - 1])),
        ("slash", format!("{message}./{}", &signature[1..])),
        ("not ASCII", format!("{message}.{}é", &signature[..signature.len() - 2])),
        ("NUL", format!("{good}\0")),
        ("header that is no JSON", signer.sign(algorithm, "alg=RS256", &payload)),
        ("header that is a list", signer.sign(algorithm, &format!("[{header}]"), &payload)),
        ("header and more", signer.sign(algorithm, &format!("{header}{header}"), &payload)),
        ("payload that is no JSON", signer.sign(algorithm, &header, "iss=a")),
        ("payload that is a list", signer.sign(algorithm, &header, &format!("[{payload}]"))),
        ("payload that is a text", signer.sign(algorithm, &header, "\"alice\"")),
        ("payload that is empty", signer.sign(algorithm, &header, "")),
        ("payload that is a token", signer.sign(algorithm, &header, &good)),
        ("payload and more", signer.sign(algorithm, &header, &format!("{payload} {{}}"))),
    ] {
        row(name, token, "malformed");
    }
    // 64, 256, 48 and 32 bytes leave 4, 4, 0 and 4 unused bits in the last character; where there are some, they must be 0.
    if !bytes.len().is_multiple_of(3) {
        let last = signature.chars().last().unwrap();
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let next = alphabet.chars().nth(alphabet.find(last).unwrap() + 1).unwrap();
        let respelt = format!("{message}.{}{next}", &signature[..signature.len() - 1]);
        row("bits that nobody reads", respelt, "malformed");
    }
    rows
}

#[tokio::test]
async fn every_algorithm_whole_and_broken() {
    let mut count = 0;
    let bench = Bench::new();
    let signers = asymmetric();
    let method = bench.with_keys(&signers.values().collect::<Vec<_>>());
    for (kid, stranger) in asymmetric() {
        let signer = &signers[kid];
        for algorithm in signer.algorithms() {
            for (name, token, expect) in rows_of(signer, &stranger, algorithm) {
                check(&method, &name, &token, expect).await;
                count += 1;
            }
        }
    }
    let signer = Signer::shared("x".repeat(64));
    let method = bench.compile(&yaml("secret: ${SECRET}\nalgorithms: [HS256, HS384, HS512]\n"));
    for algorithm in signer.algorithms() {
        for (name, token, expect) in rows_of(&signer, &Signer::shared("y".repeat(64)), algorithm) {
            check(&method, &name, &token, expect).await;
            count += 1;
        }
    }
    assert!(count >= 1_000, "{count}");
}

/// J18: length and depth are bounded before any work is done.
#[tokio::test]
async fn large_and_deep_tokens() {
    let bench = Bench::new();
    let signer = Signer::ed25519("ed");
    let method = bench.with_keys(&[&signer]);
    let token = |more: &str| {
        let payload = claims(&json!({})).to_string().replacen('}', &format!(",{more}}}"), 1);
        signer.sign("EdDSA", &signer.header("EdDSA"), &payload)
    };
    let pad = |length: usize| token(&format!("\"pad\":\"{}\"", "x".repeat(length)));
    let nest = |depth: usize| token(&format!("\"deep\":{}{}", "[".repeat(depth), "]".repeat(depth)));
    let many = |count: usize| {
        let members: Vec<String> = (0..count).map(|at| format!("\"c{at}\":0")).collect();
        token(&members.join(","))
    };
    let mut fits = 12_000;
    while pad(fits + 1).len() <= 16 << 10 {
        fits += 1;
    }
    for (name, token, expect) in [
        ("16 KiB", pad(fits), "verified"),
        ("one more than 16 KiB", pad(fits + 1), "malformed"),
        ("64 KiB", pad(64 << 10), "malformed"),
        ("1 MiB", pad(1 << 20), "malformed"),
        ("31 deep", nest(31), "verified"),
        ("32 deep", nest(32), "malformed"),
        ("5,000 deep", nest(5_000), "malformed"),
        ("10,000 deep", nest(10_000), "malformed"),
        ("1,000 claims", many(1_000), "verified"),
        ("100,000 claims", many(100_000), "malformed"),
        ("64 KiB of dots", ".".repeat(64 << 10), "malformed"),
        ("16 KiB of dots", ".".repeat(16 << 10), "malformed"),
    ] {
        check(&method, name, &token, expect).await;
    }
}

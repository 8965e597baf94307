//! Every algorithm, whole and broken: what a signature must be.

use serde_json::json;

use super::judge::{ORDER_256, ORDER_384, Rule, hex};
use super::minter::{Minter, Vector, and, encode, vector};
use crate::harness::issuer::SigningKey;
use crate::jwt::algorithms::forms;

/// Every name of an algorithm, and some that are none.
const NAMES: [&str; 26] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "Ed25519", "HS256",
    "HS384", "HS512", "none", "None", "NONE", "nOnE", "none ", "", "ES512", "ES256K", "Ed448", "HS1", "RS1",
    "dir", "RSA-OAEP",
];

/// For each of `minters`; `strangers` are as many keys of the same kinds that nobody published.
pub(super) fn vectors(minters: &[Minter], strangers: &[SigningKey]) -> Vec<Vector> {
    let each = minters.iter().zip(strangers);
    let each = each.flat_map(|(minter, stranger)| {
        let own = [names(minter), pieces(minter), headers(minter), forged(minter, stranger)];
        own.into_iter()
            .flatten()
            .map(|it| Vector { name: format!("{}: {}", minter.algorithm, it.name), ..it })
    });
    each.chain(minters.iter().flat_map(curves)).chain(secrets(minters)).collect()
}

/// One algorithm's signature under another's name.
fn names(minter: &Minter) -> Vec<Vector> {
    let rule = |name: &str| {
        let kind = |name: &str| match name {
            "EdDSA" | "Ed25519" => "Ed".to_owned(),
            "ES256" | "ES384" => name.to_owned(),
            name if name.ends_with(['6', '4', '2']) && !name.starts_with("ES") => match &name[..2] {
                "HS" => "HS".to_owned(),
                _ => "RSA".to_owned(),
            },
            _ => "none".to_owned(),
        };
        match (kind(minter.algorithm), kind(name)) {
            (own, other) if own != other => Rule::Algorithm,
            (own, _) if own == "Ed" || minter.algorithm == name => Rule::Kept,
            _ => Rule::Signature,
        }
    };
    let (claims, mut vectors) = (minter.claims(), Vec::new());
    for name in NAMES {
        let header = minter.header_saying(name);
        vectors.push(vector(format!("called {name:?}"), minter.sign(&header, &claims), rule(name)));
        if name.eq_ignore_ascii_case("none") {
            let unsigned = format!("{}.{}.", encode(&header), encode(&claims));
            vectors.push(vector(format!("unsigned, {name}"), unsigned, Rule::Algorithm));
        }
    }
    vectors
}

/// What is left of a signature, and what was put to it.
fn pieces(minter: &Minter) -> Vec<Vector> {
    let good = minter.good();
    let (message, _) = good.rsplit_once('.').unwrap();
    let signature = minter.key.sign(message.as_bytes());
    let flipped = |at: usize| {
        let mut signature = signature.clone();
        signature[at] ^= 1;
        signature
    };
    let length = signature.len();
    let broken = [
        ("none", Vec::new()),
        ("one byte", signature[..1].to_vec()),
        ("half", signature[..length / 2].to_vec()),
        ("without the last byte", signature[..length - 1].to_vec()),
        ("without the first byte", signature[1..].to_vec()),
        ("a zero behind", [&signature[..], &[0]].concat()),
        ("a zero before", [&[0], &signature[..]].concat()),
        ("four zeros before", [&[0; 4], &signature[..]].concat()),
        ("twice", [&signature[..], &signature].concat()),
        ("64 KiB less of zeros", vec![0; 4096]),
        ("first bit", flipped(0)),
        ("a bit in the middle", flipped(length / 2)),
        ("last bit", flipped(length - 1)),
        ("zeros", vec![0; length]),
        ("ones", vec![0xff; length]),
        ("backwards", signature.iter().rev().copied().collect()),
        ("in hexadecimal", portcullis::hex::encode(&signature).into_bytes()),
        ("of the header alone", minter.key.sign(encode(minter.header()).as_bytes())),
        ("of the texts", minter.key.sign(format!("{}.{}", minter.header(), minter.claims()).as_bytes())),
    ];
    let mut vectors = vec![vector("as it should be", good.clone(), Rule::Kept)];
    vectors.extend(broken.into_iter().map(|(name, signature)| {
        vector(format!("signature {name}"), format!("{message}.{}", encode(signature)), Rule::Signature)
    }));
    let (_, signature) = good.rsplit_once('.').unwrap();
    let other = minter.claims_with("sub", "\"root\"");
    let moved = format!("{}.{}.{signature}", encode(minter.header()), encode(other));
    vectors.push(vector("over other claims", moved, Rule::Signature));
    let respelt = minter.header().replacen('{', "{ ", 1);
    let moved = format!("{}.{}.{signature}", encode(respelt), encode(minter.claims()));
    vectors.push(vector("over another spelling of the header", moved, Rule::Signature));
    vectors
}

/// What a header may not say, however good the signature.
fn headers(minter: &Minter) -> Vec<Vector> {
    use Rule::{Extension, Kept, Kind, Parameter};
    let rows = [
        (r#""crit":["exp"]"#, Extension),
        (r#""crit":["alg"]"#, Extension),
        (r#""crit":[]"#, Extension),
        (r#""crit":null"#, Extension),
        (r#""crit":"exp""#, Extension),
        (r#""crit":["b64"],"b64":false"#, Extension),
        (r#""crit":["b64"],"b64":true"#, Extension),
        (r#""b64":false"#, Extension),
        (r#""enc":"A256GCM""#, Extension),
        (r#""cty":"JWT""#, Kind),
        (r#""cty":"application/jwt""#, Kind),
        (r#""cty":1"#, Parameter),
        (r#""typ":"JWT""#, Kept),
        (r#""typ":"application/at+jwt""#, Kept),
        (r#""typ":"AT+JWT""#, Kept),
        (r#""typ":"dpop+jwt""#, Kind),
        (r#""typ":"logout+jwt""#, Kind),
        (r#""typ":["at+jwt"]"#, Parameter),
        (r#""typ":null"#, Parameter),
        (r#""jku":"http://127.0.0.1:9/keys","x5u":"http://127.0.0.1:9/cert""#, Kept),
        (r#""x5c":["MIIB"],"x5t":"AAAA","x5t#S256":"AAAA""#, Kept),
        (r#""example.com/unknown":{"a":[1,null]}"#, Kept),
    ];
    let rows = rows
        .into_iter()
        .map(|(more, rule)| vector(more, minter.sign(and(&minter.header(), more), minter.claims()), rule));
    let wrong = ["null", "1", "true", "[]", "{}"].into_iter().map(|value| {
        let header = minter.header().replacen(&format!("\"{}\"", minter.algorithm), value, 1);
        vector(format!("alg {value}"), minter.sign(header, minter.claims()), Parameter)
    });
    let header = minter.header().replacen("alg", "ALG", 1);
    rows.chain(wrong).chain([vector("no alg", minter.sign(header, minter.claims()), Parameter)]).collect()
}

/// Signed by somebody else, who says where his key is.
fn forged(minter: &Minter, stranger: &SigningKey) -> Vec<Vector> {
    let forger = Minter { key: stranger.clone(), ..minter.clone() };
    let jwk = stranger.jwk();
    [
        (String::new(), Rule::Signature),
        (format!("\"jwk\":{jwk}"), Rule::Extension),
        (r#""jku":"http://127.0.0.1:9/keys""#.to_owned(), Rule::Signature),
        (r#""x5u":"http://127.0.0.1:9/cert""#.to_owned(), Rule::Signature),
        (format!("\"x5c\":[{}]", json!(encode(jwk.to_string()))), Rule::Signature),
    ]
    .into_iter()
    .map(|(more, rule)| {
        let header = if more.is_empty() { forger.header() } else { and(&forger.header(), &more) };
        vector(format!("a stranger's, {more:.6}"), forger.sign(header, forger.claims()), rule)
    })
    .collect()
}

/// CVE-2022-21449 and its like: both numbers are from 1 to the order less 1, in their fixed form.
fn curves(minter: &Minter) -> Vec<Vector> {
    let order = match minter.algorithm {
        "ES256" => hex(ORDER_256),
        "ES384" => hex(ORDER_384),
        _ => return Vec::new(),
    };
    let good = minter.good();
    let (message, _) = good.rsplit_once('.').unwrap();
    let signature = minter.key.sign(message.as_bytes());
    let half = order.len();
    let (r, s) = signature.split_at(half);
    let number = |last: u8| [vec![0; half - 1], vec![last]].concat();
    let (zero, one, most) = (number(0), number(1), vec![0xff; half]);
    let mut beyond = order.clone();
    beyond[half - 1] += 1;
    [
        ("r = 0", [&zero, s].concat()),
        ("s = 0", [r, &zero].concat()),
        ("r = s = 1", [one.clone(), one.clone()].concat()),
        ("r = 1", [&one, s].concat()),
        ("s = 1", [r, &one].concat()),
        ("r = n", [&order, s].concat()),
        ("s = n", [r, &order].concat()),
        ("r = s = n", [order.clone(), order.clone()].concat()),
        ("r = n + 1", [&beyond, s].concat()),
        ("s = n + 1", [r, &beyond].concat()),
        ("s is the most", [r, &most].concat()),
        ("swapped", [s, r].concat()),
        ("in DER", der(r, s)),
        ("both with a zero before", [&[0], r, &[0], s].concat()),
        ("both a byte shorter", [&r[1..], &s[1..]].concat()),
        ("r alone", r.to_vec()),
    ]
    .into_iter()
    .map(|(name, signature)| {
        let token = format!("{message}.{}", encode(signature));
        vector(format!("{}: {name}", minter.algorithm), token, Rule::Signature)
    })
    .collect()
}

/// Two numbers as an `Ecdsa-Sig-Value` (RFC 3279 section 2.2.3).
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let sign: &[u8] = if number[0] & 0x80 == 0 { &[] } else { &[0] };
        let length = u8::try_from(sign.len() + number.len()).unwrap();
        [&[2, length], sign, number].concat()
    };
    let both = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(both.len()).unwrap()], &both[..]].concat()
}

/// A public key is known to everyone, so it is no shared secret (CVE-2016-5431, GHSA-4xc9-xhrj-v574, RFC 8725 section 2.1).
fn secrets(minters: &[Minter]) -> Vec<Vector> {
    let (shared, public): (Vec<_>, Vec<_>) =
        minters.iter().partition(|minter| minter.algorithm.starts_with("HS"));
    let mut vectors = Vec::new();
    for own in public.iter().filter(|own| ["RS256", "ES256", "ES384", "EdDSA"].contains(&own.algorithm)) {
        for (at, secret) in forms(&own.key).into_iter().enumerate() {
            for algorithm in ["HS256", "HS384", "HS512"] {
                let key = SigningKey::secret(own.key.kid(), &secret).with_algorithm(algorithm);
                let forger = Minter { algorithm, key, ..(*own).clone() };
                let name = format!("{algorithm} with the key for {} as a secret, form {at}", own.algorithm);
                vectors.push(vector(name.clone(), forger.good(), Rule::Algorithm));
                let nameless = Minter { named: false, ..forger.clone() };
                vectors.push(vector(format!("{name}, no kid"), nameless.good(), Rule::Algorithm));
                // The issuer whose tokens do have a shared secret is no way in either.
                let elsewhere = Minter { issuer: shared[0].issuer.clone(), ..forger };
                vectors.push(vector(format!("{name}, the other issuer"), elsewhere.good(), Rule::Signature));
            }
        }
    }
    vectors
}

//! What a token says: every claim that decides, in every type of JSON.

use super::judge::Rule;
use super::minter::{Minter, Vector, vector};
use crate::harness::issuer::AUDIENCE;

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn vectors(minter: &Minter) -> Vec<Vector> {
    use Rule::{Audience, Claim, Issuer, Kept, Time};
    let (issuer, now) = (&minter.issuer, minter.now);
    let at = |seconds: i64| now.checked_add_signed(seconds).unwrap().to_string();
    let (soon, past) = (at(300), at(-300));
    let rows: Vec<(&str, String, Rule)> = [
        ("iss", issuer.clone(), Kept),
        ("iss", format!("{issuer}/"), Issuer),
        ("iss", format!(" {issuer}"), Issuer),
        ("iss", format!("{issuer} "), Issuer),
        ("iss", issuer.to_uppercase(), Issuer),
        ("iss", issuer[..issuer.len() - 1].to_owned(), Issuer),
        ("iss", format!("{issuer}.evil.example"), Issuer),
        ("iss", format!("{issuer}#"), Issuer),
        ("iss", issuer.replace("://", ":/"), Issuer),
        ("iss", String::new(), Issuer),
        ("aud", AUDIENCE.to_owned(), Kept),
        ("aud", format!("{AUDIENCE}/"), Audience),
        ("aud", format!(" {AUDIENCE}"), Audience),
        ("aud", AUDIENCE.to_uppercase(), Audience),
        ("aud", AUDIENCE[..AUDIENCE.len() - 1].to_owned(), Audience),
        ("aud", format!("https://x {AUDIENCE}"), Audience),
        ("aud", format!("{AUDIENCE},https://x"), Audience),
        ("aud", "*".to_owned(), Audience),
        ("aud", String::new(), Audience),
        ("exp", soon.clone(), Time),
        ("exp", "never".to_owned(), Time),
        ("nbf", past.clone(), Time),
        ("iat", past.clone(), Time),
        ("sub", "bob".to_owned(), Kept),
        ("sub", "alice\r\nX-Auth-Roles: admin".to_owned(), Claim),
        ("sub", "alice\0".to_owned(), Claim),
        ("jti", "1".to_owned(), Kept),
        ("scope", "orders:read".to_owned(), Kept),
    ]
    .into_iter()
    .map(|(name, text, rule)| (name, serde_json::json!(text).to_string(), rule))
    .collect();
    let raw = [
        ("aud", format!("[\"{AUDIENCE}\"]"), Kept),
        ("aud", format!("[\"x\",\"{AUDIENCE}\"]"), Kept),
        ("aud", "[]".to_owned(), Audience),
        ("aud", "[\"x\",\"y\"]".to_owned(), Audience),
        ("aud", format!("[\"{AUDIENCE}\",1]"), Audience),
        ("aud", format!("[[\"{AUDIENCE}\"]]"), Audience),
        ("aud", format!("{{\"{AUDIENCE}\":true}}"), Audience),
        ("iss", format!("[\"{issuer}\"]"), Issuer),
        ("iss", format!("{{\"iss\":\"{issuer}\"}}"), Issuer),
        ("exp", soon.clone(), Kept),
        ("exp", format!("{soon}.5"), Kept),
        ("exp", format!("{soon}.0"), Kept),
        ("exp", format!("{soon}e0"), Kept),
        // Not further within the leeway: on a busy machine it takes a while until all of them have been sent.
        ("exp", at(-1), Kept),
        ("exp", at(-45), Time),
        ("exp", past.clone(), Time),
        ("exp", format!("{past}.9"), Time),
        ("exp", format!("-{soon}"), Time),
        ("exp", "0".to_owned(), Time),
        ("exp", "-0".to_owned(), Time),
        ("exp", "1e-300".to_owned(), Time),
        ("exp", "1e300".to_owned(), Time),
        ("exp", "9007199254740993".to_owned(), Time),
        ("exp", "9223372036854775808".to_owned(), Time),
        ("exp", "18446744073709551616".to_owned(), Time),
        ("exp", "-9223372036854775809".to_owned(), Time),
        ("exp", at(24 * 3600 - 61), Kept),
        ("exp", at(24 * 3600 - 59), Time),
        ("exp", format!("[{soon}]"), Time),
        ("nbf", past.clone(), Kept),
        ("nbf", format!("{past}.25"), Kept),
        ("nbf", "0".to_owned(), Kept),
        ("nbf", at(15), Kept),
        ("nbf", at(90), Time),
        ("nbf", "1e300".to_owned(), Time),
        ("nbf", "9007199254740993".to_owned(), Time),
        ("nbf", format!("[{past}]"), Time),
        ("iat", past.clone(), Kept),
        ("iat", format!("{past}.75"), Kept),
        ("iat", String::new(), Kept),
        ("iat", at(15), Kept),
        ("iat", at(90), Time),
        ("iat", at(-100_000), Time),
        ("iat", "0".to_owned(), Time),
        ("iat", format!("-{past}"), Time),
        ("iat", "1e300".to_owned(), Time),
        ("iat", "18446744073709551615".to_owned(), Time),
        ("sub", "[\"alice\"]".to_owned(), Claim),
        ("jti", "[\"1\"]".to_owned(), Claim),
        ("unknown", "9007199254740993".to_owned(), Kept),
    ];
    // What is no text, no number and no list is of no use to any of them.
    let types = ["null", "true", "false", "{}"].into_iter().flat_map(|text| {
        [("iss", Issuer), ("aud", Audience), ("exp", Time), ("nbf", Time), ("iat", Time), ("sub", Claim)]
            .map(|(name, rule)| (name, text.to_owned(), rule))
    });
    let more = [
        ("iss", "1", Issuer),
        ("aud", "1", Audience),
        ("sub", "1", Claim),
        ("sub", "1e3", Claim),
        ("jti", "1", Claim),
        ("jti", "null", Claim),
        ("jti", "true", Claim),
        ("jti", "{}", Claim),
        ("scope", "1", Claim),
        ("scope", "{}", Claim),
        ("exp", "\"\"", Time),
        ("iss", "", Issuer),
        ("aud", "", Audience),
        ("exp", "", Time),
        ("sub", "", Claim),
    ];
    rows.into_iter()
        .chain(raw)
        .chain(types)
        .chain(more.map(|(name, text, rule)| (name, text.to_owned(), rule)))
        .map(|(name, text, rule)| {
            let token = minter.sign(minter.header(), minter.claims_with(name, &text));
            vector(format!("{}, {name}: {text}", minter.algorithm), token, rule)
        })
        .collect()
}

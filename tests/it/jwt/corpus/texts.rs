//! How a token is written: its parts, their letters, and the JSON in them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::json;

use super::judge::Rule;
use super::minter::{Minter, Vector, and, encode, vector};

pub(super) fn vectors(minter: &Minter, other: &Minter) -> Vec<Vector> {
    let header = |text: &[u8]| minter.sign(text, minter.claims());
    let claims = |text: &[u8]| minter.sign(minter.header(), text);
    let mut vectors = parts(minter, other);
    vectors.extend(spellings(minter));
    vectors.extend(sizes(minter));
    vectors.extend(kids(minter, other));
    vectors.extend(objects("header", &minter.header(), "alg", header));
    vectors.extend(objects("claims", &minter.claims(), "iss", claims));
    vectors
}

/// RFC 7515 section 7.1: three parts.
fn parts(minter: &Minter, other: &Minter) -> Vec<Vector> {
    let good = minter.good();
    let [header, claims, signature] = *good.split('.').collect::<Vec<_>>() else { unreachable!() };
    let jwe = encode(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#);
    let direct = encode(r#"{"alg":"dir","enc":"A128CBC-HS256"}"#);
    let flat = json!({ "protected": header, "payload": claims, "signature": signature }).to_string();
    let nested = minter.sign(minter.header(), other.good());
    let wrapped = minter.sign(and(&minter.header(), r#""cty":"JWT""#), other.good());
    vec![
        vector("no dot", header.to_owned(), Rule::Parts),
        vector("one dot", format!("{header}.{claims}"), Rule::Parts),
        vector("dots only", ".".to_owned(), Rule::Parts),
        vector("three dots", "...".to_owned(), Rule::Parts),
        vector("a dot behind", format!("{good}."), Rule::Parts),
        vector("a dot before", format!(".{good}"), Rule::Parts),
        vector("a dot within", format!("{header}..{claims}.{signature}"), Rule::Parts),
        vector("twice", format!("{good}.{good}"), Rule::Parts),
        vector("encrypted", format!("{jwe}.{header}.{claims}.{signature}.{signature}"), Rule::Parts),
        vector("encrypted directly", format!("{direct}..{claims}.{signature}.{signature}"), Rule::Parts),
        vector("as JSON", flat, Rule::Parts),
        vector("16 KiB of dots", ".".repeat(16 << 10), Rule::Parts),
        vector("two dots only", "..".to_owned(), Rule::Json),
        vector("no header", format!(".{claims}.{signature}"), Rule::Json),
        vector("no claims", format!("{header}..{signature}"), Rule::Json),
        vector("detached, signed", minter.sign(minter.header(), ""), Rule::Json),
        vector("a token in a token", nested, Rule::Json),
        vector("a token in a token, said so", wrapped, Rule::Json),
    ]
}

/// RFC 7515 section 2 and RFC 4648 section 3.5: one spelling.
fn spellings(minter: &Minter) -> Vec<Vector> {
    // The lengths leave bits to spare in each part of one of these tokens.
    let mut vectors = Vec::new();
    for pad in 0..3 {
        let claims = minter.claims_with("x", &json!(format!("{}???>>>", "~".repeat(pad))).to_string());
        let header = and(&minter.header(), &format!("\"x\":\"{}???>>>\"", "~".repeat(pad)));
        let good = minter.sign(&header, &claims);
        // Padded as base64 elsewhere is, by an issuer that signs what it has padded.
        for (what, text, signed) in [
            ("header", &header, minter.sign_parts(&URL_SAFE.encode(&header), &encode(&claims))),
            ("claims", &claims, minter.sign_parts(&encode(&header), &URL_SAFE.encode(&claims))),
        ] {
            if !text.len().is_multiple_of(3) {
                let name = format!("{what} of {pad}, signed with padding");
                vectors.push(vector(name, signed, Rule::Spelling));
            }
        }
        vectors.push(vector(format!("with {pad} more"), good.clone(), Rule::Kept));
        let parts: Vec<&str> = good.split('.').collect();
        for (at, part) in parts.iter().enumerate() {
            let mut row = |what: &str, text: String| {
                let mut parts: Vec<&str> = parts.clone();
                parts[at] = &text;
                vectors.push(vector(format!("part {at} of {pad}, {what}"), parts.join("."), Rule::Spelling));
            };
            row("=", format!("{part}="));
            row("==", format!("{part}=="));
            row("= before", format!("={part}"));
            row("= within", format!("{}={}", &part[..4], &part[4..]));
            row("%3D", format!("{part}%3D"));
            row("a letter of no alphabet", format!("{part}~"));
            row("a space within", format!("{} {}", &part[..4], &part[4..]));
            row("a tab within", format!("{}\t{}", &part[..4], &part[4..]));
            row("bits that nobody reads", respelt(part));
            if part.contains(['-', '_']) {
                row("the other alphabet", part.replace('-', "+").replace('_', "/"));
            }
        }
    }
    vectors
}

/// The same bytes with bits set where the last letter has some to spare, or a lone letter where it has none.
fn respelt(part: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (most, last) = part.split_at(part.len() - 1);
    if part.len().is_multiple_of(4) {
        return format!("{part}A");
    }
    let value = ALPHABET.iter().position(|letter| *letter == last.as_bytes()[0]).unwrap();
    format!("{most}{}", char::from(ALPHABET[value | 1]))
}

/// As much as nobody has to say.
fn sizes(minter: &Minter) -> Vec<Vector> {
    let claims = |more: &str| minter.sign(minter.header(), and(&minter.claims(), more));
    let many = |count: usize| {
        let members: Vec<String> = (0..count).map(|at| format!("\"c{at}\":0")).collect();
        claims(&members.join(","))
    };
    let header = and(&minter.header(), &format!("\"x\":\"{}\"", "x".repeat(64 << 10)));
    vec![
        vector("4 KiB", claims(&format!("\"x\":\"{}\"", "x".repeat(4 << 10))), Rule::Kept),
        vector("64 KiB of claims", claims(&format!("\"x\":\"{}\"", "x".repeat(64 << 10))), Rule::Size),
        vector("64 KiB of header", minter.sign(header, minter.claims()), Rule::Size),
        vector("64 KiB of signature", format!("{}{}", minter.good(), "A".repeat(64 << 10)), Rule::Size),
        vector("500 claims", many(500), Rule::Kept),
        vector("100,000 claims", many(100_000), Rule::Size),
    ]
}

/// RFC 7515 section 4.1.4: a `kid` is compared, and leads nowhere.
fn kids(minter: &Minter, other: &Minter) -> Vec<Vector> {
    let own = minter.key.kid();
    let sign = |kid: &str| {
        minter.sign(format!("{{\"alg\":\"{}\",\"kid\":{kid}}}", minter.algorithm), minter.claims())
    };
    let mut vectors = vec![
        vector("no kid", Minter { named: false, ..minter.clone() }.good(), Rule::Kept),
        vector("kid escaped", sign(&format!("\"\\u{:04x}{}\"", own.as_bytes()[0], &own[1..])), Rule::Kept),
        vector("kid of another kind", sign(&format!("\"{}\"", other.key.kid())), Rule::Algorithm),
        vector("kid of 8 KiB", sign(&format!("\"{}\"", "k".repeat(8 << 10))), Rule::Key),
    ];
    for kid in
        ["../../dev/null", "' OR '1'='1", "", " ", "*", "${jndi:ldap://127.0.0.1/x}", "file:///dev/null"]
    {
        vectors.push(vector(format!("kid {kid:?}"), sign(&json!(kid).to_string()), Rule::Key));
    }
    for kid in [own.to_uppercase(), format!("{own} "), format!("{own}\0"), format!("{own}\r\nX-A: b")] {
        vectors.push(vector(format!("kid {kid:?}"), sign(&json!(kid).to_string()), Rule::Key));
    }
    for kid in ["null", "1", "true", "{}", &format!("[\"{own}\"]")] {
        vectors.push(vector(format!("kid {kid}"), sign(kid), Rule::Parameter));
    }
    vectors
}

/// RFC 8259, RFC 7493, RFC 7515 section 4 and RFC 7519 section 4: one object, and one reading of it.
#[expect(clippy::too_many_lines, reason = "a table")]
fn objects(what: &str, good: &str, name: &str, sign: impl Fn(&[u8]) -> String) -> Vec<Vector> {
    use Rule::{Depth, Duplicate, Json, Kept};
    let value = |text: &str| and(good, &format!("\"x\":{text}"));
    let nested = |levels: usize| value(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
    let objects = |levels: usize| value(&format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels)));
    let first = name.as_bytes()[0];
    let escaped = format!("\"\\u{first:04x}{}\"", &name[1..]);
    let quoted = format!("\"{name}\"");
    let mut rows = vec![
        ("white space around", format!("\r\n\t {good} \n"), Kept),
        ("a name escaped", good.replacen(&quoted, &escaped, 1), Kept),
        ("nested", nested(10), Kept),
        ("lists 10,000 deep", nested(10_000), Depth),
        ("objects 3,000 deep", objects(3_000), Depth),
        ("a member twice", and(good, r#""x":1,"x":1"#), Duplicate),
        ("a member twice with others between", and(good, r#""x":1,"y":1,"x":2"#), Duplicate),
        ("a member twice within", value(r#"{"a":1,"a":1}"#), Duplicate),
        ("a member twice within a list", value(r#"[0,{"a":1,"b":2,"a":1}]"#), Duplicate),
        ("a member twice, deeper", value(r#"{"a":{"b":[{"c":1,"c":null}]}}"#), Duplicate),
        ("a member twice, once escaped", and(good, r#""x":1,"\u0078":1"#), Duplicate),
        ("the first twice", and(good, &format!("{quoted}:\"none\"")), Duplicate),
        ("the first twice, escaped", and(good, &format!("{escaped}:\"none\"")), Duplicate),
        ("the first twice, and first", good.replacen('{', &format!("{{{quoted}:\"none\","), 1), Duplicate),
        ("names that differ in case", and(good, &format!("\"{}\":1", name.to_uppercase())), Kept),
        ("names that look alike", and(good, &format!("\"{name}\u{200b}\":1")), Kept),
        ("a byte order mark", format!("\u{feff}{good}"), Json),
        ("no-break space before", format!("\u{a0}{good}"), Json),
        ("itself again", format!("{good}{good}"), Json),
        ("a letter behind", format!("{good}x"), Json),
        ("a comma behind", format!("{good},"), Json),
        ("NUL behind", format!("{good}\0"), Json),
        ("form feed behind", format!("{good}\u{c}"), Json),
        ("a comma within", and(good, ""), Json),
        ("a comma before", good.replacen('{', "{,", 1), Json),
        ("a comment", good.replacen('{', "{/**/", 1), Json),
        ("a comment behind", format!("{good}//"), Json),
        ("not closed", good[..good.len() - 1].to_owned(), Json),
        ("not opened", good[1..].to_owned(), Json),
        ("single quotes", good.replace('"', "'"), Json),
        ("a bare name", good.replacen(&quoted, name, 1), Json),
        ("= for :", good.replacen(':', "=", 1), Json),
        ("a list", format!("[{good}]"), Json),
        ("a text", json!(good).to_string(), Json),
        ("null", "null".to_owned(), Json),
        ("a number", "1".to_owned(), Json),
        ("nothing", String::new(), Json),
        ("white space", "  ".to_owned(), Json),
    ];
    let values = [
        (r#""\ud83d\ude00""#, Kept),
        (r#""\u0000""#, Kept),
        ("9007199254740993", Kept),
        ("-0", Kept),
        ("1E5", Kept),
        ("1e-5", Kept),
        ("1.50", Kept),
        ("null", Kept),
        ("[ ]", Kept),
        ("{ }", Kept),
        (r#""\/""#, Kept),
        (r#""\ud83d""#, Json),
        (r#""\ude00""#, Json),
        (r#""\ude00\ud83d""#, Json),
        (r#""\ud83d\u0041""#, Json),
        (r#""\x41""#, Json),
        (r#""\u00g0""#, Json),
        (r#""\u41""#, Json),
        ("\"\n\"", Json),
        ("\"\t\"", Json),
        ("\"\0\"", Json),
        ("\"open", Json),
        ("01", Json),
        ("+1", Json),
        ("1.", Json),
        (".5", Json),
        ("-", Json),
        ("1e", Json),
        ("0x1", Json),
        ("1_000", Json),
        ("NaN", Json),
        ("Infinity", Json),
        ("-Infinity", Json),
        ("1e400", Json),
        ("-1e400", Json),
        ("True", Json),
        ("nul", Json),
        ("undefined", Json),
        ("[1,]", Json),
        ("[,]", Json),
        ("[1", Json),
        ("", Json),
    ];
    rows.extend(values.into_iter().map(|(text, rule)| (text, value(text), rule)));
    let mut vectors: Vec<Vector> = rows
        .into_iter()
        .map(|(row, text, rule)| vector(format!("{what}: {row:?}"), sign(text.as_bytes()), rule))
        .collect();
    for (row, bytes) in [
        ("a lone byte", &b"\xff"[..]),
        ("Latin-1", b"\xe9"),
        ("overlong", b"\xc0\xae"),
        ("a surrogate", b"\xed\xa0\x80"),
        ("beyond Unicode", b"\xf4\x90\x80\x80"),
        ("half a letter", b"\xe2\x82"),
    ] {
        let open = good.strip_suffix('}').unwrap().as_bytes();
        let text = [open, b",\"x\":\"", bytes, b"\"}"].concat();
        vectors.push(vector(format!("{what}: {row} is not UTF-8"), sign(&text), Json));
    }
    let wide: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    vectors.push(vector(format!("{what}: UTF-16"), sign(&wide), Json));
    vectors
}

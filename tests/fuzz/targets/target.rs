//! A request target: whatever an upstream makes of an accepted path, it is the path that was matched.

use portcullis::request::target::Target;

pub fn run(input: &[u8]) {
    let Ok(target) = Target::parse(input) else { return };
    let path = target.path();
    assert!(path.starts_with('/'));
    assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'#'));
    // The parts make up exactly what was sent.
    let whole = match target.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    assert_eq!(whole.as_bytes(), input);
    let segments: Vec<String> = target.segments().map(std::borrow::Cow::into_owned).collect();
    let decoded = format!("/{}", segments.join("/"));
    assert_eq!(decoded.as_bytes(), unescape(path.as_bytes()), "decoded once, and nothing else");
    assert!(!decoded.contains(['\\', '\0']) && !decoded.chars().any(|letter| letter.is_ascii_control()));
    // An upstream that removes dot segments, after decoding or before, with parameters or without, changes nothing.
    for reading in [path.to_owned(), decoded.clone()] {
        let parts: Vec<&str> = reading[1..].split('/').collect();
        for (at, part) in parts.iter().enumerate() {
            let name = part.split(';').next().unwrap_or_default();
            assert!(!matches!(name, "." | ".."), "{reading}");
            assert!(!part.is_empty() || at + 1 == parts.len() || target.has_encoded_slash(), "{reading}");
        }
        assert!(!reading[1..].contains("//"), "{reading}");
    }
    assert_eq!(target.has_encoded_slash(), path.to_ascii_lowercase().contains("%2f"));
}

/// Percent-escapes decoded once (RFC 3986 §2.1).
fn unescape(bytes: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| u8::try_from(digit).unwrap_or_default());
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let (high, low) = (digit(bytes[at + 1]), digit(bytes[at + 2]));
            out.push(high.expect("a digit") * 16 + low.expect("a digit"));
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

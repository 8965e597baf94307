//! What stands in Redis, which other programs write: keys and values of the revocation list. A key names a credential or
//! nothing, and a value that cannot be read denies everything.

use portcullis::authn::revocable::Kind;
use portcullis::revocation::cutoff::{Cutoff, Stamp, carries_time};
use portcullis::revocation::entry::{Name, PREFIX, parse_key, reason_in};

/// The first line is the key, the rest is the value.
pub fn run(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n');
    let (key, value) = end.map_or((input, &[][..]), |end| (&input[..end], &input[end + 1..]));
    let named = read_again(key);
    let parsed = parse_key(key);
    assert_eq!(parsed.map(|(kind, id)| (kind.name(), id)), named, "what a key names");
    let name = Name::of_key(key);
    assert_eq!(name.as_ref().map(|name| (name.kind().name(), name.id())), named);
    if let Some(name) = &name {
        // One credential has one key, and is known in the mirror under what it is known under when it is asked about.
        assert_eq!(name.key().as_bytes(), key);
        let again = Name::of_key(name.key().as_bytes()).expect("its own key");
        assert!(again.fingerprint() == name.fingerprint());
        assert!(!name.id().is_empty() && key.len() > PREFIX.len());
    }
    stamp(value);
    if let (Some(name), Ok(value)) = (name, std::str::from_utf8(value)) {
        let reason = reason_in(name.kind(), value);
        assert!(value.contains(reason) && reason.trim() == reason);
        assert!(carries_time(name.kind()) || reason == value.trim());
    }
}

/// The same, by the layout that the documentation describes: `portcullis:revoked:KIND:ID`.
fn read_again(key: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(key).ok()?;
    let mut parts = text.splitn(4, ':');
    let ("portcullis", "revoked") = (parts.next()?, parts.next()?) else { return None };
    let (kind, id) = (parts.next()?, parts.next()?);
    let good = match kind {
        "jti" => {
            let (issuer, jti) = id.split_once(':')?;
            let hash = issuer.len() == 16
                && issuer.chars().all(|letter| letter.is_ascii_digit() || ('a'..='f').contains(&letter));
            !jti.is_empty() && (issuer == "*" || hash)
        }
        "client" | "key" | "sid" | "sub" | "user" => !id.is_empty(),
        _ => false,
    };
    good.then_some((kind, id))
}

/// A time that is read denies what was issued until then and nothing later; one that is not denies everything.
fn stamp(value: &[u8]) {
    let stamp = Stamp::read(value);
    let word = value.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let whole = word.split(|byte| *byte == b'.').next().unwrap_or_default();
    assert!(stamp.cutoff.denies(None), "whoever does not say when they were issued is denied");
    let seconds = std::str::from_utf8(whole).ok().and_then(|text| text.parse::<u32>().ok());
    match (stamp.millis, seconds) {
        (Some(_), Some(seconds)) if seconds < u32::MAX => {
            assert!(stamp.cutoff.denies(Some(seconds.into())), "what was issued in that second is denied");
            assert!(!stamp.cutoff.denies(Some(u64::from(seconds) + 1)), "and nothing later");
        }
        _ => assert!(stamp.cutoff == Cutoff::EVERYTHING, "what cannot be read denies everything: {value:?}"),
    }
    assert!(carries_time(Kind::Sub) && !carries_time(Kind::Key));
}

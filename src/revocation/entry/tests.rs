//! The layout, row by row: what is written, and what of other programs is understood.

use super::*;

const HASH: &str = "0123456789abcdef";

#[test]
fn names_and_their_keys() {
    let issuer = "https://id.example.com";
    let of_issuer = format!("portcullis:revoked:jti:{}:t1", issuer_hash(issuer));
    let long = "x".repeat(LONGEST_ID);
    for (kind, id, whose, expect) in [
        (Kind::Jti, "t1", Issuer::Any, Ok("portcullis:revoked:jti:*:t1")),
        (Kind::Jti, "t1", Issuer::Named(issuer), Ok(of_issuer.as_str())),
        (Kind::Jti, "t1", Issuer::Hash(HASH), Ok("portcullis:revoked:jti:0123456789abcdef:t1")),
        (Kind::Jti, "urn:a:b", Issuer::Any, Ok("portcullis:revoked:jti:*:urn:a:b")),
        (Kind::Sub, "auth0|5f: x", Issuer::Any, Ok("portcullis:revoked:sub:auth0|5f: x")),
        (Kind::Sid, "s", Issuer::Any, Ok("portcullis:revoked:sid:s")),
        (Kind::Client, "c", Issuer::Any, Ok("portcullis:revoked:client:c")),
        (Kind::Key, "k_4fQ9xT", Issuer::Any, Ok("portcullis:revoked:key:k_4fQ9xT")),
        (Kind::User, "José", Issuer::Any, Ok("portcullis:revoked:user:José")),
        (Kind::Sub, "", Issuer::Any, Err(Invalid::EmptyId)),
        (Kind::Key, "pcl_k_4fQ9xT_abc", Issuer::Any, Err(Invalid::WholeKey)),
        (Kind::Sub, "eyJhbGciOiJFUzI1NiJ9.e30.c2ln", Issuer::Any, Err(Invalid::WholeToken)),
        (Kind::Jti, "eyJhbGciOiJFUzI1NiJ9.e30.c2ln", Issuer::Any, Err(Invalid::WholeToken)),
        (Kind::Sub, "eyJ", Issuer::Any, Ok("portcullis:revoked:sub:eyJ")),
        (Kind::Sub, "a\nb", Issuer::Any, Err(Invalid::ControlCharacter("identifier"))),
        (Kind::Sub, "a\0", Issuer::Any, Err(Invalid::ControlCharacter("identifier"))),
        (Kind::Sub, "a\u{9b}", Issuer::Any, Err(Invalid::ControlCharacter("identifier"))),
        (Kind::Sub, "a", Issuer::Named(issuer), Err(Invalid::NeedlessIssuer("sub"))),
        (Kind::Key, "a", Issuer::Hash(HASH), Err(Invalid::NeedlessIssuer("key"))),
        (Kind::Jti, "a", Issuer::Named(""), Err(Invalid::EmptyIssuer)),
        (Kind::Jti, "a", Issuer::Hash("*"), Err(Invalid::IssuerHash)),
        (Kind::Jti, "a", Issuer::Hash("0123456789ABCDEF"), Err(Invalid::IssuerHash)),
        (Kind::Jti, "a", Issuer::Hash("0123456789abcde"), Err(Invalid::IssuerHash)),
        (Kind::Sub, &format!("{long}x"), Issuer::Any, Err(Invalid::LongId)),
    ] {
        let name = Name::new(kind, id, whose);
        assert_eq!(
            name.as_ref().map(Name::key).map_err(|error| *error),
            expect.map(str::to_owned),
            "{kind:?} {id}"
        );
        if let Ok(name) = name {
            assert_eq!(Name::of_key(name.key().as_bytes()).as_ref(), Some(&name));
            assert_eq!(parse_key(name.key().as_bytes()), Some((kind, name.id())));
        }
    }
    assert!(Name::new(Kind::Sub, &long, Issuer::Any).is_ok());
}

#[test]
fn a_written_name_is_the_one_that_is_looked_up() {
    use crate::authn::revocable::Revocable;
    let issuer = "https://id.example.com";
    let credential = Revocable::new("alice", None).with_jti(issuer, "t1").with(Kind::Sid, "s1");
    let looked_up = |kind, id, issuer| {
        let name = Name::new(kind, id, issuer).unwrap();
        credential.entries().contains(&(kind, name.fingerprint()))
    };
    assert!(looked_up(Kind::Jti, "t1", Issuer::Any));
    assert!(looked_up(Kind::Jti, "t1", Issuer::Named(issuer)));
    assert!(looked_up(Kind::Sub, "alice", Issuer::Any));
    assert!(looked_up(Kind::Sid, "s1", Issuer::Any));
    assert!(!looked_up(Kind::Jti, "t1", Issuer::Named("https://id.example.com/")));
    assert!(!looked_up(Kind::Sid, "alice", Issuer::Any));
}

#[test]
fn keys_that_name_no_credential() {
    for key in [
        "",
        "portcullis:revoked:",
        "portcullis:revoked:sub",
        "portcullis:revoked:sub:",
        "portcullis:revoked:Sub:alice",
        "portcullis:revoked:subject:alice",
        "portcullis:revoked:jti:t1",
        "portcullis:revoked:jti:*:",
        "portcullis:revoked:jti:https://id.example.com:t1",
        "portcullis:revoked:jti:0123456789ABCDEF:t1",
        "portcullis:revocation-epoch",
        "other:revoked:sub:alice",
    ] {
        assert_eq!(parse_key(key.as_bytes()), None, "{key}");
        assert_eq!(Name::of_key(key.as_bytes()), None, "{key}");
    }
    assert_eq!(parse_key(b"portcullis:revoked:sub:\xff"), None);
    // What another program wrote is taken as it is, even where this one would not write it.
    assert_eq!(parse_key(b"portcullis:revoked:sub:a\nb"), Some((Kind::Sub, "a\nb")));
}

#[test]
fn values() {
    let now = 1_795_251_600;
    for (kind, reason, expect) in [
        (Kind::Sub, "", Ok("1795251600")),
        (Kind::Sub, "left the company", Ok("1795251600 left the company")),
        (Kind::Client, "leaked", Ok("1795251600 leaked")),
        (Kind::Jti, "", Ok("")),
        (Kind::Key, "in a public repository", Ok("in a public repository")),
        (Kind::Sub, "a\r\nb", Err(Invalid::ControlCharacter("reason"))),
    ] {
        let name = Name::new(kind, "x", Issuer::Any).unwrap();
        let entry = Entry::new(name, Lifetime::Endless, reason, now);
        assert_eq!(
            entry.as_ref().map(Entry::value).map_err(|error| *error),
            expect.map(str::to_owned),
            "{kind:?} {reason}"
        );
        if let Ok(entry) = entry {
            assert_eq!(reason_in(kind, &entry.value()), reason);
        }
    }
    let name = Name::new(Kind::Key, "x", Issuer::Any).unwrap();
    let overlong = "x".repeat(LONGEST_REASON + 1);
    assert_eq!(Entry::new(name, Lifetime::Endless, &overlong, now), Err(Invalid::LongReason));
}

#[test]
fn lifetimes() {
    for (text, expect) in [
        ("never", Ok(Lifetime::Endless)),
        ("24h", Ok(Lifetime::Seconds(86_400))),
        ("1500ms", Ok(Lifetime::Seconds(2))),
        ("1ms", Ok(Lifetime::Seconds(1))),
        ("0s", Err(Invalid::NoLifetime)),
        ("", Err(Invalid::LifetimeSyntax)),
        ("Never", Err(Invalid::LifetimeSyntax)),
        ("3600", Err(Invalid::LifetimeSyntax)),
        ("-1h", Err(Invalid::LifetimeSyntax)),
        ("36501d", Ok(Lifetime::Seconds(36_501 * 86_400))),
        ("200000d", Err(Invalid::LongLifetime)),
        ("213503982334d", Err(Invalid::LongLifetime)),
    ] {
        assert_eq!(text.parse(), expect, "{text}");
    }
    for (seconds, shown) in [
        (86_400, "24h"),
        (86_430, "24h 30s"),
        (2 * 86_400, "2d"),
        (90 * 86_400 + 5_400, "90d 1h 30m"),
        (59, "59s"),
        (3_601, "1h 1s"),
    ] {
        let lifetime = Lifetime::Seconds(seconds);
        assert_eq!(lifetime.to_string(), format!("for {shown}"));
        assert_eq!(shown.parse(), Ok(lifetime), "what is shown can be given");
    }
}

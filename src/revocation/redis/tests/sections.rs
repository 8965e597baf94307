//! The section `redis` of a file: what is accepted, and what each mistake is told.

use super::super::fixture::{server, try_server};

#[test]
fn addresses() {
    for (url, shown) in [
        ("redis://127.0.0.1", "redis://127.0.0.1:6379/0"),
        ("redis://localhost:7000", "redis://localhost:7000/0"),
        ("redis://redis.internal/", "redis://redis.internal:6379/0"),
        ("redis://redis.internal:6380/15", "redis://redis.internal:6380/15"),
        ("valkey://redis.internal", "redis://redis.internal:6379/0"),
        ("redis://[::1]:7000/1", "redis://[::1]:7000/1"),
        ("rediss://redis.internal", "rediss://redis.internal:6379/0"),
    ] {
        assert_eq!(server(&format!("{{ url: \"{url}\" }}")).to_string(), shown, "{url}");
    }
}

#[test]
fn mistakes() {
    let no_address = "this is no address of a Redis";
    for (section, expect) in [
        ("{ url: \"127.0.0.1:6379\" }", no_address),
        ("{ url: \"\" }", no_address),
        ("{ url: \"http://redis\" }", no_address),
        ("{ url: \"redis://\" }", no_address),
        ("{ url: \"redis://host:port\" }", no_address),
        ("{ url: \"redis://host/one\" }", no_address),
        ("{ url: \"redis://host/-1\" }", no_address),
        ("{ url: \"redis://host/0/1\" }", no_address),
        ("{ url: \"unix:///run/redis.sock\" }", "only `redis://` and `rediss://` are spoken"),
        ("{ url: \"rediss://host/#insecure\" }", "nothing may follow the database in the url"),
        ("{ url: \"redis://host?protocol=resp2\" }", "nothing may follow the database in the url"),
        ("{ url: \"redis://:hunter2@host\" }", "a password stands in the url"),
        ("{ url: \"redis://gateway:hunter2@host\" }", "a password stands in the url"),
        ("{ url: \"${REDIS_URL}\" }", "a password stands in the url"),
        ("{ url: \"redis://gateway@host\" }", "a user stands in the url"),
        ("{ url: \"redis://host\", username: gateway }", "`username` needs a `password`"),
        ("{ url: \"redis://host\", password: \"file:/nowhere/at/all\" }", "cannot read this file"),
        ("{ url: \"redis://host\", ca: /etc/hostname }", "`ca` is for TLS"),
        ("{ url: \"rediss://host\", ca: /etc/hostname }", "this file holds no certificates"),
        ("{ url: \"rediss://host\", ca: /nowhere/at/all }", "cannot read this file"),
        ("{ url: \"redis://host\", timeouts: { connect: 0s } }", "must not be zero"),
        ("{ url: \"redis://host\", insecure: true }", "unknown key `insecure`"),
        ("{ url: \"redis://host\", pasword: \"${REDIS_PASSWORD}\" }", "unknown key `pasword`"),
        ("{ password: \"${REDIS_PASSWORD}\" }", "`redis` does not say where Redis is"),
    ] {
        let problems = try_server(section).expect_err(section);
        assert!(problems.contains(expect), "{section}: {problems}");
        assert!(!problems.contains("hunter2"), "{problems}");
    }
}

#[test]
fn a_server_is_the_same_when_everything_is() {
    let same = "{ url: \"redis://host\", password: \"${REDIS_PASSWORD}\" }";
    let first = server(same);
    assert!(first == server(same) && !format!("{first:?}").contains("hunter2"));
    for section in [
        "{ url: \"redis://host\" }",
        "{ url: \"redis://host/1\", password: \"${REDIS_PASSWORD}\" }",
        "{ url: \"redis://other\", password: \"${REDIS_PASSWORD}\" }",
        "{ url: \"redis://host\", password: \"${REDIS_PASSWORD}\", username: gateway }",
        "{ url: \"redis://host\", password: \"${REDIS_PASSWORD}\", timeouts: { response: 3s } }",
    ] {
        assert!(first != server(section), "{section}");
    }
}

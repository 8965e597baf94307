//! `check --audit`: advice with line, reason and cure, apart from errors.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{folder, portcullis};
use crate::harness::credentials::{ApiKey, htpasswd_argon2id, htpasswd_slow, keys_yaml};

const BAD: &str = r#"version: 1
listen:
  - { address: "0.0.0.0:8443", tls: true }
  - { address: "0.0.0.0:8080", plaintext: true }
admin: { address: "0.0.0.0:9180", token: "file:token" }
tls: { self_signed: [api.example.com] }
redis: { url: "redis://127.0.0.1:6379" }
auth:
  partners: { api_key: { keys: keys.yaml, forward_credential: true } }
  staff: { basic: { users: staff.htpasswd, realm: Tools } }
  users: { jwt: { issuer: http://id.example.com, audience: api, secret: "file:token" } }
  long: { jwt: { issuer: https://long.example.com, audience: api, public_key: id.pem, max_lifetime: 720h } }
revocation: { on_outage: allow }
limits: { failed_attempts: { source: unlimited, principal: unlimited } }
upstreams:
  api: http://api.example.com
  inner: { targets: ["http://10.0.0.1:8080", "http://orders.internal:8080", "http://orders:80", "http://orders.shop", "http://203.0.113.9"] }
routes:
  - { name: open, match: { path: /open }, auth: public, upstream: api }
  - { name: all, match: { path: /** }, auth: [partners, staff, users, long], upstream: inner, mode: report }
"#;

const GOOD: &str = r#"version: 1
listen: [{ address: "0.0.0.0:8443", tls: true }, { address: "0.0.0.0:8080", redirect: https }]
tls: { certificates: [{ cert: api.crt, key: api.key }] }
redis: { url: "redis://127.0.0.1:6379" }
auth:
  partners: { api_key: { keys: keys.yaml } }
  users: { jwt: { issuer: https://id.example.com, audience: api, public_key: id.pem, max_lifetime: 1h } }
upstreams: { api: { targets: [https://api.example.com], host: upstream } }
routes:
  - { name: open, match: { path: /open, methods: [GET] }, auth: public, upstream: api }
  - { name: all, match: { path: /all/** }, auth: [partners, users], upstream: api }
"#;

/// What `check` with these arguments says of a policy whose secrets everybody can read, if `open`.
fn check(policy: &str, open: bool, arguments: &[&str]) -> super::Done {
    let endless = ApiKey::of("acme").created("2020-01-01T00:00:00Z");
    let old = ApiKey::of("old").created("2020-01-01T00:00:00Z").expires("2099-01-01T00:00:00Z");
    let ended = ApiKey::of("ended").created("2020-01-01T00:00:00Z").expires("2020-02-01T00:00:00Z");
    let fresh = ApiKey::of("fresh").expires("2099-01-01T00:00:00Z");
    let keys = if open { vec![&endless, &old, &ended, &fresh] } else { vec![&fresh] };
    let certificate = rcgen::generate_simple_self_signed(["api.example.com".to_owned()]).unwrap();
    let folder = folder(&[
        ("gateway.yaml", policy),
        ("keys.yaml", &keys_yaml(&keys)),
        ("staff.htpasswd", &(htpasswd_argon2id("alice", "x") + &htpasswd_slow("bob", "x"))),
        ("id.pem", &rcgen::KeyPair::generate().unwrap().public_key_pem()),
        ("token", "a-token-of-enough-bytes-for-hs256-and-more"),
        ("api.crt", &certificate.cert.pem()),
        ("api.key", &certificate.signing_key.serialize_pem()),
    ]);
    if open {
        for name in ["token", "staff.htpasswd"] {
            fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
    portcullis(folder.path(), &[&["check"], arguments].concat(), "")
}

#[test]
fn what_somebody_should_decide_on_purpose_is_advised_with_line_and_cure() {
    let done = check(BAD, true, &["--audit"]);
    let said = done.success();
    assert!(said.starts_with("gateway.yaml is good: 2 routes\n\nnote: "), "{said}");
    for (what, place, cure) in [
        ("this listener is in the clear, and others may reach it", "gateway.yaml:4:", "redirect: https"),
        ("metrics and health can be asked for from other machines", "gateway.yaml:5:", "loopback"),
        (
            "the mode of this secret, 644, lets everyone on the machine read it",
            "gateway.yaml:5:",
            "chmod o-rwx",
        ),
        ("the upstream receives the key itself", "gateway.yaml:9:", "remove `forward_credential`"),
        ("keys never expire: `k_acme` of acme\n", "keys.yaml:2:", "--expires 90d"),
        ("keys have expired: `k_ended` of ended\n", "keys.yaml:", "remove their entries"),
        ("keys were made more than a year ago: `k_old` of old\n", "keys.yaml:", "make others"),
        (
            "the mode of this file of password hashes, 644, lets everyone on the machine read it",
            "gateway.yaml:10:",
            "chmod o-rwx",
        ),
        (
            "passwords are cheap to guess from these hashes: `alice` with argon2id m=",
            "staff.htpasswd:1:1",
            "hash-password",
        ),
        ("whoever can verify these tokens can also sign them", "gateway.yaml:11:", "jwks_url"),
        (
            "the mode of this secret, 644, lets everyone on the machine read it",
            "gateway.yaml:11:",
            "chmod o-rwx",
        ),
        ("tokens may live for 30d", "gateway.yaml:12:", "renewed"),
        ("while Redis is away", "gateway.yaml:13:", "on_outage: deny"),
        ("failed attempts of one `source` are not limited", "gateway.yaml:14:", "only failures count"),
        ("failed attempts of one `principal` are not limited", "gateway.yaml:14:", "only failures count"),
        ("requests go in the clear to a host that looks public", "gateway.yaml:16:", "use `https://`"),
        ("requests go in the clear to a host that looks public", "gateway.yaml:17:", "use `https://`"),
        (
            "anyone may send POST, PUT and DELETE to the public route `open`",
            "gateway.yaml:19:",
            "methods: [GET, HEAD]",
        ),
        ("the route `all` only reports", "gateway.yaml:20:", "remove `mode: report`"),
    ] {
        let notes: Vec<&str> = said.split("note: ").collect();
        let found =
            notes.iter().any(|note| note.contains(what) && note.contains(place) && note.contains(cure));
        assert!(found, "{what} at {place}\n{said}");
    }
    assert_eq!(said.matches("note: ").count(), 19, "{said}");
    assert!(said.ends_with("\n19 pieces of advice\n"), "{said}");
    assert!(!said.contains("bob"), "the other hash is a good one: {said}");
    // Without being asked for advice, `check` gives none.
    assert_eq!(check(BAD, true, &[]).success(), "gateway.yaml is good: 2 routes\n");
}

#[test]
fn advice_can_stop_a_pipeline_and_errors_are_still_errors() {
    let done = check(BAD, true, &["--audit=deny"]);
    assert_eq!(done.code, 1);
    assert!(done.stdout.ends_with("\n19 pieces of advice\n"), "{}", done.stdout);
    for arguments in [&["--audit"][..], &["--audit=deny"]] {
        let done = check(GOOD, false, arguments);
        assert_eq!(done.success(), "gateway.yaml is good: 2 routes\n\nno advice\n", "{}", done.stderr);
    }
    let memory = GOOD.replace("redis: { url: \"redis://127.0.0.1:6379\" }\n", "");
    let done = check(&memory, false, &["--audit"]);
    assert!(
        done.success().contains("note: revocations are kept in the memory of the process"),
        "{}",
        done.stdout
    );
    assert!(done.stdout.ends_with("\n1 piece of advice\n"), "{}", done.stdout);
    let client_host =
        GOOD.replace("{ targets: [https://api.example.com], host: upstream }", "https://api.example.com");
    let done = check(&client_host, false, &["--audit"]);
    assert!(
        done.success().contains("note: this server looks public, and receives the client's `Host`"),
        "{}",
        done.stdout
    );
    assert!(done.stdout.contains("write `host: upstream` to send its own name"), "{}", done.stdout);
    let pointless =
        GOOD.replace("targets: [https://api.example.com]", "targets: [\"https://api.example.com/all/\"]");
    let pointless = pointless.replace(
        "upstream: api }\n  - { name: all, match: { path: /all/** }",
        "upstream: api }\n  - { name: all, rewrite: { strip_prefix: /all }, match: { path: /all/** }",
    );
    let done = check(&pointless, false, &["--audit"]);
    assert!(
        done.success().contains("note: the base path of `api` puts back what this takes off"),
        "{}",
        done.stdout
    );
    assert!(done.stdout.ends_with("\n1 piece of advice\n"), "{}", done.stdout);
    let done = check(&GOOD.replace("auth: public", "auth: publik"), false, &["--audit"]);
    assert!(done.failure().contains("there is no `publik` in `auth`"), "{}", done.stderr);
}

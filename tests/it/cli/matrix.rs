//! `routes --matrix`: who may do what, and which rules somebody should look at.

use serde_json::Value;

use super::{folder, portcullis};
use crate::harness::credentials::{ApiKey, htpasswd_argon2id, keys_yaml};

const HEAD: &str = r#"version: 1
listen: [{ address: "127.0.0.1:0", tls: true }]
tls: { self_signed: [api.example.com] }
auth:
  partners: { api_key: { keys: keys.yaml } }
  staff: { basic: { users: staff.htpasswd, realm: Tools, scopes: [read] } }
  users: { jwt: { issuer: https://id.example.com, audience: api, public_key: id.pem, claims: { roles: roles } } }
upstreams: { api: http://api:8080, other: http://other:8080 }
routes:
"#;

/// What `routes` prints for these routes.
fn routes(routes: &str, arguments: &[&str]) -> String {
    let reader = ApiKey::of("reader").scopes(&["read"]);
    let writer = ApiKey::of("writer").scopes(&["read", "write"]).roles(&["editor"]);
    let public = rcgen::KeyPair::generate().unwrap().public_key_pem();
    let folder = folder(&[
        ("gateway.yaml", &format!("{HEAD}{routes}")),
        ("keys.yaml", &keys_yaml(&[&reader, &writer])),
        ("staff.htpasswd", &(htpasswd_argon2id("alice", "x") + &htpasswd_argon2id("bob", "x"))),
        ("id.pem", &public),
    ]);
    portcullis(folder.path(), &[&["routes", "--matrix"], arguments].concat(), "").success().to_owned()
}

const ROUTES: &str = r#"
  - { name: docs, match: { path: /docs/**, methods: [GET] }, auth: public, upstream: api }
  - name: orders
    match: { path: /orders/** }
    auth: [partners, staff, users]
    allow: { GET: { scopes: [read] }, "POST, PUT": { scopes: [write], roles: [editor, admin] } }
    upstream: api
  - { name: tools, match: { host: tools.example.com, path: /** }, auth: staff, upstream: other, mode: report }
"#;

#[test]
fn each_rule_says_who_may_in_a_hundred_columns() {
    let said = routes(ROUTES, &[]);
    // The usual methods of `tools` make a table too wide, so each route has a block.
    let blocks = "\
docs  /docs/**
  GET  ANYONE (public)

orders  /orders/**
  GET  partners all, staff all, users by claims, needs read
  POST PUT  partners 1 of 2, staff none, users by claims, needs write as editor or admin

tools  tools.example.com/** (reports only)
  GET HEAD POST PUT PATCH DELETE OPTIONS  staff all

! public: docs: anyone may, by GET
! reports only: tools: refusals are only reported: anyone may
";
    assert_eq!(said, blocks);
    let short = r"
  - { name: docs, match: { path: /docs/**, methods: [GET] }, auth: public, upstream: api }
  - { name: all, match: { path: /all }, auth: [users, staff, partners], upstream: other, allow: { GET: { scopes: [read] } } }
";
    let table = "\
ROUTE  HOST AND PATH  METHODS  partners  staff  users      NEEDS
docs   /docs/**       GET      -         -      -          ANYONE (public)
all    /all           GET      all       all    by claims  read

! public: docs: anyone may, by GET
";
    assert_eq!(routes(short, &[]), table);
}

#[test]
fn rules_that_somebody_should_look_at_are_flagged() {
    let orders = "auth: partners, upstream: api";
    for (rows, flags) in [
        (
            format!(
                "  - {{ name: a, match: {{ path: /a/** }}, {orders} }}\n  - {{ name: b, match: {{ path: /a/b/** }}, {orders} }}\n"
            ),
            &["! redundant: b: without it, `a` would do the same with the same requests"][..],
        ),
        // Another upstream, other callers or other needs make a difference.
        (
            format!(
                "  - {{ name: a, match: {{ path: /a/** }}, {orders} }}\n  - {{ name: b, match: {{ path: /a/b/** }}, auth: partners, upstream: other }}\n"
            ),
            &[][..],
        ),
        (
            format!(
                "  - {{ name: a, match: {{ path: /a/** }}, {orders} }}\n  - {{ name: b, match: {{ path: /a/b/** }}, auth: staff, upstream: api }}\n"
            ),
            &[][..],
        ),
        (
            format!(
                "  - {{ name: a, match: {{ path: /a/** }}, {orders} }}\n  - {{ name: b, match: {{ path: /a/b }}, {orders}, allow: {{ GET: {{ scopes: [read] }} }} }}\n"
            ),
            &[][..],
        ),
        (
            format!(
                "  - {{ name: a, match: {{ path: /a, methods: [GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS] }}, {orders} }}\n  - {{ name: b, match: {{ path: /a }}, auth: staff, upstream: api }}\n"
            ),
            &["! shadowed: b: everything that it is for goes to `a`"][..],
        ),
        (
            format!(
                "  - {{ name: a, match: {{ path: /a }}, {orders}, allow: {{ GET: {{ scopes: [gone] }} }} }}\n"
            ),
            &["! nobody: a: no key and no user has gone, for GET"][..],
        ),
        (
            format!(
                "  - {{ name: a, match: {{ path: /a }}, {orders}, allow: {{ GET: {{ scopes: [read] }}, HEAD: {{ scopes: [read] }} }} }}\n"
            ),
            &[][..],
        ),
        // A route for some hosts may keep another one from them.
        (
            format!(
                "  - {{ name: a, match: {{ path: /p/** }}, {orders} }}\n  - {{ name: b, match: {{ host: \"*.example.com\", path: /p/** }}, {orders} }}\n"
            ),
            &["! redundant: b: without it, `a` would do the same with the same requests"][..],
        ),
        (
            format!(
                "  - {{ name: a, match: {{ path: /p/** }}, {orders} }}\n  - {{ name: b, match: {{ host: \"*.example.com\", path: /p/** }}, {orders} }}\n  - {{ name: c, match: {{ path: /p/c }}, auth: staff, upstream: api }}\n"
            ),
            &[][..],
        ),
        (
            format!(
                "  - {{ name: a, match: {{ path: /p/** }}, {orders} }}\n  - {{ name: b, match: {{ path: /p/b/** }}, {orders} }}\n  - {{ name: c, match: {{ path: /p/*/c }}, auth: staff, upstream: api }}\n"
            ),
            &[][..],
        ),
        // What lies deeper, or ends with a slash, is left to it.
        (
            format!(
                "  - {{ name: a, match: {{ path: /a/* }}, {orders} }}\n  - {{ name: b, match: {{ path: /a }}, {orders} }}\n  - {{ name: c, match: {{ path: /a/** }}, auth: staff, upstream: api }}\n"
            ),
            &[][..],
        ),
    ] {
        let filler = "  - { name: filler, match: { path: /filler }, auth: [partners, staff, users], upstream: other, allow: { GET: {} } }\n  - { name: filler2, match: { path: /filler2 }, auth: [partners, staff, users], upstream: api, allow: { GET: {} } }\n";
        let said = routes(&format!("{rows}{filler}"), &[]);
        let found: Vec<&str> = said.lines().filter(|line| line.starts_with('!')).collect();
        assert_eq!(found, flags, "{said}");
    }
}

#[test]
fn programs_read_the_same_as_json() {
    let said: Value = serde_json::from_str(&routes(ROUTES, &["--format", "json"])).unwrap();
    assert_eq!(said["auth"], serde_json::json!(["partners", "staff", "users"]));
    let row = &said["rows"][2];
    assert_eq!((row["route"].as_str(), row["methods"][1].as_str()), (Some("orders"), Some("PUT")));
    assert_eq!(row["scopes"], serde_json::json!(["write"]));
    let may = serde_json::json!([{ "listed": { "may": 1, "of": 2 } }, { "listed": { "may": 0, "of": 2 } }, "claims"]);
    assert_eq!(row["may"], may);
    assert_eq!(said["rows"][0]["public"], true);
    assert_eq!(said["flags"][0]["flag"], "public");
}

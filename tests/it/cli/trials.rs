//! `test`: what stands beside a policy is held against it.

use super::{Done, folder, portcullis};
use crate::harness::credentials::{ApiKey, htpasswd_argon2id, htpasswd_bcrypt, keys_yaml};
use crate::harness::gateway::{Gateway, Reload};

const POLICY: &str = r#"
version: 1
listen: [{ address: "127.0.0.1:0", tls: true }]
admin: { address: "127.0.0.1:0" }
tls: { self_signed: [api.example.com] }
redis: { url: "redis://nowhere.invalid:6379" }
auth:
  partners: { api_key: { keys: keys.yaml } }
  staff: { basic: { users: staff.htpasswd, realm: Tools, scopes: [orders:read] } }
  users: { jwt: { issuer: https://nowhere.invalid, audience: https://api.example.com, max_lifetime: 1h, claims: { roles: roles } } }
  legacy: { jwt: { issuer: https://legacy.example.com, audience: api, algorithms: [HS384], secret: "file:secret" } }
  old: { jwt: { issuer: https://old.example.com, audience: api, algorithms: [PS256], jwks_url: https://old.invalid/keys } }
identity: { headers: { X-Auth-Subject: subject, X-Auth-Email: claims.email } }
upstreams: { api: http://nowhere.invalid }
routes:
  - { name: docs, match: { path: /docs/** }, auth: public, upstream: api }
  - name: orders
    match: { path: /v1/orders/** }
    auth: [users, legacy, old, partners, staff]
    allow: { GET: { scopes: [orders:read] }, POST: { scopes: [orders:write], roles: [editor] } }
    upstream: api
"#;

/// Runs `test` on the policy with these tests beside it.
fn run(tests: &str) -> Done {
    run_with(tests, &[("other.yaml", "tests: []")], &[])
}

fn run_with(tests: &str, files: &[(&str, &str)], arguments: &[&str]) -> Done {
    let acme = ApiKey::of("acme").scopes(&["orders:read"]);
    let (first, second) =
        (ApiKey::of("twice").id("k_1"), ApiKey::from_text("twice", "another-key").id("k_2"));
    let ended = ApiKey::of("ended").expires("2020-01-01T00:00:00Z");
    let policy = format!("{}tests:\n{tests}", POLICY.trim_start());
    let keys = keys_yaml(&[&acme, &first, &second, &ended]);
    let users = htpasswd_argon2id("alice", "x") + &htpasswd_bcrypt("carol", "x");
    let mut all = vec![
        ("gateway.yaml", policy.as_str()),
        ("keys.yaml", &keys),
        ("staff.htpasswd", &users),
        ("secret", "a-secret-of-enough-bytes-for-hs384-which-needs-forty-eight"),
    ];
    all.extend(files);
    let folder = folder(&all);
    portcullis(folder.path(), &[&["test"], arguments].concat(), "")
}

const GOOD: &str = r"
  - { name: anyone reads, request: GET https://api.example.com/docs/a, expect: { status: 200, route: docs, subject: none, reason: ok } }
  - { name: nobody writes, request: GET https://api.example.com/v1/orders/1, expect: { status: 401, reason: no_credential } }
  - name: a partner reads
    request: GET https://api.example.com/v1/orders/1
    headers: { X-Auth-Subject: root, X-Other: kept }
    key: { owner: acme }
    expect: { status: 200, route: orders, subject: acme, upstream: { X-Auth-Subject: acme, x-other: kept }, absent: [X-API-Key] }
  - { name: by id, request: GET https://api.example.com/v1/orders/1, key: { id: k_1 }, expect: { status: 403, reason: missing_scope, subject: twice } }
  - { name: an old key, request: GET https://api.example.com/v1/orders/1, key: { owner: ended }, expect: { status: 401, reason: expired } }
  - { name: a revoked key, request: GET https://api.example.com/v1/orders/1, key: { owner: acme }, revoked: true, expect: { status: 401, reason: revoked } }
  - { name: it was lifted, request: GET https://api.example.com/v1/orders/1, key: { owner: acme }, expect: { status: 200 } }
  - { name: a user, request: GET https://api.example.com/v1/orders/1, user: alice, expect: { status: 200, subject: alice } }
  - { name: a revoked user, request: GET https://api.example.com/v1/orders/1, user: carol, revoked: true, expect: { reason: revoked } }
  - name: a token
    request: POST https://api.example.com/v1/orders
    claims: { sub: bob, scope: orders:write, roles: [editor], email: bob@example.com }
    auth: users
    expect: { status: 200, subject: bob, upstream: { X-Auth-Email: bob@example.com }, absent: [Authorization] }
  - { name: no role, request: POST https://api.example.com/v1/orders, auth: users, claims: { sub: bob, scope: orders:write }, expect: { status: 403, reason: missing_role } }
  - { name: a shared secret, request: GET https://api.example.com/v1/orders/1, auth: legacy, claims: { sub: bob, scope: orders:read }, expect: { status: 200 } }
  - { name: RSA, request: GET https://api.example.com/v1/orders/1, claims: { iss: https://old.example.com, sub: bob, scope: orders:read }, expect: { status: 200 } }
  - { name: expired, request: GET https://api.example.com/v1/orders/1, auth: users, claims: { sub: bob, exp: now-1h }, expect: { reason: expired } }
  - { name: too long, request: GET https://api.example.com/v1/orders/1, auth: users, claims: { sub: bob, exp: now+2h }, expect: { reason: lifetime_too_long } }
  - { name: not yet, request: GET https://api.example.com/v1/orders/1, auth: users, claims: { sub: bob, nbf: now+10m }, expect: { reason: not_yet_valid } }
  - { name: no end, request: GET https://api.example.com/v1/orders/1, auth: users, claims: { sub: bob, exp: null }, expect: { reason: missing_claim } }
  - { name: not for us, request: GET https://api.example.com/v1/orders/1, auth: users, claims: { sub: bob, aud: [other] }, expect: { reason: wrong_audience } }
  - { name: a stranger, request: GET https://api.example.com/v1/orders/1, claims: { sub: bob, iss: https://else.example.com }, expect: { reason: wrong_issuer } }
  - { name: a revoked token, request: GET https://api.example.com/v1/orders/1, auth: users, claims: { sub: bob }, revoked: true, expect: { reason: revoked } }
  - { name: two, request: GET https://api.example.com/v1/orders/1, key: { owner: acme }, user: alice, expect: { status: 400, reason: multiple_credentials } }
  - { name: a wrong key, request: GET https://api.example.com/v1/orders/1, headers: { X-API-Key: wrong }, expect: { reason: unknown_key } }
  - { name: dots, request: GET https://api.example.com/docs/../v1, expect: { status: 400, reason: malformed_dot_segment, route: none } }
  - { name: another method, request: PATCH https://api.example.com/v1/orders/1, peer: 192.0.2.1, expect: { status: 405 } }
";

#[test]
fn tests_that_hold_pass_without_issuers_and_redis() {
    let done = run(GOOD);
    let said = done.success();
    assert!(said.ends_with("\n24 tests passed\n"), "{said}");
    assert_eq!(said.matches("\nok    ").count() + 1, 24, "{said}");
}

#[test]
fn a_test_that_does_not_hold_says_what_differs() {
    let done = run(
        "  - { name: a partner writes, request: POST https://api.example.com/v1/orders, key: { owner: acme }, \
         expect: { status: 200, subject: acme, upstream: { X-Auth-Subject: acme } } }\n  - { name: fine, request: GET \
         https://api.example.com/docs, expect: { status: 200 } }\n",
    );
    assert_eq!((done.code, done.stderr.as_str()), (1, ""));
    let expected = "\
FAIL  a partner writes  (gateway.yaml:22)
        status: expected 200, got 403
        X-Auth-Subject: expected acme, got absent
          outcome refused, reason missing_scope, route orders
          scopes: needed: all of `orders:write`; the caller has `orders:read`
ok    fine

2 tests, 1 failed
";
    assert_eq!(done.stdout, expected);
}

/// A field that `explain` hides is compared all the same, and what a test expects of it is hidden as well.
#[test]
fn what_may_be_a_secret_is_compared_and_not_shown() {
    let random = "Zk3Qv9Xw2Lm7Rt5Yp8Hn4Jd6Bc1Fg0Sa";
    let test = |name: &str, sent: &str, expected: &str| {
        format!(
            "  - {{ name: {name}, request: GET https://api.example.com/docs, headers: {{ {sent} }}, \
             expect: {{ upstream: {{ {expected} }} }} }}\n"
        )
    };
    let tests = [
        test("same", "Cookie: id=sesame", "cookie: id=sesame"),
        test("same form", &format!("X-Trial: {random}"), &format!("X-Trial: {random}")),
        test("same words", "X-Trial: some words", "X-Trial: some words"),
        test("another cookie", "Cookie: id=sesame", "Cookie: id=poppy"),
        test("another token", "Authorization: Bearer sesame", "authorization: Bearer poppy"),
        test("none", "X-Other: x", "Authorization: Bearer poppy"),
        test("none of this form", "X-Other: x", &format!("X-Trial: {random}")),
        test("another form", &format!("X-Trial: {random}"), "X-Trial: poppy"),
        test("other words", "X-Trial: some words", "X-Trial: other words"),
    ];
    let done = run(&tests.concat());
    assert_eq!((done.code, done.stderr.as_str()), (1, ""), "{}", done.stdout);
    let lines: Vec<&str> = done.stdout.lines().filter(|line| !line.starts_with("          ")).collect();
    let hidden = "expected (another value, not shown), got";
    let expected = [
        "ok    same".to_owned(),
        "ok    same form".to_owned(),
        "ok    same words".to_owned(),
        "FAIL  another cookie  (gateway.yaml:25)".to_owned(),
        format!("        Cookie: {hidden} (as it was sent)"),
        "FAIL  another token  (gateway.yaml:26)".to_owned(),
        format!("        authorization: {hidden} (as it was sent)"),
        "FAIL  none  (gateway.yaml:27)".to_owned(),
        format!("        Authorization: {hidden} absent"),
        "FAIL  none of this form  (gateway.yaml:28)".to_owned(),
        format!("        X-Trial: {hidden} absent"),
        "FAIL  another form  (gateway.yaml:29)".to_owned(),
        format!("        X-Trial: {hidden} (as it was sent)"),
        "FAIL  other words  (gateway.yaml:30)".to_owned(),
        "        X-Trial: expected other words, got some words".to_owned(),
        String::new(),
        "9 tests, 6 failed".to_owned(),
    ];
    assert_eq!(lines, expected);
    for secret in ["sesame", "poppy", random] {
        assert!(!done.stdout.contains(secret), "{}", done.stdout);
    }
}

#[test]
fn files_of_their_own_are_read_beside_the_policy() {
    let test = |name: &str, status: u16| {
        format!(
            "tests: [{{ name: {name}, request: GET https://api.example.com/docs, expect: {{ status: {status} }} }}]"
        )
    };
    let (good, bad) = (test("good", 200), test("bad", 404));
    let files = [("good.yaml", good.as_str()), ("bad.yaml", &bad)];
    let done = run_with(GOOD, &files, &["good.yaml"]);
    assert!(done.success().ends_with("ok    good\n\n25 tests passed\n"), "{}", done.stdout);
    let done = run_with("  []", &files, &["good.yaml", "bad.yaml"]);
    assert_eq!(done.code, 1);
    assert!(
        done.stdout.contains("FAIL  bad  (bad.yaml:1)\n        status: expected 404, got 200"),
        "{}",
        done.stdout
    );
}

#[test]
fn what_is_wrong_with_tests_is_said_with_line_cause_and_cure() {
    let request = "request: GET https://api.example.com/v1/orders/1";
    for (test, what, cure) in [
        ("{ name: x, request: /v1, expect: { status: 200 } }", "this is no request", "such as `GET https://"),
        (&format!("{{ name: x, {request}, expect: {{}} }}"), "nothing is expected here", "such as `expect:"),
        (
            &format!("{{ name: x, {request}, expect: {{ status: 418 }} }}"),
            "never makes the gateway answer 418",
            "200 stands",
        ),
        (
            &format!("{{ name: x, {request}, expect: {{ rute: a }} }}"),
            "unknown key `rute`",
            "did you mean `route`?",
        ),
        (
            &format!("{{ name: x, {request}, expect: {{ route: order }} }}"),
            "there is no route `order`",
            "did you mean `orders`?",
        ),
        (
            &format!("{{ name: x, {request}, key: {{ owner: acne }}, expect: {{ status: 200 }} }}"),
            "no key file lists a key of `acne`",
            "acme",
        ),
        (
            &format!("{{ name: x, {request}, key: {{ owner: twice }}, expect: {{ status: 200 }} }}"),
            "could be any of k_1, k_2",
            "key: { id: … }",
        ),
        (
            &format!("{{ name: x, {request}, key: {{}}, expect: {{ status: 200 }} }}"),
            "which key is meant",
            "key: { owner: … }",
        ),
        (
            &format!("{{ name: x, {request}, user: bob, expect: {{ status: 200 }} }}"),
            "no user file lists `bob`",
            "headers:",
        ),
        (
            &format!("{{ name: x, {request}, claims: {{ sub: a }}, expect: {{ status: 200 }} }}"),
            "could be for any of users, legacy, old",
            "auth: …",
        ),
        (
            &format!("{{ name: x, {request}, claims: {{ sub: a }}, auth: user, expect: {{ status: 200 }} }}"),
            "there is no `user` in `auth`",
            "did you mean `users`?",
        ),
        (
            &format!("{{ name: x, {request}, revoked: true, expect: {{ status: 200 }} }}"),
            "none is sent",
            "add `key`",
        ),
        (
            &format!("{{ name: x, {request}, peer: here, expect: {{ status: 200 }} }}"),
            "an IP address is expected",
            "",
        ),
        (
            "{ name: x, request: GET http://api.example.com/, expect: { status: 200 } }",
            "no listener of the gateway speaks http",
            "",
        ),
    ] {
        let done = run(&format!("  - {test}\n"));
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{test}: {}", done.stderr);
        assert!(done.stderr.contains("--> gateway.yaml:22:"), "{test}: {}", done.stderr);
        assert!(done.stderr.contains(what) && done.stderr.contains(cure), "{test}: {}", done.stderr);
    }
    let done = run("  []\n");
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("there are no tests in gateway.yaml"), "{}", done.stderr);
    let done = run_with(GOOD, &[], &["none.yaml"]);
    assert_eq!((done.code, done.stdout.as_str()), (2, ""));
    assert!(done.stderr.contains("cannot read `none.yaml`"), "{}", done.stderr);
}

/// A gateway that serves requests takes tests for what they are, and holds them to their form.
#[tokio::test]
async fn a_running_gateway_passes_over_tests() {
    let policy = |test: &str| {
        format!(
            "auth: {{ partners: {{ api_key: {{ keys: keys.yaml }} }} }}\nupstreams: {{ api: builtin:echo }}\nroutes: [{{ name: api, match: {{ path: /** }}, auth: partners, upstream: api }}]\ntests: [{test}]\n"
        )
    };
    let test = "{ name: x, request: GET https://localhost/, key: { owner: acme }, expect: { status: 403 } }";
    let gateway =
        Gateway::builder(&policy(test)).file("keys.yaml", keys_yaml(&[&ApiKey::of("acme")])).start().await;
    assert_eq!(gateway.https().get("/").await.status, 401);
    gateway.write_yaml(&policy("{ name: x, request: GET https://localhost/, expect: { stats: 403 } }"));
    assert!(matches!(gateway.reload().await, Reload::Refused(_)));
    assert_eq!(gateway.https().get("/").await.status, 401);
}

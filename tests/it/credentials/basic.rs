//! HTTP Basic (RFC 7617): what is a pair and what is not, and passwords that are hashed once and change with their file.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};

use crate::harness::client::{Load, Request};
use crate::harness::credentials::{basic, htpasswd_argon2id, htpasswd_bcrypt, htpasswd_slow};
use crate::harness::gateway::{Gateway, GatewayBuilder, RELOADED, Reload};
use crate::harness::problem::{assert_challenge, assert_problem};
use crate::harness::upstream::Upstream;

use super::door::PASSWORD;

fn builder(upstream: &Upstream, users: &str) -> GatewayBuilder {
    Gateway::builder(
        r#"
        auth: { staff: { basic: { users: staff.htpasswd, realm: Internal tools } } }
        upstreams: { api: "{upstream}" }
        routes:
          - { name: api, match: { path: /v1/** }, auth: staff, upstream: api }
        "#,
    )
    .with("upstream", upstream.url())
    .file("staff.htpasswd", users)
}

async fn ask(gateway: &Gateway, authorization: &str) -> crate::harness::client::Response {
    gateway.https().get("/v1/x").header("Authorization", authorization).await
}

/// K07: what is no pair is answered 401 and never 500.
#[tokio::test]
async fn what_is_no_pair_is_malformed() {
    let upstream = Upstream::start();
    // With this password the two alphabets of base64 differ, and so do padded and unpadded text.
    let (user, password) = ("bob", "\u{43f}\u{430}\u{440}\u{43e}\u{43b}\u{44c}?>~~");
    let gateway = builder(&upstream, &htpasswd_bcrypt(user, password)).start().await;
    let pair = format!("{user}:{password}");
    let encoded = |bytes: &[u8]| format!("Basic {}", STANDARD.encode(bytes));
    let good = encoded(pair.as_bytes());
    assert!(good.contains(['+', '/']) && good.ends_with('='), "{good}");
    for (what, value) in [
        ("nothing", "Basic".to_owned()),
        ("an empty pair", "Basic ".to_owned()),
        ("no base64", "Basic {}".to_owned()),
        ("the pair itself", "Basic bob:secret".to_owned()),
        ("one letter", "Basic A".to_owned()),
        ("the other alphabet", format!("Basic {}", URL_SAFE.encode(&pair))),
        ("no padding", format!("Basic {}", STANDARD_NO_PAD.encode(&pair))),
        ("more padding", format!("{good}=")),
        ("text behind", format!("{good} x")),
        ("a tab", good.replacen(' ', "\t", 1)),
        ("no colon", encoded(b"bob")),
        ("no user", encoded(b":secret")),
        ("no password", encoded(b"bob:")),
        ("a colon only", encoded(b":")),
        ("a NUL", encoded(b"bob\0:secret")),
        ("a NUL behind", encoded(format!("{pair}\0").as_bytes())),
        ("a line feed", encoded(format!("{pair}\n").as_bytes())),
        ("no UTF-8", encoded(b"b\xf6b:secret")),
        ("half a letter", encoded(b"bob:\xd0")),
        ("2 KiB", encoded(format!("bob:{}", "x".repeat(2 << 10)).as_bytes())),
        ("24 KiB", encoded(format!("bob:{}", "x".repeat(16 << 10)).as_bytes())),
    ] {
        let answer = ask(&gateway, &value).await;
        assert_problem(&answer, 401, "malformed_credential");
        assert_challenge(&answer, "Basic", &[("realm", "Internal tools"), ("charset", "UTF-8")]);
        let id = answer.header("X-Request-Id").unwrap().to_owned();
        let line = gateway.wait_for_access(|line| line["request_id"] == id.as_str()).await;
        assert_eq!(line["reason"], "malformed", "{what}: {line}");
    }
    let answer = ask(&gateway, &encoded(format!("bob:{}", "x".repeat(64 << 10)).as_bytes())).await;
    assert_problem(&answer, 431, "head_too_large");
    upstream.assert_nothing();
    for value in [good.clone(), good.replacen("Basic", "basic", 1), good.replacen("Basic ", "BASIC   ", 1)] {
        ask(&gateway, &value).await.assert_status(200);
    }
}

#[tokio::test]
async fn names_and_passwords_may_be_of_any_language_and_contain_colons() {
    let upstream = Upstream::start();
    let users =
        [("j\u{fc}rgen", "gr\u{fc}n"), ("\u{674e}", "\u{1f511}"), ("colon", ":a:b:"), ("space", " x ")];
    let lines: String = users.iter().map(|(user, password)| htpasswd_argon2id(user, password)).collect();
    let gateway = builder(&upstream, &lines).start().await;
    for (user, password) in users {
        ask(&gateway, &basic(user, password)).await.assert_status(200);
        assert_eq!(upstream.take_one().header("X-Auth-Subject"), Some(user));
        let line = gateway.wait_for_access(|line| line["subject"] == user).await;
        assert_eq!(line["auth_method"], "basic");
        let (spaced, prefixed, upper) =
            (format!("{password} "), format!("x{password}"), password.to_uppercase());
        for wrong in [password.trim(), &spaced, &prefixed, &upper] {
            if wrong != password {
                assert_problem(&ask(&gateway, &basic(user, wrong)).await, 401, "invalid_credential");
            }
        }
        assert_problem(
            &ask(&gateway, &basic(&format!("{user} "), password)).await,
            401,
            "invalid_credential",
        );
        upstream.assert_nothing();
    }
}

/// K06: one hash for a burst of the same pair, none for those that follow, and another password in the file counts at once.
#[tokio::test]
async fn a_password_is_hashed_once_and_changes_with_its_file() {
    let upstream = Upstream::start();
    let gateway = builder(&upstream, &htpasswd_slow("bob", PASSWORD)).start().await;
    let pair = basic("bob", PASSWORD);
    let request = Request::get("/v1/x").header("Authorization", &pair);
    let load = Load::of(&gateway.https(), request).connections(8).start();
    load.wait_for_more(200).await;
    load.stop().await.assert_all(200);
    let labels = [("auth", "staff")];
    let metrics = gateway.metrics().await;
    let misses = metrics.count("portcullis_auth_cache_misses_total", &labels);
    assert!((1..=8).contains(&misses), "{misses} of eight connections did not find it in the cache");
    assert!(metrics.count("portcullis_auth_cache_hits_total", &labels) >= 192);
    // A wrong password is never taken for the remembered one.
    assert_problem(&ask(&gateway, &basic("bob", "wrong")).await, 401, "invalid_credential");
    ask(&gateway, &pair).await.assert_status(200);

    // Nobody says so: the file changes, and that is enough.
    let position = gateway.log_position();
    gateway.write("staff.htpasswd", &htpasswd_argon2id("bob", "another"));
    gateway.wait_for_log_after(position, |line| line.message.starts_with(RELOADED)).await;
    assert_problem(&ask(&gateway, &pair).await, 401, "invalid_credential");
    ask(&gateway, &basic("bob", "another")).await.assert_status(200);

    // The same password under another hash is verified anew, and another user's pair is his own.
    gateway.write("staff.htpasswd", &(htpasswd_bcrypt("bob", "another") + &htpasswd_bcrypt("eve", PASSWORD)));
    assert_eq!(gateway.reload().await, Reload::Accepted);
    ask(&gateway, &basic("bob", "another")).await.assert_status(200);
    assert_problem(&ask(&gateway, &basic("eve", "another")).await, 401, "invalid_credential");
    assert_problem(&ask(&gateway, &pair).await, 401, "invalid_credential");

    gateway.write("staff.htpasswd", &htpasswd_bcrypt("eve", PASSWORD));
    assert_eq!(gateway.reload().await, Reload::Accepted);
    assert_problem(&ask(&gateway, &basic("bob", "another")).await, 401, "invalid_credential");
}

#[tokio::test]
async fn forms_of_hashes_that_are_no_good_are_refused_by_name_and_not_repeated() {
    let upstream = Upstream::start();
    let users = "sha:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nmd5:$apr1$salt$3o9/WVfYvb0Xmdr1Mq6xe1\ncrypt:$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g.\nplain:hunter2-in-the-clear\nno colon and hunter2-in-the-clear\nbob:$2y$04$short\n";
    let finished = builder(&upstream, "").file("staff.htpasswd", users).spawn_expecting_failure().await;
    assert_eq!(finished.code(), 1);
    for says in [
        "`{SHA}` is an unsalted SHA-1",
        "MD5-crypt",
        "SHA-crypt",
        "plain-text",
        "a line is `name:hash`",
        "this bcrypt hash is not well formed",
        "6 errors",
    ] {
        assert!(finished.stderr.contains(says), "{says} is not in\n{}", finished.stderr);
    }
    for hash in ["W6ph5Mm5", "3o9/WVf", "IxDD3jeS", "hunter2"] {
        assert!(!finished.stderr.contains(hash), "{hash} is in\n{}", finished.stderr);
    }
}

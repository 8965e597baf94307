//! `hash-password`.

use super::{folder, portcullis};
use crate::harness::credentials::basic;
use crate::harness::gateway::Gateway;
use crate::harness::upstream::Upstream;

#[tokio::test]
async fn the_lines_are_what_the_gateway_reads() {
    let folder = folder(&[]);
    let upstream = Upstream::start();
    let mut lines = String::new();
    for (user, form, begins, input) in [
        ("alice", "argon2id", "alice:$argon2id$v=19$m=19456,t=2,p=1$", "p\u{e4}ss: w\u{f6}rd\n"),
        ("bob", "bcrypt", "bob:$2b$12$", "secret\r\n"),
        ("eve", "bcrypt", "eve:$2b$12$", "no newline"),
    ] {
        let done = portcullis(folder.path(), &["hash-password", user, "--form", form], input);
        assert!(
            done.success().starts_with(begins) && done.stderr.is_empty(),
            "{}{}",
            done.stdout,
            done.stderr
        );
        assert_eq!(done.stdout.lines().count(), 1);
        assert!(!done.stdout.contains(input.trim()));
        lines += &done.stdout;
    }
    let again = portcullis(folder.path(), &["hash-password", "alice"], "p\u{e4}ss: w\u{f6}rd\n");
    assert!(again.success().starts_with("alice:$argon2id$") && !lines.contains(&again.stdout), "salted anew");
    let gateway = Gateway::builder(
        r#"
        auth: { staff: { basic: { users: staff.htpasswd, realm: Tools } } }
        upstreams: { api: "{upstream}" }
        routes:
          - { name: api, match: { path: /x }, auth: staff, upstream: api }
        "#,
    )
    .with("upstream", upstream.url())
    .file("staff.htpasswd", &lines)
    .start()
    .await;
    for (user, password, status) in [
        ("alice", "p\u{e4}ss: w\u{f6}rd", 200),
        ("bob", "secret", 200),
        ("eve", "no newline", 200),
        ("bob", "Secret", 401),
        ("alice", "secret", 401),
    ] {
        let answer = gateway.https().get("/x").header("Authorization", &basic(user, password)).await;
        assert_eq!(answer.status, status, "{user}");
    }
}

#[test]
fn what_cannot_be_a_user_or_a_password_is_refused() {
    let folder = folder(&[]);
    for (arguments, input) in [
        (&["bob"][..], ""),
        (&["bob"], "\n"),
        (&["a:b"], "secret\n"),
        (&["apikey"], "secret\n"),
        (&["#bob"], "secret\n"),
        (&[" bob"], "secret\n"),
        (&[""], "secret\n"),
        (&["b\nob"], "secret\n"),
        (
            &["bob", "--form", "bcrypt"],
            "0123456789012345678901234567890123456789012345678901234567890123456789012\n",
        ),
    ] {
        let done = portcullis(folder.path(), &[&["hash-password"], arguments].concat(), input);
        assert!(done.failure().starts_with("error: "), "{arguments:?}: {}", done.stderr);
        assert!(!done.stderr.contains("secret"), "{}", done.stderr);
    }
    assert_eq!(portcullis(folder.path(), &["hash-password", "bob", "--form", "md5"], "x\n").code, 2);
    assert_eq!(
        portcullis(folder.path(), &["hash-password", "bob", "secret"], "").code,
        2,
        "never as an argument"
    );
}

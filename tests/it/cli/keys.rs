//! `keys new` and `keys list`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use portcullis::authn::api_key::format::{Shape, check};

use super::{folder, portcullis};
use crate::harness::credentials::sha256;
use crate::harness::gateway::{Gateway, RELOADED};
use crate::harness::upstream::Upstream;

/// A key is shown once, kept nowhere, and works as soon as its entry stands in the file.
#[tokio::test]
async fn a_new_key_works_without_a_restart() {
    let upstream = Upstream::start();
    let gateway = Gateway::builder(
        r#"
        auth: { partners: { api_key: { keys: keys.yaml } } }
        upstreams: { api: "{upstream}" }
        routes:
          - { name: api, match: { path: /x }, auth: partners, allow: { GET: { scopes: [orders:read], roles: [editor] } }, upstream: api }
        "#,
    )
    .with("upstream", upstream.url())
    .file("keys.yaml", "# Who may.\nkeys: []\n")
    .start()
    .await;
    let position = gateway.log_position();
    let new = ["keys", "new", "--owner", "acme: \"x\"", "--label", "nightly export", "--expires", "90d"];
    let more = ["--scopes", "orders:read,orders:write", "--roles", "editor"];
    let done = portcullis(gateway.directory(), &[&new[..], &more].concat(), "");
    let key = done.success().strip_suffix('\n').unwrap();
    assert_eq!(check(key), Shape::Ours);
    let id = key.strip_prefix("pcl_").and_then(|rest| rest.rsplit_once('_')).unwrap().0;
    let told = format!(
        "The key `{id}` of acme: \"x\" has been added to keys.yaml. This is the only time that it is shown.\n"
    );
    assert_eq!(done.stderr, told);
    let file = fs::read_to_string(gateway.path("keys.yaml")).unwrap();
    assert!(!file.contains(key) && file.contains(&sha256(key)), "{file}");
    assert!(file.starts_with("# Who may.\n"), "what people wrote stays: {file}");
    assert_eq!(fs::metadata(gateway.path("keys.yaml")).unwrap().permissions().mode() & 0o777, 0o600);

    gateway.wait_for_log_after(position, |line| line.message.starts_with(RELOADED)).await;
    gateway.https().get("/x").header("X-API-Key", key).await.assert_status(200);
    let received = upstream.take_one();
    assert_eq!(received.header("X-Auth-Subject"), Some("acme: \"x\""));
    assert_eq!(received.header("X-Auth-Key-Id"), Some(id));
    assert_eq!(received.header("X-Auth-Scopes"), Some("orders:read orders:write"));

    let listed = portcullis(gateway.directory(), &["keys", "list"], "");
    let lines: Vec<&str> = listed.success().lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("ID ") && lines[1].starts_with(id), "{}", listed.stdout);
    for part in ["acme: \"x\"", "nightly export", "orders:read orders:write", "editor"] {
        assert!(lines[1].contains(part), "{}", listed.stdout);
    }
    assert!(!listed.stdout.contains(&sha256(key)) && !gateway.everything_logged().contains(key));
}

#[test]
fn keys_are_appended_and_what_cannot_be_is_refused() {
    let folder = folder(&[]);
    let run = |arguments: &[&str]| portcullis(folder.path(), &[&["keys"], arguments].concat(), "");
    run(&["new", "--owner", "a", "--expires", "never"]).success();
    let mode = fs::metadata(folder.path().join("keys.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a file that the command makes is its owner's");
    fs::set_permissions(folder.path().join("keys.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    run(&["new", "--owner", "b", "--expires", "1s", "--file", "keys.yaml"]).success();
    let mode = fs::metadata(folder.path().join("keys.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "a file that is there keeps its mode");
    let list = run(&["list"]);
    let owners: Vec<&str> =
        list.success().lines().skip(1).map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(owners, ["a", "b"]);

    let before = fs::read_to_string(folder.path().join("keys.yaml")).unwrap();
    for (arguments, code) in [
        (&["new", "--owner", "c"][..], 2),
        (&["new", "--expires", "never"], 2),
        (&["new", "--owner", "c", "--expires", "soon"], 2),
        (&["new", "--owner", "c", "--expires", "never", "--file", "none/keys.yaml"], 1),
        (&["list", "--file", "none.yaml"], 1),
    ] {
        let done = run(arguments);
        assert_eq!((done.code, done.stdout.as_str()), (code, ""), "{arguments:?}: {}", done.stderr);
        assert!(done.stderr.starts_with("error: "), "{}", done.stderr);
    }
    // What the gateway would refuse is never written.
    for owner in ["", " c", "c\n", "c\u{0}"] {
        let done = run(&["new", &format!("--owner={}", owner.replace('\0', "\u{1}")), "--expires", "never"]);
        assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{owner:?}: {}", done.stderr);
    }
    for scopes in ["a b", "\u{7}", ","] {
        let done = run(&["new", "--owner", "c", "--expires", "never", "--scopes", scopes]);
        assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{scopes:?}: {}", done.stderr);
    }
    assert_eq!(fs::read_to_string(folder.path().join("keys.yaml")).unwrap(), before);
    fs::write(folder.path().join("keys.yaml"), "keys: [").unwrap();
    assert!(run(&["new", "--owner", "c", "--expires", "never"]).failure().contains("keys.yaml:1:"));
    assert_eq!(fs::read_to_string(folder.path().join("keys.yaml")).unwrap(), "keys: [");
}

/// Every key that was shown is in the file, however many commands ran at the same time.
#[test]
fn keys_that_are_made_at_the_same_time_are_all_kept() {
    let folder = folder(&[]);
    let shown: Vec<String> = std::thread::scope(|scope| {
        let make = || portcullis(folder.path(), &["keys", "new", "--owner", "a", "--expires", "never"], "");
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().success().trim().to_owned()).collect()
    });
    let file = fs::read_to_string(folder.path().join("keys.yaml")).unwrap();
    for key in &shown {
        assert!(file.contains(&sha256(key)), "a key was shown and is not kept:\n{file}");
    }
    let list = portcullis(folder.path(), &["keys", "list"], "");
    assert_eq!(list.success().lines().count(), 1 + shown.len());
}

//! `keys new` and `keys list`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use portcullis::authn::api_key::format::{Shape, check};

use super::{folder, portcullis};
use crate::harness::credentials::sha256;
use crate::harness::gateway::{Gateway, RELOADED};
use crate::harness::upstream::Upstream;

/// The key is shown once and is not stored. The gateway accepts it after the reload that the change of the file triggers.
#[tokio::test]
async fn serves_new_key_after_reload() {
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
    let expected = format!(
        "Added the key `{id}` of acme: \"x\" to keys.yaml. Copy the key now: it is not stored and cannot be shown again.\n"
    );
    assert_eq!(done.stderr, expected);
    let file = fs::read_to_string(gateway.path("keys.yaml")).unwrap();
    assert!(!file.contains(key) && file.contains(&sha256(key)), "{file}");
    assert!(file.starts_with("# Who may.\n"), "comments stay: {file}");
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
fn appends_keys_and_rejects_invalid_ones() {
    let folder = folder(&[]);
    let run = |arguments: &[&str]| portcullis(folder.path(), &[&["keys"], arguments].concat(), "");
    run(&["new", "--owner", "a", "--expires", "never"]).success();
    let mode = fs::metadata(folder.path().join("keys.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "the group can read a new file");
    fs::set_permissions(folder.path().join("keys.yaml"), fs::Permissions::from_mode(0o600)).unwrap();
    run(&["new", "--owner", "b", "--expires", "1s", "--file", "keys.yaml"]).success();
    let mode = fs::metadata(folder.path().join("keys.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "an existing file keeps its mode");
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
    // The command writes nothing that the gateway would reject.
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

/// Commands that run at the same time lose no entry.
#[test]
fn keeps_all_keys_when_commands_run_at_the_same_time() {
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

/// The key file can be empty, contain only comments, or have `keys:` without a value. `check` and `run` accept it with a
/// warning, and `keys new` adds the first key.
#[tokio::test]
async fn accepts_empty_key_file_and_adds_the_first_key() {
    for text in ["", "# none yet\n", "keys:\n", "keys: []\n", "{}\n"] {
        let upstream = Upstream::start();
        let gateway = Gateway::builder(CONFIGURATION)
            .with("upstream", upstream.url())
            .file("keys.yaml", text)
            .start()
            .await;
        gateway.https().get("/x").header("X-API-Key", "unknown").await.assert_status(401);
        upstream.assert_nothing();
        let check = portcullis(gateway.directory(), &["check"], "");
        check.success();
        assert!(check.stderr.contains("warning: this key file has no keys"), "{text:?}: {}", check.stderr);
        let listed = portcullis(gateway.directory(), &["keys", "list"], "");
        assert_eq!(listed.success().lines().count(), 1, "{text:?}");

        let position = gateway.log_position();
        let done =
            portcullis(gateway.directory(), &["keys", "new", "--owner", "acme", "--expires", "1h"], "");
        let key = done.success().trim_end();
        gateway.wait_for_log_after(position, |line| line.message.starts_with(RELOADED)).await;
        gateway.https().get("/x").header("X-API-Key", key).await.assert_status(200);
        assert_eq!(upstream.take_one().header("X-Auth-Subject"), Some("acme"));
        let check = portcullis(gateway.directory(), &["check"], "");
        check.success();
        assert!(!check.stderr.contains("no keys"), "{}", check.stderr);
    }
}

const CONFIGURATION: &str = r#"
auth: { partners: { api_key: { keys: keys.yaml } } }
upstreams: { api: "{upstream}" }
routes:
  - { name: api, match: { path: /x }, auth: partners, upstream: api }
"#;

/// The user and group of a gateway, where the operator runs `keys new` as root.
const UNPRIVILEGED: u32 = 65_534;

fn is_root() -> bool {
    // A file that this process makes belongs to the user that it runs as.
    fs::metadata(tempfile::NamedTempFile::new().unwrap().path()).unwrap().uid() == 0
}

fn access(path: &Path) -> (u32, u32, u32) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.uid(), metadata.gid(), metadata.permissions().mode() & 0o7777)
}

/// Whether the user that the gateway runs as can read the file. Only root can become another user.
fn is_readable_without_rights_of_root(path: &Path) -> bool {
    let mut command = Command::new("cat");
    command.arg(path).uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    command.output().unwrap().status.success()
}

#[test]
fn keeps_owner_group_and_mode_of_key_file() {
    let folder = folder(&[("gateway.yaml", &gateway_yaml(&[("partners", "keys.yaml")])), ("keys.yaml", "")]);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("keys.yaml");
    let new = |owner: &str| {
        let arguments = ["keys", "new", "--owner", owner, "--expires", "never"];
        portcullis(folder.path(), &arguments, "").success().to_owned()
    };
    fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
    if is_root() {
        chown(&path, Some(UNPRIVILEGED), Some(UNPRIVILEGED - 1)).unwrap();
    }
    let before = access(&path);
    new("acme");
    new("acme");
    assert_eq!(access(&path), before);
    if is_root() {
        assert!(is_readable_without_rights_of_root(&path));
    }
    // A link stays a link, and what it leads to keeps its access.
    let real = folder.path().join("real.yaml");
    fs::rename(&path, &real).unwrap();
    symlink("real.yaml", &path).unwrap();
    new("acme");
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert_eq!(access(&real), before);
    assert_eq!(fs::read_to_string(&real).unwrap().matches("owner:").count(), 3);
    // A new file belongs to the user and the group of the configuration file.
    fs::remove_file(&path).unwrap();
    let configuration = folder.path().join("gateway.yaml");
    if is_root() {
        chown(&configuration, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
    }
    new("acme");
    let (owner, group, _) = access(&configuration);
    assert_eq!(access(&path), (owner, group, 0o640));
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "a temporary file stays: {names:?}");
}

fn gateway_yaml(schemes: &[(&str, &str)]) -> String {
    let entry = |(name, file): &(&str, &str)| format!("  {name}: {{ api_key: {{ keys: {file} }} }}\n");
    let entries = schemes.iter().map(entry).collect::<Vec<_>>().concat();
    let names: Vec<&str> = schemes.iter().map(|(name, _)| *name).collect();
    format!(
        "version: 1\nlisten: [{{ address: \"127.0.0.1:8443\", tls: true }}]\ntls: {{ self_signed: [localhost] }}\n\
         auth:\n{entries}  staff: {{ basic: {{ users: staff.htpasswd, realm: Staff }} }}\nupstreams: {{ api: \"builtin:echo\" }}\n\
         routes:\n  - {{ name: api, match: {{ path: /x }}, auth: [{}, staff], upstream: api }}\n",
        names.join(", ")
    )
}

/// The configuration file names the key file, wherever the command runs.
#[test]
fn finds_key_file_through_configuration() {
    let folder = folder(&[
        ("one.yaml", &gateway_yaml(&[("partners", "keys/partners.yaml")])),
        ("two.yaml", &gateway_yaml(&[("partners", "keys/partners.yaml"), ("robots", "keys/robots.yaml")])),
        ("same.yaml", &gateway_yaml(&[("partners", "keys/partners.yaml"), ("robots", "keys/partners.yaml")])),
        ("none.yaml", &gateway_yaml(&[]).replace("[, staff]", "staff")),
        ("broken.yaml", "version: 1\nauth: {}\n"),
    ]);
    fs::create_dir(folder.path().join("keys")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let new = |config: &str, more: &[&str]| {
        let config = folder.path().join(config);
        let arguments =
            ["keys", "new", "--config", config.to_str().unwrap(), "--owner", "acme", "--expires", "1h"];
        portcullis(elsewhere.path(), &[&arguments[..], more].concat(), "")
    };
    let entries = |file: &str| {
        fs::read_to_string(folder.path().join("keys").join(file)).unwrap_or_default().matches("- id").count()
    };
    new("one.yaml", &[]).success();
    new("one.yaml", &["--auth", "partners"]).success();
    new("same.yaml", &[]).success();
    new("two.yaml", &["--auth", "robots"]).success();
    assert_eq!((entries("partners.yaml"), entries("robots.yaml")), (3, 1));
    for (config, more, expected) in [
        ("two.yaml", &[][..], "choose one with `--auth`: `partners`, `robots`"),
        ("two.yaml", &["--auth", "partner"], "has no `partner` in `auth`: did you mean `partners`?"),
        ("two.yaml", &["--auth", "x"], "its `api_key` schemes are `partners`, `robots`"),
        ("two.yaml", &["--auth", "staff"], "`staff` in `"),
        ("none.yaml", &[], "has no `api_key` scheme"),
        ("absent.yaml", &[], "cannot read `"),
        ("broken.yaml", &[], "`listen` is missing here"),
    ] {
        let done = new(config, more);
        assert!(done.failure().contains(expected), "{config} {more:?}: {}", done.stderr);
    }
    assert_eq!((entries("partners.yaml"), entries("robots.yaml")), (3, 1));
    // `--file` names the key file itself.
    let done = new("one.yaml", &["--file", "keys.yaml"]);
    assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{}", done.stderr);
    let list = portcullis(folder.path(), &["keys", "list", "--config", "two.yaml", "--auth", "robots"], "");
    assert_eq!(list.success().lines().count(), 2);
}

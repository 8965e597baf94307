//! Where the access log goes, and that a file of it can be taken away under load without a line being lost.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::Value;

use crate::harness::client::{Load, Request};
use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::gateway::{Gateway, GatewayBuilder, Reload};
use crate::harness::process::{Signal, portcullis};

const DROPPED: &str = "portcullis_access_log_dropped_total";

/// A gateway that logs as `log` says.
fn builder(log: &str) -> GatewayBuilder {
    Gateway::builder(&yaml(log))
}

fn yaml(log: &str) -> String {
    let rest = "\nupstreams: { echo: builtin:echo }\nroutes: [{ name: all, match: { path: /** }, auth: public, upstream: echo }]";
    format!("log: {log}{rest}")
}

async fn ask(gateway: &Gateway, path: &str) {
    gateway.https().get(path).await.assert_status(200);
}

fn paths(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["path"].as_str().unwrap()).collect()
}

/// As logrotate does it, again and again, while requests go on.
#[tokio::test]
async fn rotation_loses_no_line_and_splits_none() {
    let gateway = builder(r#"{ access: "file:logs/access.log" }"#).file("logs/.keep", "").start().await;
    let load = Load::of(&gateway.https(), Request::get("/x")).connections(4).start();
    load.wait_for_more(100).await;
    for round in 0..10 {
        fs::rename(gateway.path("logs/access.log"), gateway.path(&format!("logs/access.{round}"))).unwrap();
        gateway.reopen_logs(1).await;
        load.wait_for_more(50).await;
    }
    let report = load.stop().await;
    report.assert_all(200);
    assert!(gateway.terminate().await.success());
    assert_eq!(gateway.access_log(), Vec::<Value>::new(), "nothing goes to standard output");
    let mut ids = HashSet::new();
    let mut files: Vec<String> = (0..10).map(|round| format!("logs/access.{round}")).collect();
    files.push("logs/access.log".to_owned());
    for name in &files {
        let text = fs::read_to_string(gateway.path(name)).unwrap();
        assert!(text.ends_with('\n'), "{name} ends with a whole line");
        let lines = gateway.log_file(name);
        assert!(!lines.is_empty(), "{name} has lines of its time");
        for line in &lines {
            assert!(ids.insert(line["request_id"].as_str().unwrap().to_owned()), "twice: {line}");
        }
        let mode = gateway.path(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & !0o640, 0, "{name} has mode {mode:o}");
    }
    assert_eq!(ids.len() as u64, report.answered(), "one line for each request, in one of the files");
}

#[tokio::test]
async fn lines_go_where_the_file_says() {
    for (log, stdout, file) in [
        ("{}", 1, 0),
        ("{ access: stdout }", 1, 0),
        ("{ access: off }", 0, 0),
        (r#"{ access: "file:access.log" }"#, 0, 1),
        (r#"{ access: "file:${NAME}.log" }"#, 0, 1),
        ("{ access: stdout, audit: stdout }", 5, 0),
    ] {
        let gateway = builder(log).env("NAME", "access").start().await;
        gateway.https().get("/x").await.assert_status(200);
        assert!(gateway.terminate().await.success());
        let lines = gateway.access_log();
        // The last one has the audit log too: two lines of the start, and two of the end.
        assert_eq!((lines.len(), gateway.log_file("access.log").len()), (stdout, file), "{log}: {lines:#?}");
    }
}

/// At start and by `check`, at its line; nothing is made, so that nothing belongs to whoever has called `check`.
#[tokio::test]
async fn a_log_that_cannot_be_written_is_an_error_at_its_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    let head = "version: 1\nlisten: [{ address: \"127.0.0.1:0\", tls: true }]\nadmin: { address: \"127.0.0.1:0\" }\n\
                tls: { self_signed: [localhost] }\n";
    let path = folder.path().join("gateway.yaml");
    for (log, said) in [
        (r#"{ access: "file:none/access.log" }"#, Some("lines cannot be written to this file: ")),
        (r#"{ audit: "file:none/audit.log" }"#, Some("lines cannot be written to this file: ")),
        (r#"{ access: "file:folder" }"#, Some("it is not a regular file")),
        (r#"{ access: "file:" }"#, Some("`stdout`, `off` or `file:PATH` is expected here")),
        ("{ access: stout }", Some("`stdout`, `off` or `file:PATH` is expected here")),
        ("{ acess: off }", Some("did you mean `access`?")),
        (r#"{ access: "file:a.log", audit: "file:a.log" }"#, Some("the access log goes to the same file")),
        (r#"{ access: "file:a.log", audit: "file:b.log" }"#, None),
    ] {
        fs::write(&path, format!("{head}{}\n", yaml(log))).unwrap();
        let path = path.to_str().unwrap();
        let commands = if said.is_some() { vec!["check", "run"] } else { vec!["check"] };
        for command in commands {
            let done = portcullis([command, "--config", path]).await;
            match said {
                Some(said) => {
                    assert_eq!(done.code(), 1, "{log}: {done:#?}");
                    let text = format!("{}{}", done.stdout, done.stderr);
                    assert!(text.contains(said) && text.contains("gateway.yaml:5:"), "{log}: {text}");
                }
                None => {
                    done.assert_success();
                }
            }
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "{log}: nothing was made");
    }
}

/// A log that is a file of the policy would spoil it with each line, and make each line a reason to read it again. Two logs
/// in one file cannot be told apart. Neither is hidden by another name.
#[tokio::test]
async fn a_log_takes_the_place_of_no_other_file() {
    let key = ApiKey::of("acme");
    let policy = |log: &str| {
        format!(
            "log: {log}\nauth: {{ partners: {{ api_key: {{ keys: keys.yaml }} }} }}\n\
             upstreams: {{ echo: builtin:echo }}\n\
             routes: [{{ name: all, match: {{ path: /** }}, auth: partners, upstream: echo }}]"
        )
    };
    let gateway = Gateway::builder(&policy("{}")).file("keys.yaml", keys_yaml(&[&key])).start().await;
    fs::create_dir(gateway.path("folder")).unwrap();
    symlink("../keys.yaml", gateway.path("folder/soft")).unwrap();
    symlink("new.log", gateway.path("dangling")).unwrap();
    fs::write(gateway.path("a.log"), "").unwrap();
    for (from, to) in [("server.key", "hard"), ("a.log", "hard.log")] {
        fs::hard_link(gateway.path(from), gateway.path(to)).unwrap();
    }
    let path = gateway.path("gateway.yaml");
    let (spoilt, shared) = ("this is a file of the policy", "the access log goes to the same file");
    for (log, said) in [
        ("{ access: file:gateway.yaml }", spoilt),
        ("{ access: file:folder/../gateway.yaml }", spoilt),
        ("{ audit: file:keys.yaml }", spoilt),
        ("{ audit: file:folder/soft }", spoilt),
        ("{ access: file:server.crt }", spoilt),
        ("{ access: off, audit: file:hard }", spoilt),
        ("{ access: file:a.log, audit: file:folder/../a.log }", shared),
        ("{ access: file:a.log, audit: file:hard.log }", shared),
        ("{ access: file:new.log, audit: file:dangling }", shared),
    ] {
        gateway.write_yaml(&policy(log));
        let before = ["gateway.yaml", "keys.yaml", "server.crt", "server.key", "a.log"]
            .map(|name| fs::read(gateway.path(name)).unwrap());
        let line = fs::read_to_string(&path).unwrap().lines().position(|line| line.starts_with("log:"));
        let place = format!("gateway.yaml:{}:", line.unwrap() + 1);
        for command in ["check", "run"] {
            let done = portcullis([command, "--config", path.to_str().unwrap()]).await;
            assert_eq!(done.code(), 1, "{log}: {done:#?}");
            let text = format!("{}{}", done.stdout, done.stderr);
            assert!(text.contains(said) && text.contains(&place), "{log}: {text}");
            assert!(text.contains("give ") && text.contains("a file of its own"), "{log}: {text}");
        }
        let Reload::Refused(text) = gateway.reload().await else { panic!("{log} was accepted") };
        assert!(text.contains(said) && text.contains(&place), "{log}: {text}");
        gateway.https().get("/").headers(&[key.header()]).await.assert_status(200);
        let after = ["gateway.yaml", "keys.yaml", "server.crt", "server.key", "a.log"]
            .map(|name| fs::read(gateway.path(name)).unwrap());
        assert!(before == after, "{log}: a file was written to");
        assert!(!gateway.path("new.log").exists(), "{log}: a file was made");
    }
    // Nobody loses anything that is written to a device, or to the standard output by both.
    gateway.reload_with(&policy("{ access: file:/dev/null, audit: file:/dev/null }")).await;
    gateway.reload_with(&policy("{ access: stdout, audit: stdout }")).await;
}

/// What standard output is, whoever starts the gateway decides.
#[tokio::test]
async fn a_log_does_not_go_to_the_file_that_standard_output_goes_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.log");
    let script = format!(r#"exec "$0" "$@" >>'{}'"#, path.display());
    let log = format!("{{ access: stdout, audit: \"file:{}\" }}", path.display());
    let done = builder(&log).shell(&script).spawn_expecting_failure().await;
    assert!(done.stderr.contains("the access log goes to the same file"), "{done:#?}");
    assert_eq!(fs::read(path).unwrap(), b"");
}

#[tokio::test]
async fn a_reload_moves_the_log_and_one_that_cannot_moves_nothing() {
    let gateway = builder(r#"{ access: "file:one.log" }"#).start().await;
    ask(&gateway, "/1").await;
    gateway.reload_with(&yaml(r#"{ access: "file:two.log" }"#)).await;
    ask(&gateway, "/2").await;
    gateway.write_yaml(&yaml(r#"{ access: "file:none/three.log" }"#));
    let Reload::Refused(said) = gateway.reload().await else { panic!("it was accepted") };
    assert!(said.contains("lines cannot be written to this file"), "{said}");
    ask(&gateway, "/3").await;
    gateway.reload_with(&yaml("{ access: off }")).await;
    ask(&gateway, "/4").await;
    gateway.reload_with(&yaml(r#"{ access: "file:one.log" }"#)).await;
    ask(&gateway, "/5").await;
    assert!(gateway.terminate().await.success());
    assert_eq!(paths(&gateway.log_file("one.log")), ["/1", "/5"]);
    assert_eq!(paths(&gateway.log_file("two.log")), ["/2", "/3"]);
    assert_eq!(gateway.access_log(), Vec::<Value>::new());
}

/// What the policy refuses at start, somebody may do later: a link in the place of the log must not spoil a file of keys.
#[tokio::test]
async fn a_file_that_is_opened_anew_is_neither_of_the_policy_nor_of_the_other_log() {
    let gateway = builder(r#"{ access: "file:access.log", audit: "file:audit.log" }"#).start().await;
    let [path, old] = ["access.log", "old.log"].map(|name| gateway.path(name));
    let kept = fs::read(gateway.path("server.key")).unwrap();
    ask(&gateway, "/0").await;
    gateway.wait_for_line("access.log", |line| line["path"] == "/0").await;
    fs::rename(&path, &old).unwrap();
    for (at, (other, hard)) in
        [("server.key", true), ("server.key", false), ("gateway.yaml", true), ("audit.log", true)]
            .into_iter()
            .enumerate()
    {
        if hard {
            fs::hard_link(gateway.path(other), &path).unwrap();
        } else {
            symlink(other, &path).unwrap();
        }
        let position = gateway.log_position();
        gateway.signal(Signal::User1);
        let refused = "access log: cannot be reopened, the old file goes on: it is a file of the policy";
        gateway.wait_for_log_after(position, |line| line.message.contains(refused)).await;
        let name = format!("/{}", at + 1);
        ask(&gateway, &name).await;
        gateway.wait_for_line("old.log", |line| line["path"] == name.as_str()).await;
        assert!(fs::read(gateway.path("server.key")).unwrap() == kept, "{other}: it was written to");
        fs::remove_file(&path).unwrap();
    }
    // The audit log was opened anew each time.
    gateway.reopen_logs(2).await;
    ask(&gateway, "/5").await;
    assert!(gateway.terminate().await.success());
    assert_eq!(paths(&gateway.log_file("old.log")), ["/0", "/1", "/2", "/3", "/4"]);
    assert_eq!(paths(&gateway.log_file("access.log")), ["/5"]);
    assert!(gateway.log_file("audit.log").iter().all(|line| line["event"].is_string()));
}

/// What is in the way may be gone by the next signal.
#[tokio::test]
async fn a_file_that_cannot_be_opened_anew_goes_on() {
    let gateway = builder(r#"{ access: "file:access.log" }"#).start().await;
    let [path, old] = ["access.log", "old.log"].map(|name| gateway.path(name));
    ask(&gateway, "/1").await;
    gateway.wait_for_line("access.log", |line| line["path"] == "/1").await;
    fs::rename(&path, &old).unwrap();
    fs::create_dir(&path).unwrap();
    gateway.signal(Signal::User1);
    gateway.wait_for_log(|line| line.message.contains("access log: cannot be reopened")).await;
    ask(&gateway, "/2").await;
    gateway.wait_for_line("old.log", |line| line["path"] == "/2").await;
    fs::remove_dir(&path).unwrap();
    gateway.reopen_logs(1).await;
    ask(&gateway, "/3").await;
    assert!(gateway.terminate().await.success());
    assert_eq!(paths(&gateway.log_file("old.log")), ["/1", "/2"]);
    assert_eq!(paths(&gateway.log_file("access.log")), ["/3"]);
}

#[tokio::test]
async fn a_full_disk_costs_lines_and_no_request() {
    let gateway = builder(r#"{ access: "file:/dev/full", audit: "file:audit.log" }"#).start().await;
    for _ in 0..20 {
        gateway.https().get("/x").await.assert_status(200);
    }
    gateway.wait_for_count(DROPPED, &[], 20).await;
    gateway.reload_with(&yaml(r#"{ access: "file:access.log", audit: "file:/dev/full" }"#)).await;
    gateway.https().get("/x").await.assert_status(200);
    gateway.https().get("/x%00").await.assert_status(400);
    // The policy that was loaded, and the request that was refused.
    gateway.wait_for_metric("portcullis_audit_log_dropped_total", &[], |count| count > 1.5).await;
    assert!(gateway.terminate().await.success());
    assert_eq!(gateway.log_file("access.log").len(), 2);
}

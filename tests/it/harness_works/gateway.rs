//! Starting, watching and ending a gateway, with a shell script in its place: what is tested is the harness.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::{failure, failure_of};
use crate::harness::gateway::{Gateway, GatewayBuilder, ListenerKind, Metrics, Reload};
use crate::harness::process::{Signal, portcullis, run};
use crate::harness::upstream::{Answer, Upstream};

/// A program that behaves as the harness expects of the gateway: it names its listeners, answers signals and logs. The
/// admin listener is played by an upstream.
struct StandIn {
    admin: Upstream,
    directory: TempDir,
}

const SCRIPT: &str = r#"#!/bin/sh
log() { printf '{"time":"2026-11-21T09:00:00.000Z","level":"%s","message":"%s"}\n' "$1" "$2" >&2; }
trap 'if grep -q broken "$3"; then log error "reload refused: broken"; else log info "reloaded: $(tail -n 1 "$3")"; fi' HUP
trap 'log info ending; exit 3' TERM
trap 'log info interrupted; exit 4' INT
log info "listening on 127.0.0.1:4001 (tls)"
log info "listening on 127.0.0.1:4002 (redirect)"
log info "admin on {admin}"
echo '{"path":"/a","status":200}'
echo 'thread main panicked elsewhere' >&2
while :; do sleep 0.01; done
"#;

impl StandIn {
    fn new() -> Self {
        let admin = Upstream::start();
        admin
            .answer("/metrics", Answer::ok("# TYPE a counter\na{b=\"c\",d=\"e\"} 1\na{b=\"c\",d=\"f\"} 2\n"));
        let stand_in = Self { admin, directory: tempfile::tempdir().unwrap() };
        let address = stand_in.admin.address().to_string();
        stand_in.write(&SCRIPT.replace("{admin}", &address));
        stand_in
    }

    fn program(&self) -> PathBuf {
        self.directory.path().join("stand-in")
    }

    fn write(&self, script: &str) {
        // Written by another process: this one may be starting programs at the same time, which would inherit the file
        // while it is open for writing, and then it cannot be executed.
        let status = std::process::Command::new("sh")
            .args(["-c", r#"printf '%s' "$1" > "$0""#])
            .arg(self.program())
            .arg(script)
            .status()
            .unwrap();
        assert!(status.success());
        std::fs::set_permissions(self.program(), PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn gateway(&self) -> GatewayBuilder {
        let yaml = r#"
            listen:
              - { address: "127.0.0.1:0", tls: true }
              - { address: "127.0.0.1:0", redirect: https }
            upstreams: { app: "{upstream}" }
            routes: []
        "#;
        Gateway::builder(yaml)
            .with("upstream", "http://app")
            .env("PATH", std::env::var("PATH").unwrap())
            .program(self.program())
    }
}

#[tokio::test]
async fn files_are_written_and_rewritten() {
    let stand_in = StandIn::new();
    let builder = stand_in.gateway().file("keys/a.yaml", "\n  a: \"{upstream}\"\n    b\n");
    let gateway = builder.start().await;
    let read = |name: &str| std::fs::read_to_string(gateway.path(name)).unwrap();
    assert_eq!(read("keys/a.yaml"), "a: \"http://app\"\n  b\n");
    let yaml = read("gateway.yaml");
    assert!(yaml.starts_with("version: 1\nadmin: { address: \"127.0.0.1:0\" }\ntls: {"), "{yaml}");
    assert!(yaml.contains("\nlisten:\n  - {") && yaml.contains("app: \"http://app\""), "{yaml}");
    assert!(read("server.crt").contains("CERTIFICATE") && read("server.key").contains("PRIVATE KEY"));
    let mode = std::fs::metadata(gateway.path("server.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    gateway.write("keys/a.yaml", "{upstream}");
    gateway.write_in_place("new", "{directory}");
    assert_eq!(read("keys/a.yaml"), "http://app");
    assert_eq!(read("new").trim_end_matches('/'), gateway.directory().to_str().unwrap());
}

#[tokio::test]
async fn listeners_logs_and_metrics_are_read() {
    let stand_in = StandIn::new();
    let gateway = stand_in.gateway().start().await;
    assert_eq!((gateway.https_port(0), gateway.http_port(0)), (4001, 4002));
    assert_eq!(gateway.listeners()[1].kind, ListenerKind::Redirect);
    assert_eq!(gateway.admin_port(), stand_in.admin.address().port());
    assert_eq!((gateway.https().address().port(), gateway.http().address().port()), (4001, 4002));
    assert!(failure(|| gateway.https_port(1)).contains("no such listener"));

    let line = gateway.wait_for_log(|line| line.message.starts_with("admin on")).await;
    assert_eq!((line.level.as_str(), gateway.log().len()), ("info", 3));
    let line = gateway.wait_for_access(|line| line["path"] == "/a").await;
    assert_eq!((line["status"].as_u64(), gateway.access_log().len()), (Some(200), 1));
    assert!(gateway.everything_logged().contains("panicked elsewhere"));
    assert_eq!(gateway.metrics().await.count("a", &[]), 3);
    assert!(gateway.wait_for_metric("a", &[("d", "f")], |value| value > 1.0).await > 1.5);
    gateway.wait_for_count("a", &[("b", "c")], 3).await;
    assert!(gateway.rss_bytes() > 100_000 && gateway.process().open_files() >= 3);
    assert!(gateway.cpu_time() < std::time::Duration::from_secs(10));
}

#[tokio::test]
async fn reloads_are_accepted_or_refused() {
    let stand_in = StandIn::new();
    let gateway = stand_in.gateway().start().await;
    gateway.reload_with("listen: []\nversion: 1 # second").await;
    let position = gateway.log_position();
    gateway.write_yaml("broken: {upstream}");
    assert_eq!(gateway.reload().await, Reload::Refused("reload refused: broken".to_owned()));
    gateway.wait_for_log_after(position, |line| line.level == "error").await;
    let messages: Vec<_> = gateway.log().into_iter().map(|line| line.message).collect();
    assert!(messages.contains(&"reloaded: version: 1 # second".to_owned()), "{messages:?}");
}

#[tokio::test]
async fn the_end_is_waited_for() {
    let stand_in = StandIn::new();
    let gateway = stand_in.gateway().start().await;
    assert_eq!(gateway.terminate().await.code(), Some(3));
    assert_eq!(gateway.log().last().unwrap().message, "ending");
    let gateway = stand_in.gateway().argument("--log-level").start().await;
    gateway.signal(Signal::Interrupt);
    assert_eq!(gateway.ended().await.code(), Some(4));
    let gateway = stand_in.gateway().start().await;
    gateway.process().signal(Signal::Kill);
    assert_eq!(gateway.ended().await.code(), None);
    assert!(!std::path::Path::new(&format!("/proc/{}", gateway.process().pid())).exists());
}

#[tokio::test]
async fn a_gateway_that_cannot_become_ready_is_there_all_the_same() {
    let stand_in = StandIn::new();
    stand_in.admin.answer("/readyz", Answer::status(503, "not yet"));
    let gateway = stand_in.gateway().start_unready().await;
    assert_eq!(gateway.admin().get("/readyz").await.status, 503);
}

#[tokio::test]
async fn what_goes_wrong_is_shown() {
    let stand_in = StandIn::new();
    stand_in.write("#!/bin/sh\necho 'no such key' >&2\nexit 2\n");
    let builder = stand_in.gateway();
    let failed = failure_of(async move { builder.start().await.admin_port() }).await;
    assert!(failed.contains("no such key") && failed.contains("exit status: 2"), "{failed}");
    let finished = stand_in.gateway().spawn_expecting_failure().await;
    assert_eq!((finished.code(), finished.stderr.as_str()), (2, "no such key\n"));
    assert!(failure(|| finished.assert_success().code()).contains("no such key"));

    stand_in.write(
        &SCRIPT
            .replace("panicked elsewhere", "panicked at src/main.rs:1:1")
            .replace("{admin}", &stand_in.admin.address().to_string()),
    );
    let gateway = stand_in.gateway().start().await;
    gateway.terminate().await;
    assert!(failure(move || drop(gateway)).contains("the gateway panicked"));
}

#[tokio::test]
async fn subcommands_run_on_the_files() {
    let stand_in = StandIn::new();
    stand_in.write("#!/bin/sh\necho \"$1\"\nhead -n 1 \"$2\"\npwd\n");
    let finished = stand_in.gateway().run(&["check", "{directory}/gateway.yaml"]).await;
    assert_eq!(finished.assert_success().stdout, "check\nversion: 1\n/\n");
    // Whatever the binary makes of it: it runs, and its environment is empty.
    let finished = portcullis(["--version"]).await;
    assert!(finished.status.code().is_some(), "{finished:?}");
    let mut command = std::process::Command::new("sh");
    let finished = run(command.args(["-c", "echo out; echo err >&2; exit 7"])).await;
    assert_eq!((finished.code(), finished.stdout.as_str(), finished.stderr.as_str()), (7, "out\n", "err\n"));
}

#[test]
fn metrics() {
    let text = "# HELP a b\n# TYPE a counter\na 1\nb{x=\"1\",y=\"a\\\"b\\\\c\\nd,}\"} 2.5\nb{x=\"1\",y=\"\"} 3\nc{le=\"+Inf\"} +Inf\n";
    let metrics = Metrics::parse(text);
    assert_eq!((metrics.sum("a", &[]), metrics.sum("b", &[("x", "1")])), (Some(1.0), Some(5.5)));
    assert_eq!(metrics.sum("b", &[("y", "a\"b\\c\nd,}")]), Some(2.5));
    assert_eq!((metrics.sum("b", &[("x", "2")]), metrics.count("none", &[])), (None, 0));
    assert!(failure(|| metrics.count("b", &[("x", "1")])).contains("counts to 5.5"));
    assert_eq!((metrics.len(), metrics.map()[r#"b{x="1",y=""}"#]), (4, 3.0));
    for bad in ["a", "a{b=\"c\" 1", "a{b} 1", "a one", "a{b=\"1\",b=\"2\"} 1"] {
        assert!(failure(|| Metrics::parse(bad)).contains("no series"), "{bad}");
    }
}

#[tokio::test]
async fn the_preamble_is_complete() {
    let stand_in = StandIn::new();
    stand_in.write("#!/bin/sh\ncat \"$3\"\n");
    let program = stand_in.program();
    let finished = Gateway::builder("routes: []").program(&program).env("PATH", "/bin:/usr/bin");
    let text = finished.spawn_expecting_failure().await.stdout;
    assert_eq!(
        text,
        "version: 1\nlisten: [{ address: \"127.0.0.1:0\", tls: true }]\nadmin: { address: \"127.0.0.1:0\" }\n\
         tls: { certificates: [{ cert: server.crt, key: server.key }] }\nroutes: []\n"
    );
    let whole = "version: 1\nlisten: []\nadmin: {}\ntls: {}\n";
    let same = Gateway::builder(whole).program(&program).env("PATH", "/bin:/usr/bin");
    assert_eq!(same.spawn_expecting_failure().await.stdout, whole);
}

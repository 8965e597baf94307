//! A new process takes the place of the running one (`SIGUSR2`): nobody is refused, cut off or let through meanwhile.

mod admin;
mod alone;
mod delay;
mod logs;

use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::harness::client::{Load, Request};
use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::deadline::eventually;
use crate::harness::gateway::{Gateway, GatewayBuilder};
use crate::harness::issuer::{Issuer, Serving};
use crate::harness::problem::assert_problem;
use crate::harness::process::{Signal, portcullis_command, run, signal};
use crate::harness::redis::Redis;
use crate::harness::upstream::{Answer, Upstream};

const YAML: &str = r#"
    listen: [{ address: "127.0.0.1:0", tls: true }, { address: "127.0.0.1:0", plaintext: true }]
    {redis}
    auth: { partners: { api_key: { keys: keys.yaml } } }
    upstreams: { app: "{upstream}" }
    routes:
      - { name: app, match: { path: /v1/** }, auth: partners, upstream: app }
      - { name: docs, match: { path: /docs/** }, auth: public, upstream: app }
"#;

/// The process that took over. Nobody waits for it but the one who asked for it, so it is ended here.
struct Successor(u32);

impl Successor {
    async fn terminate(self) {
        signal(self.0, Signal::Terminate);
        gone(self.0).await;
        std::mem::forget(self);
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        let process = i32::try_from(self.0).ok().and_then(rustix::process::Pid::from_raw);
        let _ = process.map(|process| rustix::process::kill_process(process, rustix::process::Signal::KILL));
    }
}

/// Waits until a process that this test did not start itself is gone.
async fn gone(number: u32) {
    let of = format!("/proc/{number}/stat");
    eventually("the end of the new process", || {
        // Whose parent is gone may stay as a zombie where the first process does not look after it.
        let stat = std::fs::read_to_string(&of).unwrap_or_default();
        let state = stat.rsplit(") ").next().unwrap_or_default().chars().next();
        matches!(state, None | Some('Z' | 'X')).then_some(())
    })
    .await;
}

struct Cast {
    upstream: Upstream,
    key: ApiKey,
}

impl Cast {
    fn new() -> Self {
        Self { upstream: Upstream::start(), key: ApiKey::of("acme").id("k_acme") }
    }

    /// A gateway that another process may replace, as systemd would allow.
    fn gateway(&self, section: &str) -> GatewayBuilder {
        self.gateway_as_is(section).argument("--replaceable")
    }

    fn gateway_as_is(&self, section: &str) -> GatewayBuilder {
        Gateway::builder(YAML)
            .with("upstream", self.upstream.url())
            .with("redis", section)
            .file("keys.yaml", keys_yaml(&[&self.key]))
    }

    fn asking(&self) -> Request {
        Request::get("/v1/orders").header("X-API-Key", &self.key.key)
    }
}

/// The number at the place of `{}` in a line of the log after `position`.
async fn process_in(gateway: &Gateway, position: usize, before: &str, after: &str) -> Successor {
    let number = |message: &str| -> Option<u32> {
        message.strip_prefix(before)?.split_once(after).and_then(|(number, _)| number.parse().ok())
    };
    let line = gateway.wait_for_log_after(position, |line| number(&line.message).is_some()).await;
    Successor(number(&line.message).unwrap())
}

/// Waits until another process serves in place of this one.
async fn replaced(gateway: &Gateway, position: usize) -> Successor {
    process_in(gateway, position, "the process ", " serves in place").await
}

/// Waits until another process was started.
async fn started(gateway: &Gateway, position: usize) -> Successor {
    process_in(gateway, position, "the process ", " is started").await
}

#[tokio::test]
async fn under_load_no_request_is_lost_and_none_gets_past() {
    let cast = Cast::new();
    cast.upstream.answer_otherwise(Answer::ok("ok").after(Duration::from_millis(3)));
    let gateway = cast.gateway("").start().await;
    let good = [
        Load::of(&gateway.https(), cast.asking()).connections(4).rate(400.0).start(),
        Load::of(&gateway.http(), Request::get("/docs/a")).connections(2).rate(400.0).start(),
        Load::of(&gateway.https(), cast.asking()).connections(2).each_on_a_fresh_connection().start(),
    ];
    let bad = Load::of(&gateway.https(), Request::get("/v1/orders").header("X-API-Key", "pcl_k_wrong_key"))
        .connections(2)
        .rate(100.0)
        .start();
    for load in &good {
        load.wait_for_more(50).await;
    }
    let position = gateway.log_position();
    gateway.signal(Signal::Replace);
    let second = replaced(&gateway, position).await;
    for load in &good {
        load.wait_for_more(50).await;
    }
    assert_eq!(gateway.process().gone().await.code(), Some(0));
    // What replaced can be replaced.
    let position = gateway.log_position();
    signal(second.0, Signal::Replace);
    let third = replaced(&gateway, position).await;
    assert_ne!(second.0, third.0);
    for load in &good {
        load.wait_for_more(50).await;
    }
    let mut answered = 0;
    for load in good {
        let report = load.stop().await;
        report.assert_all(200);
        assert_eq!(report.refused, 0, "{report:?}");
        answered += report.answered();
    }
    let refused = bad.stop().await;
    assert!(refused.failures.is_empty() && refused.closed_under_way == 0, "{refused:?}");
    assert!(refused.statuses.keys().all(|status| matches!(status, 401 | 429)), "{refused:?}");
    assert_eq!(cast.upstream.requests().len() as u64, answered);
    third.terminate().await;
    gateway.process().wait().await;
    // Each has its line, from whichever process.
    let lines = gateway.access_log();
    assert_eq!(lines.iter().filter(|line| line["status"] == 200).count() as u64, answered);
}

#[tokio::test]
async fn what_was_begun_is_finished_by_the_old_process() {
    let cast = Cast::new();
    let events = cast.upstream.events("/docs/events");
    let gateway = cast.gateway("").start().await;
    let mut stream = gateway.https().connect().await;
    stream.write("GET /docs/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    stream.head_to("GET").await.assert_status(200);
    let mut upload = gateway.http().connect().await;
    upload.write("POST /docs/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello").await;
    let mut http2 = gateway.https().http2().await;
    http2.get("/docs/a").await.assert_status(200);
    events.wait_for_subscribers(1).await;

    let position = gateway.log_position();
    gateway.signal(Signal::Replace);
    let successor = replaced(&gateway, position).await;
    gateway.wait_for_log(|line| line.message.starts_with("draining")).await;
    gateway.https().get("/docs/new").await.assert_status(200);
    upload.write("world").await;
    upload.only_response().await.assert_status(200);
    events.end();
    assert_eq!(stream.piece().await, None);
    stream.closed().await;
    http2.closed().await.ok();
    assert_eq!(gateway.process().gone().await.code(), Some(0));
    gateway.https().get("/docs/new").await.assert_status(200);
    successor.terminate().await;
}

/// The list in memory moves to the new process before that one takes a request.
#[tokio::test]
async fn what_is_revoked_in_memory_stays_revoked() {
    let cast = Cast::new();
    let gateway = cast.gateway("").start().await;
    let revoked = json!({ "kind": "key", "id": "k_acme", "reason": "stolen" });
    gateway.admin().post("/revocations").json(&revoked).await.assert_status(201);
    let load = Load::of(&gateway.https(), cast.asking()).connections(4).each_on_a_fresh_connection().start();
    load.wait_for_more(10).await;
    let position = gateway.log_position();
    gateway.signal(Signal::Replace);
    let successor = replaced(&gateway, position).await;
    load.wait_for_more(10).await;
    assert_eq!(gateway.process().gone().await.code(), Some(0));
    load.wait_for_more(10).await;
    load.stop().await.assert_all(401);
    cast.upstream.assert_nothing();
    let listed = gateway.admin().get("/revocations").await.json();
    assert_eq!(listed["revocations"][0]["id"], "k_acme");
    assert_eq!(listed["revocations"][0]["reason"], "stolen");
    gateway.admin().call("DELETE", "/revocations?kind=key&id=k_acme").await.assert_status(200);
    gateway.https().get("/v1/orders").headers(&[("X-API-Key", &cast.key.key)]).await.assert_status(200);
    successor.terminate().await;
}

/// A new process that keeps its list elsewhere would let everybody in again who was revoked.
#[tokio::test]
async fn what_is_revoked_in_memory_is_not_lost_to_a_list_elsewhere() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    let gateway = cast.gateway("").with("url", redis.url()).start().await;
    let revoked = json!({ "kind": "key", "id": "k_acme" });
    gateway.admin().post("/revocations").json(&revoked).await.assert_status(201);
    gateway.write_yaml(&YAML.replace("{redis}", "redis: { url: \"{url}\" }"));
    let position = gateway.log_position();
    gateway.signal(Signal::Replace);
    let not = |message: &str| message.starts_with("not replaced, this process goes on");
    gateway.wait_for_log_after(position, |line| not(&line.message)).await;
    let answer = gateway.https().get("/v1/orders").headers(&[("X-API-Key", &cast.key.key)]).await;
    assert_problem(&answer, 401, "credential_revoked");
    cast.upstream.assert_nothing();
}

/// A new process takes no request before it has read the list in Redis, and none at all while it cannot.
#[tokio::test]
async fn revocations_in_redis_are_known_before_the_first_request() {
    let cast = Cast::new();
    let redis = Redis::start().await;
    let section = format!("redis: {{ url: \"{}\" }}", redis.url());
    let gateway = cast.gateway(&section).start().await;
    let revoked = json!({ "kind": "key", "id": "k_acme" });
    gateway.admin().post("/revocations").json(&revoked).await.assert_status(201);
    gateway.wait_for_metric("portcullis_revocation_entries", &[("kind", "key")], |count| count > 0.5).await;
    let position = gateway.log_position();
    redis.pause();
    gateway.signal(Signal::Replace);
    let waiting = |message: &str| message.contains("the revocation list has not been read");
    gateway.wait_for_log_after(position, |line| waiting(&line.message)).await;
    let load = Load::of(&gateway.https(), cast.asking()).connections(4).each_on_a_fresh_connection().start();
    load.wait_for_more(10).await;
    redis.resume();
    let successor = replaced(&gateway, position).await;
    assert_eq!(gateway.process().gone().await.code(), Some(0));
    load.wait_for_more(10).await;
    let report = load.stop().await;
    assert!(report.statuses.keys().all(|status| matches!(status, 401 | 503)), "{report:?}");
    assert!(report.failures.is_empty() && report.refused == 0, "{report:?}");
    cast.upstream.assert_nothing();
    assert_problem(
        &gateway.https().get("/v1/orders").headers(&[("X-API-Key", &cast.key.key)]).await,
        401,
        "credential_revoked",
    );
    successor.terminate().await;
}

/// The new process reads the file anew, listeners included, which a reload cannot change.
#[tokio::test]
async fn the_new_process_serves_what_the_file_says_now() {
    let cast = Cast::new();
    let gateway = cast.gateway("").start().await;
    gateway.https().get("/docs/a").await.assert_status(200);
    let kept = YAML.replace(r#", { address: "127.0.0.1:0", plaintext: true }"#, "");
    gateway.write_yaml(&kept.replace("/docs/**", "/help/**"));
    let position = gateway.log_position();
    gateway.signal(Signal::Replace);
    let successor = replaced(&gateway, position).await;
    assert_eq!(gateway.process().gone().await.code(), Some(0));
    gateway.https().get("/help/a").await.assert_status(200);
    assert_problem(&gateway.https().get("/docs/a").await, 404, "no_route");
    assert!(gateway.http().try_connect().await.is_err());
    successor.terminate().await;
}

/// Whatever keeps a new process from serving, the old one goes on.
#[tokio::test]
async fn a_process_that_cannot_serve_replaces_nothing() {
    let cast = Cast::new();
    let issuer = Issuer::start();
    let gateway = cast.gateway("").with("issuer", issuer.url()).start().await;
    let load = Load::of(&gateway.https(), cast.asking()).connections(4).rate(200.0).start();
    let goes_on = async |position| {
        let not = |message: &str| message.starts_with("not replaced, this process goes on");
        gateway.wait_for_log_after(position, |line| not(&line.message)).await.message
    };

    // A file that is refused.
    gateway.write_yaml(&YAML.replace("auth: partners", "auth: partner"));
    let position = gateway.log_position();
    gateway.signal(Signal::Replace);
    let said = goes_on(position).await;
    assert!(said.contains("it has ended (exit status: 1)"), "{said}");

    // An issuer that does not answer, and a process that is ended while it waits for it.
    issuer.serve_keys(&Serving::Hang);
    issuer.serve_discovery_like(&Serving::Hang);
    let waits = YAML
        .replace("auth: { ", "auth: { users: { jwt: { issuer: \"{issuer}\", audience: a } }, ")
        .replace("auth: partners", "auth: [partners, users]");
    gateway.write_yaml(&waits);
    let position = gateway.log_position();
    gateway.signal(Signal::Replace);
    let successor = started(&gateway, position).await;
    gateway
        .wait_for_log_after(position, |line| {
            line.message.contains("the keys of issuer `users` have not been read")
        })
        .await;
    signal(successor.0, Signal::Kill);
    let said = goes_on(position).await;
    assert!(said.contains("it has ended (signal: 9"), "{said}");

    // Revocations are taken as before.
    let revoked = json!({ "kind": "key", "id": "k_other" });
    gateway.admin().post("/revocations").json(&revoked).await.assert_status(201);
    load.wait_for_more(20).await;
    let report = load.stop().await;
    report.assert_all(200);
    assert_eq!(report.refused, 0, "{report:?}");

    // And whoever is told to end while a new process waits takes it along.
    let position = gateway.log_position();
    gateway.signal(Signal::Replace);
    let successor = started(&gateway, position).await;
    gateway.signal(Signal::Terminate);
    assert_eq!(gateway.process().wait().await.code(), Some(0));
    drop(successor);
}

/// The variable that a new process is told by is no way to have a process wait for what does not come.
#[tokio::test]
async fn who_was_not_asked_to_replace_anybody_does_not_start() {
    let cast = Cast::new();
    let finished = cast
        .gateway("")
        .env("PORTCULLIS_PREDECESSOR", "1")
        .run(&["run", "--config", "{directory}/gateway.yaml"])
        .await;
    assert_eq!(finished.code(), 1, "{finished:?}");
    assert!(finished.stderr.contains("was not started by that one"), "{finished:?}");
    // This process is the parent, but nothing comes from it.
    let finished = run(portcullis_command()
        .env("PORTCULLIS_PREDECESSOR", std::process::id().to_string())
        .args(["run", "--config", "gateway.yaml"]))
    .await;
    assert_eq!(finished.code(), 1, "{finished:?}");
    assert!(finished.stderr.contains("cannot be replaced by this one"), "{finished:?}");
}

/// The service manager hears when requests are served, which process serves them, and when it ends.
#[tokio::test]
async fn the_service_manager_is_told() {
    let cast = Cast::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = Arc::new(UnixDatagram::bind(&path).unwrap());
    let hear = async || {
        let manager = manager.clone();
        let heard = tokio::task::spawn_blocking(move || {
            let mut text = [0; 256];
            manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let length = manager.recv(&mut text).unwrap();
            String::from_utf8(text[..length].to_vec()).unwrap().trim().to_owned()
        });
        heard.await.unwrap()
    };
    let gateway = cast.gateway_as_is("").env("NOTIFY_SOCKET", path.to_str().unwrap()).start().await;
    assert_eq!(hear().await, "READY=1");
    gateway.signal(Signal::Replace);
    let successor = replaced(&gateway, 0).await;
    assert_eq!(hear().await, format!("MAINPID={}", successor.0));
    assert_eq!(gateway.process().gone().await.code(), Some(0));
    successor.terminate().await;
    assert_eq!(hear().await, "STOPPING=1");
}

//! Files of logs while two processes write to them.

use super::{Cast, YAML, replaced};
use crate::harness::deadline::eventually;
use crate::harness::issuer::{Issuer, Serving};
use crate::harness::process::{Signal, signal};

/// Whoever rotates logs knows one process, and the one that it has replaced still has lines to write.
#[tokio::test]
async fn a_draining_process_opens_its_logs_anew_as_well() {
    let cast = Cast::new();
    let gateway =
        cast.gateway(r#"log: { access: "file:access.log", audit: "file:audit.log" }"#).start().await;
    let mut upload = gateway.http().connect().await;
    upload.write("POST /docs/old HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\na").await;
    eventually("the upload", || (cast.upstream.requests().len() == 1).then_some(())).await;
    let position = gateway.log_position();
    gateway.signal(Signal::Replace);
    let successor = replaced(&gateway, position).await;
    gateway.wait_for_log_after(position, |line| line.message.starts_with("draining")).await;
    // The new one opens them anew when it takes over: they may have been renamed since it has begun.
    let reopened = |position| {
        let lines = gateway.log().split_off(position);
        lines.iter().filter(|line| line.message.contains(": reopened ")).count()
    };
    eventually("logs to be opened", || (reopened(position) == 2).then_some(())).await;

    for name in ["access", "audit"] {
        let file = |suffix: &str| gateway.path(&format!("{name}.{suffix}"));
        std::fs::rename(file("log"), file("old")).unwrap();
    }
    let position = gateway.log_position();
    signal(successor.0, Signal::User1);
    eventually("logs to be opened", || (reopened(position) == 4).then_some(())).await;
    upload.write("b").await;
    upload.only_response().await.assert_status(200);
    gateway.https().get("/docs/new").await.assert_status(200);
    assert_eq!(gateway.process().gone().await.code(), Some(0));
    successor.terminate().await;

    let mut paths: Vec<String> =
        gateway.log_file("access.log").iter().map(|line| line["path"].as_str().unwrap().to_owned()).collect();
    paths.sort();
    assert_eq!(paths, ["/docs/new", "/docs/old"]);
    assert_eq!(gateway.log_file("access.old").len(), 0);
    let events = |name: &str| -> Vec<String> {
        gateway.log_file(name).iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect()
    };
    let started = ["started", "policy_loaded"];
    assert_eq!(events("audit.old"), [&started[..], &started[..], &["stopping"]].concat());
    assert_eq!(events("audit.log"), ["stopped", "stopping", "stopped"]);
}

/// Between the start of the new process and its turn, the old one is told to open files anew, and both are to write to them.
#[tokio::test]
async fn logs_that_are_renamed_before_the_turn_are_opened_anew_by_both() {
    let cast = Cast::new();
    let issuer = Issuer::start();
    let gateway =
        cast.gateway(r#"log: { access: "file:access.log" }"#).with("issuer", issuer.url()).start().await;
    issuer.serve_keys(&Serving::Hang);
    issuer.serve_discovery_like(&Serving::Hang);
    let waits = YAML
        .replace("{redis}", r#"log: { access: "file:access.log" }"#)
        .replace("auth: { ", "auth: { users: { jwt: { issuer: \"{issuer}\", audience: a } }, ")
        .replace("auth: partners", "auth: [partners, users]");
    gateway.write_yaml(&waits);
    let position = gateway.log_position();
    gateway.signal(Signal::Replace);
    let waiting = |message: &str| message.contains("the keys of issuer `users` have not been read");
    gateway.wait_for_log_after(position, |line| waiting(&line.message)).await;
    std::fs::rename(gateway.path("access.log"), gateway.path("access.old")).unwrap();
    gateway.reopen_logs(1).await;
    issuer.serve_keys(&Serving::Properly);
    issuer.serve_discovery_like(&Serving::Properly);
    let successor = replaced(&gateway, position).await;
    assert_eq!(gateway.process().gone().await.code(), Some(0));
    gateway.https().get("/docs/new").await.assert_status(200);
    successor.terminate().await;
    assert_eq!(gateway.log_file("access.old").len(), 0);
    assert_eq!(gateway.log_file("access.log").len(), 1);
}

//! An access log that nobody takes: requests are served all the same, and lines that are lost are counted.

use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::harness::client::{Load, Request};
use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::deadline::eventually;
use crate::harness::gateway::Gateway;
use crate::harness::process::Signal;
use crate::harness::upstream::Upstream;

const DROPPED: &str = "portcullis_access_log_dropped_total";

/// How much memory lines may take that wait to be written, with what else a gateway needs.
const MEMORY: u64 = 256 << 20;

/// A gateway whose access log goes to `output`.
async fn gateway(upstream: &Upstream, key: &ApiKey, output: impl Into<Stdio>) -> Gateway {
    let yaml = r#"
        auth: { partners: { api_key: { keys: keys.yaml } } }
        upstreams: { app: "{upstream}" }
        routes: [{ name: app, match: { path: /** }, auth: partners, upstream: app }]
    "#;
    Gateway::builder(yaml)
        .with("upstream", upstream.url())
        .file("keys.yaml", keys_yaml(&[key]))
        .argument("--drain")
        .argument("2s")
        .stdout(output)
        .start()
        .await
}

/// A key that makes lines long: the longer they are, the fewer requests fill what is kept of them.
fn wordy() -> ApiKey {
    ApiKey::of(&"\"".repeat(500)).id("k_wordy")
}

/// Asks `count` times, with a path of its own for each request.
async fn ask(gateway: &Gateway, key: &ApiKey, count: u32) {
    let mut connection = gateway.https().connect().await;
    for at in 0..count {
        connection.get(&format!("/{at}")).headers(&[key.header()]).await.assert_status(200);
    }
}

#[tokio::test]
async fn a_full_disk() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    let full = File::options().write(true).open("/dev/full").unwrap();
    let gateway = gateway(&upstream, &key, full).await;
    ask(&gateway, &key, 50).await;
    gateway.wait_for_count(DROPPED, &[], 50).await;
    ask(&gateway, &key, 50).await;
    gateway.wait_for_count(DROPPED, &[], 100).await;
    assert!(gateway.terminate().await.success());
}

#[tokio::test]
async fn a_reader_that_goes_away() {
    let (upstream, key) = (Upstream::start(), ApiKey::of("acme"));
    let (reader, writer) = std::io::pipe().unwrap();
    let gateway = gateway(&upstream, &key, writer).await;
    ask(&gateway, &key, 10).await;
    let mut lines = BufReader::new(reader);
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["path"], "/0");
    drop(lines);
    let before = gateway.metrics().await.sum(DROPPED, &[]).unwrap_or_default();
    ask(&gateway, &key, 10).await;
    gateway.wait_for_metric(DROPPED, &[], |count| count > before + 9.5).await;
    ask(&gateway, &key, 10).await;
    assert!(gateway.terminate().await.success());
}

/// Nothing is written while the pipe is full, so lines wait in memory, and are lost beyond a bound. Once they are read,
/// every one of them is whole, and none is missing that was not counted.
#[tokio::test]
async fn a_reader_that_pauses() {
    let (upstream, key) = (Upstream::start(), wordy());
    let (reader, writer) = std::io::pipe().unwrap();
    let gateway = gateway(&upstream, &key, writer).await;
    let request = Request::get(&format!("/{}", "\"".repeat(1000))).header("X-API-Key", &key.key);
    let load = Load::of(&gateway.https(), request).connections(4).start();
    while gateway.metrics().await.sum(DROPPED, &[]).unwrap() < 100.0 {
        load.wait_for_more(50).await;
    }
    let report = load.stop().await;
    report.assert_all(200);
    assert!(gateway.rss_bytes() < MEMORY, "{} bytes", gateway.rss_bytes());
    let lines = Arc::<Mutex<Vec<Value>>>::default();
    let reading = read_all(reader, lines.clone());
    // What was asked is either written or counted.
    gateway.wait_for_metric("portcullis_connections", &[], |count| count < 0.5).await;
    let dropped = gateway.metrics().await.sum(DROPPED, &[]).unwrap();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    let expected = usize::try_from(report.answered()).unwrap() - dropped as usize;
    eventually("the lines", || (lines.lock().unwrap().len() >= expected).then_some(())).await;
    ask(&gateway, &key, 5).await;
    assert!(gateway.terminate().await.success());
    reading.join().unwrap();
    let lines = lines.lock().unwrap();
    let paths: Vec<_> = lines.iter().map(|line| line["path"].as_str().unwrap()).collect();
    assert_eq!(paths.len(), expected + 5, "of {} requests, {dropped} are counted as lost", report.answered());
    assert_eq!(paths[expected..], ["/0", "/1", "/2", "/3", "/4"]);
}

/// The end is not held up for longer than the drain.
#[tokio::test]
async fn the_end_does_not_wait_for_a_reader_that_does_not_read() {
    let (upstream, key) = (Upstream::start(), wordy());
    let (reader, writer) = std::io::pipe().unwrap();
    let gateway = gateway(&upstream, &key, writer).await;
    ask(&gateway, &key, 100).await;
    gateway.signal(Signal::Terminate);
    assert!(gateway.ended().await.success());
    drop(reader);
}

/// Reads lines until the other side has ended; each must be one JSON object.
fn read_all(reader: PipeReader, lines: Arc<Mutex<Vec<Value>>>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(reader).lines() {
            let line = line.unwrap();
            let read = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            lines.lock().unwrap().push(read);
        }
    })
}

//! A real Prometheus that watches a gateway by the files in `deploy/prometheus`, with all their times made shorter.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::client::Client;
use super::deadline::within_time;
use super::port::ReservedPort;
use super::process::Process;

/// A running `prometheus`.
pub struct Prometheus {
    process: Process,
    client: Client,
    _port: ReservedPort,
    _directory: TempDir,
}

/// How long a test waits for Prometheus to see something: it looks five times a second, and may be kept waiting itself.
const SOON: Duration = Duration::from_secs(60);

/// What stands in the files, and what stands for it in a test.
const SHORTER: [(&str, &str); 9] = [
    ("_interval: 15s", "_interval: 200ms"),
    ("[5m]", "[3s]"),
    ("[10m]", "[5s]"),
    ("[15m]", "[5s]"),
    ("[30m]", "[10s]"),
    ("offset 10m", "offset 10s"),
    ("for: 1m", "for: 300ms"),
    ("for: 2m", "for: 300ms"),
    ("for: 30s", "for: 300ms"),
];

/// The times that alerts take to be sure, all of which become short.
const PATIENCE: [&str; 3] = ["for: 5m", "for: 10m", "for: 15m"];

fn shorter(text: &str) -> String {
    let text = SHORTER.iter().fold(text.to_owned(), |text, (long, short)| text.replace(long, short));
    PATIENCE.iter().fold(text, |text, long| text.replace(long, "for: 300ms"))
}

impl Prometheus {
    /// Starts one that scrapes the gateway whose admin listener is there.
    pub async fn start(gateway: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
        for name in ["prometheus.yml", "portcullis.rules.yml"] {
            let text = shorter(&std::fs::read_to_string(shipped.join(name)).unwrap());
            let text = text.replace("gateway:9180", &gateway.to_string());
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let port = ReservedPort::take();
        let mut command = Command::new("prometheus");
        command.current_dir(directory.path()).args([
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--log.level=warn",
            &format!("--web.listen-address={}", port.address()),
        ]);
        let process = Process::start(&mut command);
        let client = Client::plain(port.address());
        let prometheus = Self { process, client, _port: port, _directory: directory };
        let ready = async {
            loop {
                let answer = prometheus.client.get("/-/ready").outcome().await;
                if answer.is_ok_and(|answer| answer.status == 200) {
                    return;
                }
                let ended = prometheus.process.ended();
                assert!(ended.is_none(), "prometheus ended: {}", prometheus.process.stderr.text());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within_time(SOON, "Prometheus to be ready", ready).await;
        prometheus
    }

    /// The values of an expression now, those that are no numbers left out.
    pub async fn query(&self, expression: &str) -> Vec<f64> {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("query", expression).finish();
        let answer = self.client.get(&format!("/api/v1/query?{query}")).await;
        assert_eq!(answer.status, 200, "{expression}: {}", answer.text());
        let answer = answer.json();
        let result = answer["data"]["result"].as_array().unwrap();
        let values = result.iter().map(|series| series["value"][1].as_str().unwrap().parse::<f64>().unwrap());
        values.filter(|value| value.is_finite()).collect()
    }

    /// Waits until an expression has a value.
    pub async fn wait_for_data(&self, expression: &str) {
        let data = async {
            while self.query(expression).await.is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        within_time(SOON, format!("data of {expression}"), data).await;
    }

    /// The alerts that fire now, or are about to.
    pub async fn alerts(&self) -> Vec<Value> {
        let answer = self.client.get("/api/v1/alerts").await;
        answer.json()["data"]["alerts"].as_array().unwrap().clone()
    }

    /// Waits until all of these alerts fire. The first label of each, if it is not empty, must be among the alert's.
    pub async fn wait_for_alerts(&self, wanted: &[(&str, (&str, &str))]) {
        let fires = async {
            loop {
                let alerts = self.alerts().await;
                let missing: BTreeSet<_> = wanted
                    .iter()
                    .filter(|(name, (label, value))| {
                        !alerts.iter().any(|alert| {
                            alert["labels"]["alertname"] == *name
                                && alert["state"] == "firing"
                                && (label.is_empty() || alert["labels"][label] == *value)
                        })
                    })
                    .collect();
                if missing.is_empty() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        within_time(SOON, format!("{wanted:?} to fire"), fires).await;
    }
}

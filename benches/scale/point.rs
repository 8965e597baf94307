//! A gateway at one point of a dimension.

use std::time::{Duration, Instant};

use serde_json::json;

use super::dimension::{Load, Setup};
use super::loader::{Loader, Tls, in_turn};
use super::material::Material;
use super::process::{Gateway, binary};
use super::redis::Redis;

/// How long a gateway is warmed up each time before it is measured.
const WARM_UP: Duration = Duration::from_millis(200);

pub(crate) struct Point {
    gateway: Gateway,
    loader: Loader,
    streams: Vec<Tls>,
    at_once: usize,
    once: bool,
    ready_after: Duration,
    // They live as long as the gateway needs them.
    _material: Material,
    _redis: Option<Redis>,
}

impl Point {
    /// Starts it, and connects to it.
    pub(crate) async fn start(setup: Setup) -> Self {
        let Setup { mut files, threads, connections, at_once, load, revoked, first, once } = setup;
        let redis = revoked.map(|entries| {
            let redis = Redis::start();
            redis.revoke(0..entries, 86_400);
            let policy = &mut files[0].1;
            policy.push_str(&format!("redis: {{ url: \"redis://{}\" }}\n", redis.address()));
            policy.push_str("revocation: { store: redis, max_stale: 1h }\n");
            redis
        });
        let material = Material::new(&files);
        let requests = match load {
            Load::Ready(requests) => requests,
            Load::Signed(count) => {
                in_turn("/a", &(0..count).map(|at| bearer(&material, at)).collect::<Vec<_>>())
            }
        };
        let begin = Instant::now();
        let gateway = Gateway::start(binary(), threads, &material.configuration());
        let loader = Loader::new(gateway.address(), material.client(b"http/1.1"), requests, 200);
        // Until the revocation list has been read the answer is 503.
        while !loader.is_answered().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let ready_after = begin.elapsed();
        let mut streams = loader.open(connections).await;
        let mut sent = 0;
        while sent < first {
            let (idle, requests) = loader.drive(streams, at_once, WARM_UP).await;
            (streams, sent) = (idle, sent + requests);
        }
        Self { gateway, loader, streams, at_once, once, ready_after, _material: material, _redis: redis }
    }

    /// Microseconds of processor time for a request.
    #[expect(clippy::cast_precision_loss, reason = "counts of a few seconds are far below 2^53")]
    pub(crate) async fn sample(&mut self, seconds: Duration) -> f64 {
        let (warm_up, seconds) = if self.once { (ONCE, ONCE) } else { (WARM_UP, seconds) };
        let streams = std::mem::take(&mut self.streams);
        let (streams, _) = self.loader.drive(streams, self.at_once, warm_up).await;
        let before = self.gateway.processor_time();
        let (streams, requests) = self.loader.drive(streams, self.at_once, seconds).await;
        let spent = self.gateway.processor_time().saturating_sub(before);
        self.streams = streams;
        assert!(requests > 0, "nothing was answered");
        spent.as_secs_f64() * 1e6 / requests as f64
    }

    /// How long it took from the start of the process to the first good answer.
    pub(crate) fn ready_after(&self) -> Duration {
        self.ready_after
    }

    pub(crate) fn resident(&self) -> u64 {
        self.gateway.resident()
    }

    /// Whether a request takes longer than a round.
    pub(crate) fn is_slow(&self) -> bool {
        self.once
    }
}

/// So little time that one request is sent.
const ONCE: Duration = Duration::from_millis(1);

fn bearer(material: &Material, number: usize) -> String {
    let token = material.token(json!({
        "iss": "https://id.example.com", "aud": "api", "sub": format!("user-{number}"), "sid": format!("{number:020}"),
        "jti": format!("{number:032}"), "client_id": "web", "scope": "orders:read",
    }));
    format!("Authorization: Bearer {token}\r\n")
}

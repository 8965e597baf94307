//! Drives the real gateway over TLS and prints, for each kind of credential, requests per second and what a request costs
//! the gateway in processor time, beside the same request without authentication over the same version of HTTP.
//!
//! `cargo bench --bench end_to_end [-- SECONDS ROUNDS]`. The gateway runs with one worker thread; loader and upstream run
//! in this process. Rounds are interleaved and each is compared with itself, because a machine changes its speed; the
//! figures are medians, and many short rounds say more than few long ones. Processor time is the gateway's own, user and
//! system, from the operating system's account. At last it prints how much memory an idle connection takes.
//! `PORTCULLIS_BINARY` names another gateway than the one that is built: `make release` learns from it what the gateway
//! does most.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures, and stops with a reason when it cannot be set up"
)]

mod gateway;
mod http2;
#[path = "../stand/loader.rs"]
#[expect(dead_code, reason = "a gateway that listens here has read all that it needs")]
mod loader;
#[path = "../stand/material.rs"]
#[expect(dead_code, reason = "the files are for peers, too")]
mod material;
#[path = "../stand/process.rs"]
#[expect(dead_code, reason = "nothing changes while it is measured")]
mod process;
#[path = "../stand/upstream.rs"]
#[expect(dead_code, reason = "that nothing else comes is looked at beside peers")]
mod upstream;

use std::time::Duration;

use gateway::Scenario;
use http2::Connections;
use loader::{Loader, in_turn};
use material::Material;
use process::Gateway;
use upstream::Upstream;

/// Connections that are kept open without a request.
const IDLE_CONNECTIONS: usize = 400;

/// Connections that are kept busy.
const CONNECTIONS: usize = 32;

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let seconds = Duration::from_secs(numbers.first().copied().unwrap_or(1));
    let rounds = numbers.get(1).copied().unwrap_or(15);
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let upstream = Upstream::start().await;
        let material = gateway::material(upstream.address());
        let gateway = gateway::start(&material);
        let scenarios = gateway::scenarios(&material);
        let mut samples: Vec<Vec<Sample>> = scenarios.iter().map(|_| Vec::new()).collect();
        for round in 0..rounds {
            for (scenario, samples) in scenarios.iter().zip(&mut samples) {
                samples.push(if scenario.http2 {
                    over_http2(&gateway, &material, scenario, seconds).await
                } else {
                    over_http1(&gateway, &material, scenario, seconds).await
                });
            }
            println!("round {} of {rounds}", round + 1);
        }
        report(&scenarios, &samples);
        gateway.end();
        let bytes = idle(&material, &scenarios[0]).await;
        println!("\nan idle TLS connection takes {:.1} KiB of the gateway's memory", bytes / 1024.0);
    });
}

/// How long requests are sent before they count.
const WARM_UP: Duration = Duration::from_millis(500);

async fn over_http1(gateway: &Gateway, material: &Material, scenario: &Scenario, time: Duration) -> Sample {
    let loader = loader(gateway, material, scenario);
    let streams = loader.open(CONNECTIONS).await;
    let (streams, _) = loader.drive(streams, CONNECTIONS, WARM_UP).await;
    let before = gateway.processor_time();
    let (_, requests) = loader.drive(streams, CONNECTIONS, time).await;
    Sample::new(requests, time, gateway.processor_time().saturating_sub(before))
}

async fn over_http2(gateway: &Gateway, material: &Material, scenario: &Scenario, time: Duration) -> Sample {
    /// Requests under way on each of the connections, which are fewer than those of HTTP/1.1.
    const AT_ONCE: usize = 8;
    let connections =
        Connections::open(gateway.address(), material.client(b"h2"), CONNECTIONS / AT_ONCE).await;
    connections.drive(scenario, AT_ONCE, WARM_UP).await;
    let before = gateway.processor_time();
    let requests = connections.drive(scenario, AT_ONCE, time).await;
    Sample::new(requests, time, gateway.processor_time().saturating_sub(before))
}

/// How many bytes of a gateway's resident memory a connection takes that has had one answer and waits for the next request.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
async fn idle(material: &Material, scenario: &Scenario) -> f64 {
    let gateway = gateway::start(material);
    let loader = loader(&gateway, material, scenario);
    // What is allocated once, for the first connections, does not count.
    let streams = loader.open(CONNECTIONS).await;
    loader.drive(streams, CONNECTIONS, Duration::from_secs(1)).await;
    let before = gateway.resident();
    let open = loader.open(IDLE_CONNECTIONS).await;
    // The gateway gives buffers back when a connection has been still for a moment.
    tokio::time::sleep(Duration::from_secs(2)).await;
    gateway.resident().saturating_sub(before) as f64 / open.len() as f64
}

fn loader(gateway: &Gateway, material: &Material, scenario: &Scenario) -> Loader {
    let requests = in_turn(scenario.path, &scenario.credentials);
    Loader::new(gateway.address(), material.client(b"http/1.1"), requests, scenario.status)
}

/// One measurement.
#[derive(Clone, Copy)]
struct Sample {
    requests_per_second: f64,
    micros_per_request: f64,
}

impl Sample {
    #[expect(clippy::cast_precision_loss, reason = "counts of a few seconds are far below 2^53")]
    fn new(requests: u64, seconds: Duration, spent: Duration) -> Self {
        assert!(requests > 0, "nothing was answered");
        Self {
            requests_per_second: requests as f64 / seconds.as_secs_f64(),
            micros_per_request: spent.as_secs_f64() * 1e6 / requests as f64,
        }
    }
}

fn report(scenarios: &[Scenario], all: &[Vec<Sample>]) {
    let median = |values: &mut dyn Iterator<Item = f64>| {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!("\n| over TLS | requests/s | CPU µs per request | beside no authentication |");
    println!("|---|--:|--:|--:|");
    for (scenario, samples) in scenarios.iter().zip(all) {
        let rate = median(&mut samples.iter().map(|sample| sample.requests_per_second));
        let micros = median(&mut samples.iter().map(|sample| sample.micros_per_request));
        let base =
            scenarios.iter().position(|base| base.http2 == scenario.http2).map_or(samples, |at| &all[at]);
        // Each round is compared with itself: a machine that is slower in one of them is so for all that it measures.
        let ratio = median(
            &mut samples.iter().zip(base).map(|(own, base)| own.micros_per_request / base.micros_per_request),
        );
        println!("| {} | {rate:.0} | {micros:.1} | {ratio:.2} × |", scenario.name);
    }
}

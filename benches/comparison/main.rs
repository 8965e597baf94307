//! What a request costs this gateway in processor time, and what the same request costs HAProxy, nginx and Envoy.
//!
//! `make bench`, or `cargo bench --bench comparison`. Every gateway gets the same certificate, credentials and upstream, one
//! worker, and the same requests over TLS 1.3. First it is checked: a good credential is answered by the upstream, a bad one
//! with 401 and without the upstream. Then rounds are interleaved, the order turning with each, because a machine changes
//! its speed; the figures are medians. Processor time is that of the gateway's processes, user and system, as the operating
//! system tells it. A gateway that is not installed is left out, and the table says why. The table is printed and written
//! to `target/bench/peers.md`.
//!
//! `BENCH_SECONDS` (2) is how long one is measured at a time, `BENCH_ROUNDS` (15) how many times; `PORTCULLIS_BINARY` names
//! another gateway than the one that is built.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures, and stops with a reason when it cannot be set up"
)]

mod contestant;
mod cores;
mod envoy;
mod haproxy;
#[path = "../stand/loader.rs"]
#[expect(dead_code, reason = "a gateway that listens here has read all that it needs")]
mod loader;
#[path = "../stand/material.rs"]
mod material;
mod nginx;
mod ours;
#[path = "../stand/process.rs"]
#[expect(dead_code, reason = "peers are processes too, and started alike")]
mod process;
mod report;
mod setting;
#[path = "../stand/upstream.rs"]
#[expect(dead_code, reason = "it runs beside the loader")]
mod upstream;
mod work;

use std::time::{Duration, Instant};

use contestant::Contestant;
use report::{Sample, Samples};
use setting::Setting;
use upstream::Upstream;
use work::Work;

/// Connections that are kept busy.
const CONNECTIONS: usize = 64;

/// How long a gateway is warmed up each time before it is measured.
const WARM_UP: Duration = Duration::from_millis(300);

fn main() {
    let (seconds, rounds) = (setting("BENCH_SECONDS", 2), setting("BENCH_ROUNDS", 15));
    same_cryptography();
    cores::leave_to_contestants();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let upstream = Upstream::start().await;
        let setting = Setting::new(upstream.address());
        let contestants = [
            ours::start(&setting),
            haproxy::start(&setting),
            nginx::start(&setting),
            envoy::start(&setting, "Envoy", 0),
            envoy::start(&setting, "Envoy, caching tokens", 10_000),
        ];
        for contestant in &contestants {
            for work in Work::ALL {
                work::check(contestant, work, &setting, &upstream).await;
            }
        }
        let mut samples = Samples::new();
        for round in 0..rounds {
            for work in Work::ALL {
                for at in 0..contestants.len() {
                    let at = (at + round) % contestants.len();
                    if let Some(sample) = measure(&contestants[at], work, &setting, seconds).await {
                        samples.push(work, at, sample);
                    }
                }
            }
            println!("round {} of {rounds}", round + 1);
        }
        let table = report::table(&contestants, &samples, seconds, rounds);
        println!("\n{table}");
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench");
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::write(format!("{folder}/peers.md"), table).expect("a file");
    });
}

/// Drives a contestant for a while; nothing where it does not do that work.
async fn measure(contestant: &Contestant, work: Work, setting: &Setting, seconds: usize) -> Option<Sample> {
    let running = contestant.does(work).ok()?;
    let loader = work.loader(running.address, setting);
    let streams = loader.open(CONNECTIONS).await;
    let (streams, _) = loader.drive(streams, CONNECTIONS, WARM_UP).await;
    let (before, begin) = (running.processor_time(), Instant::now());
    let (_, requests) = loader.drive(streams, CONNECTIONS, Duration::from_secs(seconds as u64)).await;
    Some(Sample::new(requests, running.processor_time().saturating_sub(before), begin.elapsed()))
}

/// Clients offer one way of key exchange and one cipher only, so that all gateways do the same.
fn same_cryptography() {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites = vec![rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
    let _ = provider.install_default();
}

/// A number from the environment.
fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a whole number"))
}

//! What floods leave to clients that mean well: for each kind of flood, how long their requests take while it goes on, beside
//! calm moments right before and after, and how much memory the gateway has taken.
//!
//! `cargo bench --bench floods [-- SECONDS ROUNDS [KIND…]]`. Calm and flood take turns, because a machine changes its speed;
//! the figures are medians of all turns. A request's time counts from when it was due, so that one that waits
//! for others is not left out. A flood has a rate of its own, says the table, and a lower priority than everything else:
//! it stands for machines elsewhere, and must not take processor time away as none of those could. It comes from a new
//! address of `127.0.0.0/8` with every connection, so limits for each source do not end it. `PORTCULLIS_BINARY` names
//! another gateway than the one that is built.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures, and stops with a reason when it cannot be set up"
)]

mod client;
mod connection;
mod flood;
mod frames;
mod gateway;
#[path = "../stand/material.rs"]
#[expect(dead_code, reason = "the files are for peers, too")]
mod material;
#[path = "../stand/process.rs"]
#[expect(dead_code, reason = "it is time that counts here, not processor time")]
mod process;
#[path = "../stand/upstream.rs"]
#[expect(dead_code, reason = "that nothing else comes is looked at beside peers")]
mod upstream;

use std::time::Duration;

use client::Client;
use flood::Flood;
use material::Material;
use upstream::Upstream;

/// How long it is calm before that is measured.
const SETTLE: Duration = Duration::from_millis(300);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u32>().ok());
    let seconds = Duration::from_secs(number(0).unwrap_or(1).into());
    let rounds = number(1).unwrap_or(9);
    let kinds = arguments.get(2..).unwrap_or_default();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let upstream = Upstream::start_apart();
    let material = gateway::material(upstream.address());
    println!(
        "| flood | rate | calm p50 | p99 | flood p50 | p99 | p99 beside calm | memory | first flood | last |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    for flood in flood::all(&material) {
        if kinds.is_empty() || kinds.iter().any(|kind| flood.what.contains(kind.as_str())) {
            measure(&flood, &material, seconds, rounds);
        }
    }
}

/// Measures one kind of flood against a gateway of its own, and prints its line.
fn measure(flood: &Flood, material: &Material, seconds: Duration, rounds: u32) {
    let gateway = gateway::start(material);
    let client = Client::start(gateway.address(), material);
    client.measure(seconds);
    let before = mebibytes(gateway.resident());
    let (mut calm, mut flooded, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        // The calm before the flood and the calm after it are measured in turn.
        if round % 2 == 0 {
            calm.push(Times::of(client.measure(seconds)));
        }
        let running = flood.start(gateway.address(), material);
        std::thread::sleep(flood.settles);
        flooded.push(Times::of(client.measure(seconds)));
        memory.push(mebibytes(gateway.resident()));
        running.stop();
        std::thread::sleep(SETTLE);
        if round % 2 == 1 {
            calm.push(Times::of(client.measure(seconds)));
        }
    }
    // Each round is compared with itself: a machine that is busy with something else is so in both of its turns.
    let ratio = median(flooded.iter().zip(&calm).map(|(flooded, calm)| flooded.p99 / calm.p99));
    println!(
        "| {} | {} | {:.2} ms | {:.2} ms | {:.2} ms | {:.2} ms | {ratio:.2} × | {before:.0} MiB | {:.0} MiB | {:.0} MiB |",
        flood.what,
        flood.rate,
        median(calm.iter().map(|times| times.median)),
        median(calm.iter().map(|times| times.p99)),
        median(flooded.iter().map(|times| times.median)),
        median(flooded.iter().map(|times| times.p99)),
        memory.first().copied().unwrap_or_default(),
        memory.last().copied().unwrap_or_default(),
    );
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Of the requests of one turn, in milliseconds.
struct Times {
    median: f64,
    p99: f64,
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        assert!(times.len() >= 100, "too few requests for a percentile");
        let at = |index: usize| times[index].as_secs_f64() * 1e3;
        Self { median: at(times.len() / 2), p99: at(times.len() * 99 / 100) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

//! How long good requests take while the gateway is kept busy with changes: the policy is read again, keys are rotated,
//! revocations arrive, people log in; each beside calm moments in between.
//!
//! `make bench-tail`, or `cargo bench --bench tail [-- SECONDS ROUNDS]`. 480 requests a second are due at fixed times,
//! with every kind of credential, and a request's time counts from when it was due. Calm and unrest take turns. The ratio of the
//! p99 is the median over all pairs of turns; one turn has too few requests for a p99.9, so that is of all calm and of all
//! restless turns together. `PORTCULLIS_BINARY` names another gateway than the one that is built.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures, and stops with a reason when it cannot be set up"
)]

#[path = "../floods/client.rs"]
mod client;
#[path = "../floods/connection.rs"]
#[expect(dead_code, reason = "nothing is done by halves here")]
mod connection;
mod gateway;
#[path = "../stand/material.rs"]
#[expect(dead_code, reason = "tokens are signed with a secret here")]
mod material;
#[path = "../stand/process.rs"]
#[expect(dead_code, reason = "it is time that counts here, not processor time")]
mod process;
#[path = "../stand/redis.rs"]
mod redis;
#[path = "../stand/season.rs"]
#[expect(dead_code, reason = "the keys that requests carry stay")]
mod season;
mod unrest;
#[path = "../stand/upstream.rs"]
#[expect(dead_code, reason = "that nothing else comes is looked at beside peers")]
mod upstream;

use std::fmt::Write as _;
use std::time::Duration;

use client::Client;
use process::{Gateway, binary};
use redis::Redis;
use season::Season;
use unrest::{Scene, Unrest};
use upstream::Upstream;

/// How long it is calm, or not, before that is measured.
const SETTLE: Duration = Duration::from_millis(500);

fn main() {
    let numbers: Vec<u32> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let seconds = Duration::from_secs(numbers.first().copied().unwrap_or(3).into());
    let rounds = numbers.get(1).copied().unwrap_or(11);
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (upstream, redis) = (Upstream::start_apart(), Redis::start());
    let season = Season::new(upstream.address(), redis.address(), &unrest::users());
    println!(
        "| while | calm p50 | p99 | p99.9 | then p50 | p99 | p99.9 | p99 beside calm | p99.9 beside calm |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut notes = String::new();
    for unrest in Unrest::ALL {
        let logged_in = measure(unrest, &season, &redis, seconds, rounds);
        if unrest.includes(Unrest::LogIns) {
            let _ = writeln!(notes, "While {}, {logged_in:.0} were let in each second.", unrest.name());
        }
    }
    println!("\n{notes}");
}

/// Measures one kind of unrest with a gateway of its own, and prints its line. Returns how many logged in each second.
fn measure(unrest: Unrest, season: &Season, redis: &Redis, seconds: Duration, rounds: u32) -> f64 {
    let gateway = Gateway::start(binary(), 2, &season.material.configuration());
    gateway::wait_until_ready(gateway.address(), &season.material);
    let client = Client::start(gateway.address(), &season.material);
    client.measure(seconds);
    let mut scene = Scene::new(&gateway, season, redis);
    let (mut calm, mut restless, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let calm_first = round % 2 == 0;
        let mut before = if calm_first { client.measure(seconds) } else { Vec::new() };
        let mut during = scene.play(unrest, || {
            std::thread::sleep(SETTLE);
            client.measure(seconds)
        });
        std::thread::sleep(SETTLE);
        if !calm_first {
            before = client.measure(seconds);
        }
        ratios.push(quantile(&mut during, 0.99) / quantile(&mut before, 0.99));
        calm.append(&mut before);
        restless.append(&mut during);
    }
    ratios.sort_by(f64::total_cmp);
    let [calm, restless] =
        [calm, restless].map(|mut times| [0.5, 0.99, 0.999].map(|part| quantile(&mut times, part)));
    println!(
        "| {} | {:.2} ms | {:.2} ms | {:.2} ms | {:.2} ms | {:.2} ms | {:.2} ms | {:.2} × | {:.2} × |",
        unrest.name(),
        calm[0],
        calm[1],
        calm[2],
        restless[0],
        restless[1],
        restless[2],
        ratios[ratios.len() / 2],
        restless[2] / calm[2],
    );
    scene.logged_in()
}

/// The time that this part of the requests stays below, in milliseconds.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index below the number of times"
)]
fn quantile(times: &mut [Duration], part: f64) -> f64 {
    assert!(!times.is_empty(), "requests were answered");
    times.sort();
    let at = (times.len() as f64 * part) as usize;
    times[at.min(times.len() - 1)].as_secs_f64() * 1e3
}

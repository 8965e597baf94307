//! A day in fast motion, and whether the gateway's memory grows over it: connections come and go, every token is new, keys
//! are rotated and the policy is read again each second, and revocations arrive and expire.
//!
//! `make bench-soak`, or `cargo bench --bench soak`. `SOAK_MINUTES` (20) is how long it takes; `PORTCULLIS_BINARY` names
//! another gateway than the one that is built. Every request must be answered with 200, also those with a key that was
//! added a few seconds ago. Memory is looked at every five seconds. The run fails if the median of the last quarter is more than 5 %
//! above that of the second one; the first one is for caches to fill and for the allocator to settle. The series is
//! written to `target/bench/soak.csv`.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures, and stops with a reason when it cannot be set up"
)]

#[path = "../stand/loader.rs"]
#[expect(dead_code, reason = "requests are sent at a fixed rate here")]
mod loader;
#[path = "../stand/material.rs"]
#[expect(dead_code, reason = "tokens are signed with a secret here, because that takes less time")]
mod material;
#[path = "../stand/process.rs"]
#[expect(dead_code, reason = "it is memory that counts here")]
mod process;
#[path = "../stand/redis.rs"]
mod redis;
#[path = "../stand/season.rs"]
mod season;
mod traffic;
#[path = "../stand/upstream.rs"]
#[expect(dead_code, reason = "that nothing else comes is looked at beside peers")]
mod upstream;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use process::{Gateway, binary};
use redis::Redis;
use season::Season;
use traffic::Traffic;
use upstream::Upstream;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Revocations each second, and how many seconds each of them holds.
const REVOKED: u64 = 200;
const REVOKED_FOR: u32 = 30;

/// How much more memory the last quarter may take than the second one.
const GROWTH: f64 = 1.05;

fn main() {
    let minutes: f64 =
        std::env::var("SOAK_MINUTES").map_or(20.0, |text| text.parse().expect("a number of minutes"));
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let series = runtime.block_on(soak(Duration::from_secs_f64(minutes * 60.0)));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut lines = String::from("seconds,resident_mib\n");
    for (at, mebibytes) in &series {
        let _ = writeln!(lines, "{:.0},{mebibytes:.1}", at.as_secs_f64());
    }
    std::fs::write(folder.join("soak.csv"), lines).expect("a file");
    judge(&series);
}

/// Lets the time pass, and returns how much memory there was when.
async fn soak(time: Duration) -> Vec<(Duration, f64)> {
    let (upstream, redis) = (Upstream::start().await, Redis::start());
    let user = format!("alice:{}\n", bcrypt::hash("hunter2", 10).expect("a hash"));
    let season = Arc::new(Season::new(upstream.address(), redis.address(), &user));
    let gateway = Gateway::start(binary(), 2, &season.material.configuration());
    let mut traffic = Traffic::start(gateway.address(), &season).await;
    let (mut seconds, mut looks) = (interval(Duration::from_secs(1)), interval(LOOK));
    // A machine that was busy does not have to make up for it.
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (begin, mut series, mut revoked) = (Instant::now(), Vec::new(), 0);
    while begin.elapsed() < time {
        tokio::select! {
            _ = seconds.tick() => {
                season.rotate_keys();
                season.change_policy();
                gateway.reload();
                redis.revoke(revoked..revoked + REVOKED, REVOKED_FOR);
                revoked += REVOKED;
            }
            _ = looks.tick() => series.push((begin.elapsed(), mebibytes(gateway.resident()))),
            () = traffic.fails() => unreachable!("traffic goes on until it fails"),
        }
    }
    println!(
        "{} requests, {} connections, {} reloads and rotations, {revoked} revocations in {:.0} minutes",
        traffic.requests(),
        traffic.connections(),
        season.rotations(),
        time.as_secs_f64() / 60.0,
    );
    series
}

fn judge(series: &[(Duration, f64)]) {
    assert!(series.len() >= 8, "too short to judge");
    let quarter = |number: usize| {
        let part = &series[series.len() * number / 4..series.len() * (number + 1) / 4];
        let mut values: Vec<f64> = part.iter().map(|(_, mebibytes)| *mebibytes).collect();
        values.sort_by(f64::total_cmp);
        (values[0], values[values.len() / 2], values[values.len() - 1])
    };
    println!("\n| quarter | least | median | most |\n|--:|--:|--:|--:|");
    for number in 0..4 {
        let (least, median, most) = quarter(number);
        println!("| {} | {least:.1} MiB | {median:.1} MiB | {most:.1} MiB |", number + 1);
    }
    let growth = quarter(3).1 / quarter(1).1;
    println!("\nthe last quarter beside the second: {growth:.3} ×");
    assert!(growth <= GROWTH, "memory grows: {growth:.3} × is more than {GROWTH} ×");
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

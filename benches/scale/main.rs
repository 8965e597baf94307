//! How the cost of a request grows with what there is: routes, API keys, revocations, tokens, connections, threads, bytes.
//!
//! `make bench-scale`, or `cargo bench --bench scale [-- --points small] [DIMENSION…]`. Every point has a gateway of its own
//! beside a second one at the dimension's first point, and the two are measured in turn, because a machine changes its
//! speed: what counts is the ratio, the median of all rounds. That of the first point, two equal gateways, tells how much of
//! a ratio is noise. Prints a Markdown table for each dimension and writes them to `target/bench/scale.md`, with a plot of each.
//!
//! `BENCH_SECONDS` (1) is how long one is measured at a time, `BENCH_ROUNDS` (7) how many times; `PORTCULLIS_BINARY` names
//! another gateway than the one that is built. Revocations need a `redis-server`.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints its figures, and stops with a reason when it cannot be set up"
)]

mod dimension;
#[path = "../stand/loader.rs"]
mod loader;
#[path = "../stand/material.rs"]
#[expect(dead_code, reason = "the files are for peers, too")]
mod material;
mod plot;
mod point;
#[path = "../stand/process.rs"]
#[expect(dead_code, reason = "nothing changes while it is measured")]
mod process;
#[path = "../stand/redis.rs"]
mod redis;
mod report;
#[path = "../stand/upstream.rs"]
#[expect(dead_code, reason = "that nothing else comes is looked at beside peers")]
mod upstream;

use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

use dimension::{Dimension, Points};
use point::Point;
use report::Row;
use upstream::Upstream;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let (options, names): (Vec<_>, Vec<_>) =
        arguments.iter().map(String::as_str).partition(|argument| matches!(*argument, "--points" | "small"));
    let points = if options.contains(&"small") { Points::Few } else { Points::All };
    let wanted = |name| names.is_empty() || names.contains(&name);
    let (seconds, rounds) = (setting("BENCH_SECONDS", 1), setting("BENCH_ROUNDS", 7));
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    allow_many_files();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    std::fs::create_dir_all(&folder).expect("a folder");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let upstream = Upstream::start().await;
        let mut report = String::new();
        for dimension in dimension::all().iter().filter(|dimension| wanted(dimension.name)) {
            let mut rows = Vec::new();
            for &size in dimension.points(points) {
                rows.push(measure(dimension, size, &upstream, Duration::from_secs(seconds), rounds).await);
                println!("{}: {size}", dimension.name);
            }
            let table = report::table(dimension, &rows);
            println!("\n{table}");
            report.push_str(&table);
            let drawn = rows.iter().map(|row| (row.size, row.ratio)).collect::<Vec<_>>();
            let plot = plot::svg(&format!("cost of a request by {}", dimension.name), dimension.unit, &drawn);
            std::fs::write(folder.join(format!("scale-{}.svg", dimension.name)), plot).expect("a file");
        }
        std::fs::write(folder.join("scale.md"), report).expect("a file");
    });
}

/// Measures one point beside the first one of its dimension.
async fn measure(
    dimension: &Dimension,
    size: u64,
    upstream: &Upstream,
    seconds: Duration,
    rounds: u64,
) -> Row {
    let mut base = Point::start((dimension.setup)(upstream.address(), dimension.base())).await;
    let mut point = Point::start((dimension.setup)(upstream.address(), size)).await;
    let (mut costs, mut ratios) = (Vec::new(), Vec::new());
    for round in 0..if point.is_slow() { 1 } else { rounds } {
        // Which of the two is measured first takes turns, too.
        let (of_base, of_point) = if round % 2 == 0 {
            let of_base = base.sample(seconds).await;
            (of_base, point.sample(seconds).await)
        } else {
            let of_point = point.sample(seconds).await;
            (base.sample(seconds).await, of_point)
        };
        costs.push(of_point);
        ratios.push(of_point / of_base);
    }
    Row {
        size,
        micros: median(costs),
        ratio: median(ratios),
        ready_after: point.ready_after(),
        resident: point.resident(),
        base_resident: base.resident(),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a whole number"))
}

/// Ten thousand connections are as many open files here.
fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

//! The targets of the fuzzer as plain tests: each runs on its seeds, and on variations of them which are the same in every
//! run. `scripts/fuzz` searches further, where a nightly toolchain is at hand.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    unreachable_pub,
    reason = "all of this is a test, also where it is not in a test function"
)]

#[path = "fuzz/targets.rs"]
mod targets;

use std::path::Path;

/// Pieces that mean something to one of the readers.
const PIECES: [&[u8]; 43] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"/",
    b"..",
    b"%2e",
    b"%2F",
    b"%00",
    b"\\",
    b"//",
    b"?",
    b"#",
    b"@",
    b"\xff",
    b"\xc3\xa9",
    b"0",
    b"18446744073709551616",
    b"-1",
    b"chunked",
    b"Content-Length: 7\r\n",
    b"Host: b\r\n",
    b"\"",
    b"\\u0000",
    b"{}",
    b"[",
    b"KEY",
    b"$3\r\n",
    b"*2\r\n",
    b"|1\r\n",
    b"=-1\r\n",
    b"+\n",
    b" 0-16383",
    b" myself,master",
    b"->-",
    b"for=",
    b", for=10.0.0.2",
    b"=\"",
];

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(name);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Runs a target on its seeds and on `variations` of them.
fn run(name: &str, variations: usize) {
    let target = targets::ALL.iter().find(|(known, _)| *known == name).unwrap().1;
    let seeds = seeds(name);
    assert!(seeds.len() >= 5, "{name} has {} seeds", seeds.len());
    for seed in &seeds {
        target(seed);
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..variations {
        let mut input = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            vary(&mut input, &seeds, &mut random);
        }
        target(&input);
    }
}

fn vary(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let end = (at + random.below(8)).min(input.len());
    match random.below(5) {
        0 => drop(input.drain(at..end)),
        1 => drop(input.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied())),
        2 => drop(input.splice(at..end, PIECES[random.below(PIECES.len())].iter().copied())),
        3 if at < input.len() => input[at] = u8::try_from(random.below(256)).unwrap(),
        _ => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
    }
}

/// The same numbers in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % limit
    }
}

#[test]
fn answers_of_redis() {
    run("answers", 20_000);
}

#[test]
fn chunked_bodies() {
    run("chunks", 20_000);
}

#[test]
fn configurations() {
    run("configuration", 300);
}

#[test]
fn credentials() {
    run("credential", 20_000);
}

#[test]
fn decisions() {
    run("decision", 10_000);
}

#[test]
fn entries_of_the_revocation_list() {
    run("entry", 20_000);
}

#[test]
fn files_beside_the_configuration() {
    run("files", 300);
}

#[test]
fn forwarded_lines() {
    run("forwarded", 20_000);
}

#[test]
fn heads() {
    run("head", 20_000);
}

#[test]
fn nodes_of_a_cluster() {
    run("nodes", 20_000);
}

#[test]
fn request_targets() {
    run("target", 20_000);
}

#[test]
fn tokens() {
    run("token", 10_000);
}

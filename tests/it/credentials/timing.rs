//! How long a refusal takes must not tell what was right about the credential.
//!
//! The decision is measured in this process, where a difference that no network would let through still shows. Samples of
//! both kinds take turns in random order, and each round compares means without their tails, so that a busy machine disturbs both
//! alike. Something is said to leak when every round shows it; a comparison that does leak shows that this is seen.

use std::hint::black_box;
use std::time::{Duration, Instant};

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand;
use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis::authn::password::HashingPool;
use portcullis::clock::Clock;
use portcullis::config::{Configuration, Services};
use portcullis::request::{Connection, Parts, Request, Transport};
use portcullis::telemetry::metrics::Metrics;
use tokio::runtime::Runtime;

use crate::harness::credentials::{ApiKey, basic, keys_yaml};

const NOW: u64 = 1_800_000_000;
const KEY: &str = "0123456789abcdef0123456789abcdef";
const YAML: &str = r#"
version: 1
listen: [{ address: "127.0.0.1:0", plaintext: true }]
limits: { failed_attempts: { source: unlimited, principal: unlimited } }
upstreams: { api: builtin:echo }
auth:
  partners: { api_key: { keys: keys.yaml } }
  staff: { basic: { users: staff.htpasswd, realm: Tools } }
  guests: { basic: { users: guests.htpasswd, realm: Tools } }
routes:
  - { name: staff, match: { path: /staff }, auth: [partners, staff], upstream: api }
  - { name: guests, match: { path: /guest }, auth: guests, upstream: api }
"#;

/// A policy, compiled as the gateway does it, with a thread that hashes passwords.
struct Decision {
    configuration: Configuration,
    connection: Connection,
    runtime: Runtime,
    _kept: (tempfile::TempDir, HashingPool),
}

/// The passes that the hashes of these files make: what a password costs.
const STAFF_PASSES: u32 = 1;
const GUEST_PASSES: u32 = 8;

impl Decision {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("keys.yaml", &keys_yaml(&[&ApiKey::from_text("acme", KEY)]));
        write("staff.htpasswd", &users("staff", STAFF_PASSES));
        write("guests.htpasswd", &users("guest", GUEST_PASSES));
        write("gateway.yaml", YAML);
        let (hashing, worker) = HashingPool::new();
        std::thread::spawn(move || worker.run());
        let services = Services {
            clock: Clock::manual(NOW),
            environment: &|_| None,
            metrics: Metrics::new("0", "0").unwrap(),
            hashing: hashing.clone(),
        };
        let configuration = Configuration::load(&folder.path().join("gateway.yaml"), &services, None);
        let configuration =
            configuration.unwrap_or_else(|refused| panic!("{}", refused.problems.render(false)));
        Self {
            configuration,
            connection: Connection {
                peer: [127, 0, 0, 1].into(),
                transport: Transport::Tls,
                certificate: None,
            },
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            _kept: (folder, hashing),
        }
    }

    /// How long it takes to refuse a request with this field.
    fn refuse(&self, path: &str, name: &'static str, value: &str) -> Duration {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("localhost"));
        headers.insert(HeaderName::from_static(name), HeaderValue::try_from(value).unwrap());
        let parts = Parts {
            method: "GET",
            target: path.as_bytes(),
            authority: None,
            headers: &headers,
            connection: &self.connection,
        };
        let request = Request::parse(parts).unwrap();
        let begun = Instant::now();
        let verdict = self.runtime.block_on(self.configuration.gateway.admit(&request, NOW));
        let took = begun.elapsed();
        assert!(verdict.is_err(), "{name}: {value}");
        took
    }
}

/// Users of the least memory that argon2id takes, so that tens of thousands of passwords can be tried.
fn users(name: &str, passes: u32) -> String {
    let params = Params::new(64, passes, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let line = |at: usize| {
        let salt = format!("{name} number {at:06}");
        let hash = argon2.hash_password_with_salt(b"correct horse", salt.as_bytes()).unwrap();
        format!("{name}-{at}:{hash}\n")
    };
    (0..64).map(line).collect()
}

fn random(below: usize) -> usize {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).unwrap();
    usize::try_from(u64::from_le_bytes(bytes) % below as u64).unwrap()
}

/// How many samples of both kinds together a round takes.
const SAMPLES: usize = 10_000;
/// And where it is shown that a leak would be seen.
const FEW_SAMPLES: usize = 1_000;
const ROUNDS: usize = 3;

/// What a round showed about the second kind against the first.
#[derive(Clone, Copy, Debug)]
struct Difference {
    /// In standard errors.
    t: f64,
    /// As a part of what the first takes.
    relative: f64,
}

/// Takes samples of both kinds in random order.
fn round(samples: usize, measure: &mut impl FnMut(bool) -> Duration) -> Difference {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..samples / 2 {
        let turned = random(2) == 1;
        for kind in [turned, !turned] {
            let took = measure(kind).as_secs_f64();
            if kind { second.push(took) } else { first.push(took) }
        }
    }
    let ((mean, variance), (other, other_variance)) = (trimmed(&mut first), trimmed(&mut second));
    Difference { t: (other - mean) / (variance + other_variance).sqrt(), relative: (other - mean) / mean }
}

/// The mean without the quarters at both ends, and the square of its standard error: Yuen, Biometrika 61 (1974), 165-170.
#[expect(clippy::cast_precision_loss, reason = "there are some thousands")]
fn trimmed(samples: &mut [f64]) -> (f64, f64) {
    samples.sort_unstable_by(f64::total_cmp);
    let cut = samples.len() / 4;
    let kept = samples.len() - 2 * cut;
    let mean = samples[cut..samples.len() - cut].iter().sum::<f64>() / kept as f64;
    let (lowest, highest) = (samples[cut], samples[samples.len() - cut - 1]);
    let winsorised = samples.iter().map(|sample| sample.clamp(lowest, highest));
    let centre = winsorised.clone().sum::<f64>() / samples.len() as f64;
    let squares: f64 = winsorised.map(|sample| (sample - centre).powi(2)).sum();
    (mean, squares / (kept as f64 * (kept as f64 - 1.0)))
}

/// Whether every round of so many samples shows a difference of more than eight standard errors, always in the same
/// direction, that is larger than `tolerated`.
fn leaks(samples: usize, tolerated: f64, mut measure: impl FnMut(bool) -> Duration) -> bool {
    let first = round(samples, &mut measure);
    let shows = |difference: Difference| {
        let sign = first.t.signum();
        sign * difference.t > 8.0 && sign * difference.relative > tolerated
    };
    shows(first) && (1..ROUNDS).all(|_| shows(round(samples, &mut measure)))
}

/// Whether a leak that is there is seen, in one of a few tries: a machine that is busy hides it for a while.
fn is_seen(samples: usize, tolerated: f64, mut measure: impl FnMut(bool) -> Duration) -> bool {
    (0..10).any(|_| leaks(samples, tolerated, &mut measure))
}

/// K04, CVE-2026-40263: whether there is such a user, beside users whose hashes cost little and beside those of others. What
/// an unknown name costs where they are mixed is settled without a clock, beside the code that decides it.
#[test]
fn a_user_who_does_not_exist_takes_as_long_as_one_who_does() {
    let decision = Decision::new();
    let attempt = |kind: &str, user: &str| {
        let pair = basic(user, &format!("wrong-{:09}", random(1_000_000_000)));
        decision.refuse(&format!("/{kind}"), "authorization", &pair)
    };
    let known = |kind: &str| attempt(kind, &format!("{kind}-{}", random(64)));
    let unknown = |kind: &str| attempt(kind, &format!("other-{}", random(64)));
    for kind in ["staff", "guest"] {
        let leak = leaks(SAMPLES, 0.1, |exists| if exists { known(kind) } else { unknown(kind) });
        assert!(!leak, "whether a user exists shows in the time, beside users of {kind}");
    }
    let other_cost =
        is_seen(FEW_SAMPLES, 0.1, |exists| if exists { known("staff") } else { unknown("guest") });
    assert!(other_cost, "an unknown user who costs what nobody costs is not seen");
    let nothing = is_seen(FEW_SAMPLES, 0.1, |exists| {
        if exists { known("staff") } else { decision.refuse("/staff", "x-api-key", KEY_OF_NOBODY) }
    });
    assert!(nothing, "an unknown user for whom nothing is hashed is not seen");
}

const KEY_OF_NOBODY: &str = "ffffffffffffffffffffffffffffffff";

/// K03: how much of a guessed key is right, in 32 steps.
#[test]
fn a_key_that_shares_more_with_a_real_one_takes_no_longer() {
    let decision = Decision::new();
    // The real key up to this letter, and from there on letters that it does not have there.
    let guess = |shared: usize| -> String {
        let other = |letter: char| char::from(b'g' + u8::try_from(letter.to_digit(16).unwrap()).unwrap());
        KEY.chars().enumerate().map(|(at, letter)| if at < shared { letter } else { other(letter) }).collect()
    };
    let shared = |much: bool| random(KEY.len() / 2) + if much { KEY.len() / 2 } else { 0 };
    assert!(
        !leaks(SAMPLES, 0.0, |much| decision.refuse("/staff", "x-api-key", &guess(shared(much)))),
        "the time tells"
    );
    let leaking = is_seen(SAMPLES, 0.0, |much| {
        let guess = guess(shared(much));
        let begun = Instant::now();
        let compared =
            black_box(&*guess).bytes().zip(KEY.bytes()).all(|(left, right)| black_box(left) == right);
        let took = begun.elapsed();
        assert!(!compared);
        decision.refuse("/staff", "x-api-key", &guess) + took
    });
    assert!(leaking, "a comparison that stops at the first difference is not seen");
}

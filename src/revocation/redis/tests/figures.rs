//! How long things take. The bounds are generous, since this also runs without optimisation and beside other tests; the
//! figures are printed.

use std::time::{Duration, Instant};

use super::super::fixture::{Following, Redis};
use super::changes::fill;
use super::token;
use crate::authn::revocable::Kind;
use crate::revocation::Standing::{Good, Revoked};

/// R01: from the answer to a `SET` until it is enforced.
#[tokio::test(flavor = "multi_thread")]
async fn propagation() {
    const TIMES: usize = 2_000;
    let redis = Redis::start();
    let following = Following::ready(&redis).await;
    let revocations = following.list.under(crate::revocation::Policy::default());
    // The writer is a thread of its own that looks without a pause, so that only the way through Redis is measured.
    let mut client = redis.client();
    let measure = move || {
        let mut times = Vec::with_capacity(TIMES);
        for number in 0..TIMES {
            let credential = token("alice", &format!("t{number}"));
            assert_eq!(revocations.standing(&credential), Good);
            let key = format!("portcullis:revoked:jti:*:t{number}");
            redis::cmd("SET").arg(key).arg("").arg("EX").arg(3600).exec(&mut client).unwrap();
            let start = Instant::now();
            while revocations.standing(&credential) != Revoked {
                assert!(start.elapsed() < Duration::from_secs(10), "{number}");
                std::thread::yield_now();
            }
            times.push(start.elapsed());
        }
        times.sort();
        times
    };
    let times = tokio::task::spawn_blocking(measure).await.unwrap();
    let (median, slow, worst) = (times[TIMES / 2], times[TIMES * 99 / 100], times[TIMES - 1]);
    println!("propagation: median {median:?}, 99 % {slow:?}, maximum {worst:?}");
    assert!(median < Duration::from_millis(50) && worst < Duration::from_secs(1), "{median:?} {worst:?}");
}

/// Where an entry carries a time, its way here is measured.
#[tokio::test(flavor = "multi_thread")]
async fn propagation_is_a_metric() {
    let redis = Redis::start();
    let following = Following::ready(&redis).await;
    let now = crate::clock::Clock::system().unix_millis();
    let precise = format!("{}.{:03}", now / 1000, now % 1000);
    for (subject, time) in [("alice", precise.as_str()), ("bob", &(now / 1000).to_string()), ("old", "1000")]
    {
        redis.run(&["SET", &format!("portcullis:revoked:sub:{subject}"), time]);
        following.stands(&crate::authn::revocable::Revocable::new(subject, None), Revoked).await;
    }
    assert_eq!(following.series("portcullis_revocation_propagation_seconds_count"), "2");
    let sum: f64 = following.series("portcullis_revocation_propagation_seconds_sum").parse().unwrap();
    assert!(sum < 5.0, "{sum}");
    let count = || following.series("portcullis_revocation_entries{kind=\"sub\"}");
    super::super::fixture::until("three entries", || count() == "3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_entries_are_read_quickly() {
    let redis = Redis::start();
    fill(&redis, "t", 100_000);
    let start = Instant::now();
    let following = Following::ready(&redis).await;
    let took = start.elapsed();
    println!("100,000 entries were read in {took:?}");
    assert_eq!(following.list.mirror.count(Kind::Jti), 100_000);
    assert_eq!(following.standing(&token("alice", "t99999")), Revoked);
    assert!(took < Duration::from_secs(15), "{took:?}");
}

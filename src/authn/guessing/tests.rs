//! Guesses as rows: who tries to be whom, when, and whether they are heard.

use super::guess::KNOWN_FOR;
use super::*;
use crate::units::Quota;

const SECOND: u64 = MICROS;

fn quota(text: &str) -> Quota {
    text.parse().unwrap()
}

fn limiter(source: &str, principal: &str) -> Limiter {
    Limiter::new(Memory::with_entries(1 << 10), quota(source), quota(principal))
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Makes wrong attempts until one is refused, and says how many were made and after how long another one may be.
fn exhaust(limiter: &Limiter, kind: Kind, source: &str, user: &str, now: u64) -> (u32, u32) {
    for made in 0..100_000 {
        let guess = limiter.guess(kind, address(source), user.as_bytes());
        match guess.check_at(now).and_then(|_standing| guess.take_at(now)) {
            Ok(taken) => taken.was_wrong_at(now),
            Err(TooMany { retry_after }) => return (made, retry_after),
        }
    }
    panic!("nothing is refused");
}

fn is_heard(limiter: &Limiter, source: &str, user: &str, now: u64) -> bool {
    let guess = limiter.guess(Kind::Password, address(source), user.as_bytes());
    let checked = guess.check_at(now).is_ok();
    let taken = guess.take_at(now).map(Taken::was_right);
    assert_eq!(checked, taken.is_ok(), "both ways to ask agree");
    checked
}

#[test]
fn a_source_is_heard_as_often_as_the_quota_says() {
    let limiter = limiter("20/m", "unlimited");
    assert_eq!(exhaust(&limiter, Kind::Password, "192.0.2.1", "alice", 0), (20, 3));
    assert!(!is_heard(&limiter, "192.0.2.1", "bob", 2 * SECOND), "whoever it says it is");
    assert!(is_heard(&limiter, "192.0.2.2", "alice", 0));
    assert_eq!(exhaust(&limiter, Kind::Password, "192.0.2.1", "alice", 3 * SECOND), (1, 3));
    assert_eq!(exhaust(&limiter, Kind::Password, "192.0.2.1", "alice", 3600 * SECOND), (20, 3));
}

#[test]
fn each_kind_of_credential_has_its_own_budget() {
    let limiter = limiter("20/m", "20/m");
    assert_eq!(exhaust(&limiter, Kind::Token, "192.0.2.1", "", 0), (1_000, 1));
    assert_eq!(exhaust(&limiter, Kind::Key, "192.0.2.1", "one", 0), (20, 3));
    assert_eq!(exhaust(&limiter, Kind::Password, "192.0.2.1", "alice", 0), (20, 3));
}

#[test]
fn a_network_of_ipv6_is_one_source_and_mapped_addresses_are_ipv4() {
    let limiter = limiter("20/m", "unlimited");
    exhaust(&limiter, Kind::Password, "2001:db8::1", "alice", 0);
    assert!(!is_heard(&limiter, "2001:db8::ffff:1", "alice", 0));
    assert!(is_heard(&limiter, "2001:db8:0:1::1", "alice", 0));
    exhaust(&limiter, Kind::Password, "192.0.2.1", "alice", 0);
    assert!(!is_heard(&limiter, "::ffff:192.0.2.1", "alice", 0));
    assert!(!is_heard(&limiter, "64:ff9b::192.0.2.1", "alice", 0), "and so are translated ones");
    assert!(is_heard(&limiter, "64:ff9b::192.0.2.2", "alice", 0));
}

#[test]
fn a_site_of_ipv6_has_no_more_than_a_few_sources_worth() {
    let limiter = limiter("20/m", "unlimited");
    let made: u32 = (0..100)
        .map(|network| exhaust(&limiter, Kind::Password, &format!("2001:db8:1:{network:x}::1"), "alice", 0).0)
        .sum();
    assert_eq!(made, 20 * 16);
    assert!(is_heard(&limiter, "2001:db8:2::1", "alice", 0));
}

#[test]
fn a_source_that_signed_in_is_heard_when_its_neighbours_are_not() {
    let limiter = limiter("20/m", "20/m");
    limiter.guess(Kind::Password, address("192.0.2.1"), b"alice").succeeded();
    exhaust(&limiter, Kind::Password, "192.0.2.1", "mallory", 0);
    assert!(is_heard(&limiter, "192.0.2.1", "alice", 0));
    assert!(!is_heard(&limiter, "192.0.2.1", "bob", 0), "who has not signed in from there");
    assert_eq!(exhaust(&limiter, Kind::Password, "192.0.2.1", "alice", 0).0, 20, "but may not guess either");
    assert!(!is_heard(&limiter, "192.0.2.1", "alice", 0));
    let tomorrow = KNOWN_FOR + 3600 * SECOND;
    exhaust(&limiter, Kind::Password, "192.0.2.1", "mallory", tomorrow);
    assert!(!is_heard(&limiter, "192.0.2.1", "alice", tomorrow), "it was forgotten");
}

#[test]
fn a_known_source_may_not_guess_either_whatever_the_policy_says_of_principals() {
    let limiter = limiter("20/m", "unlimited");
    limiter.guess(Kind::Password, address("192.0.2.1"), b"alice").succeeded();
    assert_eq!(exhaust(&limiter, Kind::Password, "192.0.2.1", "alice", 0), (20, 3));
}

#[test]
fn what_was_taken_is_what_is_given_back() {
    let limiter = limiter("3/h", "3/h");
    for _ in 0..10 {
        let guess = limiter.guess(Kind::Password, address("192.0.2.1"), b"alice");
        let (one, other) = (guess.take_at(0).unwrap(), guess.take_at(0).unwrap());
        one.was_right();
        // What is known by now was not when the other one began.
        guess.succeeded();
        other.was_right();
    }
    let state = limiter.state();
    assert_eq!(state, State::default());
    assert_eq!(exhaust(&limiter, Kind::Password, "192.0.2.1", "bob", 0).0, 3);
}

#[test]
fn guesses_of_others_lock_nobody_out_and_gain_each_of_them_one_attempt() {
    let limiter = limiter("unlimited", "20/m");
    assert_eq!(exhaust(&limiter, Kind::Password, "192.0.2.1", "alice", 0).0, 20);
    for host in 2..100 {
        let source = format!("192.0.2.{host}");
        assert!(is_heard(&limiter, &source, "alice", 0), "{source} has done nothing");
        assert_eq!(exhaust(&limiter, Kind::Password, &source, "alice", 0), (1, 3), "{source}");
        assert!(is_heard(&limiter, &source, "bob", 0), "{source} may still be somebody else");
    }
    // A minute is what a full bucket takes to run empty, and others keep this one full.
    for second in 1..60 {
        exhaust(&limiter, Kind::Password, "198.51.100.1", "alice", second * SECOND);
        let made = exhaust(&limiter, Kind::Password, "192.0.2.7", "alice", second * SECOND).0;
        assert!(made == 0 || second >= 57, "another one after {second} s");
    }
    limiter.guess(Kind::Password, address("192.0.2.200"), b"alice").succeeded();
    assert_eq!(exhaust(&limiter, Kind::Password, "192.0.2.200", "alice", 0).0, 20, "a known one may err");
}

#[test]
fn what_was_right_is_given_back() {
    let limiter = limiter("20/m", "20/m");
    for _ in 0..1_000 {
        limiter.guess(Kind::Password, address("192.0.2.1"), b"alice").take_at(0).unwrap().was_right();
    }
    assert_eq!(limiter.state(), State::default());
    assert_eq!(exhaust(&limiter, Kind::Password, "192.0.2.1", "alice", 0).0, 20);
}

#[test]
fn a_refused_attempt_counts_for_nothing() {
    let limiter = limiter("20/m", "5/m");
    exhaust(&limiter, Kind::Password, "192.0.2.1", "alice", 0);
    for _ in 0..1_000 {
        assert!(!is_heard(&limiter, "192.0.2.1", "alice", 0));
    }
    assert_eq!(
        exhaust(&limiter, Kind::Password, "192.0.2.1", "bob", 0).0,
        5,
        "the source had failed five times"
    );
    assert!(is_heard(&limiter, "192.0.2.1", "alice", 12 * SECOND), "one twelve seconds later");
}

#[test]
fn without_quotas_nothing_is_refused() {
    let limiter = limiter("unlimited", "unlimited");
    for _ in 0..10_000 {
        let guess = limiter.guess(Kind::Password, address("192.0.2.1"), b"alice");
        guess.take_at(0).unwrap().was_wrong_at(0);
        guess.failed();
    }
    assert_eq!(limiter.state(), State::default());
}

#[test]
fn the_state_counts_who_has_to_wait() {
    let limiter = limiter("3/h", "2/h");
    let guess = |source: &str, user: &str| {
        let guess = limiter.guess(Kind::Password, address(source), user.as_bytes());
        guess.take().unwrap().was_wrong();
    };
    guess("192.0.2.1", "alice");
    assert_eq!(limiter.state(), State { tracked: 3, sources: 0, principals: 0 });
    guess("192.0.2.1", "alice");
    guess("192.0.2.1", "bob");
    assert_eq!(limiter.state(), State { tracked: 5, sources: 1, principals: 1 });
}

#[test]
fn many_sources_do_not_make_it_larger_and_win_nobody_a_fresh_start() {
    let limiter = limiter("20/m", "unlimited");
    exhaust(&limiter, Kind::Password, "192.0.2.1", "alice", 0);
    for host in 0..5_000_u32 {
        let guess = limiter.guess(Kind::Password, IpAddr::from(host.to_be_bytes()), b"bob");
        guess.take_at(0).unwrap().was_wrong_at(0);
    }
    assert!(!is_heard(&limiter, "192.0.2.1", "alice", 0));
    let mut places = 0;
    limiter.memory.failures[Kind::Password as usize].each(|_, _| places += 1);
    assert_eq!(places, 1 << 10);
}

#[test]
fn wrong_keys_do_not_push_out_wrong_passwords() {
    let limiter = limiter("20/m", "20/m");
    exhaust(&limiter, Kind::Password, "192.0.2.1", "alice", 0);
    for host in 0..100_000_u32 {
        limiter.guess(Kind::Key, IpAddr::from(host.to_be_bytes()), b"wrong").failed();
    }
    assert!(!is_heard(&limiter, "192.0.2.1", "alice", 0));
}

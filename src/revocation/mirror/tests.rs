//! The mirror against a model, and what ten million entries cost.

use std::collections::HashMap;

use super::*;

/// A generator with a fixed seed, so that a failure can be repeated.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        // xorshift64*, https://en.wikipedia.org/wiki/Xorshift
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }
}

fn forever(cutoff: Cutoff) -> Term {
    Term { remaining: None, cutoff }
}

fn for_seconds(seconds: u64) -> Term {
    Term { remaining: Some(Duration::from_secs(seconds)), cutoff: Cutoff::EVERYTHING }
}

#[test]
fn names_of_a_credential_are_looked_up_by_kind() {
    let now = Instant::now();
    let credential = Revocable::new("alice", Some(100)).with_jti("https://id", "t1").with(Kind::Sid, "s1");
    let hash = crate::authn::revocable::issuer_hash("https://id");
    for (kind, id, cutoff, revoked) in [
        (Kind::Jti, "*:t1".to_owned(), Cutoff::EVERYTHING, true),
        (Kind::Jti, format!("{hash}:t1"), Cutoff::EVERYTHING, true),
        (Kind::Sid, "s1".to_owned(), Cutoff::EVERYTHING, true),
        (Kind::Sub, "alice".to_owned(), Cutoff::at(100), true),
        (Kind::Sub, "alice".to_owned(), Cutoff::at(99), false),
        (Kind::Sub, "alice".to_owned(), Cutoff::EVERYTHING, true),
        (Kind::Jti, "*:t2".to_owned(), Cutoff::EVERYTHING, false),
        (Kind::User, "alice".to_owned(), Cutoff::EVERYTHING, false),
        (Kind::Sid, "alice".to_owned(), Cutoff::EVERYTHING, false),
    ] {
        let mirror = Mirror::new();
        assert_eq!(mirror.put(kind, kind.fingerprint(&id), forever(cutoff), now), Noted::New);
        assert_eq!(mirror.revokes(&credential, now), revoked, "{kind:?} {id} {cutoff:?}");
        assert_eq!(mirror.put(kind, kind.fingerprint(&id), forever(cutoff), now), Noted::Known);
        assert_eq!(mirror.count(kind), 1);
        assert!(mirror.remove(kind.fingerprint(&id)) && !mirror.remove(kind.fingerprint(&id)));
        assert!(!mirror.revokes(&credential, now));
        assert_eq!(mirror.count(kind), 0);
    }
}

#[test]
fn a_changed_cutoff_is_news() {
    let (mirror, now, alice) = (Mirror::new(), Instant::now(), Kind::Sub.fingerprint("alice"));
    for (term, noted) in [
        (forever(Cutoff::at(5)), Noted::New),
        (forever(Cutoff::at(5)), Noted::Known),
        (Term { remaining: Some(Duration::from_secs(9)), cutoff: Cutoff::at(5) }, Noted::Known),
        (forever(Cutoff::at(6)), Noted::New),
        (forever(Cutoff::EVERYTHING), Noted::New),
    ] {
        assert_eq!(mirror.put(Kind::Sub, alice, term, now), noted, "{term:?}");
    }
}

#[test]
fn the_age_of_the_view() {
    let mirror = Mirror::new();
    let second = Duration::from_secs(1);
    let start = mirror.origin;
    assert_eq!((mirror.age(start + second), mirror.has_been_read()), (None, false));
    assert_eq!(mirror.staleness(start + 5 * second), 5 * second);
    mirror.is_complete_as_of(start);
    assert_eq!((mirror.age(start + second), mirror.has_been_read()), (Some(second), true));
    mirror.is_complete_as_of(start + 3 * second);
    mirror.is_complete_as_of(start + 2 * second);
    assert_eq!(mirror.age(start + 4 * second), Some(second), "the view never gets older");
    assert_eq!(mirror.age(start + 2 * second), Some(Duration::ZERO));
    mirror.is_always_complete();
    mirror.is_complete_as_of(start + second);
    assert_eq!(mirror.age(start + 9 * second), Some(Duration::ZERO));
}

#[test]
fn absent_entries_go_or_stay_as_their_absence_is_explained() {
    let now = Instant::now();
    let mirror = Mirror::new();
    let names: Vec<Fingerprint> = ["a", "b", "c"].map(|id| Kind::Key.fingerprint(id)).into();
    let put = |at: usize| mirror.put(Kind::Key, names[at], forever(Cutoff::EVERYTHING), now);
    let compare = |absence, seen: &[usize]| {
        (0..mirror.parts()).for_each(|part| mirror.begin_comparison(part, absence));
        for at in seen {
            put(*at);
        }
        (0..mirror.parts()).for_each(|part| mirror.end_comparison(part));
        let stands = |name: &Fingerprint| mirror.shard(*name).find(*name, 0).is_some();
        let standing: Vec<bool> = names.iter().map(stands).collect();
        assert_eq!(mirror.count(Kind::Key), standing.iter().filter(|stands| **stands).count());
        standing
    };
    for at in 0..3 {
        put(at);
    }
    assert_eq!(compare(Absence::Lifted, &[0, 1, 2]), [true, true, true]);
    assert_eq!(compare(Absence::Lifted, &[0, 1]), [true, true, false]);
    assert_eq!(compare(Absence::Unexplained, &[0]), [true, true, false]);
    assert_eq!(compare(Absence::Lifted, &[0]), [true, true, false], "b was kept and stays so");
    assert_eq!(compare(Absence::Lifted, &[]), [false, true, false]);
    assert_eq!(compare(Absence::Lifted, &[1]), [false, true, false]);
    assert_eq!(compare(Absence::Lifted, &[]), [false, false, false], "b was seen again and then lifted");
    // A comparison that was broken off and begun anew does not count what the first one saw.
    put(2);
    mirror.begin_comparison(mirror.parts() - 1, Absence::Lifted);
    put(0);
    assert_eq!(compare(Absence::Lifted, &[2]), [false, false, true]);
}

/// Random writes, removals, expiries and sweeps, with every answer compared to that of a plain map.
#[test]
fn the_mirror_agrees_with_a_model() {
    for seed in 1..=10 {
        let mut numbers = Numbers(seed);
        let mirror = Mirror::new();
        let mut now = mirror.origin;
        let mut model: HashMap<(Kind, u64), (Option<Instant>, Cutoff)> = HashMap::new();
        for _ in 0..4_000 {
            let kind = Kind::ALL[usize::try_from(numbers.below(6)).unwrap()];
            let id = numbers.below(60);
            let fingerprint = kind.fingerprint(&id.to_string());
            match numbers.below(50) {
                0..=24 => {
                    let remaining = (numbers.below(4) > 0).then(|| Duration::from_secs(numbers.below(90)));
                    let cutoff = Cutoff::at(numbers.below(3));
                    mirror.put(kind, fingerprint, Term { remaining, cutoff }, now);
                    model.insert((kind, id), (remaining.map(|remaining| now + remaining), cutoff));
                }
                25..=34 => {
                    mirror.remove(fingerprint);
                    model.remove(&(kind, id));
                }
                35..=48 => now += Duration::from_secs(numbers.below(4)),
                _ => {
                    (0..mirror.parts()).for_each(|part| mirror.sweep(part, now));
                    model.retain(|_, (end, _)| end.is_none_or(|end| end > now));
                    for kind in Kind::ALL {
                        let expect = model.keys().filter(|(known, _)| *known == kind).count();
                        assert_eq!(mirror.count(kind), expect, "seed {seed}, {kind:?}");
                    }
                }
            }
            let expect = model
                .get(&(kind, id))
                .filter(|(end, _)| end.is_none_or(|end| end > now))
                .map(|(_, cutoff)| *cutoff);
            let found = mirror.shard(fingerprint).find(fingerprint, mirror.second(now));
            assert_eq!(found, expect, "seed {seed}, {kind:?} {id}");
        }
    }
}

#[test]
fn swept_memory_is_given_back() {
    let mirror = Mirror::new();
    let now = mirror.origin;
    for id in 0..200_000 {
        mirror.put(Kind::Jti, Kind::Jti.fingerprint(&id.to_string()), for_seconds(60), now);
    }
    let room = || mirror.shards.iter().map(Shard::room).sum::<usize>();
    let full = room();
    assert!(full >= 200_000);
    (0..mirror.parts()).for_each(|part| mirror.sweep(part, now + Duration::from_secs(59)));
    assert_eq!((mirror.count(Kind::Jti), room()), (200_000, full), "nothing has expired yet");
    (0..mirror.parts()).for_each(|part| mirror.sweep(part, now + Duration::from_secs(60)));
    assert_eq!((mirror.count(Kind::Jti), room()), (0, 0));
}

/// Readers while a writer works: nobody waits for the whole of it, and what always stands is always found.
#[test]
fn readers_and_a_writer_at_once() {
    let mirror = Mirror::new();
    let now = Instant::now();
    mirror.put(Kind::Sub, Kind::Sub.fingerprint("alice"), forever(Cutoff::EVERYTHING), now);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let alice = Revocable::new("alice", None);
                while !done.load(Ordering::Relaxed) {
                    assert!(mirror.revokes(&alice, Instant::now()));
                }
            });
        }
        for id in 0..100_000_u32 {
            mirror.put(Kind::Jti, Kind::Jti.fingerprint(&id.to_string()), for_seconds(60), now);
        }
        (0..mirror.parts()).for_each(|part| mirror.sweep(part, now + Duration::from_secs(120)));
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!((mirror.count(Kind::Jti), mirror.count(Kind::Sub)), (0, 1));
}

/// What ten million entries take, and what a look-up costs among them. The bound on time is generous, because this
/// also runs without optimisation and beside other tests; the figures are printed.
#[test]
fn ten_million_entries() {
    const ENTRIES: u32 = 10_000_000;
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    };
    let mut numbers = Numbers(7);
    let mut random = move || {
        let mut word = || u32::try_from(numbers.below(1 << 31)).unwrap() << 1;
        Fingerprint::from_words([word(), word(), word()])
    };
    let mirror = Mirror::new();
    let now = mirror.origin;
    let before = resident();
    for _ in 0..ENTRIES {
        mirror.put(Kind::Jti, random(), for_seconds(86_400), now);
    }
    let bytes = resident() - before;
    assert_eq!(mirror.count(Kind::Jti), ENTRIES as usize);
    let absent: Vec<Fingerprint> = (0..1_000_000).map(|_| random()).collect();
    let start = Instant::now();
    let found = absent.iter().filter(|name| mirror.shard(**name).find(**name, 0).is_some()).count();
    let each = start.elapsed() / 1_000_000;
    println!("{bytes} bytes, {} an entry; a look-up takes {each:?}", bytes / u64::from(ENTRIES));
    assert_eq!(found, 0);
    assert!(bytes <= 400_000_000, "{bytes}");
    assert!(each < Duration::from_micros(20), "{each:?}");
}

//! A table of a fixed size, from keys to times, that forgets what matters least when it is full.
//!
//! A place is one of eight that a key may have. When all eight are taken, the new key takes the place of the one that
//! would have been forgotten first, and inherits its time: filling the table with other keys, from many addresses, wins
//! nobody a fresh start (as in the Space-Saving algorithm of Metwally, Agrawal and El Abbadi, 2005).

use std::sync::{Mutex, MutexGuard, PoisonError};

const WAYS: usize = 8;

/// From keys to times, in microseconds since the process began. A key is never 0.
pub(super) struct Table {
    sets: Box<[Mutex<[Place; WAYS]>]>,
}

#[derive(Clone, Copy, Default)]
struct Place {
    key: u64,
    until: u64,
}

impl Table {
    /// Room for `entries`, rounded up to a power of two.
    pub(super) fn new(entries: usize) -> Self {
        let sets = (entries / WAYS).max(1).next_power_of_two();
        Self { sets: (0..sets).map(|_| Mutex::default()).collect() }
    }

    /// The time of `key`.
    pub(super) fn get(&self, key: u64) -> Option<u64> {
        self.set(key).iter().find(|place| place.key == key).map(|place| place.until)
    }

    /// Adds `price` to the time of `key`, unless it would then be more than `most` from `now`. Returns the time before.
    ///
    /// # Errors
    /// By how much it would be.
    pub(super) fn take(&self, key: u64, price: u64, most: u64, now: u64) -> Result<u64, u64> {
        let mut set = self.set(key);
        let Some(place) = set.iter_mut().find(|place| place.key == key) else {
            enter(&mut set, key, price, most, now);
            return Ok(0);
        };
        let before = place.until;
        let until = before.max(now).saturating_add(price);
        let limit = now.saturating_add(most);
        if until > limit {
            return Err(until - limit);
        }
        place.until = until;
        Ok(before)
    }

    /// Adds `price` to the time of `key`, up to `most` from `now`.
    pub(super) fn charge(&self, key: u64, price: u64, most: u64, now: u64) {
        let mut set = self.set(key);
        match set.iter_mut().find(|place| place.key == key) {
            Some(place) => place.until = later(place.until, price, most, now),
            None => enter(&mut set, key, price, most, now),
        }
    }

    /// Subtracts `price` from the time of `key`.
    pub(super) fn give_back(&self, key: u64, price: u64) {
        if let Some(place) = self.set(key).iter_mut().find(|place| place.key == key) {
            place.until = place.until.saturating_sub(price);
        }
    }

    /// The time of `key` among those that share `place`.
    pub(super) fn get_in(&self, place: u64, key: u64) -> Option<u64> {
        self.set(place).iter().find(|place| place.key == key).map(|place| place.until)
    }

    /// Sets the time of `key` to `until`, among those that share `place`.
    pub(super) fn note(&self, place: u64, key: u64, until: u64) {
        let mut set = self.set(place);
        let at = set.iter().position(|place| place.key == key);
        let oldest = || set.iter().enumerate().min_by_key(|(_, place)| place.until).map(|(at, _)| at);
        if let Some(at) = at.or_else(oldest) {
            set[at] = Place { key, until };
        }
    }

    /// Calls `visit` with every key and its time.
    pub(super) fn each(&self, mut visit: impl FnMut(u64, u64)) {
        for set in &self.sets {
            let set = *set.lock().unwrap_or_else(PoisonError::into_inner);
            for Place { key, until } in set.into_iter().filter(|place| place.key != 0) {
                visit(key, until);
            }
        }
    }

    fn set(&self, key: u64) -> MutexGuard<'_, [Place; WAYS]> {
        // The lowest bits say what the key is about and are the same for many.
        let at = usize::try_from(key >> 16).unwrap_or_default() & (self.sets.len() - 1);
        // Nothing that holds the lock can panic half-way through a change.
        self.sets[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts `key` in the place that is forgotten first, with what had added up there.
fn enter(set: &mut [Place; WAYS], key: u64, price: u64, most: u64, now: u64) {
    if let Some(place) = set.iter_mut().min_by_key(|place| place.until) {
        *place = Place { key, until: later(place.until, price, most, now) };
    }
}

fn later(until: u64, price: u64, most: u64, now: u64) -> u64 {
    until.max(now).saturating_add(price).min(now.saturating_add(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_forgets_what_matters_least_and_gives_nobody_a_fresh_start() {
        let table = Table::new(WAYS);
        for key in 1..=8 {
            for _ in 0..key {
                table.charge(key, 10, 100, 0);
            }
        }
        table.charge(9, 10, 100, 0);
        assert_eq!(table.get(1), None, "the one with the fewest failures went");
        assert_eq!(table.get(9), Some(20), "the new one goes on from there");
        for key in 2..=8 {
            assert_eq!(table.get(key), Some(key * 10));
        }
        let mut seen = 0;
        table.each(|_, _| seen += 1);
        assert_eq!(seen, WAYS);
    }

    #[test]
    fn no_more_is_taken_than_fits() {
        let table = Table::new(64);
        assert_eq!(table.take(5, 10, 25, 100), Ok(0));
        assert_eq!(table.take(5, 10, 25, 100), Ok(110));
        assert_eq!(table.take(5, 10, 25, 100), Err(5));
        assert_eq!(table.get(5), Some(120), "what did not fit was not counted");
        assert_eq!(table.take(5, 10, 25, 105), Ok(120));
        table.give_back(5, 10);
        assert_eq!(table.get(5), Some(120));
        table.charge(5, 1_000, 25, 105);
        assert_eq!(table.get(5), Some(130), "a debt does not grow without bound");
    }

    #[test]
    fn what_shares_a_place_pushes_out_only_itself() {
        let table = Table::new(64);
        table.note(1 << 16, 7, 1_000);
        for key in 100..200 {
            table.note(2 << 16, key, key);
        }
        assert_eq!(table.get_in(1 << 16, 7), Some(1_000));
        assert_eq!(table.get_in(2 << 16, 199), Some(199));
        assert_eq!(table.get_in(2 << 16, 191), None);
        table.note(1 << 16, 7, 2_000);
        assert_eq!(table.get_in(1 << 16, 7), Some(2_000));
    }
}

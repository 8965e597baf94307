//! Who has connections with the admin listener open, and who loses one when there are too many.
//!
//! There are few places, so that operators' connections take no files that clients need. A newcomer always gets one: whoever
//! opens connections and leaves them, from however many addresses, takes places from themselves before anybody who comes
//! with a request in hand notices.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::request::network_of;

/// How many connections there may be. A few are in use at a time.
const MOST: usize = 128;

/// How many of them one network may have, so that there are places for others before anybody has to lose one.
const MOST_OF_A_NETWORK: usize = 32;

/// All connections. Clones share their state.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<Vec<Taken>>>);

struct Taken {
    network: IpAddr,
    /// When it was taken, or the last request on it began to be answered.
    since: Instant,
    lost: Arc<Notify>,
}

/// The place of a connection; dropping it makes room.
pub(super) struct Place {
    places: Places,
    lost: Arc<Notify>,
}

impl Places {
    /// Takes a place for a connection from `peer`, from another one if need be.
    pub(super) fn enter(&self, peer: IpAddr) -> Place {
        let (network, lost) = (network_of(peer), Arc::new(Notify::new()));
        let mut taken = self.taken();
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for other in &*taken {
            *counts.entry(other.network).or_default() += 1;
        }
        let count = |network| counts.get(&network).copied().unwrap_or_default();
        let own = count(network) >= MOST_OF_A_NETWORK;
        if own || taken.len() >= MOST {
            let others = taken.iter().enumerate().filter(|(_, other)| !own || other.network == network);
            // Of those who have the most, the one that has been silent for longest.
            if let Some((at, _)) =
                others.min_by_key(|(_, other)| (Reverse(count(other.network)), other.since))
            {
                taken.swap_remove(at).lost.notify_one();
            }
        }
        taken.push(Taken { network, since: Instant::now(), lost: lost.clone() });
        drop(taken);
        Place { places: self.clone(), lost }
    }

    fn taken(&self) -> MutexGuard<'_, Vec<Taken>> {
        // Nothing that holds the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Resolves when another connection has got this place.
    pub(super) async fn lost(&self) {
        self.lost.notified().await;
    }

    /// Notes that there is a request to answer, and not only somebody who holds a place.
    pub(super) fn heard(&self) {
        if let Some(taken) = self.places.taken().iter_mut().find(|taken| Arc::ptr_eq(&taken.lost, &self.lost))
        {
            taken.since = Instant::now();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().retain(|taken| !Arc::ptr_eq(&taken.lost, &self.lost));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::time::advance;

    use super::*;

    async fn enter(places: &Places, peer: &str) -> Place {
        advance(Duration::from_millis(1)).await;
        places.enter(peer.parse().unwrap())
    }

    fn lost(place: &Place) -> bool {
        place.lost().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn one_network_takes_places_from_itself_only() {
        let places = Places::default();
        let other = enter(&places, "192.0.2.1").await;
        let mut many = Vec::new();
        for host in 0..MOST_OF_A_NETWORK {
            many.push(enter(&places, &format!("2001:db8::{host}")).await);
        }
        // The one that has just been heard is not the one that has been silent for longest.
        many[0].heard();
        let one_more = enter(&places, "2001:db8::ffff").await;
        assert!(lost(&many[1]) && !lost(&many[0]) && !lost(&many[2]) && !lost(&other) && !lost(&one_more));
        assert_eq!(places.taken().len(), MOST_OF_A_NETWORK + 1);
        drop((many, one_more));
        assert_eq!(places.taken().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_the_most_makes_room_for_newcomers() {
        let places = Places::default();
        let first = enter(&places, "192.0.2.1").await;
        let mut many = Vec::new();
        for at in 0..MOST - 1 {
            many.push(enter(&places, &format!("198.51.{}.1", at / MOST_OF_A_NETWORK)).await);
        }
        let newcomer = enter(&places, "192.0.2.2").await;
        assert!(!lost(&first) && !lost(&newcomer));
        assert_eq!(many.iter().filter(|place| lost(place)).count(), 1);
        assert_eq!(places.taken().len(), MOST);

        // From as many addresses as there are places, the oldest goes.
        drop((many, newcomer));
        let mut many = Vec::new();
        for at in 0..MOST - 1 {
            many.push(enter(&places, &format!("198.51.100.{at}")).await);
        }
        first.heard();
        let newcomer = enter(&places, "192.0.2.2").await;
        assert!(lost(&many[0]) && !lost(&many[1]) && !lost(&first) && !lost(&newcomer));
    }
}

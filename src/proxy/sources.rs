//! How many connections each source has open, so that one of them cannot take the places of all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::request::network_of;

/// The sources that have connections open; there are never more of them than connections. Clones share their state.
#[derive(Clone, Default)]
pub(super) struct Sources(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection of a source; dropping it closes the account.
pub(super) struct Place {
    sources: Sources,
    network: IpAddr,
}

impl Sources {
    /// Counts a connection from `peer`, unless its network has `most` open already.
    pub(super) fn enter(&self, peer: IpAddr, most: usize) -> Option<Place> {
        let network = network_of(peer);
        let mut open = self.open();
        if open.get(&network).copied().unwrap_or_default() >= most {
            return None;
        }
        *open.entry(network).or_default() += 1;
        Some(Place { sources: self.clone(), network })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing that holds the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.sources.open();
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_its_places_and_is_forgotten_with_the_last_of_them() {
        let sources = Sources::default();
        let enter = |peer: &str| sources.enter(peer.parse().unwrap(), 2);
        let mut places = vec![enter("192.0.2.1").unwrap(), enter("::ffff:192.0.2.1").unwrap()];
        assert!(enter("192.0.2.1").is_none());
        places.extend([
            enter("192.0.2.2").unwrap(),
            enter("2001:db8::1").unwrap(),
            enter("2001:db8::2").unwrap(),
        ]);
        assert!(enter("2001:db8::3").is_none());
        assert!(enter("2001:db8:0:1::1").is_some());
        places.remove(0);
        assert!(enter("192.0.2.1").is_some());
        drop(places);
        assert_eq!(sources.open().len(), 0);
    }
}

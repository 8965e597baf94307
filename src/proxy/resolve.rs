//! Finds the addresses of upstreams and keeps them fresh, so that no request waits for a name server.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::{sleep, timeout};

use super::shared::Shared;
use crate::gateway::Gateway;
use crate::gateway::upstream::{Destination, Target};

/// How often names are resolved again. DNS answers carry a lifetime, which the system's resolver does not tell.
const EVERY: Duration = Duration::from_secs(10);

/// How soon a name without an address is tried again.
const SOON: Duration = Duration::from_secs(1);

const LONGEST: Duration = Duration::from_secs(5);

/// An address of `target`: a literal one, or one that its name was resolved to.
pub(super) fn pick(target: &Target) -> Option<SocketAddr> {
    if let Ok(address) = target.host.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, target.port));
    }
    target.addresses.load().first().copied()
}

/// Resolves every name of `gateway` once. Names that cannot be resolved keep the addresses they had.
pub(super) async fn resolve_all(gateway: &Gateway) -> bool {
    let mut complete = true;
    for upstream in &gateway.upstreams {
        let Destination::Targets(targets) = &upstream.destination else { continue };
        for target in targets.iter().filter(|target| target.host.parse::<IpAddr>().is_err()) {
            complete &= resolve(target).await;
        }
    }
    complete
}

async fn resolve(target: &Target) -> bool {
    let looked_up = timeout(LONGEST, lookup_host((target.host.as_str(), target.port))).await;
    let Ok(Ok(addresses)) = looked_up else { return false };
    let addresses: Vec<SocketAddr> = addresses.collect();
    if addresses.is_empty() {
        return false;
    }
    if **target.addresses.load() != addresses {
        target.addresses.store(Arc::new(addresses));
    }
    true
}

/// Keeps the addresses of the current policy fresh, for as long as the process lives.
pub(super) async fn keep_fresh(shared: Arc<Shared>) {
    loop {
        let gateway = shared.configuration.load().gateway.clone();
        let complete = resolve_all(&gateway).await;
        sleep(if complete { EVERY } else { SOON }).await;
    }
}

//! The revocation list in Redis: following it, and writing to it.
//!
//! A gateway follows the list on one connection, or on one to each primary of a cluster. Redis announces every key that
//! changes, whoever changed it (`CLIENT TRACKING` in broadcast mode), and the gateway reads that key again. A heartbeat
//! proves how old the view is. A request never waits for any of this: it is decided from the [`super::mirror`].
//!
//! A user of Redis (an ACL) needs these rights to follow the list, here also on a read-only replica:
//!
//! ```text
//! ACL SETUSER gateway on >PASSWORD resetkeys ~portcullis:* nocommands
//!     +hello +select +client|tracking +ping +info +scan +pttl +getrange +get +set
//! ```
//!
//! `SELECT` only for a database other than 0, and `SET` only to mark the list with an epoch. Without an epoch, the gateway
//! cannot tell a list that was emptied while it was not connected, so what is gone then stays revoked until it expires.
//! Revoking needs `+set`, lifting `+del +set +multi +exec`, listing nothing else; in a cluster, everything needs `+asking
//! +cluster|info +cluster|nodes +cluster|slots` besides.

pub mod cluster;
mod connection;
mod endpoint;
mod feed;
mod health;
mod inbox;
mod lineage;
mod listing;
pub mod meter;
mod reading;
mod right;
mod sentinel;
mod server;
mod writing;

use std::convert::Infallible;
use std::time::Duration;

use crate::clock::Clock;
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::Metrics;

use super::mirror::Mirror;
pub use cluster::Elsewhere;
pub use connection::Loss;
use feed::{Extent, Feed};
use health::Health;
pub use sentinel::Config as SentinelConfig;
use server::Route;
pub use server::{Config, Server, Timeouts};

/// How often Redis is asked for a sign of life.
pub const HEARTBEAT: Duration = Duration::from_millis(250);

/// How long to wait before connecting again, doubled with each failure.
const SHORTEST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Keeps `mirror` like the list on `server`, for as long as it is polled. It never gives up: whatever Redis does, the
/// mirror gets older, and young again when Redis is back.
pub async fn follow(
    server: &Server,
    mirror: &Mirror,
    metrics: &Metrics,
    audit: &Audit,
    clock: &Clock,
) -> Infallible {
    if let Route::Cluster(cluster) = &server.route {
        return cluster::follow(server, cluster, mirror, metrics, audit, clock).await;
    }
    let mut health = Health::new(server, metrics, audit);
    let mut feed = Feed::new(server, Extent::Whole, mirror, metrics, clock);
    let mut pause = SHORTEST_PAUSE;
    loop {
        let loss = feed.live(&mut health).await;
        if health.is_up() {
            pause = SHORTEST_PAUSE;
        }
        health.lost(&loss);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

//! Redis Cluster: the list is spread over several primaries, and all of them are followed at once.
//!
//! Any node tells who is in the cluster, and every one that is followed tells it again with each heartbeat, so a change
//! is known within a quarter of a second. Each primary has a connection of its own, as a single Redis would have; what
//! they know together is judged by [`membership`].

mod membership;
pub mod nodes;
mod rounds;
mod routing;
mod slot;
mod view;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::endpoint::{Endpoint, Scheme};
use super::feed::{Extent, Feed};
use super::health::Health;
use super::server::Server;
use super::{HEARTBEAT, LONGEST_PAUSE, SHORTEST_PAUSE};
use crate::clock::Clock;
use crate::loading::Loading;
use crate::revocation::mirror::Mirror;
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::Metrics;
use crate::yaml::Located;
pub(super) use membership::Member;
use membership::Membership;
pub(super) use routing::Asking;
pub use routing::Elsewhere;
pub(super) use slot::key_in;
#[cfg(test)]
pub(super) use slot::slot_of;
use view::Id;
pub(super) use view::{Lookout, View};

/// How long trouble has to last before it is in the log: a new node is not followed in the moment that it is heard of.
const LONGEST_SILENCE: Duration = Duration::from_millis(500);

/// A cluster that can be asked.
pub(super) struct Cluster {
    /// The nodes in the file.
    seeds: Vec<Endpoint>,
    /// Where nodes were lately.
    learned: Mutex<BTreeSet<Endpoint>>,
}

/// What stands in the file.
impl fmt::Display for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, seed) in self.seeds.iter().enumerate() {
            write!(formatter, "{}{seed}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cluster").field("seeds", &self.seeds).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Compiles the section.
    pub(super) fn compile(nodes: &Located<Vec<Located<String>>>, loading: &mut Loading<'_>) -> Option<Self> {
        if nodes.is_empty() {
            loading
                .error(nodes.place(), "at least one node of the cluster must stand here")
                .hint("write `cluster: [\"redis://redis-1:6379\", \"redis://redis-2:6379\"]`");
        }
        let seeds: Vec<_> = nodes.iter().filter_map(|node| Endpoint::of_node(node, loading)).collect();
        let first = seeds.first()?;
        if seeds.iter().any(|seed| seed.scheme != first.scheme) {
            loading
                .error(nodes.place(), "some of these speak TLS and some do not")
                .hint("the nodes of a cluster use either `redis://` or `rediss://`");
        }
        Some(Self { seeds, learned: Mutex::default() })
    }

    /// Whether the nodes speak TLS.
    pub(super) fn scheme(&self) -> Scheme {
        self.seeds.first().map_or(Scheme::Plain, |seed| seed.scheme)
    }

    /// Where somebody may be who knows the cluster.
    fn known(&self) -> Vec<Endpoint> {
        let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        let others = learned.iter().filter(|endpoint| !self.seeds.contains(endpoint));
        self.seeds.iter().chain(others).cloned().collect()
    }

    /// Remembers where nodes are, for when none of those in the file is there any more.
    fn learn(&self, endpoints: BTreeSet<Endpoint>) {
        if !endpoints.is_empty() {
            *self.learned.lock().unwrap_or_else(PoisonError::into_inner) = endpoints;
        }
    }
}

/// Keeps `mirror` like the list on the cluster, for as long as it is polled.
pub(super) async fn follow(
    server: &Server,
    cluster: &Cluster,
    mirror: &Mirror,
    metrics: &Metrics,
    audit: &Audit,
    clock: &Clock,
) -> Infallible {
    let membership = Membership::new(mirror);
    let followers = Followers { server, cluster, membership: &membership, mirror, metrics, audit, clock };
    tokio::select! {
        never = followers.keep() => never,
        never = followers.find_somebody() => never,
        never = followers.report() => never,
        never = membership.hold_rounds() => never,
    }
}

/// Those who follow one node each.
struct Followers<'a> {
    server: &'a Server,
    cluster: &'a Cluster,
    membership: &'a Membership<'a>,
    mirror: &'a Mirror,
    metrics: &'a Metrics,
    audit: &'a Audit,
    clock: &'a Clock,
}

impl Followers<'_> {
    /// Follows everybody who has to be followed.
    async fn keep(&self) -> Infallible {
        let mut following = FuturesUnordered::new();
        let mut followed: Vec<Id> = Vec::new();
        loop {
            let plan = self.membership.plan();
            self.cluster.learn(self.membership.endpoints());
            for (id, endpoints) in &plan {
                if let (false, Some(endpoint)) = (followed.contains(id), endpoints.first()) {
                    followed.push(id.clone());
                    self.membership.enter(id, endpoint);
                    following.push(self.follow_one(id.clone(), endpoint.clone()));
                }
            }
            tokio::select! {
                Some(id) = following.next() => {
                    self.membership.leave(&id);
                    followed.retain(|other| *other != id);
                }
                () = self.membership.is_not(&plan) => {}
            }
        }
    }

    /// Follows a node for as long as it has to be, whatever becomes of it, and returns who it was.
    async fn follow_one(&self, id: Id, endpoint: Endpoint) -> Id {
        let member = Member { membership: self.membership, id: &id, endpoint: &endpoint };
        let mut health = Health::of_node(&endpoint);
        let mut feed = Feed::new(self.server, Extent::Node(member), self.mirror, self.metrics, self.clock);
        let following = async {
            let mut pause = SHORTEST_PAUSE;
            loop {
                let loss = feed.live(&mut health).await;
                if health.is_up() {
                    pause = SHORTEST_PAUSE;
                }
                member.lost();
                health.lost(&loss);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        tokio::select! {
            biased;
            () = member.is_dismissed() => {}
            () = following => {}
        }
        id
    }

    /// Asks one after the other for the cluster while nobody who knows it is followed.
    async fn find_somebody(&self) -> Infallible {
        let mut first = 0;
        loop {
            if !self.membership.is_guided() {
                let mut known = self.cluster.known();
                let somebody = known.len().max(1);
                known.rotate_left(first % somebody);
                for endpoint in known {
                    // If the answer leads nowhere, somebody else is asked next time.
                    first = (first + 1) % somebody;
                    match self.server.view_of(&endpoint).await {
                        Ok(view) => {
                            self.membership.heard(view);
                            break;
                        }
                        Err(loss) => self.membership.heard_nothing(format!("{endpoint}: {loss}")),
                    }
                }
            }
            tokio::time::sleep(HEARTBEAT).await;
        }
    }

    /// Tells how the cluster is as a whole.
    async fn report(&self) -> Infallible {
        let mut health = Health::new(self.server, self.metrics, self.audit);
        let mut trouble_since: Option<Instant> = None;
        loop {
            match self.membership.trouble() {
                None => {
                    trouble_since = None;
                    if !health.is_up() {
                        health.up(self.mirror);
                    }
                }
                Some(loss) => {
                    self.metrics.redis_up.set(0);
                    let since = *trouble_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= LONGEST_SILENCE {
                        health.lost(&loss);
                    }
                }
            }
            tokio::time::sleep(HEARTBEAT / 5).await;
        }
    }
}

//! A real Redis Cluster for a test: three primaries that share the slots evenly and, where wanted, replicas of the first.

use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::deadline::within_time;
use super::port::ReservedPort;
use super::redis::{Redis, RedisBuilder};

/// Running servers that are a cluster. The first three begin as primaries.
pub struct Cluster {
    pub nodes: Vec<Redis>,
    /// Where the nodes speak with each other.
    _buses: Vec<ReservedPort>,
}

/// How many primaries there are.
const PRIMARIES: usize = 3;

/// How many slots a cluster has.
const SLOTS: usize = 16384;

/// How long a cluster may take to agree. After it was started or was down it does nothing for seconds on purpose.
const LONGEST: Duration = Duration::from_secs(30);

impl Cluster {
    /// Starts one that takes its time to give a node up, so that a busy machine is no failure.
    pub async fn start() -> Self {
        Self::start_with(0, 5000, |builder| builder).await
    }

    /// Starts one with replicas of the first primary, which gives a node up after so many milliseconds, and says what is
    /// special about each node.
    pub async fn start_with(
        replicas: usize,
        timeout: u32,
        special: impl Fn(RedisBuilder) -> RedisBuilder,
    ) -> Self {
        let (mut nodes, mut buses) = (Vec::new(), Vec::new());
        for _ in 0..PRIMARIES + replicas {
            let bus = ReservedPort::take();
            let builder = Redis::builder()
                .option("cluster-enabled", &["yes"])
                .option("cluster-port", &[&bus.port().to_string()])
                .option("cluster-node-timeout", &[&timeout.to_string()])
                .option("repl-diskless-sync-delay", &["0"]);
            nodes.push(special(builder).start().await);
            buses.push(bus);
        }
        for (at, node) in nodes.iter().enumerate() {
            node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]).await;
            if at < PRIMARIES {
                let (first, last) = (SLOTS * at / PRIMARIES, SLOTS * (at + 1) / PRIMARIES - 1);
                node.cli(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
            }
            let (port, bus) = (node.address().port().to_string(), buses[at].port().to_string());
            nodes[0].cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
        }
        let cluster = Self { nodes, _buses: buses };
        cluster.wait_until_all_is_well().await;
        for replica in &cluster.nodes[PRIMARIES..] {
            replica.cli(&["CLUSTER", "REPLICATE", &cluster.id(0).await]).await;
            cluster.wait_for("replication", replica, "INFO", "replication", "master_link_status:up").await;
        }
        cluster
    }

    /// What `redis.cluster` wants: a list that names the first node.
    pub fn seeds(&self) -> String {
        let url = self.nodes[0].url();
        format!("[\"{}\"]", url.trim_end_matches("/0"))
    }

    /// Waits until every node says that all is well, and knows all the others.
    pub async fn wait_until_all_is_well(&self) {
        let count = self.nodes.len();
        within_time(LONGEST, "a cluster that agrees", async {
            for node in &self.nodes {
                loop {
                    let info = node.try_cli(&["CLUSTER", "INFO"]).await.unwrap_or_default();
                    let nodes = node.try_cli(&["CLUSTER", "NODES"]).await.unwrap_or_default();
                    let is_known = nodes.lines().count() == count && !nodes.contains("handshake");
                    if info.contains("cluster_state:ok") && is_known {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        })
        .await;
    }

    /// Waits until the answer of a node to two words contains a text.
    pub async fn wait_for(&self, what: &str, node: &Redis, command: &str, section: &str, text: &str) {
        within_time(LONGEST, what, async {
            while !node.try_cli(&[command, section]).await.unwrap_or_default().contains(text) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// Runs a command with a key wherever that leads, as `redis-cli -c` would.
    pub async fn cli(&self, arguments: &[&str]) -> String {
        let reply = async {
            loop {
                if let Some(reply) = self.try_cli(arguments).await {
                    return reply;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within_time(LONGEST, format!("somebody who takes {arguments:?}"), reply).await
    }

    async fn try_cli(&self, arguments: &[&str]) -> Option<String> {
        for asking in [false, true] {
            for node in &self.nodes {
                let outcome =
                    if asking { node.try_asking(arguments).await } else { node.try_cli(arguments).await };
                match outcome {
                    Ok(reply) => return Some(reply),
                    Err(error) => assert!(is_elsewhere(&error), "{arguments:?}: {error}"),
                }
            }
        }
        None
    }

    /// The position of the node to which a key belongs as long as nothing was moved, and its slot.
    pub async fn home(&self, key: &str) -> (usize, String) {
        let slot = self.nodes[0].cli(&["CLUSTER", "KEYSLOT", key]).await;
        let number: usize = slot.parse().unwrap();
        let home = (0..PRIMARIES).find(|at| number < SLOTS * (at + 1) / PRIMARIES);
        (home.unwrap(), slot)
    }

    /// The first of many names of entries that belongs to the node at this position.
    pub async fn name_at(&self, at: usize, kind: &str) -> String {
        for number in 0..1000 {
            let name = format!("{kind}{number}");
            if self.home(&format!("portcullis:revoked:sub:{name}")).await.0 == at {
                return name;
            }
        }
        panic!("a thousand names, and none for node {at}");
    }

    /// The name of a node in the cluster.
    pub async fn id(&self, at: usize) -> String {
        self.nodes[at].cli(&["CLUSTER", "MYID"]).await
    }

    /// Moves a slot and all keys in it, a few at a time, as `redis-cli --cluster reshard` does.
    pub async fn move_slot(&self, slot: &str, from: usize, to: usize) {
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        let (source_id, target_id) = (self.id(from).await, self.id(to).await);
        target.cli(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &source_id]).await;
        source.cli(&["CLUSTER", "SETSLOT", slot, "MIGRATING", &target_id]).await;
        let port = target.address().port().to_string();
        loop {
            let keys = source.cli(&["CLUSTER", "GETKEYSINSLOT", slot, "10"]).await;
            if keys.is_empty() {
                break;
            }
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            words.extend(keys.lines());
            source.cli(&words).await;
        }
        let others = (0..self.nodes.len()).filter(|at| ![from, to].contains(at));
        for at in [to, from].into_iter().chain(others) {
            self.nodes[at].cli(&["CLUSTER", "SETSLOT", slot, "NODE", &target_id]).await;
        }
    }
}

/// Whether a node says, or its silence, that a command is for another one.
fn is_elsewhere(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Io
            | ErrorKind::Server(
                ServerErrorKind::Ask
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::Moved
                    | ServerErrorKind::ReadOnly
                    | ServerErrorKind::TryAgain
            )
    )
}

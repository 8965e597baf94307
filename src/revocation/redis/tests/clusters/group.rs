//! A Redis Cluster of real servers, and what its operators do to it.

use redis::{ErrorKind, ServerErrorKind, Value};

use crate::revocation::redis::fixture::{Redis, server, until};
use crate::revocation::redis::{Server, cluster::slot_of};
use std::sync::Arc;

/// How many primaries there are.
pub(super) const PRIMARIES: usize = 3;

/// Servers of which the first three begin as primaries, with a third of the slots each.
pub(super) struct Group {
    pub(super) nodes: Vec<Redis>,
}

impl Group {
    pub(super) async fn start() -> Self {
        Self::start_with(0, &["--cluster-node-timeout", "5000"]).await
    }

    /// Starts a cluster with replicas of the first primary.
    pub(super) async fn start_with(replicas: usize, options: &[&str]) -> Self {
        let options = [&["--cluster-enabled", "yes", "--repl-diskless-sync-delay", "0"], options].concat();
        let nodes: Vec<_> = (0..PRIMARIES + replicas).map(|_| Redis::start_with(&options)).collect();
        let group = Self { nodes };
        for (at, node) in group.nodes.iter().enumerate() {
            node.run(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
            if at < PRIMARIES {
                let (first, last) = (16384 * at / PRIMARIES, 16384 * (at + 1) / PRIMARIES - 1);
                node.run(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            }
            group.nodes[0].run(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string()]);
        }
        group.agrees().await;
        for replica in &group.nodes[PRIMARIES..] {
            replica.run(&["CLUSTER", "REPLICATE", &group.id(0)]);
            until("replication", || {
                replica
                    .ask::<String>(&["INFO", "replication"])
                    .is_some_and(|info| info.contains("link_status:up"))
            })
            .await;
        }
        group
    }

    /// Waits until every node says that all is well, and knows all the others.
    pub(super) async fn agrees(&self) {
        let count = self.nodes.len();
        for node in &self.nodes {
            until("a cluster", || {
                let info: Option<String> = node.ask(&["CLUSTER", "INFO"]);
                let nodes: Option<String> = node.ask(&["CLUSTER", "NODES"]);
                info.is_some_and(|info| info.contains("cluster_state:ok"))
                    && nodes
                        .is_some_and(|nodes| nodes.lines().count() == count && !nodes.contains("handshake"))
            })
            .await;
        }
    }

    pub(super) fn id(&self, at: usize) -> String {
        redis::from_redis_value(self.nodes[at].run(&["CLUSTER", "MYID"])).unwrap()
    }

    /// The section of the file that names one node of it, behind one that is not there.
    pub(super) fn section(&self, rest: &str) -> Arc<Server> {
        let port = self.nodes[0].port;
        let text = format!("{{ cluster: [\"redis://127.0.0.1:1\", \"redis://127.0.0.1:{port}\"]{rest} }}");
        Arc::new(server(&text))
    }

    /// Runs a command with a key wherever it leads, as `redis-cli -c` would.
    pub(super) fn run(&self, words: &[&str]) -> Value {
        self.try_run(words).unwrap_or_else(|| panic!("{words:?} is nobody's"))
    }

    /// Runs a command with a key, if anybody takes it.
    pub(super) fn try_run(&self, words: &[&str]) -> Option<Value> {
        let mut command = redis::Cmd::new();
        command.arg(words);
        for asking in [false, true] {
            for node in &self.nodes {
                let Some(mut client) = node.try_client() else { continue };
                if asking {
                    redis::cmd("ASKING").exec(&mut client).unwrap();
                }
                match command.query(&mut client) {
                    Ok(value) => return Some(value),
                    Err(error) => assert!(
                        matches!(
                            error.kind(),
                            ErrorKind::Io
                                | ErrorKind::Server(
                                    ServerErrorKind::Ask
                                        | ServerErrorKind::ClusterDown
                                        | ServerErrorKind::Moved
                                        | ServerErrorKind::ReadOnly
                                )
                        ),
                        "{words:?}: {error}"
                    ),
                }
            }
        }
        None
    }

    /// The position of the node that a key belongs to as long as nothing has been moved.
    pub(super) fn home(key: &str) -> usize {
        (0..PRIMARIES).find(|at| usize::from(slot_of(key.as_bytes())) < 16384 * (at + 1) / PRIMARIES).unwrap()
    }

    /// Begins to move a slot.
    pub(super) fn begin_to_move(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        self.nodes[to].run(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &self.id(from)]);
        self.nodes[from].run(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &self.id(to)]);
    }

    /// Moves the keys of a slot.
    pub(super) fn move_keys(&self, slot: u16, from: usize, to: usize) {
        let port = self.nodes[to].port.to_string();
        loop {
            let keys = self.nodes[from].run(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "10"]);
            let keys: Vec<String> = redis::from_redis_value(keys).unwrap();
            if keys.is_empty() {
                return;
            }
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            words.extend(keys.iter().map(String::as_str));
            self.nodes[from].run(&words);
        }
    }

    /// Gives the slot to its new owner.
    pub(super) fn finish_move(&self, slot: u16, from: usize, to: usize) {
        for at in [to, from].into_iter().chain((0..self.nodes.len()).filter(|at| ![from, to].contains(at))) {
            let words = ["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &self.id(to)];
            let _: Option<Value> = self.nodes[at].ask(&words);
        }
    }
}

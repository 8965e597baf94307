//! What one node says about the cluster: who is in it, who owns which slots, and whether all is well.
//!
//! `CLUSTER NODES` knows everybody, and slots that are on their way; `CLUSTER SLOTS` knows by which name the nodes want
//! to be called; `CLUSTER INFO` knows whether the node counts itself among a majority.

use std::collections::BTreeMap;

use redis::{Value, cmd, pipe};

use super::nodes::{Address, Line, first_uncovered, lines};
use crate::revocation::redis::connection::{Connection, Loss};
use crate::revocation::redis::endpoint::Endpoint;

/// A node's name for the whole of its life, which does not depend on where it is.
pub(in crate::revocation::redis) type Id = String;

/// The cluster as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::revocation::redis) struct View {
    /// Whose view this is.
    pub(in crate::revocation::redis) myself: Id,
    /// Whether this node says that the cluster works.
    is_ok: bool,
    /// The first slot of which nobody that is well is the owner.
    uncovered: Option<u16>,
    nodes: BTreeMap<Id, Node>,
    /// To whom slots of this node are on their way.
    targets: Vec<Id>,
}

/// Another node, or this one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    endpoint: Endpoint,
    is_primary: bool,
    /// As the cluster agrees, not only as this node supposes.
    has_failed: bool,
    /// How recent its claim to its slots is.
    epoch: u64,
    slots: Vec<(u16, u16)>,
}

impl View {
    /// Whether this node says that the cluster does not work.
    pub(in crate::revocation::redis) fn is_down(&self) -> bool {
        !self.is_ok
    }

    /// Whether this node knows of another.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.nodes.contains_key(id)
    }

    /// Everybody who may hold entries: who owns slots, and who is being given some.
    pub(super) fn holders(&self) -> impl Iterator<Item = (&Id, &Endpoint)> {
        self.nodes
            .iter()
            .filter(|(id, node)| !node.slots.is_empty() || self.targets.contains(id))
            .map(|(id, node)| (id, &node.endpoint))
    }

    /// The same, and nothing else.
    pub(super) fn into_holders(self) -> BTreeMap<Id, Endpoint> {
        self.holders().map(|(id, endpoint)| (id.clone(), endpoint.clone())).collect()
    }

    /// Why the list cannot be whole, if this node says so; `who` is its name.
    pub(super) fn trouble(&self, who: impl FnOnce() -> String) -> Option<Loss> {
        match self.uncovered {
            _ if !self.is_ok => Some(Loss::ClusterDown(who())),
            Some(slot) => Some(Loss::Uncovered { slot, who: who() }),
            None => None,
        }
    }

    /// Where nodes are, replicas included.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.nodes.values().map(|node| &node.endpoint)
    }

    /// A slot that this node owns.
    pub(in crate::revocation::redis) fn own_slot(&self) -> Option<u16> {
        self.nodes.get(&self.myself)?.slots.first().map(|(first, _)| *first)
    }

    /// How recent this node's claim to its slots is. Another failover makes another one.
    pub(in crate::revocation::redis) fn own_epoch(&self) -> u64 {
        self.nodes.get(&self.myself).map_or(0, |node| node.epoch)
    }
}

/// Looks at the cluster through one connection, again and again.
#[derive(Default)]
pub(in crate::revocation::redis) struct Lookout {
    /// The addresses for which the names were asked.
    addresses: BTreeMap<Id, Address>,
    names: Names,
}

impl Lookout {
    /// Asks a node for its view.
    pub(in crate::revocation::redis) async fn look(
        &mut self,
        connection: &mut Connection,
        asked: &Endpoint,
    ) -> Result<View, Loss> {
        let mut commands = pipe();
        commands.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("NODES");
        let mut answers = connection.ask_all(&mut commands).await?.into_iter();
        let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
        let (info, nodes) = (next()?, next()?);
        self.understand(connection, asked, info, nodes).await
    }

    /// Makes a view of what a node answered to `CLUSTER INFO` and `CLUSTER NODES`, and asks it for names when these are
    /// not the nodes for which it was asked before.
    pub(in crate::revocation::redis) async fn understand(
        &mut self,
        connection: &mut Connection,
        asked: &Endpoint,
        info: Value,
        nodes: Value,
    ) -> Result<View, Loss> {
        let info: String = redis::from_redis_value(info).map_err(|_| Loss::Nonsense("CLUSTER INFO"))?;
        let nodes: String = redis::from_redis_value(nodes).map_err(|_| Loss::Nonsense("CLUSTER NODES"))?;
        let lines = lines(&nodes).ok_or(Loss::Nonsense("CLUSTER NODES"))?;
        let addresses: BTreeMap<Id, Address> =
            lines.iter().map(|line| (line.id.to_owned(), line.address.clone())).collect();
        if addresses != self.addresses {
            self.names = names(&connection.ask(cmd("CLUSTER").arg("SLOTS")).await?)
                .ok_or(Loss::Nonsense("CLUSTER SLOTS"))?;
            self.addresses = addresses;
        }
        let is_ok = info.lines().any(|line| line.trim_end() == "cluster_state:ok");
        view(is_ok, &lines, &self.names, asked).ok_or(Loss::Nonsense("CLUSTER NODES"))
    }
}

/// By which host and port each owner of slots wants to be called; no host is that of the node that was asked.
type Names = BTreeMap<Id, (Option<String>, u16)>;

/// Reads `CLUSTER SLOTS`: for each range its ends, its owner and replicas, each as host, port and id.
fn names(answer: &Value) -> Option<Names> {
    let mut names = Names::new();
    for range in as_array(answer)? {
        for node in as_array(range)?.iter().skip(2) {
            let [host, Value::Int(port), Value::BulkString(id), ..] = as_array(node)? else { return None };
            let host = match host {
                Value::Nil => None,
                Value::BulkString(host) => Some(std::str::from_utf8(host).ok()?.to_owned()),
                _ => return None,
            };
            // A node that wants to be called by a name that nobody gave it.
            if host.as_deref() == Some("?") {
                continue;
            }
            let id = std::str::from_utf8(id).ok()?.to_owned();
            names.insert(id, (host.filter(|host| !host.is_empty()), u16::try_from(*port).ok()?));
        }
    }
    Some(names)
}

fn as_array(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

fn view(is_ok: bool, lines: &[Line<'_>], names: &Names, asked: &Endpoint) -> Option<View> {
    let myself = lines.iter().find(|line| line.has("myself"))?;
    let prefers_hostnames = lines.iter().any(|line| {
        let Address { ip, port: _, hostname } = &line.address;
        names.get(line.id).is_some_and(|(name, _)| name.as_ref() == Some(hostname) && hostname != ip)
    });
    let mut nodes = BTreeMap::new();
    for line in lines.iter().filter(|line| !line.has("handshake") && !line.has("noaddr")) {
        let Address { ip, port, hostname } = &line.address;
        let (host, port) = match names.get(line.id) {
            Some((name, port)) => (name.as_deref(), *port),
            None if prefers_hostnames && !hostname.is_empty() => (Some(hostname.as_str()), *port),
            None => (Some(ip.as_str()).filter(|ip| !ip.is_empty()), *port),
        };
        // A node that does not know its own name is where it was asked.
        let host = host.unwrap_or(&asked.host).to_owned();
        let node = Node {
            endpoint: Endpoint { host, port, scheme: asked.scheme },
            is_primary: line.has("master"),
            has_failed: line.has("fail"),
            epoch: line.epoch,
            slots: line.slots.clone(),
        };
        // Of two nodes of one name, one would not be followed.
        if nodes.insert(line.id.to_owned(), node).is_some() {
            return None;
        }
    }
    let well = nodes.values().filter(|node| node.is_primary && !node.has_failed);
    let uncovered = first_uncovered(well.flat_map(|node: &Node| node.slots.iter().copied()));
    let targets = myself.targets.iter().map(|id| (*id).to_owned()).collect();
    Some(View { myself: myself.id.to_owned(), is_ok, uncovered, nodes, targets })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::revocation::redis::endpoint::Scheme;

    fn asked() -> Endpoint {
        Endpoint { host: "seed".to_owned(), port: 7000, scheme: Scheme::Plain }
    }

    /// A view as `CLUSTER NODES` alone gives it.
    pub(in crate::revocation::redis::cluster) fn view_of(is_ok: bool, nodes: &str) -> Option<View> {
        view(is_ok, &lines(nodes)?, &Names::new(), &asked())
    }

    #[test]
    fn a_view() {
        let view = view_of(
            true,
            "aaa 10.0.0.1:7001@17001 myself,master - 0 0 7 connected 0-99 101 [5->-bbb] [200-<-ccc]\n\
             bbb 10.0.0.2:7002@17002,two.example,shard-id=x slave aaa 0 1 7 connected\n\
             ccc ::1:7003@17003 master,fail? - 0 1 2 connected 102-16383\n\
             ddd :7004@17004 master - 0 1 0 disconnected 100\n\
             eee :0@0 master,noaddr - 0 1 0 disconnected\n\
             fff 10.0.0.6:7006@17006 handshake - 0 0 0 connected\n",
        )
        .unwrap();
        let holders: Vec<String> = view.holders().map(|(id, endpoint)| format!("{id} {endpoint}")).collect();
        assert_eq!(
            holders,
            [
                "aaa redis://10.0.0.1:7001",
                "bbb redis://10.0.0.2:7002",
                "ccc redis://[::1]:7003",
                "ddd redis://seed:7004"
            ]
        );
        assert_eq!((view.uncovered, view.own_slot(), view.own_epoch()), (None, Some(0), 7));
        assert!(view.knows("bbb") && !view.knows("eee") && !view.knows("fff"));
        assert_eq!(view.myself, "aaa");
    }

    #[test]
    fn slots_without_an_owner_that_is_well() {
        let a = "a 1.1.1.1:1@2 myself,master - 0 0 1 connected";
        let b = "b 1.1.1.2:1@2 master - 0 0 1 connected";
        for (nodes, expect) in [
            (format!("{a} 0-16383"), None),
            (format!("{a}\n{b}"), Some(0)),
            (format!("{a} 0-5\n{b} 7-16383"), Some(6)),
            (format!("{a} 0-5\n{b} 6-16382"), Some(16383)),
            (format!("{a} 0-9\n{b} 3-5 6-16383"), None),
            (format!("{a} 1-16383"), Some(0)),
            (format!("{a} 0-99\nb 1.1.1.2:1@2 master,fail - 0 0 1 connected 100-16383"), Some(100)),
            (format!("{a} 0-99\nb 1.1.1.2:1@2 master,fail? - 0 0 1 connected 100-16383"), None),
            (format!("{a} 0-99\nb 1.1.1.2:1@2 slave a 0 0 1 connected 100-16383"), Some(100)),
        ] {
            assert_eq!(view_of(true, &nodes).unwrap().uncovered, expect, "{nodes}");
        }
    }

    #[test]
    fn what_is_no_view() {
        for nodes in [
            "",
            "a 1.1.1.1:1@2 master - 0 0 1 connected 0-16383",
            "a 1.1.1.1:1@2 myself,master - 0 0 x connected",
            "a 1.1.1.1:1@2 myself,master - 0 0 1 connected 0-16384",
            "a 1.1.1.1:1@2 myself,master - 0 0 1 connected 5-3",
            "a 1.1.1.1:1@2 myself,master - 0 0 1 connected x",
            "a 1.1.1.1:1@2 myself,master - 0 0 1 connected [5->-b",
            "a 1.1.1.1 myself,master - 0 0 1 connected 0",
            "a",
            "a 1.1.1.1:1@2 myself,master - 0 0 1 connected 0-99\na 1.1.1.2:1@2 master - 0 0 1 connected 100-16383",
        ] {
            assert_eq!(view_of(true, nodes), None, "{nodes}");
        }
    }

    #[test]
    fn nodes_are_called_as_they_want() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |host: Value, id: &str| {
            Value::Array(vec![host, Value::Int(6379), text(id), Value::Array(Vec::new())])
        };
        let range =
            |nodes: Vec<Value>| Value::Array([vec![Value::Int(0), Value::Int(16383)], nodes].concat());
        let all = "a 10.0.0.1:7001@17001,one.example myself,master - 0 0 7 connected 0-16383\n\
                   b 10.0.0.2:7002@17002,two.example slave a 0 1 7 connected\n\
                   c 10.0.0.3:7003@17003,three.example master - 0 1 7 connected\n";
        for (slots, expect) in [
            (
                range(vec![node(text("one.example"), "a"), node(text("two.example"), "b")]),
                ["one.example:6379", "two.example:6379", "three.example:7003"],
            ),
            (range(vec![node(text("10.0.0.1"), "a")]), ["10.0.0.1:6379", "10.0.0.2:7002", "10.0.0.3:7003"]),
            (range(vec![node(Value::Nil, "a")]), ["seed:6379", "10.0.0.2:7002", "10.0.0.3:7003"]),
        ] {
            let names = names(&Value::Array(vec![slots])).unwrap();
            let view = view(true, &lines(all).unwrap(), &names, &asked()).unwrap();
            let found: Vec<String> =
                view.endpoints().map(|endpoint| format!("{}:{}", endpoint.host, endpoint.port)).collect();
            assert_eq!(found, expect);
        }
        for nonsense in
            [Value::Nil, Value::Array(vec![Value::Nil]), Value::Array(vec![range(vec![Value::Nil])])]
        {
            assert!(names(&nonsense).is_none(), "{nonsense:?}");
        }
    }
}

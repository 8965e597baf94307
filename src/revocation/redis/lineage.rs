//! Which list is this? Tells the list that was followed before from one that took its place.
//!
//! An entry that is absent was lifted only if nothing could have lost it: the same process of Redis still holds the
//! keys it held before. A restart may have gone back to an older file, a replica may have been behind its primary, and
//! `FLUSHALL` empties everything: none of them means that nobody is revoked any more.

use redis::{Value, cmd, pipe};

use super::cluster::{View, key_in};
use super::connection::{Connection, Loss};
use crate::hex;

/// A key with a random value. When it is gone or another one, the keys beside it are not those that were known.
pub(super) const EPOCH: &str = "portcullis:revocation-epoch";

/// One uninterrupted list, or the part of it that one node of a cluster has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lineage {
    /// Of the process that holds the list; empty when Redis does not say.
    run: String,
    /// Where the epoch stands. A node of a cluster that owns no slots has no place for one.
    pub(super) mark: Option<String>,
    /// Of the list.
    pub(super) epoch: Option<String>,
}

impl Lineage {
    /// Whether this is certainly the list that `earlier` was, so that what is absent was taken out. Without an epoch,
    /// nobody can tell that it was not emptied in between.
    pub(super) fn continues(&self, earlier: &Self) -> bool {
        !self.run.is_empty() && self.epoch.is_some() && self == earlier
    }

    /// Whether the list that this was is certainly gone where `later` is now.
    pub(super) fn was_replaced_by(&self, later: &Self) -> bool {
        self.epoch.is_some() && self.mark == later.mark && self.epoch != later.epoch
    }

    /// The same list, marked where this node of a cluster can keep a mark now.
    pub(super) async fn mark_anew(&self, connection: &mut Connection, view: &View) -> Result<Self, Loss> {
        let mark = mark_of(view);
        let epoch = match &mark {
            Some(mark) => begin_epoch(connection, mark).await?,
            None => None,
        };
        Ok(Self { run: self.run.clone(), mark, epoch })
    }
}

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) lineage: Lineage,
    pub(super) role: Role,
    /// The policy by which Redis may throw keys away when its memory is full.
    pub(super) evicts: Option<String>,
}

/// Who a server is to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Primary,
    Replica,
}

/// Asks a server about itself, and marks its list with an epoch if it has none and may be written to.
pub(super) async fn inspect(connection: &mut Connection) -> Result<About, Loss> {
    let info: String = connection.ask(&cmd("INFO")).await?;
    if field(&info, "cluster_enabled") == Some("1") || field(&info, "redis_mode") == Some("cluster") {
        return Err(Loss::Cluster);
    }
    let role = role(&info)?;
    let epoch = match (epoch(connection, EPOCH).await?, role) {
        (Some(epoch), Role::Primary | Role::Replica) => Some(epoch),
        (None, Role::Replica) => None,
        (None, Role::Primary) => begin_epoch(connection, EPOCH).await?,
    };
    let run = field(&info, "run_id").unwrap_or_default().to_owned();
    let lineage = Lineage { run, mark: Some(EPOCH.to_owned()), epoch };
    Ok(About { lineage, role, evicts: eviction(&info).map(str::to_owned) })
}

/// Asks the node of a cluster that has this `view` about itself, and marks its part of the list.
pub(super) async fn inspect_node(connection: &mut Connection, view: &View) -> Result<About, Loss> {
    let info: String = connection.ask(&cmd("INFO")).await?;
    let role = role(&info)?;
    if role == Role::Replica {
        return Err(Loss::Demoted);
    }
    // What a primary was before it became one again, it may not have any more.
    let run = field(&info, "run_id").map(|run| format!("{run} {}", view.own_epoch())).unwrap_or_default();
    let lineage = Lineage { run, mark: None, epoch: None }.mark_anew(connection, view).await?;
    Ok(About { lineage, role, evicts: eviction(&info).map(str::to_owned) })
}

/// A key in a slot that the node of a cluster owns.
fn mark_of(view: &View) -> Option<String> {
    view.own_slot().map(|slot| key_in(slot, EPOCH))
}

/// The policy by which a server throws keys away when its memory is full, if it does.
fn eviction(info: &str) -> Option<&str> {
    let limit = field(info, "maxmemory")?;
    field(info, "maxmemory_policy").filter(|policy| limit != "0" && *policy != "noeviction")
}

/// What `INFO replication` says about a server's role.
///
/// # Errors
/// A replica that has lost its primary: it answers, but hears of nothing.
pub(super) fn role(info: &str) -> Result<Role, Loss> {
    match field(info, "role") {
        Some("master") => Ok(Role::Primary),
        Some("slave" | "replica") if field(info, "master_link_status") == Some("up") => Ok(Role::Replica),
        Some("slave" | "replica") => Err(Loss::Orphaned),
        Some(_) | None => Err(Loss::Nonsense("INFO")),
    }
}

/// The command that makes sure that a list has an epoch: it writes one under `mark` unless there is one.
pub(super) fn epoch_command(mark: &str) -> redis::Cmd {
    let mut bytes = [0_u8; 16];
    // Without randomness an epoch would be the same everywhere; with the process's own failing, none is better.
    let value = match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => hex::encode(&bytes),
        Err(_) => String::new(),
    };
    let mut command = cmd("SET");
    command.arg(mark).arg(value).arg("NX");
    command
}

async fn epoch(connection: &mut Connection, mark: &str) -> Result<Option<String>, Loss> {
    connection.ask(cmd("GET").arg(mark)).await
}

/// Writes an epoch. Being refused is no failure: the list can be followed without one.
async fn begin_epoch(connection: &mut Connection, mark: &str) -> Result<Option<String>, Loss> {
    let answers = connection.ask_all(pipe().add_command(epoch_command(mark)).cmd("GET").arg(mark)).await?;
    match answers.into_iter().next_back() {
        Some(Ok(value)) => epoch_in(value),
        // The slot is just leaving the node.
        Some(Err(error)) if error.is_cluster_error() => Ok(None),
        Some(Err(_)) | None => Err(Loss::Nonsense("GET")),
    }
}

/// The epoch in an answer to `GET`.
pub(super) fn epoch_in(answer: Value) -> Result<Option<String>, Loss> {
    redis::from_redis_value(answer).map_err(|_| Loss::Nonsense("GET"))
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles() {
        for (info, expect) in [
            ("# Replication\r\nrole:master\r\nconnected_slaves:1\r\n", Some(Role::Primary)),
            ("role:slave\r\nmaster_host:x\r\nmaster_link_status:up\r\n", Some(Role::Replica)),
            ("role:slave\r\nmaster_link_status:down\r\n", None),
            ("role:slave\r\n", None),
            ("role:sentinel\r\n", None),
            ("xrole:master\r\n", None),
            ("", None),
        ] {
            assert_eq!(role(info).ok(), expect, "{info:?}");
        }
    }

    #[test]
    fn evictions() {
        for (info, expect) in [
            ("maxmemory:0\r\nmaxmemory_human:0B\r\nmaxmemory_policy:allkeys-lru\r\n", None),
            ("maxmemory:1000\r\nmaxmemory_policy:noeviction\r\n", None),
            ("maxmemory:1000\r\nmaxmemory_policy:volatile-ttl\r\n", Some("volatile-ttl")),
            ("maxmemory_policy:volatile-ttl\r\n", None),
            ("", None),
        ] {
            assert_eq!(eviction(info), expect, "{info:?}");
        }
    }

    #[test]
    fn a_list_continues_only_in_the_same_process_with_the_same_epoch() {
        let lineage = |run: &str, epoch: Option<&str>| Lineage {
            run: run.into(),
            mark: Some("m".to_owned()),
            epoch: epoch.map(str::to_owned),
        };
        for (now, earlier, expect) in [
            (lineage("a", Some("1")), lineage("a", Some("1")), true),
            (lineage("a", None), lineage("a", None), false),
            (lineage("a", Some("1")), lineage("a", Some("2")), false),
            (lineage("a", None), lineage("a", Some("1")), false),
            (lineage("b", Some("1")), lineage("a", Some("1")), false),
            (lineage("", Some("1")), lineage("", Some("1")), false),
        ] {
            assert_eq!(now.continues(&earlier), expect, "{now:?} after {earlier:?}");
        }
    }
}

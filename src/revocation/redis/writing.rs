//! Writes entries to Redis and lists them. Each operation opens a connection of its own: revocations are rare, and
//! nothing is left behind that could be in a bad state.

use std::time::Duration;

use redis::{Value, cmd, pipe};

use super::connection::{Connection, Loss};
use super::lineage::epoch_command;
use super::reading::{Keys, Life, page};
use super::server::Server;
use crate::authn::revocable::Kind;
use crate::clock::Clock;
use crate::revocation::cutoff::{Stamp, carries_time};
use crate::revocation::entry::{Entry, LONGEST_REASON, Lifetime, Name, PREFIX, reason_in};
use crate::revocation::store::{Cursor, Failure, Listed, Page};

/// How many steps of a scan one listing takes: a database may hold many keys that are no entries.
const MOST_STEPS: usize = 100;

/// How many keys a step looks at.
const STEP: usize = 1000;

impl Server {
    /// Writes an entry.
    pub(in crate::revocation) async fn add(&self, entry: &Entry) -> Result<(), Loss> {
        let mut set = cmd("SET");
        set.arg(entry.name().key()).arg(entry.value());
        match entry.lifetime() {
            Lifetime::Endless => {}
            Lifetime::Seconds(seconds) => {
                set.arg("EX").arg(seconds);
            }
        }
        self.with_connection(async |connection| {
            let mut commands = pipe();
            commands.add_command(epoch_command()).add_command(set);
            let answers = connection.ask_all(&mut commands).await?;
            // The epoch is a service to those who follow the list; an entry counts without it.
            match answers.into_iter().next_back() {
                Some(Ok(Value::Okay)) => Ok(()),
                Some(Err(error)) => Err(error.into()),
                // Whoever is told that something is revoked relies on it.
                Some(Ok(_)) | None => Err(Loss::Nonsense("SET")),
            }
        })
        .await
    }

    /// Removes an entry and says whether there was one.
    pub(in crate::revocation) async fn remove(&self, name: &Name) -> Result<bool, Loss> {
        let key = name.key();
        self.with_connection(async |connection| {
            // A gateway may still refuse what Redis has lost. It hears of a key only when there is one to remove, so
            // there is made to be one.
            let mut commands = pipe();
            commands.cmd("DEL").arg(&key).cmd("SET").arg(&key).arg("").arg("EX").arg(1).ignore();
            commands.cmd("DEL").arg(&key).ignore();
            let (removed,): (u64,) = connection.transact(&mut commands).await?;
            Ok(removed > 0)
        })
        .await
    }

    /// Lists about `limit` entries from `cursor` on, of one kind or of all.
    pub(in crate::revocation) async fn list(
        &self,
        kind: Option<Kind>,
        cursor: &Cursor,
        limit: usize,
        clock: &Clock,
    ) -> Result<Page, Failure> {
        let mut at = match cursor.as_str() {
            "" => 0,
            text => text.parse::<u64>().map_err(|_| Failure::Cursor)?,
        };
        let pattern = kind.map_or_else(|| format!("{PREFIX}*"), |kind| format!("{PREFIX}{}:*", kind.name()));
        self.with_connection(async |connection| {
            let mut entries = Vec::new();
            for _ in 0..MOST_STEPS {
                let mut scan = cmd("SCAN");
                scan.arg(at).arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP.min(limit.max(10)));
                let (next, keys) = page(connection.ask(&scan).await?)?;
                read(connection, &keys, clock, &mut entries).await?;
                at = next;
                if at == 0 || entries.len() >= limit {
                    break;
                }
            }
            Ok(Page { entries, next: (at != 0).then(|| Cursor::new(at.to_string())) })
        })
        .await
        .map_err(Failure::Redis)
    }
}

/// Reads the entries under `keys`. What has gone meanwhile is left out.
async fn read(
    connection: &mut Connection,
    keys: &Keys,
    clock: &Clock,
    entries: &mut Vec<Listed>,
) -> Result<(), Loss> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut commands = pipe();
    for key in keys.iter() {
        commands.cmd("PTTL").arg(key);
        commands.cmd("GETRANGE").arg(key).arg(0).arg(LONGEST_REASON + 32);
    }
    let mut answers = connection.ask_all(&mut commands).await?.into_iter();
    let now = clock.unix_millis();
    for name in keys.iter().map(Name::of_key) {
        let (Some(name), Some(ttl), Some(value)) = (name, answers.next(), answers.next()) else {
            return Err(Loss::Nonsense("PTTL"));
        };
        let expires = match Life::of(&ttl?)? {
            Life::None => continue,
            Life::Endless => None,
            Life::Remaining(remaining) => Some(now.saturating_add(millis(remaining)) / 1000),
        };
        let value = match value {
            Ok(Value::BulkString(value)) => value,
            Ok(_) | Err(_) => Vec::new(),
        };
        let issued_until =
            carries_time(name.kind()).then(|| Stamp::read(&value)).and_then(|stamp| stamp.millis);
        let reason = reason_in(name.kind(), &String::from_utf8_lossy(&value)).to_owned();
        entries.push(Listed::new(&name, issued_until.map(|millis| millis / 1000), expires, &reason));
    }
    Ok(())
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

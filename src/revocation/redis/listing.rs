//! Lists the entries in Redis, page by page.

use std::time::Duration;

use redis::{Pipeline, RedisResult, Value, cmd, pipe};

use super::cluster::{Asking, Cluster};
use super::connection::{Connection, Link, Loss};
use super::reading::{Keys, Life, page};
use super::server::{Route, Server};
use crate::authn::revocable::Kind;
use crate::clock::Clock;
use crate::revocation::cutoff::{Stamp, carries_time};
use crate::revocation::entry::{LONGEST_REASON, Name, PREFIX, reason_in};
use crate::revocation::store::{Cursor, Failure, Listed, Page};

/// How many steps of a scan one page takes: a database may hold many keys that are no entries.
const MOST_STEPS: usize = 100;

/// How many keys a step looks at.
const STEP: usize = 1000;

/// A page that is being filled.
struct Filling<'a> {
    pattern: String,
    limit: usize,
    clock: &'a Clock,
    entries: Vec<Listed>,
}

impl Server {
    /// Lists about `limit` entries from `cursor` on, of one kind or of all.
    pub(in crate::revocation) async fn list(
        &self,
        kind: Option<Kind>,
        cursor: &Cursor,
        limit: usize,
        clock: &Clock,
    ) -> Result<Page, Failure> {
        let pattern = kind.map_or_else(|| format!("{PREFIX}*"), |kind| format!("{PREFIX}{}:*", kind.name()));
        let mut filling = Filling { pattern, limit, clock, entries: Vec::new() };
        let next = match &self.route {
            Route::Cluster(cluster) => self.list_cluster(cluster, cursor, &mut filling).await?,
            Route::Direct(_) | Route::Sentinel(_) => {
                let at = number(cursor.as_str())?;
                let next =
                    self.with_connection(async |connection| filling.scan(connection, at).await).await?;
                (next != 0).then(|| next.to_string())
            }
        };
        Ok(Page { entries: filling.entries, next: next.map(Cursor::new) })
    }

    /// Lists one node of a cluster after the other, in the order of their names.
    async fn list_cluster(
        &self,
        cluster: &Cluster,
        cursor: &Cursor,
        filling: &mut Filling<'_>,
    ) -> Result<Option<String>, Failure> {
        let (mut from, mut at) = match cursor.as_str() {
            "" => (String::new(), 0),
            text => {
                let (id, at) = text.split_once(':').ok_or(Failure::Cursor)?;
                (id.to_owned(), number(at)?)
            }
        };
        let holders = self.holders(cluster).await?;
        if !from.is_empty() && !holders.contains_key(&from) {
            return Err(Failure::Cursor);
        }
        for (id, endpoint) in holders.range(from.clone()..) {
            if *id != from {
                (from, at) = (id.clone(), 0);
            }
            if filling.is_full() {
                return Ok(Some(format!("{from}:{at}")));
            }
            let Link { endpoint: _, mut connection, driver } = self.connect_to(endpoint, None).await?;
            let next = tokio::select! {
                biased;
                next = filling.scan(&mut connection, at) => next?,
                () = driver => return Err(Loss::Closed.into()),
            };
            if next != 0 {
                return Ok(Some(format!("{from}:{next}")));
            }
        }
        Ok(None)
    }
}

impl Filling<'_> {
    fn is_full(&self) -> bool {
        self.entries.len() >= self.limit
    }

    /// Goes through the keys of one server from `at` on, until the page is full, and says where it went to.
    async fn scan(&mut self, connection: &mut Connection, mut at: u64) -> Result<u64, Loss> {
        for _ in 0..MOST_STEPS {
            let mut scan = cmd("SCAN");
            scan.arg(at).arg("MATCH").arg(&self.pattern).arg("COUNT").arg(STEP.min(self.limit.max(10)));
            let (next, keys) = page(connection.ask(&scan).await?)?;
            self.read(connection, &keys).await?;
            at = next;
            if at == 0 || self.is_full() {
                break;
            }
        }
        Ok(at)
    }

    /// Reads the entries under `keys`. What has gone meanwhile is left out.
    async fn read(&mut self, connection: &mut Connection, keys: &Keys) -> Result<(), Loss> {
        if keys.is_empty() {
            return Ok(());
        }
        let now = self.clock.unix_millis();
        let plain = connection.ask_all(&mut read_commands(keys.iter(), Asking::No)).await?;
        for (key, answers) in keys.iter().zip(plain.chunks_exact(2)) {
            let entry = match listed(key, answers, now) {
                // A slot of a cluster may be on its way to this node. If the entry is not here, another node lists it.
                Err(Loss::Elsewhere(_)) => {
                    let mut commands = read_commands(std::iter::once(key), Asking::Yes);
                    let answers = connection.ask_all(&mut commands).await?;
                    let [_, ttl, _, value] = answers.as_slice() else { return Err(Loss::Nonsense("ASKING")) };
                    match listed(key, &[ttl.clone(), value.clone()], now) {
                        Err(Loss::Elsewhere(_)) => None,
                        entry => entry?,
                    }
                }
                entry => entry?,
            };
            self.entries.extend(entry);
        }
        Ok(())
    }
}

fn number(text: &str) -> Result<u64, Failure> {
    if text.is_empty() { Ok(0) } else { text.parse().map_err(|_| Failure::Cursor) }
}

fn read_commands<'a>(keys: impl Iterator<Item = &'a [u8]>, asking: Asking) -> Pipeline {
    let mut commands = pipe();
    for key in keys {
        asking.precede(&mut commands).cmd("PTTL").arg(key);
        asking.precede(&mut commands).cmd("GETRANGE").arg(key).arg(0).arg(LONGEST_REASON + 32);
    }
    commands
}

/// The entry under `key` by what `PTTL` and `GETRANGE` say about it.
fn listed(key: &[u8], answers: &[RedisResult<Value>], now: u64) -> Result<Option<Listed>, Loss> {
    let (Some(name), [ttl, value]) = (Name::of_key(key), answers) else {
        return Err(Loss::Nonsense("PTTL"));
    };
    let expires = match Life::of(ttl.as_ref().map_err(|error| Loss::from(error.clone()))?)? {
        Life::None => return Ok(None),
        Life::Endless => None,
        Life::Remaining(remaining) => Some(now.saturating_add(millis(remaining)) / 1000),
    };
    let value = match value {
        Ok(Value::BulkString(value)) => value.as_slice(),
        // Without the right to read it, the list would show entries without reasons and times.
        Err(error) if error.code() == Some("NOPERM") => return Err(Loss::from(error.clone())),
        Ok(_) | Err(_) => &[],
    };
    let issued_until = carries_time(name.kind()).then(|| Stamp::read(value)).and_then(|stamp| stamp.millis);
    let reason = reason_in(name.kind(), &String::from_utf8_lossy(value)).to_owned();
    Ok(Some(Listed::new(&name, issued_until.map(|millis| millis / 1000), expires, &reason)))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

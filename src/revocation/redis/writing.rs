//! Writes entries to Redis. Each operation opens a connection of its own: revocations are rare, and nothing is left behind
//! that could be in a bad state.

use redis::{Cmd, RedisResult, Value, cmd, pipe};

use super::cluster::Asking;
use super::connection::{Connection, Loss};
use super::lineage::{EPOCH, epoch_command};
use super::server::{Route, Server};
use crate::revocation::entry::{Entry, Lifetime, Name};

/// What is to be written.
pub(super) enum Change<'a> {
    /// This key goes.
    Remove(&'a str),
    /// A `SET`.
    Set(&'a Cmd),
}

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
        match &self.route {
            // Those who follow a node mark it themselves, where it can keep a mark.
            Route::Cluster(cluster) => {
                self.change_in(cluster, &Change::Set(&set)).await?;
            }
            Route::Direct(_) | Route::Sentinel(_) => {
                self.with_connection(async |connection| {
                    // The epoch is a service to those who follow the list; an entry counts without it.
                    connection.ask_all(pipe().add_command(epoch_command(EPOCH))).await?;
                    Change::Set(&set).make(connection, Asking::No).await
                })
                .await?;
            }
        }
        Ok(())
    }

    /// Removes an entry and says whether there was one.
    pub(in crate::revocation) async fn remove(&self, name: &Name) -> Result<bool, Loss> {
        let key = name.key();
        let change = Change::Remove(&key);
        match &self.route {
            Route::Cluster(cluster) => self.change_in(cluster, &change).await,
            Route::Direct(_) | Route::Sentinel(_) => {
                self.with_connection(async |connection| change.make(connection, Asking::No).await).await
            }
        }
    }
}

/// The answer to the last command of several; the first error is the error of all, because the others only follow from it.
fn last_of(answers: Vec<RedisResult<Value>>, command: &'static str) -> Result<Value, Loss> {
    let mut last = None;
    for answer in answers {
        last = Some(answer?);
    }
    last.ok_or(Loss::Nonsense(command))
}

impl Change<'_> {
    /// Makes the change and says whether there was an entry, if that is to be known.
    pub(super) async fn make(&self, connection: &mut Connection, asking: Asking) -> Result<bool, Loss> {
        match self {
            Self::Remove(key) => {
                let mut delete = pipe();
                asking.precede(&mut delete).cmd("DEL").arg(key);
                match last_of(connection.ask_all(&mut delete).await?, "DEL")? {
                    Value::Int(1..) => return Ok(true),
                    Value::Int(_) => {}
                    _ => return Err(Loss::Nonsense("DEL")),
                }
                // Redis has lost the entry, or never had it. Gateways may still enforce it, and Redis announces a key only
                // when there is one to remove: so a key is made and removed, in a transaction that no gateway sees half of.
                // It counts what it removes, because another client may have written the entry since the first `DEL`.
                let mut announce = pipe();
                asking.precede(&mut announce).cmd("MULTI").cmd("DEL").arg(key);
                announce.cmd("SET").arg(key).arg("").arg("EX").arg(1).cmd("DEL").arg(key).cmd("EXEC");
                match last_of(connection.ask_all(&mut announce).await?, "EXEC")? {
                    Value::Array(replies) => match replies.first() {
                        Some(Value::Int(removed)) => Ok(*removed > 0),
                        Some(_) | None => Err(Loss::Nonsense("EXEC")),
                    },
                    _ => Err(Loss::Nonsense("EXEC")),
                }
            }
            Self::Set(set) => {
                let mut commands = pipe();
                asking.precede(&mut commands).add_command((*set).clone());
                match connection.ask_all(&mut commands).await?.into_iter().next_back() {
                    Some(Ok(Value::Okay)) => Ok(true),
                    Some(Err(error)) => Err(error.into()),
                    // Whoever is told that something is revoked relies on it.
                    Some(Ok(_)) | None => Err(Loss::Nonsense("SET")),
                }
            }
        }
    }
}

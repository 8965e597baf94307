//! Writes entries to Redis. Each operation opens a connection of its own: revocations are rare, and nothing is left behind
//! that could be in a bad state.

use redis::{Cmd, Value, cmd, pipe};

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

impl Change<'_> {
    /// Makes the change and says whether there was an entry, if that is to be known.
    pub(super) async fn make(&self, connection: &mut Connection, asking: Asking) -> Result<bool, Loss> {
        match self {
            Self::Remove(key) => {
                if asking == Asking::Yes {
                    connection.ask::<()>(&cmd("ASKING")).await?;
                }
                // A gateway may still refuse what Redis has lost. It hears of a key only when there is one to remove, so
                // there is made to be one.
                let mut commands = pipe();
                commands.cmd("DEL").arg(key).cmd("SET").arg(key).arg("").arg("EX").arg(1).ignore();
                commands.cmd("DEL").arg(key).ignore();
                let (removed,): (u64,) = connection.transact(&mut commands).await?;
                Ok(removed > 0)
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

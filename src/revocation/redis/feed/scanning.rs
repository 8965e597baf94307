//! Reads everything that is there, page by page: at the beginning, for the rounds of a cluster, and all the time a little.

use super::{Extent, Feed, Interruption};
use crate::revocation::mirror::Noted;
use crate::revocation::redis::connection::{Connection, Loss};
use crate::revocation::redis::health::Health;
use crate::revocation::redis::inbox::Inbox;
use crate::revocation::redis::reading::{self, BATCH, Keys};

/// How far a scan has come, and what is still to be read of that.
#[derive(Default)]
pub(super) struct Scan {
    cursor: u64,
    keys: Keys,
}

/// How far the patrol goes with each heartbeat: a million keys take a quarter of an hour, and Redis does not notice.
const PATROL_STEP: usize = 250;

impl Feed<'_> {
    /// Reads the whole list, and what changes meanwhile.
    pub(super) async fn read_everything(
        &mut self,
        connection: &mut Connection,
        inbox: &mut Inbox,
        health: &mut Health<'_>,
    ) -> Result<(), Interruption> {
        let (mut cursor, mut keys) = (0, Keys::default());
        loop {
            let page = reading::scanned(connection, &keys, cursor, BATCH, |kind, id, found| {
                self.write_down(kind, id, found);
            });
            (cursor, keys) = page.await?;
            health.foreign(keys.take_foreign());
            self.catch_up(connection, inbox, None, health).await?;
            if cursor == 0 {
                break;
            }
        }
        reading::announced(connection, &keys, None, |kind, id, found| {
            self.write_down(kind, id, found);
        })
        .await?;
        Ok(())
    }

    /// Reads a page of everything for the round of the cluster.
    pub(super) async fn read_for_round(
        &mut self,
        connection: &mut Connection,
        health: &mut Health<'_>,
    ) -> Result<(), Loss> {
        let Extent::Node(member) = self.extent else { return Ok(()) };
        let Some(number) = member.reads() else { return Ok(()) };
        let (last, scan) = std::mem::take(&mut self.round);
        let Scan { cursor, keys } = if last == number { scan } else { Scan::default() };
        let page = reading::scanned(connection, &keys, cursor, BATCH, |kind, id, found| {
            self.write_down(kind, id, found);
        });
        let (cursor, mut keys) = page.await?;
        health.foreign(keys.take_foreign());
        if cursor == 0 {
            reading::announced(connection, &keys, None, |kind, id, found| {
                self.write_down(kind, id, found);
            })
            .await?;
            member.has_read(number);
        } else {
            self.round = (number, Scan { cursor, keys });
        }
        Ok(())
    }

    /// Goes a little further through all keys, and writes down what was not announced.
    pub(super) async fn patrol(
        &mut self,
        connection: &mut Connection,
        health: &mut Health<'_>,
    ) -> Result<(), Loss> {
        let Scan { cursor, keys } = std::mem::take(&mut self.patrol);
        let page = reading::scanned(connection, &keys, cursor, PATROL_STEP, |kind, id, found| {
            if self.write_down(kind, id, found) == Noted::New {
                log::debug!(
                    "revocation list: a change of a `{}` entry was found before it was announced",
                    kind.name()
                );
            }
        });
        let (cursor, mut keys) = page.await?;
        health.foreign(keys.take_foreign());
        self.patrol = Scan { cursor, keys };
        Ok(())
    }
}

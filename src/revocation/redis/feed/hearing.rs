//! Hears what Redis announces, and takes its pulse: what was announced before an answer has to be looked at before the
//! answer proves anything.

use std::time::Instant;

use redis::{Value, pipe};

use super::{Cause, Extent, Feed, Interruption};
use crate::revocation::cutoff::Stamp;
use crate::revocation::mirror::Noted;
use crate::revocation::redis::connection::{Connection, Loss};
use crate::revocation::redis::health::Health;
use crate::revocation::redis::inbox::Inbox;
use crate::revocation::redis::lineage::role;
use crate::revocation::redis::reading::{self, BATCH, Found, Keys, Mark};

/// A revocation that was written longer ago was given an earlier time on purpose.
const LONGEST_PROPAGATION: f64 = 60.0;

/// What a heartbeat brought.
pub(super) enum Pulse {
    /// Proof that the view is complete.
    Regular,
    /// An answer, and no proof: the cluster is down.
    Without,
}

impl Feed<'_> {
    /// Proves that Redis is there and that the view is complete as of now.
    pub(super) async fn heartbeat(
        &mut self,
        connection: &mut Connection,
        inbox: &mut Inbox,
        health: &mut Health<'_>,
    ) -> Result<Pulse, Interruption> {
        let sent = Instant::now();
        let mark = self.lineage.as_ref().and_then(|lineage| lineage.mark.clone());
        let mut commands = pipe();
        commands.cmd("PING").cmd("INFO").arg("replication");
        if let Extent::Node(_) = self.extent {
            commands.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("NODES");
        }
        if let Some(mark) = &mark {
            commands.cmd("GET").arg(mark);
        }
        let mut answers = connection.ask_all(&mut commands).await?.into_iter();
        let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
        next().map_err(Loss::from)?;
        let info = next().map_err(Loss::from)?;
        let info: String = redis::from_redis_value(info).map_err(|_| Loss::Nonsense("INFO"))?;
        self.check_role(role(&info)?)?;
        let view = match self.extent {
            Extent::Node(member) => {
                let (info, nodes) = (next().map_err(Loss::from)?, next().map_err(Loss::from)?);
                let view = self.lookout.understand(connection, member.endpoint, info, nodes).await?;
                Self::check_identity(member, &view)?;
                if view.is_down() {
                    // It answers nothing about keys now. What it announces waits until it does.
                    member.saw(view);
                    return Ok(Pulse::Without);
                }
                Some((member, view))
            }
            Extent::Whole => None,
        };
        match (mark.map(|_| Mark::of(next())).transpose()?, &view) {
            (Some(Mark::Epoch(epoch)), _) => self.check_epoch(epoch.as_deref())?,
            (Some(Mark::Elsewhere) | None, Some((_, view))) => {
                if let Some(lineage) = &self.lineage {
                    self.lineage = Some(lineage.mark_anew(connection, view).await?);
                }
            }
            (Some(Mark::Elsewhere) | None, None) => return Err(Loss::Nonsense("GET").into()),
        }
        self.catch_up(connection, inbox, None, health).await?;
        match view {
            Some((member, view)) => member.proved(sent, view),
            None => self.mirror.is_complete_as_of(sent),
        }
        Ok(Pulse::Regular)
    }

    /// Reads what was announced until now, beginning with `first`.
    pub(super) async fn catch_up(
        &mut self,
        connection: &mut Connection,
        inbox: &mut Inbox,
        first: Option<Vec<Value>>,
        health: &mut Health<'_>,
    ) -> Result<(), Interruption> {
        let mut waiting = inbox.len();
        let mut keys = Keys::default();
        keys.extend(first.into_iter().flatten());
        loop {
            while keys.len() < BATCH && waiting > 0 {
                waiting -= 1;
                keys.extend(inbox.ready().into_iter().flatten());
            }
            health.foreign(keys.take_foreign());
            if !keys.is_empty() {
                self.read_again(connection, inbox, &keys).await?;
            }
            if waiting == 0 {
                break;
            }
            keys = Keys::default();
        }
        inbox.alarm().map_or(Ok(()), |alarm| Err(alarm.into()))
    }

    /// Reads keys that were announced and writes down what became of them.
    async fn read_again(
        &self,
        connection: &mut Connection,
        inbox: &Inbox,
        keys: &Keys,
    ) -> Result<(), Interruption> {
        let (mut absent, mut are_elsewhere) = (Vec::new(), false);
        let mark = self.lineage.as_ref().and_then(|lineage| lineage.mark.as_deref());
        let mark = reading::announced(connection, keys, mark, |kind, id, found| match found {
            Found::Absent => absent.push(kind.fingerprint(id)),
            Found::Elsewhere => are_elsewhere = true,
            Found::Standing(_, stamp) => {
                if self.write_down(kind, id, found) == Noted::New {
                    self.observe(stamp);
                }
            }
        })
        .await?;
        // What is absent was lifted, unless everything is absent. The answers above came after any word of that.
        match mark {
            Mark::Epoch(epoch) => self.check_epoch(epoch.as_deref())?,
            Mark::Elsewhere => (absent, are_elsewhere) = (Vec::new(), true),
        }
        if let Some(alarm) = inbox.alarm() {
            return Err(alarm.into());
        }
        for fingerprint in absent {
            self.mirror.remove(fingerprint);
        }
        if let (true, Extent::Node(member)) = (are_elsewhere, self.extent) {
            member.passed_on();
        }
        Ok(())
    }

    fn check_epoch(&self, epoch: Option<&str>) -> Result<(), Interruption> {
        if self.lineage.as_ref().is_some_and(|lineage| lineage.epoch.as_deref() == epoch) {
            Ok(())
        } else {
            Err(Interruption::Reread(Cause::Emptied))
        }
    }

    /// Measures how long a revocation took to get here. A time in whole seconds makes it seem up to one second longer.
    fn observe(&self, stamp: Option<Stamp>) {
        let Some(written) = stamp.and_then(|stamp| stamp.millis) else { return };
        let millis = self.clock.unix_millis().saturating_sub(written);
        let Ok(millis) = u32::try_from(millis) else { return };
        let seconds = f64::from(millis) / 1000.0;
        if seconds <= LONGEST_PROPAGATION {
            self.metrics.revocation_propagation.observe(seconds);
        }
    }
}

//! Follows the list over one connection: first all of it, then every change, and proof all the while of how old the
//! view is.
//!
//! Order is everything here, so one command is under way at a time. Announcements are asked for before the list is read,
//! so what changes meanwhile is read again. A heartbeat's answer comes after everything that was announced before it was
//! sent: when those keys have been read, the view is as young as the moment of sending.

use std::convert::Infallible;
use std::time::Instant;

use redis::{Value, cmd, pipe};
use tokio::time::{MissedTickBehavior, interval_at};

use super::HEARTBEAT;
use super::connection::{Connection, Link, Loss};
use super::health::Health;
use super::inbox::{Alarm, Inbox};
use super::lineage::{EPOCH, Lineage, Role, epoch_in, inspect, role};
use super::reading::{self, BATCH, Found, Keys};
use super::server::{Route, Server};
use crate::clock::Clock;
use crate::revocation::cutoff::Stamp;
use crate::revocation::entry::PREFIX;
use crate::revocation::mirror::{Absence, Mirror, Noted};
use crate::telemetry::metrics::Metrics;

/// What is carried from one connection to the next.
pub(super) struct Feed<'a> {
    server: &'a Server,
    mirror: &'a Mirror,
    metrics: &'a Metrics,
    clock: &'a Clock,
    /// The list that the mirror was made from, as far as its entries are not marked as kept.
    lineage: Option<Lineage>,
    patrol: Patrol,
}

/// A scan that never ends, and finds what was not announced.
#[derive(Default)]
struct Patrol {
    cursor: u64,
    keys: Keys,
}

/// How far the patrol goes with each heartbeat: a million keys take a quarter of an hour, and Redis does not notice.
const PATROL_STEP: usize = 250;

/// How many parts of the mirror are worked on before others get a turn.
const PARTS_IN_A_ROW: usize = 512;

/// A revocation that was written longer ago was given an earlier time on purpose.
const LONGEST_PROPAGATION: f64 = 60.0;

/// Why following stopped.
enum Interruption {
    /// The whole list has to be read again.
    Reread(Cause),
    /// The connection is of no more use.
    Lost(Loss),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Keys may have been lost.
    Emptied,
    /// Changes were missed, but no keys were lost.
    Overflowed,
}

impl From<Loss> for Interruption {
    fn from(loss: Loss) -> Self {
        Self::Lost(loss)
    }
}

impl From<Alarm> for Interruption {
    fn from(alarm: Alarm) -> Self {
        match alarm {
            Alarm::Emptied => Self::Reread(Cause::Emptied),
            Alarm::Overflowed => Self::Reread(Cause::Overflowed),
        }
    }
}

impl<'a> Feed<'a> {
    pub(super) fn new(
        server: &'a Server,
        mirror: &'a Mirror,
        metrics: &'a Metrics,
        clock: &'a Clock,
    ) -> Self {
        Self { server, mirror, metrics, clock, lineage: None, patrol: Patrol::default() }
    }

    /// Connects and follows the list until that is no longer possible.
    pub(super) async fn live(&mut self, health: &mut Health<'_>) -> Loss {
        let server = self.server;
        let (mut inbox, sink) = Inbox::new();
        let Link { endpoint, mut connection, driver } = match server.connect(Some(sink)).await {
            Ok(link) => link,
            Err(loss) => return loss,
        };
        let replaced = async {
            match &server.route {
                Route::Direct(_) => std::future::pending().await,
                Route::Sentinel(sentinel) => server.is_replaced(sentinel, &endpoint).await,
            }
        };
        tokio::select! {
            biased;
            Err(loss) = self.converse(&mut connection, &mut inbox, health) => loss,
            () = driver => Loss::Closed,
            () = replaced => Loss::Demoted,
        }
    }

    /// Whether a server in this role is the one to follow: with Sentinel, only the primary is.
    fn check_role(&self, role: Role) -> Result<(), Loss> {
        match (role, &self.server.route) {
            (Role::Primary, Route::Direct(_) | Route::Sentinel(_)) | (Role::Replica, Route::Direct(_)) => {
                Ok(())
            }
            (Role::Replica, Route::Sentinel(sentinel)) => {
                Server::distrust(sentinel);
                Err(Loss::Demoted)
            }
        }
    }

    async fn converse(
        &mut self,
        connection: &mut Connection,
        inbox: &mut Inbox,
        health: &mut Health<'_>,
    ) -> Result<Infallible, Loss> {
        let mut tracking = cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(PREFIX);
        connection.ask::<()>(&tracking).await?;
        loop {
            let Err(interruption) = self.follow(connection, inbox, health).await;
            match interruption {
                Interruption::Lost(loss) => return Err(loss),
                Interruption::Reread(Cause::Overflowed) => {}
                Interruption::Reread(Cause::Emptied) => self.lineage = None,
            }
        }
    }

    /// Reads the whole list and then follows its changes.
    async fn follow(
        &mut self,
        connection: &mut Connection,
        inbox: &mut Inbox,
        health: &mut Health<'_>,
    ) -> Result<Infallible, Interruption> {
        inbox.reset();
        self.patrol = Patrol::default();
        let about = inspect(connection).await?;
        self.check_role(about.role)?;
        let explained = self.lineage.as_ref().is_some_and(|before| about.lineage.continues(before));
        health.met(&about, explained);
        let absence = if explained { Absence::Lifted } else { Absence::Unexplained };
        self.each_part(|part| self.mirror.begin_comparison(part, absence)).await;
        // From here on, whatever is not of this lineage is marked as kept.
        self.lineage = Some(about.lineage);
        self.read_everything(connection, inbox, health).await?;
        self.heartbeat(connection, inbox, health).await?;
        self.each_part(|part| self.mirror.end_comparison(part)).await;
        health.up(self.mirror);
        let mut beat = interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = beat.tick() => {
                    self.heartbeat(connection, inbox, health).await?;
                    self.patrol(connection, health).await?;
                }
                keys = inbox.next() => self.catch_up(connection, inbox, Some(keys), health).await?,
            }
        }
    }

    async fn read_everything(
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
        reading::announced(connection, &keys, |kind, id, found| {
            self.write_down(kind, id, found);
        })
        .await?;
        Ok(())
    }

    /// Proves that Redis is there and that the view is complete as of now.
    async fn heartbeat(
        &mut self,
        connection: &mut Connection,
        inbox: &mut Inbox,
        health: &mut Health<'_>,
    ) -> Result<(), Interruption> {
        let sent = Instant::now();
        let mut commands = pipe();
        commands.cmd("PING").cmd("GET").arg(EPOCH).cmd("INFO").arg("replication");
        let answers: Vec<Value> = connection
            .ask_all(&mut commands)
            .await?
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(Loss::from)?;
        let Ok([_, epoch, info]) = <[Value; 3]>::try_from(answers) else {
            return Err(Loss::Nonsense("PING").into());
        };
        let info: String = redis::from_redis_value(info).map_err(|_| Loss::Nonsense("INFO"))?;
        self.check_role(role(&info)?)?;
        self.check_epoch(epoch_in(epoch)?.as_deref())?;
        self.catch_up(connection, inbox, None, health).await?;
        self.mirror.is_complete_as_of(sent);
        Ok(())
    }

    /// Reads what was announced until now, beginning with `first`.
    async fn catch_up(
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
        let mut absent = Vec::new();
        let epoch = reading::announced(connection, keys, |kind, id, found| match found {
            Found::Absent => absent.push(kind.fingerprint(id)),
            Found::Standing(_, stamp) => {
                if self.write_down(kind, id, found) == Noted::New {
                    self.observe(stamp);
                }
            }
        })
        .await?;
        // What is absent was lifted, unless everything is absent. The answers above came after any word of that.
        self.check_epoch(epoch.as_deref())?;
        if let Some(alarm) = inbox.alarm() {
            return Err(alarm.into());
        }
        for fingerprint in absent {
            self.mirror.remove(fingerprint);
        }
        Ok(())
    }

    /// Goes a little further through all keys, and writes down what was not announced.
    async fn patrol(&mut self, connection: &mut Connection, health: &mut Health<'_>) -> Result<(), Loss> {
        let Patrol { cursor, keys } = std::mem::take(&mut self.patrol);
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
        self.patrol = Patrol { cursor, keys };
        Ok(())
    }

    fn write_down(&self, kind: crate::authn::revocable::Kind, id: &str, found: Found) -> Noted {
        match found {
            // Whoever removed it is announced, and what expired expires here as well.
            Found::Absent => Noted::Known,
            Found::Standing(term, _) => self.mirror.put(kind, kind.fingerprint(id), term, Instant::now()),
        }
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

    /// Works on every part of the mirror, with a pause now and then for others.
    async fn each_part(&self, work: impl Fn(usize)) {
        for part in 0..self.mirror.parts() {
            work(part);
            if part % PARTS_IN_A_ROW == PARTS_IN_A_ROW - 1 {
                tokio::task::yield_now().await;
            }
        }
    }
}

//! Follows the list over one connection: first all of it, then every change, and proof all the while of how old the
//! view is.
//!
//! Order is everything here, so one command is under way at a time. Announcements are asked for before the list is read,
//! so what changes meanwhile is read again. A heartbeat's answer comes after everything that was announced before it was
//! sent: when those keys have been read, the view is as young as the moment of sending.
//!
//! A node of a cluster is followed in the same way. Only what its part means for the whole is judged elsewhere.

mod hearing;
mod scanning;

use std::convert::Infallible;
use std::time::Instant;

use redis::cmd;
use tokio::time::{MissedTickBehavior, interval_at};

use super::HEARTBEAT;
use super::cluster::{Lookout, Member, View};
use super::connection::{Connection, Link, Loss};
use super::health::Health;
use super::inbox::{Alarm, Inbox};
use super::lineage::{About, Lineage, Role, inspect, inspect_node};
use super::reading::Found;
use super::server::{Route, Server};
use crate::clock::Clock;
use crate::revocation::entry::PREFIX;
use crate::revocation::mirror::{Absence, Mirror, Noted};
use crate::telemetry::metrics::Metrics;
use hearing::Pulse;
use scanning::Scan;

/// What is carried from one connection to the next.
pub(super) struct Feed<'a> {
    server: &'a Server,
    extent: Extent<'a>,
    mirror: &'a Mirror,
    metrics: &'a Metrics,
    clock: &'a Clock,
    /// The list that the mirror was made from, as far as its entries are not marked as kept.
    lineage: Option<Lineage>,
    /// Whether nothing has been read yet.
    is_first: bool,
    lookout: Lookout,
    /// A scan that never ends, and finds what was not announced.
    patrol: Scan,
    /// The scan for the round of a cluster that has this number.
    round: (u64, Scan),
}

/// What of the list is at the other end.
#[derive(Clone, Copy)]
pub(super) enum Extent<'a> {
    /// The part of a node of a cluster.
    Node(Member<'a>),
    /// All of it.
    Whole,
}

/// How many parts of the mirror are worked on before others get a turn.
const PARTS_IN_A_ROW: usize = 512;

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
        extent: Extent<'a>,
        mirror: &'a Mirror,
        metrics: &'a Metrics,
        clock: &'a Clock,
    ) -> Self {
        Self {
            server,
            extent,
            mirror,
            metrics,
            clock,
            lineage: None,
            is_first: true,
            lookout: Lookout::default(),
            patrol: Scan::default(),
            round: (0, Scan::default()),
        }
    }

    /// Connects and follows the list until that is no longer possible.
    pub(super) async fn live(&mut self, health: &mut Health<'_>) -> Loss {
        let server = self.server;
        let (mut inbox, sink) = Inbox::new();
        self.lookout = Lookout::default();
        let connected = match self.extent {
            Extent::Node(member) => server.connect_to(member.endpoint, Some(sink)).await,
            Extent::Whole => server.connect(Some(sink)).await,
        };
        let Link { endpoint, mut connection, driver } = match connected {
            Ok(link) => link,
            Err(loss) => return loss,
        };
        let replaced = async {
            match &server.route {
                Route::Cluster(_) | Route::Direct(_) => std::future::pending().await,
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

    /// Whether a server in this role is the one to follow: with Sentinel and in a cluster, only a primary is.
    fn check_role(&self, role: Role) -> Result<(), Loss> {
        match (role, &self.server.route) {
            (Role::Primary, Route::Cluster(_) | Route::Direct(_) | Route::Sentinel(_))
            | (Role::Replica, Route::Direct(_)) => Ok(()),
            (Role::Replica, Route::Cluster(_)) => Err(Loss::Demoted),
            (Role::Replica, Route::Sentinel(sentinel)) => {
                Server::distrust(sentinel);
                Err(Loss::Demoted)
            }
        }
    }

    async fn inspect(&mut self, connection: &mut Connection) -> Result<About, Loss> {
        let Extent::Node(member) = self.extent else { return inspect(connection).await };
        let view = self.lookout.look(connection, member.endpoint).await?;
        Self::check_identity(member, &view)?;
        inspect_node(connection, &view).await
    }

    /// Another node may have taken over the address.
    fn check_identity(member: Member<'_>, view: &View) -> Result<(), Loss> {
        if view.myself == *member.id { Ok(()) } else { Err(Loss::Replaced) }
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
        (self.patrol, self.round) = (Scan::default(), (0, Scan::default()));
        let about = self.inspect(connection).await?;
        self.check_role(about.role)?;
        let explained = self.lineage.as_ref().is_some_and(|before| about.lineage.continues(before));
        health.met(&about, explained);
        let absence = if explained { Absence::Lifted } else { Absence::Unexplained };
        match self.extent {
            Extent::Node(member) => member.missed(absence, std::mem::take(&mut self.is_first)),
            Extent::Whole => {
                each_part(self.mirror, |part| self.mirror.begin_comparison(part, absence)).await;
            }
        }
        // From here on, whatever is not of this lineage is marked as kept, or will be before anything is taken out.
        self.lineage = Some(about.lineage);
        self.read_everything(connection, inbox, health).await?;
        self.heartbeat(connection, inbox, health).await?;
        if let Extent::Whole = self.extent {
            each_part(self.mirror, |part| self.mirror.end_comparison(part)).await;
        }
        health.up(self.mirror);
        let mut beat = interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = beat.tick() => match self.heartbeat(connection, inbox, health).await? {
                    Pulse::Regular => self.patrol(connection, health).await?,
                    Pulse::Without => {}
                },
                keys = inbox.next() => self.catch_up(connection, inbox, Some(keys), health).await?,
                () = has_to_read(self.extent) => self.read_for_round(connection, health).await?,
            }
        }
    }

    fn write_down(&self, kind: crate::authn::revocable::Kind, id: &str, found: Found) -> Noted {
        match found {
            // Whoever removed it is announced, and what expired expires here as well.
            Found::Absent | Found::Elsewhere => Noted::Known,
            Found::Standing(term, _) => self.mirror.put(kind, kind.fingerprint(id), term, Instant::now()),
        }
    }
}

/// Waits until a node of a cluster has to be read for a round.
async fn has_to_read(extent: Extent<'_>) {
    match extent {
        Extent::Node(member) => member.has_to_read().await,
        Extent::Whole => std::future::pending().await,
    }
}

/// Works on every part of the mirror, with a pause now and then for others.
pub(super) async fn each_part(mirror: &Mirror, work: impl Fn(usize)) {
    for part in 0..mirror.parts() {
        work(part);
        if part % PARTS_IN_A_ROW == PARTS_IN_A_ROW - 1 {
            tokio::task::yield_now().await;
        }
    }
}

//! Another protocol on a connection: asked for, agreed to or not, and for how long it may go on.
//!
//! The proxy library knows one timeout for everything that an upstream sends. A WebSocket may be silent for longer than an
//! upstream may take to respond, so the library gets none for requests that ask for one. The time for the response and the
//! time of a silence after it are kept here.

mod connect;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval, interval_at};

pub(super) use connect::UpgradeConnector;

/// How far a connection has come on its way to another protocol.
#[derive(Default)]
pub(super) struct Upgrade(Mutex<State>);

#[derive(Default)]
enum State {
    /// HTTP is spoken.
    #[default]
    None,
    /// The upstream has been asked, and has until the first tick to answer.
    Asked(Interval),
    /// It did not answer in time.
    Overdue,
    /// Another protocol is spoken.
    Agreed(Lease),
}

/// How long another protocol may go on: as long as its credential is good.
struct Lease {
    holds: Box<dyn Fn() -> bool + Send + Sync>,
    ticks: Interval,
    /// How long both sides may be silent.
    idle: Duration,
    /// When one of them last sent something.
    active: Instant,
}

/// What a connection that asked for another protocol may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Speak it.
    Agreed,
    /// No longer speak it: the credential is no longer good.
    Ended,
    /// No longer speak it: both sides have been silent for too long.
    Idle,
    /// No longer wait: the upstream did not answer in time.
    Overdue,
    /// Wait.
    Waiting,
}

/// How often a lease is looked at.
const LEASE_CHECK: Duration = Duration::from_millis(250);

impl Upgrade {
    /// Notes that the upstream has been asked, and gives it so long to answer.
    pub(super) fn ask(&self, within: Duration) {
        *self.state() = State::Asked(interval_at(Instant::now() + within, within.max(LEASE_CHECK)));
    }

    /// Notes that the upstream has agreed, for as long as `holds` says so and no silence is longer than `idle`.
    pub(super) fn agree(&self, holds: Box<dyn Fn() -> bool + Send + Sync>, idle: Duration) {
        let mut ticks = interval(LEASE_CHECK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        *self.state() = State::Agreed(Lease { holds, ticks, idle, active: Instant::now() });
    }

    /// Notes that the upstream has answered something else.
    pub(super) fn decline(&self) {
        *self.state() = State::None;
    }

    /// Notes that one of the sides has sent something in the other protocol.
    pub(super) fn touch(&self) {
        if let State::Agreed(lease) = &mut *self.state() {
            lease.active = Instant::now();
        }
    }

    /// Whether the upstream did not answer in time.
    pub(super) fn is_overdue(&self) -> bool {
        matches!(*self.state(), State::Overdue)
    }

    /// What may be done now. The task is woken to look again, even when nobody sends anything.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Progress {
        let mut state = self.state();
        match &mut *state {
            State::None => Progress::Waiting,
            State::Overdue => Progress::Overdue,
            State::Asked(deadline) => match deadline.poll_tick(context) {
                Poll::Pending => Progress::Waiting,
                Poll::Ready(_) => {
                    *state = State::Overdue;
                    Progress::Overdue
                }
            },
            State::Agreed(Lease { holds, ticks, idle, active }) => {
                while ticks.poll_tick(context).is_ready() {
                    if !holds() {
                        return Progress::Ended;
                    }
                    if active.elapsed() >= *idle {
                        return Progress::Idle;
                    }
                }
                Progress::Agreed
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

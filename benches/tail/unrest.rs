//! What goes on while others send good requests.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::time::{MissedTickBehavior, interval};

use super::gateway::{client, status};
use super::process::Gateway;
use super::redis::Redis;
use super::season::Season;

/// What everybody's password is.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Each logs in once, because a password that was verified is remembered.
const USERS: u64 = 10_000;

/// How often something happens.
const TICK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unrest {
    Reloads,
    Rotations,
    Revocations,
    LogIns,
    Everything,
}

impl Unrest {
    pub(crate) const ALL: [Self; 5] =
        [Self::Reloads, Self::Rotations, Self::Revocations, Self::LogIns, Self::Everything];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reloads => "the policy changes each second",
            Self::Rotations => "keys are rotated each second, of 1,000",
            Self::Revocations => "1,000 revocations a second arrive",
            Self::LogIns => "200 people a second try to log in for the first time, bcrypt cost 10",
            Self::Everything => "all of this",
        }
    }

    pub(crate) fn includes(self, other: Self) -> bool {
        self == other || self == Self::Everything
    }
}

/// Where it happens, and how much has happened so far.
pub(crate) struct Scene<'a> {
    gateway: &'a Gateway,
    season: &'a Season,
    redis: &'a Redis,
    revoked: u64,
    tried: u64,
    logged_in: Arc<AtomicU64>,
    time: Duration,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(gateway: &'a Gateway, season: &'a Season, redis: &'a Redis) -> Self {
        // The first user is one of those who send good requests.
        Self { gateway, season, redis, revoked: 0, tried: 1, logged_in: Arc::default(), time: Duration::ZERO }
    }

    /// Does something, and lets this happen meanwhile.
    pub(crate) fn play<T>(&mut self, unrest: Unrest, something: impl FnOnce() -> T) -> T {
        let over = AtomicBool::new(false);
        let begin = Instant::now();
        let done = std::thread::scope(|scope| {
            let thread = scope.spawn(|| self.go_on(unrest, &over));
            let done = something();
            over.store(true, Ordering::SeqCst);
            thread.join().expect("unrest that ends");
            done
        });
        self.time += begin.elapsed();
        done
    }

    /// How many could log in each second; a machine may be too slow for all of them.
    pub(crate) fn logged_in(&self) -> f64 {
        f64::from(u32::try_from(self.logged_in.load(Ordering::Relaxed)).unwrap_or(u32::MAX))
            / self.time.as_secs_f64()
    }

    fn go_on(&mut self, unrest: Unrest, over: &AtomicBool) {
        // It stands for machines elsewhere, and must not take processor time away as none of those could.
        let _ = rustix::process::setpriority_process(None, 15);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for number in 0_u64.. {
                ticks.tick().await;
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let a_second = number.is_multiple_of(100);
                if a_second && unrest.includes(Unrest::Reloads) {
                    self.season.change_policy();
                    self.gateway.reload();
                }
                if a_second && unrest.includes(Unrest::Rotations) {
                    self.season.rotate_keys();
                    self.gateway.reload();
                }
                if unrest.includes(Unrest::Revocations) {
                    self.redis.revoke(self.revoked..self.revoked + 10, 60);
                    self.revoked += 10;
                }
                if unrest.includes(Unrest::LogIns) {
                    self.log_in();
                    self.log_in();
                }
            }
        });
    }

    /// Lets the next user log in, and does not wait for that.
    fn log_in(&mut self) {
        let (gateway, config) = (self.gateway.address(), client(&self.season.material, b"http/1.1"));
        let pair = STANDARD.encode(format!("{}:{PASSWORD}", user(self.tried % USERS)));
        let logged_in = self.logged_in.clone();
        self.tried += 1;
        tokio::spawn(async move {
            let answered = status(gateway, &config, &format!("Authorization: Basic {pair}\r\n")).await;
            if answered.ok() == Some(200) {
                logged_in.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

/// The file of users, who all have the same hash: it is calculated for each of them.
pub(crate) fn users() -> String {
    let hash = bcrypt::hash(PASSWORD, 10).expect("a hash");
    let mut users = String::new();
    for number in 0..USERS {
        let _ = writeln!(users, "{}:{hash}", user(number));
    }
    users
}

pub(crate) fn user(number: u64) -> String {
    format!("user-{number}")
}

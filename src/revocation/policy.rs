//! How much the list must be in touch, and what is done when it is not. Compiled from `revocation` in the file.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::redis::{self, Server};
use crate::loading::Loading;
use crate::units::TimeSpan;
use crate::yaml::Located;

/// Where the revocation list is, and how much it must be in touch.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the list is. `redis` when there is a `redis` section, and `memory` otherwise.
    #[serde(default)]
    pub store: Option<Located<StoreKind>>,
    /// How old the gateway's view of the list may become before `on_outage` applies.
    #[serde(default)]
    pub max_stale: Option<Located<TimeSpan>>,
    /// What happens to guarded requests while the view is older than that.
    #[serde(default)]
    pub on_outage: OnOutage,
}

/// Where a revocation list can be.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// In the memory of this process: gone when it ends, and no other gateway knows of it.
    Memory,
    /// In Redis, where every gateway and any other program sees it.
    Redis,
}

/// What happens to guarded requests while the view of the list is too old.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum OnOutage {
    /// They are decided from the last known list.
    Allow,
    /// They are answered 503.
    #[default]
    Deny,
}

/// The compiled policy; a reload may replace it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How old the view may become.
    pub max_stale: Duration,
    /// What happens when it is older.
    pub on_outage: OnOutage,
}

impl Default for Policy {
    fn default() -> Self {
        Self { max_stale: DEFAULT_MAX_STALE, on_outage: OnOutage::default() }
    }
}

/// Where the list is; fixed while the process lives.
#[derive(Clone, Debug, PartialEq)]
pub enum Backing {
    /// In the memory of this process.
    Memory,
    /// In Redis.
    Redis(Arc<Server>),
}

/// Everything that the sections `revocation` and `redis` compile into.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Where the list is. A reload cannot change it: compare it with what is running.
    pub backing: Backing,
    /// How much it must be in touch.
    pub policy: Policy,
}

const DEFAULT_MAX_STALE: Duration = Duration::from_secs(1);

/// A view is as old as the last answer of Redis, which is asked every [`redis::HEARTBEAT`]: anything below two of them
/// would refuse requests while all is well.
const SHORTEST_MAX_STALE: Duration = Duration::from_millis(500);

/// Compiles the sections. Everything wrong with them goes to `loading`.
pub fn compile(
    revocation: Option<&Located<Config>>,
    redis: Option<&Located<redis::Config>>,
    loading: &mut Loading<'_>,
) -> Option<Compiled> {
    let server = redis.map(|redis| Server::compile(redis, loading));
    let unsaid = Config::default();
    let Config { store, max_stale, on_outage } = revocation.map_or(&unsaid, |config| config);
    let max_stale = match max_stale {
        None => DEFAULT_MAX_STALE,
        Some(span) => {
            if span.duration() < SHORTEST_MAX_STALE {
                loading
                    .error(span.place(), "`max_stale` is too short")
                    .hint("use `500ms` or more: the gateway hears from Redis every 250ms");
            }
            span.duration()
        }
    };
    let backing = match (store, server) {
        (None, None) => Backing::Memory,
        (Some(kind), None) => match **kind {
            StoreKind::Memory => Backing::Memory,
            StoreKind::Redis => {
                loading.error(kind.place(), "`store: redis` needs to know where Redis is").hint(
                    "add a section such as `redis: { url: \"redis://127.0.0.1:6379/0\" }`, or use `store: memory`",
                );
                return None;
            }
        },
        (None, Some(server)) => Backing::Redis(Arc::new(server?)),
        (Some(kind), Some(server)) => match **kind {
            StoreKind::Memory => Backing::Memory,
            StoreKind::Redis => Backing::Redis(Arc::new(server?)),
        },
    };
    Some(Compiled { backing, policy: Policy { max_stale, on_outage: *on_outage } })
}

#[cfg(test)]
mod tests;

//! Between HTTP and the gateway: translates what was received into a request, asks for a decision, and carries it out.
//! What is decided is decided elsewhere.
//!
//! A request [arrives](arrival), and if it is admitted it is [relayed](relay) upstream and back, which goes through the
//! stages of its [passage]. Upgrades, and what an upstream may speak HTTP/2 for, are left to the [library], which goes through
//! the same stages.

mod arrival;
mod conduct;
mod duplex;
mod library;
mod passage;
mod pool;
mod relay;

use std::sync::Arc;

use pingora::connectors::{L4Connect, TransportConnector};

use super::shared::Shared;
pub(super) use conduct::AfterRequest;
pub(super) use pool::Pool;

/// How often a request is sent at most, to another target or over another connection, before its client is told.
pub(super) const MOST_ATTEMPTS: usize = 8;

/// What takes requests to the gateway and does what it says.
#[derive(Clone)]
pub(super) struct Edge {
    pub(super) shared: Arc<Shared>,
    pub(super) echo: Arc<dyn L4Connect + Send + Sync>,
    /// Makes connections to upstreams over HTTP/1.1.
    pub(super) connector: Arc<TransportConnector>,
    /// Those that wait for their next request.
    pub(super) pool: Arc<Pool>,
}

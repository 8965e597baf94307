//! What serves the requests of one thread, with connections to upstreams of its own.

use std::sync::Arc;

use pingora::apps::HttpServerOptions;
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;

use super::echo::EchoConnector;
use super::edge::{Edge, Pool};
use super::shared::Shared;

/// What carries the requests of one thread upstream.
pub(super) struct Engine {
    /// Where the upstream speaks HTTP/1.1.
    pub(super) edge: Edge,
    /// Everywhere else.
    pub(super) library: Arc<HttpProxy<Edge>>,
}

impl Engine {
    /// An engine for the upstreams of whatever policy is in place.
    pub(super) fn new(shared: &Arc<Shared>, configuration: &Arc<ServerConf>) -> Self {
        let edge = Edge {
            shared: shared.clone(),
            echo: EchoConnector::new(shared.drain.watch()),
            connector: Arc::new(TransportConnector::new(Some(ConnectorOptions::from_server_conf(
                configuration,
            )))),
            pool: Pool::new(configuration.upstream_keepalive_pool_size),
        };
        let mut library = http_proxy(configuration, edge.clone());
        let mut http = HttpServerOptions::default();
        // CONNECT is refused like any method that a route does not take, and not by the library in its own words.
        http.allow_connect_method_proxying = true;
        library.server_options = Some(http);
        Self { edge, library: Arc::new(library) }
    }
}

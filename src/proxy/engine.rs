//! What serves the requests of one thread, with connections to upstreams of its own.

use std::sync::Arc;

use pingora::apps::HttpServerOptions;
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;

use super::echo::EchoConnector;
use super::edge::Edge;
use super::shared::Shared;
use crate::gateway::Limits;

/// What carries the requests of one thread upstream.
pub(super) struct Engine {
    /// Where both sides speak HTTP/1.1.
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
        };
        let mut library = http_proxy(configuration, edge.clone());
        let limits = shared.configuration.load().gateway.limits;
        let mut http = HttpServerOptions::default();
        // CONNECT is refused like any method that a route does not take, and not by the library in its own words.
        http.allow_connect_method_proxying = true;
        http.h2_idle_timeout = Some(limits.idle_timeout);
        library.server_options = Some(http);
        library.h2_options = Some(http2_options(&limits));
        Self { edge, library: Arc::new(library) }
    }
}

/// What a client may do on one HTTP/2 connection before it is told to calm down (RFC 9113 §10.5).
fn http2_options(limits: &Limits) -> H2Options {
    /// Streams that the library resets because of the client's errors; after that many the connection ends. Far fewer
    /// than by default: a client that means well makes none.
    const FAULTY_STREAMS: usize = 100;
    /// What is kept of an answer while the client does not read, for each stream.
    const SEND_BUFFER: usize = 64 << 10;
    /// What a field counts for beside its text (RFC 9113 §6.5.2).
    const FIELD: u64 = 32;
    /// The least that is unpacked of a head.
    const LEAST_HEAD: u64 = 64 << 10;
    let mut options = default_h2_options();
    // What the policy refuses is refused with an answer of ours, so the library's own limit only has to end excesses.
    let head = limits.request_header_bytes.saturating_mul(2) + FIELD * limits.request_headers as u64;
    options.max_header_list_size(u32::try_from(head.max(LEAST_HEAD)).unwrap_or(u32::MAX));
    options.max_concurrent_streams(limits.http2_streams);
    options.max_local_error_reset_streams(Some(FAULTY_STREAMS));
    options.max_send_buffer_size(SEND_BUFFER);
    options
}

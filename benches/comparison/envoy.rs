//! Envoy with one worker, as it is packaged on PyPI or installed otherwise.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::contestant::Contestant;
use super::setting::{AUDIENCE, ISSUER, Setting, free_address};
use super::work::Work;

const SAME: &str = "the cache makes no difference";

/// Starts it with a cache for so many tokens; without one, as it is by default, if there are none.
pub(crate) fn start(setting: &Setting, name: &'static str, cached: u32) -> Contestant {
    let address = free_address();
    let configuration =
        setting.write(&format!("envoy-{cached}.json"), &configuration(setting, address, cached).to_string());
    let contestant = Contestant::start(
        name,
        program(),
        "--version",
        &["-c", &configuration, "--concurrency", "1", "--disable-hot-restart", "-l", "error"],
        address,
    );
    if cached > 0 { contestant.lacks(&[(Work::Nothing, SAME), (Work::ApiKey, SAME)]) } else { contestant }
}

/// The one that `scripts/install bench` has installed, or else any.
fn program() -> OsString {
    let libraries = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/python/lib");
    let installed = std::fs::read_dir(libraries).into_iter().flatten().find_map(|entry| {
        let program = entry.ok()?.path().join("site-packages/envoy/_bin/envoy");
        program.exists().then_some(program)
    });
    installed.map_or_else(|| "envoy".into(), Into::into)
}

fn configuration(setting: &Setting, address: SocketAddr, cached: u32) -> Value {
    let manager = json!({
        "@type": extension("filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "clients", "codec_type": "AUTO", "generate_request_id": false, "use_remote_address": true,
        "stream_idle_timeout": "600s", "common_http_protocol_options": { "idle_timeout": "600s" },
        "early_header_mutation_extensions": [{ "name": "strip", "typed_config": {
            "@type": extension("http.early_header_mutation.header_mutation.v3.HeaderMutation"),
            "mutations": [{ "remove": "x-auth-subject" }],
        }}],
        "route_config": { "name": "routes", "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes() }] },
        "http_filters": filters(setting, cached),
    });
    let encryption = json!({
        "@type": extension("transport_sockets.tls.v3.DownstreamTlsContext"),
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": { "tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3" },
            "tls_certificates": [{
                "certificate_chain": { "filename": setting.path("server.crt") },
                "private_key": { "filename": setting.path("server.key") },
            }],
        },
    });
    json!({ "static_resources": {
        "listeners": [{ "name": "https", "address": socket(address), "filter_chains": [{
            "filters": [{ "name": "manager", "typed_config": manager }],
            "transport_socket": { "name": "tls", "typed_config": encryption },
        }]}],
        "clusters": [{
            "name": "api", "type": "STATIC", "connect_timeout": "5s",
            "load_assignment": { "cluster_name": "api", "endpoints": [{
                "lb_endpoints": [{ "endpoint": { "address": socket(setting.upstream) } }],
            }]},
        }],
    }})
}

fn routes() -> Value {
    let credentials: Vec<Value> =
        Setting::keys().map(|(key, owner)| json!({ "key": key, "client": owner })).collect();
    let upstream = json!({ "cluster": "api", "timeout": "600s" });
    json!([
        { "match": { "prefix": "/open/" }, "route": upstream },
        { "match": { "prefix": "/jwt/" }, "route": upstream },
        { "match": { "prefix": "/key/" }, "route": upstream, "typed_per_filter_config": { "keys": {
            "@type": extension("filters.http.api_key_auth.v3.ApiKeyAuthPerRoute"),
            "credentials": credentials,
            "key_sources": [{ "header": "X-API-Key" }],
            "forwarding": { "header": "x-auth-subject", "hide_credentials": true },
        }}},
    ])
}

fn filters(setting: &Setting, cached: u32) -> Value {
    let keys = std::fs::read_to_string(setting.path("issuer.json")).expect("a file");
    let mut issuer = json!({
        "issuer": ISSUER, "audiences": [AUDIENCE], "forward": false, "local_jwks": { "inline_string": keys },
        "claim_to_headers": [{ "header_name": "x-auth-subject", "claim_name": "sub" }],
    });
    if cached > 0 {
        issuer["jwt_cache_config"] = json!({ "jwt_cache_size": cached });
    }
    json!([
        // It comes first, because it removes the fields that it can set from all requests.
        { "name": "tokens", "typed_config": {
            "@type": extension("filters.http.jwt_authn.v3.JwtAuthentication"),
            "providers": { "issuer": issuer },
            "rules": [{ "match": { "prefix": "/jwt/" }, "requires": { "provider_name": "issuer" } }],
        }},
        { "name": "keys", "disabled": true, "typed_config": {
            "@type": extension("filters.http.api_key_auth.v3.ApiKeyAuth"),
        }},
        { "name": "router", "typed_config": {
            "@type": extension("filters.http.router.v3.Router"), "suppress_envoy_headers": true,
        }},
    ])
}

fn socket(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}

fn extension(name: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.{name}")
}

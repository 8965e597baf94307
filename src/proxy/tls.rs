//! TLS for clients: which certificate is shown, which versions are spoken, and what a client's certificate says.
//!
//! A reload swaps the whole configuration. Open connections keep what they have; sessions can be resumed across a reload
//! unless what is asked of clients has changed.

mod client_certificate;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs as provider;
use rustls::server::{
    ClientHello, ProducesTickets, ResolvesServerCert, StoresServerSessions, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use crate::config::document::TlsVersion;
use crate::config::tls::{Certificate, ClientAuth, Tls};
pub(super) use client_certificate::read as read_client_certificate;

/// What a handshake uses, and what a reload replaces.
#[derive(Debug)]
pub(super) struct TlsState(ArcSwap<Snapshot>);

#[derive(Debug)]
struct Snapshot {
    config: Arc<ServerConfig>,
    names: Arc<Names>,
    client_auth: ClientAuth,
}

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct TlsError(String);

/// How many TLS 1.2 sessions are remembered; TLS 1.3 sessions are kept by clients, in tickets.
const SESSIONS: usize = 10_240;

impl TlsState {
    pub(super) fn new(tls: &Tls) -> Result<Self, TlsError> {
        let storage = rustls::server::ServerSessionMemoryCache::new(SESSIONS);
        Ok(Self(ArcSwap::from_pointee(Snapshot::new(tls, new_ticketer()?, storage)?)))
    }

    /// Uses `tls` for handshakes from now on.
    pub(super) fn replace(&self, tls: &Tls) -> Result<(), TlsError> {
        let before = self.0.load();
        // A session carries the client's certificate; it must not outlive the authorities that vouched for it.
        let (ticketer, storage) = if tls.client_auth.accepts_sessions_of(&before.client_auth) {
            (before.config.ticketer.clone(), before.config.session_storage.clone())
        } else {
            (
                new_ticketer()?,
                rustls::server::ServerSessionMemoryCache::new(SESSIONS) as Arc<dyn StoresServerSessions>,
            )
        };
        self.0.store(Arc::new(Snapshot::new(tls, ticketer, storage)?));
        Ok(())
    }

    /// The configuration for a new handshake.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.0.load().config.clone()
    }

    /// Whether a connection that was opened for `server_name` would have got the same certificate for `host`. Otherwise
    /// a request for `host` on it is misdirected.
    pub(super) fn serves(&self, server_name: Option<&str>, host: &str) -> bool {
        if server_name == Some(host) {
            return true;
        }
        let names = &self.0.load().names;
        names.find(server_name) == names.find(Some(host))
    }
}

impl Snapshot {
    fn new(
        tls: &Tls,
        ticketer: Arc<dyn ProducesTickets>,
        storage: Arc<dyn StoresServerSessions>,
    ) -> Result<Self, TlsError> {
        let Tls { certificates, min_version, client_auth } = tls;
        let names = Arc::new(Names::new(certificates));
        let versions = match min_version {
            TlsVersion::OneTwo => &[&TLS13, &TLS12][..],
            TlsVersion::OneThree => &[&TLS13][..],
        };
        let crypto = Arc::new(provider::default_provider());
        let builder = ServerConfig::builder_with_provider(crypto.clone())
            .with_protocol_versions(versions)
            .map_err(|error| TlsError(error.to_string()))?;
        let builder = match client_auth {
            ClientAuth::Off => builder.with_no_client_auth(),
            ClientAuth::On { roots, required, fingerprint: _ } => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), crypto);
                let verifier = if *required { verifier } else { verifier.allow_unauthenticated() };
                builder
                    .with_client_cert_verifier(verifier.build().map_err(|error| TlsError(error.to_string()))?)
            }
        };
        let mut config = builder.with_cert_resolver(names.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = ticketer;
        config.session_storage = storage;
        // Data before the end of the handshake can be replayed; there is none (RFC 8446 §8).
        config.max_early_data_size = 0;
        Ok(Self { config: Arc::new(config), names, client_auth: client_auth.clone() })
    }
}

fn new_ticketer() -> Result<Arc<dyn ProducesTickets>, TlsError> {
    provider::Ticketer::new().map_err(|error| TlsError(error.to_string()))
}

/// Finds a certificate by the name that a client asks for.
#[derive(Debug)]
struct Names {
    keys: Vec<Arc<CertifiedKey>>,
    exact: HashMap<String, usize>,
    /// By what follows the first label, for `*.example.com`.
    wildcard: HashMap<String, usize>,
}

impl Names {
    fn new(certificates: &[Certificate]) -> Self {
        let mut names = Self { keys: Vec::new(), exact: HashMap::new(), wildcard: HashMap::new() };
        for (at, certificate) in certificates.iter().enumerate() {
            names.keys.push(certificate.key.clone());
            for name in &certificate.names {
                // The first certificate for a name is used for it.
                match name.strip_prefix("*.") {
                    Some(rest) => names.wildcard.entry(rest.to_owned()).or_insert(at),
                    None => names.exact.entry(name.clone()).or_insert(at),
                };
            }
        }
        names
    }

    /// The certificate for `name`; the first when there is no name or none for it.
    fn find(&self, name: Option<&str>) -> usize {
        let Some(name) = name else { return 0 };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        if let Some(at) = self.exact.get(name) {
            return *at;
        }
        // A wildcard stands for exactly one label (RFC 6125 §6.4.3).
        name.split_once('.').and_then(|(_, rest)| self.wildcard.get(rest)).copied().unwrap_or(0)
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        self.keys.get(self.find(name.as_deref())).cloned()
    }
}

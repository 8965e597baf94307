//! A host and a port where something like Redis listens, and whom to believe that it is the right one.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::loading::Loading;
use crate::problem::Place;
use crate::yaml::Located;

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) scheme: Scheme,
}

/// What is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scheme {
    Plain,
    Tls,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Plain => "redis",
            Scheme::Tls => "rediss",
        };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(formatter, "{scheme}://{open}{}{close}:{}", self.host, self.port)
    }
}

impl Endpoint {
    /// Reads the address of a Redis, with the database at its end.
    pub(super) fn of_redis(text: &Located<String>, loading: &mut Loading<'_>) -> Option<(Self, u16)> {
        let (endpoint, database) = Self::parse(text, 6379, EXPECTED, loading)?;
        Some((endpoint, database.unwrap_or_default()))
    }

    /// Reads the address of a Sentinel.
    pub(super) fn of_sentinel(text: &Located<String>, loading: &mut Loading<'_>) -> Option<Self> {
        let (endpoint, database) = Self::parse(text, 26379, EXPECTED_OF_SENTINEL, loading)?;
        if database.is_some() {
            loading
                .error(text.place(), "a Sentinel has no databases")
                .hint("write `database` beside `nodes`");
            return None;
        }
        Some(endpoint)
    }

    /// Reads the address of a node of a cluster.
    pub(super) fn of_node(text: &Located<String>, loading: &mut Loading<'_>) -> Option<Self> {
        let (endpoint, database) = Self::parse(text, 6379, EXPECTED_OF_NODE, loading)?;
        if database.is_some_and(|database| database != 0) {
            loading
                .error(text.place(), "a Redis Cluster has no databases other than 0")
                .hint("remove the number at the end of the url");
            return None;
        }
        Some(endpoint)
    }

    fn parse(
        text: &Located<String>,
        default_port: u16,
        expected: &str,
        loading: &mut Loading<'_>,
    ) -> Option<(Self, Option<u16>)> {
        let Some(url) = redis::parse_redis_url(text) else {
            loading.error(text.place(), "this is no address of a Redis").hint(expected);
            return None;
        };
        let scheme = match url.scheme() {
            "redis" | "valkey" => Scheme::Plain,
            "rediss" | "valkeys" => Scheme::Tls,
            _ => {
                loading.error(text.place(), "only `redis://` and `rediss://` are spoken").hint(expected);
                return None;
            }
        };
        if url.password().is_some() {
            loading
                .error(text.place(), "a password stands in the url, which ends up in logs and backups")
                .hint("remove it, and write `password: \"file:PATH\"` or `password: \"${NAME}\"` beside it");
            return None;
        }
        if !url.username().is_empty() {
            loading
                .error(text.place(), "a user stands in the url")
                .hint("remove it, and write `username` and `password` beside it");
            return None;
        }
        if url.fragment().is_some() || url.query().is_some() {
            loading
                .error(text.place(), "nothing may follow the database in the url")
                .hint("certificates are always verified; `ca` names the authority of your own");
            return None;
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let path = url.path().trim_matches('/');
        let database = if path.is_empty() { Ok(None) } else { path.parse().map(Some) };
        match database {
            Ok(database) if !host.is_empty() => {
                Some((Self { host, port: url.port().unwrap_or(default_port), scheme }, database))
            }
            Ok(_) | Err(_) => {
                loading.error(text.place(), "this is no address of a Redis").hint(expected);
                None
            }
        }
    }
}

const EXPECTED: &str =
    "write `redis://HOST:PORT/DATABASE`, or `rediss://…` for TLS, such as `redis://127.0.0.1:6379/0`";

const EXPECTED_OF_NODE: &str =
    "write `redis://HOST:PORT`, or `rediss://…` for TLS, such as `redis://redis-1:6379`";

const EXPECTED_OF_SENTINEL: &str =
    "write `redis://HOST:PORT`, or `rediss://…` for TLS, such as `redis://sentinel-1:26379`";

/// What makes a certificate acceptable: one of the authorities in the file `ca` and, without such a file, one that this
/// machine trusts.
pub(super) fn trust(
    place: &Place,
    authorities: Option<(&Located<PathBuf>, &[u8])>,
    loading: &mut Loading<'_>,
) -> Option<Arc<ClientConfig>> {
    let roots = match authorities {
        Some((ca, pem)) => named_roots(ca, pem, loading)?,
        None => native_roots(place, loading)?,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .inspect_err(|error| {
            loading.error(place, format!("TLS cannot be set up: {error}"));
        })
        .ok()?;
    Some(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

fn named_roots(ca: &Located<PathBuf>, pem: &[u8], loading: &mut Loading<'_>) -> Option<RootCertStore> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let Some(certificates) = read.ok().filter(|certificates| !certificates.is_empty()) else {
        loading
            .error(ca.place(), "this file holds no certificates")
            .hint("a PEM file begins with `-----BEGIN CERTIFICATE-----`");
        return None;
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        if roots.add(certificate).is_err() {
            loading.error(ca.place(), "this file holds a certificate that cannot be used");
            return None;
        }
    }
    Some(roots)
}

fn native_roots(place: &Place, loading: &mut Loading<'_>) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        loading
            .error(place, "this machine trusts no certificate authorities")
            .hint("name a PEM file with `ca`, or install the package `ca-certificates`");
        return None;
    }
    Some(roots)
}

//! Where Redis is and how it is spoken to. Compiled from `redis` in the file.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::fingerprint::Fingerprint;
use crate::loading::{Loading, SecretReference};
use crate::problem::Place;
use crate::secret::Secret;
use crate::units::TimeSpan;
use crate::yaml::Located;

/// The Redis that holds the revocation list: version 6 or newer, or Valkey.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `redis://HOST:PORT/DATABASE`, or `rediss://` for TLS. Port and database are 6379 and 0 unless said otherwise.
    #[schemars(with = "String")]
    pub url: Located<String>,
    /// The user (an ACL of Redis); the default user when it is left out.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub username: Option<Located<String>>,
    /// The user's password.
    #[serde(default)]
    pub password: Option<Located<SecretReference>>,
    /// A PEM file with the authorities that the server's certificate may come from, for `rediss://`. Those that the
    /// machine trusts when it is left out.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub ca: Option<Located<PathBuf>>,
    /// How long to wait for Redis.
    #[serde(default)]
    pub timeouts: Timeouts,
}

/// How long to wait for Redis.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// For a connection, with its TLS handshake and log-in.
    #[serde(default = "default_connect")]
    pub connect: TimeSpan,
    /// For an answer. Redis counts as lost after that.
    #[serde(default = "default_response")]
    pub response: TimeSpan,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: default_connect(), response: default_response() }
    }
}

fn default_connect() -> TimeSpan {
    TimeSpan::seconds(1)
}

/// Longer than a view may be outdated: a Redis that only paused need not be read again from the beginning.
fn default_response() -> TimeSpan {
    TimeSpan::seconds(2)
}

/// A Redis that can be connected to.
#[derive(Clone, Debug)]
pub struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: i64,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) tls: Option<Tls>,
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    /// Of everything above.
    fingerprint: Fingerprint,
}

/// How the server's certificate is verified.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

impl Server {
    /// Compiles the section. Everything wrong with it goes to `loading`.
    pub fn compile(config: &Config, loading: &mut Loading<'_>) -> Option<Self> {
        let Config { url, username, password, ca, timeouts } = config;
        let errors_before = loading.problems.error_count();
        let address = Address::parse(url, loading);
        let password = match password {
            None => None,
            Some(reference) => loading.secret(reference).inspect(|secret| {
                if secret.expose_text().is_none() {
                    loading.error(reference.place(), "this password is not UTF-8 text");
                }
            }),
        };
        if let Some(username) = username
            && password.is_none()
            && config.password.is_none()
        {
            loading.error(username.place(), "`username` needs a `password`");
        }
        let authorities = ca.as_ref().and_then(|ca| Some((ca, loading.file(ca)?)));
        let Timeouts { connect, response } = timeouts;
        if connect.duration().is_zero() || response.duration().is_zero() {
            loading.error(url.place(), "the `timeouts` of `redis` must not be zero");
        }
        let Address { tls, host, port, database } = address?;
        let fingerprint = Fingerprint::of(&[
            tls.to_string().as_bytes(),
            host.as_bytes(),
            &port.to_be_bytes(),
            &database.to_be_bytes(),
            username.as_ref().map_or(b"", |username| username.as_bytes()),
            password.as_ref().map_or(b"", Secret::expose),
            authorities.as_ref().map_or(b"", |(_, pem)| pem),
            connect.to_string().as_bytes(),
            response.to_string().as_bytes(),
        ]);
        let tls = match (tls, authorities) {
            (true, authorities) => Some(Tls::compile(url.place(), &host, authorities, loading)?),
            (false, Some((ca, _))) => {
                loading
                    .error(ca.place(), "`ca` is for TLS, and the url is not one of TLS")
                    .hint("write `rediss://` in `url`, or remove `ca`");
                None
            }
            (false, None) => None,
        };
        (loading.problems.error_count() == errors_before).then(|| Self {
            host,
            port,
            database,
            username: username.as_ref().map(|username| username.to_string()),
            password,
            tls,
            connect_timeout: connect.duration(),
            response_timeout: response.duration(),
            fingerprint,
        })
    }
}

/// Whether two are the same in everything, passwords and certificates included.
impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

/// The address, as it may stand in a log.
impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(formatter, "{scheme}://{open}{}{close}:{}/{}", self.host, self.port, self.database)
    }
}

struct Address {
    tls: bool,
    host: String,
    port: u16,
    database: i64,
}

const DEFAULT_PORT: u16 = 6379;

impl Address {
    fn parse(text: &Located<String>, loading: &mut Loading<'_>) -> Option<Self> {
        const EXPECTED: &str =
            "write `redis://HOST:PORT/DATABASE`, or `rediss://…` for TLS, such as `redis://127.0.0.1:6379/0`";
        let Some(url) = redis::parse_redis_url(text) else {
            loading.error(text.place(), "this is no address of a Redis").hint(EXPECTED);
            return None;
        };
        let tls = match url.scheme() {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => {
                loading.error(text.place(), "only `redis://` and `rediss://` are spoken").hint(EXPECTED);
                return None;
            }
        };
        if url.password().is_some() {
            loading
                .error(text.place(), "a password stands in the url, which ends up in logs and backups")
                .hint(
                    "remove it, and write `password: \"file:PATH\"` or `password: \"${NAME}\"` beside `url`",
                );
            return None;
        }
        if !url.username().is_empty() {
            loading
                .error(text.place(), "a user stands in the url")
                .hint("remove it, and write `username` and `password` beside `url`");
            return None;
        }
        if url.fragment().is_some() || url.query().is_some() {
            loading
                .error(text.place(), "nothing may follow the database in the url")
                .hint("certificates are always verified; `ca` names the authority of your own");
            return None;
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let database = match url.path().trim_matches('/') {
            "" => Some(0),
            path => path.parse::<u16>().ok().map(i64::from),
        };
        match database {
            Some(database) if !host.is_empty() => {
                Some(Self { tls, host, port: url.port().unwrap_or(DEFAULT_PORT), database })
            }
            Some(_) | None => {
                loading.error(text.place(), "this is no address of a Redis").hint(EXPECTED);
                None
            }
        }
    }
}

impl Tls {
    fn compile(
        place: &Place,
        host: &str,
        authorities: Option<(&Located<PathBuf>, Vec<u8>)>,
        loading: &mut Loading<'_>,
    ) -> Option<Self> {
        let roots = match authorities {
            Some((ca, pem)) => Self::named_roots(ca, &pem, loading)?,
            None => Self::native_roots(place, loading)?,
        };
        let Ok(name) = ServerName::try_from(host.to_owned()) else {
            loading.error(place, "a certificate cannot be issued for this host");
            return None;
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .inspect_err(|error| {
                loading.error(place, format!("TLS cannot be set up: {error}"));
            })
            .ok()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Some(Self { config: Arc::new(config), name })
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
}

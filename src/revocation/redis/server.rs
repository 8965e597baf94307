//! Where Redis is and how it is spoken to. Compiled from `redis` in the file.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use redis::RedisConnectionInfo;
use rustls::ClientConfig;
use schemars::JsonSchema;
use serde::Deserialize;

use super::cluster::Cluster;
use super::endpoint::{Endpoint, Scheme, trust};
use super::sentinel::{self, Sentinel};
use crate::fingerprint::Fingerprint;
use crate::loading::{Loading, SecretReference};
use crate::problem::Place;
use crate::secret::Secret;
use crate::units::TimeSpan;
use crate::yaml::Located;

/// The Redis that holds the revocation list: version 6 or newer, or Valkey. It is found by one of `url`, `sentinel` and
/// `cluster`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `redis://HOST:PORT/DATABASE`, or `rediss://` for TLS. Port and database are 6379 and 0 unless said otherwise.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub url: Option<Located<String>>,
    /// Asks Redis Sentinel where the primary is, and follows it wherever it goes.
    #[serde(default)]
    pub sentinel: Option<Located<sentinel::Config>>,
    /// `redis://HOST:PORT` of some nodes of a Redis Cluster, or `rediss://` for TLS. They know the others; several stand
    /// here in case that one is away.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub cluster: Option<Located<Vec<Located<String>>>>,
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
#[derive(Debug)]
pub struct Server {
    pub(super) route: Route,
    pub(super) login: Login,
    pub(super) database: u16,
    /// What makes a certificate acceptable; only where TLS is spoken.
    pub(super) trust: Option<Arc<ClientConfig>>,
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    /// Of everything above.
    fingerprint: Fingerprint,
}

/// How the server is found.
#[derive(Debug)]
pub(super) enum Route {
    Cluster(Cluster),
    Direct(Endpoint),
    Sentinel(Sentinel),
}

/// Who to log in as.
#[derive(Debug, Default)]
pub(super) struct Login {
    username: Option<String>,
    password: Option<Secret>,
}

impl Server {
    /// Compiles the section. Everything wrong with it goes to `loading`.
    pub fn compile(config: &Located<Config>, loading: &mut Loading<'_>) -> Option<Self> {
        let Config { url, sentinel, cluster, username, password, ca, timeouts } = &**config;
        let errors_before = loading.problems.error_count();
        let login = Login::compile(username.as_ref(), password.as_ref(), loading);
        let authorities = ca.as_ref().and_then(|ca| Some((ca, loading.file(ca)?)));
        let Timeouts { connect, response } = timeouts;
        if connect.duration().is_zero() || response.duration().is_zero() {
            loading.error(config.place(), "the `timeouts` of `redis` must not be zero");
        }
        let (place, route, scheme, database) = match (url, sentinel, cluster) {
            (Some(url), None, None) => {
                let (endpoint, database) = Endpoint::of_redis(url, loading)?;
                let scheme = endpoint.scheme;
                (url.place(), Route::Direct(endpoint), scheme, database)
            }
            (None, Some(config), None) => {
                let sentinel = Sentinel::compile(config, loading)?;
                let scheme = sentinel.scheme();
                (config.place(), Route::Sentinel(sentinel), scheme, config.database)
            }
            (None, None, Some(seeds)) => {
                let cluster = Cluster::compile(seeds, loading)?;
                let scheme = cluster.scheme();
                (seeds.place(), Route::Cluster(cluster), scheme, 0)
            }
            (Some(_), Some(sentinel), _) => {
                refuse_both(sentinel.place(), "url", "sentinel", loading);
                return None;
            }
            (Some(_), None, Some(cluster)) => {
                refuse_both(cluster.place(), "url", "cluster", loading);
                return None;
            }
            (None, Some(_), Some(cluster)) => {
                refuse_both(cluster.place(), "sentinel", "cluster", loading);
                return None;
            }
            (None, None, None) => {
                loading
                    .error(config.place(), "`redis` does not say where Redis is")
                    .hint("write `url: \"redis://127.0.0.1:6379/0\"`");
                return None;
            }
        };
        let trust = match (scheme, &authorities) {
            (Scheme::Tls, authorities) => {
                Some(trust(place, authorities.as_ref().map(|(ca, pem)| (*ca, pem.as_slice())), loading)?)
            }
            (Scheme::Plain, Some((ca, _))) => {
                loading
                    .error(ca.place(), "`ca` is for TLS, and TLS is not spoken here")
                    .hint("write `rediss://` in place of `redis://`, or remove `ca`");
                None
            }
            (Scheme::Plain, None) => None,
        };
        let login = login?;
        let fingerprint = Fingerprint::of(&[
            route.fingerprint().as_bytes(),
            login.fingerprint().as_bytes(),
            &database.to_be_bytes(),
            authorities.as_ref().map_or(b"", |(_, pem)| pem),
            connect.to_string().as_bytes(),
            response.to_string().as_bytes(),
        ]);
        (loading.problems.error_count() == errors_before).then(|| Self {
            route,
            login,
            database,
            trust,
            connect_timeout: connect.duration(),
            response_timeout: response.duration(),
            fingerprint,
        })
    }
}

fn refuse_both(place: &Place, one: &str, other: &str, loading: &mut Loading<'_>) {
    loading.error(place, format!("`{one}` and `{other}` both say where Redis is")).hint("keep one of them");
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
        match &self.route {
            Route::Cluster(cluster) => write!(formatter, "the cluster of {cluster}"),
            Route::Direct(endpoint) => write!(formatter, "{endpoint}/{}", self.database),
            Route::Sentinel(sentinel) => {
                write!(formatter, "`{}` of Sentinel, database {}", sentinel.service, self.database)
            }
        }
    }
}

impl Route {
    fn fingerprint(&self) -> String {
        match self {
            Self::Cluster(cluster) => format!("{cluster:?}"),
            Self::Direct(endpoint) => endpoint.to_string(),
            Self::Sentinel(Sentinel { service, nodes, login, .. }) => {
                format!("{service:?} {nodes:?} {}", login.fingerprint())
            }
        }
    }
}

impl Login {
    /// Compiles a name and a password.
    pub(super) fn compile(
        username: Option<&Located<String>>,
        password: Option<&Located<SecretReference>>,
        loading: &mut Loading<'_>,
    ) -> Option<Self> {
        match (username, password) {
            (Some(username), None) => {
                loading.error(username.place(), "`username` needs a `password`");
                None
            }
            (None, None) => Some(Self::default()),
            (username, Some(reference)) => {
                let password = loading.secret(reference)?;
                if password.expose_text().is_none() {
                    loading.error(reference.place(), "this password is not UTF-8 text");
                    return None;
                }
                Some(Self {
                    username: username.map(|username| username.to_string()),
                    password: Some(password),
                })
            }
        }
    }

    /// The log-in, as the client takes it.
    pub(super) fn to_redis(&self) -> RedisConnectionInfo {
        let mut login = RedisConnectionInfo::default();
        if let Some(username) = &self.username {
            login = login.set_username(username);
        }
        if let Some(password) = self.password.as_ref().and_then(Secret::expose_text) {
            login = login.set_password(password);
        }
        login
    }

    /// Tells log-ins apart without showing them.
    fn fingerprint(&self) -> String {
        let password = self.password.as_ref().map_or(&b""[..], Secret::expose);
        let username = self.username.as_deref().unwrap_or_default();
        format!("{:?}", Fingerprint::of(&[username.as_bytes(), password]))
    }
}

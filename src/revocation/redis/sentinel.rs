//! Redis Sentinel: asks it where the primary is. It is asked before every connection, and again and again while one
//! lasts, since a primary that was replaced may not know of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::cmd;
use schemars::JsonSchema;
use serde::Deserialize;

use super::connection::{Link, Loss};
use super::endpoint::{Endpoint, Scheme};
use super::server::{Login, Server};
use crate::loading::{Loading, SecretReference};
use crate::yaml::Located;

/// A group of Redis servers of which Sentinel says which one is the primary.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name that Sentinel knows the group by, such as `mymaster`.
    #[schemars(with = "String")]
    pub service: Located<String>,
    /// `redis://HOST:PORT` of each Sentinel, or `rediss://` when these and the servers all speak TLS.
    #[schemars(with = "Vec<String>")]
    pub nodes: Located<Vec<Located<String>>>,
    /// The database of the servers that holds the list.
    #[serde(default)]
    pub database: u16,
    /// The user of the Sentinels themselves.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub username: Option<Located<String>>,
    /// The password of the Sentinels themselves. That of the servers stands in `redis`.
    #[serde(default)]
    pub password: Option<Located<SecretReference>>,
}

/// How often the Sentinels are asked whether the primary is still the same.
const INTERVAL: Duration = Duration::from_secs(1);

/// Sentinels that can be asked.
#[derive(Debug)]
pub(super) struct Sentinel {
    pub(super) service: String,
    pub(super) nodes: Vec<Endpoint>,
    pub(super) login: Login,
    /// Which one is asked first: the one that answered last.
    first: AtomicUsize,
}

impl Sentinel {
    /// Compiles the section.
    pub(super) fn compile(config: &Config, loading: &mut Loading<'_>) -> Option<Self> {
        let Config { service, nodes, database: _, username, password } = config;
        let login = Login::compile(username.as_ref(), password.as_ref(), loading);
        if service.is_empty() || service.chars().any(char::is_control) {
            loading
                .error(service.place(), "this is no name of a service")
                .hint("Sentinel's example is `mymaster`");
        }
        if nodes.is_empty() {
            loading.error(nodes.place(), "at least one Sentinel must stand here");
        }
        let endpoints: Vec<_> =
            nodes.iter().filter_map(|node| Endpoint::of_sentinel(node, loading)).collect();
        if endpoints
            .iter()
            .any(|endpoint| Some(endpoint.scheme) != endpoints.first().map(|first| first.scheme))
        {
            loading
                .error(nodes.place(), "some of these speak TLS and some do not")
                .hint("Sentinels and servers use either `redis://` or `rediss://`");
        }
        Some(Self {
            service: service.to_string(),
            nodes: endpoints,
            login: login?,
            first: AtomicUsize::new(0),
        })
    }

    /// Whether the Sentinels, and with them the servers, speak TLS.
    pub(super) fn scheme(&self) -> Scheme {
        self.nodes.first().map_or(Scheme::Plain, |node| node.scheme)
    }
}

impl Server {
    /// Asks one Sentinel after the other where the primary is.
    pub(super) async fn locate(&self, sentinel: &Sentinel) -> Result<Endpoint, Loss> {
        let mut last = Loss::NoSentinel;
        let first = sentinel.first.load(Ordering::Relaxed);
        for at in (0..sentinel.nodes.len()).map(|step| (first + step) % sentinel.nodes.len()) {
            let asked = tokio::time::timeout(self.connect_timeout, self.ask_sentinel(sentinel, at)).await;
            match asked.unwrap_or(Err(Loss::ConnectTimeout)) {
                Ok(endpoint) => {
                    sentinel.first.store(at, Ordering::Relaxed);
                    return Ok(endpoint);
                }
                Err(loss) => last = loss,
            }
        }
        Err(Loss::Sentinel(Box::new(last)))
    }

    async fn ask_sentinel(&self, sentinel: &Sentinel, at: usize) -> Result<Endpoint, Loss> {
        let node = &sentinel.nodes[at];
        let Link { endpoint: _, mut connection, driver } =
            self.open(node, sentinel.login.to_redis(), None).await?;
        let mut question = cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&sentinel.service);
        let answer: Option<(String, u16)> = tokio::select! {
            biased;
            answer = connection.ask(&question) => answer?,
            () = driver => return Err(Loss::Closed),
        };
        let (host, port) = answer.ok_or_else(|| Loss::UnknownService(sentinel.service.clone()))?;
        Ok(Endpoint { host, port, scheme: node.scheme })
    }

    /// Waits until the Sentinels say that `endpoint` is not the primary any more. Their silence says nothing.
    pub(super) async fn is_replaced(&self, sentinel: &Sentinel, endpoint: &Endpoint) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if self.locate(sentinel).await.is_ok_and(|primary| primary != *endpoint) {
                return;
            }
        }
    }

    /// Another Sentinel may know better than the one that led here.
    pub(super) fn distrust(sentinel: &Sentinel) {
        sentinel.first.fetch_add(1, Ordering::Relaxed);
    }
}

//! Finds the node of a cluster that a key is to be read from or written to, as any client of a cluster does: it asks
//! somebody and goes where it is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::Pipeline;

use super::Cluster;
use super::view::{Id, Lookout, View};
use crate::revocation::redis::connection::{Link, Loss};
use crate::revocation::redis::endpoint::Endpoint;
use crate::revocation::redis::server::Server;
use crate::revocation::redis::writing::Change;

/// How often one is sent elsewhere, or told to try again, before giving up.
const MOST_STEPS: usize = 10;

/// How long to wait when the cluster says to try again.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether a node is asked for a key of a slot that is only on its way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::revocation::redis) enum Asking {
    No,
    Yes,
}

impl Asking {
    /// Writes down what has to stand before every command, or before a whole transaction.
    pub(in crate::revocation::redis) fn precede(self, commands: &mut Pipeline) -> &mut Pipeline {
        match self {
            Self::No => commands,
            Self::Yes => commands.cmd("ASKING"),
        }
    }
}

/// Where a node says that a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    asking: Asking,
    /// Nothing is where the node is that says so.
    host: Option<String>,
    port: u16,
}

impl Elsewhere {
    /// Reads `3999 127.0.0.1:6381`, which follows `MOVED` and `ASK`.
    pub(in crate::revocation::redis) fn read(asking: Asking, place: &str) -> Option<Self> {
        let (host, port) = place.rsplit_once(':')?;
        let host = (!host.is_empty()).then(|| host.to_owned());
        Some(Self { asking, host, port: port.parse().ok()? })
    }

    fn from(self, endpoint: &Endpoint) -> (Endpoint, Asking) {
        let Self { asking, host, port } = self;
        let host = host.unwrap_or_else(|| endpoint.host.clone());
        (Endpoint { host, port, scheme: endpoint.scheme }, asking)
    }
}

impl Server {
    /// Makes a change where its key is, in however many attempts that takes.
    pub(in crate::revocation::redis) async fn change_in(
        &self,
        cluster: &Cluster,
        change: &Change<'_>,
    ) -> Result<bool, Loss> {
        let mut next = None;
        let mut last = Loss::Undiscovered(String::new());
        for _ in 0..MOST_STEPS {
            let (link, asking) = match next.take() {
                Some((endpoint, asking)) => (self.connect_to(&endpoint, None).await?, asking),
                None => (self.connect_to_any(cluster).await?, Asking::No),
            };
            let Link { endpoint, mut connection, driver } = link;
            let outcome = tokio::select! {
                // What was answered counts, even when the connection closes in the same moment.
                biased;
                outcome = change.make(&mut connection, asking) => outcome,
                () = driver => Err(Loss::Closed),
            };
            match outcome {
                Err(Loss::Elsewhere(elsewhere)) => {
                    next = Some(elsewhere.clone().from(&endpoint));
                    last = Loss::Elsewhere(elsewhere);
                }
                Err(loss @ Loss::TryAgain(_)) => {
                    last = loss;
                    tokio::time::sleep(PAUSE).await;
                }
                outcome => return outcome,
            }
        }
        Err(last)
    }

    /// Everybody who holds entries, and where they are.
    pub(in crate::revocation::redis) async fn holders(
        &self,
        cluster: &Cluster,
    ) -> Result<BTreeMap<Id, Endpoint>, Loss> {
        let mut last = Loss::Undiscovered(String::new());
        for endpoint in cluster.known() {
            match self.view_of(&endpoint).await {
                Ok(view) => match view.trouble(|| endpoint.to_string()) {
                    None => return Ok(view.into_holders()),
                    Some(loss) => last = loss,
                },
                Err(loss) => last = Loss::Undiscovered(format!("{endpoint}: {loss}")),
            }
        }
        Err(last)
    }

    /// Asks the node at `endpoint` how it sees the cluster.
    pub(super) async fn view_of(&self, endpoint: &Endpoint) -> Result<View, Loss> {
        let Link { endpoint, mut connection, driver } = self.connect_to(endpoint, None).await?;
        let mut lookout = Lookout::default();
        tokio::select! {
            biased;
            view = lookout.look(&mut connection, &endpoint) => view,
            () = driver => Err(Loss::Closed),
        }
    }

    /// Connects to somebody who is in the cluster.
    pub(in crate::revocation::redis) async fn connect_to_any(&self, cluster: &Cluster) -> Result<Link, Loss> {
        let mut silence = String::new();
        for endpoint in cluster.known() {
            match self.connect_to(&endpoint, None).await {
                Ok(link) => return Ok(link),
                Err(loss) => silence = format!("{endpoint}: {loss}"),
            }
        }
        Err(Loss::Undiscovered(silence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::redis::endpoint::Scheme;

    #[test]
    fn places() {
        let here = Endpoint { host: "here".to_owned(), port: 1, scheme: Scheme::Tls };
        for (place, expect) in [
            ("127.0.0.1:6381", Some("rediss://127.0.0.1:6381")),
            ("redis.example:6381", Some("rediss://redis.example:6381")),
            ("::1:6381", Some("rediss://[::1]:6381")),
            (":6381", Some("rediss://here:6381")),
            ("127.0.0.1", None),
            ("127.0.0.1:x", None),
            ("127.0.0.1:65536", None),
            ("", None),
        ] {
            let found = Elsewhere::read(Asking::Yes, place).map(|elsewhere| elsewhere.from(&here));
            let (endpoint, asking) = found.unzip();
            assert_eq!(endpoint.map(|endpoint| endpoint.to_string()).as_deref(), expect, "{place}");
            assert!(asking.is_none_or(|asking| asking == Asking::Yes));
        }
    }
}

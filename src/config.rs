//! The configuration file: its shape, and compiling it into a [`Gateway`] and everything that serves it.
//!
//! `check`, start-up and reload all go through [`Configuration::load`], so what `check` accepts is what runs.

pub mod admin_address;
pub mod audit;
mod compile;
pub mod document;
pub mod listeners;
pub mod logs;
mod overlap;
pub mod tls;
pub mod tracing;
pub mod trials;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::Schema;
use schemars::generate::SchemaSettings;

use crate::authn::password::HashingPool;
use crate::authn::stand_in::StandIn;
use crate::clock::Clock;
use crate::gateway::Gateway;
use crate::loading::Loading;
use crate::problem::Problems;
use crate::revocation::{Backing, List};
use crate::telemetry::metrics::Metrics;
use crate::yaml::{Environment, Located};
use document::{Document, TestEntry};
use listeners::{Admin, Listener};
use logs::Logs;
use tls::Tls;
use tracing::Tracing;

/// Keys that stand in the contract and are built by a later version.
pub const RESERVED: [&str; 7] =
    ["assertion", "cors", "health", "introspection", "oidc", "rate_limit", "retries"];

/// A compiled file.
#[derive(Debug)]
pub struct Configuration {
    /// The policy.
    pub gateway: Arc<Gateway>,
    /// Where clients connect to; fixed while the process lives.
    pub listeners: Vec<Listener>,
    /// Where operators connect to; fixed while the process lives.
    pub admin: Admin,
    /// Certificates and how they are used.
    pub tls: Option<Tls>,
    /// Where the access log and the audit log go.
    pub logs: Logs,
    /// How requests are traced; fixed while the process lives, and nothing where they are not.
    pub tracing: Option<Tracing>,
    /// The revocation list, which lives as long as the process.
    pub list: List,
    /// Where the file says that the list is; only a restart can move it.
    pub backing: Backing,
    /// Every file that the policy was made from.
    pub files: BTreeSet<PathBuf>,
    /// What all of them but secrets contained.
    pub fingerprint: String,
    /// Requests and what is expected of them; nothing that serves requests looks at them.
    pub tests: Vec<Located<TestEntry>>,
    /// What is not wrong enough to refuse the file.
    pub warnings: Problems,
}

/// What outlives a configuration and is needed to make one.
pub struct Services<'a> {
    /// Judges expiries.
    pub clock: Clock,
    /// Looks up environment variables.
    pub environment: Environment<'a>,
    /// Where series are made.
    pub metrics: Arc<Metrics>,
    /// Verifies passwords.
    pub hashing: HashingPool,
}

impl Configuration {
    /// Reads and compiles the file at `path`. What did not change since `previous` is taken over with what it has
    /// learnt: keys of issuers, verified credentials, resolved addresses.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(path: &Path, services: &Services<'_>, previous: Option<&Self>) -> Result<Self, Rejected> {
        Self::load_for(Purpose::Serving, path, services, previous)
    }

    /// The same for another purpose than serving requests.
    ///
    /// # Errors
    /// As [`Configuration::load`].
    pub fn load_for(
        purpose: Purpose<'_>,
        path: &Path,
        services: &Services<'_>,
        previous: Option<&Self>,
    ) -> Result<Self, Rejected> {
        let mut loading = Loading::new(services.clock.clone(), services.environment, &RESERVED);
        let document: Option<Located<Document>> = loading.root_document(path);
        let compiled = document
            .and_then(|document| compile::compile(&document, purpose, services, previous, &mut loading));
        let files = loading.files().clone();
        let fingerprint = loading.fingerprint(path);
        match compiled {
            Some(compiled) if !loading.problems.has_errors() => {
                let compile::Compiled { gateway, listeners, admin, tls, logs, tracing, list, backing, tests } =
                    compiled;
                let gateway = Arc::new(gateway);
                let warnings = loading.problems;
                Ok(Self {
                    gateway,
                    listeners,
                    admin,
                    tls,
                    logs,
                    tracing,
                    list,
                    backing,
                    files,
                    fingerprint,
                    tests,
                    warnings,
                })
            }
            Some(_) | None => Err(Rejected { problems: loading.problems, files, fingerprint }),
        }
    }
}

/// What a configuration is compiled for.
#[derive(Clone, Copy)]
pub enum Purpose<'a> {
    /// Serving requests.
    Serving,
    /// Trying it out with credentials that nobody has. Issuers and Redis are not needed.
    Trying(&'a StandIn),
}

/// A file that was refused.
pub struct Rejected {
    /// What is wrong.
    pub problems: Problems,
    /// The files that were read until then: a change to any of them may mend it.
    pub files: BTreeSet<PathBuf>,
    /// What all of them but secrets contained.
    pub fingerprint: String,
}

/// Without the names of files: whoever pastes a key where a name belongs has named it.
impl fmt::Debug for Rejected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Rejected").field("problems", &self.problems).finish_non_exhaustive()
    }
}

/// The JSON Schema of the file, for editors.
pub fn schema() -> Schema {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<Document>();
    schema.insert("title".to_owned(), "Portcullis gateway.yaml".into());
    schema
}

#[cfg(test)]
mod tests;

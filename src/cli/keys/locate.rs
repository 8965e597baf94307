//! Finds the key file that a command works on: the one that `--file` names, or the one that the configuration file names
//! for an `api_key` scheme.

use std::path::{Path, PathBuf};

use crate::cli::check::report;
use crate::clock::Clock;
use crate::config::RESERVED;
use crate::config::document::{AuthEntry, Document};
use crate::loading::{Loading, resolve};
use crate::problem::nearest;
use crate::yaml::Located;

/// Which key file to use.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct KeyFileArguments {
    /// The key file. Without this option, the configuration file names it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "auth"])]
    file: Option<PathBuf>,
    /// The configuration file that names the key file [default: gateway.yaml; where there is none, keys.yaml is used].
    #[arg(short, long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The name of the `api_key` scheme in `auth`. You need it only if the schemes have different key files.
    #[arg(long, value_name = "NAME")]
    auth: Option<String>,
}

/// A key file, and the configuration file that names it.
#[derive(Debug)]
pub(super) struct KeyFilePath {
    pub(super) path: PathBuf,
    /// `None` when `--file` named the key file.
    pub(super) configuration: Option<PathBuf>,
}

const CONFIGURATION: &str = "gateway.yaml";
const KEYS: &str = "keys.yaml";

impl KeyFileArguments {
    /// The key file that the arguments mean.
    ///
    /// # Errors
    /// What is wrong, and what to do about it.
    pub(super) fn locate(&self) -> Result<KeyFilePath, String> {
        let Self { file, config, auth } = self;
        if let Some(file) = file {
            return Ok(KeyFilePath { path: file.clone(), configuration: None });
        }
        let is_default = config.is_none();
        let config = config.clone().unwrap_or_else(|| PathBuf::from(CONFIGURATION));
        if is_default && auth.is_none() && !config.exists() {
            return Ok(KeyFilePath { path: PathBuf::from(KEYS), configuration: None });
        }
        let path = find_in(&config, auth.as_deref())?;
        Ok(KeyFilePath { path, configuration: Some(config) })
    }
}

/// Only `auth` has to be readable: the rest of the file, and the key file itself, may still have errors.
fn find_in(config: &Path, auth: Option<&str>) -> Result<PathBuf, String> {
    let environment = |name: &str| std::env::var(name).ok();
    let mut loading = Loading::new(Clock::system(), &environment, &RESERVED);
    let Some(document) = loading.root_document::<Document>(config) else {
        return Err(report(&loading.problems));
    };
    let schemes: Vec<(&str, PathBuf)> = document
        .auth
        .iter()
        .filter_map(|(name, entry)| match entry {
            AuthEntry::ApiKey(scheme) => Some((name.as_str(), resolve(&scheme.keys))),
            AuthEntry::Basic(_) | AuthEntry::Jwt(_) => None,
        })
        .collect();
    let names = || schemes.iter().map(|(name, _)| *name);
    let shown = config.display();
    match (auth, schemes.as_slice()) {
        (None, [(_, path), others @ ..]) if others.iter().all(|(_, other)| other == path) => Ok(path.clone()),
        (None, []) if loading.problems.has_errors() => Err(report(&loading.problems)),
        (None, []) => Err(format!(
            "error: `{shown}` has no `api_key` scheme, so it names no key file: add one to `auth`, such as \
             `partners: {{ api_key: {{ keys: keys.yaml }} }}`, or name the key file with `--file`"
        )),
        (None, _) => Err(format!(
            "error: `{shown}` has several `api_key` schemes with different key files: choose one with `--auth`: {}",
            listed(names())
        )),
        (Some(auth), schemes) => match schemes.iter().find(|(name, _)| *name == auth) {
            Some((_, path)) => Ok(path.clone()),
            None if document.auth.iter().any(|(name, _)| **name == *auth) => {
                Err(format!("error: `{auth}` in `{shown}` is not an `api_key` scheme, so it has no key file"))
            }
            // The scheme is there, and what is wrong with it has been reported.
            None if is_named(document.auth.names(), auth) => Err(report(&loading.problems)),
            None => {
                let cure = match nearest(auth, names()) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None if schemes.is_empty() => "it has no `api_key` scheme".to_owned(),
                    None => format!("its `api_key` schemes are {}", listed(names())),
                };
                Err(format!("error: `{shown}` has no `{auth}` in `auth`: {cure}"))
            }
        },
    }
}

fn is_named<'a>(mut names: impl Iterator<Item = &'a Located<String>>, name: &str) -> bool {
    names.any(|known| **known == *name)
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

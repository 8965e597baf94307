//! `portcullis demo`: makes the credentials that the demonstration in gateway.yaml refers to, and prints commands to try.
//!
//! Nothing that opens a door is ever in the repository: keys and passwords are made on the machine, once.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use argon2::Argon2;
use argon2::password_hash::PasswordHasher;

use super::Output;
use crate::authn::api_key::format::generate;
use crate::clock::{Clock, rfc3339};
use crate::hex;

/// Make the credentials of the demonstration and print commands to try.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DemoArguments {
    /// Where gateway.yaml is or will be.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    directory: PathBuf,
}

const GATEWAY: &str = include_str!("../../gateway.yaml");

const USER: &str = "alice";

pub(super) fn execute(arguments: &DemoArguments) -> Output {
    match prepare(&arguments.directory) {
        Ok(text) => Output::success(text),
        Err(error) => Output::failure(format!("error: {error}")),
    }
}

#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("cannot write `{}`: {error}", path.display())]
    Write { path: PathBuf, error: std::io::Error },
    #[error("cannot read `{}`: {error}", path.display())]
    Read { path: PathBuf, error: std::io::Error },
    #[error("a credential cannot be made: {0}")]
    Make(String),
}

fn prepare(directory: &Path) -> Result<String, DemoError> {
    let folder = directory.join("demo");
    fs::create_dir_all(&folder).map_err(|error| DemoError::Write { path: folder.clone(), error })?;
    write_once(&directory.join("gateway.yaml"), || Ok(GATEWAY.to_owned()))?;
    let key = api_key(&folder)?;
    let password = password(&folder)?;
    issuer(&folder)?;
    let program = std::env::current_exe().map_or_else(|_| "portcullis".to_owned(), |path| shorten(&path));
    let issuer_key = shorten(&folder.join("issuer.key"));
    Ok(format!(
        "\
The gateway is at https://localhost:8443. Try, from another terminal in this folder:

  # an API key
  curl -k https://localhost:8443/v1/orders/1 -H 'X-API-Key: {key}'

  # a name and a password
  curl -k https://localhost:8443/v1/orders/1 -u {USER}:{password}

  # a token, signed with the demonstration's own key
  curl -k https://localhost:8443/v1/orders/1 -H \"Authorization: Bearer $({program} dev-token --key {issuer_key} --issuer https://issuer.localhost --audience https://api.localhost --subject bob --scope orders:read)\"

  # no credential: refused
  curl -k -i https://localhost:8443/v1/orders/1
"
    ))
}

fn api_key(folder: &Path) -> Result<String, DemoError> {
    let shown = folder.join("api-key.txt");
    let listed = folder.join("keys.yaml");
    if !shown.exists() || !listed.exists() {
        let new = generate().map_err(|error| DemoError::Make(error.to_string()))?;
        let yaml = format!(
            "# The keys of the demonstration.\nkeys:\n  - id: {}\n    owner: acme\n    label: demonstration\n    sha256: \"{}\"\n    scopes: [orders:read]\n    roles: []\n    created: {}\n    expires: never\n",
            new.id,
            hex::encode(&new.sha256),
            rfc3339(Clock::system().unix_seconds()),
        );
        write(&listed, &yaml)?;
        write(&shown, &new.key)?;
    }
    read(&shown)
}

fn password(folder: &Path) -> Result<String, DemoError> {
    let shown = folder.join("password.txt");
    let listed = folder.join("staff.htpasswd");
    if !shown.exists() || !listed.exists() {
        let mut bytes = [0; 12];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| DemoError::Make("no randomness".to_owned()))?;
        let password = hex::encode(&bytes);
        let hash = Argon2::default()
            .hash_password(password.as_bytes())
            .map_err(|error| DemoError::Make(error.to_string()))?;
        write(&listed, &format!("{USER}:{hash}\n"))?;
        write(&shown, &password)?;
    }
    read(&shown)
}

fn issuer(folder: &Path) -> Result<(), DemoError> {
    let private = folder.join("issuer.key");
    let public = folder.join("issuer.pem");
    if !private.exists() || !public.exists() {
        let pair = rcgen::KeyPair::generate().map_err(|error| DemoError::Make(error.to_string()))?;
        write(&private, &pair.serialize_pem())?;
        write(&public, &pair.public_key_pem())?;
    }
    Ok(())
}

fn write_once(path: &Path, text: impl FnOnce() -> Result<String, DemoError>) -> Result<(), DemoError> {
    if path.exists() { Ok(()) } else { write(path, &text()?) }
}

/// Writes a file that only its owner can read.
fn write(path: &Path, text: &str) -> Result<(), DemoError> {
    let written = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    written
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| DemoError::Write { path: path.to_path_buf(), error })
}

fn read(path: &Path) -> Result<String, DemoError> {
    fs::read_to_string(path).map_err(|error| DemoError::Read { path: path.to_path_buf(), error })
}

/// The path as seen from the current folder, which is shorter to read and to paste.
fn shorten(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string().trim_start_matches("./").to_owned()
}

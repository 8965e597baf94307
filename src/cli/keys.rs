//! `portcullis keys`: makes API keys and lists them. The key itself is shown once and not stored.

mod append;
mod locate;
mod replace;

use std::path::Path;

use super::Output;
use super::table::Table;
use crate::authn::api_key::format::{NewKey, generate};
use crate::authn::api_key::{Expiry, KeyEntry, KeyFile};
use crate::authn::identity::{Subject, WORD, is_word};
use crate::clock::{Clock, rfc3339};
use crate::loading::Loading;
use crate::units::TimeSpan;
use crate::yaml::Located;
use append::Addition;
use locate::{KeyFileArguments, KeyFilePath};

/// Make API keys and list them.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct KeysArguments {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum KeysCommand {
    /// Make a key, show it once, and append its entry to the file.
    New(NewArguments),
    /// List the keys of the file.
    List(ListArguments),
}

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = NEW_EXAMPLES)]
struct NewArguments {
    #[command(flatten)]
    file: KeyFileArguments,
    /// Who the key belongs to; becomes the subject.
    #[arg(long)]
    owner: String,
    /// What the key is for; shown by `keys list`.
    #[arg(long, default_value = "")]
    label: String,
    /// The scopes of the key, separated by commas.
    #[arg(long, value_delimiter = ',')]
    scopes: Vec<String>,
    /// The roles of its owner, separated by commas.
    #[arg(long, value_delimiter = ',')]
    roles: Vec<String>,
    /// How long the key is valid, such as `90d`, or `never` for a key that does not expire.
    #[arg(long, value_parser = parse_lifetime)]
    expires: Lifetime,
}

const NEW_EXAMPLES: &str = "\
Examples:
  portcullis keys new --owner acme --scopes orders:read --expires 90d
  portcullis keys new --config /etc/portcullis/gateway.yaml --auth partners --owner acme --expires 90d
  portcullis keys new --file keys.yaml --owner acme --label \"nightly export\" --expires never

Owner, group and mode of an existing key file stay as they are, so you can run this as root. A new
file has mode 640, the group of its folder and, if you are root, the owner of the configuration file.";

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
struct ListArguments {
    #[command(flatten)]
    file: KeyFileArguments,
}

const LIST_EXAMPLES: &str = "\
Examples:
  portcullis keys list
  portcullis keys list --config /etc/portcullis/gateway.yaml --auth partners";

/// How long a key is valid.
#[derive(Clone, Copy, Debug)]
enum Lifetime {
    For(TimeSpan),
    Forever,
}

fn parse_lifetime(text: &str) -> Result<Lifetime, String> {
    match text {
        "never" => Ok(Lifetime::Forever),
        text => text.parse().map(Lifetime::For).map_err(|error: &str| format!("{error}, or `never`")),
    }
}

pub(super) fn execute(arguments: &KeysArguments) -> Output {
    let result = match &arguments.command {
        KeysCommand::New(arguments) => new(arguments, &Clock::system()),
        KeysCommand::List(arguments) => list(arguments, &Clock::system()),
    };
    result.unwrap_or_else(Output::failure)
}

fn new(arguments: &NewArguments, clock: &Clock) -> Result<Output, String> {
    let NewArguments { file, owner, label, scopes, roles, expires } = arguments;
    if Subject::new(owner).is_none() {
        return Err(
            "error: an owner is 1 to 512 characters without control characters or white space at either end"
                .into(),
        );
    }
    if let Some(word) = scopes.iter().chain(roles).find(|word| !is_word(word)) {
        return Err(format!("error: the key cannot have {word:?}: {WORD}"));
    }
    let NewKey { id, key, sha256 } = generate().map_err(|error| format!("error: {error}"))?;
    let now = clock.unix_seconds();
    let expires = match expires {
        Lifetime::For(span) => Expiry::At(now.saturating_add(span.duration().as_secs())),
        Lifetime::Forever => Expiry::Never,
    };
    let addition = Addition { id: &id, owner, label, sha256: &sha256, scopes, roles, created: now, expires };
    let file = file.locate()?;
    append::append(&file, &addition)?;
    let KeyFilePath { path, configuration: _ } = &file;
    let complaint = format!(
        "Added the key `{id}` of {owner} to {}. Copy the key now: it is not stored and cannot be shown again.",
        path.display()
    );
    Ok(Output { text: key.to_string(), complaint, ..Output::default() })
}

fn list(arguments: &ListArguments, clock: &Clock) -> Result<Output, String> {
    let file = read(&arguments.file.locate()?.path)?;
    let now = clock.unix_seconds();
    let mut table = Table::new(["ID", "OWNER", "LABEL", "SCOPES", "ROLES", "CREATED", "EXPIRES"]);
    for entry in &file.keys {
        let KeyEntry { id, owner, label, sha256: _, scopes, roles, created, expires } = entry;
        let expires = match expires {
            Expiry::Never => "never".to_owned(),
            Expiry::At(second) if *second <= now => format!("{} (expired)", rfc3339(*second)),
            Expiry::At(second) => rfc3339(*second),
        };
        table.row([
            id.to_string(),
            owner.to_string(),
            label.clone().unwrap_or_default(),
            scopes.join(" "),
            roles.join(" "),
            created.map(rfc3339).unwrap_or_default(),
            expires,
        ]);
    }
    Ok(Output::success(table.to_string()))
}

/// Reads a key file as the gateway does.
fn read(path: &Path) -> Result<Located<KeyFile>, String> {
    let mut loading = Loading::new(Clock::system(), &|_| None, &[]);
    match KeyFile::read_at(path, &mut loading) {
        Some(file) if !loading.problems.has_errors() => Ok(file),
        Some(_) | None => Err(super::check::report(&loading.problems)),
    }
}

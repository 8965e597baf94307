//! `portcullis keys`: makes API keys and lists them. The key itself is shown once and kept nowhere.

mod append;

use std::path::{Path, PathBuf};

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
struct NewArguments {
    /// The file that lists the keys.
    #[arg(long, value_name = "FILE", default_value = "keys.yaml")]
    file: PathBuf,
    /// Who the key belongs to; becomes the subject.
    #[arg(long)]
    owner: String,
    /// What the key is for, for people.
    #[arg(long, default_value = "")]
    label: String,
    /// What it may be used for, separated by commas.
    #[arg(long, value_delimiter = ',')]
    scopes: Vec<String>,
    /// What its owner is, separated by commas.
    #[arg(long, value_delimiter = ',')]
    roles: Vec<String>,
    /// How long it is good, such as `90d`, or `never`.
    #[arg(long, value_parser = parse_lifetime)]
    expires: Lifetime,
}

#[derive(Clone, Debug, clap::Args)]
struct ListArguments {
    /// The file that lists the keys.
    #[arg(long, value_name = "FILE", default_value = "keys.yaml")]
    file: PathBuf,
}

/// How long a key is good.
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
    append::append(file, &addition)?;
    let text = format!("{}\n", *key);
    let complaint = format!(
        "The key `{id}` of {owner} has been added to {}. This is the only time that it is shown.",
        file.display()
    );
    Ok(Output { text: text.trim_end().to_owned(), complaint, ..Output::default() })
}

fn list(arguments: &ListArguments, clock: &Clock) -> Result<Output, String> {
    let file = read(&arguments.file)?;
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
    let file = loading.root_document(path);
    match file {
        Some(file) if !loading.problems.has_errors() => Ok(file),
        Some(_) | None => Err(super::check::report(&loading.problems)),
    }
}

//! `portcullis explain`: what would become of a request, and why.
//!
//! The answer comes from the code that serves requests; see [`crate::proxy::rehearsal`]. No secret is shown.

mod report;
mod secrets;
mod text;

use std::net::IpAddr;

use super::check::report as report_problems;
use super::sketch::{Drawn, Sketch};
use super::{ConfigurationFile, Output};
use crate::proxy::rehearsal::{Rehearsal, RehearsalError, Trial};
pub(super) use report::{Field, Report, may_be_secret, shown};
use secrets::Secrets;

/// Say what would become of a request, and why.
///
/// The answer comes from the code that serves requests, on the file as it is now: the route, each check, the status or
/// what the upstream would get. Issuers are asked for their keys and Redis for revocations, as the gateway does. What only
/// the running gateway knows, such as failed attempts, is said to be unknown.
///
/// Whatever stands on a command line can be seen in the list of processes. Each credential is therefore also taken from
/// standard input (`-`), from a file (`@FILE`) or from an environment variable (`env:NAME`).
#[derive(Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExplainArguments {
    /// The method.
    method: String,
    /// The URL, such as `https://api.example.com/v1/orders/1`.
    url: String,
    /// A header field, `Name: value`; may be given several times. `@FILE` adds the lines of a file.
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    /// An API key, which is sent in `X-API-Key`.
    #[arg(long, value_name = "KEY | - | @FILE | env:NAME")]
    key: Option<String>,
    /// A token, which is sent as `Authorization: Bearer`.
    #[arg(long, value_name = "TOKEN | - | @FILE | env:NAME")]
    token: Option<String>,
    /// A name and a password, which are sent as `Authorization: Basic`.
    #[arg(long, value_name = "NAME:PASSWORD | - | @FILE | env:NAME")]
    user: Option<String>,
    /// The address that the request comes from.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    peer: IpAddr,
    #[command(flatten)]
    file: ConfigurationFile,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

const EXAMPLES: &str = "\
Examples:
  portcullis explain GET https://api.example.com/v1/orders/1
  portcullis explain GET https://api.example.com/v1/orders/1 --key @key.txt
  portcullis explain POST https://api.example.com/v1/orders --token env:TOKEN --format json
  pass show staff | portcullis explain GET https://tools.example.com/ --user - --peer 192.0.2.7";

/// Without credentials.
impl std::fmt::Debug for ExplainArguments {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ExplainArguments").field("method", &self.method).finish_non_exhaustive()
    }
}

pub(super) fn execute(arguments: &ExplainArguments) -> Output {
    match explain(arguments) {
        Ok(text) => Output::success(text),
        Err(complaint) => Output::failure(complaint),
    }
}

fn explain(arguments: &ExplainArguments) -> Result<String, String> {
    let ExplainArguments { method, url, headers, key, token, user, peer, file, format } = arguments;
    let complain = |text: String| format!("error: {text}");
    let mut sketch = Sketch { method: method.clone(), url: url.clone(), ..Sketch::default() };
    let mut secrets = Secrets::default();
    for header in headers {
        sketch.fields.extend(Secrets::fields(header).map_err(complain)?);
    }
    if let Some(key) = key {
        sketch.key(&secrets.read(key).map_err(complain)?);
    }
    if let Some(token) = token {
        sketch.token(&secrets.read(token).map_err(complain)?);
    }
    if let Some(user) = user {
        let pair = secrets.read(user).map_err(complain)?;
        if !pair.contains(':') {
            return Err(complain("a name and a password are written with a colon between".to_owned()));
        }
        sketch.user(&pair);
    }
    let rehearsal = Rehearsal::open(&file.config, None).map_err(describe)?;
    let Drawn { listener, server_name, head } = sketch.draw(rehearsal.configuration()).map_err(complain)?;
    let trial = Trial { listener, server_name: server_name.as_deref(), peer: *peer, head: &head };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| complain(error.to_string()))?;
    let account = runtime.block_on(rehearsal.try_out(&trial)).map_err(describe)?;
    let report = Report::of(&account);
    match format {
        Format::Text => Ok(text::render(&report)),
        Format::Json => serde_json::to_string_pretty(&report).map_err(|error| complain(error.to_string())),
    }
}

/// Why nothing can be tried, as it is shown to people.
pub(super) fn describe(error: RehearsalError) -> String {
    match error {
        RehearsalError::Configuration(rejected) => report_problems(&rejected.problems),
        error => format!("error: {error}"),
    }
}

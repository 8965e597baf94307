//! The command line: one file for each command. A command returns what it prints and its exit status; only `main` prints
//! and exits.

mod check;
mod demo;
mod dev_token;
mod explain;
mod hash_password;
mod health;
mod keys;
pub mod revoke;
mod routes;
mod run;
mod schema;
mod sketch;
mod table;
mod trials;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::clock::Clock;

/// An authenticating reverse-proxy gateway.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, about, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve requests.
    Run(run::RunArguments),
    /// Check a configuration and say everything that is wrong with it.
    Check(check::CheckArguments),
    /// Show what is matched, who may, and where it goes.
    Routes(routes::RoutesArguments),
    /// Say what would become of a request, and why.
    Explain(explain::ExplainArguments),
    /// Try the tests that stand beside a policy.
    Test(trials::TestArguments),
    /// Make API keys and list them.
    Keys(keys::KeysArguments),
    /// Read a password and write the line of a user file for it.
    HashPassword(hash_password::HashPasswordArguments),
    /// Sign a token with a local key, for trying things out.
    DevToken(dev_token::DevTokenArguments),
    /// Ask a running gateway whether it is ready.
    Health(health::HealthArguments),
    /// Make the credentials of the demonstration and print commands to try.
    Demo(demo::DemoArguments),
    /// Revoke a credential, lift a revocation, or list what is revoked.
    Revoke(RevokeArguments),
    /// Print the JSON Schema of the configuration file.
    Schema(schema::SchemaArguments),
}

/// What a command has to say.
#[derive(Debug, Default)]
pub struct Output {
    /// For standard output.
    pub text: String,
    /// For standard error.
    pub complaint: String,
    /// Whether the command succeeded.
    pub status: Status,
}

/// Whether a command succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// 0.
    #[default]
    Success,
    /// 1.
    Failure,
    /// 2.
    Unusable,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        match status {
            Status::Success => Self::SUCCESS,
            Status::Failure => Self::FAILURE,
            Status::Unusable => Self::from(2),
        }
    }
}

impl Output {
    /// Success, with `text` for standard output.
    pub fn success(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Failure, with `complaint` for standard error.
    pub fn failure(complaint: impl Into<String>) -> Self {
        Self { complaint: complaint.into(), status: Status::Failure, ..Self::default() }
    }
}

/// The file that commands work on.
#[derive(Clone, Debug, clap::Args)]
struct ConfigurationFile {
    /// The configuration file.
    #[arg(short, long = "config", value_name = "FILE", default_value = "gateway.yaml")]
    config: PathBuf,
}

/// `portcullis revoke` with the file that says where the list is.
#[derive(Clone, Debug, clap::Args)]
struct RevokeArguments {
    #[command(flatten)]
    file: ConfigurationFile,
    #[command(flatten)]
    revoke: revoke::Args,
}

fn execute_revoke(arguments: &RevokeArguments) -> Output {
    let RevokeArguments { file, revoke } = arguments;
    let configuration = match check::load(file) {
        Ok(configuration) => configuration,
        Err(complaint) => return Output::failure(complaint),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Output::failure(format!("error: {error}")),
    };
    let longest_token = configuration.gateway.longest_token();
    match runtime.block_on(revoke::run(revoke, &configuration.backing, longest_token, &Clock::system())) {
        Ok(text) => {
            let warning = revoke.revokes().and_then(|(kind, id)| {
                revoke::known::warning(kind, id, &configuration.gateway, &file.config)
            });
            Output { complaint: warning.unwrap_or_default(), ..Output::success(text) }
        }
        Err(error) => Output::failure(format!("error: {error}")),
    }
}

/// Runs the command that `arguments` name.
pub fn execute(arguments: Arguments) -> Output {
    match arguments.command {
        Command::Run(arguments) => run::execute(&arguments),
        Command::Check(arguments) => check::execute(&arguments),
        Command::Routes(arguments) => routes::execute(&arguments),
        Command::Explain(arguments) => explain::execute(&arguments),
        Command::Keys(arguments) => keys::execute(&arguments),
        Command::HashPassword(arguments) => hash_password::execute(&arguments),
        Command::Health(arguments) => health::execute(&arguments),
        Command::DevToken(arguments) => dev_token::execute(&arguments),
        Command::Demo(arguments) => demo::execute(&arguments),
        Command::Revoke(arguments) => execute_revoke(&arguments),
        Command::Test(arguments) => trials::execute(&arguments),
        Command::Schema(arguments) => schema::execute(&arguments),
    }
}

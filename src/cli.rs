//! The command line: one file for each command. A command returns what it prints and its exit status; only `main` prints
//! and exits.

mod check;
mod demo;
mod dev_token;
mod hash_password;
mod keys;
mod routes;
mod run;
mod schema;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Make API keys and list them.
    Keys(keys::KeysArguments),
    /// Read a password and write the line of a user file for it.
    HashPassword(hash_password::HashPasswordArguments),
    /// Sign a token with a local key, for trying things out.
    DevToken(dev_token::DevTokenArguments),
    /// Make the credentials of the demonstration and print commands to try.
    Demo(demo::DemoArguments),
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
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        match status {
            Status::Success => Self::SUCCESS,
            Status::Failure => Self::FAILURE,
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

/// Runs the command that `arguments` name.
pub fn execute(arguments: Arguments) -> Output {
    match arguments.command {
        Command::Run(arguments) => run::execute(&arguments),
        Command::Check(arguments) => check::execute(&arguments),
        Command::Routes(arguments) => routes::execute(&arguments),
        Command::Keys(arguments) => keys::execute(&arguments),
        Command::HashPassword(arguments) => hash_password::execute(&arguments),
        Command::DevToken(arguments) => dev_token::execute(&arguments),
        Command::Demo(arguments) => demo::execute(&arguments),
        Command::Schema(arguments) => schema::execute(&arguments),
    }
}

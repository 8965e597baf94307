//! `portcullis check`: compiles a configuration as `run` and a reload do, and says everything that is wrong with it.

use std::io::IsTerminal;

use super::{ConfigurationFile, Output, Status};
use crate::authn::password::HashingPool;
use crate::clock::Clock;
use crate::config::{Configuration, Services, audit};
use crate::problem::Problems;
use crate::telemetry::metrics::Metrics;

/// Check a configuration and say everything that is wrong with it.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    file: ConfigurationFile,
    /// Give advice as well: what is no mistake, and should have been decided on purpose. `--audit=deny` fails when there is
    /// any.
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "advise"
    )]
    audit: Option<Audit>,
}

/// What is done with advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Audit {
    /// Show it.
    Advise,
    /// Show it, and fail when there is any.
    Deny,
}

const EXAMPLES: &str = "\
Examples:
  portcullis check
  portcullis check --config gateway.yaml --audit
  portcullis check --audit=deny";

pub(super) fn execute(arguments: &CheckArguments) -> Output {
    let CheckArguments { file, audit } = arguments;
    match load(file) {
        Ok(configuration) => {
            let routes = configuration.gateway.routes.iter().count();
            let complaint = if configuration.warnings.is_empty() {
                String::new()
            } else {
                report(&configuration.warnings)
            };
            let noun = if routes == 1 { "route" } else { "routes" };
            let text = format!("{} is good: {routes} {noun}", file.config.display());
            match audit {
                None => Output { text, complaint, status: Status::Success },
                Some(audit) => Output { complaint, ..advise(&text, *audit, file, &configuration) },
            }
        }
        Err(complaint) => Output::failure(complaint),
    }
}

fn advise(text: &str, audit: Audit, file: &ConfigurationFile, configuration: &Configuration) -> Output {
    let advice = match with_services(|services| audit::advise(&file.config, &configuration.backing, services))
    {
        Ok(advice) => advice,
        Err(complaint) => return Output::failure(complaint),
    };
    let shown = advice.render(std::io::stdout().is_terminal());
    let (end, status) = match (advice.len(), audit) {
        (0, _) => ("no advice".to_owned(), Status::Success),
        (count, audit) => {
            let noun = if count == 1 { "piece" } else { "pieces" };
            let status = if audit == Audit::Deny { Status::Failure } else { Status::Success };
            (format!("{shown}\n\n{count} {noun} of advice"), status)
        }
    };
    Output { text: format!("{text}\n\n{end}"), status, ..Output::default() }
}

/// Compiles the file, or says what is wrong with it.
pub(super) fn load(file: &ConfigurationFile) -> Result<Configuration, String> {
    with_services(|services| {
        Configuration::load(&file.config, services, None).map_err(|rejected| report(&rejected.problems))
    })?
}

fn with_services<T>(work: impl FnOnce(&Services<'_>) -> T) -> Result<T, String> {
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"), "unknown").map_err(|error| error.to_string())?;
    let (hashing, _worker) = HashingPool::new();
    let environment = |name: &str| std::env::var(name).ok();
    Ok(work(&Services { clock: Clock::system(), environment: &environment, metrics, hashing }))
}

/// The problems as they are shown to people, with a last line that counts them.
pub(super) fn report(problems: &Problems) -> String {
    let styled = std::io::stderr().is_terminal();
    let errors = problems.error_count();
    let mut text = problems.render(styled);
    if errors > 0 {
        let noun = if errors == 1 { "error" } else { "errors" };
        text.push_str(&format!("\n\n{errors} {noun}"));
    }
    text
}

//! `portcullis check`: compiles a configuration as `run` and a reload do, and says everything that is wrong with it.

use std::io::IsTerminal;

use super::{ConfigurationFile, Output, Status};
use crate::authn::password::HashingPool;
use crate::clock::Clock;
use crate::config::{Configuration, Services};
use crate::problem::Problems;
use crate::telemetry::metrics::Metrics;

/// Check a configuration and say everything that is wrong with it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    file: ConfigurationFile,
}

pub(super) fn execute(arguments: &CheckArguments) -> Output {
    let CheckArguments { file } = arguments;
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
            Output { text, complaint, status: Status::Success }
        }
        Err(complaint) => Output::failure(complaint),
    }
}

/// Compiles the file, or says what is wrong with it.
pub(super) fn load(file: &ConfigurationFile) -> Result<Configuration, String> {
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"), "unknown").map_err(|error| error.to_string())?;
    let (hashing, _worker) = HashingPool::new();
    let environment = |name: &str| std::env::var(name).ok();
    let services = Services { clock: Clock::system(), environment: &environment, metrics, hashing };
    Configuration::load(&file.config, &services, None).map_err(|rejected| report(&rejected.problems))
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

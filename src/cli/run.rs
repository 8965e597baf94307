//! `portcullis run`: serves requests until the process is told to end.

use log::LevelFilter;

use super::{ConfigurationFile, Output, check};
use crate::clock::Clock;
use crate::proxy::{ServeError, ServeOptions, serve};
use crate::telemetry;
use crate::units::TimeSpan;

/// Serve requests.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    file: ConfigurationFile,
    /// Threads that serve requests [default: one for each processor].
    #[arg(long)]
    threads: Option<std::num::NonZeroUsize>,
    /// How long the listeners keep accepting after SIGTERM, while /readyz returns 503 so that load balancers send new
    /// connections elsewhere. SIGINT has no delay, and a second signal ends it.
    #[arg(long, value_name = "DURATION", env = "PORTCULLIS_DRAIN_DELAY", default_value = "5s")]
    drain_delay: TimeSpan,
    /// How long requests in flight may take after that.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    drain: TimeSpan,
    /// Let another process replace this one on SIGUSR2 although systemd did not start it: nobody takes the end of this
    /// process for that of the service.
    #[arg(long)]
    replaceable: bool,
    /// How much is logged on standard error: off, error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", env = "PORTCULLIS_LOG", default_value = "info")]
    log_level: LevelFilter,
}

pub(super) fn execute(arguments: &RunArguments) -> Output {
    let RunArguments { file, threads, drain_delay, drain, replaceable, log_level } = arguments;
    telemetry::log::start(*log_level, Clock::system());
    let processors = std::thread::available_parallelism();
    let threads = threads
        .map_or_else(|| processors.map_or(1, std::num::NonZeroUsize::get), std::num::NonZeroUsize::get);
    let options = ServeOptions {
        path: file.config.clone(),
        threads,
        drain_delay: drain_delay.duration(),
        drain: drain.duration(),
        replaceable: *replaceable,
    };
    match serve(&options) {
        Ok(()) => Output::default(),
        Err(ServeError::Configuration(rejected)) => Output::failure(check::report(&rejected.problems)),
        Err(error) => Output::failure(format!("error: {error}")),
    }
}

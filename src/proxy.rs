//! Serving: the only floor that knows pingora, and the only one that spawns threads and tasks.
//!
//! A request's way through this floor: [`listen`] accepts, [`serve`] shakes hands and reads a head through
//! [`downstream`], [`edge`] asks the gateway, [`answer`] refuses or [`peer`] and [`forward`] send it upstream, and
//! [`record`] writes it down.

mod admin;
mod answer;
mod background;
mod descriptors;
mod discard;
mod downstream;
mod drain;
mod echo;
mod edge;
mod engine;
mod exchange;
mod facts;
mod failure;
mod fetch;
mod forward;
mod journals;
mod keys;
mod listen;
mod location;
mod peer;
mod readiness;
mod reading;
mod record;
mod redirect;
pub mod rehearsal;
mod reload;
mod reply;
mod request_id;
mod resolve;
mod serve;
mod shared;
mod signals;
mod size;
mod sources;
mod spans;
mod streams;
mod succession;
mod supervisor;
mod tls;
mod trailers;
mod upgrade;
mod workers;

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use log::{error, info, warn};
use pingora::server::configuration::ServerConf;
use pingora::server::{ListenFds, RunArgs, Server, ShutdownWatch};
use pingora::services::Service;
use tokio::signal::unix::Signal;
use tokio::sync::Mutex;

use crate::authn::password::{HashingPool, HashingWorker};
use crate::clock::Clock;
use crate::config::{Configuration, Rejected, Services};
use crate::telemetry::audit::{Event, Prompt};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::refusals::Refusals;
use admin::{AdminService, TurnedAway};
use drain::Drain;
use edge::MOST_ATTEMPTS;
use engine::Engine;
pub use fetch::SetupError;
pub use journals::LogError;
use journals::{Journals, Outputs};
use keys::KeyKeeper;
use listen::{BoundListener, ListenService};
use readiness::Start;
pub use record::loggable_path;
use reload::Reloader;
use shared::Shared;
use signals::{Ending, Signals};
use sources::Sources;
use spans::Exporter;
pub use succession::SuccessionError;
use succession::{Estate, Gate, Successor};
pub use tls::TlsError;
use tls::TlsState;
use workers::{Lives, Workers};

/// How the process is started.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The configuration file.
    pub path: PathBuf,
    /// Threads that serve requests.
    pub threads: usize,
    /// How long the listeners accept after SIGTERM, while `/readyz` says that the process is shutting down.
    pub drain_delay: Duration,
    /// How long the end may take.
    pub drain: Duration,
    /// Whether another process may replace this one although no service manager would know of it: nobody takes the end of
    /// this one for that of the service.
    pub replaceable: bool,
}

/// The process cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}, which `{key}` names: {error}")]
    Bind {
        /// Where the file names it.
        key: &'static str,
        /// The address.
        address: std::net::SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The file is refused.
    #[error("the configuration is refused")]
    Configuration(Box<Rejected>),
    /// Keys cannot be fetched.
    #[error("keys cannot be fetched: {0}")]
    Fetch(#[from] SetupError),
    /// There is nowhere to write a log to.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The metrics cannot be set up.
    #[error("metrics cannot be set up: {0}")]
    Metrics(#[from] prometheus::Error),
    /// Signals cannot be listened to.
    #[error("signals cannot be listened to: {0}")]
    Signals(io::Error),
    /// The process was to replace another one, and cannot.
    #[error("the running process cannot be replaced by this one: {0}")]
    Succession(#[from] SuccessionError),
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(io::Error),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody is left to serve.
    #[error("all threads that serve connections have ended")]
    Workers,
}

/// Serves until the process is told to end.
///
/// # Errors
/// What keeps it from beginning to serve. From then on only the end of all threads that serve does.
pub fn serve(options: &ServeOptions) -> Result<(), ServeError> {
    // The first provider wins; pingora would otherwise install another one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut successor = Successor::find()?;
    let Signals { process, hangup, reopen } = Signals::listen().map_err(ServeError::Signals)?;
    let clock = Clock::system();
    let metrics =
        Metrics::new(env!("CARGO_PKG_VERSION"), option_env!("PORTCULLIS_REVISION").unwrap_or("unknown"))?;
    let (hashing, worker) = HashingPool::new();
    let read_at = clock.unix_millis();
    let configuration = load(&options.path, &clock, &metrics, &hashing)?;
    descriptors::allow_many(configuration.gateway.limits.connections);
    let tls = configuration.tls.as_ref().map(TlsState::new).transpose()?;
    let journals = Journals::new(&metrics);
    journals.turn_to(Outputs::open(None, &configuration.logs)?);
    start_hashing(&worker, options.threads)?;
    let (bound, admin, estate) = sockets(&configuration, successor.as_mut())?;
    let writers = journals.start().map_err(ServeError::Thread)?;
    let audit = journals.audit(&clock);
    let exporter =
        configuration.tracing.as_ref().map(|tracing| Exporter::start(tracing, &metrics)).transpose()?;
    let shared = Arc::new(Shared {
        no_route: metrics.route(record::NO_ROUTE),
        drain: Drain::new(metrics.connections.clone()),
        start: Start::new(),
        gate: Gate::new(),
        sources: Sources::default(),
        tls,
        tls_port: bound.iter().find_map(BoundListener::tls_port),
        configuration: ArcSwap::from_pointee(configuration),
        clock,
        metrics,
        access_log: journals.access_log(),
        audit: audit.clone(),
        journals,
        turned_away: TurnedAway::default(),
        refusals: Refusals::default(),
        policies: AtomicU64::new(0),
        tracer: exporter.as_ref().map(Exporter::tracer),
    });
    shared.accepted();
    let keeper = KeyKeeper::new(shared.clock.clone(), audit.clone())?;
    let reloader = Reloader {
        shared: shared.clone(),
        path: options.path.clone(),
        hashing,
        keeper,
        hangup,
        read_at,
        replaced: Vec::new(),
    };
    let failed = Arc::default();
    let (lives, ended) = workers::lives();
    let ending = Ending {
        shared: shared.clone(),
        delay: options.drain_delay,
        deadline: options.drain,
        replaceable: options.replaceable,
        signals: Mutex::new(process),
        successor: Mutex::new(successor),
        estate: Mutex::new(Some(estate)),
        ended: Mutex::new(ended),
        failed: Arc::clone(&failed),
    };
    audit.record(&Event::Started { version: env!("CARGO_PKG_VERSION"), pid: std::process::id() });
    let policy = &shared.configuration.load().fingerprint;
    audit.record(&Event::PolicyLoaded { policy, by: Prompt::Start });
    let upkeep = Upkeep { reloader, reopen };
    run(shared.clone(), bound, admin, upkeep, ending, lives, options.threads).map_err(ServeError::Thread)?;
    if let Some(exporter) = exporter {
        exporter.end();
    }
    shared.turned_away.tell_all(&audit);
    audit.record(&Event::Stopped);
    shared.journals.end(&writers);
    let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
    failed.map_or(Ok(()), Err)
}

/// The sockets to accept on, and the same ones once more for a process that may replace this one.
fn sockets(
    configuration: &Configuration,
    mut successor: Option<&mut Successor>,
) -> Result<(Vec<BoundListener>, TcpListener, Estate), ServeError> {
    let mut bound = Vec::new();
    let mut listeners = Vec::new();
    for listener in &configuration.listeners {
        let failed = |error| bind_error("listen", listener.address, error);
        let inherited = successor.as_mut().and_then(|old| old.listener(listener.address));
        let socket = BoundListener::new(listener, inherited).map_err(failed)?;
        listeners.push((listener.address, socket.socket().map_err(failed)?));
        bound.push(socket);
    }
    let address = configuration.admin.address;
    let failed = |error| bind_error("admin", address, error);
    let inherited = successor.and_then(|old| old.admin(address));
    let admin = inherited.map_or_else(|| listen::bind(address), Ok).map_err(failed)?;
    info!("admin on {}", admin.local_addr().map_err(failed)?);
    let estate = Estate { listeners, admin: (address, admin.try_clone().map_err(failed)?) };
    Ok((bound, admin, estate))
}

fn load(
    path: &Path,
    clock: &Clock,
    metrics: &Arc<Metrics>,
    hashing: &HashingPool,
) -> Result<Configuration, ServeError> {
    let services = Services {
        clock: clock.clone(),
        environment: &|name| std::env::var(name).ok(),
        metrics: metrics.clone(),
        hashing: hashing.clone(),
    };
    let configuration = Configuration::load(path, &services, None)
        .map_err(|rejected| ServeError::Configuration(Box::new(rejected)))?;
    for problem in configuration.warnings.lines() {
        warn!("{problem}");
    }
    Ok(configuration)
}

fn bind_error(key: &'static str, address: std::net::SocketAddr, error: io::Error) -> ServeError {
    ServeError::Bind { key, address, error }
}

/// Starts the threads that hash passwords.
fn start_hashing(worker: &HashingWorker, threads: usize) -> Result<(), ServeError> {
    for at in 0..threads.div_ceil(2) {
        let worker = worker.clone();
        background::start_hashing(format!("hashing-{at}"), move || worker.run())
            .map_err(ServeError::Thread)?;
    }
    Ok(())
}

/// Runs the services until the end.
fn run(
    shared: Arc<Shared>,
    listeners: Vec<BoundListener>,
    admin: TcpListener,
    upkeep: Upkeep,
    ending: Ending,
    lives: Lives,
    threads: usize,
) -> io::Result<()> {
    let mut server = Server::new_with_opt_and_conf(None, server_configuration(threads));
    server.bootstrap();
    let engines = (0..threads).map(|_| Engine::new(&shared, &server.configuration)).collect();
    let workers = Arc::new(Workers::start(engines, lives)?);
    let accepting = Some(shared.drain.hold());
    server.add_service(ListenService { shared: shared.clone(), workers, listeners, accepting });
    server.add_service(AdminService::new(shared.clone(), admin));
    server.add_service(UpkeepService { shared, upkeep: Some(upkeep) });
    server.run(RunArgs { shutdown_signal: Box::new(ending) });
    Ok(())
}

fn server_configuration(threads: usize) -> ServerConf {
    /// Connections to upstreams that are kept while no request uses them.
    const KEPT: usize = 1024;
    ServerConf {
        // Draining is done before the library hears of the end, so nothing is left to wait for.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        // For all threads together: each has a pool of its own.
        upstream_keepalive_pool_size: KEPT.div_ceil(threads.max(1)),
        max_retries: MOST_ATTEMPTS,
        ..ServerConf::default()
    }
}

/// Everything that goes on beside requests.
struct UpkeepService {
    shared: Arc<Shared>,
    upkeep: Option<Upkeep>,
}

/// What waits for signals.
struct Upkeep {
    reloader: Reloader,
    reopen: Signal,
}

#[async_trait]
impl Service for UpkeepService {
    async fn start_service(
        &mut self,
        _descriptors: Option<ListenFds>,
        _shutdown: ShutdownWatch,
        _per_socket: usize,
    ) {
        let Some(Upkeep { reloader, reopen }) = self.upkeep.take() else {
            error!("upkeep was started twice");
            return;
        };
        let shared = self.shared.clone();
        let configuration = shared.configuration.load_full();
        reloader.keeper.tend(&configuration);
        let list = configuration.list.clone();
        drop(configuration);
        tokio::join!(
            reloader.run(),
            resolve::keep_fresh(shared.clone()),
            list.follow(&shared.metrics, &shared.audit),
            shared.journals.reopen_on(reopen, &shared.configuration),
        );
    }

    fn name(&self) -> &'static str {
        "upkeep"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}

//! The listener for operators: metrics, health, readiness, the revocation list, and a page that shows them. Nothing here
//! is reachable from the listeners that clients use.

mod access;
mod answer;
mod connection;
mod places;
mod revocations;
mod sessions;
mod status;
mod turned_away;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, Response, StatusCode};
use pingora::protocols::http::ServerSession;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use self::access::Access;
use self::answer::{Refused, text};
use self::places::Places;
use self::turned_away::Attempt;
pub(super) use self::turned_away::TurnedAway;
use super::keys;
use super::listen::is_about_one_connection;
use super::readiness::{Degraded, Readiness};
use super::shared::Shared;
use crate::authn::Authenticator;
use crate::authn::guessing::State;
use crate::authn::jwt::KeySource;
use crate::telemetry::audit::{Administrator, Principal};

/// Serves operators.
pub(super) struct AdminService {
    shared: Arc<Shared>,
    socket: Option<std::net::TcpListener>,
}

impl AdminService {
    pub(super) fn new(shared: Arc<Shared>, socket: std::net::TcpListener) -> Self {
        Self { shared, socket: Some(socket) }
    }
}

#[async_trait]
impl Service for AdminService {
    async fn start_service(
        &mut self,
        _descriptors: Option<ListenFds>,
        _shutdown: ShutdownWatch,
        _per_socket: usize,
    ) {
        let Some(Ok(socket)) = self.socket.take().map(TcpListener::from_std) else { return };
        let access = Arc::new(Access::new());
        let places = Places::default();
        self.shared.gate.opened().await;
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // It goes on while the process drains: operators want to see how that goes. If another process has taken its
            // place, that is the one they ask.
            let accepted = tokio::select! {
                biased;
                () = self.shared.gate.handed_over() => return,
                accepted = socket.accept() => accepted,
                _ = looks.tick() => {
                    self.shared.turned_away.tell(&self.shared.audit);
                    continue;
                }
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) if is_about_one_connection(&error) => continue,
                Err(_) => {
                    sleep(PAUSE).await;
                    continue;
                }
            };
            // Whoever opens connections here must not take the files that clients need.
            let place = places.enter(peer.ip());
            let (shared, access, source) = (self.shared.clone(), access.clone(), peer.ip().to_canonical());
            let app = AdminApp { shared, access, source, deadline: Instant::now() };
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    () = place.lost() => {}
                    () = connection::serve(app, stream, &place) => {}
                }
            });
        }
    }

    fn name(&self) -> &'static str {
        "admin"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }
}

/// How long to wait when the system has no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// How often it is looked whether something can be told of those who were refused.
const LOOK: Duration = Duration::from_secs(1);

/// One connection.
struct AdminApp {
    shared: Arc<Shared>,
    access: Arc<Access>,
    /// Who is at its other end.
    source: IpAddr,
    /// When the request that is being answered has to be here with its body.
    deadline: Instant,
}

impl AdminApp {
    /// What is answered to a request.
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        let path = request.uri.path().to_owned();
        let reading = matches!(request.method, Method::GET | Method::HEAD);
        // Metrics, health and readiness are for whoever asks, by whatever name: Prometheus, probes and load balancers know
        // the gateway by the name of a service, of a pod or of a container, which this process has never heard. A web page
        // whose name was made to point here (DNS rebinding) could read them too; they have no secret in them, and change
        // nothing. Everything else is checked by `access`.
        match path.as_str() {
            "/metrics" if reading => text(StatusCode::OK, "text/plain; version=0.0.4", self.metrics()),
            "/healthz" if reading => text(StatusCode::OK, "text/plain", b"ok\n".to_vec()),
            "/readyz" if reading => {
                let readiness = Readiness::of(&self.shared, &self.shared.configuration.load());
                let status = if readiness.waiting.is_none() {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                text(status, "text/plain", readiness.text().into_bytes())
            }
            "/revocations" => revocations::answer(self, session).await,
            "/metrics" | "/healthz" | "/readyz" => {
                text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", Vec::new())
            }
            _ if status::is_for(&path) => status::answer(self, &path, session).await,
            _ => text(StatusCode::NOT_FOUND, "text/plain", Vec::new()),
        }
    }

    /// Whoever is at the other end, having shown this.
    fn by(&self, principal: Principal) -> Administrator {
        Administrator { principal, source: Some(self.source) }
    }

    /// Tells the audit log that somebody did not get what they asked for, which is something that there is.
    fn record(&self, refused: &Refused, session: &ServerSession) {
        let request = session.req_header();
        let attempt = Attempt {
            source: self.source,
            asked: format!("{} {}", request.method, request.uri.path()),
            status: refused.status.as_u16(),
            reason: refused.why.clone(),
        };
        self.shared.turned_away.note(attempt, &self.shared.audit);
    }

    /// All series, and among them those that are looked up only when somebody asks.
    fn metrics(&self) -> Vec<u8> {
        let metrics = &self.shared.metrics;
        let configuration = self.shared.configuration.load();
        let State { tracked, sources, principals } = configuration.gateway.limiter.state();
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        metrics.failed_attempts_tracked.set(count(tracked));
        metrics.failed_attempts_limited("source").set(count(sources));
        metrics.failed_attempts_limited("principal").set(count(principals));
        let issuers: Vec<Arc<KeySource>> = keys::sources(&configuration).collect();
        let degraded = Readiness::of(&self.shared, &configuration).degraded;
        for dependency in Degraded::DEPENDENCIES {
            let is_degraded = degraded.iter().any(|each| each.dependency() == dependency);
            metrics.degraded(dependency).set(is_degraded.into());
        }
        metrics.show_targets(
            configuration.gateway.upstreams.iter().flat_map(|upstream| upstream.target_states()),
        );
        metrics.show_jwks(issuers.iter().map(|source| (source.auth(), source.series())));
        let now = self.shared.clock.unix_seconds();
        metrics.show_api_key_expiry(configuration.gateway.methods.iter().filter_map(|method| match method {
            Authenticator::ApiKey(method) => Some((&**method.name(), method.next_expiry(now)?)),
            Authenticator::Basic(_) | Authenticator::Jwt(_) => None,
        }));
        metrics.render()
    }
}

//! What would become of a request: the way that it would go through this floor, without a client, an upstream, or a line
//! in logs and metrics.
//!
//! Each step is the very function that serves requests: the head is read by `request/head` and then by the library, the
//! gateway decides, and `forward` prepares what would go upstream. Only what the running process has seen is not known:
//! failed attempts, and revocations that are kept in its memory.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use tokio::io::{AsyncWriteExt, duplex};
use tokio::time::{Instant, sleep};

use super::answer::{Answer, ClientKind};
use super::exchange::Verdict;
use super::facts::Facts;
use super::fetch::SetupError;
use super::forward::{self, Preparation};
use super::keys::KeyKeeper;
use super::record::{self, Logged};
use super::request_id::{REQUEST_ID, RequestId};
use super::tls::{TlsError, TlsState};
use super::{reading, redirect};
use crate::authn::Authenticator;
use crate::authn::credential;
use crate::authn::password::HashingPool;
use crate::authn::stand_in::StandIn;
use crate::authn::witness::{Finding, Transcript};
use crate::clock::Clock;
use crate::config::listeners::ListenerKind;
use crate::config::tls::ClientAuth;
use crate::config::{Configuration, Purpose, Rejected, Services};
use crate::gateway::admission::Admission;
use crate::gateway::matcher::{Lookup, Near};
use crate::gateway::refusal::{Refusal, Refused};
use crate::gateway::route::Access;
use crate::gateway::upstream::Upstream;
use crate::request::head::{Body, HeadReader};
use crate::request::origin::Origin;
use crate::request::{Connection, Malformed, Request, Transport};
use crate::revocation::store::Cursor;
use crate::revocation::{Backing, OnOutage};
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::Metrics;
use crate::units::{ByteSize, TimeSpan};

/// A policy that requests can be tried on.
pub struct Rehearsal {
    configuration: Arc<Configuration>,
    tls: Option<TlsState>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// A request that is tried.
#[derive(Clone, Debug)]
pub struct Trial<'a> {
    /// What is spoken on the listener that it comes to.
    pub listener: ListenerKind,
    /// The name that the client asks for in the TLS handshake.
    pub server_name: Option<&'a str>,
    /// The address at the other end.
    pub peer: IpAddr,
    /// Its head, as it would arrive.
    pub head: &'a [u8],
}

/// What would become of a request.
#[derive(Debug)]
pub struct Account {
    /// The address of the client, where a trusted proxy has named it.
    pub client: Option<IpAddr>,
    /// What the access log would say of it.
    pub logged: Logged,
    /// The routes that it nearly took.
    pub near: Vec<Near>,
    /// How its checks came out, in their order.
    pub findings: Vec<Finding>,
    /// What came of it.
    pub ending: Ending,
    /// What cannot be known here, for people.
    pub notes: Vec<String>,
}

/// What came of a request.
#[derive(Debug)]
pub enum Ending {
    /// It goes upstream, as this.
    Admitted(Forwarded),
    /// It is sent to this URL.
    Redirected(HeaderValue),
    /// It is refused.
    Refused(Refusal, Vec<(HeaderName, HeaderValue)>),
}

/// A request as it goes upstream.
#[derive(Debug)]
pub struct Forwarded {
    /// Where it goes.
    pub upstream: Arc<Upstream>,
    /// How long its body may be.
    pub body_limit: ByteSize,
    /// How long the upstream may take until its response begins.
    pub request_timeout: TimeSpan,
    /// Path and query.
    pub target: String,
    /// All fields.
    pub headers: HeaderMap,
    /// Those of them that stand there as the client sent them.
    pub passed_on: Vec<HeaderName>,
    /// Fields that were sent and do not go upstream.
    pub removed: Vec<HeaderName>,
    /// The field that held the credential, where it was removed.
    pub stripped: Option<HeaderName>,
    /// Where `X-Request-Id` comes from.
    pub request_id: Identifier,
}

/// Where a request's identifier comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identifier {
    /// It is made for each request.
    Made,
    /// A trusted proxy sent it.
    Sent,
}

/// No request can be tried.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// The file is refused.
    #[error("the configuration is refused")]
    Configuration(Box<Rejected>),
    /// Keys cannot be fetched.
    #[error("keys cannot be fetched: {0}")]
    Fetch(#[from] SetupError),
    /// The metrics cannot be set up.
    #[error("metrics cannot be set up: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

const ATTEMPTS: &str = "how many attempts have failed lately is known to the running gateway only: after too many it answers 429";

/// How long the revocation list may take to be read.
const LIST: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);

impl Rehearsal {
    /// Compiles the file at `path` as `run` does or, to be tried with credentials of `stand_in`, as it would be without
    /// issuers and Redis.
    ///
    /// # Errors
    /// Why nothing can be tried.
    pub fn open(path: &Path, stand_in: Option<&StandIn>) -> Result<Self, RehearsalError> {
        let clock = Clock::system();
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"), "unknown")?;
        let (hashing, worker) = HashingPool::new();
        let environment = |name: &str| std::env::var(name).ok();
        let services =
            Services { clock: clock.clone(), environment: &environment, metrics: metrics.clone(), hashing };
        let purpose = stand_in.map_or(Purpose::Serving, Purpose::Trying);
        let configuration = Configuration::load_for(purpose, path, &services, None)
            .map_err(|rejected| RehearsalError::Configuration(Box::new(rejected)))?;
        let tls = configuration.tls.as_ref().map(TlsState::new).transpose()?;
        let thread = std::thread::Builder::new().name("hashing".to_owned());
        thread.spawn(move || worker.run()).map_err(RehearsalError::Thread)?;
        Ok(Self { configuration: Arc::new(configuration), tls, clock, metrics })
    }

    /// The policy.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// What would become of `trial`.
    ///
    /// # Errors
    /// Nothing can be fetched, whatever from.
    pub async fn try_out(&self, trial: &Trial<'_>) -> Result<Account, RehearsalError> {
        let connection = Connection {
            peer: trial.peer,
            transport: match trial.listener {
                ListenerKind::Tls => Transport::Tls,
                ListenerKind::Plaintext | ListenerKind::Redirect => Transport::Plaintext,
            },
            certificate: None,
        };
        let facts = Facts::new(connection, trial.listener, trial.server_name.map(str::to_ascii_lowercase));
        let head = match read(trial.head, &facts, &self.configuration.gateway.limits).await {
            Ok(head) => head,
            Err(refusal) => return Ok(Account::refused(refusal)),
        };
        let trusted = &self.configuration.gateway.trusted_proxies;
        let origin = Origin::of(&head.headers, trial.peer, trusted);
        let account = if trial.listener == ListenerKind::Redirect {
            self.redirect(&head, &facts)
        } else {
            self.decide(&head, &origin, &facts).await?
        };
        Ok(Account { client: Some(origin.client()).filter(|client| *client != origin.peer()), ..account })
    }

    async fn decide(
        &self,
        head: &RequestHeader,
        origin: &Origin,
        facts: &Facts,
    ) -> Result<Account, RehearsalError> {
        let gateway = &self.configuration.gateway;
        let request = match reading::parse(head, facts, origin, &gateway.limits) {
            Ok(request) => request,
            Err(refusal) => return Ok(Account::refused(refusal)),
        };
        let request = match reading::check(request, facts, self.tls.as_ref()) {
            Ok(request) => request,
            Err(refusal) => return Ok(Account::refused(refusal)),
        };
        let notes = self.prepare(&request).await?;
        let transcript = Transcript::default();
        let verdict = gateway.admit_before(&request, self.clock.unix_seconds(), &transcript).await;
        let account = match verdict {
            Ok(admission) => match self.forward(&admission, origin, facts, head.clone()) {
                Ok(forwarded) => {
                    let logged = record::logged(&Verdict::Admitted(admission));
                    Account::new(logged, Ending::Admitted(forwarded))
                }
                Err(refusal) => Account::refused(refusal),
            },
            Err(refused) => Account::of_refused(refused, ClientKind::of(head)),
        };
        Ok(Account {
            near: gateway.routes.nearly(&request),
            findings: transcript.into_findings(),
            notes,
            ..account
        })
    }

    fn redirect(&self, head: &RequestHeader, facts: &Facts) -> Account {
        let listeners = &self.configuration.listeners;
        let tls = listeners.iter().find(|listener| listener.kind == ListenerKind::Tls);
        match redirect::location(head, facts, tls.map(|listener| listener.address.port())) {
            Ok(location) => Account::new(record::logged(&Verdict::Redirected), Ending::Redirected(location)),
            Err(refusal) => Account::refused(refusal),
        }
    }

    fn forward(
        &self,
        admission: &Admission,
        origin: &Origin,
        facts: &Facts,
        mut head: RequestHeader,
    ) -> Result<Forwarded, Refusal> {
        let gateway = &self.configuration.gateway;
        let sent = head.headers.clone();
        let kept = sent.get(REQUEST_ID).filter(|_| origin.is_forwarded()).and_then(RequestId::accept);
        let request_id = if kept.is_some() { Identifier::Sent } else { Identifier::Made };
        forward::accept(&mut head, facts.asks_for_upgrade());
        let chunked = head.headers.contains_key(header::TRANSFER_ENCODING);
        if !facts.asks_for_upgrade() {
            forward::begin_next(&mut head).map_err(|_| Refusal::UpstreamFailed)?;
        }
        let preparation = Preparation {
            admission,
            connection: &facts.connection,
            identity_headers: &gateway.identity_headers,
            host: admission.route().upstream.host_for(None),
            origin,
            request_id: &kept.unwrap_or_else(RequestId::fresh),
            trace: None,
        };
        preparation.apply(&mut head).map_err(|_| Refusal::UpstreamFailed)?;
        forward::frame(&mut head, chunked).map_err(|_| Refusal::UpstreamFailed)?;
        let headers = head.headers.clone();
        let stripped = admission.credential_to_strip().headers().find(|name| sent.contains_key(name));
        let (kept, removed): (Vec<HeaderName>, Vec<HeaderName>) =
            sent.keys().cloned().partition(|name| headers.contains_key(name));
        let same = |name: &HeaderName| headers.get_all(name).iter().eq(sent.get_all(name).iter());
        Ok(Forwarded {
            upstream: admission.route().upstream.clone(),
            body_limit: ByteSize::of(gateway.body_limit(admission.route())),
            request_timeout: TimeSpan::of(admission.route().timeouts().request),
            target: String::from_utf8_lossy(head.raw_path()).into_owned(),
            passed_on: kept.into_iter().filter(same).collect(),
            removed: removed.into_iter().filter(|name| Some(name) != stripped.as_ref()).collect(),
            stripped,
            headers,
            request_id,
        })
    }

    /// Reads what the decision on `request` relies on, as far as it does, and says what cannot be known.
    async fn prepare(&self, request: &Request<'_>) -> Result<Vec<String>, RehearsalError> {
        let mut notes = Vec::new();
        let Lookup::Found(route) = self.configuration.gateway.routes.find(request) else { return Ok(notes) };
        let Access::Guarded(guard) = &route.access else { return Ok(notes) };
        let in_the_clear = request.connection().transport == Transport::Plaintext;
        if in_the_clear || !credential::is_present(request) {
            return Ok(notes);
        }
        for method in guard.authenticators() {
            if let Authenticator::Jwt(method) = method
                && let Some(source) = method.key_source()
            {
                KeyKeeper::new(self.clock.clone(), Audit::silent())?.read(source).await;
            }
        }
        notes.extend(self.read_list().await);
        notes.push(ATTEMPTS.to_owned());
        if let Some(ClientAuth::On { required: true, .. }) =
            self.configuration.tls.as_ref().map(|tls| &tls.client_auth)
        {
            notes.push("the gateway asks clients for a certificate; it is taken for granted here".to_owned());
        }
        Ok(notes)
    }

    async fn read_list(&self) -> Option<String> {
        let Configuration { gateway, list, backing, .. } = &*self.configuration;
        let server = match backing {
            Backing::Memory => {
                return Some(
                    "revocations are in the memory of the running gateway, so whether the credential was revoked is not \
                     known here"
                        .to_owned(),
                );
            }
            Backing::Redis(server) => server,
        };
        let (following, metrics) = (list.clone(), self.metrics.clone());
        tokio::spawn(async move { following.follow(&metrics, &Audit::silent()).await });
        let failure = list.store().list(None, &Cursor::default(), 1).await.err();
        let began = Instant::now();
        while !gateway.revocations.is_in_touch() {
            if failure.is_some() || began.elapsed() > LIST {
                let why = failure.map_or_else(String::new, |failure| format!(": {failure}"));
                let then = match gateway.revocations.on_outage() {
                    OnOutage::Allow => "`on_outage: allow` lets requests go on",
                    OnOutage::Deny => "`on_outage: deny` answers 503",
                };
                return Some(format!("the revocation list at {server} cannot be read{why}; then {then}"));
            }
            sleep(LOOK).await;
        }
        None
    }
}

impl Account {
    fn new(logged: Logged, ending: Ending) -> Self {
        Self { client: None, logged, near: Vec::new(), findings: Vec::new(), ending, notes: Vec::new() }
    }

    fn refused(refusal: Refusal) -> Self {
        Self::of_refused(Refused::without_route(refusal), ClientKind::Other)
    }

    fn of_refused(refused: Refused, client: ClientKind) -> Self {
        let refusal = refused.refusal.clone();
        let fields = Answer::new(&refusal, client, &RequestId::fresh(), None).into_fields();
        let fields = fields.into_iter().filter(|(name, _)| *name != REQUEST_ID).collect();
        Self::new(record::logged(&Verdict::Refused(refused)), Ending::Refused(refusal, fields))
    }
}

/// Reads a head as a connection does: first the gateway, then the library.
async fn read(
    bytes: &[u8],
    facts: &Facts,
    limits: &crate::gateway::Limits,
) -> Result<RequestHeader, Refusal> {
    const UNREADABLE: Refusal = Refusal::Malformed(Malformed::RequestLine);
    let head = HeadReader::default()
        .read(bytes, reading::head_limits(limits))
        .map_err(reading::refusal)?
        .ok_or(UNREADABLE)?;
    facts.accept_head(head.body == Body::Upgrade);
    let (mut ours, theirs) = duplex(bytes.len());
    ours.write_all(bytes).await.map_err(|_| UNREADABLE)?;
    let mut session = ServerSession::new_http1(Box::new(theirs));
    match session.read_request().await {
        Ok(true) => Ok(session.req_header().clone()),
        Ok(false) | Err(_) => Err(UNREADABLE),
    }
}

//! An upstream that remembers every byte it receives. It reads requests with the strict parser of this harness, so a
//! gateway that forwards something ambiguous is caught, and it answers as each test tells it to.

mod answer;
mod connection;
mod events;
mod grpc;
mod record;
mod respond;

pub use answer::Answer;
pub use events::Events;
pub use grpc::{GrpcUpstream, MISPLACED, RecordedCall};
pub use record::Recorded;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use self::record::Record;
use super::background::Task;
use super::deadline::eventually;
use super::port::ReservedPort;
use super::tls::Stream;

/// A recording HTTP/1.1 upstream. Unless told otherwise it answers `200` with the body `ok`.
///
/// When it is dropped, the test fails if a request was not valid HTTP/1.1; see [`Upstream::expect_violations`].
pub struct Upstream {
    port: ReservedPort,
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    task: Mutex<Option<Task>>,
}

/// What the connections of an upstream share with it.
struct Shared {
    record: Mutex<Record>,
    answers: Mutex<Answers>,
}

#[derive(Default)]
struct Answers {
    by_path: Vec<(String, Answer)>,
    otherwise: Answer,
}

impl Upstream {
    /// Starts an upstream in the clear.
    pub fn start() -> Self {
        Self::new(None)
    }

    /// Starts an upstream over TLS; see [`super::tls::server_config`].
    pub fn start_tls(config: Arc<ServerConfig>) -> Self {
        Self::new(Some(TlsAcceptor::from(config)))
    }

    fn new(tls: Option<TlsAcceptor>) -> Self {
        let shared = Arc::new(Shared { record: Mutex::default(), answers: Mutex::default() });
        let upstream = Self { port: ReservedPort::take(), shared, tls, task: Mutex::default() };
        upstream.start_again();
        upstream
    }

    /// Stops listening and drops every connection. Connections are refused from now on; the port stays reserved.
    pub async fn stop(&self) {
        let task = self.task.lock().unwrap().take();
        if let Some(task) = task {
            task.end().await;
        }
    }

    /// Listens again, on the same port. The record goes on.
    pub fn start_again(&self) {
        let mut task = self.task.lock().unwrap();
        assert!(task.is_none(), "the upstream is running");
        let listener = self.port.listen();
        let (shared, tls) = (self.shared.clone(), self.tls.clone());
        *task = Some(Task::start(async move {
            // Dropping the set, when the task ends, drops the connections.
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, peer)) = listener.accept().await else { continue };
                let _ = stream.set_nodelay(true);
                let (shared, tls) = (shared.clone(), tls.clone());
                let number = shared.record().open(peer);
                connections.spawn(async move {
                    let stream = match tls {
                        None => Stream::Plain(stream),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => {
                                shared.record().named(stream.get_ref().1.server_name());
                                Stream::Tls(Box::new(stream.into()))
                            }
                            Err(error) => {
                                return shared.record().failed_handshake(number, error.to_string());
                            }
                        },
                    };
                    connection::serve(stream, number, &shared).await;
                });
                while connections.try_join_next().is_some() {}
            }
        }));
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// What an `upstreams:` entry wants: `http://127.0.0.1:40123`, or `https://…`.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// Answers requests for `path` (exactly this, without the query) with `answer`, from now on. Answers are looked up
    /// when a request's head has arrived; the last one that was given for a path counts.
    pub fn answer(&self, path: &str, answer: Answer) -> &Self {
        self.shared.answers().by_path.push((path.to_owned(), answer));
        self
    }

    /// Answers requests for all other paths with `answer`.
    pub fn answer_otherwise(&self, answer: Answer) -> &Self {
        self.shared.answers().otherwise = answer;
        self
    }

    /// Answers one request on each connection, and closes it without a word when there is a second one.
    pub fn answer_once_on_each_connection(&self) -> &Self {
        let seen = Mutex::new(BTreeMap::<usize, u32>::new());
        self.answer_otherwise(Answer::from_fn(move |request| {
            let mut seen = seen.lock().unwrap();
            let count = seen.entry(request.connection).or_default();
            *count += 1;
            if *count == 1 { Answer::ok("ok").after(Duration::from_millis(20)) } else { Answer::close() }
        }))
    }

    /// Answers requests for `path` with a stream of server-sent events, which the test sends with what this returns.
    pub fn events(&self, path: &str) -> Events {
        let events = Events::default();
        self.answer(path, Answer::events(&events));
        events
    }

    /// Every request whose head has arrived, in the order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.record().requests().to_vec()
    }

    /// The same, and forgets them.
    pub fn take(&self) -> Vec<Recorded> {
        self.shared.record().take()
    }

    /// The only request since the last `take`, and forgets it; fails the test when there was none or more.
    #[track_caller]
    pub fn take_one(&self) -> Recorded {
        let mut requests = self.take();
        assert_eq!(requests.len(), 1, "the upstream received {requests:#?}");
        requests.remove(0)
    }

    /// Waits until there have been `count` complete requests since the last `take`, and returns all there are.
    pub async fn wait_for_requests(&self, count: usize) -> Vec<Recorded> {
        eventually(format!("{count} requests at the upstream"), || {
            let requests = self.requests();
            (requests.iter().filter(|request| request.complete).count() >= count).then_some(requests)
        })
        .await
    }

    /// Fails the test when a single byte has arrived since the start or the last `take`. A request that is still under
    /// way to the upstream is not seen: send a good one after it, and expect that one alone.
    #[track_caller]
    pub fn assert_nothing(&self) {
        let record = self.shared.record();
        let bytes = record.unread();
        assert!(bytes.is_empty(), "the upstream received {}", bytes.escape_ascii());
    }

    /// Every byte that arrived on each connection, in the order in which they were opened. Bodies that were asked to go
    /// into a sink are left out.
    pub fn bytes(&self) -> Vec<Vec<u8>> {
        self.shared.record().bytes()
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.shared.record().connections()
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.shared.record().open_connections()
    }

    /// The server name that each TLS connection asked for.
    pub fn server_names(&self) -> Vec<Option<String>> {
        self.shared.record().server_names().to_vec()
    }

    /// Why TLS did not come about, for each connection on which it did not.
    pub fn failed_handshakes(&self) -> Vec<String> {
        self.shared.record().failed_handshakes().to_vec()
    }

    /// What was not valid HTTP/1.1, and forgets it. A test that expects violations calls this; any that are left when the
    /// upstream is dropped fail the test.
    pub fn expect_violations(&self) -> Vec<String> {
        self.shared.record().take_violations()
    }
}

impl Shared {
    fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer_to(&self, request: &Recorded) -> Answer {
        let answers = self.answers();
        let found = answers.by_path.iter().rev().find(|(path, _)| path == request.path());
        found.map_or(&answers.otherwise, |(_, answer)| answer).clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let violations = self.shared.record().take_violations();
        if !std::thread::panicking() {
            assert!(violations.is_empty(), "the upstream received what is not HTTP/1.1: {violations:#?}");
        }
    }
}

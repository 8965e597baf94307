//! A load: some connections that ask again and again until they are told to stop, and an account of every answer and of
//! everything that was no answer. Made to prove that a reload, a rotation or a shutdown loses nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::{Client, Connection, Failure, Request, Response};
use crate::harness::background::servers;
use crate::harness::deadline::{DEADLINE, eventually, within};

/// A load that is going on. Dropping it stops it without a report.
pub struct Load {
    state: Arc<State>,
    workers: Vec<tokio::task::JoinHandle<Report>>,
}

/// What a load is going to be.
pub struct Plan {
    client: Client,
    request: Request,
    connections: u32,
    rate: Option<f64>,
    each_fresh: bool,
    expected: Expected,
}

type Expected = Arc<dyn Fn(&Response) -> Result<(), String> + Send + Sync>;

#[derive(Default)]
struct State {
    stopped: AtomicBool,
    answered: AtomicU64,
    refused: AtomicU64,
}

/// What came of a load.
#[derive(Clone, Default)]
pub struct Report {
    /// How many answers there were with each status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests that were sent and got no proper answer, with the reason. Each is a lost request.
    pub failures: Vec<Failure>,
    /// Keep-alive connections that were closed without a byte of an answer to a further request: the race that a client
    /// may retry (RFC 9112 section 9.3.1) and that a careful server avoids by `Connection: close`.
    pub closed_under_way: u64,
    /// Connections that were not made. Nothing was asked on them, so nothing was lost.
    pub refused: u64,
    /// Connections that were made.
    pub connections: u64,
    /// How long each answer took, ascending.
    pub latencies: Vec<Duration>,
}

impl Load {
    /// A load of this request. It begins with [`Plan::start`].
    pub fn of(client: &Client, request: Request) -> Plan {
        Plan {
            client: client.clone(),
            request,
            connections: 4,
            rate: None,
            each_fresh: false,
            expected: Arc::new(|_| Ok(())),
        }
    }

    /// How many answers there have been so far.
    pub fn answered(&self) -> u64 {
        self.state.answered.load(Ordering::Relaxed)
    }

    /// Waits until a connection has been refused, which shows that the server no longer listens.
    pub async fn wait_for_refusal(&self) {
        let before = self.state.refused.load(Ordering::Relaxed);
        let refused = || self.state.refused.load(Ordering::Relaxed) > before;
        eventually("a refused connection", || refused().then_some(())).await;
    }

    /// Waits until there have been `count` more answers, which shows that it is under way.
    pub async fn wait_for_more(&self, count: u64) {
        let aim = self.answered() + count;
        eventually(format!("{count} more answers"), || (self.answered() >= aim).then_some(())).await;
    }

    /// Lets every request that is under way finish, and reports.
    pub async fn stop(mut self) -> Report {
        self.state.stopped.store(true, Ordering::Relaxed);
        let mut report = Report::default();
        for worker in std::mem::take(&mut self.workers) {
            report.add(within("the end of a load", worker).await.unwrap());
        }
        report.latencies.sort_unstable();
        report
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.abort();
        }
    }
}

impl Plan {
    /// Over so many connections at a time instead of 4.
    #[must_use]
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections;
        self
    }

    /// So many requests a second in all, instead of as many as there can be.
    #[must_use]
    pub fn rate(mut self, per_second: f64) -> Self {
        self.rate = Some(per_second);
        self
    }

    /// A new connection for each request.
    #[must_use]
    pub fn each_on_a_fresh_connection(mut self) -> Self {
        self.each_fresh = true;
        self
    }

    /// Counts an answer that `check` refuses as a failure, with its reason.
    #[must_use]
    pub fn expecting(
        mut self,
        check: impl Fn(&Response) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.expected = Arc::new(check);
        self
    }

    /// Begins. The load runs on the runtime of the servers, so the test may do what it likes meanwhile.
    pub fn start(self) -> Load {
        let state = Arc::<State>::default();
        let plan = Arc::new(self);
        let workers = (0..plan.connections)
            .map(|at| servers().spawn(worker(plan.clone(), state.clone(), at)))
            .collect();
        Load { state, workers }
    }
}

impl Report {
    /// How many answers there were.
    pub fn answered(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// The latency that a share of the answers, such as 0.99, did not exceed.
    pub fn percentile(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index into a list of latencies"
        )]
        let at = (self.latencies.len() as f64 * share) as usize;
        self.latencies.get(at.min(self.latencies.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// Fails the test unless there were answers, all of them with this status, and nothing was lost. Refused connections
    /// are not judged.
    #[track_caller]
    pub fn assert_all(&self, status: u16) {
        let only: Vec<u16> = self.statuses.keys().copied().collect();
        assert_eq!(only, [status], "{self:?}");
        assert!(self.failures.is_empty() && self.closed_under_way == 0, "{self:?}");
    }

    fn add(&mut self, other: Self) {
        let Self { statuses, failures, closed_under_way, refused, connections, latencies } = other;
        for (status, count) in statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.failures.extend(failures);
        self.closed_under_way += closed_under_way;
        self.refused += refused;
        self.connections += connections;
        self.latencies.extend(latencies);
    }
}

/// What went wrong in the beginning, and how long it took without naming each.
impl std::fmt::Debug for Report {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { statuses, failures, closed_under_way, refused, connections, latencies: _ } = self;
        formatter
            .debug_struct("Report")
            .field("statuses", statuses)
            .field("number of failures", &failures.len())
            .field("first failures", &&failures[..failures.len().min(10)])
            .field("closed_under_way", closed_under_way)
            .field("refused", refused)
            .field("connections", connections)
            .field("median and 99th percentile", &(self.percentile(0.5), self.percentile(0.99)))
            .finish()
    }
}

/// How long a worker that was refused a connection leaves the server alone.
const AFTER_REFUSAL: Duration = Duration::from_millis(5);

async fn worker(plan: Arc<Plan>, state: Arc<State>, at: u32) -> Report {
    let mut report = Report::default();
    let mut connection: Option<(Connection, u64)> = None;
    let started = Instant::now();
    let mut turn = 0_u32;
    while !state.stopped.load(Ordering::Relaxed) {
        if let Some(rate) = plan.rate {
            // The workers take turns, so that the load is even.
            let position = f64::from(at) + f64::from(turn) * f64::from(plan.connections);
            tokio::time::sleep_until(started + Duration::from_secs_f64(position / rate)).await;
        }
        turn += 1;
        // A connection that the server closed while it was idle is no loss: nothing was asked on it.
        if let Some((open, _)) = &mut connection
            && !open.is_idle().await
        {
            connection = None;
        }
        let (mut open, used) = if let Some(kept) = connection.take() {
            kept
        } else if let Ok(open) = plan.client.try_connect().await {
            report.connections += 1;
            (open, 0)
        } else {
            report.refused += 1;
            state.refused.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(AFTER_REFUSAL).await;
            continue;
        };
        let asked = Instant::now();
        match tokio::time::timeout(DEADLINE, open.exchange(&plan.request)).await {
            Err(_) => report.failures.push(Failure::TimedOut),
            Ok(Err(Failure::Unanswered(_))) if used > 0 => report.closed_under_way += 1,
            Ok(Err(failure)) => report.failures.push(failure),
            Ok(Ok(response)) => {
                report.latencies.push(asked.elapsed());
                *report.statuses.entry(response.status).or_default() += 1;
                state.answered.fetch_add(1, Ordering::Relaxed);
                if let Err(text) = (plan.expected)(&response) {
                    report.failures.push(Failure::Unexpected(text));
                }
                let closes = response.headers.lists("Connection", "close") || response.version == "HTTP/1.0";
                if !closes && !plan.each_fresh {
                    connection = Some((open, used + 1));
                }
            }
        }
    }
    report
}

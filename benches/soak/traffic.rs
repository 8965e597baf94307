//! Requests at a fixed, modest rate, on connections that come and go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::loader::{Loader, Requests};
use super::season::{Season, lasting_key, token};

/// Connections at a time.
const CONNECTIONS: usize = 25;

/// Between two requests of a connection: all of them together send 500 requests a second.
const PERIOD: Duration = Duration::from_millis(50);

/// Requests of a connection before it is closed: 50 connections are opened each second.
const ON_ONE: usize = 10;

pub(crate) struct Traffic {
    clients: JoinSet<()>,
    requests: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
}

impl Traffic {
    /// Waits until the gateway is ready, and lets it begin.
    pub(crate) async fn start(gateway: SocketAddr, season: &Arc<Season>) -> Self {
        let client = season.material.client(b"http/1.1");
        let loader = Arc::new(Loader::new(gateway, client, requests(season.clone()), 200));
        while !loader.is_answered().await {
            sleep(Duration::from_millis(20)).await;
        }
        let mut traffic =
            Self { clients: JoinSet::new(), requests: Arc::default(), connections: Arc::default() };
        for _ in 0..CONNECTIONS {
            let client = client_of(loader.clone(), traffic.requests.clone(), traffic.connections.clone());
            traffic.clients.spawn(client);
        }
        traffic
    }

    /// Waits until a request is not answered as it has to be, and stops the run.
    pub(crate) async fn fails(&mut self) {
        if let Some(ended) = self.clients.join_next().await {
            ended.expect("every request is answered with 200");
        }
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn client_of(loader: Arc<Loader>, requests: Arc<AtomicU64>, connections: Arc<AtomicU64>) {
    let mut due = interval(PERIOD);
    // A machine that was busy does not have to make up for it.
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        let streams = loader.open(1).await;
        connections.fetch_add(1, Ordering::Relaxed);
        requests.fetch_add(1, Ordering::Relaxed);
        for mut stream in streams {
            for _ in 1..ON_ONE {
                due.tick().await;
                loader.send(&mut stream).await;
                requests.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Keys that stay, keys that have just come, and, most often, a new token.
fn requests(season: Arc<Season>) -> Requests {
    Arc::new(move |number, buffer| {
        let credential = match number % 8 {
            0 => format!("X-API-Key: {}", lasting_key(number as u64)),
            1 => format!("X-API-Key: {}", season.recent_key()),
            _ => format!("Authorization: Bearer {}", token(number as u64)),
        };
        buffer.extend_from_slice(
            format!("GET /a HTTP/1.1\r\nHost: localhost\r\n{credential}\r\n\r\n").as_bytes(),
        );
    })
}

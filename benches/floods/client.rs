//! Clients that mean well: a few connections on which requests are due at fixed times, whatever became of those before.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};

use super::connection::{self, Tls};
use super::gateway::{self, credentials};
use super::material::Material;

/// Each sends one request after the other.
const CONNECTIONS: u32 = 24;

/// Between two requests of a connection: all of them together send 480 requests a second.
const PERIOD: Duration = Duration::from_millis(50);

/// The clients, on a thread of their own.
pub(crate) struct Client {
    orders: Sender<Duration>,
    times: Receiver<Vec<Duration>>,
}

impl Client {
    /// Connects, with every kind of credential in turn.
    pub(crate) fn start(gateway: SocketAddr, material: &Material) -> Self {
        let (orders, todo) = channel::<Duration>();
        let (tell, times) = channel();
        let config = gateway::client(material, b"http/1.1");
        let credentials = credentials(material);
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut connections = Vec::new();
                for credential in credentials.iter().cycle().take(CONNECTIONS as usize) {
                    let request = format!("GET /v1/orders HTTP/1.1\r\nHost: localhost\r\n{credential}\r\n");
                    let stream = connection::connect_tls(gateway, &config).await.expect("a connection");
                    connections.push((stream, Arc::<[u8]>::from(request.into_bytes())));
                }
                while let Ok(time) = todo.recv() {
                    let begin = Instant::now();
                    let mut running = Vec::new();
                    for (at, (stream, request)) in (0..).zip(connections.drain(..)) {
                        // They are due one after the other, evenly.
                        let first = begin + PERIOD * at / CONNECTIONS;
                        running.push(tokio::spawn(send(stream, request, first, begin + time)));
                    }
                    let mut times = Vec::new();
                    for task in running {
                        let (stream, request, of_one) = task.await.expect("a connection that goes on");
                        connections.push((stream, request));
                        times.extend(of_one);
                    }
                    if tell.send(times).is_err() {
                        return;
                    }
                }
            });
        });
        Self { orders, times }
    }

    /// How long each request took in the next `time`, from when it was due.
    pub(crate) fn measure(&self, time: Duration) -> Vec<Duration> {
        self.orders.send(time).expect("clients");
        self.times.recv().expect("every request is answered")
    }
}

async fn send(
    mut stream: Tls,
    request: Arc<[u8]>,
    first: Instant,
    end: Instant,
) -> (Tls, Arc<[u8]>, Vec<Duration>) {
    let mut times = Vec::new();
    let mut due = first;
    while due < end {
        // That the timer is a little late is no fault of the gateway's; that another request was not answered yet is.
        let began = if Instant::now() < due {
            sleep_until(due).await;
            Instant::now()
        } else {
            due
        };
        answer(&mut stream, &request).await;
        times.push(began.elapsed());
        due += PERIOD;
    }
    (stream, request, times)
}

/// Sends `request` and reads its answer, which must be a good one.
async fn answer(stream: &mut Tls, request: &[u8]) {
    stream.write_all(request).await.expect("a request that can be sent");
    stream.flush().await.expect("a request that can be sent");
    let mut buffer = [0; 4096];
    let mut filled = 0;
    while !buffer[..filled].ends_with(b"\"shipped\"}") {
        let count = stream.read(&mut buffer[filled..]).await.expect("an answer");
        assert!(count > 0, "an answer before the end");
        filled += count;
    }
    assert!(buffer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&buffer[..filled]));
}

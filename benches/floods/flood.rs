//! The kinds of floods, each at a rate.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use super::connection::{Tls, client_hello, connect, connect_tls};
use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, frame, literal,
    preface, request,
};
use super::gateway::{KEY, client, token};
use super::material::Material;

/// One kind of flood.
pub(crate) struct Flood {
    pub(crate) what: &'static str,
    /// How much of it, for the table.
    pub(crate) rate: &'static str,
    /// How long it goes on before anything is measured.
    pub(crate) settles: Duration,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    /// Connections that are held open; `head` is sent at once, and then one byte every second.
    Held { connections: usize, head: Arc<[u8]> },
    /// The beginning of a handshake on a new connection, so many times a second; what comes back is read, and no more.
    Handshakes { hello: Arc<[u8]>, each_second: u32 },
    /// HTTP/2 frames: `first` and then `each` with numbers, so many a second, on a new connection whenever one was ended.
    Frames { first: Arc<[u8]>, each: fn(u32) -> Vec<u8>, each_second: u32 },
    /// HTTP/1 requests, `on_one` of them on each connection, so many a second.
    Requests { request: fn(u32, &str) -> String, token: Arc<str>, each_second: u32, on_one: u32 },
}

const UNREAD: &str = "answers that are not read";

/// A flood that is going on, on a thread of its own.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Running {
    pub(crate) fn stop(self) {
        let _ = self.stop.send(());
        self.thread.join().expect("a flood that ends");
    }
}

/// Every kind.
pub(crate) fn all(material: &Material) -> Vec<Flood> {
    let held = |connections, head: String| Kind::Held { connections, head: head.into_bytes().into() };
    let frames = |each, each_second| Kind::Frames { first: Arc::new([]), each, each_second };
    let after = |first: Vec<u8>, each, each_second| Kind::Frames { first: first.into(), each, each_second };
    let of_key = format!("/v1/orders HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\n");
    let flood = |what, rate, kind| {
        // Until all buffers are full that are on the way, answers come as fast as they do to anybody who downloads.
        let settles = Duration::from_millis(if what == UNREAD { 3000 } else { 300 });
        Flood { what, rate, settles, kind }
    };
    let hello = client_hello(&client(material, b"http/1.1")).into();
    let token: Arc<str> = token(material).into();
    vec![
        flood("connections without a request", "2,000 open", held(2000, String::new())),
        flood(
            "slow heads",
            "2,000 open, 2,000 bytes/s",
            held(2000, "GET /v1/orders HTTP/1.1\r\nX-Slow: ".to_owned()),
        ),
        flood(
            "slow bodies",
            "500 open, 500 bytes/s",
            held(500, format!("POST {of_key}Content-Length: 100000\r\n\r\n")),
        ),
        flood(
            UNREAD,
            "100 open, 1 GiB each",
            held(100, format!("GET /bytes/1073741824{}\r\n", &of_key[10..])),
        ),
        flood("handshakes that are not finished", "300/s", Kind::Handshakes { hello, each_second: 300 }),
        flood("requests taken back (rapid reset)", "10,000 frames/s", frames(rapid_reset, 5000)),
        flood(
            "empty content",
            "10,000 frames/s",
            after(frame(HEADERS, END_HEADERS, 1, &request("POST")), |_| frame(DATA, 0, 1, &[]), 10_000),
        ),
        flood(
            "heads that do not end (CONTINUATION)",
            "10,000 frames/s",
            after(
                frame(HEADERS, END_STREAM, 1, &request("GET")),
                |_| frame(CONTINUATION, 0, 1, &literal(0, "x-more", "more and more")),
                10_000,
            ),
        ),
        flood(
            "settings",
            "10,000 frames/s",
            frames(|number| frame(SETTINGS, 0, 0, &[&[0, 3], &number.to_be_bytes()[..]].concat()), 10_000),
        ),
        flood("pings", "10,000 frames/s", frames(|_| frame(PING, 0, 0, b"8 bytes!"), 10_000)),
        flood("heads that unpack to megabytes (HPACK)", "200 heads/s", frames(bomb, 200)),
        flood(
            "refused uploads of 100 KB",
            "200/s, 4 on each connection",
            Kind::Requests { request: refused_upload, token: token.clone(), each_second: 200, on_one: 4 },
        ),
        flood(
            "refused uploads at a byte a second",
            "2,000 open",
            held(
                2000,
                "POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n".to_owned(),
            ),
        ),
        flood(
            "forged tokens",
            "500/s, 20 from each address",
            Kind::Requests { request: forged, token: token.clone(), each_second: 500, on_one: 20 },
        ),
        flood(
            "wrong passwords",
            "200/s, 20 from each address",
            Kind::Requests { request: wrong_password, token, each_second: 200, on_one: 20 },
        ),
    ]
}

fn rapid_reset(number: u32) -> Vec<u8> {
    let stream = number * 2 + 1;
    let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &request("GET"));
    [head, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
}

/// A large field is put into the table, and then referred to thousands of times (CVE-2016-6581).
fn bomb(number: u32) -> Vec<u8> {
    let mut head = request("GET");
    if number == 0 {
        head.extend(literal(0x40, "x-bomb", &"x".repeat(4000)));
    }
    head.extend([0xbe; 8000]);
    frame(HEADERS, END_HEADERS | END_STREAM, number * 2 + 1, &head)
}

fn forged(number: u32, token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    // Another signature each time, of the same length.
    let signature = format!("{:0>8}{}", number, &signature[8..]);
    format!(
        "GET /v1/orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {signed}.{signature}\r\n\r\n"
    )
}

/// The body is discarded while the response is on its way.
fn refused_upload(_number: u32, _token: &str) -> String {
    let body = "x".repeat(100_000);
    format!("POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn wrong_password(number: u32, _token: &str) -> String {
    let pair = STANDARD.encode(format!("user-{number}:guess"));
    format!("GET /v1/orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {pair}\r\n\r\n")
}

impl Flood {
    /// Begins, and returns when all connections are there that are held.
    pub(crate) fn start(&self, gateway: SocketAddr, material: &Material) -> Running {
        let (stop, stopped) = oneshot::channel();
        let (ready, begun) = std::sync::mpsc::channel();
        let kind = self.kind.clone();
        let (one, two) = (client(material, b"http/1.1"), client(material, b"h2"));
        let thread = std::thread::spawn(move || {
            // Of this thread only, as Linux has it.
            let _ = rustix::process::setpriority_process(None, 15);
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let flooding: Pin<Box<dyn Future<Output = ()>>> = match kind {
                    Kind::Held { connections, head } => {
                        let mut open = Vec::new();
                        for _ in 0..connections {
                            if let Ok(mut stream) = connect_tls(gateway, &one).await {
                                let _ = stream.write_all(&head).await;
                                let _ = stream.flush().await;
                                open.push(stream);
                            }
                        }
                        let drips = !head.is_empty() && !head.starts_with(b"GET /bytes/");
                        Box::pin(hold(open, drips))
                    }
                    Kind::Handshakes { hello, each_second } => {
                        Box::pin(handshakes(gateway, hello, each_second))
                    }
                    Kind::Frames { first, each, each_second } => Box::pin(async move {
                        let mut pace = Pace::new(each_second);
                        loop {
                            if let Ok(stream) = connect_tls(gateway, &two).await {
                                let _ = on_one(stream, &first, each, &mut pace).await;
                            }
                        }
                    }),
                    Kind::Requests { request, token, each_second, on_one } => Box::pin(async move {
                        let mut pace = Pace::new(each_second / on_one);
                        let mut number = 0_u32;
                        loop {
                            for _ in 0..pace.next().await {
                                let texts: Vec<String> =
                                    (0..on_one).map(|at| request(number + at, &token)).collect();
                                number = number.wrapping_add(on_one);
                                let config = one.clone();
                                tokio::spawn(async move {
                                    let Ok(mut stream) = connect_tls(gateway, &config).await else { return };
                                    for text in texts {
                                        if exchange(&mut stream, &text).await.is_none() {
                                            return;
                                        }
                                    }
                                });
                            }
                        }
                    }),
                };
                let _ = ready.send(());
                tokio::select! {
                    _ = stopped => {}
                    () = flooding => {}
                }
            });
        });
        begun.recv().expect("a flood that begins");
        Running { stop, thread }
    }
}

/// Keeps connections open, with one byte on each every second if it `drips`.
async fn hold(mut open: Vec<Tls>, drips: bool) {
    let mut pace = Pace::new(u32::try_from(open.len()).unwrap_or(1));
    let mut at = 0;
    loop {
        for _ in 0..pace.next().await {
            at = (at + 1) % open.len().max(1);
            if drips && let Some(stream) = open.get_mut(at) {
                let _ = stream.write_all(b"x").await;
                let _ = stream.flush().await;
            }
        }
    }
}

async fn handshakes(gateway: SocketAddr, hello: Arc<[u8]>, each_second: u32) {
    let mut pace = Pace::new(each_second);
    loop {
        for _ in 0..pace.next().await {
            let hello = hello.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = connect(gateway).await else { return };
                let _ = stream.write_all(&hello).await;
                let _ = stream.read(&mut [0; 8192]).await;
            });
        }
    }
}

/// Sends frames on one connection until it is ended.
async fn on_one(stream: Tls, first: &[u8], each: fn(u32) -> Vec<u8>, pace: &mut Pace) -> std::io::Result<()> {
    let (mut reading, mut writing) = tokio::io::split(stream);
    // Answers are taken, so that the flood does not stand still for want of room.
    let mut ended = tokio::spawn(async move {
        let mut buffer = [0; 16 << 10];
        while let Ok(1..) = reading.read(&mut buffer).await {}
    });
    writing.write_all(&[&preface(), first].concat()).await?;
    let mut number = 0;
    loop {
        let count = tokio::select! {
            count = pace.next() => count,
            _ = &mut ended => return Ok(()),
        };
        let bytes: Vec<u8> = (number..number + count).flat_map(each).collect();
        number += count;
        writing.write_all(&bytes).await?;
        writing.flush().await?;
    }
}

async fn exchange(stream: &mut Tls, request: &str) -> Option<()> {
    stream.write_all(request.as_bytes()).await.ok()?;
    stream.flush().await.ok()?;
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer).await.ok()?;
    (count > 0).then_some(())
}

/// So many a second, a few at a time.
struct Pace {
    ticks: tokio::time::Interval,
    each_second: u32,
    /// What is owed, in thousandths.
    owed: u32,
}

impl Pace {
    fn new(each_second: u32) -> Self {
        let mut ticks = interval(Duration::from_millis(5));
        // What could not be sent in time is not sent: a flood is no faster for having been slow.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self { ticks, each_second, owed: 0 }
    }

    async fn next(&mut self) -> u32 {
        loop {
            self.ticks.tick().await;
            self.owed += self.each_second * 5;
            let whole = self.owed / 1000;
            self.owed %= 1000;
            if whole > 0 {
                return whole;
            }
        }
    }
}

//! Requests that are taken back, at every stage: the upstream is let go, the log has a line, and nothing is under way.

use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{gateway, head, is_at_rest, read_so_far, upstreams};
use crate::harness::client::{Frames, Outcome, Request, encode, flag, kind};
use crate::harness::deadline::eventually;
use crate::harness::gateway::Gateway;
use crate::harness::port::ReservedPort;
use crate::harness::upstream::{Answer, Upstream};

/// `CANCEL` (RFC 9113 section 7).
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// An address where connections do not come about: what listens there has a full queue.
struct Nowhere {
    port: ReservedPort,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Nowhere {
    async fn new() -> Self {
        let port = ReservedPort::take();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(port.address()).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut queue = Vec::new();
        while let Ok(Ok(waiting)) =
            timeout(Duration::from_millis(200), TcpStream::connect(port.address())).await
        {
            queue.push(waiting);
        }
        Self { port, _listener: listener, _queue: queue }
    }

    fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }
}

async fn lines(gateway: &Gateway, path: &str, count: usize) {
    eventually(format!("{count} lines"), || {
        (gateway.access_log().iter().filter(|line| line["path"] == path).count() == count).then_some(())
    })
    .await;
}

/// A request that is taken back while its connection to the upstream is made is over.
#[tokio::test]
async fn while_the_upstream_is_connected_to() {
    let nowhere = Nowhere::new().await;
    let gateway = gateway(&nowhere.url(), "{}", "{ connect: 10m }").await;
    let mut frames = gateway.https().frames().await;
    frames.headers(1, &head("GET", "/x"), true).await;
    frames.headers(3, &head("POST", "/x"), false).await;
    gateway.wait_for_metric("portcullis_http_requests_in_flight", &[], |count| count > 1.5).await;
    frames.frame(kind::RST_STREAM, 0, 1, &CANCEL).await;
    frames.frame(kind::RST_STREAM, 0, 3, &CANCEL).await;
    lines(&gateway, "/x", 2).await;
    is_at_rest(&gateway).await;
    // The same for a client that goes away as a whole, over either version.
    frames.headers(5, &head("GET", "/x"), true).await;
    let mut connection = gateway.https().connect().await;
    connection.write("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    gateway.wait_for_metric("portcullis_http_requests_in_flight", &[], |count| count > 1.5).await;
    drop(frames);
    drop(connection);
    lines(&gateway, "/x", 4).await;
    is_at_rest(&gateway).await;
}

/// A request that is taken back before it was decided on is not sent, although a connection to the upstream waits for one.
#[tokio::test]
async fn before_it_is_sent() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream.url(), "{}", "{}").await;
    let mut frames = gateway.https().frames().await;
    frames.headers(1, &head("GET", "/first"), true).await;
    assert!(matches!(frames.outcome(1).await, Outcome::Answered(200, _)));
    upstream.take();
    for stream in [3, 5, 7] {
        // In one piece, so that the gateway hears of both at once.
        let flags = flag::END_HEADERS | if stream == 7 { 0 } else { flag::END_STREAM };
        let both = [
            encode(kind::HEADERS, flags, stream, &head("POST", "/x")),
            encode(kind::RST_STREAM, 0, stream, &CANCEL),
        ];
        frames.raw(&both.concat()).await;
    }
    lines(&gateway, "/x", 3).await;
    is_at_rest(&gateway).await;
    upstream.assert_nothing();
    frames.headers(9, &head("GET", "/last"), true).await;
    assert!(matches!(frames.outcome(9).await, Outcome::Answered(200, _)));
}

/// Rapid reset (CVE-2023-44487) that takes each request back only after it was begun: no more of them are under way than the
/// file says, however many were begun.
#[tokio::test]
async fn no_more_are_under_way_than_the_file_says() {
    let nowhere = Nowhere::new().await;
    let gateway = gateway(&nowhere.url(), "{ http2_streams: 5 }", "{ connect: 10m }").await;
    let mut frames = gateway.https().frames().await;
    for round in 0..30_u32 {
        for number in 0..5 {
            frames.headers((round * 5 + number) * 2 + 1, &head("GET", "/x"), true).await;
        }
        read_so_far(&mut frames).await;
        for number in 0..5 {
            frames.frame(kind::RST_STREAM, 0, (round * 5 + number) * 2 + 1, &CANCEL).await;
        }
    }
    read_so_far(&mut frames).await;
    let open = gateway.metrics().await.sum("portcullis_http_requests_in_flight", &[]).unwrap();
    assert!(open <= 5.0, "{open} requests at once from one connection");
}

/// Makes ten requests, waits until they are read, and takes them back. Returns with which error the client is told to go, if
/// it is.
async fn ten_for_nothing(frames: &mut Frames, first: u32) -> Option<u32> {
    let streams = || (first..).step_by(2).take(10);
    for stream in streams() {
        frames.headers(stream, &head("GET", "/x"), true).await;
    }
    frames.frame(kind::PING, 0, 0, b"so far??").await;
    let mut told = None;
    loop {
        let frame = frames.next().await?;
        match frame.kind {
            kind::GOAWAY => told = Some(u32::from_be_bytes(frame.payload[4..8].try_into().unwrap())),
            kind::PING if frame.flags & flag::ACK != 0 => break,
            _ => {}
        }
        if told.is_some_and(|error| error != 0) {
            return told;
        }
    }
    for stream in streams() {
        frames.frame(kind::RST_STREAM, 0, stream, &CANCEL).await;
    }
    told
}

/// Rapid reset (CVE-2023-44487) that lets each request begin: the client is told to go, the upstream is asked no more, and
/// who goes on is told to calm down.
#[tokio::test]
async fn who_takes_everything_back_has_to_go() {
    for upstream in upstreams() {
        upstream.answer("/x", Answer::hang());
        let gateway = gateway(&upstream.url(), "{}", "{ request: 10m }").await;
        let mut frames = gateway.https().frames().await;
        let mut told = Vec::new();
        for first in (1..4000).step_by(20) {
            told.extend(ten_for_nothing(&mut frames, first).await);
            if told.last().is_some_and(|error| *error != 0) {
                break;
            }
        }
        // NO_ERROR and ENHANCE_YOUR_CALM.
        assert_eq!(told, [0, 11]);
        while frames.next().await.is_some() {}
        is_at_rest(&gateway).await;
        gateway.wait_for_metric("portcullis_connections", &[], |open| open < 0.5).await;
        assert!(upstream.take().len() <= 250);
        gateway.https().get("/after").over_http2().await.assert_status(200);
    }
}

/// What such a client has under way is finished, since it may not have meant it.
#[tokio::test]
async fn who_has_to_go_gets_what_is_under_way() {
    let upstream = Upstream::start();
    upstream.answer("/x", Answer::hang());
    let events = upstream.events("/events");
    let gateway = gateway(&upstream.url(), "{}", "{ request: 10m }").await;
    let mut frames = gateway.https().frames().await;
    frames.headers(1, &head("GET", "/events"), true).await;
    events.wait_for_subscribers(1).await;
    let mut first = 3;
    while ten_for_nothing(&mut frames, first).await != Some(0) {
        first += 20;
        assert!(first < 1000, "it is not told to go");
    }
    frames.headers(first + 20, &head("GET", "/late"), true).await;
    // REFUSED_STREAM: it may be asked again elsewhere.
    assert_eq!(frames.outcome(first + 20).await, Outcome::Reset(7));
    events.send("to the end");
    events.end();
    let mut answer = Vec::new();
    loop {
        let frame = frames.next().await.expect("the end of the answer");
        if frame.stream == 1 && frame.kind == kind::DATA {
            answer.extend(frame.payload);
            if frame.flags & flag::END_STREAM != 0 {
                break;
            }
        }
        assert!(frame.stream != 1 || frame.kind != kind::RST_STREAM);
    }
    assert_eq!(answer, b"data: to the end\n\n");
    while frames.next().await.is_some() {}
    assert!(upstream.requests().iter().all(|request| request.path() != "/late"));
}

/// A client that takes some requests back, as browsers do, and as many as it has open, is served on, and has room for others
/// at once.
#[tokio::test]
async fn who_takes_some_back_is_served() {
    for upstream in upstreams() {
        upstream.answer("/x", Answer::hang());
        let gateway = gateway(&upstream.url(), "{ http2_streams: 4 }", "{ request: 10m }").await;
        let mut frames = gateway.https().frames().await;
        let mut stream = 1;
        for round in 1..=40 {
            let hanging = [stream, stream + 2, stream + 4, stream + 6];
            for stream in hanging {
                frames.headers(stream, &head("GET", "/x"), true).await;
            }
            stream += 8;
            let hang =
                || upstream.requests().iter().filter(|request| request.target == "/x").count() == round * 4;
            eventually("the requests at the upstream", || hang().then_some(())).await;
            let mut back = Vec::new();
            for stream in hanging {
                back.extend([&[0, 0, 4, kind::RST_STREAM, 0][..], &stream.to_be_bytes(), &CANCEL].concat());
            }
            // In one packet with the next requests.
            for _ in 0..4 {
                let head = head("GET", "/after");
                let length = u8::try_from(head.len()).unwrap();
                back.extend(
                    [&[0, 0, length, kind::HEADERS, 5][..], &u32::to_be_bytes(stream), &head].concat(),
                );
                stream += 2;
            }
            frames.raw(&back).await;
            for _ in 0..4 {
                let ends = loop {
                    let frame = frames.next().await.expect("the connection to go on");
                    if [kind::RST_STREAM, kind::GOAWAY].contains(&frame.kind)
                        || frame.kind == kind::DATA && frame.flags & flag::END_STREAM != 0
                    {
                        break frame;
                    }
                };
                assert_eq!((ends.kind, ends.payload), (kind::DATA, b"ok".to_vec()), "in round {round}");
            }
        }
        lines(&gateway, "/after", 160).await;
        assert!(gateway.access_log().iter().all(|line| line["path"] == "/x" || line["status"] == 200));
    }
}

/// At every stage of an exchange.
#[tokio::test]
async fn at_every_stage() {
    for upstream in upstreams() {
        upstream.answer("/silent", Answer::hang().before_body());
        upstream
            .answer("/half", Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").before_body());
        upstream.answer("/early", Answer::ok("early").before_body());
        upstream.answer("/large", Answer::download(1 << 30).before_body());
        let gateway = gateway(&upstream.url(), "{}", "{ request: 10m }").await;
        let connection = gateway.https().http2().await;
        for (path, body, answered) in [
            ("/silent", None, false),
            ("/silent", Some(false), false),
            ("/silent", Some(true), false),
            ("/half", None, true),
            ("/half", Some(false), true),
            ("/half", Some(true), true),
            ("/early", Some(false), true),
            ("/large", None, true),
            ("/large", Some(false), true),
        ] {
            let seen = gateway.access_log().len();
            let request = Request::new("POST", path);
            let mut stream = connection.open_stream(&request).await.unwrap();
            match body {
                None => stream.finish().unwrap(),
                Some(whole) => {
                    stream.send(b"body").await.unwrap();
                    if whole {
                        stream.finish().unwrap();
                    }
                }
            }
            eventually("the head at the upstream", || (!upstream.requests().is_empty()).then_some(())).await;
            if answered {
                stream.response().await.unwrap().assert_status(200);
                stream.data().await.unwrap();
            }
            stream.reset(h2::Reason::CANCEL);
            eventually(format!("a line for {path} {body:?}"), || {
                let lines = gateway.access_log();
                let line = lines.get(seen)?;
                assert_eq!(line["status"], if answered { 200 } else { 0 }, "{line}");
                Some(())
            })
            .await;
            eventually(format!("the end of {path} at the upstream"), || {
                (upstream.open_connections() == 0).then_some(())
            })
            .await;
            assert_eq!(upstream.take().len(), 1, "{path} was asked again");
        }
        is_at_rest(&gateway).await;
        connection.get("/after").await.assert_status(200);
    }
}

/// Answers for which there is no room, many at once, taken back together: the upstream does not go on for nobody.
#[tokio::test]
async fn while_nothing_of_the_answer_is_taken() {
    for upstream in upstreams() {
        upstream.answer_otherwise(Answer::download(1 << 30));
        let gateway = gateway(&upstream.url(), "{}", "{ request: 10m }").await;
        let mut frames = gateway.https().frames().await;
        frames.frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).await;
        for number in 0..50_u32 {
            frames.headers(number * 2 + 1, &head("GET", "/x"), true).await;
        }
        eventually("all requests", || (upstream.requests().len() == 50).then_some(())).await;
        for number in 0..50_u32 {
            frames.frame(kind::RST_STREAM, 0, number * 2 + 1, &CANCEL).await;
        }
        lines(&gateway, "/x", 50).await;
        is_at_rest(&gateway).await;
        eventually("the end at the upstream", || (upstream.open_connections() == 0).then_some(())).await;
        upstream.answer_otherwise(Answer::ok("ok"));
        frames.frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]).await;
        frames.headers(201, &head("GET", "/after"), true).await;
        assert_eq!(frames.outcome(201).await, Outcome::Answered(200, b"ok".to_vec()));
    }
}

/// An upstream that takes nothing of a body, whose client has had enough: nobody waits for it any longer.
#[tokio::test]
async fn while_the_upstream_takes_nothing() {
    // Whoever connects is in its queue, and nobody reads what they send.
    let stuck = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", stuck.local_addr().unwrap());
    let gateway = gateway(&url, "{ request_body_bytes: 1GiB }", "{ request: 10m }").await;
    let connection = gateway.https().http2().await;
    for taken_back in [true, false] {
        let client = gateway.https().http2().await;
        let through = if taken_back { &connection } else { &client };
        let mut stream = through.open_stream(&Request::new("POST", "/x")).await.unwrap();
        let piece = vec![7; 64 << 10];
        while let Ok(sent) = timeout(Duration::from_millis(500), stream.send(&piece)).await {
            sent.unwrap();
        }
        if taken_back {
            stream.reset(h2::Reason::CANCEL);
        } else {
            drop(stream);
            drop(client);
        }
        lines(&gateway, "/x", if taken_back { 1 } else { 2 }).await;
        is_at_rest(&gateway).await;
    }
}

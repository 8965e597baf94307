//! Keeps HTTP/2 connections busy, and counts the answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use rustls::ClientConfig;
use rustls_pemfile::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::gateway::Scenario;

/// Connections to one gateway.
pub(crate) struct Connections(Vec<SendRequest<Bytes>>);

impl Connections {
    pub(crate) async fn open(address: SocketAddr, client: ClientConfig, count: usize) -> Self {
        let connector = TlsConnector::from(Arc::new(client));
        let mut connections = Vec::new();
        for _ in 0..count {
            let stream = TcpStream::connect(address).await.expect("a connection");
            stream.set_nodelay(true).expect("a connection");
            let name = ServerName::try_from("localhost").expect("a name");
            let stream = connector.connect(name, stream).await.expect("a handshake");
            let (requests, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
            tokio::spawn(connection);
            connections.push(requests);
        }
        Self(connections)
    }

    /// Sends the requests of `scenario` for a time, `at_once` on each connection, and returns how many were answered.
    pub(crate) async fn drive(&self, scenario: &Scenario, at_once: usize, time: Duration) -> u64 {
        let end = Instant::now() + time;
        let requests: Arc<[Request<()>]> =
            scenario.credentials.iter().map(|line| request(scenario.path, line)).collect();
        let mut streams = JoinSet::new();
        for (first, connection) in self.0.iter().enumerate() {
            for at in 0..at_once {
                let (mut connection, requests, status) =
                    (connection.clone(), requests.clone(), scenario.status);
                streams.spawn(async move {
                    let mut answered = 0;
                    let mut turn = first * at_once + at;
                    while Instant::now() < end {
                        connection = connection.ready().await.expect("a connection that goes on");
                        exchange(&mut connection, requests[turn % requests.len()].clone(), status).await;
                        turn += at_once;
                        answered += 1;
                    }
                    answered
                });
            }
        }
        streams.join_all().await.into_iter().sum()
    }
}

/// Sends a request and reads the whole answer.
async fn exchange(connection: &mut SendRequest<Bytes>, request: Request<()>, status: u16) {
    let (response, _) = connection.send_request(request, true).expect("a stream");
    let response = response.await.expect("an answer");
    assert_eq!(response.status().as_u16(), status, "what the scenario expects");
    let mut body = response.into_body();
    while let Some(part) = body.data().await {
        let length = part.expect("a body").len();
        body.flow_control().release_capacity(length).expect("a window");
    }
}

/// A request for `path` with one header line, or none.
fn request(path: &str, line: &str) -> Request<()> {
    let request = Request::get(format!("https://localhost{path}")).header("user-agent", "bench/1.0");
    match line.trim_end().split_once(": ") {
        Some((name, value)) => request.header(name, value),
        None => request,
    }
    .body(())
    .expect("a request")
}

//! A Redis that answers what no Redis would, or something else in its place: nothing that it sends makes the gateway panic,
//! take more memory, or let anything pass.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::{Caller, Cast, lift, revoke};
use crate::harness::background::Task;
use crate::harness::gateway::Gateway;
use crate::harness::port::ReservedPort;
use crate::harness::problem::assert_problem;
use crate::harness::redis::Redis;

/// What is sent to the gateway in place of what Redis says: a beginning, and what follows it without end.
#[derive(Clone, Copy)]
struct Lie {
    begins: &'static str,
    goes_on: &'static str,
}

/// Stands between the gateway and Redis, and lies when it is told to.
struct Liar {
    port: ReservedPort,
    lie: watch::Sender<Option<Lie>>,
    _task: Task,
}

impl Liar {
    fn before(redis: SocketAddr) -> Self {
        let port = ReservedPort::take();
        let listener = port.listen();
        let lie = watch::Sender::new(None);
        let told = lie.clone();
        let task = Task::start(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                connections.spawn(carry(client, redis, told.subscribe()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { port, lie, _task: task }
    }
}

async fn carry(mut client: TcpStream, redis: SocketAddr, mut told: watch::Receiver<Option<Lie>>) {
    let Ok(mut server) = TcpStream::connect(redis).await else { return };
    let lie = loop {
        let lie = *told.borrow_and_update();
        if let Some(lie) = lie {
            break lie;
        }
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
            changed = told.changed() => if changed.is_err() { return },
        }
    };
    let (mut reader, mut writer) = client.split();
    let lying = async {
        writer.write_all(lie.begins.as_bytes()).await?;
        let more = lie.goes_on.repeat((64 << 10) / lie.goes_on.len().max(1));
        while !more.is_empty() {
            writer.write_all(more.as_bytes()).await?;
        }
        std::future::pending::<std::io::Result<()>>().await
    };
    let listening = async {
        let mut ignored = vec![0; 16 << 10];
        while matches!(reader.read(&mut ignored).await, Ok(1..)) {}
    };
    tokio::select! {
        _ = lying => {}
        () = listening => {}
        _ = told.changed() => {}
    }
}

/// How much memory a gateway may take more while it is lied to.
const MORE: u64 = 64 << 20;

/// The most memory that was ever resident, in bytes (`VmHWM`).
fn most_memory(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.process().pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

async fn survives(lies: &[(&str, &'static str, &'static str)]) {
    let cast = Cast::new();
    let redis = Redis::start().await;
    let liar = Liar::before(redis.address());
    let yaml = r#"
        redis: { url: "{redis}", timeouts: { connect: 500ms, response: 500ms } }
        revocation: { max_stale: 500ms }
    "#;
    let url = format!("redis://{}/0", liar.port.address());
    let gateway = cast.gateway_with(yaml).with("redis", url).start().await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    let mut bob = Caller::new(&gateway, &Cast::bob()).await;
    acme.ask().await.assert_status(200);
    bob.ask().await.assert_status(200);
    let before = most_memory(&gateway);
    for (what, begins, goes_on) in lies {
        liar.lie.send_replace(Some(Lie { begins, goes_on }));
        acme.answered_but(503, &[200]).await;
        // A second connection is lied to from its first byte on.
        gateway.wait_for_metric("portcullis_redis_up", &[], |up| up < 0.5).await;
        let now = most_memory(&gateway);
        assert!(now < before + MORE, "{what}: {before} and then {now} bytes");
        assert_problem(&acme.ask().await, 503, "revocation_unavailable");
        revoke(&redis, "user:bob", "").await;
        liar.lie.send_replace(None);
        acme.answered_but(200, &[503]).await;
        assert_problem(&bob.ask().await, 401, "credential_revoked");
        lift(&redis, "user:bob").await;
        bob.answered(200).await;
        let now = most_memory(&gateway);
        assert!(now < before + MORE, "{what}: {before} and then {now} bytes");
    }
}

#[tokio::test]
async fn answers_that_do_not_end() {
    survives(&[
        ("a text", "$1000000000000\r\n", "0000000000000000"),
        ("a line", "+", "0000000000000000"),
        ("a list", "*1000000000\r\n", "$1\r\nx\r\n"),
        ("a map", "%1000000000\r\n", ":1\r\n"),
        ("lists in lists", "", "*1\r\n"),
        ("answers that nobody asked for", "", "+PONG\r\n"),
        ("announcements", "", ">2\r\n$10\r\ninvalidate\r\n*1\r\n$26\r\nportcullis:revoked:sub:mad\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn answers_that_are_impossible() {
    survives(&[
        ("half a text", "$100\r\nhalf", ""),
        ("half a list", "*2\r\n+OK\r\n", ""),
        ("a text of no size", "$-7\r\n", ""),
        ("a list of less than nothing", "*-5\r\n", ""),
        ("a map of less than nothing", "%-5\r\n", ""),
        ("a long text", "$9223372036854775807\r\n", ""),
        ("a long list", "*9223372036854775807\r\n", ""),
        ("a long map", "%9223372036854775807\r\n", ""),
        ("a long announcement", ">9223372036854775807\r\n", ""),
        ("long attributes", "|9223372036854775807\r\n", ""),
    ])
    .await;
}

#[tokio::test]
async fn answers_of_another_kind() {
    survives(&[
        ("numbers", "", ":1\r\n"),
        ("nothing", "", "_\r\n"),
        ("errors", "", "-ERR no\r\n"),
        ("empty lists", "", "*0\r\n"),
        ("announcements of nothing", "", ">0\r\n"),
        ("announcements of another kind", "", ">1\r\n+x\r\n"),
    ])
    .await;
}

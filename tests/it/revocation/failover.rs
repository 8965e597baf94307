//! Redis Sentinel promotes a replica, and the gateway follows it.

use std::process::{Child, Command, Stdio};

use super::{Caller, Cast, revoke};
use crate::harness::deadline::within;
use crate::harness::port::ReservedPort;
use crate::harness::problem::assert_problem;
use crate::harness::redis::Redis;

/// A Sentinel, which is `redis-server` in another mode and has a file that it writes to.
struct Sentinel {
    port: ReservedPort,
    process: Child,
    _directory: tempfile::TempDir,
}

impl Sentinel {
    fn of(primary: &Redis) -> Self {
        let port = ReservedPort::take();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sentinel.conf");
        let text = format!(
            "bind 127.0.0.1\nport {}\nsentinel monitor main 127.0.0.1 {} 1\nsentinel auth-user main harness\n\
             sentinel auth-pass main harness\nsentinel down-after-milliseconds main 300\n\
             sentinel failover-timeout main 3000\n",
            port.port(),
            primary.address().port(),
        );
        std::fs::write(&file, text).unwrap();
        let process = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        Self { port, process, _directory: directory }
    }

    async fn ask(&self, arguments: &[&str]) -> Option<String> {
        let client = redis::Client::open(format!("redis://{}/", self.port.address())).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        let mut command = redis::Cmd::new();
        for argument in arguments {
            command.arg(*argument);
        }
        command.query_async(&mut connection).await.ok()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// While there is no primary, the list counts for `max_stale`; what was revoked stays so on the new one, and what is
/// revoked there holds.
#[tokio::test]
async fn the_primary_is_followed_wherever_it_goes() {
    let cast = Cast::new();
    let mut primary = Redis::builder().option("repl-diskless-sync-delay", &["0"]).start().await;
    let replica = super::faults::replica_of(&primary).await;
    let sentinel = Sentinel::of(&primary);
    within("a Sentinel that knows both", async {
        loop {
            let known = sentinel.ask(&["INFO", "sentinel"]).await.unwrap_or_default();
            if known.contains("status=ok") && known.contains("slaves=1") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    let yaml = r#"
        redis: { sentinel: { service: main, nodes: ["redis://127.0.0.1:1", "redis://{sentinel}"] } }
    "#;
    let gateway = cast.gateway_with(yaml).with("sentinel", sentinel.port.address().to_string()).start().await;
    let mut acme = Caller::new(&gateway, &cast.acme()).await;
    let mut bob = Caller::new(&gateway, &Cast::bob()).await;
    acme.ask().await.assert_status(200);
    revoke(&primary, "user:bob", "").await;
    bob.answered(401).await;
    within("replication", async {
        while replica.cli(&["EXISTS", &super::entry("user:bob")]).await != "1" {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    primary.stop();
    // A Sentinel that is quick leaves no time for the list to become too old; either way who was revoked stays so.
    assert_problem(&bob.ask().await, 401, "credential_revoked");
    within("a new primary", async {
        // The Sentinel closes all connections of a replica that it makes the primary.
        while !replica.try_cli(&["INFO", "replication"]).await.is_ok_and(|said| said.contains("role:master"))
        {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    acme.answered_but(200, &[503]).await;
    assert_problem(&bob.ask().await, 401, "credential_revoked");
    revoke(&replica, "key:k_acme", "").await;
    acme.answered(401).await;
}

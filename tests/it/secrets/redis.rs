//! The password of Redis, while Redis is away, refuses it, or repeats it: servers name what they do not understand.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::background::Task;
use crate::harness::gateway::{Gateway, GatewayBuilder};
use crate::harness::port::ReservedPort;
use crate::harness::redis::Redis;
use crate::harness::upstream::Upstream;

const PASSWORD: &str = "redis-password-7Fq2Lx9Rk4Tz";
const ADMIN_TOKEN: &str = "admin-token-3Vb8Yc1Nd4Gh6Jk3";

/// Answers whatever it is asked with something made of that.
type Answer = fn(&str) -> String;

/// A server in place of Redis.
struct Parrot {
    port: ReservedPort,
    _task: Task,
}

impl Parrot {
    fn start(answer: Answer) -> Self {
        let port = ReservedPort::take();
        let listener = port.listen();
        let task = Task::start(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                connections.spawn(repeat(client, answer));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { port, _task: task }
    }
}

async fn repeat(mut client: TcpStream, answer: Answer) {
    let mut heard = vec![0; 16 << 10];
    while let Ok(length @ 1..) = client.read(&mut heard).await {
        let heard = String::from_utf8_lossy(&heard[..length]).into_owned();
        if client.write_all(answer(&heard).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// What was heard in one line.
fn line(heard: &str) -> String {
    heard.replace("\r\n", " ")
}

fn bulk(heard: &str) -> String {
    format!("${}\r\n{heard}\r\n", heard.len())
}

/// A gateway that follows a list in this Redis, with the password, at the highest level of the log.
fn builder(upstream: &Upstream, redis: &str) -> GatewayBuilder {
    Gateway::builder(
        r#"
        admin: { address: "127.0.0.1:0", token: "${ADMIN_TOKEN}" }
        redis:
          url: "{redis}"
          username: default
          password: "file:secrets/redis"
          timeouts: { connect: 500ms, response: 500ms }
        upstreams: { api: "{upstream}" }
        routes:
          - { name: api, match: { path: /v1/** }, auth: public, upstream: api }
        "#,
    )
    .with("upstream", upstream.url())
    .with("redis", redis)
    .env("ADMIN_TOKEN", ADMIN_TOKEN)
    .env("RUST_LOG", "trace")
    .argument("--log-level=trace")
    .file("secrets/redis", PASSWORD)
}

/// Everything that an operator may see of this gateway and of the commands that speak to its Redis.
async fn everything(what: &str, upstream: &Upstream, redis: &str, gateway: &Gateway) -> String {
    let admin = gateway.admin().with_header("Authorization", &format!("Bearer {ADMIN_TOKEN}"));
    let mut all = String::new();
    for path in ["/metrics", "/readyz", "/healthz", "/revocations"] {
        all += &format!("{:?}", admin.get(path).await);
    }
    let entry = serde_json::json!({ "sub": "alice" });
    all += &format!("{:?}", admin.post("/revocations").json(&entry).await);
    for command in [&["revoke", "--list"][..], &["revoke", "--sub", "alice"], &["check"], &["routes"]] {
        let arguments = [command, &["--config", "{directory}/gateway.yaml"]].concat();
        let finished = builder(upstream, redis).run(&arguments).await;
        // Nothing is said to be revoked by what is no Redis.
        assert_eq!(finished.code() == 0, command.len() == 1, "{what}: {command:?}: {finished:?}");
        all += &format!("{}{}", finished.stdout, finished.stderr);
    }
    all + &gateway.everything_logged()
}

#[track_caller]
fn assert_absent(what: &str, text: &str) {
    // A part of it is no better.
    let (first, second) = PASSWORD.split_at(PASSWORD.len() / 2);
    for part in [first, second, ADMIN_TOKEN] {
        let at = text.find(part).unwrap_or(usize::MAX);
        assert!(
            at == usize::MAX,
            "{what}: …{}",
            text[at.saturating_sub(300)..].chars().take(400).collect::<String>()
        );
    }
}

/// Row L01: a server that repeats what it does not understand, as Redis before version 6 does with the log-in.
#[tokio::test]
async fn a_server_that_repeats_the_password_does_not_get_it_into_a_log() {
    let upstream = Upstream::start();
    let rows: [(&str, Answer); 11] = [
        ("Redis 5", |_| {
            format!(
                "-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `default`, `{PASSWORD}`, \r\n"
            )
        }),
        ("an error", |heard| format!("-ERR what is {}\r\n", line(heard))),
        ("an error of its own kind", |_| format!("-{PASSWORD} is no good\r\n")),
        ("a wrong password", |heard| format!("-WRONGPASS {}\r\n", line(heard))),
        ("a missing right", |heard| format!("-NOPERM {:>190} {}\r\n", "", line(heard))),
        ("a long error", |heard| {
            let error = line(heard);
            format!("!{}\r\n{error}\r\n", error.len())
        }),
        ("a line", |heard| format!("+{}\r\n", line(heard))),
        ("a text", bulk),
        ("itself", str::to_owned),
        ("a map", |heard| format!("%1\r\n{}{}", bulk(heard), bulk(heard))),
        ("HTTP", |heard| format!("HTTP/1.1 400 Bad Request\r\nX: {}\r\n\r\n{heard}", line(heard))),
    ];
    for (what, answer) in rows {
        let parrot = Parrot::start(answer);
        let redis = format!("redis://{}/0", parrot.port.address());
        let gateway = builder(&upstream, &redis).start_unready().await;
        gateway.wait_for_log(|line| line.message.contains("revocation list: lost")).await;
        let all = everything(what, &upstream, &redis, &gateway).await;
        assert_absent(what, &all);
    }
}

/// Row L01: a real Redis that refuses the log-in, and one that goes away.
#[tokio::test]
async fn the_password_is_in_no_log_while_redis_is_refusing_or_away() {
    let upstream = Upstream::start();
    let mut redis = Redis::builder().password("another").start().await;
    let url = format!("redis://{}/0", redis.address());
    let gateway = builder(&upstream, &url).start_unready().await;
    gateway.wait_for_log(|line| line.message.contains("WRONGPASS")).await;
    assert_absent("refused", &everything("refused", &upstream, &url, &gateway).await);
    redis.stop();
    gateway.wait_for_log(|line| line.message.contains("cannot connect")).await;
    assert_absent("away", &everything("away", &upstream, &url, &gateway).await);

    let mut redis = Redis::builder().password(PASSWORD).start().await;
    let url = format!("redis://{}/0", redis.address());
    let gateway = builder(&upstream, &url).start().await;
    redis.pause();
    tokio::time::timeout(
        Duration::from_secs(10),
        gateway.wait_for_log(|line| line.message.contains("revocation list: lost")),
    )
    .await
    .unwrap();
    redis.resume();
    redis.stop();
    assert_absent("gone", &everything("gone", &upstream, &url, &gateway).await);
}

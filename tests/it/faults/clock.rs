//! A wall clock that is set while the gateway runs, as administrators, NTP and machines without a battery do. What has a
//! date is judged by the new time at once; what measures how long something took does not notice.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use portcullis::clock::{Clock, rfc3339};
use tempfile::TempDir;

use crate::harness::client::{Connection, Load, Request};
use crate::harness::credentials::{ApiKey, keys_yaml};
use crate::harness::deadline::{eventually, within};
use crate::harness::gateway::{Gateway, GatewayBuilder};
use crate::harness::issuer::Issuer;
use crate::harness::redis::Redis;
use crate::harness::tls::{Authority, ClientTls, TlsVersion};
use crate::harness::upstream::{Answer, Upstream};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// The wall clock of one gateway.
struct WallClock(TempDir);

impl WallClock {
    /// Ahead of the machine's by so many seconds.
    fn ahead(seconds: i64) -> Self {
        let clock = Self(tempfile::tempdir().unwrap());
        let source = clock.path("shifted_clock.c");
        std::fs::write(&source, include_str!("shifted_clock.c")).unwrap();
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let status = Command::new(compiler)
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([clock.path("shifted_clock.so"), source])
            .status()
            .unwrap();
        assert!(status.success());
        clock.set(seconds);
        clock
    }

    /// Sets it to so many seconds ahead of the machine's.
    fn set(&self, seconds: i64) {
        // In place, because the gateway has the file mapped.
        let mut file =
            File::options().create(true).truncate(false).write(true).open(self.path("shift")).unwrap();
        file.write_all(&seconds.to_ne_bytes()).unwrap();
    }

    /// Goes by this clock.
    fn of(&self, gateway: GatewayBuilder) -> GatewayBuilder {
        let text = |name: &str| self.path(name).to_str().unwrap().to_owned();
        gateway.env("LD_PRELOAD", text("shifted_clock.so")).env("CLOCK_SHIFT_FILE", text("shift"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

const POLICY: &str = r#"
    redis: { url: "{redis}" }
    revocation: { max_stale: 2s }
    auth:
      users: { jwt: { issuer: "{issuer}", audience: https://api.example.com } }
      partners: { api_key: { keys: keys.yaml } }
    upstreams: { app: "{upstream}" }
    routes:
      - { name: docs, match: { path: /docs }, auth: public, upstream: app }
      - { name: keys, match: { path: /keys }, auth: partners, upstream: app }
      - { name: users, match: { path: /users }, auth: users, upstream: app }
"#;

/// Everybody but the gateway.
struct Cast {
    issuer: Issuer,
    redis: Redis,
    upstream: Upstream,
    lasting: ApiKey,
    /// Good for an hour.
    short: ApiKey,
    revoked: ApiKey,
}

impl Cast {
    async fn new() -> Self {
        let now = Clock::system().unix_seconds();
        let short = ApiKey::of("short").id("k_short").expires(&rfc3339(now + 3600));
        Self {
            issuer: Issuer::start(),
            redis: Redis::start().await,
            upstream: Upstream::start(),
            lasting: ApiKey::of("lasting").id("k_lasting"),
            short,
            revoked: ApiKey::of("revoked").id("k_revoked"),
        }
    }

    fn gateway(&self) -> GatewayBuilder {
        Gateway::builder(POLICY)
            .with("redis", self.redis.url())
            .with("issuer", self.issuer.url())
            .with("upstream", self.upstream.url())
            .file("keys.yaml", keys_yaml(&[&self.lasting, &self.short, &self.revoked]))
    }
}

#[tokio::test]
async fn dates_are_judged_by_the_new_time_at_once() {
    let cast = Cast::new().await;
    let clock = WallClock::ahead(0);
    let gateway = clock.of(cast.gateway()).start().await;
    // Good for five minutes, and thirty seconds of leeway.
    let token = cast.issuer.token().bearer();
    let authorization = ("Authorization", token.as_str());
    cast.redis.cli(&["SET", "portcullis:revoked:key:k_revoked", ""]).await;
    let revoked = gateway.https().with_header("X-API-Key", &cast.revoked.key);
    within("the revocation", async { while revoked.get("/keys").await.status != 401 {} }).await;
    let mut connection = gateway.https().connect().await;
    cast.upstream.take();
    for (shift, user, short) in [
        (0, Ok(()), Ok(())),
        (200, Ok(()), Ok(())),
        (600, Err("expired"), Ok(())),
        (2 * HOUR, Err("expired"), Err("expired")),
        (0, Ok(()), Ok(())),
        (-20, Ok(()), Ok(())),
        (-HOUR, Err("not_yet_valid"), Ok(())),
        (-DAY, Err("not_yet_valid"), Ok(())),
        (YEAR, Err("expired"), Err("expired")),
        (0, Ok(()), Ok(())),
        // No system lets its clock be set to a time before 1970.
        (-50 * YEAR, Err("not_yet_valid"), Ok(())),
        (100 * YEAR, Err("expired"), Err("expired")),
        (0, Ok(()), Ok(())),
    ] {
        clock.set(shift);
        let ask = async |connection: &mut Connection, path: &str, header, expected: Result<(), &str>| {
            let answer = connection.get(path).headers(&[header]).await;
            let id = answer.header("X-Request-Id").unwrap().to_owned();
            let line = gateway.wait_for_access(|line| line["request_id"] == *id).await;
            let status = if expected.is_ok() { 200 } else { 401 };
            assert_eq!(answer.status, status, "{shift}, {path}: {line}");
            assert_eq!(line["reason"], expected.err().unwrap_or("ok"), "{shift}, {path}: {line}");
            // Half an hour would show that a duration was taken from the clock that was set.
            assert!((0.0..1_800_000.0).contains(&line["duration_ms"].as_f64().unwrap()), "{line}");
            assert_eq!(cast.upstream.take().len(), usize::from(expected.is_ok()), "{shift}, {path}");
        };
        ask(&mut connection, "/docs", ("X-Nothing", "x"), Ok(())).await;
        ask(&mut connection, "/users", authorization, user).await;
        ask(&mut connection, "/keys", cast.short.header(), short).await;
        // The view of the list is as young as before, and who was revoked stays so.
        ask(&mut connection, "/keys", cast.lasting.header(), Ok(())).await;
        ask(&mut connection, "/keys", cast.revoked.header(), Err("revoked")).await;
        gateway.admin().get("/readyz").await.assert_status(200);
    }
    assert_eq!(cast.issuer.key_fetches(), 1, "a step of the clock is no reason to fetch keys");
}

/// Requests, streams, kept connections and TLS sessions go on, whatever the clock does meanwhile.
#[tokio::test]
async fn what_is_under_way_goes_on() {
    let cast = Cast::new().await;
    let clock = WallClock::ahead(0);
    let gateway = clock.of(cast.gateway()).start().await;
    cast.upstream.answer("/docs", Answer::ok("late").after(Duration::from_millis(50)));
    let request = || Request::get("/keys").header("X-API-Key", &cast.lasting.key);
    let loads = [
        Load::of(&gateway.https(), request()).connections(2).start(),
        Load::of(&gateway.https(), Request::get("/docs")).connections(2).start(),
        Load::of(&gateway.https(), request()).connections(2).rate(40.0).each_on_a_fresh_connection().start(),
    ];
    let resuming = [TlsVersion::V12, TlsVersion::V13]
        .map(|version| ClientTls::trusting(Authority::shared()).only(version).resuming());
    for shift in [HOUR, -HOUR, 20 * YEAR, 0, -20 * YEAR, DAY, -DAY, 0] {
        clock.set(shift);
        for load in &loads {
            load.wait_for_more(10).await;
        }
        for tls in &resuming {
            // A session may be refused after a step, which costs a full handshake and nothing else.
            let client = gateway.https().with_tls(tls.clone());
            client.get("/docs").await.assert_status(200);
        }
    }
    for load in loads {
        load.stop().await.assert_all(200);
    }
    let mut clients = resuming.iter().map(|tls| gateway.https().with_tls(tls.clone()));
    for client in clients.by_ref() {
        client.get("/docs").await.assert_status(200);
        assert!(client.connect().await.tls().resumed());
    }
    gateway.wait_for_metric("portcullis_connections", &[], |count| count < 0.5).await;
}

/// A machine that believes to be in 1970 until it has asked for the time.
#[tokio::test]
async fn a_machine_that_does_not_know_the_time_yet() {
    let cast = Cast::new().await;
    let now = Clock::system().unix_seconds();
    let clock = WallClock::ahead(60 - i64::try_from(now).unwrap());
    let gateway = clock.of(cast.gateway()).start().await;
    gateway.wait_for_log(|line| line.level == "warn" && line.message.contains("not valid yet")).await;
    let token = cast.issuer.token().bearer();
    let with_token = gateway.https().with_header("Authorization", &token);
    assert_eq!(with_token.get("/users").await.status, 401);
    cast.upstream.assert_nothing();
    gateway.https().get("/docs").await.assert_status(200);
    clock.set(0);
    with_token.get("/users").await.assert_status(200);
    cast.issuer.rotate(vec![crate::harness::issuer::SigningKey::eddsa("ed-2")]);
    let renewed = gateway.https().with_header("Authorization", &cast.issuer.token().bearer());
    within("the new key", async { while renewed.get("/users").await.status != 200 {} }).await;
    eventually("a line of the present", || {
        gateway.access_log().last().filter(|line| line["time"].as_str() > Some("2026")).map(|_| ())
    })
    .await;
}

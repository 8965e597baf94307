//! No more files: what is open goes on, what would need one more is refused or waits, and all is well when some are free.

use std::net::TcpStream;

use crate::harness::deadline::eventually;
use crate::harness::gateway::Gateway;
use crate::harness::problem::assert_problem;
use crate::harness::upstream::Upstream;

const POLICY: &str = r#"
    limits: { handshake_timeout: 60s, idle_timeout: 60s }
    upstreams: { app: "{upstream}", other: "{other}" }
    routes:
      - { name: app, match: { path: /app }, auth: public, upstream: app }
      - { name: other, match: { path: /other }, auth: public, upstream: other }
"#;

/// A low soft limit is the shell's habit and not the operator's wish; a low hard one is pointed out.
#[tokio::test]
async fn the_soft_limit_is_raised_to_the_hard_one() {
    let upstream = Upstream::start();
    for (shell, raised) in
        [(r#"ulimit -S -n 64; exec "$0" "$@""#, true), (r#"ulimit -n 300; exec "$0" "$@""#, false)]
    {
        let gateway = Gateway::builder(POLICY)
            .with("upstream", upstream.url())
            .with("other", upstream.url())
            .shell(shell)
            .start()
            .await;
        let mut open = Vec::new();
        for _ in 0..100 {
            let mut connection = gateway.https().connect().await;
            connection.get("/app").await.assert_status(200);
            open.push(connection);
        }
        let log = gateway.log();
        let warned = log.iter().any(|line| line.level == "warn" && line.message.starts_with("300 files"));
        assert_eq!(warned, !raised, "{log:?}");
    }
}

#[tokio::test]
async fn files_run_out_and_come_back() {
    let (upstream, other) = (Upstream::start(), Upstream::start());
    let gateway = Gateway::builder(POLICY)
        .with("upstream", upstream.url())
        .with("other", other.url())
        .shell(r#"ulimit -n 100; exec "$0" "$@""#)
        .start()
        .await;
    let (mut kept, mut second) = (gateway.https().connect().await, gateway.https().connect().await);
    kept.get("/app").await.assert_status(200);
    let before = gateway.process().open_files();
    // The system accepts connections on the gateway's behalf, so these never fail.
    let held: Vec<TcpStream> =
        (0..150).map(|_| TcpStream::connect(gateway.https().address()).unwrap()).collect();
    let of_accepting = |message: &str| message.contains("accepting") && message.contains("open files");
    gateway.wait_for_log(|line| line.level == "error" && of_accepting(&line.message)).await;

    for _ in 0..20 {
        kept.get("/app").await.assert_status(200);
    }
    let answer = second.get("/other").await;
    assert_problem(&answer, 502, "upstream_failed");
    other.assert_nothing();
    let news = "      - { name: news, match: { path: /news }, auth: public, upstream: app }\n";
    let position = gateway.log_position();
    gateway.write_yaml(&format!("{POLICY}{news}"));
    gateway.wait_for_log_after(position, |line| line.message.starts_with("reload refused")).await;
    kept.get("/app").await.assert_status(200);
    kept.get("/news").await.assert_status(404);
    let lines = gateway.log();
    let repeated = lines.iter().filter(|line| of_accepting(&line.message)).count();
    assert_eq!(repeated, 1, "the same is said again and again: {lines:?}");

    drop(held);
    gateway.https().get("/app").await.assert_status(200);
    gateway.https().get("/other").await.assert_status(200);
    // The policy that could not be read is read by itself.
    gateway.https().wait_for("/news", 200).await;
    drop((kept, second));
    eventually("the files to be closed", || (gateway.process().open_files() <= before).then_some(())).await;
}

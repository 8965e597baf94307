//! Listeners: what is spoken on each, and that a credential is never read where everybody on the way can read it.

use crate::harness::client::Client;
use crate::harness::credentials::{ApiKey, basic, keys_yaml};
use crate::harness::gateway::Gateway;
use crate::harness::problem::assert_problem;
use crate::harness::upstream::Upstream;

const YAML: &str = r#"
    listen: {listen}
    auth: { partners: { api_key: { keys: keys.yaml } } }
    upstreams: { app: "{upstream}" }
    routes:
      - { name: open, match: { path: /open/** }, auth: public, upstream: app }
      - { name: app, match: { path: /** }, auth: partners, upstream: app }
"#;

async fn gateway(upstream: &Upstream, listen: &str) -> Gateway {
    Gateway::builder(YAML)
        .with("upstream", upstream.url())
        .with("listen", listen)
        .file("keys.yaml", keys_yaml(&[&ApiKey::of("acme")]))
        .start()
        .await
}

const REDIRECTING: &str =
    r#"[{ address: "127.0.0.1:0", tls: true }, { address: "127.0.0.1:0", redirect: https }]"#;

/// The same URL over HTTPS, with the port that is really listened on.
#[tokio::test]
async fn a_redirect_names_the_port_that_speaks_tls() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, REDIRECTING).await;
    let port = gateway.https_port(0);
    for (method, host, path, location) in [
        ("GET", "localhost", "/open/a?b=c%20d", format!("https://localhost:{port}/open/a?b=c%20d")),
        ("POST", "api.example.com:8080", "/", format!("https://api.example.com:{port}/")),
        ("GET", "API.Example.com", "/nowhere", format!("https://api.example.com:{port}/nowhere")),
        ("DELETE", "[::1]:80", "/x", format!("https://[::1]:{port}/x")),
    ] {
        let answer = gateway.http().call(method, path).header("Host", host).await;
        assert_eq!((answer.status, answer.header("Location")), (308, Some(&*location)), "{host}");
    }
    upstream.assert_nothing();
    // Whoever follows it arrives.
    gateway.https().get("/open/a").await.assert_status(200);
    upstream.take_one();
    gateway.wait_for_access(|line| line["outcome"] == "redirected").await;
}

/// A credential that was sent in the clear is burnt; a redirect would make it look as if that were fine.
#[tokio::test]
async fn a_redirect_is_not_given_for_a_credential() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, REDIRECTING).await;
    let key = ApiKey::of("acme");
    let basic = basic("apikey", &key.key);
    for fields in [
        [("X-API-Key", &*key.key)],
        [("X-API-Key", "wrong")],
        [("Authorization", &*key.authorization())],
        [("Authorization", &*basic)],
        [("Authorization", "Bearer e30.e30.e30")],
    ] {
        for path in ["/a", "/open/a", "/nowhere"] {
            let answer = gateway.http().get(path).headers(&fields).await;
            assert_problem(&answer, 403, "tls_required");
            assert_eq!(answer.header("Location"), None);
        }
    }
    upstream.assert_nothing();
    let line = gateway.wait_for_access(|line| line["status"] == 403).await;
    assert_eq!(line["outcome"], "refused");
    assert!(!gateway.everything_logged().contains(&key.key));
}

/// What has two meanings is not sent anywhere, and cannot be made to point elsewhere.
#[tokio::test]
async fn a_redirect_does_not_leave_the_host() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, REDIRECTING).await;
    for head in [
        "GET //evil.example HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /\\evil.example HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost@evil.example\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut connection = gateway.http().connect().await;
        connection.write(head).await;
        let answer = connection.response().await;
        assert_eq!((answer.status, answer.header("Location")), (400, None), "{head:?}");
    }
}

/// Nothing listens in the clear unless it was written out, and a credential is read there only over TLS.
#[tokio::test]
async fn a_plaintext_listener_reads_no_credential() {
    let upstream = Upstream::start();
    let listen = r#"[{ address: "127.0.0.1:0", tls: true }, { address: "127.0.0.1:0", plaintext: true }]"#;
    let gateway = gateway(&upstream, listen).await;
    let key = ApiKey::of("acme");
    let answer = gateway.http().get("/a").headers(&[key.header()]).await;
    assert_problem(&answer, 403, "tls_required");
    upstream.assert_nothing();
    gateway.wait_for_access(|line| line["reason"] == "credential_on_plaintext").await;
    gateway.http().get("/open/a").await.assert_status(200);
    upstream.take_one();
    gateway.https().get("/a").headers(&[key.header()]).await.assert_status(200);
    upstream.take_one();
}

#[tokio::test]
async fn what_is_spoken_has_to_be_written_out() {
    for (listen, text) in [
        (r#"[{ address: "127.0.0.1:0" }]"#, "what is spoken on this address is not said"),
        (r#"[{ address: "127.0.0.1:0", redirect: https }]"#, "redirects to HTTPS, and none speaks it"),
        (r#"[{ address: "127.0.0.1:0", tls: true, plaintext: true }]"#, "only one of"),
    ] {
        let builder = Gateway::builder(YAML).with("upstream", "http://127.0.0.1:1").with("listen", listen);
        let builder = builder.file("keys.yaml", "keys: []\n");
        let finished = builder.run(&["check", "--config", "{directory}/gateway.yaml"]).await;
        assert_ne!(finished.code(), 0, "{finished:?}");
        assert!(finished.stderr.contains(text) || finished.stdout.contains(text), "{finished:?}");
    }
}

/// HTTP in the clear on the TLS port, and TLS on the other, are closed without taking the gateway along.
#[tokio::test]
async fn the_wrong_protocol_is_closed() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, REDIRECTING).await;
    let tls: Client = gateway.https();
    let mut connection = Client::plain(tls.address()).connect().await;
    connection.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    while connection.some_bytes().await.is_some() {}
    let mut connection = gateway.http().connect().await;
    connection.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n").await;
    assert_eq!(connection.response().await.status, 400);
    gateway.https().get("/open/a").await.assert_status(200);
}

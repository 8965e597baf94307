//! Headers that a client sends through a trusted proxy, in the proxy's own bytes: only the configured header counts.

use super::identity::aliases;
use super::*;
use crate::harness::credentials::{basic, htpasswd_bcrypt};
use crate::harness::problem::assert_problem;
use crate::harness::upstream::Recorded;

/// The trusted proxy. Other addresses of the loopback network are clients.
const PROXY: [u8; 4] = [127, 0, 0, 2];

const BEHIND_PROXY: &str = r#"
    listen: [{ address: "127.0.0.1:0", tls: true }, { address: "127.0.0.1:0", plaintext: true }]
    trusted_proxies: { networks: [127.0.0.2, 127.0.0.3], header: {header} }
    auth: { staff: { basic: { users: staff.htpasswd, realm: Tools } } }
    limits: { failed_attempts: { source: 3/h, principal: unlimited } }
    upstreams: { app: "{upstream}" }
    routes:
      - { name: open, match: { path: /public/** }, auth: public, upstream: app }
      - { name: staff, match: { path: /v1/** }, auth: staff, upstream: app }
"#;

async fn gateway(header: &str, upstream: &Upstream) -> Gateway {
    Gateway::builder(BEHIND_PROXY)
        .with("header", header)
        .with("upstream", upstream.url())
        .file("staff.htpasswd", htpasswd_bcrypt("alice", "correct horse battery staple"))
        .start()
        .await
}

/// Sends these bytes from the proxy, and returns what the upstream received and the line in the access log.
async fn forwarded(gateway: &Gateway, upstream: &Upstream, lines: &[&str]) -> (Recorded, Value) {
    let client = gateway.https().source(PROXY.into());
    let mut connection = client.connect().await;
    connection.write(get("/public/x", lines)).await;
    let response = connection.response().await;
    let id = response.assert_status(200).header("X-Request-Id").unwrap().to_owned();
    let line = gateway.wait_for_access(|line| line["request_id"] == *id).await;
    (upstream.take_one(), line)
}

/// All that a client can send of the family, whatever the gateway reads.
const FROM_CLIENT: [&str; 16] = [
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Prefix: /evil",
    "X-Forwarded-Port: 81",
    "X-Forwarded-Server: evil.example",
    "X-Forwarded-Uri: /admin",
    "X-Forwarded-Method: DELETE",
    "X-Forwarded: for=9.9.9.9",
    "X-Real-IP: 9.9.9.9",
    "X-Client-IP: 9.9.9.9",
    "True-Client-IP: 9.9.9.9",
    "CF-Connecting-IP: 9.9.9.9",
    "X_Forwarded_For: 9.9.9.9",
    "X_Forwarded_Proto: http",
    "X.Forwarded.For: 9.9.9.9",
    "X-Scheme: http",
    "Front-End-Https: off",
];

fn with<'a>(own: &[&'a str]) -> Vec<&'a str> {
    [own, &FROM_CLIENT].concat()
}

fn assert_rewritten(received: &Recorded, expect: [(&str, &str); 4]) {
    for (name, value) in expect {
        assert_eq!(aliases(received, name), [value], "{name}: {received:?}");
    }
    for line in FROM_CLIENT {
        let (name, _) = line.split_once(':').unwrap();
        let ours = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
        if !ours.contains(&&*name.to_ascii_lowercase().replace(['_', '.'], "-")) {
            assert_eq!(aliases(received, name), Vec::<&str>::new(), "{name}: {received:?}");
        }
    }
}

/// A trusted proxy that sets `Forwarded` only passes on what its client writes into the other headers.
/// Row B04.
#[tokio::test]
async fn reads_only_forwarded_when_it_is_configured() {
    let upstream = Upstream::start();
    let gateway = gateway("forwarded", &upstream).await;
    for (own, client, x_forwarded_for, elements_before) in [
        (
            vec!["Forwarded: for=192.0.2.1;proto=http;host=shop.example.com"],
            "192.0.2.1",
            "192.0.2.1, 127.0.0.2",
            "for=192.0.2.1;host=\"shop.example.com\";proto=http, ",
        ),
        // The client wrote the first element; it opens a quote that would swallow the second.
        (
            vec!["Forwarded: for=9.9.9.9;x=\", for=192.0.2.1;proto=http;host=shop.example.com"],
            "192.0.2.1",
            "192.0.2.1, 127.0.0.2",
            "for=192.0.2.1;host=\"shop.example.com\";proto=http, ",
        ),
        (
            vec![
                "Forwarded: for=9.9.9.9",
                "Forwarded: for=\"[2001:db8::1]:4711\";proto=http;host=shop.example.com",
            ],
            "2001:db8::1",
            "2001:db8::1, 127.0.0.2",
            "for=\"[2001:db8::1]\";host=\"shop.example.com\";proto=http, ",
        ),
        (
            vec![
                "Forwarded: for=9.9.9.9, for=192.0.2.1;proto=https, for=127.0.0.3;proto=http;host=shop.example.com",
            ],
            "192.0.2.1",
            "192.0.2.1, 127.0.0.3, 127.0.0.2",
            "for=192.0.2.1, for=127.0.0.3;host=\"shop.example.com\";proto=http, ",
        ),
        // The proxy names no address: the client is the proxy, and not whom the client names.
        (
            vec!["Forwarded: for=9.9.9.9, for=unknown;proto=http;host=shop.example.com"],
            "127.0.0.2",
            "127.0.0.2",
            "for=unknown;host=\"shop.example.com\";proto=http, ",
        ),
    ] {
        let lines = [with(&own), vec!["X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https"]].concat();
        let (received, line) = forwarded(&gateway, &upstream, &lines).await;
        assert_eq!(line["client"], client, "{own:?}");
        let elements = format!("{elements_before}for=127.0.0.2;host=\"localhost\";proto=https");
        assert_rewritten(
            &received,
            [
                ("X-Forwarded-For", x_forwarded_for),
                ("X-Forwarded-Proto", "http"),
                ("X-Forwarded-Host", "shop.example.com"),
                ("Forwarded", &elements),
            ],
        );
    }
    // Without the configured header, or with a malformed one, the client is the proxy.
    for own in [
        vec![],
        vec!["Forwarded: for=9.9.9.9; proto=http"],
        vec!["Forwarded: for=9.9.9.9;for=192.0.2.1"],
        vec!["Forwarded: for=9.9.9.9", "Forwarded: 192.0.2.1"],
        vec!["Forwarded:"],
    ] {
        let lines = [with(&own), vec!["X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: http"]].concat();
        let (received, line) = forwarded(&gateway, &upstream, &lines).await;
        assert_eq!(line["client"], "127.0.0.2", "{own:?}");
        assert_rewritten(
            &received,
            [
                ("X-Forwarded-For", "127.0.0.2"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "localhost"),
                ("Forwarded", "for=127.0.0.2;host=\"localhost\";proto=https"),
            ],
        );
    }
}

/// The same with `X-Forwarded-For`: its client writes `Forwarded` and the rest.
/// Row B04.
#[tokio::test]
async fn reads_only_x_forwarded_for_when_it_is_configured() {
    let upstream = Upstream::start();
    let gateway = gateway("x-forwarded-for", &upstream).await;
    for (own, client, addresses) in [
        (vec!["X-Forwarded-For: 192.0.2.1"], "192.0.2.1", "192.0.2.1, 127.0.0.2"),
        (vec!["X-Forwarded-For: 9.9.9.9, 192.0.2.1"], "192.0.2.1", "192.0.2.1, 127.0.0.2"),
        (vec!["X-Forwarded-For: 9.9.9.9", "X-Forwarded-For: 192.0.2.1"], "192.0.2.1", "192.0.2.1, 127.0.0.2"),
        (
            vec!["X-Forwarded-For: 9.9.9.9, 192.0.2.1, 127.0.0.3"],
            "192.0.2.1",
            "192.0.2.1, 127.0.0.3, 127.0.0.2",
        ),
        (vec!["X-Forwarded-For: 9.9.9.9, junk, 127.0.0.3"], "127.0.0.3", "127.0.0.3, 127.0.0.2"),
        (vec!["X-Forwarded-For: 9.9.9.9, junk"], "127.0.0.2", "127.0.0.2"),
        (vec![], "127.0.0.2", "127.0.0.2"),
        // The header is for this hop as well as for any other: naming it in `Connection` takes nothing away.
        (
            vec!["X-Forwarded-For: 192.0.2.1", "Connection: X-Forwarded-For, X-Forwarded-Proto"],
            "192.0.2.1",
            "192.0.2.1, 127.0.0.2",
        ),
    ] {
        let lines = with(&[&own[..], &["Forwarded: for=9.9.9.9;proto=http;host=evil.example"]].concat());
        let (received, line) = forwarded(&gateway, &upstream, &lines).await;
        assert_eq!(line["client"], client, "{own:?}");
        let hops: Vec<String> = addresses.split(", ").map(|address| format!("for={address}")).collect();
        let elements = format!("{};host=\"localhost\";proto=https", hops.join(", "));
        assert_rewritten(
            &received,
            [
                ("X-Forwarded-For", addresses),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "localhost"),
                ("Forwarded", &elements),
            ],
        );
    }
}

/// Password guesses are counted for the client that the configured header names. A client that also writes the other header
/// anew for each guess has no more of them.
/// Row B04.
#[tokio::test]
async fn limits_password_guesses_when_the_client_forges_the_other_header() {
    let upstream = Upstream::start();
    for (header, own, forged) in [
        ("forwarded", "Forwarded: for=192.0.2.1", "X-Forwarded-For: "),
        ("x-forwarded-for", "X-Forwarded-For: 192.0.2.1", "Forwarded: for="),
        // The client writes into the configured header as well; the proxy appends.
        ("x-forwarded-for", "X-Forwarded-For: {guess}, 192.0.2.1", "Forwarded: for="),
        ("forwarded", "Forwarded: for={guess};x=\", for=192.0.2.1", "X-Forwarded-For: "),
    ] {
        let gateway = gateway(header, &upstream).await;
        let client = gateway.https().source(PROXY.into());
        let mut statuses = Vec::new();
        for guess in 0..6 {
            let address = format!("203.0.113.{guess}");
            let own = own.replace("{guess}", &address);
            let credential = format!("Authorization: {}", basic("alice", &format!("guess {guess}")));
            let mut connection = client.connect().await;
            connection.write(get("/v1/x", &[&own, &format!("{forged}{address}"), &credential])).await;
            statuses.push(connection.response().await.status);
        }
        assert_eq!(statuses, [401, 401, 401, 429, 429, 429], "{own}");
        // Another client of the same proxy is not affected.
        let credential = format!("Authorization: {}", basic("alice", "guess"));
        let other = own.replace("192.0.2.1", "192.0.2.2").replace("{guess}", "203.0.113.99");
        let mut connection = client.connect().await;
        connection.write(get("/v1/x", &[&other, &credential])).await;
        assert_problem(&connection.response().await, 401, "invalid_credential");
        upstream.assert_nothing();
    }
}

/// Forwarding headers of a peer that is not trusted are never read, whichever is configured.
/// Rows H05 and H07.
#[tokio::test]
async fn ignores_forwarding_headers_of_untrusted_peers() {
    let upstream = Upstream::start();
    for header in ["forwarded", "x-forwarded-for"] {
        let gateway = gateway(header, &upstream).await;
        for http2 in [false, true] {
            let client = gateway.https().source([127, 0, 0, 9].into());
            let call = client.get("/public/x").headers(&[
                ("Forwarded", "for=9.9.9.9;proto=http;host=evil.example"),
                ("X-Forwarded-For", "9.9.9.9"),
                ("X-Forwarded-Proto", "http"),
                ("X-Forwarded-Host", "evil.example"),
                ("X-Request-Id", "forged"),
            ]);
            let response = if http2 { call.over_http2().await } else { call.await };
            let id = response.assert_status(200).header("X-Request-Id").unwrap().to_owned();
            assert_ne!(id, "forged");
            let line = gateway.wait_for_access(|line| line["request_id"] == *id).await;
            assert_eq!(line["client"], "127.0.0.9");
            let received = upstream.take_one();
            for (name, value) in [
                ("X-Forwarded-For", "127.0.0.9"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "localhost"),
                ("Forwarded", "for=127.0.0.9;host=\"localhost\";proto=https"),
            ] {
                assert_eq!(aliases(&received, name), [value], "{header} {received:?}");
            }
        }
    }
}

//! TLS for clients: certificates by name, versions, key exchange, resumption, and certificates of clients.

use std::time::Duration;

use rustls::{NamedGroup, ProtocolVersion};

use crate::harness::client::{Client, Failure, Load, Request};
use crate::harness::deadline::within;
use crate::harness::gateway::{Gateway, Reload};
use crate::harness::problem::assert_problem;
use crate::harness::tls::{Authority, Certificate, ClientTls, Leaf, TlsVersion};
use crate::harness::upstream::Upstream;

const REST: &str = r#"
    identity: { headers: { X-Client-Subject: certificate.subject, X-Client-Names: certificate.names } }
    upstreams: { app: "{upstream}" }
    routes: [{ name: app, match: { path: /** }, auth: public, upstream: app }]
"#;

async fn gateway(upstream: &Upstream, tls: &str, files: &[(&str, &str)]) -> Gateway {
    let mut builder = Gateway::builder(&format!("\n    tls: {tls}{REST}")).with("upstream", upstream.url());
    for (name, text) in files {
        builder = builder.file(name, text);
    }
    builder.start().await
}

const OWN: &str = "{ cert: server.crt, key: server.key }";

fn trusting() -> ClientTls {
    ClientTls::trusting(Authority::shared())
}

/// The certificate is chosen by the name that is asked for: exact before wildcard, and the first for any other.
#[tokio::test]
async fn the_certificate_is_chosen_by_name() {
    let upstream = Upstream::start();
    let authority = Authority::shared();
    let [first, exact, wildcard] =
        [&["first.test"][..], &["api.example.org"], &["*.example.org"]].map(|names| authority.server(names));
    let tls = "{ certificates: [{ cert: 1.crt, key: 1.key }, { cert: 2.crt, key: 2.key }, { cert: 3.crt, key: 3.key }] }";
    let files = [
        ("1.crt", &*first.cert_pem),
        ("1.key", &first.key_pem),
        ("2.crt", &exact.cert_pem),
        ("2.key", &exact.key_pem),
        ("3.crt", &wildcard.cert_pem),
        ("3.key", &wildcard.key_pem),
    ];
    let gateway = gateway(&upstream, tls, &files).await;
    let anyone = gateway.https().with_tls(ClientTls::trusting_anyone());
    for (name, expected) in [
        ("api.example.org", &exact),
        ("API.Example.ORG", &exact),
        ("shop.example.org", &wildcard),
        ("a.b.example.org", &first),
        ("example.org", &first),
        ("first.test", &first),
        ("elsewhere.test", &first),
        ("127.0.0.1", &first),
    ] {
        let connection = anyone.clone().server_name(name).connect().await;
        assert!(connection.tls().presented(expected), "{name}");
    }
}

/// M04: a connection that was opened for one name is not used for a host that has another certificate.
#[tokio::test]
async fn a_host_with_another_certificate_is_misdirected() {
    let upstream = Upstream::start();
    let other = Authority::shared().server(&["other.test"]);
    let tls = format!("{{ certificates: [{OWN}, {{ cert: o.crt, key: o.key }}] }}");
    let gateway = gateway(&upstream, &tls, &[("o.crt", &other.cert_pem), ("o.key", &other.key_pem)]).await;
    for (name, host, status) in [
        ("api.example.com", "api.example.com", 200),
        ("api.example.com", "shop.example.com", 200),
        ("api.example.com", "other.test", 421),
        ("other.test", "api.example.com", 421),
        ("other.test", "other.test:8443", 200),
        ("localhost", "OTHER.test", 421),
    ] {
        let client = gateway.https().server_name(name);
        for http2 in [false, true] {
            let call = client.get("/").header("Host", host);
            let answer = if http2 { call.over_http2().await } else { call.await };
            assert_eq!(answer.status, status, "{name}, {host}, HTTP/2: {http2}: {answer:?}");
            if status == 421 {
                assert_problem(&answer, 421, "misdirected_request");
                upstream.assert_nothing();
            } else {
                upstream.take_one();
            }
        }
    }
}

#[tokio::test]
async fn versions_groups_and_protocols() {
    let upstream = Upstream::start();
    let both = gateway(&upstream, &format!("{{ certificates: [{OWN}] }}"), &[]).await;
    let strict = format!("{{ certificates: [{OWN}], min_version: \"1.3\" }}");
    let strict = gateway(&upstream, &strict, &[]).await;
    for (gateway, offered, expected) in [
        (&both, TlsVersion::V12, Some(ProtocolVersion::TLSv1_2)),
        (&both, TlsVersion::V13, Some(ProtocolVersion::TLSv1_3)),
        (&strict, TlsVersion::V13, Some(ProtocolVersion::TLSv1_3)),
        (&strict, TlsVersion::V12, None),
    ] {
        let client = gateway.https().with_tls(trusting().only(offered));
        match (client.try_connect().await, expected) {
            (Ok(mut connection), Some(expected)) => {
                assert_eq!(connection.tls().version, expected);
                connection.get("/").await.assert_status(200);
            }
            (Err(Failure::Handshake(_)), None) => {}
            (Ok(_), None) => panic!("{offered:?} was accepted"),
            (Err(failure), _) => panic!("{offered:?}: {failure}"),
        }
    }
    strict.wait_for_count("portcullis_tls_handshakes_total", &[("result", "failure")], 1).await;
    // The hybrid of X25519 and ML-KEM holds against recordings that a quantum computer reads later.
    let hybrid = NamedGroup::X25519MLKEM768;
    for (offered, expected) in [
        (&[][..], hybrid),
        (&[hybrid, NamedGroup::X25519], hybrid),
        (&[NamedGroup::X25519], NamedGroup::X25519),
        (&[NamedGroup::secp256r1], NamedGroup::secp256r1),
    ] {
        let connection = both.https().with_tls(trusting().groups(offered)).connect().await;
        assert_eq!(connection.tls().group, Some(expected), "{offered:?}");
    }
    assert_eq!(both.https().http2().await.tls().protocol.as_deref(), Some("h2"));
    assert_eq!(both.https().connect().await.tls().protocol.as_deref(), Some("http/1.1"));
}

/// Sessions are resumed with either version, also after a reload, and on another connection than the first.
#[tokio::test]
async fn sessions_are_resumed() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, &format!("{{ certificates: [{OWN}] }}"), &[]).await;
    for version in [TlsVersion::V12, TlsVersion::V13] {
        let client = gateway.https().with_tls(trusting().only(version).resuming());
        for turn in 0..4 {
            if turn == 2 {
                gateway.reload_with(&format!("\n    tls: {{ certificates: [{OWN}] }}{REST}")).await;
            }
            let mut connection = client.connect().await;
            assert_eq!(connection.tls().resumed(), turn > 0, "{version:?}, connection {turn}");
            connection.get("/").await.assert_status(200);
        }
    }
}

/// A certificate is replaced while requests are served: first both files at once, and then one after the other, between
/// which half a pair is there.
#[tokio::test]
async fn a_certificate_is_replaced_under_load() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, &format!("{{ certificates: [{OWN}] }}"), &[]).await;
    let kept = Load::of(&gateway.https(), Request::get("/")).connections(3).rate(600.0).start();
    let fresh = Load::of(&gateway.https(), Request::get("/"))
        .connections(2)
        .rate(60.0)
        .each_on_a_fresh_connection()
        .start();
    kept.wait_for_more(50).await;
    let next = || Authority::shared().server(&["localhost"]);
    let atomic = next();
    gateway.write("server.key", &atomic.key_pem);
    gateway.write("server.crt", &atomic.cert_pem);
    until_presented(&gateway, &atomic).await;
    let in_steps = next();
    let position = gateway.log_position();
    gateway.write_in_place("server.crt", &in_steps.cert_pem);
    // The old pair goes on, and the log says why.
    gateway.wait_for_log_after(position, |line| line.message.starts_with("reload refused")).await;
    assert!(gateway.https().connect().await.tls().presented(&atomic));
    gateway.wait_for_metric("portcullis_config_last_reload_successful", &[], |value| value < 0.5).await;
    gateway.write_in_place("server.key", &in_steps.key_pem);
    until_presented(&gateway, &in_steps).await;
    gateway.wait_for_metric("portcullis_config_last_reload_successful", &[], |value| value > 0.5).await;
    kept.wait_for_more(50).await;
    let report = kept.stop().await;
    report.assert_all(200);
    assert_eq!(report.connections, 3, "a connection was dropped");
    let report = fresh.stop().await;
    report.assert_all(200);
    assert_eq!(report.refused, 0, "a handshake failed");
}

async fn until_presented(gateway: &Gateway, certificate: &Certificate) {
    within("the new certificate", async {
        while !gateway.https().connect().await.tls().presented(certificate) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// What a client's certificate says reaches the upstream; one that does not count does not even get a connection.
#[tokio::test]
async fn clients_prove_who_they_are() {
    let clients = Authority::new("Clients");
    let leaf = || Leaf::client("robot").dns("robot.test").uri("spiffe://test/robot").email("r@robot.test");
    let good = clients.sign(leaf());
    let expired = clients.sign(leaf().expired());
    let stranger = Authority::new("Strangers").client("robot");
    let server = clients.sign(Leaf::server(&["robot.test"]));
    for mode in ["optional", "required"] {
        let upstream = Upstream::start();
        let tls = format!("{{ certificates: [{OWN}], client_auth: {{ ca: clients.crt, mode: {mode} }} }}");
        let gateway = gateway(&upstream, &tls, &[("clients.crt", clients.pem())]).await;
        for version in [TlsVersion::V12, TlsVersion::V13] {
            let as_client = |identity: Option<&Certificate>| -> Client {
                let tls = trusting().only(version);
                gateway.https().with_tls(match identity {
                    Some(identity) => tls.identity(identity),
                    None => tls,
                })
            };
            as_client(Some(&good)).get("/").header("X-Client-Subject", "CN=forged").await.assert_status(200);
            let received = upstream.take_one();
            assert_eq!(received.header("X-Client-Subject"), Some("CN=robot"));
            let names = received.header("X-Client-Names").unwrap();
            for name in ["robot.test", "spiffe://test/robot", "r@robot.test"] {
                assert!(names.contains(name), "{names}");
            }
            for (name, identity) in [("expired", &expired), ("a stranger", &stranger), ("a server", &server)]
            {
                let failure = as_client(Some(identity)).get("/").outcome().await;
                assert!(failure.is_err(), "{mode}, {version:?}, {name}: {failure:?}");
                upstream.assert_nothing();
            }
            let without = as_client(None).get("/").header("X-Client-Subject", "CN=forged").outcome().await;
            if mode == "optional" {
                without.unwrap().assert_status(200);
                assert_eq!(upstream.take_one().header("X-Client-Subject"), None);
            } else {
                assert!(without.is_err(), "{version:?}: {without:?}");
                upstream.assert_nothing();
            }
        }
    }
}

/// A session that was opened with a certificate is worth nothing once nobody vouches for that certificate any more.
#[tokio::test]
async fn a_session_does_not_outlive_the_authority_behind_it() {
    let upstream = Upstream::start();
    let (before, after) = (Authority::new("Before"), Authority::new("After"));
    let identity = before.client("robot");
    let tls = format!("{{ certificates: [{OWN}], client_auth: {{ ca: clients.crt, mode: required }} }}");
    for version in [TlsVersion::V12, TlsVersion::V13] {
        let gateway = gateway(&upstream, &tls, &[("clients.crt", before.pem())]).await;
        let client = gateway.https().with_tls(trusting().only(version).resuming().identity(&identity));
        for turn in 0..3 {
            let mut connection = client.connect().await;
            assert_eq!(connection.tls().resumed(), turn > 0, "{version:?}, connection {turn}");
            connection.get("/").await.assert_status(200);
            assert_eq!(upstream.take_one().header("X-Client-Subject"), Some("CN=robot"));
        }
        gateway.write("clients.crt", after.pem());
        assert_eq!(gateway.reload().await, Reload::Accepted);
        let outcome = client.get("/").outcome().await;
        assert!(outcome.is_err(), "{version:?}: {outcome:?}");
        upstream.assert_nothing();
    }
}

/// D01: a handshake that does not come to its end is ended; D08 (RUSTSEC-2024-0336, RUSTSEC-2024-0399): one that makes no
/// sense harms nobody.
#[tokio::test]
async fn handshakes_that_make_no_sense_are_ended() {
    let upstream = Upstream::start();
    let tls = format!("{{ certificates: [{OWN}] }}\n    limits: {{ handshake_timeout: 300ms }}");
    let gateway = gateway(&upstream, &tls, &[]).await;
    let clear = Client::plain(gateway.https().address());
    let hello = [
        &b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03"[..],
        &[7; 32],
        b"\x00\x00\x02\x13\x01\x01\x00\x00\x00",
    ]
    .concat();
    let corpus: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"\x16".to_vec(),
        hello[..20].to_vec(),
        hello.clone(),
        b"\x16\x03\x01\x00\x00".to_vec(),
        b"\x16\x03\x01\xff\xff\x01\x00\xff\xff".to_vec(),
        b"\x15\x03\x03\x00\x02\x02\x28".to_vec(),
        b"\x17\x03\x03\x00\x05hello".to_vec(),
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10".to_vec(),
        b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        vec![0; 20_000],
        vec![0xff; 20_000],
        [&b"\x16\x03\x01\x00\x04\x01\xff\xff\xff"[..], &[0; 1000]].concat(),
    ];
    let mut open = Vec::new();
    for bytes in &corpus {
        let mut connection = clear.connect().await;
        let _ = connection.try_write(bytes).await;
        open.push(connection);
    }
    // Every place in a hello broken once.
    for at in 0..hello.len() {
        let mut bytes = hello.clone();
        bytes[at] ^= 0xff;
        let mut connection = clear.connect().await;
        let _ = connection.try_write(&bytes).await;
        open.push(connection);
    }
    gateway.https().get("/").await.assert_status(200);
    for connection in &mut open {
        while connection.some_bytes().await.is_some() {}
    }
    gateway.wait_for_metric("portcullis_connections", &[], |count| count < 0.5).await;
    gateway.https().get("/").await.assert_status(200);
    assert_eq!(upstream.take().len(), 2);
}

/// For development the gateway makes a certificate by itself, and says that it did.
#[tokio::test]
async fn a_certificate_is_made_for_development() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "{ self_signed: [localhost, 127.0.0.1] }", &[]).await;
    let client = gateway.https().with_tls(ClientTls::trusting_anyone());
    client.get("/").await.assert_status(200);
    assert!(
        matches!(gateway.https().try_connect().await, Err(Failure::Handshake(_))),
        "nobody vouches for it"
    );
    gateway.wait_for_log(|line| line.level == "warn" && line.message.contains("self-signed")).await;
    let before = client.connect().await.tls().certificates.clone();
    gateway.reload_with(&format!("\n    tls: {{ self_signed: [localhost, 127.0.0.1] }}{REST}")).await;
    assert_eq!(client.connect().await.tls().certificates, before, "a reload changed the certificate");
}

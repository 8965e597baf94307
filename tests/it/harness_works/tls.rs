//! Certificates, and what clients and servers make of them.

use std::time::Duration;

use rcgen::PKCS_ED25519;
use rustls::{CipherSuite, NamedGroup, ProtocolVersion};

use crate::harness::client::{Client, End, Failure};
use crate::harness::tls::{Authority, ClientTls, Leaf, TlsVersion, server_config};
use crate::harness::upstream::{Answer, Upstream};

#[tokio::test]
async fn whom_a_client_trusts() {
    let authority = Authority::shared();
    let other = Authority::new("another");
    for (name, certificate, tls, expect) in [
        ("trusted", authority.server(&["localhost"]), ClientTls::trusting(authority), Ok(())),
        (
            "another authority",
            other.server(&["localhost"]),
            ClientTls::trusting(authority),
            Err("UnknownIssuer"),
        ),
        (
            "another name",
            authority.server(&["a.example"]),
            ClientTls::trusting(authority),
            Err("not valid for name"),
        ),
        (
            "expired",
            authority.sign(Leaf::server(&["localhost"]).expired()),
            ClientTls::trusting(authority),
            Err("expired"),
        ),
        ("anyone", other.server(&["b.example"]), ClientTls::trusting_anyone(), Ok(())),
        (
            "ends in an hour",
            authority.sign(Leaf::server(&["localhost"]).expires_in(Duration::from_secs(3600))),
            ClientTls::trusting(authority),
            Ok(()),
        ),
        (
            "Ed25519",
            authority.sign(Leaf::server(&["localhost"]).algorithm(&PKCS_ED25519)),
            ClientTls::trusting(authority),
            Ok(()),
        ),
    ] {
        let upstream = Upstream::start_tls(server_config(&certificate, None, &["http/1.1"]));
        let client = Client::tls(upstream.address(), tls);
        match (client.try_connect().await, expect) {
            (Ok(mut connection), Ok(())) => {
                assert!(connection.tls().presented(&certificate), "{name}");
                assert_eq!(connection.get("/").await.text(), "ok", "{name}");
            }
            (Err(Failure::Handshake(text)), Err(expect)) => {
                assert!(text.contains(expect), "{name}: {text}");
                crate::harness::deadline::eventually("the alert", || upstream.failed_handshakes().pop())
                    .await;
            }
            (connected, _) => panic!("{name}: {:?}", connected.err()),
        }
    }
}

#[tokio::test]
async fn who_a_client_says_it_is() {
    let clients = Authority::new("clients");
    let server = Authority::shared().server(&["localhost"]);
    let upstream = Upstream::start_tls(server_config(&server, Some(&clients), &[]));
    assert!(upstream.url().starts_with("https://"));
    let leaf =
        Leaf::client("alice").dns("alice.example").email("a@example.com").uri("spiffe://example/alice");
    for (name, certificate, good) in [
        ("ours", Some(clients.client("alice")), true),
        ("with names", Some(clients.sign(leaf)), true),
        ("of another authority", Some(Authority::new("clients").client("alice")), false),
        ("a server's", Some(clients.server(&["alice"])), false),
        ("none", None, false),
    ] {
        // TLS 1.3 tells a client of a refusal with the first read, TLS 1.2 in the handshake.
        for version in [TlsVersion::V12, TlsVersion::V13] {
            let mut tls = ClientTls::trusting(Authority::shared()).only(version);
            if let Some(certificate) = &certificate {
                tls = tls.identity(certificate);
            }
            let outcome = Client::tls(upstream.address(), tls).get("/").outcome().await;
            assert_eq!(outcome.is_ok(), good, "{name}, {version:?}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn what_was_agreed_on() {
    let authority = Authority::shared();
    let config = server_config(&authority.server(&["localhost"]), None, &["h2", "http/1.1"]);
    let upstream = Upstream::start_tls(config);
    let tls = ClientTls::trusting(authority);
    let agreed = async |tls: ClientTls| Client::tls(upstream.address(), tls).connect().await.tls().clone();
    let modern = agreed(tls.clone()).await;
    assert_eq!(modern.version, ProtocolVersion::TLSv1_3);
    assert_eq!(
        (modern.protocol.as_deref(), modern.group),
        (Some("http/1.1"), Some(NamedGroup::X25519MLKEM768))
    );
    let old = agreed(tls.clone().only(TlsVersion::V12).groups(&[NamedGroup::secp384r1])).await;
    assert_eq!((old.version, old.group), (ProtocolVersion::TLSv1_2, Some(NamedGroup::secp384r1)));
    assert!(matches!(old.cipher_suite, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384), "{old:?}");

    // Whether a session is resumed is up to both.
    for (tls, expect) in [(tls.clone(), [false, false]), (tls.resuming(), [false, true])] {
        let client = Client::tls(upstream.address(), tls);
        let mut resumed = Vec::new();
        for _ in 0..2 {
            let mut connection = client.connect().await;
            // Tickets of TLS 1.3 come after the handshake, with the first answer at the latest.
            connection.get("/").await;
            resumed.push(connection.tls().resumed());
        }
        assert_eq!(resumed, expect);
    }
}

#[tokio::test]
async fn an_end_without_close_notify_is_told_from_a_proper_one() {
    let authority = Authority::shared();
    let config = server_config(&authority.server(&["localhost", "sni.example"]), None, &[]);
    let upstream = Upstream::start_tls(config);
    upstream.answer("/close", Answer::close()).answer("/hang", Answer::hang());
    let client = Client::tls(upstream.address(), ClientTls::trusting(authority));
    let ask = async |path: &str| {
        let mut connection = client.connect().await;
        connection.write(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        connection
    };
    assert_eq!(ask("/close").await.closed().await, End::Closed);
    let mut hanging = ask("/hang").await;
    upstream.wait_for_requests(2).await;
    upstream.stop().await;
    assert_eq!(hanging.closed().await, End::Truncated);
    upstream.start_again();
    let answer = client.clone().host("elsewhere.example").server_name("sni.example").get("/").await;
    assert_eq!((answer.status, upstream.requests()[2].header("host")), (200, Some("elsewhere.example")));
    assert_eq!(upstream.server_names().pop(), Some(Some("sni.example".to_owned())));
    assert_eq!(upstream.server_names().len(), 3);
}

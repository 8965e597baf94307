//! Requests as rows, and what of them goes upstream. The admissions are real ones, made by a compiled policy.

use std::net::IpAddr;
use std::path::Path;

use pingora::http::RequestHeader;

use super::*;
use crate::authn::password::HashingPool;
use crate::clock::Clock;
use crate::config::{Configuration, Services};
use crate::request::{ClientCertificate, Parts, Request};
use crate::telemetry::metrics::Metrics;

const POLICY: &str = "
version: 1
listen: [{ address: \"127.0.0.1:0\", plaintext: true }]
trusted_proxies: [10.0.0.0/8]
identity: { headers: { X-Auth-Subject: subject, X-Auth-Method: method, X-Auth-Scopes: scopes, X-Auth-Roles: roles, X-Cert: certificate.subject, X-User: subject } }
auth:
  partners: { api_key: { keys: keys.yaml } }
  keeping: { api_key: { keys: keys.yaml, forward_credential: true } }
upstreams: { api: builtin:echo }
routes:
  - { name: open, match: { path: /open/** }, auth: public, upstream: api }
  - { name: keys, match: { path: /v1/keys/** }, auth: partners, upstream: api, rewrite: { strip_prefix: /v1 } }
  - { name: kept, match: { path: /kept }, auth: keeping, upstream: api }
  - { name: watched, match: { path: /watched }, auth: partners, allow: { GET: { scopes: [other] } }, mode: report, upstream: api }
";

fn load(folder: &Path) -> Configuration {
    use aws_lc_rs::digest::{SHA256, digest};
    let sha256 = crate::hex::encode(digest(&SHA256, b"sk_1").as_ref());
    let keys =
        format!("keys: [{{ id: k_1, owner: acme, sha256: \"{sha256}\", scopes: [a, b], expires: never }}]\n");
    std::fs::write(folder.join("keys.yaml"), keys).unwrap();
    std::fs::write(folder.join("gateway.yaml"), POLICY).unwrap();
    let (hashing, _worker) = HashingPool::new();
    let services = Services {
        clock: Clock::system(),
        environment: &|_| None,
        metrics: Metrics::new("0", "0").unwrap(),
        hashing,
    };
    Configuration::load(&folder.join("gateway.yaml"), &services, None).unwrap()
}

/// The request line and the sorted header lines that go upstream.
fn forwarded(peer: &str, certificate: bool, target: &str, fields: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let configuration = load(folder.path());
    let gateway = &configuration.gateway;
    let certificate =
        certificate.then(|| ClientCertificate { subject: "CN=orders".to_owned(), alternative_names: vec![] });
    let connection =
        Connection { peer: peer.parse::<IpAddr>().unwrap(), transport: Transport::Tls, certificate };
    let mut request = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
    request.insert_header("Host", "api.example.com").unwrap();
    for (name, value) in fields {
        request.append_header((*name).to_owned(), *value).unwrap();
    }
    let seen = request.clone();
    let parts = Parts {
        method: "GET",
        target: seen.raw_path(),
        authority: None,
        headers: &seen.headers,
        connection: &connection,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let admission = runtime.block_on(gateway.admit(&Request::parse(parts).unwrap(), 0)).unwrap();
    hop::remove_named(&mut request);
    let preparation = Preparation {
        admission: &admission,
        connection: &connection,
        identity_headers: &gateway.identity_headers,
        host: None,
        origin: &Origin::of(&request.headers, connection.peer, &gateway.trusted_proxies),
        request_id: &RequestId::accept(&HeaderValue::from_static("id")).unwrap(),
        trace: None,
    };
    preparation.apply(&mut request).unwrap();
    let mut lines: Vec<String> = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .filter(|line| {
            let expected_anyway = [
                "host: api.example.com",
                "x-forwarded-host: api.example.com",
                "x-forwarded-proto: https",
                "x-request-id: id",
            ];
            !expected_anyway.contains(&line.as_str()) && !line.starts_with("forwarded: ")
        })
        .collect();
    lines.sort();
    lines.insert(0, String::from_utf8(request.raw_path().to_vec()).unwrap());
    lines
}

const PEER: &str = "192.0.2.7";

#[test]
fn identity_is_removed_always_and_written_if_known() {
    let forged = [
        ("X-Auth-Subject", "evil"),
        ("x-auth-subject", "evil"),
        ("X_Auth_Subject", "evil"),
        ("X.Auth.Subject", "evil"),
        ("x-auth_subject", "evil"),
        ("X-Auth-Anything", "evil"),
        ("X-User", "evil"),
        ("X_User", "evil"),
        ("X-Cert", "evil"),
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-Forwarded-Uri", "/admin"),
        ("X_Forwarded_For", "evil"),
        ("X-Real-IP", "evil"),
        ("Proxy", "http://evil"),
    ];
    assert_eq!(forwarded(PEER, false, "/open/a", &forged), ["/open/a", "x-forwarded-for: 192.0.2.7"]);
    let mut with_key = forged.to_vec();
    with_key.push(("X-API-Key", "sk_1"));
    assert_eq!(
        forwarded(PEER, false, "/v1/keys/a?x=/v1", &with_key),
        [
            "/keys/a?x=/v1",
            "x-auth-method: api_key",
            "x-auth-scopes: a b",
            "x-auth-subject: acme",
            "x-forwarded-for: 192.0.2.7",
            "x-forwarded-prefix: /v1",
            "x-user: acme"
        ]
    );
}

#[test]
fn connection_options_cannot_remove_what_is_written() {
    for option in ["close, X-Auth-Subject", "X-Forwarded-For, x-request-id, X-Forwarded-Host", "x-user"] {
        let lines = forwarded(PEER, false, "/v1/keys/a", &[("X-API-Key", "sk_1"), ("Connection", option)]);
        assert!(lines.contains(&"x-auth-subject: acme".to_owned()), "{option} {lines:?}");
        assert!(lines.contains(&"x-forwarded-for: 192.0.2.7".to_owned()), "{option} {lines:?}");
    }
    let lines = forwarded(
        PEER,
        false,
        "/open/a",
        &[("Connection", "X-Mine, keep-alive"), ("X-Mine", "1"), ("X-Other", "2")],
    );
    assert_eq!(lines, ["/open/a", "connection: keep-alive", "x-forwarded-for: 192.0.2.7", "x-other: 2"]);
}

#[test]
fn the_credential_is_removed_unless_the_method_keeps_it() {
    for (target, fields, kept) in [
        ("/v1/keys/a", ("X-API-Key", "sk_1"), false),
        ("/v1/keys/a", ("Authorization", "ApiKey sk_1"), false),
        ("/v1/keys/a", ("Authorization", "Basic YXBpa2V5OnNrXzE="), false),
        ("/kept", ("X-API-Key", "sk_1"), true),
        ("/open/a", ("Authorization", "Basic YXBpa2V5OnNrXzE="), true),
    ] {
        let lines = forwarded(PEER, false, target, &[fields]);
        let found =
            lines.iter().any(|line| line.starts_with("authorization:") || line.starts_with("x-api-key:"));
        assert_eq!(found, kept, "{target} {fields:?} {lines:?}");
    }
}

/// Row H05: forwarding headers are read from trusted proxies only, and what they do not set is removed.
#[test]
fn reads_forwarding_headers_of_trusted_proxies_only() {
    let fields = [
        ("X-Forwarded-For", "9.9.9.9, 1.2.3.4"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "shop.example.com"),
        ("X-Forwarded-Prefix", "/p"),
        ("X-Forwarded-Port", "81"),
        ("CF-Connecting-IP", "9.9.9.9"),
        ("X-Scheme", "http"),
    ];
    assert_eq!(forwarded(PEER, false, "/open/a", &fields), ["/open/a", "x-forwarded-for: 192.0.2.7"]);
    assert_eq!(
        forwarded("10.1.1.1", false, "/open/a", &fields),
        ["/open/a", "x-forwarded-for: 1.2.3.4, 10.1.1.1", "x-forwarded-proto: http"]
    );
    let odd = [("X-Forwarded-Proto", "gopher"), ("X-Forwarded-For", "1.2.3.4, junk")];
    assert_eq!(forwarded("10.1.1.1", false, "/open/a", &odd), ["/open/a", "x-forwarded-for: 10.1.1.1"]);
}

#[test]
fn writes_elements_of_forwarded() {
    let forwarding = |addresses: &[&str], host, scheme| Forwarding {
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        host,
        scheme,
    };
    let host = Some(HeaderValue::from_static("shop.example.com:81"));
    for (forwarding, expect) in [
        (forwarding(&[], None, None), vec![]),
        (forwarding(&["1.2.3.4"], None, None), vec!["for=1.2.3.4"]),
        (
            forwarding(&["2001:db8::1", "10.0.0.2"], host, Some(Scheme::Https)),
            vec!["for=\"[2001:db8::1]\"", "for=10.0.0.2;host=\"shop.example.com:81\";proto=https"],
        ),
        (forwarding(&[], None, Some(Scheme::Https)), vec!["for=unknown;proto=https"]),
    ] {
        assert_eq!(forwarded_elements(&forwarding), expect);
    }
}

#[test]
fn certificate_facts_come_from_the_connection_alone() {
    let lines = forwarded(PEER, true, "/open/a", &[("X-Cert", "CN=evil")]);
    assert_eq!(lines, ["/open/a", "x-cert: CN=orders", "x-forwarded-for: 192.0.2.7"]);
}

#[test]
fn a_reported_request_carries_an_identity_only_if_it_was_verified() {
    for (key, expect) in [("sk_1", Some("x-auth-subject: acme")), ("sk_2", None)] {
        let lines = forwarded(PEER, false, "/watched", &[("X-API-Key", key), ("X-Auth-Subject", "evil")]);
        let subject = lines.iter().find(|line| line.starts_with("x-auth-subject"));
        assert_eq!(subject.map(String::as_str), expect, "{lines:?}");
    }
}

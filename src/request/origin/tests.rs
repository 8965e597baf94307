//! Requests through proxies as rows.

use super::*;

const PEER: &str = "10.0.0.1";

fn origin(header: ForwardingHeader, peer: &str, fields: &[(&'static str, &str)]) -> Origin {
    let networks = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8:10::/48".parse().unwrap()];
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    Origin::of(&headers, peer.parse().unwrap(), &TrustedProxies { networks, header })
}

fn check(header: ForwardingHeader, peer: &str, fields: &[(&'static str, &str)], chain: &[&str]) {
    let origin = origin(header, peer, fields);
    let found: Vec<String> =
        origin.forwarding().iter().flat_map(|said| &said.addresses).map(ToString::to_string).collect();
    assert_eq!(found, chain, "{peer} {fields:?}");
    let peer: IpAddr = peer.parse().unwrap();
    let client = chain.first().map_or(peer.to_canonical(), |first| first.parse().unwrap());
    assert_eq!(origin.client(), client, "{peer} {fields:?}");
}

#[test]
fn reads_x_forwarded_for_from_the_right() {
    let check = |peer, values: &[&str], chain: &[&str]| {
        let fields: Vec<_> = values.iter().map(|value| ("x-forwarded-for", *value)).collect();
        check(ForwardingHeader::XForwardedFor, peer, &fields, chain);
    };
    check("192.0.2.7", &["1.2.3.4"], &[]);
    check(PEER, &[], &[]);
    check(PEER, &["1.2.3.4"], &["1.2.3.4"]);
    check(PEER, &["9.9.9.9, 1.2.3.4, 10.0.0.2"], &["1.2.3.4", "10.0.0.2"]);
    check(PEER, &["9.9.9.9, 1.2.3.4,10.0.0.2 ,\t10.0.0.3"], &["1.2.3.4", "10.0.0.2", "10.0.0.3"]);
    check(PEER, &["9.9.9.9", "1.2.3.4"], &["1.2.3.4"]);
    check(PEER, &["9.9.9.9", "1.2.3.4", "10.0.0.2"], &["1.2.3.4", "10.0.0.2"]);
    check(PEER, &["10.0.0.3, 10.0.0.2"], &["10.0.0.3", "10.0.0.2"]);
    check(PEER, &["1.2.3.4:5678"], &["1.2.3.4"]);
    check(PEER, &["[2001:db8::1]:5678"], &["2001:db8::1"]);
    check(PEER, &["[2001:db8::1]"], &["2001:db8::1"]);
    check(PEER, &["2001:db8::1, 2001:db8:10::1"], &["2001:db8::1", "2001:db8:10::1"]);
    check(PEER, &["::ffff:1.2.3.4"], &["1.2.3.4"]);
    check("::ffff:10.0.0.1", &["1.2.3.4"], &["1.2.3.4"]);
    check("2001:db8:10::9", &["1.2.3.4"], &["1.2.3.4"]);
    // A malformed element ends the chain.
    check(PEER, &["9.9.9.9, junk"], &[]);
    check(PEER, &["9.9.9.9", "\u{e9}"], &[]);
    check(PEER, &["9.9.9.9, \u{e9}, 1.2.3.4"], &["1.2.3.4"]);
    check(PEER, &["9.9.9.9, junk, 10.0.0.2"], &["10.0.0.2"]);
    check(PEER, &["9.9.9.9,, 10.0.0.2"], &["10.0.0.2"]);
    check(PEER, &["9.9.9.9,"], &[]);
    check(PEER, &[""], &[]);
    check(PEER, &["unknown"], &[]);
    check(PEER, &["[1.2.3.4]"], &[]);
    check(PEER, &["1.2.3.04"], &[]);
    check(PEER, &["1.2.3.4:99999"], &[]);
    check(PEER, &["\"1.2.3.4\""], &[]);
    check(PEER, &["for=1.2.3.4"], &[]);
}

#[test]
fn reads_forwarded_from_the_right() {
    let check = |peer, values: &[&str], chain: &[&str]| {
        let fields: Vec<_> = values.iter().map(|value| ("forwarded", *value)).collect();
        check(ForwardingHeader::Forwarded, peer, &fields, chain);
    };
    check("192.0.2.7", &["for=1.2.3.4"], &[]);
    check(PEER, &["for=1.2.3.4"], &["1.2.3.4"]);
    check(PEER, &["for=9.9.9.9, for=1.2.3.4;proto=https, for=10.0.0.2"], &["1.2.3.4", "10.0.0.2"]);
    check(PEER, &["for=9.9.9.9", "for=1.2.3.4", "for=10.0.0.2"], &["1.2.3.4", "10.0.0.2"]);
    check(PEER, &["for=\"[2001:db8::1]:4711\""], &["2001:db8::1"]);
    check(PEER, &["for=\"[::ffff:1.2.3.4]\""], &["1.2.3.4"]);
    // What the client opens does not reach the element of the proxy.
    check(PEER, &["for=9.9.9.9;x=\", for=1.2.3.4"], &["1.2.3.4"]);
    check(PEER, &["for=9.9.9.9;x=\"", "for=\"[2001:db8::1]\""], &["2001:db8::1"]);
    check(PEER, &["for=9.9.9.9;x=\"\\, for=1.2.3.4"], &["1.2.3.4"]);
    // An element that is malformed, or names no address, ends the chain.
    check(PEER, &["for=9.9.9.9, for=junk"], &[]);
    check(PEER, &["for=9.9.9.9, for=junk, for=10.0.0.2"], &["10.0.0.2"]);
    check(PEER, &["for=9.9.9.9;x=\", for=10.0.0.2"], &["10.0.0.2"]);
    check(PEER, &["for=9.9.9.9, for=unknown"], &[]);
    check(PEER, &["for=9.9.9.9, for=_hidden, for=10.0.0.2"], &["10.0.0.2"]);
    check(PEER, &["for=9.9.9.9, proto=https"], &[]);
    check(PEER, &["for=9.9.9.9,"], &[]);
    check(PEER, &["for=1.2.3.4; proto=https"], &[]);
    check(PEER, &["for=1.2.3.4;for=9.9.9.9"], &[]);
}

/// Row B04: one header is read, whatever else is sent.
#[test]
fn ignores_headers_that_are_not_configured() {
    let all = [
        ("forwarded", "for=1.1.1.1;proto=https;host=one.example.com"),
        ("x-forwarded-for", "2.2.2.2"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "two.example.com"),
        ("x-real-ip", "3.3.3.3"),
    ];
    let forwarded = origin(ForwardingHeader::Forwarded, PEER, &all);
    let x_forwarded = origin(ForwardingHeader::XForwardedFor, PEER, &all);
    let said = Forwarding {
        addresses: vec!["1.1.1.1".parse().unwrap()],
        host: Some(HeaderValue::from_static("one.example.com")),
        scheme: Some(Scheme::Https),
    };
    assert_eq!(forwarded.forwarding(), Some(&said));
    let said =
        Forwarding { addresses: vec!["2.2.2.2".parse().unwrap()], host: None, scheme: Some(Scheme::Http) };
    assert_eq!(x_forwarded.forwarding(), Some(&said));
    for header in [ForwardingHeader::Forwarded, ForwardingHeader::XForwardedFor] {
        assert_eq!(origin(header, "192.0.2.7", &all).forwarding(), None);
    }
    check(ForwardingHeader::Forwarded, PEER, &all[1..], &[]);
    check(ForwardingHeader::XForwardedFor, PEER, &all[..1], &[]);
}

/// Row B05: only a scheme that has one meaning counts.
#[test]
fn reads_the_scheme_of_the_nearest_proxy() {
    let (http, https) = (Some(Scheme::Http), Some(Scheme::Https));
    for (values, expect) in [
        (vec!["https"], https),
        (vec!["HTTPS"], https),
        (vec!["http"], http),
        (vec![], None),
        (vec![""], None),
        (vec!["https, http"], None),
        (vec!["https,https"], None),
        (vec!["https", "https"], None),
        (vec!["http", "https"], None),
        (vec!["\"https\""], None),
        (vec!["https;"], None),
        (vec!["httpss"], None),
        (vec!["wss"], None),
        (vec!["on"], None),
    ] {
        let fields: Vec<_> = values.iter().map(|value| ("x-forwarded-proto", *value)).collect();
        let origin = origin(ForwardingHeader::XForwardedFor, PEER, &fields);
        assert_eq!(origin.forwarding().unwrap().scheme, expect, "{values:?}");
    }
    for (values, expect) in [
        (vec!["for=1.2.3.4;proto=https"], https),
        (vec!["proto=https"], https),
        (vec!["for=1.2.3.4;proto=\"HTTPS\""], https),
        (vec!["for=1.2.3.4;proto=http"], http),
        (vec!["for=1.2.3.4"], None),
        (vec!["for=1.2.3.4;proto=https, for=10.0.0.2"], None),
        (vec!["for=1.2.3.4;proto=https, for=10.0.0.2;proto=http"], http),
        (vec!["for=1.2.3.4;proto=http", "for=10.0.0.2;proto=https"], https),
        (vec!["for=1.2.3.4;proto=https;proto=https"], None),
        (vec!["for=1.2.3.4;proto=https, junk"], None),
        (vec!["for=1.2.3.4;proto=https,"], None),
    ] {
        let fields: Vec<_> = values.iter().map(|value| ("forwarded", *value)).collect();
        let origin = origin(ForwardingHeader::Forwarded, PEER, &fields);
        assert_eq!(origin.forwarding().unwrap().scheme, expect, "{values:?}");
    }
}

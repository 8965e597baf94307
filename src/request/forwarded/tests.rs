//! Elements of `Forwarded` as rows.

use super::*;

fn element(client: Option<&str>, host: Option<&'static str>, scheme: Option<Scheme>) -> Element {
    Element {
        client: client.map(|client| client.parse().unwrap()),
        host: host.map(HeaderValue::from_static),
        scheme,
    }
}

#[test]
fn parses_elements_of_rfc_7239() {
    let http = Some(Scheme::Http);
    let https = Some(Scheme::Https);
    for (text, expect) in [
        ("for=192.0.2.60;proto=http;by=203.0.113.43", element(Some("192.0.2.60"), None, http)),
        ("For=\"[2001:db8:cafe::17]:4711\"", element(Some("2001:db8:cafe::17"), None, None)),
        ("for=\"[2001:db8::1]\"", element(Some("2001:db8::1"), None, None)),
        ("for=\"192.0.2.43:47011\"", element(Some("192.0.2.43"), None, None)),
        ("for=\"192.0.2.43:_port\"", element(Some("192.0.2.43"), None, None)),
        ("for=\"192.0.2.43\"", element(Some("192.0.2.43"), None, None)),
        ("for=\"\\192.0.2.43\"", element(Some("192.0.2.43"), None, None)),
        ("FOR=192.0.2.43;PROTO=HTTPS", element(Some("192.0.2.43"), None, https)),
        ("proto=\"https\"", element(None, None, https)),
        ("for=unknown", element(None, None, None)),
        ("for=Unknown", element(None, None, None)),
        ("for=\"unknown:80\"", element(None, None, None)),
        ("for=_hidden", element(None, None, None)),
        ("for=_SEVKISEK", element(None, None, None)),
        ("for=_a.b-c_d", element(None, None, None)),
        ("for=192.0.2.1;by=_proxy", element(Some("192.0.2.1"), None, None)),
        ("for=192.0.2.1;host=example.com", element(Some("192.0.2.1"), Some("example.com"), None)),
        (
            "host=\"example.com:8443\";proto=https;for=192.0.2.1",
            element(Some("192.0.2.1"), Some("example.com:8443"), https),
        ),
        ("proto=wss", element(None, None, None)),
        ("for=192.0.2.1;secret=\"a,b;c=\\\"d\\\\\"", element(Some("192.0.2.1"), None, None)),
        (";;for=192.0.2.1;;", element(Some("192.0.2.1"), None, None)),
        (";", element(None, None, None)),
        (" \tfor=192.0.2.1\t ", element(Some("192.0.2.1"), None, None)),
    ] {
        assert_eq!(Element::parse(text.as_bytes()), Ok(expect), "{text}");
    }
}

#[test]
fn rejects_malformed_elements() {
    for text in [
        "",
        "  ",
        "for",
        "for=",
        "=192.0.2.1",
        "for =192.0.2.1",
        "for= 192.0.2.1",
        "for=192.0.2.1; proto=https",
        "for=192.0.2.1 ;proto=https",
        "for=192.0.2.1 proto=https",
        "for=192.0.2.1,for=192.0.2.2",
        // Each parameter occurs once, whatever the case of its name.
        "for=192.0.2.1;for=192.0.2.1",
        "for=192.0.2.1;For=192.0.2.2",
        "proto=https;proto=http",
        "x=1;X=2",
        // An IPv6 address and a port need quotes, and an IPv6 address brackets.
        "for=192.0.2.1:80",
        "for=[2001:db8::1]",
        "for=2001:db8::1",
        "for=\"2001:db8::1\"",
        "for=\"[2001:db8::1\"",
        "for=\"[2001:db8::1]x\"",
        "for=\"[2001:db8::1]:\"",
        "for=\"[192.0.2.1]\"",
        "for=\"[fe80::1%eth0]\"",
        "for=\"192.0.2.1:\"",
        "for=\"192.0.2.1:123456\"",
        "for=\"192.0.2.1:8o\"",
        "for=192.0.2",
        "for=192.0.2.256",
        "for=192.0.2.01",
        "for=localhost",
        "for=_",
        "for=\"_a b\"",
        "for=\"\"",
        "for=\" 192.0.2.1\"",
        "for=192.0.2.1;by=proxy",
        "proto=\"https, http\"",
        "proto=\" https\"",
        "proto=\"\"",
        "proto=1http",
        "host=\"\"",
        "host=\"a b\"",
        "host=\"user@example.com\"",
        "host=\"a,b\"",
        // Quotes that do not close, and bytes after one that does.
        "for=\"192.0.2.1",
        "for=192.0.2.1\"",
        "for=\"192.0.2.1\\\"",
        "for=\"192.0.2.1\"x",
        "x=\"\u{e9}\"",
        "x=\"\u{7f}\"",
        "x=\"\0\"",
    ] {
        assert_eq!(Element::parse(text.as_bytes()), Err(MalformedElement), "{text}");
    }
    let many: Vec<String> = (0..=MAX_PARAMETERS).map(|at| format!("x{at}=1")).collect();
    assert!(Element::parse(many[1..].join(";").as_bytes()).is_ok());
    assert_eq!(Element::parse(many.join(";").as_bytes()), Err(MalformedElement));
}

#[test]
fn splits_lines_from_the_right() {
    for (line, expect) in [
        ("a=1", vec!["a=1"]),
        ("a=1, b=2", vec![" b=2", "a=1"]),
        ("a=\"1,2\",b=3", vec!["b=3", "a=\"1,2\""]),
        ("a=\"\\\"\",b=3", vec!["b=3", "a=\"\\\"\""]),
        ("a=\"\\\\\",b=3", vec!["b=3", "a=\"\\\\\""]),
        ("a=\"\\\",b=\\\"\",c=1", vec!["c=1", "a=\"\\\",b=\\\"\""]),
        (",a=1,", vec!["", "a=1", ""]),
        ("", vec![""]),
        // A quote that the client opened does not reach what the proxy added.
        ("a=\", b=2", vec![" b=2", "a=\""]),
        ("a=1;x=\",y, b=\"[::1]\"", vec![" b=\"[::1]\"", "y", "a=1;x=\""]),
    ] {
        let found: Vec<&str> =
            FromRight(Some(line.as_bytes())).map(|element| std::str::from_utf8(element).unwrap()).collect();
        assert_eq!(found, expect, "{line}");
    }
}

//! The `Forwarded` lines of a request: what is read from the right is what the grammar says from the left, and nothing that
//! a client writes in front changes what a proxy adds behind.

use http::{HeaderMap, HeaderValue, header};
use portcullis::request::forwarded::{Element, from_right};
use portcullis::request::origin::{ForwardingHeader, Origin, Scheme, TrustedProxies};

/// Lines are values of `Forwarded`.
pub fn run(input: &[u8]) {
    let lines: Vec<HeaderValue> =
        input.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    let headers: HeaderMap = lines.iter().map(|line| (header::FORWARDED, line.clone())).collect();
    let mut read: Vec<_> = from_right(&headers).collect();
    read.reverse();
    // Lines that follow the grammar have the same elements from the left.
    let parts: Vec<Option<Vec<&[u8]>>> = lines.iter().map(|line| elements(line.as_bytes())).collect();
    if parts.iter().all(Option::is_some) {
        let expect: Vec<_> =
            parts.iter().flatten().flatten().map(|element| Element::parse(element)).collect();
        assert_eq!(read, expect);
    }
    let trusted = TrustedProxies {
        networks: vec!["10.0.0.0/8".parse().expect("a network")],
        header: ForwardingHeader::Forwarded,
    };
    let peer = "10.0.0.1".parse().expect("an address");
    let origin = Origin::of(&headers, peer, &trusted);
    let said = origin.forwarding().expect("the peer is trusted");
    // Each address but the first is a trusted proxy's.
    assert!(said.addresses.iter().skip(1).all(|address| trusted.contains(*address)));
    // What a proxy appends decides, whatever stands in front of it: in a line of its own, and in the last line.
    let mut appended = headers.clone();
    appended.append(header::FORWARDED, HeaderValue::from_static("for=192.0.2.7;proto=https"));
    let last = lines.last().map_or(&b""[..], HeaderValue::as_bytes);
    let mut joined = headers.clone();
    joined.remove(header::FORWARDED);
    for line in lines.iter().rev().skip(1).rev() {
        joined.append(header::FORWARDED, line.clone());
    }
    let whole = [last, b", for=192.0.2.7;proto=https"].concat();
    joined.append(header::FORWARDED, HeaderValue::from_bytes(&whole).expect("the parts are values"));
    for headers in [appended, joined] {
        let origin = Origin::of(&headers, peer, &trusted);
        assert_eq!(origin.client().to_string(), "192.0.2.7");
        let said = origin.forwarding().expect("the peer is trusted");
        assert_eq!(said.scheme.map(Scheme::name), Some("https"));
    }
}

/// The elements of a line from the left (RFC 7239 §4), where quotes stand as the grammar has them.
fn elements(line: &[u8]) -> Option<Vec<&[u8]>> {
    let mut elements = Vec::new();
    let (mut begin, mut at) = (0, 0);
    let mut before = b',';
    while at < line.len() {
        match line[at] {
            b'"' => {
                if before != b'=' {
                    return None;
                }
                loop {
                    at += 1;
                    match line.get(at)? {
                        b'"' => break,
                        b'\\' => at += 1,
                        _ => {}
                    }
                }
            }
            b',' => {
                elements.push(&line[begin..at]);
                begin = at + 1;
            }
            // Outside of quotes it is no byte of a token.
            b'\\' => return None,
            _ => {}
        }
        before = line[at];
        at += 1;
    }
    elements.push(&line[begin..]);
    Some(elements)
}

//! The fields of a credential: what is found is what stands there, whole, once, and of a kind that the route accepts.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use portcullis::authn::api_key::format;
use portcullis::authn::credential::{API_KEY, Accepted, Found, find};
use portcullis::request::{Connection, Parts, Request, Transport};

/// Lines are values of `Authorization`; those that begin with `>` of `X-API-Key`; one that begins with `?` is the query.
pub fn run(input: &[u8]) {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("api.example.com"));
    let mut target = b"/a".to_vec();
    for line in input.split(|byte| *byte == b'\n') {
        if let [b'?', query @ ..] = line {
            target = [b"/a?", query].concat();
            continue;
        }
        let (name, value) = match line {
            [b'>', value @ ..] => (API_KEY, value),
            value => (header::AUTHORIZATION, value),
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    let connection =
        Connection { peer: IpAddr::from([127, 0, 0, 1]), transport: Transport::Tls, certificate: None };
    let parts =
        Parts { method: "GET", target: &target, authority: None, headers: &headers, connection: &connection };
    let Ok(request) = Request::parse(parts) else { return };
    let authorizations: Vec<&[u8]> =
        headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes).collect();
    let keys: Vec<&[u8]> = headers.get_all(API_KEY).iter().map(HeaderValue::as_bytes).collect();
    for bits in 0..8 {
        let accepted = Accepted { api_key: bits & 1 > 0, basic: bits & 2 > 0, jwt: bits & 4 > 0 };
        let word =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        match find(&request, accepted) {
            Found::Absent | Found::InQuery | Found::Malformed | Found::Several => {}
            Found::ApiKey(key, location) => {
                assert!(accepted.api_key);
                let key = key.expose();
                let _ = format::check(key);
                if location.header() == API_KEY {
                    assert_eq!(keys, [key.as_bytes()]);
                    assert!(word(key));
                } else {
                    assert_eq!(authorizations.len(), 1);
                }
            }
            Found::Basic(pair) => {
                assert!(accepted.basic);
                let [field] = authorizations.as_slice() else { panic!("one field") };
                let text = std::str::from_utf8(field).expect("text");
                let encoded = STANDARD.encode(format!("{}:{}", pair.user(), pair.expose_password()));
                assert!(text.ends_with(&encoded), "the pair is what was sent");
                assert!(!pair.user().contains(':') && !pair.user().is_empty());
            }
            Found::Bearer(token) => {
                assert!(accepted.jwt && word(token.expose()));
                let [field] = authorizations.as_slice() else { panic!("one field") };
                let scheme = &field[..field.len() - token.expose().len()];
                assert!(field.ends_with(token.expose().as_bytes()));
                assert!(scheme.trim_ascii_end().eq_ignore_ascii_case(b"bearer"));
            }
        }
    }
}

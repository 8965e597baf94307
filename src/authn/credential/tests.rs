//! Header fields as rows, and the credential that is found in them.

use std::net::IpAddr;

use http::HeaderMap;

use super::*;
use crate::request::{Connection, Parts, Transport};

const ALL: Accepted = Accepted { api_key: true, basic: true, jwt: true };
const JWT: Accepted = Accepted { api_key: false, basic: false, jwt: true };
const KEY: Accepted = Accepted { api_key: true, basic: false, jwt: false };
const BASIC: Accepted = Accepted { api_key: false, basic: true, jwt: false };

fn found(accepted: Accepted, target: &str, fields: &[(&str, &str)]) -> String {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("a"));
    for (name, value) in fields {
        headers
            .append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let connection =
        Connection { peer: IpAddr::from([127, 0, 0, 1]), transport: Transport::Tls, certificate: None };
    let parts = Parts {
        method: "GET",
        target: target.as_bytes(),
        authority: None,
        headers: &headers,
        connection: &connection,
    };
    let request = Request::parse(parts).unwrap();
    match find(&request, accepted) {
        Found::Absent => "absent".to_owned(),
        Found::ApiKey(key, location) => format!("key {} in {location:?}", key.expose()),
        Found::Basic(pair) => format!("basic {} {}", pair.user(), pair.expose_password()),
        Found::Bearer(token) => format!("bearer {}", token.expose()),
        Found::InQuery => "in query".to_owned(),
        Found::Malformed => "malformed".to_owned(),
        Found::Several => "several".to_owned(),
    }
}

#[test]
fn the_form_of_the_credential_picks_the_kind() {
    // dTpw is u:p, YXBpa2V5OksxMjM= is apikey:K123, dTo= is u:, OnA= is :p, dQ== is u, dTpwAA== is u:p with a NUL.
    for (accepted, fields, expect) in [
        (ALL, vec![], "absent"),
        (ALL, vec![("x-api-key", "K123")], "key K123 in ApiKey"),
        (ALL, vec![("authorization", "ApiKey K123")], "key K123 in Authorization"),
        (ALL, vec![("authorization", "apikey  K123")], "key K123 in Authorization"),
        (ALL, vec![("authorization", "Basic YXBpa2V5OksxMjM=")], "key K123 in Authorization"),
        (KEY, vec![("authorization", "Basic YXBpa2V5OksxMjM=")], "key K123 in Authorization"),
        (BASIC, vec![("authorization", "Basic YXBpa2V5OksxMjM=")], "basic apikey K123"),
        (ALL, vec![("authorization", "basic dTpw")], "basic u p"),
        (ALL, vec![("authorization", "Bearer a.b.c")], "bearer a.b.c"),
        (ALL, vec![("authorization", "bEARER   a.b.c")], "bearer a.b.c"),
        // Kinds that the route does not accept do not count.
        (JWT, vec![("x-api-key", "K123")], "absent"),
        (JWT, vec![("x-api-key", "K123"), ("authorization", "Bearer t")], "bearer t"),
        (KEY, vec![("authorization", "Bearer t")], "absent"),
        (KEY, vec![("authorization", "Basic dTpw")], "absent"),
        (KEY, vec![("authorization", "Bearer t"), ("x-api-key", "K123")], "key K123 in ApiKey"),
        (JWT, vec![("authorization", "Digest x")], "absent"),
        // More than one is refused, whatever they are worth.
        (ALL, vec![("authorization", "Bearer t"), ("x-api-key", "K123")], "several"),
        (ALL, vec![("authorization", "Bearer"), ("x-api-key", "K123")], "several"),
        (ALL, vec![("authorization", "Bearer t"), ("authorization", "Bearer t")], "several"),
        (KEY, vec![("authorization", "Bearer t"), ("authorization", "Basic x")], "several"),
        (ALL, vec![("x-api-key", "K123"), ("x-api-key", "K123")], "several"),
        (ALL, vec![("x-api-key", "K123, K123")], "several"),
        (ALL, vec![("authorization", "Bearer a, Bearer b")], "several"),
        (ALL, vec![("authorization", "Bearer a,b")], "several"),
        // Not well formed.
        (ALL, vec![("authorization", "Bearer")], "malformed"),
        (ALL, vec![("authorization", "Bearer ")], "malformed"),
        (ALL, vec![("authorization", "Bearer a b")], "malformed"),
        (ALL, vec![("authorization", "Bearer a\tb")], "malformed"),
        (ALL, vec![("authorization", "Bearer\tt")], "malformed"),
        (ALL, vec![("authorization", "Bearer t\u{e9}")], "malformed"),
        (ALL, vec![("authorization", "ApiKey a b")], "malformed"),
        (ALL, vec![("x-api-key", "")], "malformed"),
        (ALL, vec![("x-api-key", "a b")], "malformed"),
        (ALL, vec![("authorization", "Basic !!!")], "malformed"),
        (ALL, vec![("authorization", "Basic dQ==")], "malformed"),
        (ALL, vec![("authorization", "Basic dTo=")], "malformed"),
        (ALL, vec![("authorization", "Basic OnA=")], "malformed"),
        (ALL, vec![("authorization", "Basic dTpwAA==")], "malformed"),
        (ALL, vec![("authorization", "Basic dTpw dTpw")], "malformed"),
        (ALL, vec![("authorization", "Basic")], "malformed"),
        (ALL, vec![("authorization", "")], "absent"),
    ] {
        assert_eq!(found(accepted, "/", &fields), expect, "{accepted:?} {fields:?}");
    }
    let long = format!("Basic {}", "dTpw".repeat(400));
    assert_eq!(found(ALL, "/", &[("authorization", &long)]), "malformed");
}

#[test]
fn a_credential_in_the_query_is_never_read() {
    for query in [
        "api_key=x",
        "a=b&apikey=x",
        "access_token=x",
        "token",
        "jwt=",
        "API_KEY=x",
        "api%5Fkey=x",
        "%61pikey=x",
        "a;token=x",
        "%61%63%63%65%73%73%5f%74%6f%6b%65%6e=x",
    ] {
        assert_eq!(found(ALL, &format!("/?{query}"), &[("x-api-key", "K123")]), "in query", "{query}");
    }
    for query in ["", "a=token", "tokens=x", "my_token=x", "a%3Dtoken=x"] {
        assert_eq!(
            found(ALL, &format!("/?{query}"), &[("x-api-key", "K123")]),
            "key K123 in ApiKey",
            "{query}"
        );
    }
}

//! A request for every reason that a policy can give: `explain` and the running gateway agree on each.

use std::time::Duration;

use super::{Case, SECRET, Stand};
use crate::harness::credentials::{basic, bearer};
use crate::harness::issuer::{SigningKey, Token};

const ORDERS: &str = "https://api.example.com/v1/orders/7";

/// The same with a query that nobody may read.
const READ: &str = "orders:read";

#[tokio::test]
async fn what_is_said_of_paths_hosts_and_methods_is_what_happens() {
    let stand = Stand::start().await;
    let long = format!("X-Long: {}", "x".repeat(9000));
    let many: Vec<String> = (0..31).map(|at| format!("X-{at}: x")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let api = |path: &str| format!("https://api.example.com{path}");
    let rows: &[(&str, &str, String, &[&str])] = &[
        ("public", "GET", api("/docs/a"), &[]),
        ("public, by HEAD", "HEAD", api("/docs/a"), &[]),
        ("public, with a query", "GET", api("/docs/a?page=2&sort=name"), &[]),
        ("public, with a credential that nobody looks at", "GET", api("/docs/a"), &["X-API-Key: whatever"]),
        (
            "public, with fields that only the gateway sets",
            "GET",
            api("/docs/a"),
            &[
                "X-Auth-Subject: root",
                "x_auth_roles: admin",
                "X-Forwarded-For: 8.8.8.8",
                "X-Request-Id: mine",
                "X-Caller: me",
                "Forwarded: for=8.8.8.8",
            ],
        ),
        (
            "hop by hop",
            "GET",
            api("/docs/a"),
            &["Connection: close, X-Hop", "X-Hop: 1", "X-Stay: 2", "TE: trailers"],
        ),
        (
            "for the next proxy only",
            "GET",
            api("/docs/a"),
            &["Proxy-Authorization: Basic eDp5", "Keep-Alive: 5"],
        ),
        ("an upgrade", "GET", api("/docs/a"), &["Connection: Upgrade", "Upgrade: websocket", "X-Stay: 2"]),
        ("an upgrade that is none", "GET", api("/docs/a"), &["Upgrade: h2c", "X-Stay: 2"]),
        ("cookies", "GET", api("/docs/a"), &["Cookie: a=1", "Cookie: b=2"]),
        ("no route", "GET", api("/nowhere"), &[]),
        ("no route at the root", "GET", "https://api.example.com".to_owned(), &[]),
        ("another host's route", "GET", api("/tools/a"), &[]),
        ("a method that no route for the path has", "POST", api("/docs/a"), &[]),
        ("a method that the rules do not have", "PUT", api("/v1/orders/7"), &[]),
        ("a method that is unknown", "PURGE", api("/v1/orders/7"), &[]),
        ("a tunnel", "CONNECT", api("/v1/orders/7"), &[]),
        ("a path in capitals, which some take for another", "GET", api("/V1/orders/ARCHIVE"), &[]),
        ("a path that some take for the archive", "GET", api("/v1/orders/archive;x=1"), &[]),
        ("dots", "GET", api("/docs/../v1/orders/7"), &[]),
        ("encoded dots", "GET", api("/docs/%2e%2e/v1"), &[]),
        ("an empty segment", "GET", api("/docs//a"), &[]),
        ("a backslash", "GET", api("/docs/a\\b"), &[]),
        ("an escape that is none", "GET", api("/docs/%zz"), &[]),
        ("a control byte", "GET", api("/docs/%00"), &[]),
        ("an encoded slash where no route is", "GET", api("/no%2Fwhere"), &[]),
        ("an encoded slash on a route without them", "GET", api("/docs/a%2Fb"), &[]),
        ("an encoded slash on a route with them", "GET", api("/files/a%2Fb"), &[]),
        ("two hosts", "GET", api("/docs/a"), &["Host: api.example.com", "Host: api.example.com"]),
        ("no host at all", "GET", api("/docs/a"), &["Host:"]),
        ("a host that is none", "GET", api("/docs/a"), &["Host: a b"]),
        ("a host of another certificate", "GET", api("/docs/a"), &["Host: elsewhere.test"]),
        ("a connection option that is none", "GET", api("/docs/a"), &["Connection: host"]),
        ("a field without a name", "GET", api("/docs/a"), &[": x"]),
        ("a field with a space", "GET", api("/docs/a"), &["X-A : x"]),
        ("two lengths", "GET", api("/docs/a"), &["Content-Length: 0", "Content-Length: 0"]),
        ("a length that is none", "GET", api("/docs/a"), &["Content-Length: +1"]),
        ("a coding that is none", "GET", api("/docs/a"), &["Transfer-Encoding: gzip"]),
        (
            "an upgrade with a body",
            "GET",
            api("/docs/a"),
            &["Connection: Upgrade", "Upgrade: websocket", "Content-Length: 5"],
        ),
        ("a body that is too large", "POST", api("/v1/orders/7"), &["Content-Length: 2000"]),
        ("a head that is too large", "GET", api("/docs/a"), &[&long]),
        ("too many fields", "GET", api("/docs/a"), &many),
        ("in the clear, public", "GET", "http://api.example.com/docs/a".to_owned(), &[]),
        ("in the clear, guarded", "GET", "http://api.example.com/v1/orders/7".to_owned(), &[]),
        (
            "in the clear, with a key",
            "GET",
            "http://api.example.com/v1/orders/7".to_owned(),
            &["X-API-Key: x"],
        ),
    ];
    for (name, method, url, fields) in rows {
        stand.compare(name, &Case::new(method, url, fields)).await;
    }
    let mut proxied = Case::new(
        "GET",
        "https://api.example.com/docs/a",
        &[
            "X-Forwarded-For: 198.51.100.1, 192.0.2.7",
            "Forwarded: for=198.51.100.1",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: shop.example.com",
            "X-Request-Id: from-the-proxy",
        ],
    );
    "127.0.0.9".clone_into(&mut proxied.peer);
    stand.compare("from a proxy that is trusted", &proxied).await;
}

#[tokio::test]
async fn what_is_said_of_keys_and_passwords_is_what_happens() {
    let stand = Stand::start().await;
    let Stand { reader, writer, ended, revoked, kept, .. } = &stand;
    let key = |key: &str| format!("X-API-Key: {key}");
    let user = |user: &str, password: &str| format!("Authorization: {}", basic(user, password));
    let mistyped = format!("X-API-Key: pcl_k_4fQ9xT_{}abcdef", "0".repeat(43));
    let query = format!("{ORDERS}?access_token=x");
    let trial = "https://api.example.com/trial/a";
    let tools = "https://tools.example.com/tools/a";
    let kept_url = "https://api.example.com/kept/a";
    let rows: Vec<(&str, &str, &str, Vec<String>)> = vec![
        ("no credential", "GET", ORDERS, vec![]),
        ("a key", "GET", ORDERS, vec![key(&reader.key)]),
        ("a key as a scheme", "GET", ORDERS, vec![format!("Authorization: {}", reader.authorization())]),
        ("a key as a password", "GET", ORDERS, vec![user("apikey", &reader.key)]),
        ("a key with roles", "POST", ORDERS, vec![key(&writer.key)]),
        ("a key without the scope", "POST", ORDERS, vec![key(&reader.key)]),
        ("a key that is unknown", "GET", ORDERS, vec![key("nobody-knows-this-key-of-some-length")]),
        ("a key that was mistyped", "GET", ORDERS, vec![mistyped]),
        ("a key that has ended", "GET", ORDERS, vec![key(&ended.key)]),
        ("a key that was revoked", "GET", ORDERS, vec![key(&revoked.key)]),
        ("a key that stays", "GET", kept_url, vec![key(&kept.key)]),
        ("two keys", "GET", ORDERS, vec![key(&reader.key), key(&writer.key)]),
        ("a key and a password", "GET", ORDERS, vec![key(&reader.key), user("alice", "open sesame")]),
        ("a credential in the query", "GET", &query, vec![]),
        ("a scheme that nobody knows", "GET", ORDERS, vec!["Authorization: Digest x".to_owned()]),
        (
            "a scheme that the route does not take",
            "GET",
            tools,
            vec![format!("Authorization: {}", bearer("x"))],
        ),
        ("a pair that is none", "GET", ORDERS, vec!["Authorization: Basic ???".to_owned()]),
        ("a password", "GET", ORDERS, vec![user("alice", "open sesame")]),
        ("a password for another host", "GET", tools, vec![user("alice", "open sesame")]),
        ("a wrong password", "GET", ORDERS, vec![user("alice", "guess")]),
        ("an unknown user", "GET", ORDERS, vec![user("bob", "guess")]),
        ("a user who was revoked", "GET", ORDERS, vec![user("carol", "open sesame")]),
        ("a user without the scope", "DELETE", ORDERS, vec![user("alice", "open sesame")]),
        ("reported: nobody", "GET", trial, vec![]),
        ("reported: without the scope", "GET", trial, vec![key(&reader.key)]),
        ("reported: unknown", "GET", trial, vec![key("nobody-knows-this-key-of-some-length")]),
        ("reported: revoked", "GET", trial, vec![key(&revoked.key)]),
    ];
    for (name, method, url, fields) in &rows {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        stand.compare(name, &Case::new(method, url, &fields)).await;
    }
}

#[tokio::test]
async fn what_is_said_of_tokens_is_what_happens() {
    let stand = Stand::start().await;
    let token = || stand.issuer.token().claim("scope", READ);
    let hour = Duration::from_secs(3600);
    let long = Duration::from_secs(7200);
    let stranger = SigningKey::es256(stand.issuer.key().kid());
    let legacy = || token().claim("iss", "https://legacy.example.com");
    let rows: Vec<(&str, &str, Token)> = vec![
        ("a token", "GET", token()),
        ("a token with a mail address", "GET", token().claim("email", "bob@example.com")),
        ("a token of the other issuer", "GET", legacy().hmac("HS256", SECRET)),
        ("a token of another secret", "GET", legacy().hmac("HS256", "x".repeat(40))),
        ("a token without the scope", "GET", token().claim("scope", "other")),
        ("a token with the scope and no role", "POST", token().claim("scope", "orders:write")),
        ("a token with the scope and a role", "POST", {
            token().claim("scope", "orders:write").claim("roles", vec!["editor"])
        }),
        ("a token that has expired", "GET", token().issued(long, hour)),
        ("a token that is not valid yet", "GET", token().claim("nbf", 4_000_000_000_u64)),
        ("a token from the future", "GET", token().claim("iat", 4_000_000_000_u64)),
        ("a token that lives too long", "GET", token().issued(Duration::ZERO, long)),
        ("a token without an end", "GET", token().without("exp")),
        ("a token whose end is text", "GET", token().claim("exp", "tomorrow")),
        ("a token for somebody else", "GET", token().claim("aud", "https://other.example.com")),
        ("a token for nobody", "GET", token().without("aud")),
        ("a token about nobody", "GET", token().without("sub")),
        ("a token of an unknown issuer", "GET", token().claim("iss", "https://other.example.com")),
        ("a token of no issuer", "GET", token().without("iss")),
        ("a token of an unknown key", "GET", token().header("kid", "nobody")),
        ("a token of a key of the same name", "GET", token().signed_by(&stranger)),
        ("a token that was changed", "GET", token().corrupt()),
        ("a token without a signature", "GET", token().unsigned("none")),
        ("a token with the public key as a secret", "GET", token().hmac("HS256", "x")),
        ("an identity token", "GET", token().claim("at_hash", "x")),
        ("a token of another type", "GET", token().header("typ", "logout+jwt")),
        ("a token with an extension", "GET", token().header("crit", vec!["x"])),
        ("a token with roles that are none", "GET", token().claim("roles", 7)),
        ("a token whose jti is a number", "GET", token().claim("jti", 7)),
        ("a token that was revoked", "GET", token().claim("jti", "revoked-jti")),
        ("a token of somebody who was revoked", "GET", token().claim("sub", "mallory")),
    ];
    for (name, method, token) in &rows {
        let field = format!("Authorization: {}", token.bearer());
        stand.compare(name, &Case::new(method, ORDERS, &[&field])).await;
    }
    for (name, url, field) in [
        ("a token that is none", ORDERS, "Authorization: Bearer x.y.z"),
        ("a token that is missing", ORDERS, "Authorization: Bearer"),
        ("reported: a token that is none", "https://api.example.com/trial/a", "Authorization: Bearer x"),
    ] {
        stand.compare(name, &Case::new("GET", url, &[field])).await;
    }
}

/// Keys that the issuer has added since are read, as the gateway reads them.
#[tokio::test]
async fn a_key_that_is_newer_than_the_gateway_is_known() {
    let stand = Stand::start().await;
    let token = || stand.issuer.token().claim("scope", READ);
    let newer = SigningKey::es256("newer");
    stand.issuer.add(newer.clone());
    let field = format!("Authorization: {}", token().signed_by(&newer).bearer());
    stand.compare("a token of a new key", &Case::new("GET", ORDERS, &[&field])).await;
}

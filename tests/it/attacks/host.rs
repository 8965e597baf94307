//! Hosts and methods that are spelled in more than one way.

use super::*;

fn with_host(lines: &str) -> String {
    format!("GET /public/x HTTP/1.1\r\n{lines}Connection: close\r\n\r\n")
}

/// A target that names another host than `Host`.
/// Row M01.
#[tokio::test]
async fn the_target_and_the_host_must_agree() {
    let stand = Stand::start().await;
    for (target, host) in [
        ("http://api.example.com/public/x", "localhost"),
        ("https://api.example.com/public/x", "localhost"),
        ("http://localhost:81/public/x", "localhost"),
        ("http://user@localhost/public/x", "localhost"),
        ("http://localhost@evil/public/x", "localhost"),
        ("http://localhost.evil/public/x", "localhost"),
        ("http:///public/x", "localhost"),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stand.refuses(head, 400, "malformed_host").await;
    }
    // One that agrees is a path like any other, and is held to the same rules.
    for (target, path) in
        [("http://localhost/public/x?y", "/public/x?y"), ("HTTPS://LocalHost/public/", "/public/")]
    {
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stand.only_answer(head).await.assert_status(200);
        let received = stand.upstream.take_one();
        assert_eq!((received.target.as_str(), received.header("Host")), (path, Some("localhost")));
    }
    stand.refuses(get("http://localhost/public/../admin", &[]), 400, "malformed_dot_segment").await;
    stand.refuses(get("http://localhost//admin", &[]), 400, "malformed_empty_segment").await;
    stand.refuses(get("http://localhost/admin", &[]), 401, "no_credential").await;
}

/// A host that is missing, doubled or none.
/// Row M02.
#[tokio::test]
async fn a_host_must_be_one_host() {
    let stand = Stand::start().await;
    for lines in [
        "",
        "Host:\r\n",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: localhost\r\nhost: evil\r\n",
        "Host: a,b\r\n",
        "Host: a@b\r\n",
        "Host: localhost:99999\r\n",
        "Host: localhost:0\r\n",
        "Host: localhost:\r\n",
        "Host: localhost:80:80\r\n",
        "Host: localhost:+80\r\n",
        "Host: a/../b\r\n",
        "Host: localhost/admin\r\n",
        "Host: http://localhost\r\n",
        "Host: local host\r\n",
        "Host: localhost\u{e9}\r\n",
        "Host: localhost#\r\n",
        "Host: localhost?x\r\n",
        "Host: [::1\r\n",
        "Host: ..\r\n",
        "Host: localhost..\r\n",
        "Host: \"localhost\"\r\n",
        "Host: <script>\r\n",
        "Host: ${jndi:ldap://evil}\r\n",
    ] {
        stand.refuses(with_host(lines), 400, "malformed_host").await;
    }
    stand.refuses("GET /public/x HTTP/1.0\r\n\r\n", 400, "malformed_host").await;
    stand.assert_only_this_arrives().await;
}

/// One host has many spellings, and they all have the same routes (Heimdall CVE-2026-42273).
/// Row M03.
#[tokio::test]
async fn a_host_is_matched_in_every_spelling() {
    let stand = Stand::start().await;
    let client = stand.gateway.https().server_name("api.example.com");
    for host in [
        "api.example.com",
        "API.Example.COM",
        "api.example.com.",
        "api.example.com:8443",
        "aPI.example.com.:443",
    ] {
        client.get("/named/x").header("Host", host).await.assert_status(200);
        let received = stand.upstream.take_one();
        assert_eq!((received.target.as_str(), received.header("Host")), ("/named/x", Some(host)));
    }
    for host in ["localhost", "127.0.0.1", "other.example.com", "sub.api.example.com"] {
        let answer = stand.gateway.https().get("/named/x").header("Host", host).await;
        assert!([404, 421].contains(&answer.status), "{host}: {answer:?}");
        stand.upstream.assert_nothing();
    }
}

/// A method is what it is: no other spelling, no field and no parameter changes it.
/// Rows M05 and M06.
#[tokio::test]
async fn methods_are_what_they_are() {
    let yaml = ROUTES.replace(
        r#"allow: { "*": { scopes: [admin] } }"#,
        "allow: { GET: { scopes: [] }, DELETE: { scopes: [admin] } }",
    );
    let stand = Stand::with(&yaml).await;
    let key = format!("X-API-Key: {}", stand.user.key);
    for (method, status, code) in [
        ("get", 405, "method_not_allowed"),
        ("Get", 405, "method_not_allowed"),
        ("GETX", 405, "method_not_allowed"),
        ("DELETE", 403, "forbidden"),
        ("PATCH", 405, "method_not_allowed"),
        ("PROPFIND", 405, "method_not_allowed"),
        ("*", 405, "method_not_allowed"),
        (&"G".repeat(33), 400, "malformed_method"),
        (&"G".repeat(10 << 10), 400, "malformed_method"),
        ("G\u{e9}T", 400, "malformed_method"),
        ("GET,DELETE", 400, "malformed_method"),
    ] {
        let answer = stand.only_answer(request(method, "/admin/x", &[&key])).await;
        assert_problem(&answer, status, code);
        assert_eq!(answer.headers.contains("Allow"), status == 405, "{answer:?}");
        stand.upstream.assert_nothing();
    }
    for (target, line) in [
        ("/admin/x", "X-HTTP-Method-Override: DELETE"),
        ("/admin/x", "X-HTTP-Method: DELETE"),
        ("/admin/x", "X-Method-Override: DELETE"),
        ("/admin/x?_method=DELETE", "X: y"),
    ] {
        stand.only_answer(get(target, &[&key, line])).await.assert_status(200);
        let received = stand.upstream.take_one();
        assert_eq!((received.method.as_str(), received.target.as_str()), ("GET", target));
        assert!(
            !received.headers.names().any(|name| name.to_ascii_lowercase().contains("method")
                && !name.eq_ignore_ascii_case("X-Auth-Method")),
            "{received:?}"
        );
    }
}

/// A preflight is a request like any other, and `HEAD` is not public by omission.
/// Rows M07 and M08.
#[tokio::test]
async fn options_and_head_are_not_free() {
    let stand = Stand::start().await;
    let preflight = ["Origin: https://evil.example", "Access-Control-Request-Method: DELETE"];
    for target in ["/v1/x", "/admin"] {
        for method in ["OPTIONS", "HEAD", "DELETE", "PATCH"] {
            let mut connection = stand.gateway.https().connect().await;
            connection.write(request(method, target, &preflight)).await;
            let answer = connection.response_to(method).await;
            assert_eq!(answer.status, 401, "{method} {target}: {answer:?}");
            assert!(!answer.headers.contains("Access-Control-Allow-Origin"), "{answer:?}");
            connection.closed().await;
        }
    }
    stand.upstream.assert_nothing();
    let only_get =
        ROUTES.replace("match: { path: /public/** }", "match: { path: /public/**, methods: [GET] }");
    let stand = Stand::with(&only_get).await;
    let mut connection = stand.gateway.https().connect().await;
    for method in ["HEAD", "OPTIONS", "POST"] {
        let answer = connection.call(method, "/public/x").await;
        assert_eq!((answer.status, answer.header("Allow")), (405, Some("GET")), "{method}: {answer:?}");
    }
    stand.upstream.assert_nothing();
}

/// A method that a guarded route does not match is not left to a public route that takes everything.
/// Row M08.
#[tokio::test]
async fn a_method_that_is_not_listed_leads_around_no_guard() {
    let yaml = ROUTES
        .replace("match: { path: /admin/** }", "match: { path: /admin/**, methods: [GET, POST] }")
        .replace("match: { path: /public/** }", "match: { path: /** }");
    let stand = Stand::with(&yaml).await;
    for method in ["HEAD", "DELETE", "PUT", "OPTIONS", "PATCH"] {
        for target in ["/admin", "/admin/x", "/%61dmin/x"] {
            let mut connection = stand.gateway.https().connect().await;
            connection.write(request(method, target, &[])).await;
            let answer = connection.response_to(method).await;
            assert_eq!(
                (answer.status, answer.header("Allow")),
                (405, Some("GET, POST")),
                "{method}: {answer:?}"
            );
        }
    }
    stand.upstream.assert_nothing();
    stand.gateway.https().call("DELETE", "/elsewhere").await.assert_status(200);
}

//! Paths that mean one thing to the gateway and another to the upstream.

use super::*;

/// Dot segments in any disguise never reach the looser route (Heimdall CVE-2026-42274, Oathkeeper GHSA-p224-6x5r-fjpm,
/// Envoy CVE-2019-9901, Tomcat's `..;`, Caddy GHSA-qrp7-cvwr-j2c6).
/// Rows P01, P02, P05, P06.
#[tokio::test]
async fn dot_segments_in_any_disguise_are_refused() {
    let stand = Stand::start().await;
    for (target, code) in [
        ("/public/../admin", "malformed_dot_segment"),
        ("/public/..", "malformed_dot_segment"),
        ("/public/.", "malformed_dot_segment"),
        ("/../admin", "malformed_dot_segment"),
        ("/public/./../admin", "malformed_dot_segment"),
        ("/public/%2e%2e/admin", "malformed_dot_segment"),
        ("/public/.%2E/admin", "malformed_dot_segment"),
        ("/public/%2e%2e%2fadmin", "malformed_dot_segment"),
        ("/public/..%2fadmin", "malformed_dot_segment"),
        ("/slashes/..%2fadmin", "malformed_dot_segment"),
        ("/slashes/x%2f..%2f..%2fadmin", "malformed_dot_segment"),
        ("/public/..\\admin", "malformed_backslash"),
        ("/public/..%5cadmin", "malformed_backslash"),
        ("/public/..%5Cadmin", "malformed_backslash"),
        ("/slashes/..%5cadmin", "malformed_backslash"),
        ("/public/..;/admin", "malformed_dot_segment"),
        ("/public/..;x=1/admin", "malformed_dot_segment"),
        ("/public/.;/admin", "malformed_dot_segment"),
        ("/public/%2e%2e%3b/admin", "malformed_dot_segment"),
        ("/public;x=1/../admin", "malformed_dot_segment"),
        ("/public/../admin?x=/public/", "malformed_dot_segment"),
    ] {
        stand.refuses(get(target, &[]), 400, code).await;
        stand.refuses_http2(&get_fields(target), 400, code).await;
    }
    stand.assert_only_this_arrives().await;
}

/// Empty segments, which some servers merge (Envoy and Istio CVE-2021-29492, OPA-Envoy CVE-2026-26205).
/// Row P03.
#[tokio::test]
async fn empty_segments_are_refused() {
    let stand = Stand::start().await;
    for target in ["//admin", "/public//../admin", "///", "//", "/public//x", "/slashes/a%2f%2fb"] {
        stand.refuses(get(target, &[]), 400, "malformed_empty_segment").await;
        stand.refuses_http2(&get_fields(target), 400, "malformed_empty_segment").await;
    }
    stand.assert_only_this_arrives().await;
}

/// An encoded slash is the same in both spellings (Heimdall CVE-2026-42272, Traefik CVE-2025-66490), is refused where the
/// route does not allow it, and is passed on as it is where it does.
/// Row P04.
#[tokio::test]
async fn encoded_slashes_are_refused_unless_the_route_allows_them() {
    let stand = Stand::start().await;
    let authorized = [&*format!("X-API-Key: {}", stand.admin.key)];
    for target in ["/admin/x%2fsecret", "/admin/x%2Fsecret", "/public/a%2Fb", "/v1/a%2fb%2e"] {
        stand.refuses(get(target, &authorized), 400, "malformed_encoded_slash").await;
        stand.refuses_http2(&get_fields(target), 400, "malformed_encoded_slash").await;
    }
    // These are one segment, which no route has: whoever decodes it must not be asked.
    for target in ["/admin%2fsecret", "/admin%2Fsecret", "/public%2f..x"] {
        stand.refuses(get(target, &authorized), 400, "malformed_encoded_slash").await;
    }
    for target in ["/slashes/a%2fb", "/slashes/a%2Fb", "/slashes/group%2Fproject/issues"] {
        stand.only_answer(get(target, &[])).await.assert_status(200);
        assert_eq!(stand.upstream.take_one().target, target);
    }
}

/// Control bytes, encoded or raw, and bytes that are no ASCII (Envoy CVE-2019-9900).
/// Row P07.
#[tokio::test]
async fn control_bytes_are_refused() {
    let stand = Stand::start().await;
    for target in [
        &b"/public/%00"[..],
        b"/public/x%00.html",
        b"/public/%0d%0aX-Auth-Subject:%20root",
        b"/public/%0a",
        b"/public/%09",
        b"/public/%7f",
        b"/public/\0",
        b"/public/\x01",
        b"/public/\x7f",
        b"/public/\ta",
        b"/public/caf\xc3\xa9",
        b"/public/\xff",
        b"/public/?\x80",
        b"/public/?\t",
    ] {
        stand.refuses(get(target, &[]), 400, "malformed_control_byte").await;
        let mut block = block(&get_fields("")[..3]);
        block.extend_from_slice(&literal(":path", target));
        let mut frames = stand.gateway.https().frames().await;
        frames.headers(1, &block, true).await;
        match frames.outcome(1).await {
            Outcome::Answered(400, _) | Outcome::Reset(1) | Outcome::GoAway(1) => {}
            other => panic!("{}: {other:?}", target.escape_ascii()),
        }
        stand.upstream.assert_nothing();
    }
    stand.refuses(get("/public/a b", &[]), 400, "malformed_request_line").await;
    stand.refuses(get("/public/a\r\nX: y", &[]), 400, "malformed_request_line").await;
    stand.assert_only_this_arrives().await;
}

/// What is decoded twice by somebody is decoded once at most by the gateway, and passed on as it is.
/// Row P08.
#[tokio::test]
async fn double_encoding_is_passed_on_unchanged() {
    let stand = Stand::start().await;
    for target in ["/public/%252e%252e/admin", "/public/%252fadmin", "/public/%25%32%65/x", "/public/%255c"] {
        stand.only_answer(get(target, &[])).await.assert_status(200);
        assert_eq!(stand.upstream.take_one().target, target);
    }
}

/// Escapes that are none, and overlong UTF-8.
/// Row P09.
#[tokio::test]
async fn invalid_escapes_are_refused() {
    let stand = Stand::start().await;
    for target in [
        "/public/%zz",
        "/public/%",
        "/public/%4",
        "/public/%+1",
        "/public/%u002e",
        "/public/%c0%ae%c0%ae/admin",
        "/public/%c0%af",
        "/public/%ff",
        "/public/%ed%a0%80",
        "/%zz",
    ] {
        stand.refuses(get(target, &[]), 400, "malformed_escape").await;
        stand.refuses_http2(&get_fields(target), 400, "malformed_escape").await;
    }
}

/// Another case is another path: it never falls to a looser route (GHSA-8j2w-6fmm-m587).
/// Row P10.
#[tokio::test]
async fn paths_are_compared_with_their_case() {
    let stand = Stand::start().await;
    for target in
        ["/ADMIN", "/Admin/x", "/aDMIN/", "/PUBLIC/x", "/adminx", "/publicx", "/", "/admi", "/%41dmin"]
    {
        stand.refuses(get(target, &[]), 404, "no_route").await;
        stand.refuses_http2(&get_fields(target), 404, "no_route").await;
    }
}

/// A trailing slash is neither a way around a route nor a way out of it.
/// Row P11.
#[tokio::test]
async fn every_form_of_a_protected_path_is_protected() {
    let stand = Stand::start().await;
    for target in
        ["/admin", "/admin/", "/admin/x", "/admin/x/", "/admin?", "/%61dmin", "/a%64min/x", "/admin/;x"]
    {
        stand.refuses(get(target, &[]), 401, "no_credential").await;
        let user = [&*format!("X-API-Key: {}", stand.user.key)];
        let answer = stand.only_answer(get(target, &user)).await;
        assert_problem(&answer, 403, "forbidden");
        stand.upstream.assert_nothing();
        let admin = [&*format!("X-API-Key: {}", stand.admin.key)];
        stand.only_answer(get(target, &admin)).await.assert_status(200);
        assert_eq!(stand.upstream.take_one().target, target);
    }
}

/// A `:path` that is no path (gRPC-Go CVE-2026-33186, GHSA-p77j-4mvh-x3m3).
/// Row P12.
#[tokio::test]
async fn http2_paths_without_a_slash_are_refused() {
    let stand = Stand::start().await;
    for path in
        ["admin/x", "public/x", "", "*", "?x", "http://localhost/public/x", "https://localhost/admin", "@x"]
    {
        stand.refuses_http2(&get_fields(path), 400, "malformed_target").await;
    }
    for fields in [
        // No path, and two of them.
        &[(":method", "GET"), (":scheme", "https"), (":authority", "localhost")][..],
        &[
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/public/x"),
            (":path", "/admin"),
        ],
    ] {
        stand.refuses_http2(fields, 400, "malformed_target").await;
    }
    // In HTTP/1 as well.
    for target in ["admin/x", "*", "?x", "http:/public/x", "ftp://localhost/public/x", "http://localhost"] {
        stand.refuses(get(target, &[]), 400, "malformed_target").await;
    }
    stand.assert_only_this_arrives().await;
}

/// A prefix is taken off by whole segments, and what is left is a path like any other (Traefik CVE-2026-48020,
/// CVE-2026-40912).
/// Row P13.
#[tokio::test]
async fn a_stripped_prefix_never_makes_another_path() {
    let stand = Stand::start().await;
    let key = [&*format!("X-API-Key: {}", stand.user.key)];
    for (target, status, code) in [
        ("/api../admin", 404, "no_route"),
        ("/api%2e%2e/admin", 404, "no_route"),
        ("/api%2e/admin", 404, "no_route"),
        ("/apiadmin", 404, "no_route"),
        ("/api.", 404, "no_route"),
        ("/api/../admin", 400, "malformed_dot_segment"),
        ("/api/%2e%2e/admin", 400, "malformed_dot_segment"),
        ("/api//admin", 400, "malformed_empty_segment"),
        ("/api/%2fadmin", 400, "malformed_empty_segment"),
    ] {
        stand.refuses(get(target, &key), status, code).await;
        stand.refuses_http2(&get_fields(target), status, code).await;
    }
    for (target, expect) in [
        ("/api", "/"),
        ("/api/", "/"),
        ("/api?x", "/?x"),
        ("/api?/admin", "/?/admin"),
        ("/api/x", "/x"),
        ("/%61pi/x%20y", "/x%20y"),
        ("/api/api/x", "/api/x"),
        ("/api/x/?y=/api", "/x/?y=/api"),
    ] {
        stand.only_answer(get(target, &key)).await.assert_status(200);
        assert_eq!(stand.upstream.take_one().target, expect, "{target}");
    }
}

/// The base path of an upstream is put in front of canonical paths only, so no request leaves it.
/// Rows P13 and P16.
#[tokio::test]
async fn keeps_requests_below_the_base_path() {
    let stand = Stand::start().await;
    let key = [&*format!("X-API-Key: {}", stand.user.key)];
    for (target, status, code) in [
        ("/below../admin", 404, "no_route"),
        ("/below%2e%2e/admin", 404, "no_route"),
        ("/belowx/admin", 404, "no_route"),
        ("/below/../admin", 400, "malformed_dot_segment"),
        ("/below/..", 400, "malformed_dot_segment"),
        ("/below/%2e%2e/%2e%2e/admin", 400, "malformed_dot_segment"),
        ("/below/..;x/admin", 400, "malformed_dot_segment"),
        ("/below//admin", 400, "malformed_empty_segment"),
        ("/below/x%2f..%2fadmin", 400, "malformed_dot_segment"),
        ("/below/..%5cadmin", 400, "malformed_backslash"),
    ] {
        stand.refuses(get(target, &key), status, code).await;
        stand.refuses_http2(&get_fields(target), status, code).await;
    }
    for (target, expect) in [
        ("/below", "/inner/app"),
        ("/below/", "/inner/app/"),
        ("/below?x=/../", "/inner/app?x=/../"),
        ("/%62elow/x%20y/", "/inner/app/x%20y/"),
        ("/below/inner/app", "/inner/app/inner/app"),
        ("/below/below/%252e%252e/", "/inner/app/below/%252e%252e/"),
    ] {
        stand.only_answer(get(target, &key)).await.assert_status(200);
        assert_eq!(stand.upstream.take_one().target, expect, "{target}");
    }
}

/// A raw fragment, before which one server stops and another does not (oauth2-proxy GHSA-pxq7-h93f-9jrg).
/// Row P14.
#[tokio::test]
async fn fragments_are_refused() {
    let stand = Stand::start().await;
    for target in
        ["/public/#/../admin", "/public/x#", "/public/x?y#z", "/#", "/admin#/public/", "/public/x?#"]
    {
        stand.refuses(get(target, &[]), 400, "malformed_target").await;
    }
    // Over HTTP/2 the library cuts it off before anyone can see it, so what is before it is what counts for everyone.
    stand.refuses_http2(&get_fields("/admin#/public/"), 401, "no_credential").await;
    stand.refuses_http2(&get_fields("/admin/x?#/../../public/"), 401, "no_credential").await;
    let mut frames = stand.gateway.https().frames().await;
    frames.headers(1, &block(&get_fields("/public/#/../admin")), true).await;
    assert_eq!(frames.outcome(1).await, Outcome::Answered(200, b"ok".to_vec()));
    assert_eq!(stand.upstream.take_one().target, "/public/");
}

/// The query never decides which route it is (oauth2-proxy CVE-2025-54576).
/// Row P15.
#[tokio::test]
async fn the_query_never_changes_the_route() {
    let stand = Stand::start().await;
    for target in ["/admin?x=/public/", "/admin?/public/", "/admin/?/../public/x", "/admin??/public/x"] {
        stand.refuses(get(target, &[]), 401, "no_credential").await;
        stand.refuses_http2(&get_fields(target), 401, "no_credential").await;
    }
    for target in ["/public/x?/../admin", "/public/x?a=%2e%2e%2f", "/public/x?a=//b&c=\\d", "/public/x?"] {
        stand.only_answer(get(target, &[])).await.assert_status(200);
        assert_eq!(stand.upstream.take_one().target, target);
    }
}

/// Most upstreams make no difference where a path ends with a slash: a public route that takes everything is no way to the
/// path of a guarded one.
/// Row P11.
#[tokio::test]
async fn a_slash_at_the_end_leads_around_no_guard() {
    let yaml = ROUTES
        .replace("match: { path: /admin/** }", "match: { path: /admin, methods: [GET] }")
        .replace("match: { path: /public/** }", "match: { path: /** }");
    let stand = Stand::with(&yaml).await;
    let client = stand.gateway.https().http2().await;
    for target in ["/admin/", "/%61dmin/", "/ADMIN/", "/admin;x/", "/admin/;x"] {
        for method in ["GET", "DELETE"] {
            stand.refuses(request(method, target, &[]), 404, "no_route").await;
            let answer = client.call(method, target).await;
            assert_problem(&answer, 404, "no_route");
        }
    }
    stand.upstream.assert_nothing();
    stand.gateway.https().get("/admin").await.assert_status(401);
    stand.gateway.https().get("/elsewhere/").await.assert_status(200);
}

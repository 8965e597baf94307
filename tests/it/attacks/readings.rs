//! A looser route beside a stricter one is no way around it, whatever the upstream makes of a path that the gateway takes
//! as it is.

use super::*;

const ROUTES: &str = r#"
    auth: { partners: { api_key: { keys: keys.yaml } } }
    upstreams: { app: "{upstream}" }
    routes:
      - { name: rest, match: { path: /** }, auth: public, upstream: app, encoded_slashes: allow }
      - { name: admin, match: { path: /admin/** }, auth: partners, upstream: app }
      - { name: secret, match: { path: /files/secret/** }, auth: partners, upstream: app }
      - { name: upper, match: { path: /Upper/** }, auth: partners, upstream: app }
      - { name: host, match: { host: api.example.com, path: /own/** }, auth: partners, upstream: app }
"#;

/// Upstreams compare without case (GHSA-8j2w-6fmm-m587, Express, IIS), cut off parameters (Tomcat's `/admin;x/`), and divide
/// segments at encoded slashes (Heimdall CVE-2026-42272). A path in which one of them would see that of another route has
/// none.
/// Rows P04, P06 and P10.
#[tokio::test]
async fn no_other_reading_of_a_path_leads_around_a_route() {
    let stand = Stand::with(ROUTES).await;
    for target in [
        "/ADMIN",
        "/Admin/x",
        "/aDMIN/",
        "/%41dmin/x",
        "/upper/x",
        "/UPPER",
        "/files/Secret/x",
        "/FILES/secret",
        "/admin;x",
        "/admin;x=1/y",
        "/admin%3bx/y",
        "/;x/admin",
        "/ADMIN;x/y",
        "/files;v=1/secret;w=2/x",
    ] {
        stand.refuses(get(target, &[]), 404, "no_route").await;
        stand.refuses_http2(&get_fields(target), 404, "no_route").await;
    }
    for target in ["/files%2fsecret", "/files%2Fsecret/x", "/Files%2FSECRET%2fx", "/admin;x%2fy", "/admin%2f"]
    {
        stand.refuses(get(target, &[]), 400, "malformed_encoded_slash").await;
        stand.refuses_http2(&get_fields(target), 400, "malformed_encoded_slash").await;
    }
    // What is guarded is not less so.
    for target in ["/admin", "/admin/A;x=1", "/Upper/x", "/files/secret/A", "/files/secret/;x"] {
        stand.refuses(get(target, &[]), 401, "no_credential").await;
    }
    let other = b"GET /OWN/x HTTP/1.1\r\nHost: API.example.com\r\nConnection: close\r\n\r\n";
    stand.refuses(other, 404, "no_route").await;
    // Whatever nobody takes for another route passes as it is.
    for target in [
        "/",
        "/A",
        "/a;x=1/b;y",
        "/a;admin",
        "/Files/other",
        "/files/x%2fsecret",
        "/x%2Fadmin",
        "/adminx;y",
        "/a?/ADMIN;x",
        "/OWN/x",
    ] {
        stand.only_answer(get(target, &[])).await.assert_status(200);
        assert_eq!(stand.upstream.take_one().target, target);
    }
}

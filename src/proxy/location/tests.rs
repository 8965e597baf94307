//! References as rows. The routes are real ones, of a compiled policy.

use super::*;
use crate::authn::password::HashingPool;
use crate::clock::Clock;
use crate::config::{Configuration, Services};
use crate::telemetry::metrics::Metrics;

const POLICY: &str = "
version: 1
listen: [{ address: \"127.0.0.1:0\", plaintext: true }]
upstreams:
  plain: http://orders:8080
  based: { targets: [\"http://orders:8080/api\", \"http://10.0.0.1/api\", \"https://[2001:db8::1]/api\"] }
  named: { targets: [\"http://orders:8080\"], host: \"shop.example.com\" }
  nested: http://orders:8080/v1/api
routes:
  - { name: untouched, match: { path: /plain/** }, auth: public, upstream: plain }
  - { name: stripped, match: { path: /v1/** }, auth: public, upstream: plain, rewrite: { strip_prefix: /v1 } }
  - { name: based, match: { path: /orders/** }, auth: public, upstream: based }
  - { name: both, match: { path: /shop/v1/** }, auth: public, upstream: based, rewrite: { strip_prefix: /shop/v1 } }
  - { name: named, match: { path: /named/** }, auth: public, upstream: named }
  - { name: nested, match: { path: /v1/nested/** }, auth: public, upstream: nested, rewrite: { strip_prefix: /v1 } }
";

fn load() -> Configuration {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gateway.yaml"), POLICY).unwrap();
    let (hashing, _worker) = HashingPool::new();
    let services = Services {
        clock: Clock::system(),
        environment: &|_| None,
        metrics: Metrics::new("0", "0").unwrap(),
        hashing,
    };
    Configuration::load(&folder.path().join("gateway.yaml"), &services, None).unwrap()
}

/// The values of `Location` that the client gets for these, when the upstream was asked for `path` with `host`.
fn mapped(route: &str, path: &str, host: &str, proto: &'static str, locations: &[&str]) -> Vec<String> {
    let configuration = load();
    let route = configuration.gateway.routes.iter().find(|known| &*known.name == route).unwrap().clone();
    let mut request = RequestHeader::build("GET", path.as_bytes(), None).unwrap();
    request.insert_header("host", host).unwrap();
    request.insert_header("x-forwarded-host", "api.example.com").unwrap();
    request.insert_header("x-forwarded-proto", proto).unwrap();
    let mut response = ResponseHeader::build(302, None).unwrap();
    for location in locations {
        response.append_header("location", HeaderValue::from_bytes(location.as_bytes()).unwrap()).unwrap();
        response.append_header("x-other", *location).unwrap();
    }
    UpstreamView::of(&request).map_references(&route, &mut response).unwrap();
    let values = |name: &str| -> Vec<String> {
        let values = response.headers.get_all(name).iter();
        values.map(|value| String::from_utf8(value.as_bytes().to_vec()).unwrap()).collect()
    };
    assert_eq!(values("x-other"), locations, "other headers stay");
    values("location")
}

#[track_caller]
fn check(route: &str, path: &str, host: &str, proto: &'static str, rows: &[(&str, &str)]) {
    for (location, expected) in rows {
        assert_eq!(mapped(route, path, host, proto, &[location]), [*expected], "{route}: {location}");
    }
}

const CLIENT: &str = "api.example.com";

#[test]
fn adds_the_prefix_to_paths_of_the_upstream() {
    check(
        "stripped",
        "/orders/7?x=1",
        CLIENT,
        "https",
        &[
            ("/orders/", "/v1/orders/"),
            ("/", "/v1/"),
            ("/orders?page=2#top", "/v1/orders?page=2#top"),
            ("/orders?next=//evil/../#/../x", "/v1/orders?next=//evil/../#/../x"),
            ("/v1x/a", "/v1/v1x/a"),
            ("/caf\u{e9}", "/v1/caf%C3%A9"),
            ("/a%20b;c=d", "/v1/a%20b;c=d"),
            // An upstream that heeds `X-Forwarded-Prefix` has added it already.
            ("/v1/orders/", "/v1/orders/"),
            ("/v1", "/v1"),
            ("/v1?x", "/v1?x"),
            // Relative to `/orders/7`, which the client does not have.
            ("8", "/v1/orders/8"),
            ("./8?x", "/v1/orders/8?x"),
            ("../carts/1", "/v1/carts/1"),
            ("../../../carts", "/v1/carts"),
            ("%2E%2e/carts", "/v1/carts"),
            (".", "/v1/orders/"),
            ("v1/a", "/v1/orders/v1/a"),
            ("/orders/../carts/./1", "/v1/carts/1"),
            // The same for either side.
            ("", ""),
            ("?page=2", "?page=2"),
            ("#top", "#top"),
        ],
    );
    // The client asked for `/v1`, without a slash.
    check("stripped", "/", CLIENT, "https", &[("dir/", "/v1/dir/"), ("..", "/v1/")]);
}

#[test]
fn maps_urls_of_the_upstream_and_of_the_client_to_paths() {
    check(
        "stripped",
        "/orders",
        CLIENT,
        "https",
        &[
            ("http://orders:8080/a?b#c", "/v1/a?b#c"),
            ("HTTP://ORDERS:8080", "/v1/"),
            ("http://orders:8080?x", "/v1/?x"),
            ("//orders:8080/a", "/v1/a"),
            ("http://api.example.com/a", "/v1/a"),
            ("https://API.example.com:443/a", "/v1/a"),
            ("https://api.example.com/v1/a", "/v1/a"),
            ("//api.example.com/a", "/v1/a"),
        ],
    );
    // An upgrade to HTTPS is none without its scheme.
    check(
        "stripped",
        "/orders",
        CLIENT,
        "http",
        &[
            ("https://api.example.com/a", "https://api.example.com/v1/a"),
            ("https://api.example.com:443?x", "https://api.example.com:443/v1/?x"),
            ("http://api.example.com/a", "/v1/a"),
        ],
    );
    check(
        "named",
        "/named/a",
        "shop.example.com",
        "https",
        &[
            ("http://shop.example.com/named/b", "/named/b"),
            ("https://shop.example.com/named/b", "/named/b"),
            ("http://orders:8080/named/b", "/named/b"),
            ("http://shop.example.com:8080/b", "http://shop.example.com:8080/b"),
            ("/named/b", "/named/b"),
            ("b", "b"),
        ],
    );
}

#[test]
fn removes_the_base_path() {
    check(
        "based",
        "/api/orders/7",
        CLIENT,
        "https",
        &[
            ("/api/orders/", "/orders/"),
            ("/api", "/"),
            ("/api/", "/"),
            ("8", "/orders/8"),
            ("http://orders:8080/api/orders", "/orders"),
            ("http://10.0.0.1/api/orders", "/orders"),
            ("https://[2001:DB8:0::1]/api/orders", "/orders"),
            // No path of the client leads there.
            ("/login", "/login"),
            ("/apix/a", "/apix/a"),
            ("../../login", "../../login"),
            ("/api/../login", "/api/../login"),
            ("/api/%2e%2e/login", "/api/%2e%2e/login"),
            ("http://orders:8080/login", "http://orders:8080/login"),
        ],
    );
    check(
        "both",
        "/api/orders",
        CLIENT,
        "https",
        &[
            ("/api/orders/", "/shop/v1/orders/"),
            ("/api", "/shop/v1"),
            ("/api/", "/shop/v1/"),
            ("orders/", "/shop/v1/orders/"),
            ("/shop/v1/orders/", "/shop/v1/orders/"),
            ("/shop/v1x", "/shop/v1x"),
            ("http://orders:8080/api/a", "/shop/v1/a"),
        ],
    );
    // The base path begins with the prefix: what is below both is the upstream's.
    check("nested", "/v1/api/nested/a", CLIENT, "https", &[("/v1/api/b", "/v1/b"), ("/v1/b", "/v1/b")]);
}

/// No mapped reference leads to another host (row O03, CVE class of open redirects).
#[test]
fn never_refers_to_another_host() {
    for route in ["stripped", "based", "both", "named"] {
        for location in [
            "//evil.example",
            "//evil.example/api/a",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/api//evil.example",
            "/api/\\evil.example",
            "/api/\t/evil.example",
            "/api/ /evil.example",
            "/api/.//evil.example",
            "/api//evil.example/..",
            "/api/%5c%5cevil.example",
            "/api/%2f%2fevil.example",
            "http://evil.example/a",
            "https://evil.example",
            "https:evil.example",
            "https:/evil.example",
            "https:///evil.example",
            "http://orders:8080@evil.example/",
            "http://user@orders:8080/a",
            "http://orders:8080\\@evil.example/",
            "http://orders:9090/a",
            "https://orders/a",
            "http://orders.evil.example:8080/a",
            "http://api.example.com.evil.example/a",
            "http://[::1]:8080/a",
            "http://orders:8080:8080/a",
            "http://orders%2eevil.example/",
            "javascript:alert(1)",
            "data:text/html,x",
            "mailto:a@b",
            "ftp://orders:8080/a",
            "/a%zz",
            "/a%00",
        ] {
            assert_eq!(mapped(route, "/api/orders", CLIENT, "https", &[location]), [location], "{route}");
        }
    }
}

#[test]
fn maps_each_of_several_references_by_itself() {
    let locations = ["/a", "//evil.example/b", "/c"];
    assert_eq!(mapped("stripped", "/", CLIENT, "https", &locations), ["/v1/a", "//evil.example/b", "/v1/c"]);
}

#[test]
fn leaves_routes_alone_that_change_nothing() {
    let configuration = load();
    let changes = |name: &str| {
        configuration.gateway.routes.iter().find(|route| &*route.name == name).unwrap().changes_url()
    };
    assert!(!changes("untouched"));
    assert!(["stripped", "based", "both", "named"].into_iter().all(changes));
}

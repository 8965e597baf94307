//! Routes as rows, and which of them a request gets.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::gateway::guard::Guard;
use crate::gateway::route::{Access, Mode, RouteLimits};
use crate::gateway::upstream::{BasePath, Destination, HostPolicy, Timeouts, Upstream};
use crate::request::{Connection, Parts, Transport};
use crate::telemetry::metrics::Metrics;

/// A table from rows of name, host, path and methods; `*` is any host, and no methods are all methods. Routes are public
/// unless their names end in `!`.
fn table(rows: &[(&str, &str, &str, &[&str])]) -> RouteTable {
    let metrics = Metrics::new("0", "0").unwrap();
    let second = std::time::Duration::from_secs(1);
    let upstream = Arc::new(Upstream {
        name: "u".into(),
        destination: Destination::Echo,
        base_path: BasePath::default(),
        host: HostPolicy::Preserve,
        timeouts: Timeouts { connect: second, request: second, stream_idle: second, idle: second },
        series: metrics.upstream("u"),
    });
    let routes = rows.iter().map(|(name, host, path, methods)| {
        Arc::new(Route {
            name: (*name).into(),
            pattern: Pattern {
                host: if *host == "*" { HostPattern::Any } else { HostPattern::parse(host).unwrap() },
                path: PathPattern::parse(path).unwrap(),
                methods: (!methods.is_empty()).then(|| Methods::new(methods.iter().copied())),
            },
            access: if name.ends_with('!') {
                Access::Guarded(Guard::new(Vec::new(), Vec::new(), &Arc::new(metrics.route(name))))
            } else {
                Access::Public(Methods::usual())
            },
            upstream: upstream.clone(),
            strip_prefix: None,
            allows_encoded_slashes: false,
            mode: Mode::Enforce,
            limits: RouteLimits::default(),
            series: Arc::new(metrics.route(name)),
        })
    });
    RouteTable::new(routes.collect())
}

fn find(table: &RouteTable, method: &str, host: &str, target: &str) -> String {
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("host"), HeaderValue::try_from(host).unwrap());
    let connection =
        Connection { peer: IpAddr::from([127, 0, 0, 1]), transport: Transport::Tls, certificate: None };
    let parts = Parts {
        method,
        target: target.as_bytes(),
        authority: None,
        headers: &headers,
        connection: &connection,
    };
    match table.find(&Request::parse(parts).unwrap()) {
        Lookup::Found(route) => route.name.to_string(),
        Lookup::MethodNotAllowed(allow) => format!("405 {}", allow.to_str().unwrap()),
        Lookup::NoRoute => "404".to_owned(),
    }
}

#[test]
fn the_most_specific_path_wins_whatever_the_order() {
    let rows: [(&str, &str, &str, &[&str]); 9] = [
        ("rest", "*", "/**", &[]),
        ("a-rest", "*", "/a/**", &[]),
        ("a-any", "*", "/a/*", &[]),
        ("a-b", "*", "/a/b", &[]),
        ("a-any-c", "*", "/a/*/c", &[]),
        ("a-b-rest", "*", "/a/b/**", &[]),
        ("root", "*", "/", &[]),
        ("slash", "*", "/s/", &[]),
        ("admin", "*", "/admin/**", &[]),
    ];
    let mut reversed = rows;
    reversed.reverse();
    for rows in [rows, reversed] {
        let table = table(&rows);
        for (target, expect) in [
            ("/", "root"),
            ("/x", "rest"),
            ("/x/y/z", "rest"),
            ("/a", "a-rest"),
            ("/a/", "a-rest"),
            ("/a/b", "a-b"),
            ("/a/b/", "a-b-rest"),
            ("/a/b/c", "a-b-rest"),
            ("/a/x", "a-any"),
            ("/a/x/", "a-rest"),
            ("/a/x/c", "a-any-c"),
            ("/a/x/d", "a-rest"),
            ("/s/", "slash"),
            ("/s", "rest"),
            ("/%61/%62", "a-b"),
            ("/ab", "rest"),
            // Every spelling of a guarded path stays on the guarded route.
            ("/admin", "admin"),
            ("/admin/", "admin"),
            ("/admin/x", "admin"),
            ("/%61dmin/x", "admin"),
            ("/a%64min?x=/a/", "admin"),
            ("/admin?/x", "admin"),
        ] {
            assert_eq!(find(&table, "GET", "h", target), expect, "{target}");
        }
    }
}

#[test]
fn an_exact_host_comes_before_a_wildcard_and_before_none() {
    let table = table(&[
        ("any", "*", "/**", &[]),
        ("wild", "*.example.com", "/**", &[]),
        ("wilder", "*.api.example.com", "/**", &[]),
        ("exact", "api.example.com", "/v1/**", &[]),
        ("v6", "[::1]", "/**", &[]),
    ]);
    for (host, target, expect) in [
        ("api.example.com", "/v1/x", "exact"),
        ("API.Example.COM.", "/v1/x", "exact"),
        ("api.example.com:8443", "/v1/x", "exact"),
        // A host that has no route for the path falls back to the less specific ones.
        ("api.example.com", "/v2", "wild"),
        ("www.example.com", "/v1/x", "wild"),
        ("a.b.example.com", "/", "wild"),
        ("x.api.example.com", "/", "wilder"),
        ("example.com", "/", "any"),
        ("evilexample.com", "/", "any"),
        ("api.example.com.evil.org", "/v1/x", "any"),
        ("[::1]:8443", "/", "v6"),
    ] {
        assert_eq!(find(&table, "GET", host, target), expect, "{host}{target}");
    }
}

#[test]
fn methods_narrow_a_route_and_are_told() {
    let table = table(&[
        ("read", "*", "/a/**", &["GET", "HEAD"]),
        ("write", "*", "/a/**", &["POST"]),
        ("deep", "*", "/a/b", &["PUT"]),
        ("all", "*", "/b", &[]),
        ("b-get", "*", "/b", &["GET"]),
    ]);
    for (method, target, expect) in [
        ("GET", "/a/x", "read"),
        ("POST", "/a/x", "write"),
        ("DELETE", "/a/x", "405 GET, HEAD, POST"),
        ("get", "/a/x", "405 GET, HEAD, POST"),
        ("PUT", "/a/b", "deep"),
        ("GET", "/a/b", "read"),
        ("PATCH", "/a/b", "405 PUT, GET, HEAD, POST"),
        ("GET", "/b", "b-get"),
        ("POST", "/b", "all"),
        ("GET", "/c", "404"),
    ] {
        assert_eq!(find(&table, method, "h", target), expect, "{method} {target}");
    }
}

#[test]
fn a_public_route_takes_no_method_from_a_guarded_one() {
    let table = table(&[
        ("site", "*", "/**", &[]),
        ("admin!", "*", "/admin/**", &["GET", "POST"]),
        ("help", "*", "/admin/help", &["GET"]),
        ("read", "*", "/both", &["GET"]),
        ("write!", "*", "/both", &["POST"]),
        ("same", "*", "/same", &[]),
        ("same-post!", "*", "/same", &["POST"]),
        ("files", "*", "/files/**", &["GET"]),
        ("app!", "app.example.com", "/**", &[]),
        ("app-files", "app.example.com", "/files/**", &["GET"]),
        ("own!", "own.example.com", "/x", &["GET"]),
        ("secret!", "*", "/secret", &["GET"]),
        ("folder!", "*", "/folder/", &[]),
        ("members!", "app.example.com", "/members", &[]),
        ("page", "*", "/page", &[]),
        ("pages!", "*", "/page/", &[]),
    ]);
    for (method, host, target, expect) in [
        ("GET", "h", "/admin/x", "admin!"),
        ("DELETE", "h", "/admin/x", "405 GET, POST"),
        ("HEAD", "h", "/admin", "405 GET, POST"),
        ("GET", "h", "/admin/help", "help"),
        ("POST", "h", "/admin/help", "admin!"),
        ("PUT", "h", "/admin/help", "405 GET, POST"),
        ("GET", "h", "/both", "read"),
        ("PUT", "h", "/both", "405 GET, POST"),
        // One for the same path says so itself, and what is public anyway is no way around anything.
        ("PUT", "h", "/same", "same"),
        ("PUT", "h", "/files/x", "site"),
        // The other way round it is guarded.
        ("PUT", "app.example.com", "/files/x", "app!"),
        ("PUT", "own.example.com", "/x", "405 GET"),
        ("PUT", "own.example.com", "/y", "site"),
        // In the eyes of an upstream that ignores case, parameters or a slash at the end it is the same.
        ("DELETE", "h", "/ADMIN/x", "404"),
        ("DELETE", "h", "/admin;x/y", "404"),
        ("GET", "h", "/secret", "secret!"),
        ("GET", "h", "/secret/", "404"),
        ("PUT", "h", "/secret/", "404"),
        ("GET", "h", "/Secret/", "404"),
        ("GET", "h", "/secret;x/", "404"),
        ("GET", "h", "/secret/x", "site"),
        ("GET", "h", "/folder/", "folder!"),
        ("GET", "h", "/folder", "404"),
        ("GET", "h", "/FOLDER", "404"),
        ("GET", "h", "/folder/x", "site"),
        ("GET", "h", "/files/", "files"),
        ("GET", "h", "/page", "page"),
        ("GET", "h", "/page/", "pages!"),
        ("GET", "h", "/", "site"),
        ("GET", "app.example.com", "/members/", "app!"),
    ] {
        assert_eq!(find(&table, method, host, target), expect, "{method} {host}{target}");
    }
}

#[test]
fn a_long_path_does_not_exhaust_the_stack() {
    let table = table(&[("rest", "*", "/a/**", &[]), ("stars", "*", "/*/*/*/x", &[])]);
    let target = "/a".repeat(16_000);
    assert_eq!(find(&table, "GET", "h", &target), "rest");
}

#[test]
fn a_path_that_upstreams_may_take_for_that_of_another_route_has_none() {
    let table = table(&[
        ("rest", "*", "/**", &[]),
        ("admin", "*", "/admin/**", &[]),
        ("deep", "*", "/a/*/secret", &[]),
        ("upper", "*", "/Upper", &[]),
        ("lower", "*", "/upper", &[]),
        ("own", "own.example.com", "/x/**", &[]),
        ("write", "*", "/written/**", &["POST"]),
    ]);
    for (host, target, expect) in [
        ("h", "/admin/X;y/z", "admin"),
        ("h", "/ADMIN", "404"),
        ("h", "/adm%C4%B1n", "404"),
        ("h", "/a/b/%C5%BFecret", "404"),
        ("h", "/a/b/%C3%A9", "rest"),
        ("h", "/%41dmin/x", "404"),
        ("h", "/admin;x=1/y", "404"),
        ("h", "/admin%3Bx/y", "404"),
        ("h", "/;x/admin", "404"),
        ("h", "/a;x/B;y/SECRET;z", "404"),
        ("h", "/admin%2fx", "404"),
        ("h", "/a%2Fb%2fsecret", "404"),
        ("h", "/a;x%2fb/secret", "404"),
        ("h", "/A/b", "rest"),
        ("h", "/b;x=1/c%2fd/E", "rest"),
        ("h", "/b%2fadmin", "rest"),
        ("h", "/adminx;y", "rest"),
        // Of two that differ by case only, the file wants both.
        ("h", "/Upper", "upper"),
        ("h", "/upper", "lower"),
        ("h", "/UPPER", "404"),
        ("h", "/X/y", "rest"),
        ("own.example.com", "/X/y", "404"),
        ("own.example.com", "/x/Y", "own"),
        ("h", "/WRITTEN", "rest"),
    ] {
        assert_eq!(find(&table, "GET", host, target), expect, "{host}{target}");
    }
}

//! Mistakes in paths, hosts and limits of routes and upstreams, as rows of `problems`.

use super::{Folder, GOOD};

#[test]
fn reports_mistakes_in_paths_hosts_and_limits() {
    let folder = Folder::new();
    for (from, to, expect) in [
        (
            "http://api:8080",
            "http://api:8080/a/../b",
            vec![
                "9:8: the path of this URL has a segment `.` or `..`, which servers resolve in different ways (write the path that it leads to, such as `http://orders:8080/api`)",
            ],
        ),
        (
            "http://api:8080",
            "http://api:8080/api?page=1",
            vec![
                "9:8: the URL of a target has no query (remove the `?` and what follows it: each request goes upstream with its own query)",
            ],
        ),
        (
            "http://api:8080",
            "http://api:8080/api/**",
            vec![
                "9:8: the path of this URL has a wildcard, and every request goes below the path (write the path without it, such as `http://orders:8080/api`)",
            ],
        ),
        (
            "http://api:8080",
            "{ targets: [\"http://a/api/\", \"http://b/api\", \"http://c\"] }",
            vec![
                "9:53: this target has the path `/`, and the first one `/api` (a request has one path, whichever target gets it: write the same path, or another upstream)",
            ],
        ),
        (
            "http://api:8080",
            "{ targets: [\"http://a\"], host: upsteam }",
            vec![
                "9:39: `upsteam` is neither `preserve` nor `upstream` (did you mean `upstream`? A host of that name is written with its port)",
            ],
        ),
        (
            "http://api:8080",
            "{ targets: [\"http://a\"], host: \"http://orders\" }",
            vec![
                "9:39: this is not a host (write `preserve`, `upstream`, or a host such as `orders.example.com`, with a port if it needs one)",
            ],
        ),
        (
            "http://api:8080",
            "{ targets: [\"http://a\"], host: \"user@orders\" }",
            vec![
                "9:39: this is not a host (write `preserve`, `upstream`, or a host such as `orders.example.com`, with a port if it needs one)",
            ],
        ),
        (
            "http://api:8080",
            "{ targets: [\"http://a\"], host: \"\" }",
            vec![
                "9:39: this is not a host (write `preserve`, `upstream`, or a host such as `orders.example.com`, with a port if it needs one)",
            ],
        ),
        (
            "path: /orders/**",
            "path: /orders/**, host: \"*\"",
            vec!["12:38: this is not a host (write `api.example.com` or `*.example.com`, without a port)"],
        ),
        (
            "    upstream: api",
            "    limits: {}\n    upstream: api",
            vec![
                "14:13: `limits` sets no limit here (write `request_body_bytes: 64MiB` or `request_timeout: 60s`, or remove it)",
            ],
        ),
        (
            "    upstream: api",
            "    limits: { request_timeout: 0s }\n    upstream: api",
            vec!["14:32: no upstream can respond in no time (write how long it may take, such as `60s`)"],
        ),
        (
            "    upstream: api",
            "    limits: { request_body_byte: 1MiB }\n    upstream: api",
            vec!["14:15: unknown key `request_body_byte` (did you mean `request_body_bytes`?)"],
        ),
        (
            "    upstream: api",
            "    limits: { request_timeout: 60 }\n    upstream: api",
            vec!["14:32: a duration such as `30s` is expected here, found a number"],
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        assert_eq!(folder.problems(&GOOD.replacen(from, to, 1)), expect, "{to}");
    }
}

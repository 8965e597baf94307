//! Series have their names, and what is not there has none.

use super::*;

/// Each would raise an alert that nobody can answer.
#[test]
fn what_is_not_there_has_no_series() {
    let metrics = Metrics::new("1.2.3", "abc").unwrap();
    let shown = || String::from_utf8(metrics.render()).unwrap();
    assert!(!shown().contains("portcullis_redis_up"));
    metrics.show_redis();
    metrics.show_redis();
    assert!(shown().contains("\nportcullis_redis_up 0\n"));

    let (users, others) = (metrics.jwks("users"), metrics.jwks("others"));
    users.succeed(3, 1_000);
    metrics.show_jwks([("users", &users), ("others", &others)].into_iter());
    metrics.show_api_key_expiry([("partners", 2_000), ("machines", 3_000)].into_iter());
    for line in [
        "jwks_keys{auth=\"users\"} 3",
        "jwks_keys{auth=\"others\"} 0",
        "jwks_last_success_timestamp_seconds{auth=\"users\"} 1000",
        "api_key_expiry_timestamp_seconds{auth=\"machines\"} 3000",
        "api_key_expiry_timestamp_seconds{auth=\"partners\"} 2000",
    ] {
        assert!(shown().contains(&format!("\nportcullis_{line}\n")), "{line} is not in\n{}", shown());
    }
    assert!(!shown().contains("jwks_last_success_timestamp_seconds{auth=\"others\"}"));
    metrics.show_jwks([("others", &others)].into_iter());
    metrics.show_api_key_expiry([("machines", 4_000)].into_iter());
    let text = shown();
    assert!(!text.contains("users\"} 3") && !text.contains("{auth=\"users\"} 1000"), "{text}");
    assert!(!text.contains("auth=\"partners\"") && text.contains("{auth=\"machines\"} 4000"), "{text}");
}

#[test]
fn series_appear_under_their_names() {
    let metrics = Metrics::new("1.2.3", "abc").unwrap();
    metrics.route("orders").answered("GET", 200);
    metrics.route("orders").answered("BREW", 999);
    metrics.route("orders").decisions("users", "refused", "expired").inc();
    metrics.upstream("api").failed("http://orders", "connect", 1);
    let text = String::from_utf8(metrics.render()).unwrap();
    for line in [
        "portcullis_build_info{revision=\"abc\",version=\"1.2.3\"} 1",
        "portcullis_http_requests_total{method=\"GET\",route=\"orders\",status=\"200\"} 1",
        "portcullis_http_requests_total{method=\"other\",route=\"orders\",status=\"0\"} 1",
        "portcullis_auth_decisions_total{auth=\"users\",reason=\"expired\",result=\"refused\",route=\"orders\"} 1",
        "portcullis_upstream_failures_total{kind=\"connect\",target=\"http://orders\",upstream=\"api\"} 1",
        "portcullis_connections 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(text.contains("\nprocess_resident_memory_bytes "));
}

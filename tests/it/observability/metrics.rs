//! The series of the contract, and that traffic adds none.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::credentials::basic;
use crate::harness::issuer::SigningKey;
use crate::harness::scale::scaled;

use super::stand::Stand;

/// Every series, its type and its labels. Dashboards and alerts are made of these names.
const CONTRACT: &[(&str, &str, &[&str])] = &[
    ("access_log_dropped_total", "counter", &[]),
    ("audit_log_dropped_total", "counter", &[]),
    ("api_key_expiry_timestamp_seconds", "gauge", &["auth"]),
    ("auth_cache_hits_total", "counter", &["auth"]),
    ("auth_cache_misses_total", "counter", &["auth"]),
    ("auth_decisions_total", "counter", &["auth", "reason", "result", "route"]),
    ("auth_duration_seconds", "histogram", &["auth"]),
    ("build_info", "gauge", &["revision", "version"]),
    ("config_last_reload_success_timestamp_seconds", "gauge", &[]),
    ("config_last_reload_successful", "gauge", &[]),
    ("config_reloads_total", "counter", &["result"]),
    ("connections", "gauge", &[]),
    ("degraded", "gauge", &["dependency"]),
    ("discarded_bodies_total", "counter", &["result"]),
    ("failed_attempts_limited", "gauge", &["by"]),
    ("failed_attempts_tracked", "gauge", &[]),
    ("http_request_duration_seconds", "histogram", &["route"]),
    ("http_requests_in_flight", "gauge", &[]),
    ("http_requests_total", "counter", &["method", "route", "status"]),
    ("jwks_fetches_total", "counter", &["auth", "result"]),
    ("jwks_keys", "gauge", &["auth"]),
    ("jwks_last_success_timestamp_seconds", "gauge", &["auth"]),
    ("redis_up", "gauge", &[]),
    ("revocation_entries", "gauge", &["kind"]),
    ("revocation_propagation_seconds", "histogram", &[]),
    ("revocation_staleness_seconds", "gauge", &[]),
    ("spans_dropped_total", "counter", &[]),
    ("tls_certificate_expiry_timestamp_seconds", "gauge", &["certificate"]),
    ("tls_handshakes_total", "counter", &["result", "version"]),
    ("upstream_failures_total", "counter", &["kind", "target", "upstream"]),
    ("upstream_request_duration_seconds", "histogram", &["upstream"]),
    ("upstream_target_healthy", "gauge", &["target", "upstream"]),
    ("upstream_retries_total", "counter", &["result", "upstream"]),
    ("process_resident_memory_bytes", "gauge", &[]),
    ("process_cpu_seconds_total", "counter", &[]),
    ("process_open_fds", "gauge", &[]),
];

#[tokio::test]
async fn the_series_have_the_names_types_and_labels_of_the_contract() {
    let stand = Stand::start().await;
    for row in stand.rows() {
        stand.send(&row).await;
    }
    let ending = stand.key.clone().expires("2099-01-01T00:00:00Z");
    stand.gateway.write("keys.yaml", &crate::harness::credentials::keys_yaml(&[&ending]));
    stand.gateway.reload().await;
    let text = stand.gateway.admin().get("/metrics").await.text().to_owned();
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            types.insert(name, kind);
        } else if !line.starts_with('#') {
            let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let name = base.filter(|base| types.get(base) == Some(&"histogram")).unwrap_or(name);
            let inside = rest.split_once('}').map_or("", |(inside, _)| &inside[1..]);
            let names = inside.split("\",").filter_map(|pair| pair.split_once('=')).map(|(label, _)| label);
            labels.entry(name).or_default().extend(names.filter(|label| *label != "le"));
        }
    }
    for &(name, kind, expected) in CONTRACT {
        let name = if name.starts_with("process_") { name.to_owned() } else { format!("portcullis_{name}") };
        assert_eq!(types.get(name.as_str()), Some(&kind), "{name}");
        let had: Vec<&str> = labels.get(name.as_str()).into_iter().flatten().copied().collect();
        assert_eq!(had, expected, "{name}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} is explained");
    }
    let known: BTreeSet<String> = CONTRACT.iter().map(|(name, ..)| format!("portcullis_{name}")).collect();
    for name in types.keys().filter(|name| name.starts_with("portcullis_")) {
        assert!(known.contains(*name), "{name} is not in the contract");
    }
    assert_eq!(documented(), types_and_labels(&types, &labels), "docs/metrics.md says what there is");
}

/// A series by its name, with its type and labels.
type Listed = BTreeSet<(String, String, Vec<String>)>;

fn types_and_labels(types: &BTreeMap<&str, &str>, labels: &BTreeMap<&str, BTreeSet<&str>>) -> Listed {
    let ours = types.iter().filter(|(name, _)| name.starts_with("portcullis_"));
    let listed = ours.map(|(name, kind)| {
        let labels = labels.get(name).into_iter().flatten().map(|label| (*label).to_owned()).collect();
        ((*name).to_owned(), (*kind).to_owned(), labels)
    });
    listed.collect()
}

/// The rows of the reference.
fn documented() -> Listed {
    let rows =
        include_str!("../../../docs/metrics.md").lines().filter(|line| line.starts_with("| `portcullis_"));
    let listed = rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let mut cell = || cells.next().unwrap();
        let (name, kind, labels) = (cell(), cell(), cell());
        let labels = labels.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (name.trim_matches('`').to_owned(), kind.to_owned(), labels)
    });
    listed.collect()
}

/// What is counted is what happened.
#[tokio::test]
async fn every_outcome_is_counted_once() {
    let stand = Stand::start().await;
    let rows = stand.rows();
    for row in &rows {
        stand.send(row).await;
    }
    let all = u32::try_from(rows.len()).unwrap();
    stand.gateway.wait_for_count("portcullis_http_requests_total", &[], all).await;
    let metrics = stand.gateway.metrics().await;
    let count = |of: &dyn Fn(&&super::stand::Row) -> bool| rows.iter().filter(of).count() as u64;
    for row in &rows {
        let status = row.status.to_string();
        let labels = [("route", row.route), ("method", row.method), ("status", status.as_str())];
        let same =
            count(&|other| (other.route, other.method, other.status) == (row.route, row.method, row.status));
        assert_eq!(metrics.count("portcullis_http_requests_total", &labels), same, "{labels:?}");
        let timed = metrics.count("portcullis_http_request_duration_seconds_count", &[("route", row.route)]);
        assert_eq!(timed, count(&|other| other.route == row.route), "{}", row.route);
        let decided =
            !["public"].contains(&row.outcome) && !["no_route", "method_not_allowed"].contains(&row.reason);
        let auth = row.auth.unwrap_or("none");
        let labels = [("route", row.route), ("auth", auth), ("result", row.outcome), ("reason", row.reason)];
        let same = count(&|other| {
            (other.route, other.auth, other.outcome, other.reason)
                == (row.route, row.auth, row.outcome, row.reason)
        });
        let expected = if decided { same } else { 0 };
        assert_eq!(metrics.count("portcullis_auth_decisions_total", &labels), expected, "{labels:?}");
    }
    for auth in ["partners", "staff", "users"] {
        let looked = count(&|row| row.auth == Some(auth));
        assert_eq!(
            metrics.count("portcullis_auth_duration_seconds_count", &[("auth", auth)]),
            looked,
            "{auth}"
        );
    }
    for (upstream, kind) in [("gone", "connect"), ("api", "timeout")] {
        let labels = [("upstream", upstream), ("kind", kind)];
        assert_eq!(metrics.count("portcullis_upstream_failures_total", &labels), 1, "{labels:?}");
    }
    let answered = count(&|row| row.upstream == Some("api") && row.status < 500);
    let timed = metrics.count("portcullis_upstream_request_duration_seconds_count", &[("upstream", "api")]);
    assert_eq!(timed, answered);
    let handshakes =
        metrics.count("portcullis_tls_handshakes_total", &[("result", "success"), ("version", "1.3")]);
    assert_eq!(handshakes, rows.len() as u64);
    assert_eq!(metrics.sum("portcullis_jwks_keys", &[("auth", "users")]), Some(1.0));
    assert_eq!(metrics.count("portcullis_config_last_reload_successful", &[]), 1);
    assert_eq!(metrics.count("portcullis_http_requests_in_flight", &[]), 0);
    assert_eq!(metrics.count("portcullis_access_log_dropped_total", &[]), 0);
    stand.gateway.wait_for_count("portcullis_connections", &[], 0).await;
}

/// D07: thousands of everything that a client can choose add no series.
#[tokio::test]
async fn the_number_of_series_does_not_grow_with_traffic() {
    let stand = Stand::start().await;
    let stranger = SigningKey::es256("stranger");
    let mut connection = stand.gateway.https().connect().await;
    let mut before = None;
    let rounds = scaled(1_000);
    for at in 0..rounds {
        let token = stand.issuer.token().claim("sub", format!("user-{at}")).claim("jti", format!("j-{at}"));
        let unknown = token.clone().header("kid", format!("kid-{at}")).signature([1; 64]);
        let other = token.clone().signed_by(&stranger).claim("iss", format!("https://issuer-{at}.example"));
        let (name, key) = stand.key.header();
        connection.get(&format!("/v1/{at}")).header(name, key).await.assert_status(200);
        connection.get(&format!("/{at}/x")).await.assert_status(404);
        let field = format!("key-{at}");
        connection.get("/v1/x").header("X-API-Key", &field).await.assert_status(401);
        connection.get("/v1/x").header("Authorization", &token.bearer()).await.assert_status(200);
        // 503 while the fetch that would show whether the issuer has the key is due.
        let undecided = connection.get("/v1/x").header("Authorization", &unknown.bearer()).await;
        assert!([401, 503].contains(&undecided.status), "{undecided:?}");
        connection
            .get("/v1/x")
            .header("Authorization", &other.signature([1; 64]).bearer())
            .await
            .assert_status(401);
        connection.call(&format!("METHOD{at}"), "/v1/x").await.assert_status(405);
        connection.call(&format!("METHOD{at}"), "/nothing").await.assert_status(404);
        if at % 50 == 0 {
            let user = basic(&format!("user-{at}"), "x");
            connection.get("/v1/x").header("Authorization", &user).await.assert_status(401);
        }
        // Every outcome has been met by then: unknown keys take the fetches that are available, and are refused after that.
        if at == 10 {
            stand.gateway.wait_for_count("portcullis_http_requests_total", &[], 8 * 11 + 1).await;
            before = Some(stand.gateway.metrics().await);
        }
    }
    let names =
        |metrics: &crate::harness::gateway::Metrics| metrics.map().into_keys().collect::<BTreeSet<_>>();
    let answered = u32::try_from(8 * rounds + rounds.div_ceil(50)).unwrap();
    stand.gateway.wait_for_count("portcullis_http_requests_total", &[], answered).await;
    let (before, after) = (names(&before.unwrap()), names(&stand.gateway.metrics().await));
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(after.len(), before.len());
}

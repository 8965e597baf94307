//! Spans of requests at an OpenTelemetry collector: whose part they are, what they say, and what a collector that is gone
//! costs.

mod collector;

use serde_json::{Value, json};

use crate::harness::credentials::{ApiKey, basic, htpasswd_bcrypt, keys_yaml};
use crate::harness::gateway::{Gateway, GatewayBuilder};
use crate::harness::issuer::Issuer;
use crate::harness::problem::assert_traced_problem;
use crate::harness::process::portcullis;
use crate::harness::upstream::{Answer, Upstream};

const DROPPED: &str = "portcullis_spans_dropped_total";

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

const SPAN: &str = "b7ad6b7169203331";

/// Everything that a collector was sent.
fn spans(collector: &Upstream) -> Vec<Value> {
    let mut spans = Vec::new();
    for request in collector.take() {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/v1/traces"));
        assert_eq!(request.header("Content-Type"), Some("application/json"));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let resource = &body["resourceSpans"][0];
        let service = json!({ "key": "service.name", "value": { "stringValue": "edge" } });
        assert_eq!(resource["resource"]["attributes"][0], service);
        spans.extend(resource["scopeSpans"][0]["spans"].as_array().unwrap().iter().cloned());
    }
    spans
}

/// The span of this kind: 1 is internal, 2 the server's, 3 the client's.
#[track_caller]
fn of_kind(spans: &[Value], kind: u64) -> &Value {
    let mut found = spans.iter().filter(|span| span["kind"] == kind);
    let span = found.next().unwrap_or_else(|| panic!("no span of kind {kind} in {spans:#?}"));
    assert!(found.next().is_none(), "more than one of kind {kind}: {spans:#?}");
    span
}

/// An attribute, whatever its type.
fn attribute<'a>(span: &'a Value, key: &str) -> Option<&'a str> {
    let all = span["attributes"].as_array().unwrap();
    let value = &all.iter().find(|attribute| attribute["key"] == key)?["value"];
    value["stringValue"].as_str().or_else(|| value["intValue"].as_str())
}

fn builder(sample: &str, collector: &Upstream, upstream: &Upstream, key: &ApiKey) -> GatewayBuilder {
    builder_believing("", sample, collector, upstream, key)
}

fn builder_believing(
    trusted: &str,
    sample: &str,
    collector: &Upstream,
    upstream: &Upstream,
    key: &ApiKey,
) -> GatewayBuilder {
    let yaml = r#"
        trusted_proxies: [{trusted}]
        tracing: { otlp: "{collector}", sample: {sample}, service: edge }
        auth:
          partners: { api_key: { keys: keys.yaml } }
          staff: { basic: { users: staff.htpasswd, realm: Tools } }
        upstreams: { api: "{upstream}" }
        routes:
          - { name: api, match: { path: /v1/** }, auth: [partners, staff], upstream: api }
    "#;
    Gateway::builder(yaml)
        .with("trusted", trusted)
        .with("sample", sample)
        .with("collector", collector.url())
        .with("upstream", upstream.url())
        .file("keys.yaml", keys_yaml(&[key]))
        .file("staff.htpasswd", htpasswd_bcrypt("bob", "correct horse"))
}

fn number(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_request_has_a_span_of_itself_of_the_decision_and_of_the_call_upstream() {
    let (collector, upstream, key) = (Upstream::start(), Upstream::start(), ApiKey::of("acme"));
    let gateway = builder("1", &collector, &upstream, &key).start().await;
    let answer = gateway.https().get("/v1/orders?page=2").headers(&[key.header()]).await;
    answer.assert_status(200);
    assert!(gateway.terminate().await.success());
    let spans = spans(&collector);
    assert_eq!(spans.len(), 3, "{spans:#?}");
    let [decision, server, client] = [1, 2, 3].map(|kind| of_kind(&spans, kind));
    let received = upstream.take_one();
    let trace = server["traceId"].as_str().unwrap();
    let told = format!("00-{trace}-{}-01", client["spanId"].as_str().unwrap());
    assert_eq!(received.header("traceparent"), Some(&*told), "the client span calls the upstream");
    assert_eq!(server.get("parentSpanId"), None, "it is the first of its trace");
    for child in [decision, client] {
        assert_eq!((&child["traceId"], &child["parentSpanId"]), (&server["traceId"], &server["spanId"]));
        let within = |name: &str| (number(&server[name]), number(&child[name]));
        let ((began, child_began), (ended, child_ended)) =
            (within("startTimeUnixNano"), within("endTimeUnixNano"));
        assert!(began <= child_began && child_began <= child_ended && child_ended <= ended, "{spans:#?}");
    }
    let request_id = answer.header("X-Request-Id").unwrap();
    for (span, key, expected) in [
        (server, "http.request.method", Some("GET")),
        (server, "http.route", Some("/v1/**")),
        (server, "http.response.status_code", Some("200")),
        (server, "url.path", Some("/v1/orders")),
        (server, "server.address", Some("localhost")),
        (server, "client.address", Some("127.0.0.1")),
        (server, "network.protocol.version", Some("1.1")),
        (server, "error.type", None),
        (server, "portcullis.route", Some("api")),
        (server, "portcullis.reason", Some("ok")),
        (server, "portcullis.auth_method", Some("api_key")),
        (server, "portcullis.request_id", Some(request_id)),
        (decision, "portcullis.outcome", Some("allowed")),
        (decision, "portcullis.auth", Some("partners")),
        (client, "server.address", Some("127.0.0.1")),
        (client, "http.response.status_code", Some("200")),
        (client, "portcullis.upstream", Some("api")),
        (client, "error.type", None),
    ] {
        assert_eq!(attribute(span, key), expected, "{key} of {span:#}");
    }
    assert_eq!((&server["name"], &client["name"]), (&json!("GET /v1/**"), &json!("GET")));
    assert_eq!(gateway.access_log()[0]["trace_id"], trace);
}

#[tokio::test]
async fn a_refusal_can_be_found_by_its_trace() {
    let (collector, upstream, key) = (Upstream::start(), Upstream::start(), ApiKey::of("acme"));
    let gateway = builder("1", &collector, &upstream, &key).start().await;
    let answer = gateway.https().get("/v1/x").await;
    assert_traced_problem(&answer, 401, "no_credential");
    upstream.assert_nothing();
    upstream.stop().await;
    let failed = gateway.https().get("/v1/x").headers(&[key.header()]).await;
    assert_traced_problem(&failed, 502, "upstream_failed");
    assert!(gateway.terminate().await.success());
    let spans = spans(&collector);
    let of = |answer: &Value| -> Vec<Value> {
        spans.iter().filter(|span| span["traceId"] == answer["trace_id"]).cloned().collect()
    };
    let (refused, failed) = (of(&answer.json()), of(&failed.json()));
    assert_eq!((refused.len(), failed.len(), spans.len()), (2, 3, 5), "{spans:#?}");
    let server = of_kind(&refused, 2);
    assert_eq!(attribute(server, "portcullis.reason"), Some("no_credential"));
    assert_eq!((attribute(server, "error.type"), &server["status"]["code"]), (None, &json!(0)));
    let server = of_kind(&failed, 2);
    assert_eq!((attribute(server, "error.type"), &server["status"]["code"]), (Some("502"), &json!(2)));
    let client = of_kind(&failed, 3);
    assert_eq!(
        (attribute(client, "error.type"), &client["status"]["code"]),
        (Some("connect_refused"), &json!(2))
    );
    assert_eq!(attribute(client, "portcullis.target"), Some(&*upstream.url()));
    for line in gateway.access_log() {
        assert!(line["trace_id"].is_string(), "{line}");
    }
}

/// Attack: by `traceparent`, anybody has all of their requests recorded whatever `sample` says, hides them, or puts them
/// into somebody else's trace. W3C Trace Context §3.4 (restart trace) and §7 (denial of service).
#[tokio::test]
async fn a_stranger_does_not_decide_what_is_traced() {
    for sample in ["0", "1"] {
        for trusted in ["", "192.0.2.0/24"] {
            let (collector, upstream, key) = (Upstream::start(), Upstream::start(), ApiKey::of("acme"));
            let gateway = builder_believing(trusted, sample, &collector, &upstream, &key).start().await;
            for flags in ["00", "01"] {
                let parent = format!("00-{TRACE}-{SPAN}-{flags}");
                let client = gateway.https();
                let call = client.get("/v1/x").headers(&[key.header()]);
                let call = call.header("traceparent", &parent).header("tracestate", "vendor=1");
                // What stands in it is no more believed for being said to come from a proxy.
                call.header("X-Forwarded-For", "192.0.2.1").await.assert_status(200);
                let received = upstream.take_one();
                let told = received.header("traceparent").unwrap();
                assert!(!told.contains(TRACE) && !told.contains(SPAN), "{told}");
                assert!(told.ends_with(if sample == "1" { "-01" } else { "-00" }), "{told}");
                assert_eq!(received.header("tracestate"), None);
                let refused = client.get("/v1/x").header("traceparent", &parent).await;
                assert_eq!(refused.json()["trace_id"].is_string(), sample == "1", "{}", refused.text());
                assert!(!refused.text().contains(TRACE), "{}", refused.text());
                upstream.assert_nothing();
            }
            assert!(gateway.terminate().await.success());
            let spans = spans(&collector);
            assert_eq!(spans.len(), if sample == "1" { 10 } else { 0 }, "{spans:#?}");
            for span in spans.iter().filter(|span| span["kind"] == 2) {
                assert!(span["traceId"] != TRACE && span.get("parentSpanId").is_none(), "{span:#}");
            }
            assert!(gateway.access_log().iter().all(|line| line["trace_id"] != TRACE));
        }
    }
}

/// W3C Trace Context §3.2 and §4.3: the trace of a caller who is believed is gone on with, as they have decided; one that
/// cannot be read is not.
#[tokio::test]
async fn a_trusted_proxy_decides_about_its_trace_and_the_gateway_about_new_ones() {
    let good = |flags: &str| format!("00-{TRACE}-{SPAN}-{flags}");
    for sample in ["0", "1"] {
        let (collector, upstream, key) = (Upstream::start(), Upstream::start(), ApiKey::of("acme"));
        let gateway = builder_believing("127.0.0.0/8", sample, &collector, &upstream, &key).start().await;
        let mut expected = 0;
        for (parent, continued) in [
            (None, None),
            (Some(good("01")), Some(true)),
            (Some(good("00")), Some(false)),
            (Some(good("01").to_uppercase()), None),
            (Some(format!("00-{}-{SPAN}-01", "0".repeat(32))), None),
            (Some("what".to_owned()), None),
        ] {
            let client = gateway.https();
            let mut call = client.get("/v1/x").headers(&[key.header()]).header("tracestate", "vendor=1");
            if let Some(parent) = &parent {
                call = call.header("traceparent", parent);
            }
            call.await.assert_status(200);
            let received = upstream.take_one();
            let told = received.header("traceparent").unwrap();
            let parts: Vec<&str> = told.split('-').collect();
            let sampled = continued.unwrap_or(sample == "1");
            assert_eq!(parts[3], if sampled { "01" } else { "00" }, "{sample} {parent:?}: {told}");
            assert_eq!(parts[1] == TRACE, continued.is_some(), "{parent:?}: {told}");
            assert_ne!(parts[2], SPAN, "{parent:?}: the upstream is not called by the caller");
            assert_eq!(received.header("tracestate"), continued.map(|_| "vendor=1"), "{parent:?}");
            expected += if sampled { 3 } else { 0 };
        }
        assert!(gateway.terminate().await.success());
        let spans = spans(&collector);
        assert_eq!(spans.len(), expected, "{sample}: {spans:#?}");
        let continued: Vec<&Value> =
            spans.iter().filter(|span| span["traceId"] == TRACE && span["kind"] == 2).collect();
        assert_eq!(continued.len(), 1);
        assert_eq!(continued[0]["parentSpanId"], SPAN);
        let known = gateway.access_log().iter().filter(|line| line["trace_id"].is_string()).count();
        assert_eq!(known, if sample == "1" { 6 } else { 2 }, "where somebody can find something under it");
    }
}

#[tokio::test]
async fn without_tracing_what_a_caller_says_passes_as_it_is() {
    let upstream = Upstream::start();
    let gateway = Gateway::builder(
        r#"
        upstreams: { api: "{upstream}" }
        routes: [{ name: api, match: { path: /** }, auth: public, upstream: api }]
        "#,
    )
    .with("upstream", upstream.url())
    .start()
    .await;
    for parent in ["what", "00-x"] {
        let client = gateway.https();
        client.get("/").header("traceparent", parent).header("tracestate", "a=b").await.assert_status(200);
        let received = upstream.take_one();
        assert_eq!(
            (received.header("traceparent"), received.header("tracestate")),
            (Some(parent), Some("a=b"))
        );
    }
    gateway.https().get("/").await.assert_status(200);
    assert_eq!(upstream.take_one().header("traceparent"), None);
    assert!(gateway.access_log().iter().all(|line| line.get("trace_id").is_none()));
}

/// Refused connections, errors, and a collector that never answers: requests do not notice, and the process ends.
#[tokio::test]
async fn a_collector_that_takes_nothing_costs_spans_and_no_request() {
    for hangs in [false, true] {
        let (collector, upstream, key) = (Upstream::start(), Upstream::start(), ApiKey::of("acme"));
        collector.answer_otherwise(if hangs { Answer::hang() } else { Answer::status(503, "not now") });
        let gateway = builder("1", &collector, &upstream, &key).start().await;
        for _ in 0..20 {
            gateway.https().get("/v1/x").headers(&[key.header()]).await.assert_status(200);
        }
        if !hangs {
            gateway.wait_for_count(DROPPED, &[], 60).await;
            collector.stop().await;
            gateway.https().get("/v1/x").headers(&[key.header()]).await.assert_status(200);
            gateway.wait_for_count(DROPPED, &[], 63).await;
        }
        assert!(gateway.terminate().await.success());
    }
}

/// Attack: whoever may look at traces may not sign in with what they find there.
#[tokio::test]
async fn spans_have_no_credential_no_query_and_no_subject() {
    let (collector, upstream, key) = (Upstream::start(), Upstream::start(), ApiKey::of("subject-acme"));
    let gateway = builder("1", &collector, &upstream, &key).start().await;
    let token = Issuer::start().token().bearer();
    let client = gateway.https();
    client.get("/v1/x?secret=query-9Rk4Tz").headers(&[key.header()]).await.assert_status(200);
    client.get("/v1/x").header("Authorization", &basic("bob", "correct horse")).await.assert_status(200);
    client.get("/v1/x").header("Authorization", &basic("eve", "guess-9Rk4Tz")).await.assert_status(401);
    client.get("/v1/x").header("X-API-Key", "wrong-9Rk4Tz").await.assert_status(401);
    client.get("/v1/x").header("Authorization", &token).await.assert_status(401);
    client.get("/v1/pcl_k_9Rk4Tz_abc").headers(&[key.header()]).await.assert_status(200);
    assert!(gateway.terminate().await.success());
    let text: String = collector.take().iter().map(|request| request.text().to_owned()).collect();
    assert!(text.matches("\"kind\":2").count() == 6, "{text}");
    let basic = basic("bob", "correct horse");
    for secret in [&*key.key, "9Rk4Tz", "subject-acme", "bob", "eve", &token[7..], &basic[6..], "k_subject"] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
}

#[tokio::test]
async fn what_cannot_be_traced_is_an_error_at_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.yaml");
    for (tracing, said) in [
        ("{ otlp: \"collector:4318\" }", "this is not the URL of a collector"),
        ("{ otlp: \"http://user:hunter2@collector:4318\" }", "this is not the URL of a collector"),
        ("{ otlp: \"http://collector:4318\", sample: 2 }", "this is no share of requests"),
        ("{ otlp: \"http://collector:4318\", sample: -0.1 }", "this is no share of requests"),
        ("{ otlp: \"http://collector:4318\", smple: 1 }", "did you mean `sample`?"),
        ("{ sample: 1 }", "otlp"),
    ] {
        let yaml = format!(
            "version: 1\nlisten: [{{ address: \"127.0.0.1:0\", tls: true }}]\ntls: {{ self_signed: [localhost] }}\n\
             tracing: {tracing}\nupstreams: {{ echo: builtin:echo }}\n\
             routes: [{{ name: all, match: {{ path: /** }}, auth: public, upstream: echo }}]\n"
        );
        std::fs::write(&path, yaml).unwrap();
        let done = portcullis(["check", "--config", path.to_str().unwrap()]).await;
        assert_eq!(done.code(), 1, "{tracing}: {done:#?}");
        let text = format!("{}{}", done.stdout, done.stderr);
        assert!(text.contains(said) && text.contains("gateway.yaml:4:"), "{tracing}: {text}");
    }
}

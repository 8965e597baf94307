//! What a real collector makes of our spans, by the official schema of OTLP; and what the gateway makes of its answers.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use portcullis::clock::Clock;
use serde_json::Value;

use super::{DROPPED, SPAN, TRACE, builder, builder_believing};
use crate::harness::credentials::ApiKey;
use crate::harness::deadline::eventually;
use crate::harness::upstream::{Answer, Upstream};

/// The body as the official schema reads it. That schema passes over what it does not know and fills in what is missing, so
/// everything that was written has to be in what it would write itself.
fn read(body: &[u8]) -> ExportTraceServiceRequest {
    let request: ExportTraceServiceRequest = serde_json::from_slice(body).unwrap();
    let (ours, theirs) = (serde_json::from_slice(body).unwrap(), serde_json::to_value(&request).unwrap());
    assert_within(&ours, &theirs, "");
    request
}

#[track_caller]
fn assert_within(ours: &Value, theirs: &Value, path: &str) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (name, value) in ours {
                assert_within(value, &theirs[name], &format!("{path}.{name}"));
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            assert_eq!(ours.len(), theirs.len(), "{path}");
            for (at, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                assert_within(ours, theirs, &format!("{path}[{at}]"));
            }
        }
        (ours, theirs) => assert_eq!(ours, theirs, "{path}"),
    }
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Any> {
    let mut found = attributes.iter().filter(|attribute| attribute.key == key);
    let first = found.next()?;
    assert!(found.next().is_none(), "{key} stands there twice");
    first.value.as_ref()?.value.as_ref()
}

fn text(value: &str) -> Any {
    Any::StringValue(value.to_owned())
}

#[track_caller]
fn of_kind(spans: &[Span], kind: SpanKind) -> &Span {
    let mut found = spans.iter().filter(|span| span.kind == kind as i32);
    let span = found.next().unwrap_or_else(|| panic!("no span of {kind:?} in {spans:#?}"));
    assert!(found.next().is_none(), "more than one of {kind:?} in {spans:#?}");
    span
}

fn code(span: &Span) -> StatusCode {
    StatusCode::try_from(span.status.as_ref().unwrap().code).unwrap()
}

/// OTLP 1.x, §JSON Protobuf Encoding: identifiers are hexadecimal and not base64, enumerations are numbers, and numbers of 64
/// bits are text.
#[tokio::test]
async fn spans_are_what_the_official_schema_says() {
    let (collector, upstream, key) = (Upstream::start(), Upstream::start(), ApiKey::of("acme"));
    let gateway = builder_believing("127.0.0.0/8", "0", &collector, &upstream, &key).start().await;
    let nanoseconds = || Clock::system().unix_millis() * 1_000_000;
    let began = nanoseconds();
    let client = gateway.https();
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let call = client.get("/v1/orders?page=2").headers(&[key.header()]).header("traceparent", &parent);
    call.await.assert_status(200);
    upstream.answer_otherwise(Answer::reset());
    let call = client.get("/v1/orders").headers(&[key.header()]).header("traceparent", &parent);
    call.await.assert_status(502);
    assert!(gateway.terminate().await.success());
    let ended = nanoseconds() + 1_000_000;
    let mut spans = Vec::new();
    for request in collector.take() {
        assert_eq!((&*request.method, &*request.target), ("POST", "/v1/traces"));
        assert_eq!(request.header("Content-Type"), Some("application/json"));
        let read = read(&request.body);
        for resource in read.resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            let version = env!("CARGO_PKG_VERSION");
            assert_eq!(attribute(&attributes, "service.name").cloned(), Some(text("edge")));
            assert_eq!(attribute(&attributes, "service.version").cloned(), Some(text(version)));
            for scope in resource.scope_spans {
                let of = scope.scope.unwrap();
                assert_eq!((&*of.name, &*of.version), ("portcullis", version));
                spans.extend(scope.spans);
            }
        }
    }
    assert_eq!(spans.len(), 6, "{spans:#?}");
    let trace = u128::from_str_radix(TRACE, 16).unwrap().to_be_bytes();
    let remote = u64::from_str_radix(SPAN, 16).unwrap().to_be_bytes();
    for span in &spans {
        assert_eq!((&span.trace_id[..], span.span_id.len()), (&trace[..], 8), "{span:#?}");
        assert!(began <= span.start_time_unix_nano + 1_000_000, "{span:#?}");
        assert!(
            span.start_time_unix_nano <= span.end_time_unix_nano && span.end_time_unix_nano <= ended,
            "{span:#?}"
        );
        assert!(span.links.is_empty() && span.events.is_empty() && !span.name.is_empty(), "{span:#?}");
    }
    let (failed, good): (Vec<Span>, Vec<Span>) = {
        let status = |span: &Span| attribute(&span.attributes, "http.response.status_code").cloned();
        let servers = spans.iter().filter(|span| span.kind == SpanKind::Server as i32);
        let failed =
            servers.clone().find(|span| status(span) == Some(Any::IntValue(502))).unwrap().span_id.clone();
        spans.into_iter().partition(|span| span.span_id == failed || span.parent_span_id == failed)
    };
    for (spans, result, server_code, client_code) in [
        (&good, 200, StatusCode::Unset, StatusCode::Unset),
        (&failed, 502, StatusCode::Error, StatusCode::Error),
    ] {
        let [server, decision, client] =
            [SpanKind::Server, SpanKind::Internal, SpanKind::Client].map(|kind| of_kind(spans, kind));
        assert_eq!((server.name.as_str(), &server.parent_span_id[..]), ("GET /v1/**", &remote[..]));
        assert_eq!((&decision.parent_span_id, &client.parent_span_id), (&server.span_id, &server.span_id));
        assert_eq!(
            (code(server), code(decision), code(client)),
            (server_code, StatusCode::Unset, client_code)
        );
        let status = attribute(&server.attributes, "http.response.status_code").cloned();
        assert_eq!(status, Some(Any::IntValue(result)));
        assert_eq!(attribute(&server.attributes, "http.request.method").cloned(), Some(text("GET")));
        assert_eq!(attribute(&server.attributes, "portcullis.auth_method").cloned(), Some(text("api_key")));
        assert_eq!(attribute(&decision.attributes, "portcullis.auth").cloned(), Some(text("partners")));
        assert_eq!(attribute(&client.attributes, "portcullis.upstream").cloned(), Some(text("api")));
    }
}

/// OTLP §OTLP/HTTP Response: 429, 502, 503 and 504 are tried again, when the collector says if it does. Nothing else is.
#[tokio::test]
async fn spans_are_sent_again_where_the_protocol_says_so() {
    for (status, retry_after, again) in [
        (429, Some("1"), true),
        (429, None, true),
        (502, None, true),
        (503, Some("1"), true),
        (503, Some("soon"), true),
        (504, None, true),
        (503, Some("3600"), false),
        (400, None, false),
        (401, Some("1"), false),
        (413, None, false),
        (500, Some("1"), false),
        (307, None, false),
    ] {
        let (collector, upstream, key) = (Upstream::start(), Upstream::start(), ApiKey::of("acme"));
        let times = Arc::new(Mutex::new(Vec::new()));
        let arrived = times.clone();
        collector.answer_otherwise(Answer::from_fn(move |_| {
            let mut arrived = arrived.lock().unwrap();
            arrived.push(Instant::now());
            if arrived.len() > 1 {
                return Answer::ok("{}");
            }
            let answer = Answer::status(status, "");
            match retry_after {
                Some(seconds) => answer.header("Retry-After", seconds),
                None => answer.header("Location", "/elsewhere"),
            }
        }));
        let gateway = builder("1", &collector, &upstream, &key).start().await;
        gateway.https().get("/v1/x").headers(&[key.header()]).await.assert_status(200);
        if again {
            let both = collector.wait_for_requests(2).await;
            assert_eq!(both[0].body, both[1].body, "{status}: the same spans");
            let times = times.lock().unwrap();
            let waited = times[1] - times[0];
            assert!(retry_after != Some("1") || waited >= Duration::from_secs(1), "{status}: {waited:?}");
        } else {
            gateway.wait_for_count(DROPPED, &[], 3).await;
        }
        let dropped = gateway.metrics().await.count(DROPPED, &[]);
        assert!(gateway.terminate().await.success());
        assert_eq!(dropped, if again { 0 } else { 3 }, "{status}");
        assert_eq!(collector.take().len(), if again { 2 } else { 1 }, "{status} {retry_after:?}");
    }
}

/// OTLP §Partial Success: what was rejected is not sent again, and is counted; a remark alone is no loss.
#[tokio::test]
async fn what_a_collector_rejects_is_counted() {
    let answer = |rejected_spans, error_message: &str| {
        let error_message = error_message.to_owned();
        let partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message });
        serde_json::to_string(&ExportTraceServiceResponse { partial_success }).unwrap()
    };
    let remark = "too old\nfor\u{1b}[31m us";
    for (body, dropped, said) in [
        (answer(2, remark), 2, true),
        // The crate writes the number as a number. By the specification, which a collector goes by, it is text.
        (r#"{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old?for?"}}"#.to_owned(), 1, true),
        (answer(0, remark), 0, true),
        (answer(0, ""), 0, false),
        (answer(1_000_000, ""), 3, true),
        ("{}".to_owned(), 0, false),
        (String::new(), 0, false),
    ] {
        let (collector, upstream, key) = (Upstream::start(), Upstream::start(), ApiKey::of("acme"));
        collector.answer_otherwise(Answer::ok(body.clone()).header("Content-Type", "application/json"));
        let gateway = builder("1", &collector, &upstream, &key).start().await;
        gateway.https().get("/v1/x").headers(&[key.header()]).await.assert_status(200);
        collector.wait_for_requests(1).await;
        gateway.wait_for_count(DROPPED, &[], dropped).await;
        assert!(gateway.terminate().await.success());
        let complaint = |line: &str| {
            line.contains("the collector has not taken") || line.contains("the collector remarks")
        };
        let warned = gateway.log().iter().filter(|line| complaint(&line.message)).count();
        assert_eq!(warned, usize::from(said), "{body}");
        assert!(!gateway.everything_logged().contains('\u{1b}'), "{body}");
        assert_eq!(collector.take().len(), 1, "{body}: once");
    }
}

/// A collector that starts after the gateway misses nothing of its first moments.
#[tokio::test]
async fn a_collector_that_is_started_again_gets_what_it_missed() {
    let (collector, upstream, key) = (Upstream::start(), Upstream::start(), ApiKey::of("acme"));
    let gateway = builder("1", &collector, &upstream, &key).start().await;
    collector.answer_otherwise(Answer::status(503, ""));
    gateway.https().get("/v1/x").headers(&[key.header()]).await.assert_status(200);
    eventually("the first attempt", || (!collector.requests().is_empty()).then_some(())).await;
    collector.answer_otherwise(Answer::ok("{}"));
    collector.wait_for_requests(2).await;
    assert_eq!(gateway.metrics().await.count(DROPPED, &[]), 0);
    assert!(gateway.terminate().await.success());
}

/// Nobody waits for a collector that asks for time, and at the end nothing is sent twice.
#[tokio::test]
async fn the_end_does_not_wait_until_spans_may_be_sent_again() {
    let (collector, upstream, key) = (Upstream::start(), Upstream::start(), ApiKey::of("acme"));
    collector.answer_otherwise(Answer::status(503, "").header("Retry-After", "30"));
    let gateway = builder("1", &collector, &upstream, &key).start().await;
    gateway.https().get("/v1/x").headers(&[key.header()]).await.assert_status(200);
    collector.wait_for_requests(1).await;
    assert!(gateway.terminate().await.success());
    assert_eq!(collector.take().len(), 1);
}

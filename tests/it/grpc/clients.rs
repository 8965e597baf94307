//! Refusals as a real gRPC client sees them: `grpcio`, which is gRPC's C core.

use serde_json::{Value, json};

use super::refusals::Stand;
use super::{GrpcUpstream, gateway_to};
use crate::harness::credentials::{ApiKey, basic};
use crate::harness::gateway::Gateway;
use crate::harness::port::ReservedPort;
use crate::harness::programs::python;

/// Makes one call after another and prints what the client sees of each as a line of JSON.
const SCRIPT: &str = r#"
import grpc, json, os, sys
with open(os.environ["CA"], "rb") as file:
    credentials = grpc.ssl_channel_credentials(file.read())
with grpc.secure_channel(sys.argv[1], credentials, [("grpc.enable_http_proxy", 0)]) as channel:
    for path, metadata, size in json.loads(sys.argv[2]):
        try:
            response, call = channel.unary_unary(path).with_call(b"x" * size, metadata=tuple(map(tuple, metadata)))
            seen = {"code": call.code().name, "bytes": len(response)}
        except grpc.RpcError as error:
            fields = {key: value for key, value in error.trailing_metadata() or () if isinstance(value, str)}
            seen = {"code": error.code().name, "details": error.details(), "fields": fields}
        print(json.dumps(seen), flush=True)
"#;

/// A call: path, metadata, and the size of the message.
type Call<'a> = (&'a str, Vec<(&'a str, &'a str)>, usize);

/// What `grpcio` sees of these calls.
async fn call(gateway: &Gateway, calls: &[Call<'_>]) -> Vec<Value> {
    let target = format!("localhost:{}", gateway.https_port(0));
    let finished = python(SCRIPT, &[&target, &json!(calls).to_string()]).await;
    finished.assert_success();
    finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn grpcio_sees_status_of_refusals() {
    let stand = Stand::start().await;
    let header = |key: &ApiKey| ("x-api-key", key.key.clone());
    let (reader, stranger) = (header(&stand.reader), header(&stand.stranger));
    let (reader, stranger) = ((reader.0, &*reader.1), (stranger.0, &*stranger.1));
    let wrong = basic("bob", "wrong");
    let guess = || vec![("authorization", &*wrong)];
    let seen = call(
        &stand.gateway,
        &[
            ("/shop.Orders/Get", vec![], 3),
            ("/shop.Orders/Get", vec![("x-api-key", "wrong")], 3),
            ("/shop.Orders/Get", vec![stranger], 3),
            ("/shop.None/Get", vec![reader], 3),
            ("/shop.Orders/Get", vec![reader], 4 << 10),
            ("/shop.Away/Get", vec![reader], 3),
            ("/shop.Orders/Get", guess(), 3),
            ("/shop.Orders/Get", guess(), 3),
            ("/shop.Orders/Get", guess(), 3),
            ("/shop.Orders/Get", guess(), 3),
        ],
    )
    .await;
    let codes: Vec<&str> = seen.iter().map(|seen| seen["code"].as_str().unwrap()).collect();
    assert_eq!(
        codes,
        [
            "UNAUTHENTICATED",
            "UNAUTHENTICATED",
            "PERMISSION_DENIED",
            "UNIMPLEMENTED",
            "RESOURCE_EXHAUSTED",
            "UNAVAILABLE",
            "UNAUTHENTICATED",
            "UNAUTHENTICATED",
            "UNAUTHENTICATED",
            "RESOURCE_EXHAUSTED",
        ],
        "{seen:#?}"
    );
    assert_eq!(seen[0]["details"], "no_credential: A credential is needed");
    assert!(seen[0]["fields"]["www-authenticate"].is_string(), "{seen:#?}");
    assert!(seen[9]["fields"]["retry-after"].is_string(), "{seen:#?}");
    assert!(seen.iter().all(|seen| seen["fields"]["x-request-id"].is_string()), "{seen:#?}");
    // A call does not announce how long it is, so the one that is too large was admitted first.
    let received = stand.upstream.take_one();
    assert!(!received.complete, "{received:?}");
}

/// The refusal comes while the client still sends its message, of which most is larger than the window of the stream.
#[tokio::test]
async fn grpcio_sees_status_when_refused_while_sending() {
    let stand = Stand::start().await;
    let sizes = [60 << 10, 500 << 10, 3 << 20];
    let calls: Vec<Call<'_>> =
        sizes.iter().cycle().take(60).map(|size| ("/shop.Orders/Get", vec![], *size)).collect();
    let seen = call(&stand.gateway, &calls).await;
    let others: Vec<&Value> = seen.iter().filter(|seen| seen["code"] != "UNAUTHENTICATED").collect();
    assert!(seen.len() == 60 && others.is_empty(), "{others:#?}");
    stand.upstream.assert_nothing();
}

/// Where an upstream speaks HTTP/2, the same calls take another way through the gateway.
#[tokio::test]
async fn grpcio_sees_status_of_refusals_in_front_of_grpc_server() {
    let upstream = GrpcUpstream::start();
    let gateway = gateway_to(&format!("\"h2c://{}\"", upstream.address())).await;
    let key = ApiKey::of("acme").key;
    let with_key = || vec![("x-api-key", &*key)];
    let seen = call(
        &gateway,
        &[
            ("/shop.Orders/Unary", with_key(), 70_000),
            ("/shop.Orders/Unary", vec![], 70_000),
            ("/shop.Orders/Unary", vec![("x-api-key", "wrong")], 3),
            // The upstream's own refusal passes as it is.
            ("/shop.Orders/Fail", with_key(), 3),
        ],
    )
    .await;
    assert_eq!(seen[0], json!({ "code": "OK", "bytes": 70_000 }));
    let codes: Vec<&str> = seen[1..].iter().map(|seen| seen["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["UNAUTHENTICATED", "UNAUTHENTICATED", "PERMISSION_DENIED"], "{seen:#?}");
    assert_eq!(seen[3]["details"], "as asked");
    assert_eq!(upstream.calls().len(), 2);

    let away = ReservedPort::take();
    let gateway = gateway_to(&format!("\"h2c://{}\"", away.address())).await;
    let seen = call(&gateway, &[("/shop.Orders/Unary", with_key(), 3)]).await;
    assert_eq!(seen[0]["code"], "UNAVAILABLE", "{seen:#?}");
}

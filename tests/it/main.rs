//! End-to-end tests: the real binary between real clients, upstreams, an issuer and Redis, as an operator would run it.
//!
//! A test starts the parties that it needs, writes the `gateway.yaml` that it is about, and talks to the gateway:
//!
//! ```ignore
//! #[tokio::test]
//! async fn a_key_without_the_scope_is_refused_and_the_upstream_hears_nothing() {
//!     let upstream = Upstream::start();
//!     let reader = ApiKey::of("acme").scopes(&["orders:read"]);
//!     let gateway = Gateway::builder(
//!         r#"
//!         auth: { partners: { api_key: { keys: keys.yaml } } }
//!         upstreams: { orders: "{upstream}" }
//!         routes:
//!           - name: orders
//!             match: { path: /v1/orders/** }
//!             auth: partners
//!             allow: { GET: { scopes: [orders:read] }, POST: { scopes: [orders:write] } }
//!             upstream: orders
//!         "#,
//!     )
//!     .with("upstream", upstream.url())
//!     .file("keys.yaml", keys_yaml(&[&reader]))
//!     .start()
//!     .await;
//!
//!     let answer = gateway.https().post("/v1/orders").headers(&[reader.header()]).await;
//!     assert_problem(&answer, 403, "forbidden");
//!     upstream.assert_nothing();
//!
//!     let answer = gateway.https().get("/v1/orders").headers(&[reader.header()]).await;
//!     assert_eq!(answer.text(), "ok");
//!     let received = upstream.take_one();
//!     assert_eq!(received.header("X-Auth-Subject"), Some("acme"));
//!     assert_eq!(received.header("X-API-Key"), None);
//!
//!     let line = gateway.wait_for_access(|line| line["status"] == 403).await;
//!     assert_eq!(line["reason"], "missing_scope");
//! }
//! ```
//!
//! What is worth knowing:
//! - Parts of `gateway.yaml` that a test does not write (`version`, `listen`, `admin`, `tls`) are added; see
//!   [`Gateway::builder`](harness::gateway::Gateway::builder). Ports are always 0, so tests run side by side.
//! - Nothing sleeps. Whatever has to be waited for has a `wait_for_…`, and fails with a sentence after ten seconds.
//! - `PORTCULLIS_TEST_SCALE=20` makes tests that do something many times do it 20 times as often.
//! - Every party ends when it is dropped. An upstream that received something that is not HTTP/1.1, and a gateway that
//!   panicked, fail the test then, whatever else it asserted.
//! - What a well-behaved client cannot say is written by hand: bytes with
//!   [`Connection`](harness::client::Connection), frames with [`Frames`](harness::client::Frames).
#![forbid(unsafe_code)]
#![expect(
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "all of this is a test, also where it is not in a test function"
)]

mod attacks;
mod cli;
mod credentials;
mod exhaustion;
mod explain;
mod faults;
mod forwarding;
mod grpc;
mod guessing;
mod harness;
mod harness_works;
mod issuer;
mod jwt;
mod listeners;
mod multiplexing;
mod observability;
mod paths_upstream;
mod readiness;
mod refused_bodies;
mod relay;
mod reload;
mod replacement;
mod revocation;
mod secrets;
mod shutdown;
mod status;
mod streaming;
mod tls;
mod tracing;
mod upstreams;
mod watching;
mod websocket;

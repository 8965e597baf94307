//! End-to-end tests: the real binary between real clients, upstreams, an issuer and Redis, as an operator would run it.
#![forbid(unsafe_code)]
#![expect(
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "all of this is a test, also where it is not in a test function"
)]

mod harness;
mod harness_works;

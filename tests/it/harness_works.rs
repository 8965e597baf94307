//! The harness tested against itself: a test is worth as much as what it is built of. Nothing here needs the gateway.

mod balancer;
mod client;
mod credentials;
mod gateway;
mod http1;
mod http2;
mod issuer;
mod load;
mod problem;
mod proxy;
mod redis;
mod text;
mod tls;
mod upstream;
mod websocket;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The message with which `check` fails; fails itself when `check` does not. An assertion of the harness has to be seen
/// failing, or it may assert nothing.
#[track_caller]
fn failure<T>(check: impl FnOnce() -> T) -> String {
    match catch_unwind(AssertUnwindSafe(check)) {
        Ok(_) => panic!("this should have failed"),
        Err(message) => message_of(&*message),
    }
}

/// The same for what is awaited.
async fn failure_of<T: Send + 'static>(check: impl Future<Output = T> + Send + 'static) -> String {
    match tokio::spawn(check).await {
        Ok(_) => panic!("this should have failed"),
        Err(error) => message_of(&*error.into_panic()),
    }
}

fn message_of(message: &(dyn std::any::Any + Send)) -> String {
    let text = message.downcast_ref::<String>().cloned();
    text.or_else(|| message.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

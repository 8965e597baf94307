//! Waiting with a deadline. Nothing here waits for luck: every wait is for a condition, and one that does not come true
//! in time fails the test with a sentence that says what was waited for.

use std::future::Future;
use std::panic::Location;
use std::time::{Duration, Instant};

/// How long a test waits for anything unless it says otherwise. A test that passes never comes near it.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// How often [`eventually`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Waits for `future` until [`DEADLINE`], and fails the test with `what` after that.
#[track_caller]
pub fn within<T>(what: impl Into<String>, future: impl Future<Output = T>) -> impl Future<Output = T> {
    within_time(DEADLINE, what, future)
}

/// Waits for `future` until `limit` has passed, and fails the test with `what` after that.
#[track_caller]
pub fn within_time<T>(
    limit: Duration,
    what: impl Into<String>,
    future: impl Future<Output = T>,
) -> impl Future<Output = T> {
    let (caller, what) = (Location::caller(), what.into());
    async move {
        let value = tokio::time::timeout(limit, future).await;
        value.unwrap_or_else(|_| panic!("{caller}: waited {limit:?} in vain for {what}"))
    }
}

/// Looks every two milliseconds whether `condition` has come true, until [`DEADLINE`].
#[track_caller]
pub fn eventually<T>(
    what: impl Into<String>,
    mut condition: impl FnMut() -> Option<T>,
) -> impl Future<Output = T> {
    within(what, async move {
        loop {
            if let Some(value) = condition() {
                return value;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
}

/// The same for places that cannot wait asynchronously, such as `Drop`: whether `condition` came true within `limit`.
pub fn comes_true(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() > limit {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    true
}

//! A process that is replaced has nothing to wait for: the new one accepts already.

use super::{Cast, replaced};
use crate::harness::process::{Signal, signal};

#[tokio::test]
async fn drains_without_delay_when_another_process_takes_over() {
    let cast = Cast::new();
    let gateway = cast.gateway("").argument("--drain-delay").argument("10m").start().await;
    let position = gateway.log_position();
    gateway.signal(Signal::Replace);
    let successor = replaced(&gateway, position).await;
    assert_eq!(gateway.process().gone().await.code(), Some(0));
    // SIGINT, because it has the same delay after SIGTERM.
    signal(successor.0, Signal::Interrupt);
    super::gone(successor.0).await;
}

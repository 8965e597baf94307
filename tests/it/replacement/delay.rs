//! How clients leave a process that is replaced: it has nothing to wait for, because the new one accepts already.

use std::time::Duration;

use super::{Cast, replaced};
use crate::harness::deadline::within_time;
use crate::harness::process::{Signal, signal};
use crate::harness::programs::python;

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

/// httpx reads what an idle connection has received only when it sends the next request, and reports the first `GOAWAY` as
/// an error, although it announces a shutdown alone (httpcore 1.0.9, `_receive_events`). The next attempt reaches the new
/// process. Any frame between the two `GOAWAY` frames would be an error of another kind, about the protocol.
#[tokio::test]
async fn httpx_sees_goaway_and_reaches_the_new_process() {
    const SCRIPT: &str = "
import os, sys, time, httpx
url, folder = sys.argv[1:]
with httpx.Client(http2=True, verify=os.environ['CA'], timeout=30) as client:
    print(client.get(url).status_code)
    open(folder + '/idle', 'w').close()
    while not os.path.exists(folder + '/replaced'):
        time.sleep(0.01)
    try:
        client.get(url)
    except httpx.RemoteProtocolError as error:
        assert str(error).startswith('<ConnectionTerminated error_code:0, '), error
    print(client.get(url).status_code)
";
    let cast = Cast::new();
    let gateway = cast.gateway("").start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("https://localhost:{}/docs/a", gateway.https_port(0));
    let replace = async {
        let idle = async {
            while !folder.path().join("idle").exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within_time(Duration::from_secs(60), "the first response", idle).await;
        let position = gateway.log_position();
        gateway.signal(Signal::Replace);
        let successor = replaced(&gateway, position).await;
        assert_eq!(gateway.process().gone().await.code(), Some(0));
        std::fs::write(folder.path().join("replaced"), "").unwrap();
        successor
    };
    let arguments = [&*url, folder.path().to_str().unwrap()];
    let (finished, successor) = tokio::join!(python(SCRIPT, &arguments), replace);
    finished.assert_success();
    assert_eq!(finished.stdout, "200\n200\n");
    successor.terminate().await;
}

//! A process without the other one: whoever started it would not know of a new one, or the old one is suddenly gone.

use std::io::{BufRead, BufReader, IoSlice, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::json;

use super::Cast;
use crate::harness::client::Client;
use crate::harness::gateway::Gateway;
use crate::harness::process::{Process, Signal, portcullis_command};

/// A supervisor that starts the gateway and waits for its end (an init in a container, runit, a script) would take the end
/// of the old process for that of the service, and end the new one or start a second one.
#[tokio::test]
async fn a_process_whose_end_is_taken_for_that_of_the_service_is_not_replaced() {
    let cast = Cast::new();
    let gateway = cast.gateway_as_is("").start().await;
    let position = gateway.log_position();
    gateway.signal(Signal::Replace);
    let line = gateway.wait_for_log_after(position, |line| line.message.starts_with("not replaced")).await;
    assert!(line.message.contains("`portcullis run --replaceable`"), "{line:?}");
    assert!(gateway.log()[position..].iter().all(|line| !line.message.contains("is started to replace")));
    gateway.https().get("/docs/a").await.assert_status(200);
    gateway
        .admin()
        .post("/revocations")
        .json(&json!({ "kind": "key", "id": "k_1" }))
        .await
        .assert_status(201);
    assert!(gateway.terminate().await.success());
}

/// The old process dies (it is killed, or out of memory) when it has handed over everything, and before it hears that the
/// new one serves. Nobody else has the sockets any more, so the new one goes on.
#[tokio::test]
async fn a_new_process_goes_on_when_the_old_one_is_gone_after_the_bequest() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "version: 1\nlisten: [{ address: \"127.0.0.1:0\", plaintext: true }]\n\
                admin: { address: \"127.0.0.1:0\" }\nupstreams: { echo: builtin:echo }\n\
                routes: [{ name: all, match: { path: /** }, auth: public, upstream: echo }]\n";
    let path = folder.path().join("gateway.yaml");
    std::fs::write(&path, yaml).unwrap();
    // This test is the old process.
    let sockets = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    for socket in &sockets {
        socket.set_nonblocking(true).unwrap();
    }
    let [clients, admin] = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
    for (bequest, goes_on) in [("[]\n", true), ("[{\"key\":\"key:k_1\"", false), ("", false)] {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let inventory = json!({ "version": 1, "listeners": ["127.0.0.1:0"], "admin": "127.0.0.1:0" });
        send(&ours, &format!("{inventory}\n"), &sockets);
        let process = Process::start_reading(
            Stdio::from(OwnedFd::from(theirs)),
            portcullis_command()
                .env("PORTCULLIS_PREDECESSOR", std::process::id().to_string())
                .args(["run", "--config"])
                .arg(&path),
        );
        let mut said = String::new();
        BufReader::new(&ours).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n");
        ours.write_all(bequest.as_bytes()).unwrap();
        drop(ours);
        if goes_on {
            Client::plain(clients).get("/a").await.assert_status(200);
            Client::plain(admin).get("/readyz").await.assert_status(200);
            process.signal(Signal::Terminate);
            assert_eq!(process.wait().await.code(), Some(0));
        } else {
            assert_eq!(process.wait().await.code(), Some(1), "{}", process.stderr.text());
        }
    }
}

/// Sends text and sockets as the old process does.
fn send(to: &UnixStream, text: &str, sockets: &[TcpListener; 2]) {
    let sockets = sockets.each_ref().map(AsFd::as_fd);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    assert!(rights.push(SendAncillaryMessage::ScmRights(&sockets)));
    let sent = sendmsg(to, &[IoSlice::new(text.as_bytes())], &mut rights, SendFlags::empty()).unwrap();
    assert_eq!(sent, text.len());
}

/// A test that fails in the middle leaves no process behind: dropping a gateway ends those that have replaced it, too.
#[tokio::test]
async fn whoever_drops_a_gateway_leaves_no_process_behind() {
    let cast = Cast::new();
    let gateway: Gateway = cast.gateway("").start().await;
    let position = gateway.log_position();
    gateway.signal(Signal::Replace);
    let second = super::replaced(&gateway, position).await;
    assert_eq!(gateway.process().gone().await.code(), Some(0));
    let position = gateway.log_position();
    crate::harness::process::signal(second.0, Signal::Replace);
    let third = super::replaced(&gateway, position).await;
    let numbers = [second.0, third.0];
    // Nobody else ends them.
    std::mem::forget((second, third));
    drop(gateway);
    for number in numbers {
        super::gone(number).await;
    }
}

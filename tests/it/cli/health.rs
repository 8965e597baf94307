//! `portcullis health`: what container runtimes ask before they send anybody to a gateway.

use std::io::Write;
use std::net::TcpListener;
use std::thread;

use crate::harness::gateway::Gateway;
use crate::harness::issuer::Issuer;
use crate::harness::port::ReservedPort;
use crate::harness::process::{Finished, portcullis, portcullis_command, run};

const YAML: &str = r#"
    auth: { users: { jwt: { issuer: "{issuer}", audience: https://api.example.com } } }
    upstreams: { api: builtin:echo }
    routes:
      - { name: api, match: { path: /** }, auth: users, upstream: api }
"#;

async fn health(port: u16, further: &[&str]) -> Finished {
    let admin = format!("127.0.0.1:{port}");
    portcullis(["health", "--admin", &admin].iter().chain(further)).await
}

#[tokio::test]
async fn reports_readiness_of_a_running_gateway() {
    let issuer = Issuer::start();
    issuer.stop().await;
    let gateway = Gateway::builder(YAML).with("issuer", issuer.url()).start_unready().await;
    let port = gateway.admin_port();
    let waiting = health(port, &[]).await;
    let expected = "not ready\nwaiting: the keys of issuer `users` have not been read yet\n";
    assert_eq!((waiting.code(), &*waiting.stderr), (1, expected));
    let lives = health(port, &["--live"]).await;
    assert_eq!((lives.code(), &*lives.stdout), (0, "ok\n"));
    issuer.start_again();
    gateway.admin().wait_for("/readyz", 200).await;
    let ready = health(port, &[]).await;
    assert_eq!((ready.code(), &*ready.stdout, &*ready.stderr), (0, "ready\n", ""));
    let asked =
        run(portcullis_command().arg("health").env("PORTCULLIS_ADMIN", format!("127.0.0.1:{port}"))).await;
    asked.assert_success();
}

#[tokio::test]
async fn whatever_is_no_gateway_is_not_well() {
    let nobody = ReservedPort::take();
    let refused = health(nobody.port(), &[]).await;
    assert_eq!(refused.code(), 1);
    assert!(refused.stderr.contains("does not answer"), "{}", refused.stderr);

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let unheard = health(silent.local_addr().unwrap().port(), &["--timeout", "200ms"]).await;
    assert_eq!(unheard.code(), 1);
    assert!(unheard.stderr.contains("does not answer"), "{}", unheard.stderr);

    for said in ["SSH-2.0-x\r\n\r\n", "HTTP/1.1 301 Moved\r\n\r\n200", "", "HTTP/1.1 200 OK\r\n"] {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = other.accept().unwrap();
            // All of the request: what is left unread would be answered with a reset.
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                std::io::Read::read_exact(&mut stream, &mut byte).unwrap();
                heard.extend(byte);
            }
            stream.write_all(said.as_bytes()).unwrap();
        });
        let answer = health(port, &[]).await;
        assert_eq!(answer.code(), 1, "{said:?}: {answer:?}");
        assert!(answer.stderr.contains("is no admin listener"), "{said:?}: {answer:?}");
    }

    let bad = portcullis(["health", "--admin", "localhost"]).await;
    assert_eq!(bad.code(), 2, "{bad:?}");
}

/// The address comes from the file, whichever other mistakes the file has; `--admin` takes precedence.
#[tokio::test]
async fn reads_the_admin_address_from_the_file() {
    let gateway = Gateway::builder(
        r"
        upstreams: { api: builtin:echo }
        routes: [{ name: api, match: { path: /** }, auth: public, upstream: api }]
        ",
    )
    .start()
    .await;
    let port = gateway.admin_port();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    let by_file = || async { portcullis(["health", "--config", file.to_str().unwrap()]).await };
    for address in ["127.0.0.1", "0.0.0.0"] {
        write(&format!("admin: {{ address: \"{address}:{port}\", token: \"file:not/there\" }}\nroutes: 1\n"));
        let ready = by_file().await;
        assert_eq!((ready.code(), &*ready.stdout), (0, "ready\n"), "{ready:?}");
    }
    // Without arguments, the file in the current directory, as for every other command.
    let here = run(portcullis_command().arg("health").current_dir(folder.path())).await;
    assert_eq!((here.code(), &*here.stdout), (0, "ready\n"), "{here:?}");

    let closed = ReservedPort::take();
    write(&format!("admin: {{ address: \"{}\" }}\n", closed.address()));
    let refused = by_file().await;
    assert!(refused.code() == 1 && refused.stderr.contains(&closed.address().to_string()), "{refused:?}");
    let admin = format!("127.0.0.1:{port}");
    let named = portcullis(["health", "--config", file.to_str().unwrap(), "--admin", &admin]).await;
    assert_eq!((named.code(), &*named.stdout), (0, "ready\n"), "{named:?}");

    for (text, expected) in [
        ("admin: { address: \"127.0.0.1:0\" }\n", "the system chooses this port"),
        ("admin: { address: localhost }\n", "an IP address and a port are expected"),
    ] {
        write(text);
        let unusable = by_file().await;
        assert_eq!(unusable.code(), 1, "{unusable:?}");
        assert!(unusable.stderr.contains(expected) && unusable.stderr.contains("--admin"), "{unusable:?}");
    }
    let missing = portcullis(["health", "--config", "/nonexistent/gateway.yaml"]).await;
    assert!(missing.code() == 1 && missing.stderr.contains("cannot read"), "{missing:?}");
}

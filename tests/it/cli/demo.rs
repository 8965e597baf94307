//! `demo`: the repository's own gateway.yaml starts with what it writes, and the commands that it prints work.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{folder, portcullis};
use crate::harness::client::Client;
use crate::harness::gateway::{Gateway, ListenerKind};
use crate::harness::problem::assert_problem;
use crate::harness::tls::ClientTls;

#[tokio::test]
async fn the_demonstration_works_as_it_is_printed() {
    let folder = folder(&[]);
    let demo = portcullis(folder.path(), &["demo"], "");
    let shown = demo.success();
    let files = ["api-key.txt", "keys.yaml", "password.txt", "staff.htpasswd", "issuer.key", "issuer.pem"];
    let mut builder = Gateway::builder(
        // The file as it is, but for its ports.
        &fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/gateway.yaml"))
            .unwrap()
            .replace("0.0.0.0:8443", "127.0.0.1:0")
            .replace("0.0.0.0:8080", "127.0.0.1:0")
            .replace("\"127.0.0.1:9180\"", "\"127.0.0.1:0\""),
    );
    for file in files {
        let path = folder.path().join("demo").join(file);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
        builder = builder.file(&format!("demo/{file}"), fs::read_to_string(path).unwrap());
    }
    let gateway = builder.start().await;
    let address =
        gateway.listeners().iter().find(|listener| listener.kind == ListenerKind::Tls).unwrap().address;
    let client = Client::tls(address, ClientTls::trusting_anyone());

    let commands: Vec<&str> = shown.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    let [key, pair, token, nothing] = commands[..] else { panic!("four commands: {shown}") };
    for command in &commands {
        assert!(command.contains("https://localhost:8443/v1/orders/1"), "{command}");
    }
    let key = key.split("'X-API-Key: ").nth(1).unwrap().trim_end_matches('\'');
    let (user, password) = pair.split(" -u ").nth(1).unwrap().split_once(':').unwrap();
    let sign: Vec<&str> = token.split("$(").nth(1).unwrap().trim_end_matches(")\"").split(' ').collect();
    assert_eq!(sign[0], env!("CARGO_BIN_EXE_portcullis"), "the program that printed it");
    let signed = portcullis(folder.path(), &sign[1..], "");
    let bearer = format!("Bearer {}", signed.success().trim());
    let basic = crate::harness::credentials::basic(user, password);
    for (name, value, subject, method) in [
        ("X-API-Key", key, "acme", "api_key"),
        ("Authorization", &basic, "alice", "basic"),
        ("Authorization", &bearer, "bob", "jwt"),
    ] {
        let answer = client.get("/v1/orders/1").header(name, value).await;
        answer.assert_status(200);
        // The upstream inside the gateway answers with what it received.
        let told = answer.text().to_lowercase();
        assert!(told.contains(subject) && told.contains(method), "{told}");
        assert!(!told.contains(&value.to_lowercase()), "the credential went upstream: {told}");
        let answer = client.post("/v1/orders/1").header(name, value).await;
        assert_problem(&answer, 403, "forbidden");
    }
    assert!(!nothing.contains("-H") && !nothing.contains("-u"), "{nothing}");
    assert_problem(&client.get("/v1/orders/1").await, 401, "no_credential");
    client.get("/docs/x").await.assert_status(200);
    assert_problem(&client.post("/docs/x").await, 405, "method_not_allowed");

    // Run again, it shows the same and changes nothing; what was lost is made anew.
    assert_eq!(portcullis(folder.path(), &["demo"], "").success(), shown);
    fs::remove_file(folder.path().join("demo/password.txt")).unwrap();
    let anew = portcullis(folder.path(), &["demo"], "");
    assert!(anew.success().contains(key) && !anew.stdout.contains(password));
}

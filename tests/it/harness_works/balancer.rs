//! The balancers and the client programs, each in front of an upstream of the harness.

use crate::harness::balancer::Balancer;
use crate::harness::programs::{curl, node, python};
use crate::harness::upstream::Upstream;

#[tokio::test]
async fn nginx_and_haproxy_pass_requests_on() {
    let upstream = Upstream::start();
    let nginx = Balancer::nginx(
        r"
        upstream app { server {app}; }
        server { listen {listen}; location / { proxy_pass http://app; } }
        ",
    );
    let haproxy = Balancer::haproxy(
        r"
        listen app
            bind {listen}
            server app {app}
        ",
    );
    for builder in [nginx, haproxy] {
        let balancer = builder.with("app", upstream.address().to_string()).start().await;
        assert_eq!(balancer.http().get("/here").await.text(), "ok");
        assert_eq!(upstream.take_one().path(), "/here");
        balancer.process().stdout.wait_for("a line for the request", 0, |line| line.find("/here")).await;
        assert!(balancer.log().contains(" 200 "), "{}", balancer.log());
    }
}

#[tokio::test]
async fn a_balancer_ends_tls_with_a_certificate_that_clients_trust() {
    let upstream = Upstream::start();
    let nginx = Balancer::nginx(
        r"
        server {
            listen {listen} ssl http2;
            ssl_certificate {directory}/server.crt;
            ssl_certificate_key {directory}/server.key;
            location / { proxy_pass http://{app}; }
        }
        ",
    );
    let haproxy = Balancer::haproxy(
        r"
        listen app
            bind {listen} ssl crt {directory}/server.pem alpn h2,http/1.1
            server app {app}
        ",
    );
    for builder in [nginx, haproxy] {
        let balancer = builder.with("app", upstream.address().to_string()).start().await;
        assert_eq!(balancer.https().get("/").await.text(), "ok");
        assert_eq!(balancer.https().get("/").over_http2().await.text(), "ok");
        // So do the programs.
        let url = format!("https://localhost:{}/", balancer.address().port());
        let done = curl(["--http2", "--write-out", " %{http_version}", &url]).await;
        assert_eq!(done.assert_success().stdout, "ok 2\n");
        let script = "import os, ssl, sys, httpx, requests\n\
            context = ssl.create_default_context(cafile=os.environ['CA'])\n\
            with httpx.Client(http2=True, verify=context) as client:\n  \
              answer = client.get(sys.argv[1]); print(answer.http_version, answer.text)\n\
            print(requests.get(sys.argv[1], verify=os.environ['CA']).text)";
        assert_eq!(python(script, &[&url]).await.assert_success().stdout, "HTTP/2 ok\nok\n");
        let script = "const undici = require('undici');\n\
            (async () => {\n\
              console.log(await (await fetch(process.argv[2])).text());\n\
              console.log(await (await undici.request(process.argv[2])).body.text());\n\
            })();";
        assert_eq!(node(script, &[&url]).await.assert_success().stdout, "ok\nok\n");
    }
}

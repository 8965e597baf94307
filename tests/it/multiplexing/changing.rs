//! A connection over HTTP/2 outlives a policy: its requests go where the file says when they are made, in whatever version the
//! upstream of that moment speaks, and by the limits of the file that was in place when it began.

use super::{head, is_at_rest, read_so_far};
use crate::harness::client::{Outcome, Request, kind};
use crate::harness::deadline::eventually;
use crate::harness::gateway::Gateway;
use crate::harness::tls::{Authority, server_config};
use crate::harness::upstream::{Answer, GrpcUpstream, Upstream};

fn policy(url: &str, limits: &str) -> String {
    let tls = if url.starts_with("https:") { ", tls: { ca: ca.crt }" } else { "" };
    format!(
        r#"
        limits: {limits}
        upstreams: {{ app: {{ targets: ["{url}"]{tls} }} }}
        routes: [{{ name: app, match: {{ path: /** }}, auth: public, upstream: app }}]
        "#
    )
}

async fn gateway(url: &str, limits: &str) -> Gateway {
    Gateway::builder(&policy(url, limits)).file("ca.crt", Authority::shared().pem()).start().await
}

/// From an upstream in the clear to one over HTTP/2, to one over TLS, and back, while connections stay and requests from
/// before are under way.
#[tokio::test]
async fn upstreams_of_every_kind_behind_one_connection() {
    let certificate = Authority::shared().server(&["127.0.0.1"]);
    let clear = Upstream::start();
    let tls = Upstream::start_tls(server_config(&certificate, None, &["http/1.1"]));
    let two = GrpcUpstream::start();
    let two_tls = GrpcUpstream::start_tls(server_config(&certificate, None, &["h2"]));
    let urls = [clear.url(), two.url().replace("http://", "h2c://"), tls.url(), two_tls.url()];
    let gateway = gateway(&urls[0], "{}").await;
    let connection = gateway.https().http2().await;
    let mut one = gateway.https().connect().await;
    let mut open = Vec::new();
    for round in 0..3 {
        for (number, url) in urls.iter().enumerate() {
            if round + number > 0 {
                gateway.reload_with(&policy(url, "{}")).await;
            }
            if round == 2 {
                break;
            }
            let path = format!("/{round}/{number}/Unary");
            for body in ["hello", ""] {
                connection.post(&path).body(body).await.assert_status(200);
                // The last one speaks HTTP/2 only, which is not asked for on behalf of HTTP/1.1.
                let expect = if number == 3 { 502 } else { 200 };
                one.post(&path).body(body).await.assert_status(expect);
                if expect == 502 {
                    one = gateway.https().connect().await;
                }
            }
            let mut stream = connection.open_stream(&Request::new("POST", &path)).await.unwrap();
            stream.send(b"begun ").await.unwrap();
            let most = if number == 3 { 3 } else { 5 };
            let begun = || {
                let came = |upstream: &Upstream| {
                    upstream.requests().iter().filter(|request| request.target == path).count() == most
                };
                let called = |upstream: &GrpcUpstream| {
                    upstream.calls().iter().filter(|call| call.path == path).count() == most
                };
                (came(&clear) || came(&tls) || called(&two) || called(&two_tls)).then_some(())
            };
            eventually(format!("all requests for {path} at their upstream"), begun).await;
            open.push((path, stream));
        }
    }
    for (path, mut stream) in open {
        stream.send(b"and ended").await.unwrap();
        stream.finish().unwrap();
        stream.response().await.unwrap().assert_status(200);
        while stream.data().await.unwrap().is_some() {}
        let whole = || {
            let requests = [clear.requests(), tls.requests()].concat();
            let calls = [two.calls(), two_tls.calls()].concat();
            let bodies = requests
                .into_iter()
                .map(|request| (request.target, request.body))
                .chain(calls.into_iter().map(|call| (call.path, call.body)));
            bodies.into_iter().any(|whole| whole == (path.clone(), b"begun and ended".to_vec())).then_some(())
        };
        eventually(format!("all of {path}"), whole).await;
    }
    is_at_rest(&gateway).await;
}

/// How many requests a connection may carry at once is what the file said when it began.
#[tokio::test]
async fn limits_hold_for_new_connections() {
    let upstream = Upstream::start();
    upstream.answer_otherwise(Answer::hang());
    let gateway = gateway(&upstream.url(), "{ http2_streams: 2 }").await;
    let mut before = gateway.https().frames().await;
    read_so_far(&mut before).await;
    gateway.reload_with(&policy(&upstream.url(), "{ http2_streams: 4 }")).await;
    let mut after = gateway.https().frames().await;
    for (frames, most) in [(&mut before, 2), (&mut after, 4)] {
        for number in 0..=most {
            frames.headers(number * 2 + 1, &head("GET", "/x"), true).await;
        }
        // REFUSED_STREAM.
        assert_eq!(frames.outcome(most * 2 + 1).await, Outcome::Reset(7));
        let most = usize::try_from(most).unwrap();
        eventually("requests", || (upstream.requests().len() == most).then_some(())).await;
        for number in 0..most {
            let stream = u32::try_from(number * 2 + 1).unwrap();
            frames.frame(kind::RST_STREAM, 0, stream, &[0, 0, 0, 8]).await;
        }
        is_at_rest(&gateway).await;
        upstream.take();
    }
}

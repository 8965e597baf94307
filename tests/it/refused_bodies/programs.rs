//! curl, Python's `requests` and `httpx`, and Node.js send bodies of every size to routes that refuse them.

use super::gateway;
use crate::harness::programs::{curl, node, python};
use crate::harness::scale::scaled;
use crate::harness::upstream::Upstream;

/// Sizes below and above what sockets buffer. The last one is larger than `request_body_bytes`.
const SIZES: [usize; 5] = [13, 60_000, 500_000, 3_000_000, 20_000_000];

/// How often each is sent. The product's goal is measured with ten times as many.
const TIMES: usize = 3;

/// What a client has to see for a body of this size.
fn expected(size: usize) -> (&'static str, &'static str) {
    if size > 16 << 20 { ("/public/x", "413") } else { ("/v1/x", "401") }
}

/// Row B01.
#[tokio::test]
async fn curl_reads_each_refusal() {
    let upstream = Upstream::start();
    let gateway = gateway(upstream.url(), "{ request_body_bytes: 16MiB }").await;
    for size in SIZES {
        let (path, status) = expected(size);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![b'x'; size]).unwrap();
        let data = format!("@{}", file.path().display());
        let url = format!("https://localhost:{}{path}", gateway.https_port(0));
        for version in ["--http1.1", "--http2"] {
            for header in ["Expect:", "Expect: 100-continue", "Transfer-Encoding: chunked"] {
                if header.starts_with("Transfer") && status == "413" {
                    // Without a length the body is relayed up to the limit, which is another test.
                    continue;
                }
                for _ in 0..scaled(TIMES) {
                    let arguments =
                        [version, "--data-binary", &data, "--header", header, "--output", "/dev/null"];
                    let arguments = arguments.into_iter().chain(["--write-out", "%{http_code}", &url]);
                    let done = curl(arguments).await;
                    assert!(
                        done.status.success() && done.stdout.trim() == status,
                        "{version} {size} {header}: {done:?}"
                    );
                }
            }
        }
    }
    upstream.assert_nothing();
}

/// The clients of Python. Each sends its whole request before it reads. Row B01.
#[tokio::test]
async fn python_clients_read_each_refusal() {
    const SCRIPT: &str = r"
import os, ssl, sys, httpx, requests
base, size, expected, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
context = ssl.create_default_context(cafile=os.environ['CA'])
body = b'x' * size
def pieces():
    for at in range(0, size, 16384):
        yield body[at:at + 16384]
def check(what, status):
    if status != expected:
        sys.exit(f'{what}: {status}')
with requests.Session() as session, \
     httpx.Client(verify=context, timeout=30) as h1, \
     httpx.Client(verify=context, timeout=30, http1=False, http2=True) as h2:
    for _ in range(times):
        check('requests', requests.post(base, data=body).status_code)
        check('a session of requests', session.post(base, data=body).status_code)
        check('httpx over HTTP/1.1', h1.post(base, content=body).status_code)
        check('httpx over HTTP/2', h2.post(base, content=body).status_code)
        if expected != 413:
            check('requests in chunks', session.post(base, data=pieces()).status_code)
            check('httpx over HTTP/1.1 in chunks', h1.post(base, content=pieces()).status_code)
            check('httpx over HTTP/2 without a length', h2.post(base, content=pieces()).status_code)
";
    let upstream = Upstream::start();
    let gateway = gateway(upstream.url(), "{ request_body_bytes: 16MiB }").await;
    for size in SIZES {
        let (path, status) = expected(size);
        let url = format!("https://localhost:{}{path}", gateway.https_port(0));
        let times = scaled(TIMES).to_string();
        python(SCRIPT, &[&url, &size.to_string(), status, &times]).await.assert_success();
    }
    upstream.assert_nothing();
}

/// `fetch` of Node.js, `undici` and `node:https`. Over HTTP/2 undici 6.29 ends a request with an error as soon as the
/// response ends before the upload, whatever the server; so it is left to HTTP/1.1 here. Row B01.
#[tokio::test]
async fn node_clients_read_each_refusal() {
    const SCRIPT: &str = r"
const https = require('node:https');
const undici = require('undici');
const [url, size, expected, times] = process.argv.slice(2);
const body = Buffer.alloc(Number(size), 120);
const clients = {
  fetch: async () => { const r = await fetch(url, { method: 'POST', body }); await r.text(); return r.status; },
  undici: async () => { const r = await undici.request(url, { method: 'POST', body }); await r.body.text(); return r.statusCode; },
  https: () => new Promise((resolve, reject) => {
    const request = https.request(url, { method: 'POST', headers: { 'content-length': body.length } }, response => {
      response.resume(); response.on('end', () => resolve(response.statusCode)); response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  }),
};
(async () => {
  for (let at = 0; at < Number(times); at++) {
    for (const [name, send] of Object.entries(clients)) {
      const status = await send();
      if (String(status) !== expected) throw new Error(`${name}: ${status}`);
    }
  }
  process.exit(0);
})().catch(error => { console.error(error); process.exit(1); });
";
    let upstream = Upstream::start();
    let gateway = gateway(upstream.url(), "{ request_body_bytes: 16MiB }").await;
    for size in SIZES {
        let (path, status) = expected(size);
        let url = format!("https://localhost:{}{path}", gateway.https_port(0));
        let times = scaled(TIMES).to_string();
        node(SCRIPT, &[&url, &size.to_string(), status, &times]).await.assert_success();
    }
    upstream.assert_nothing();
}

//! Servers that answer badly (J13), and what comes of fetching from them.

use std::net::SocketAddr;
use std::sync::Mutex;

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// What a server does after it has read the head of a request.
#[derive(Clone)]
pub(in crate::proxy) enum Answer {
    /// Sends these bytes and closes.
    Bytes(Vec<u8>),
    /// Sends these bytes, and then the others for as long as anyone takes them.
    Endless(&'static str, Vec<u8>),
    /// Says nothing and keeps the connection open.
    Silence,
    /// Sends the first text, and then the other one byte at a time, again and again.
    Trickle(&'static str, &'static str),
}

impl Answer {
    pub(in crate::proxy) fn ok(body: &str) -> Self {
        Self::with_head("HTTP/1.1 200 OK\r\n", body)
    }

    pub(in crate::proxy) fn with_head(head: &str, body: &str) -> Self {
        Self::Bytes(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
    }
}

/// A server on this machine that answers by `script`, which is given the path.
pub(in crate::proxy) struct Server {
    pub(in crate::proxy) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    sent: Arc<Mutex<usize>>,
}

type Script = Arc<dyn Fn(&str) -> Answer + Send + Sync>;

impl Server {
    pub(in crate::proxy) async fn start(script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(Arc::new(script), None).await
    }

    async fn listen(script: Script, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, sent) = (Arc::default(), Arc::default());
        let server = Self { address, heads, sent };
        let (heads, sent) = (server.heads.clone(), server.sent.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, heads, sent, tls) = (script.clone(), heads.clone(), sent.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &script, &heads, &sent).await,
                        Some(tls) => {
                            // A client that does not trust us hangs up here.
                            let Ok(stream) = tls.accept(stream).await else { return };
                            serve(stream, &script, &heads, &sent).await;
                        }
                    }
                });
            }
        });
        server
    }

    fn endpoint(&self, path: &str) -> Endpoint {
        Endpoint::parse(&format!("http://{}{path}", self.address)).unwrap()
    }

    /// The paths that were asked for.
    pub(in crate::proxy) fn paths(&self) -> Vec<String> {
        let heads = self.heads.lock().unwrap();
        heads.iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    script: &Script,
    heads: &Mutex<Vec<String>>,
    sent: &Mutex<usize>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let answer = script(head.split(' ').nth(1).unwrap());
    heads.lock().unwrap().push(head);
    // Whoever asked may be gone already; that is theirs to judge.
    match answer {
        Answer::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Answer::Endless(start, more) => {
            let _ = stream.write_all(start.as_bytes()).await;
            while stream.write_all(&more).await.is_ok() {
                *sent.lock().unwrap() += more.len();
            }
        }
        Answer::Silence => std::future::pending().await,
        Answer::Trickle(start, text) => {
            let _ = stream.write_all(start.as_bytes()).await;
            for byte in text.bytes().cycle() {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// Trusts nobody, and waits for `deadline`.
pub(in crate::proxy) fn fetch(deadline: Duration) -> Fetch {
    Fetch::trusting(RootCertStore::empty(), deadline).unwrap()
}

const PATIENT: Duration = Duration::from_secs(20);
const HASTY: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_document_is_fetched_and_nothing_else_is_said() {
    let server = Server::start(|_| {
        Answer::with_head("HTTP/1.1 200 OK\r\nCache-Control: public, max-age=600\r\n", "{\"keys\":[]}")
    })
    .await;
    let document = fetch(PATIENT).get(&server.endpoint("/keys?tenant=a")).await.unwrap();
    let expect = Document { body: b"{\"keys\":[]}".to_vec(), max_age: Some(Duration::from_secs(600)) };
    assert_eq!(document, expect);
    let heads = server.heads.lock().unwrap();
    let [head] = heads.as_slice() else { panic!("{heads:?}") };
    let mut lines: Vec<&str> = head.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "GET /keys?tenant=a HTTP/1.1");
    let mut names: Vec<&str> = lines.iter().map(|line| line.split(':').next().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "host", "user-agent"]);
}

#[tokio::test]
async fn answers_that_are_no_document() {
    let status = |line: &str| Answer::with_head(&format!("HTTP/1.1 {line}\r\n"), "{\"keys\":[]}");
    for (answer, expect) in [
        (status("201 Created"), "the answer was 201 Created"),
        (status("206 Partial Content"), "the answer was 206 Partial Content"),
        (status("404 Not Found"), "the answer was 404 Not Found"),
        (status("401 Unauthorized"), "the answer was 401 Unauthorized"),
        (status("500 Internal Server Error"), "the answer was 500 Internal Server Error"),
        (status("503 Service Unavailable"), "the answer was 503 Service Unavailable"),
        (
            status("301 Moved Permanently\r\nLocation: /elsewhere"),
            "the answer was 301 Moved Permanently, and redirects are not followed",
        ),
        (
            status("302 Found\r\nLocation: http://169.254.169.254/latest/meta-data"),
            "the answer was 302 Found, and redirects are not followed",
        ),
        (
            status("307 Temporary Redirect\r\nLocation: /elsewhere"),
            "the answer was 307 Temporary Redirect, and redirects are not followed",
        ),
        (
            status("308 Permanent Redirect\r\nLocation: /elsewhere"),
            "the answer was 308 Permanent Redirect, and redirects are not followed",
        ),
        (status("304 Not Modified"), "the answer was 304 Not Modified, and redirects are not followed"),
        (Answer::Bytes(Vec::new()), "no answer: connection closed before message completed"),
        (Answer::Bytes(b"SSH-2.0-OpenSSH_9.7\r\n\r\n".to_vec()), "no answer: invalid HTTP version parsed"),
        (
            Answer::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}".to_vec()),
            "no answer: end of file before message length reached",
        ),
        (
            Answer::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec()),
            "no answer: Invalid chunk size line: missing size digit",
        ),
    ] {
        let server = Server::start(move |_| answer.clone()).await;
        let error = fetch(PATIENT).get(&server.endpoint("/keys?code=hunter2")).await.unwrap_err();
        assert_eq!(error.to_string(), expect);
        assert_eq!(server.paths(), ["/keys?code=hunter2"], "asked once, and nowhere else");
    }
}

#[tokio::test]
async fn nobody_listens() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    drop(server);
    let endpoint = Endpoint::parse(&format!("http://{address}/keys?code=hunter2")).unwrap();
    let error = fetch(PATIENT).get(&endpoint).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer: Connection refused (os error 111)");
}

#[tokio::test]
async fn an_answer_is_only_as_long_as_it_may_be() {
    let sized = |length: usize| Answer::ok(&"x".repeat(length));
    for (name, answer, expect) in [
        ("1 MiB", sized(1 << 20), Ok(1 << 20)),
        ("1 MiB and a byte", sized((1 << 20) + 1), Err(FetchError::TooLarge(1 << 20))),
        (
            "100 MiB announced",
            Answer::Endless("HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n", vec![b'x'; 64 << 10]),
            Err(FetchError::TooLarge(1 << 20)),
        ),
        (
            "no end",
            Answer::Endless("HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 64 << 10]),
            Err(FetchError::TooLarge(1 << 20)),
        ),
        (
            "no end, in chunks",
            Answer::Endless(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                [b"10000\r\n".to_vec(), vec![b'x'; 64 << 10], b"\r\n".to_vec()].concat(),
            ),
            Err(FetchError::TooLarge(1 << 20)),
        ),
    ] {
        let server = Server::start(move |_| answer.clone()).await;
        let fetched = fetch(PATIENT).get(&server.endpoint("/")).await.map(|document| document.body.len());
        assert_eq!(fetched, expect, "{name}");
        // What lies in the buffers of two sockets may have been sent too.
        let sent = *server.sent.lock().unwrap();
        assert!(sent < 16 << 20, "{name}: {sent} bytes");
    }
    let server =
        Server::start(|_| Answer::Endless("HTTP/1.1 200 OK\r\n", b"X-Pad: x\r\n".repeat(1_000))).await;
    assert!(
        matches!(fetch(PATIENT).get(&server.endpoint("/")).await, Err(FetchError::NoAnswer(_))),
        "endless head"
    );
}

#[tokio::test]
async fn nobody_is_waited_for_beyond_the_deadline() {
    for (name, answer) in [
        ("silence", Answer::Silence),
        ("a slow head", Answer::Trickle("HTTP/1.1 200 OK\r\n", "X-Pad: xxxxxxxxxxxxxxxx\r\n")),
        ("a slow body", Answer::Trickle("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", "x")),
        ("a slow body without end", Answer::Trickle("HTTP/1.1 200 OK\r\n\r\n", "x")),
    ] {
        let server = Server::start(move |_| answer.clone()).await;
        let start = tokio::time::Instant::now();
        let error = fetch(HASTY).get(&server.endpoint("/")).await.unwrap_err();
        assert_eq!(error, FetchError::TimedOut(HASTY), "{name}");
        assert!(start.elapsed() >= HASTY && start.elapsed() < PATIENT, "{name}");
    }
}

#[test]
fn the_deadline_and_the_limit_are_those_of_the_contract() {
    assert_eq!((DEADLINE, LARGEST), (Duration::from_secs(5), 1024 * 1024));
    assert_eq!(Fetch::new().unwrap().deadline, DEADLINE);
}

/// A server is who its certificate says, if someone who is trusted signed that.
#[tokio::test]
async fn certificates() {
    let certified = |name: &str| rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let start = |certified: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key.into())
            .unwrap();
        Server::listen(Arc::new(|_: &str| Answer::ok("{}")), Some(TlsAcceptor::from(Arc::new(config))))
    };
    let trusting = |certificates: &[&CertificateDer<'static>]| {
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add((*certificate).clone()).unwrap();
        }
        Fetch::trusting(roots, PATIENT).unwrap()
    };
    let (good, other_name, stranger) =
        (certified("localhost"), certified("id.example.com"), certified("localhost"));
    for (name, server, trusted, expect) in [
        ("trusted", &good, good.cert.der(), None),
        ("not trusted", &stranger, good.cert.der(), Some("invalid peer certificate")),
        ("another name", &other_name, other_name.cert.der(), Some("not valid for")),
    ] {
        let server = start(server).await;
        let endpoint = Endpoint::parse(&format!("https://localhost:{}/keys", server.address.port())).unwrap();
        let fetched = trusting(&[trusted]).get(&endpoint).await;
        match (&fetched, expect) {
            (Ok(document), None) => assert_eq!(document.body, b"{}"),
            (Err(FetchError::NoAnswer(text)), Some(part)) => assert!(text.contains(part), "{name}: {text}"),
            _ => panic!("{name}: {fetched:?}"),
        }
        // Nothing was asked before it was clear who answers.
        assert_eq!(server.paths().len(), usize::from(expect.is_none()), "{name}");
    }
    // There is no falling back to plain HTTP.
    let server = Server::start(|_| Answer::ok("{}")).await;
    let endpoint = Endpoint::parse(&format!("https://localhost:{}/keys", server.address.port())).unwrap();
    assert!(fetch(HASTY).get(&endpoint).await.is_err());
    assert_eq!(server.paths(), [""; 0]);
}

#[test]
fn how_long_a_document_may_be_used() {
    for (fields, expect) in [
        (&["max-age=600"][..], Some(600)),
        (&["public, max-age=3600, must-revalidate"], Some(3600)),
        (&["MAX-AGE=5"], Some(5)),
        (&["max-age=\"7\""], Some(7)),
        (&["no-cache", "max-age=9"], Some(9)),
        (&["max-age=x, max-age=3"], Some(3)),
        (&["max-age=0"], Some(0)),
        (&["max-age=18446744073709551615"], Some(u64::MAX)),
        (&["max-age=18446744073709551616"], None),
        (&["s-maxage=600"], None),
        (&["max-age=-1"], None),
        (&["max-age"], None),
        (&["no-store"], None),
        (&[""], None),
        (&[], None),
    ] {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(CACHE_CONTROL, field.parse().unwrap());
        }
        assert_eq!(max_age(&headers), expect.map(Duration::from_secs), "{fields:?}");
    }
}

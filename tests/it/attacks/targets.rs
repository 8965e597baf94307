//! Thousands of generated targets, the same in every run: what is decided on is what the upstream is asked for.

use super::random::Random;
use super::*;
use crate::harness::client::Frames;

/// Pieces that servers disagree about, and some that they do not.
const PIECES: [&str; 64] = [
    "/", "/", "/", "//", ".", "..", "%2e", "%2E%2e", "%2f", "%2F", "\\", "%5c", ";", ";x=1", "..;", "%3b",
    "?", "??", "#", "%23", "%3f", "%00", "%0d%0a", "%09", "%7f", "%20", "+", "%", "%zz", "%4", "%25",
    "%252e", "%252f", "%c0%ae", "%c3%a9", "%ff", "%u002e", "admin", "%61dmin", "public", "slashes", "api",
    "v1", "a", "b", "~", "*", "'", "(", ")", "!", "$", "&", "=", ",", ":", "@", "\"", "<", ">", "[", "{",
    "|", "^",
];

/// Some of the pieces behind each other.
fn target(random: &mut Random) -> String {
    let start =
        random.pick(&["/public/", "/public/", "/slashes/", "/api/", "/api", "/below/", "/below", "/", ""]);
    let count = 1 + random.below(7);
    (0..count).fold(start.to_owned(), |target, _| target + random.pick(&PIECES))
}

/// What the upstream of [`ROUTES`] is asked for when `target` passes.
fn expected(target: &str) -> String {
    // The only escapes with which the prefix itself could be spelled are not among the pieces.
    if let Some(rest) = target.strip_prefix("/below") {
        return format!("/inner/app{rest}");
    }
    match target.strip_prefix("/api") {
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        Some(rest) => format!("/{rest}"),
        None => target.to_owned(),
    }
}

/// Row P16.
#[tokio::test]
async fn what_is_matched_is_what_is_sent() {
    let stand = Stand::start().await;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut connection = stand.gateway.https().connect().await;
    let (mut passed, mut refused) = (0, 0);
    for _ in 0..8000 {
        let target = target(&mut random);
        let key = &stand.user.key;
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n\r\n");
        connection.write(head).await;
        let answer = connection.response().await;
        if answer.status == 200 {
            passed += 1;
            assert_eq!(stand.upstream.take_one().target, expected(&target), "{target}");
            assert!(!target.starts_with("/admin"), "{target}");
        } else {
            refused += 1;
            assert!([400, 401, 403, 404].contains(&answer.status), "{target}: {answer:?}");
            assert!(!answer.body.is_empty(), "{target}");
            let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
            assert_problem(&answer, answer.status, &code);
            stand.upstream.assert_nothing();
        }
        if answer.header("Connection") == Some("close") {
            connection = stand.gateway.https().connect().await;
        }
    }
    assert!(passed > 800 && refused > 800, "{passed} passed, {refused} refused");
}

/// The same by HTTP/2, where the library reads the path before the gateway does.
/// Row P16.
#[tokio::test]
async fn what_is_matched_is_what_is_sent_by_http2() {
    let stand = Stand::start().await;
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut frames: Option<(Frames, u32)> = None;
    let (mut passed, mut refused) = (0, 0);
    for _ in 0..2000 {
        let target = target(&mut random);
        let (mut connection, stream) = match frames.take() {
            Some(open) => open,
            None => (stand.gateway.https().frames().await, 1),
        };
        let fields = [&get_fields(&target)[..], &[("x-api-key", &stand.user.key)]].concat();
        connection.headers(stream, &block(&fields), true).await;
        match connection.outcome(stream).await {
            Outcome::Answered(200, _) => {
                passed += 1;
                // A fragment is cut off before anyone sees it.
                let seen = target.split('#').next().unwrap();
                assert_eq!(stand.upstream.take_one().target, expected(seen), "{target}");
                assert!(!target.starts_with("/admin"), "{target}");
                frames = Some((connection, stream + 2));
            }
            outcome => {
                refused += 1;
                let known = match outcome {
                    Outcome::Answered(status, _) => [400, 401, 403, 404].contains(&status),
                    Outcome::Reset(code) | Outcome::GoAway(code) => code == 1,
                    Outcome::Closed => false,
                };
                assert!(known, "{target}: {outcome:?}");
                stand.upstream.assert_nothing();
                frames = matches!(outcome, Outcome::Answered(..)).then_some((connection, stream + 2));
            }
        }
    }
    assert!(passed > 200 && refused > 200, "{passed} passed, {refused} refused");
}

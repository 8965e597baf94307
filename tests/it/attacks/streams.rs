//! The property of the whole: whatever bytes a client sends, the upstream is asked for exactly the requests that a strict
//! reader finds in them and that the gateway admitted, as who was admitted, and for nothing else.

mod generator;
mod reader;

use std::collections::HashMap;
use std::net::Ipv4Addr;

use tokio::task::JoinSet;

use super::random::Random;
use super::*;
use crate::harness::client::{Client, Failure};
use reader::{Message, Rest};

const STREAMS: u16 = 3000;

/// How many are sent at a time.
const AT_ONCE: u16 = 16;

/// A stream and what came back for it.
struct Sent {
    bytes: Vec<u8>,
    statuses: Vec<u16>,
}

/// The address from which a stream is sent, by which its requests are found again.
fn source(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 77, high, low)
}

/// Thousands of generated streams: smuggling in all its forms (HTTP Garden, CVE-2025-4366, RUSTSEC-2026-0033 and -0034),
/// damaged heads, lengths and chunks, with requests in front of them, behind them and inside of them.
#[tokio::test]
async fn the_upstream_is_asked_for_what_was_admitted_and_nothing_else() {
    let stand = Stand::start().await;
    let mut random = Random(0x5851_f42d_4c95_7f2d);
    let keys = [stand.user.key.as_str(), stand.admin.key.as_str()];
    let streams: Vec<Vec<u8>> = (0..STREAMS).map(|_| generator::stream(&mut random, keys)).collect();
    let mut workers = JoinSet::new();
    for first in 0..AT_ONCE {
        let client = stand.gateway.https();
        let own: Vec<_> = (first..STREAMS).step_by(AT_ONCE.into()).collect();
        let own: Vec<_> =
            own.into_iter().map(|number| (number, streams[usize::from(number)].clone())).collect();
        workers.spawn(async move {
            let mut sent = Vec::new();
            for (number, bytes) in own {
                let statuses = send(&client.clone().source(source(number)), &bytes, number).await;
                sent.push((source(number).to_string(), Sent { bytes, statuses }));
            }
            sent
        });
    }
    let sent: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    stand.gateway.wait_for_metric("portcullis_connections", &[], |open| open < 0.5).await;
    stand.gateway.https().get("/public/last").await.assert_status(200);
    stand.gateway.wait_for_access(|line| line["path"] == "/public/last").await;
    judge(&stand, &sent);
}

/// Sends a stream in some pieces, and reads all answers to it.
async fn send(client: &Client, bytes: &[u8], number: u16) -> Vec<u16> {
    let (messages, rest) = reader::read(bytes);
    let mut connection = client.connect().await;
    let cut = bytes.len() * usize::from(number % 4) / 4;
    for piece in [&bytes[..cut], &bytes[cut..]] {
        // The gateway may have had enough.
        let _ = connection.try_write(piece).await;
    }
    let mut statuses = Vec::new();
    let methods = messages.iter().map(|message| message.method.as_str()).map(Some);
    for method in methods.chain([None]) {
        if method.is_none() {
            connection.finish_writing().await;
            if rest == Rest::Nothing {
                break;
            }
        }
        match connection.try_response_to(method.unwrap_or("GET")).await {
            Ok(answer) => statuses.push(answer.status),
            // An answer to what is no request may be one to `HEAD`, and without a body.
            Err(Failure::Violation(text)) if method.is_some() => {
                panic!("{text} in the answer to {}", bytes.escape_ascii())
            }
            Err(_) => break,
        }
    }
    statuses
}

fn judge(stand: &Stand, sent: &[(String, Sent)]) {
    // What the upstream was asked for, in the exact bytes, by identifier.
    let mut asked: HashMap<String, Message> = HashMap::new();
    for bytes in stand.upstream.bytes() {
        let (messages, rest) = reader::read(&bytes);
        assert_ne!(rest, Rest::Nonsense, "the upstream received {}", bytes.escape_ascii());
        for message in messages {
            assert!(message.plain && message.target.starts_with('/'), "{message:?}");
            let again = asked.insert(only(&message, "x-request-id"), message);
            assert!(again.is_none(), "twice: {again:?}");
        }
    }
    let mut lines: HashMap<String, Vec<Value>> = HashMap::new();
    for line in stand.gateway.access_log() {
        lines.entry(line["client"].as_str().unwrap().to_owned()).or_default().push(line);
    }
    let (mut admitted, mut refused) = (0, 0);
    for (client, Sent { bytes, statuses }) in sent {
        let (messages, _) = reader::read(bytes);
        let lines = lines.remove(client).unwrap_or_default();
        let shown = || format!("{}\n{messages:#?}\n{lines:#?}", bytes.escape_ascii());
        let logged: Vec<u64> = lines.iter().map(|line| line["status"].as_u64().unwrap()).collect();
        let told: Vec<u64> = statuses.iter().map(|status| u64::from(*status)).collect();
        assert!(logged.starts_with(&told), "{told:?}, but {logged:?} is logged: {}", shown());
        assert!(lines.len() <= messages.len() + 1, "{}", shown());
        for (at, line) in lines.iter().enumerate() {
            let upstream = asked.remove(line["request_id"].as_str().unwrap());
            match (upstream, messages.get(at)) {
                (None, _) => {
                    assert_ne!(line["status"], 200, "{}", shown());
                    refused += 1;
                }
                (Some(upstream), Some(message)) => {
                    assert_same(stand, message, &upstream, line, client);
                    admitted += 1;
                }
                (Some(upstream), None) => panic!("out of nothing: {upstream:?} in {}", shown()),
            }
        }
    }
    let last = asked.into_values().map(|message| message.target).collect::<Vec<_>>();
    assert_eq!(last, ["/public/last"], "asked for without a line in the log");
    let most = usize::from(STREAMS) / 4;
    assert!(admitted > most && refused > most, "{admitted} admitted, {refused} refused");
}

/// Asserts that `upstream` is what became of `message`, which `client` sent and `line` tells of.
fn assert_same(stand: &Stand, message: &Message, upstream: &Message, line: &Value, client: &str) {
    let shown = format!("{message:#?}\n{upstream:#?}\n{line}");
    assert_eq!(upstream.method, message.method, "{shown}");
    assert_eq!(Some(upstream.target.as_str()), message.path(), "{shown}");
    assert_eq!(upstream.content, message.content, "{shown}");
    assert_eq!(only(upstream, "x-forwarded-for"), client, "{shown}");
    // Who it is follows from the only key of the request, and from nothing else.
    let path = upstream.target.as_str();
    let subject = match message.all("x-api-key")[..] {
        _ if path.starts_with("/public/") || path.starts_with("/slashes/") => None,
        [key] if key == stand.user.key.as_bytes() && path.starts_with("/v1/") => Some("acme"),
        [key] if key == stand.admin.key.as_bytes() => Some("root"),
        _ => panic!("admitted without a credential: {shown}"),
    };
    assert_eq!(line["subject"].as_str(), subject, "{shown}");
    let told: Vec<_> = upstream.all("x-auth-subject");
    assert_eq!(told, subject.iter().map(|subject| subject.as_bytes()).collect::<Vec<_>>(), "{shown}");
    let ours = ["x-auth-subject", "x-auth-method", "x-auth-scopes", "x-auth-key-id"];
    for (name, _) in &upstream.fields {
        let spelling = name.replace(['_', '.'], "-");
        let own = subject.is_some() && ours.contains(&name.as_str());
        assert!(own || !spelling.starts_with("x-auth-"), "{name}: {shown}");
        assert!(subject.is_none() || spelling != "x-api-key", "{name}: {shown}");
    }
}

/// The only field with this name.
#[track_caller]
fn only(message: &Message, name: &str) -> String {
    let all = message.all(name);
    assert_eq!(all.len(), 1, "{name}: {message:?}");
    String::from_utf8(all[0].to_vec()).unwrap()
}

//! Streams of requests as clients might send them who have read about request smuggling: good requests, one behind the
//! other, of which some have been damaged.

use crate::attacks::random::Random;

/// What a request may be for.
const TARGETS: [&str; 14] = [
    "/public/a",
    "/public/b?c=d",
    "/v1/a",
    "/v1/b",
    "/v1/c",
    "/admin/a",
    "/admin",
    "/nowhere",
    "/public/../admin",
    "/slashes/a%2fb",
    "http://localhost/public/c",
    "http://localhost/v1/d",
    "HTTPS://LOCALHOST/admin/b",
    "http://other/public/d",
];

const METHODS: [&str; 12] =
    ["GET", "GET", "GET", "GET", "POST", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "get"];

/// Lines that a head may have or not. `KEY` is a key of a user, and `ROOT` one of an administrator.
const LINES: [&str; 27] = [
    "X-API-Key: KEY",
    "X-API-Key: KEY",
    "X-API-Key: KEY",
    "x-api-key:ROOT",
    "X-API-Key: \t ROOT ",
    "X-API-Key: nobody",
    "X_API_Key: ROOT",
    "X-Auth-Subject: root",
    "X_Auth_Subject: root",
    "x-auth-scopes: admin",
    "Cookie: a=b",
    "Accept: */*",
    "Connection: keep-alive",
    "Connection: X-Auth-Subject, X-API-Key",
    "Connection: Content-Length",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "Expect: 100-continue",
    "TE: trailers",
    "Trailer: X-Auth-Subject",
    "X-Forwarded-For: 10.0.0.1",
    "X-HTTP-Method-Override: DELETE",
    "Content-Length: 0",
    "Content_Length: 40",
    "Transfer_Encoding: chunked",
    "X: \u{e9}\t ",
];

/// What is put in, or in the place of something else.
const PIECES: [&[u8]; 44] = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\n\n",
    b"\0",
    b" ",
    b"\t",
    b"\x0b",
    b":",
    b",",
    b";",
    b";x=\"y\"",
    b"0",
    b"00",
    b"5",
    b"-1",
    b"+5",
    b"0x",
    b"a",
    b"_",
    b"\xff",
    b"/",
    b"..",
    b"#",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"ffffffffffffffff",
    b"10000000000000000",
    b"\r\n ",
    b"Content-Length: 5\r\n",
    b"Content-Length: 44\r\n",
    b"content-length:0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Host: localhost\r\n",
    b"Host: other\r\n",
    b"X-Auth-Subject: root\r\n",
    b"X-API-Key: nobody\r\n",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"GET /admin HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /public/s HTTP/1.1\r\nHost: localhost\r\n\r\n",
];

/// A body that is a request for whoever looks for one there.
const INSIDE: &str = "GET /admin/inside HTTP/1.1\r\nHost: localhost\r\nX-Auth-Subject: root\r\n\r\n";

/// Some requests, good or damaged, for a connection of their own. `keys` are those of a user and of an administrator.
pub fn stream(random: &mut Random, keys: [&str; 2]) -> Vec<u8> {
    let damaged = random.below(3);
    let mut bytes = Vec::new();
    for _ in 0..=random.below(4) {
        let mut one = request(random, keys);
        if damaged > 0 && random.once_in(2) {
            for _ in 0..=random.below(2) {
                damage(&mut one, random);
            }
        }
        bytes.extend(one);
    }
    bytes
}

fn request(random: &mut Random, [user, admin]: [&str; 2]) -> Vec<u8> {
    let version = if random.once_in(12) { "HTTP/1.0" } else { "HTTP/1.1" };
    let (method, target) = (random.pick(&METHODS), random.pick(&TARGETS));
    let mut text = format!("{method} {target} {version}\r\nHost: localhost\r\n");
    for _ in 0..random.below(4) {
        let line = random.pick(&LINES);
        text.push_str(&line.replace("KEY", user).replace("ROOT", admin));
        text.push_str("\r\n");
    }
    let content = random.pick(&["hello", "", INSIDE, "0\r\n\r\n", "\r\n\r\n"]);
    match random.below(6) {
        0 | 1 => text.push_str(&format!("Content-Length: {}\r\n\r\n{content}", content.len())),
        2 | 3 => {
            text.push_str("Transfer-Encoding: chunked\r\n\r\n");
            for piece in [content, "x", INSIDE].iter().take(random.below(4)).filter(|piece| !piece.is_empty())
            {
                let extension = random.pick(&["", "", "", ";a=b"]);
                text.push_str(&format!("{:x}{extension}\r\n{piece}\r\n", piece.len()));
            }
            text.push_str(random.pick(&["0\r\n\r\n", "0\r\n\r\n", "0\r\nX-Auth-Subject: root\r\n\r\n"]));
        }
        _ => text.push_str("\r\n"),
    }
    text.into_bytes()
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    // Mostly where heads are, and mostly where lines end.
    let ends: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b'\r').collect();
    let at = match random.below(3) {
        0 if !ends.is_empty() => (ends[random.below(ends.len())] + random.below(4)).min(bytes.len()),
        _ => random.below(bytes.len() + 1),
    };
    let end = (at + random.below(6)).min(bytes.len());
    let piece = random.pick(&PIECES);
    match random.below(7) {
        0 => drop(bytes.drain(at..end)),
        1 | 2 => drop(bytes.splice(at..at, piece.iter().copied())),
        3 => drop(bytes.splice(at..end, piece.iter().copied())),
        4 if at < bytes.len() => bytes[at] = u8::try_from(random.below(256)).unwrap(),
        5 => {
            // A line once more, somewhere.
            let line = bytes.split_inclusive(|byte| *byte == b'\n').nth(random.below(5)).unwrap_or_default();
            let line = line.to_vec();
            bytes.splice(at..at, line);
        }
        _ => bytes.truncate(at),
    }
}

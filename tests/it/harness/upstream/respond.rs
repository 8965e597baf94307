//! Carrying out an answer.

use std::io;

use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Recorded;
use super::answer::{Act, Answer, Content, Respond};
use super::connection::Connection;
use crate::harness::websocket::{Message, Side, Socket, accept, frame};

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Close,
    Continue,
    Reset,
}

pub(super) async fn perform(
    connection: &mut Connection<'_>,
    answer: &Answer,
    request: &Recorded,
) -> io::Result<After> {
    if let Act::Function(function) = &answer.act {
        return Box::pin(perform(connection, &function(request), request)).await;
    }
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    for (status, headers) in &answer.informational {
        let text = head(*status, headers, &[]);
        connection.stream.write_all(text.as_bytes()).await?;
    }
    match &answer.act {
        Act::Close => Ok(After::Close),
        Act::Reset => Ok(After::Reset),
        Act::Hang => {
            connection.drain().await;
            Ok(After::Close)
        }
        Act::Raw { bytes, then_close } => {
            connection.stream.write_all(bytes).await?;
            Ok(if *then_close { After::Close } else { After::Continue })
        }
        Act::Echo => respond(connection, &echo(request), request).await,
        Act::Respond(answer) => respond(connection, answer, request).await,
        Act::Function(_) => unreachable!("a function was called above"),
        Act::Events(events) => events.serve(&mut connection.stream).await,
        Act::Upgrade(protocol) => {
            switch(connection, protocol, "", b"").await?;
            repeat(connection).await?;
            Ok(After::Close)
        }
        Act::WebSocket(greeting) => match websocket_key(request) {
            Some(key) => {
                let fields = format!("Sec-WebSocket-Accept: {}\r\n", accept(key));
                let greeting: Vec<u8> = greeting
                    .iter()
                    .flat_map(|text| frame(&Message::Text(text.clone()), Side::Server))
                    .collect();
                switch(connection, "websocket", &fields, &greeting).await?;
                talk(connection).await?;
                Ok(After::Close)
            }
            None => respond(connection, &status(426), request).await,
        },
    }
}

async fn respond(connection: &mut Connection<'_>, answer: &Respond, request: &Recorded) -> io::Result<After> {
    let Respond { status, headers, content, closes } = answer;
    let bodiless = request.method == "HEAD" || matches!(status, 204 | 304);
    let framing = match content {
        _ if *status == 204 => None,
        Content::Bytes(bytes) => Some(format!("Content-Length: {}", bytes.len())),
        Content::Half(bytes) => Some(format!("Content-Length: {}", bytes.len() + 100)),
        Content::Zeros(length) => Some(format!("Content-Length: {length}")),
        Content::Chunks(..) => Some("Transfer-Encoding: chunked".to_owned()),
        Content::UntilClose(_) => None,
    };
    let end = (*closes || matches!(content, Content::UntilClose(_))).then(|| "Connection: close".to_owned());
    let further: Vec<String> = framing.into_iter().chain(end).collect();
    let stream = &mut connection.stream;
    stream.write_all(head(*status, headers, &further).as_bytes()).await?;
    let mut after = if *closes { After::Close } else { After::Continue };
    match content {
        _ if bodiless => {}
        Content::Bytes(bytes) => stream.write_all(bytes).await?,
        Content::Chunks(pieces, trailers) => {
            for piece in pieces {
                stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
                stream.write_all(piece).await?;
                stream.write_all(b"\r\n").await?;
                stream.flush().await?;
            }
            stream.write_all(format!("0\r\n{}\r\n", lines(trailers)).as_bytes()).await?;
        }
        Content::Half(bytes) | Content::UntilClose(bytes) => {
            stream.write_all(bytes).await?;
            after = After::Close;
        }
        Content::Zeros(length) => {
            let block = vec![0; 64 << 10];
            let mut left = *length;
            while left > 0 {
                let piece = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
                stream.write_all(&block[..piece]).await?;
                left -= piece as u64;
            }
        }
    }
    stream.flush().await?;
    Ok(after)
}

fn head(status: u16, headers: &[(String, String)], further: &[String]) -> String {
    let further: Vec<&str> = further.iter().flat_map(|line| [line.as_str(), "\r\n"]).collect();
    format!("HTTP/1.1 {status} Answer\r\n{}{}\r\n", lines(headers), further.concat())
}

fn lines(fields: &[(String, String)]) -> String {
    fields.iter().flat_map(|(name, value)| [name.as_str(), ": ", value, "\r\n"]).collect()
}

fn status(status: u16) -> Respond {
    Respond { status, headers: Vec::new(), content: Content::Bytes(Vec::new()), closes: false }
}

fn echo(request: &Recorded) -> Respond {
    let mut headers = Map::new();
    for (name, value) in request.headers.iter() {
        let values = headers.entry(name.to_ascii_lowercase()).or_insert_with(|| json!([]));
        if let Value::Array(values) = values {
            values.push(json!(String::from_utf8_lossy(value)));
        }
    }
    let document = json!({
        "method": request.method,
        "target": request.target,
        "headers": headers,
        "body": String::from_utf8_lossy(&request.body),
        "connection": request.connection,
    });
    let content = Content::Bytes(document.to_string().into_bytes());
    let kind = ("Content-Type".to_owned(), "application/json".to_owned());
    Respond { headers: vec![kind], content, ..status(200) }
}

fn websocket_key(request: &Recorded) -> Option<&str> {
    let asks =
        request.headers.lists("Upgrade", "websocket") && request.headers.lists("Connection", "upgrade");
    request.header("Sec-WebSocket-Key").filter(|_| asks && request.method == "GET")
}

/// Switches protocols; the first bytes of the new one leave in the same packet.
async fn switch(
    connection: &mut Connection<'_>,
    protocol: &str,
    fields: &str,
    first: &[u8],
) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n{fields}\r\n"
    );
    connection.stream.write_all(&[head.as_bytes(), first].concat()).await
}

/// Sends every byte back.
async fn repeat(connection: &mut Connection<'_>) -> io::Result<()> {
    let mut bytes = connection.buffer.split();
    loop {
        connection.stream.write_all(&bytes).await?;
        connection.stream.flush().await?;
        bytes.clear();
        if connection.stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
        connection.record(&bytes);
    }
}

/// Sends every WebSocket message back, and a close message in answer to one.
async fn talk(connection: &mut Connection<'_>) -> io::Result<()> {
    let buffer = std::mem::take(&mut connection.buffer);
    let mut socket = Socket::new(&mut connection.stream, buffer, Side::Server);
    loop {
        let message = match socket.receive().await {
            Ok(Some(Message::Ping(bytes))) => Message::Pong(bytes),
            Ok(Some(message)) => message,
            Ok(None) => return Ok(()),
            Err(text) => return Err(io::Error::other(text)),
        };
        socket.send(&message).await?;
        if matches!(message, Message::Close(_)) {
            return Ok(());
        }
    }
}

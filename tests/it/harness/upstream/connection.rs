//! One connection of an upstream: requests are read and recorded, one after the other, and answered.

use aws_lc_rs::digest;
use bytes::BytesMut;
use portcullis::hex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::answer::When;
use super::respond::{After, perform};
use super::{Recorded, Shared};
use crate::harness::http1::{Body, Framing, RequestHead, Violation, request_head};
use crate::harness::tls::Stream;

/// A connection and where it is recorded.
pub(super) struct Connection<'a> {
    pub(super) stream: Stream,
    pub(super) buffer: BytesMut,
    number: usize,
    shared: &'a Shared,
}

/// Why no further request is read.
enum Over {
    /// The other side, or the answer, ended the connection.
    Ended,
    /// What arrived is not HTTP/1.1.
    Violated(Violation),
}

impl From<Violation> for Over {
    fn from(violation: Violation) -> Self {
        Self::Violated(violation)
    }
}

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Self {
        Self::Ended
    }
}

/// Closes the record of a connection even when its task is dropped.
struct Open<'a>(usize, &'a Shared);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.1.record().close(self.0);
    }
}

pub(super) async fn serve(stream: Stream, number: usize, shared: &Shared) {
    let _open = Open(number, shared);
    let mut connection = Connection { stream, buffer: BytesMut::new(), number, shared };
    loop {
        match connection.exchange().await {
            Ok(After::Continue) => {}
            Ok(After::Close) => {
                let _ = connection.stream.shutdown().await;
                return;
            }
            Ok(After::Reset) => {
                connection.stream.reset();
                return;
            }
            Err(Over::Ended) => return,
            Err(Over::Violated(violation)) => {
                shared.record().violated(number, &violation.0);
                let answer = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
                let _ = connection.stream.write_all(answer).await;
                let _ = connection.stream.shutdown().await;
                return;
            }
        }
    }
}

impl Connection<'_> {
    async fn exchange(&mut self) -> Result<After, Over> {
        let head = self.head().await?;
        let framing = Framing::of_request(&head)?;
        let waits = head.headers.lists("Expect", "100-continue");
        let closes = head.headers.lists("Connection", "close") || head.version == "HTTP/1.0";
        let mut request = Recorded::new(head, self.number);
        request.complete = framing == Framing::Length(0);
        let answer = self.shared.answer_to(&request);
        let request_number = self.shared.record().begin(request.clone());
        let after = if answer.when == When::Head {
            let after = perform(self, &answer, &request).await?;
            if after == After::Continue {
                self.body(framing, request_number, answer.when).await?;
            }
            after
        } else {
            if waits {
                self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            self.body(framing, request_number, answer.when).await?;
            // A test may have taken the request meanwhile; then the answer is made from its head.
            let request = self.shared.record().request(request_number).cloned().unwrap_or(request);
            perform(self, &answer, &request).await?
        };
        Ok(if closes && after == After::Continue { After::Close } else { after })
    }

    async fn head(&mut self) -> Result<RequestHead, Over> {
        loop {
            if let Some((head, length)) = request_head(&self.buffer)? {
                let _ = self.buffer.split_to(length);
                return Ok(head);
            }
            self.fill(true).await?;
        }
    }

    async fn body(&mut self, framing: Framing, request: usize, when: When) -> Result<(), Over> {
        let keep = when != When::SunkBody;
        let mut body = Body::new(framing);
        let mut hash = digest::Context::new(&digest::SHA256);
        loop {
            let mut content = Vec::new();
            let done = body.read(&mut self.buffer, |piece| content.extend_from_slice(piece))?;
            if !keep {
                hash.update(&content);
            }
            if let Some(request) = self.shared.record().request(request) {
                request.body_length += content.len() as u64;
                if keep {
                    request.body.extend_from_slice(&content);
                }
                if done {
                    request.trailers = std::mem::take(&mut body.trailers);
                    request.body_sha256 = (!keep).then(|| hex::encode(hash.clone().finish().as_ref()));
                    request.complete = true;
                }
            }
            if done {
                return Ok(());
            }
            self.fill(keep).await?;
        }
    }

    /// Reads some bytes, recording them if they are to be kept.
    async fn fill(&mut self, keep: bool) -> Result<(), Over> {
        let before = self.buffer.len();
        self.buffer.reserve(64 << 10);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(Over::Ended);
        }
        if keep {
            self.shared.record().received(self.number, &self.buffer[before..]);
        }
        Ok(())
    }

    /// Records bytes that are no HTTP any more.
    pub(super) fn record(&self, bytes: &[u8]) {
        self.shared.record().received(self.number, bytes);
    }

    /// Reads until the other side ends the connection, recording everything.
    pub(super) async fn drain(&mut self) {
        while self.fill(true).await.is_ok() {}
    }
}

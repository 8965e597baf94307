//! An exchange with an upstream over HTTP/1.1: what one side sends is written to the other as it comes, by one task.
//!
//! The library has a way of its own for this, with a queue in each direction, a cache and modules that have no use here. It
//! is taken where another protocol is asked for, and where an upstream may speak HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header;
use http::{Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::HttpSession as Upstream;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use tokio::select;
use tokio::time::timeout;

use super::duplex::Duplex;
use super::pool::Key;
use super::{Edge, MOST_ATTEMPTS, passage};
use crate::proxy::discard::MAX_PAUSE;
use crate::proxy::exchange::Exchange;
use crate::proxy::forward;

/// What happens next.
enum Event {
    /// Something of the answer came from the upstream, or will not come.
    Answer(Result<HttpTask>),
    /// Something of the request's body came from the client, or the client is gone.
    Body(Result<Option<Bytes>>),
    /// The upstream took what it was sent of the body last, or will not take it.
    Sent(Result<()>),
}

/// How far a request's body has come on its way upstream.
struct Upload {
    /// Nothing more is read from the client.
    read: bool,
    /// How long the client may take for a piece.
    patience: Duration,
    /// Nothing more is written.
    written: bool,
    /// Nothing more is sent upstream.
    sent: bool,
    /// The upstream would not take it. It may have answered all the same.
    failed: Option<Box<Error>>,
}

/// How far the answer has come.
#[derive(Default)]
struct Download {
    /// Its head was passed on.
    begun: bool,
    /// So was all of it.
    done: bool,
}

impl Upload {
    /// Sends nothing more.
    fn end(&mut self, outcome: Result<()>) {
        self.sent = true;
        self.failed = outcome.err();
    }
}

impl Edge {
    /// Sends an admitted request upstream and its answer to the client.
    ///
    /// # Errors
    /// What kept either from arriving whole. What the client was told until then is in `session`.
    pub(super) async fn relay(&self, session: &mut ServerSession, exchange: &mut Exchange) -> Result<()> {
        let mut attempts = 1;
        loop {
            match self.attempt(session, exchange).await {
                Err(error) if error.retry() && attempts < MOST_ATTEMPTS => attempts += 1,
                outcome => return outcome,
            }
        }
    }

    async fn attempt(&self, session: &mut ServerSession, exchange: &mut Exchange) -> Result<()> {
        // A stream may have been reset while it was decided on, before anything of it is sent.
        if session.is_http2()
            && let Some(error) = leaves(session).now_or_never()
        {
            return Err(error.into_down());
        }
        let peer = self.choose_peer(session, exchange)?;
        let connected = select! {
            biased;
            connected = self.connection(&peer) => connected,
            error = leaves(session) => return Err(error.into_down()),
        };
        let (stream, reused) = match connected {
            Ok(connected) => connected,
            Err(mut error) => {
                error.as_up();
                passage::fail_to_connect(&self.shared, exchange, &mut error);
                return Err(error);
            }
        };
        let (stream, duplex) = split(stream, session.is_body_empty());
        let mut upstream = Upstream::new(stream);
        upstream.read_timeout = peer.options.read_timeout;
        upstream.write_timeout = peer.options.write_timeout;
        match self.pass(session, &mut upstream, duplex.as_ref(), exchange).await {
            Ok(true) => {
                self.release(upstream, duplex, &peer).await;
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(mut error) => {
                passage::fail_to_exchange(&self.shared, session, exchange, &mut error, reused);
                Err(error)
            }
        }
    }

    /// Keeps a connection for other requests, if the upstream agrees.
    async fn release(&self, mut upstream: Upstream, duplex: Option<Duplex>, peer: &HttpPeer) {
        upstream.respect_keepalive();
        let Some(stream) = upstream.reuse().await else { return };
        let stream = match duplex {
            None => Some(stream),
            Some(duplex) => {
                drop(stream);
                duplex.into_inner()
            }
        };
        if let (Some(stream), Some(timeout)) = (stream, peer.options.idle_timeout) {
            self.pool.keep(Key::of(peer), stream, timeout);
        }
    }

    /// Passes the request and the answer. Returns whether the connection to the upstream is as good as before.
    async fn pass(
        &self,
        session: &mut ServerSession,
        upstream: &mut Upstream,
        duplex: Option<&Duplex>,
        exchange: &mut Exchange,
    ) -> Result<bool> {
        let request = request_for_upstream(session, exchange)?;
        upstream.write_request_header(Box::new(request)).await.map_err(Error::into_up)?;
        let mut upload = self.begin_upload(session, upstream, duplex, exchange).await?;
        let mut download = Download::default();
        let stream_idle = passage::stream_idle(exchange);
        while !(download.done && upload.sent) {
            let answered = download.done;
            let begun = download.begun;
            if begun {
                upstream.read_timeout = stream_idle;
            }
            let listens = upload.failed.is_none();
            // An upstream that has sent its whole response may take nothing more of the body, which is discarded then.
            let patience = if answered {
                upstream.write_timeout.map(|wait| wait.min(MAX_PAUSE))
            } else {
                upstream.write_timeout
            };
            let event = if upload.sent {
                select! {
                    biased;
                    answer = next(upstream, begun), if !answered => Event::Answer(answer),
                    event = more(session, duplex, &upload, patience), if listens => event,
                }
            } else {
                // Neither direction waits for the other one to have nothing more to say.
                select! {
                    answer = next(upstream, begun), if !answered => Event::Answer(answer),
                    event = more(session, duplex, &upload, patience), if listens => event,
                }
            };
            match event {
                Event::Answer(Ok(task)) => self.answer(session, task, exchange, &mut download).await?,
                Event::Answer(Err(error)) => return Err(upload.failed.unwrap_or(error).into_up()),
                Event::Body(body) => {
                    let body = body.map_err(Error::into_down)?;
                    upload.read = session.is_body_done();
                    self.upload(upstream, duplex, exchange, &mut upload, body).await?;
                }
                Event::Sent(outcome) => upload.end(outcome),
            }
        }
        if session.finish_body().await.is_err() {
            session.set_keepalive(None);
        }
        Ok(upload.failed.is_none())
    }

    /// Sends what is known of the body: that there is none, or what was sent before to a connection that had been closed.
    async fn begin_upload(
        &self,
        session: &mut ServerSession,
        upstream: &mut Upstream,
        duplex: Option<&Duplex>,
        exchange: &mut Exchange,
    ) -> Result<Upload> {
        let read = session.is_body_done();
        let patience = exchange.configuration.gateway.limits.body_timeout;
        let mut upload = Upload { read, patience, written: false, sent: false, failed: None };
        let empty = session.is_body_empty();
        let before = if empty {
            None
        } else {
            session.enable_retry_buffering();
            session.get_retry_buffer()
        };
        if empty || before.is_some() {
            self.upload(upstream, duplex, exchange, &mut upload, before).await?;
        }
        Ok(upload)
    }

    /// Sends a piece of the body, or its end if there is none.
    async fn upload(
        &self,
        upstream: &mut Upstream,
        duplex: Option<&Duplex>,
        exchange: &mut Exchange,
        upload: &mut Upload,
        mut piece: Option<Bytes>,
    ) -> Result<()> {
        upload.read |= piece.is_none();
        self.filter_request_body(&mut piece, upload.read, exchange)?;
        // An empty piece would be the end of a chunked body.
        if !upload.read && piece.as_ref().is_some_and(Bytes::is_empty) {
            return Ok(());
        }
        let end = upload.read || piece.is_none();
        let written = write(upstream, piece, end).await;
        upload.written = end;
        if written.is_err() || end && duplex.is_none_or(Duplex::has_sent) {
            upload.end(written);
        }
        Ok(())
    }

    /// Passes a piece of the answer on.
    async fn answer(
        &self,
        session: &mut ServerSession,
        mut task: HttpTask,
        exchange: &mut Exchange,
        download: &mut Download,
    ) -> Result<()> {
        if let HttpTask::Header(response, end) = &mut task {
            if !*end && ends_with_connection(session, response) {
                // The client's connection goes on behind it.
                response.set_version(Version::HTTP_11);
                response.insert_header(header::TRANSFER_ENCODING, "chunked")?;
            }
            self.filter_response(session, response, exchange)?;
            download.begun = !response.status.is_informational();
        } else {
            self.check_again(exchange)?;
        }
        download.done = session.response_duplex_vec(vec![task]).await?;
        Ok(())
    }
}

/// The request as the upstream gets it.
fn request_for_upstream(session: &mut ServerSession, exchange: &mut Exchange) -> Result<RequestHeader> {
    let mut request = session.req_header().clone();
    forward::begin_next(&mut request)?;
    passage::prepare(session, &mut request, exchange)?;
    forward::frame(&mut request, !session.is_body_empty())?;
    Ok(request)
}

/// The next piece of the answer, of which the head has come if it has `begun`. Nothing is lost when this is not waited for.
async fn next(upstream: &mut Upstream, begun: bool) -> Result<HttpTask> {
    if begun {
        let piece = upstream.read_body_bytes().await?;
        return Ok(HttpTask::Body(piece, upstream.is_body_done()));
    }
    upstream.read_response().await?;
    let head = upstream
        .resp_header()
        .ok_or_else(|| Error::explain(ErrorType::InternalError, "an answer without a head"))?;
    // Names are written as over HTTP/2. The library keeps the spelling of each in a second map, which costs as much again.
    let mut parts = http::Response::new(()).into_parts().0;
    (parts.status, parts.version, parts.headers) = (head.status, head.version, head.headers.clone());
    Ok(HttpTask::Header(Box::new(ResponseHeader::from(parts)), upstream.is_body_done()))
}

/// The next piece of the body, once the upstream has taken the one before it. Nothing is lost when this is not waited for.
async fn more(
    session: &mut ServerSession,
    duplex: Option<&Duplex>,
    upload: &Upload,
    patience: Option<Duration>,
) -> Event {
    if !upload.sent
        && let Some(duplex) = duplex
    {
        let sent = select! {
            biased;
            sent = duplex.send_rest(patience) => sent,
            error = leaves(session) => return Event::Body(Err(error)),
        };
        if sent.is_err() || upload.written {
            return Event::Sent(sent);
        }
    }
    Event::Body(next_of_body(session, upload.read, upload.patience).await)
}

/// The next piece of the request's body, for which there is no more than `patience`, or, if all of it has been `read`, the
/// end of the client. The library limits how long a piece may take over HTTP/1 only.
async fn next_of_body(session: &mut ServerSession, read: bool, patience: Duration) -> Result<Option<Bytes>> {
    if read || !session.is_http2() {
        return session.read_body_or_idle(read).await;
    }
    match timeout(patience, session.read_body_or_idle(false)).await {
        Ok(piece) => piece,
        Err(_) => Err(Error::explain(ErrorType::ReadTimedout, "the body pauses for too long")),
    }
}

/// Resolves when the client is gone, as far as that can be seen without reading its request's body.
async fn leaves(session: &mut ServerSession) -> Box<Error> {
    if !session.is_http2() && !session.is_body_done() {
        return std::future::pending().await;
    }
    loop {
        if let Err(error) = session.read_body_or_idle(true).await {
            return error;
        }
    }
}

/// Lets a connection that a request with a body goes over be written to and read at the same time.
fn split(stream: Stream, without_body: bool) -> (Stream, Option<Duplex>) {
    if without_body {
        return (stream, None);
    }
    let duplex = Duplex::new(stream);
    (Box::new(duplex.clone()), Some(duplex))
}

/// Writes `piece`, and that it was the last one.
async fn write(upstream: &mut Upstream, piece: Option<Bytes>, end: bool) -> Result<()> {
    if let Some(piece) = piece {
        upstream.write_body(&piece).await.map_err(Error::into_up)?;
    }
    if end {
        upstream.finish_body().await.map_err(Error::into_up)?;
    }
    Ok(())
}

/// Whether only the end of the upstream's connection tells where the answer's body ends (RFC 9112 §6.3).
fn ends_with_connection(session: &ServerSession, response: &ResponseHeader) -> bool {
    let without_body = session.req_header().method == Method::HEAD
        || response.status.is_informational()
        || matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    !without_body
        && !response.headers.contains_key(header::TRANSFER_ENCODING)
        && !response.headers.contains_key(header::CONTENT_LENGTH)
}

//! One connection with the admin listener: one request after the other, each of which has to come and be taken in time.

use std::time::Duration;

use http::{Method, Response};
use pingora::protocols::Stream;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::protocols::l4::stream::Stream as LayerFour;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::AdminApp;
use super::places::Place;

/// How long a connection may be silent before its first request.
const FIRST_WORD: Duration = Duration::from_secs(10);

/// How long it may be silent between requests: Prometheus comes once a minute, unless it is told otherwise.
const SILENCE: Duration = Duration::from_secs(75);

/// How long a request may take from its first byte to the last one of its body, however they are spread over that.
const WHOLE: Duration = Duration::from_secs(10);

/// How long the answer may take to be received.
const TAKEN: Duration = Duration::from_secs(10);

/// Answers what is asked on `stream`, until it is closed, somebody is too slow, or another process is to be asked instead.
pub(super) async fn serve(mut app: AdminApp, stream: TcpStream, place: &Place) {
    let _ = stream.set_nodelay(true);
    let mut stream: Stream = Box::new(LayerFour::from(stream));
    let mut silence = FIRST_WORD;
    loop {
        let mut first = [0];
        tokio::select! {
            // A request that has arrived is answered, also by a process that has just been replaced.
            biased;
            word = timeout(silence, stream.try_peek(&mut first)) => if !matches!(word, Ok(Ok(true))) { return },
            () = app.shared.gate.handed_over() => return,
        }
        silence = SILENCE;
        app.deadline = Instant::now() + WHOLE;
        let mut session = ServerSession::new_http1(stream);
        let read = tokio::select! {
            biased;
            read = timeout_at(app.deadline, session.read_request()) => read,
            () = app.shared.gate.handed_over() => return,
        };
        let Ok(Ok(true)) = read else { return };
        place.heard();
        session.set_keepalive(Some(SILENCE.as_secs()));
        // A change is carried out and told, also by a process that ends meanwhile.
        let reading = matches!(session.req_header().method, Method::GET | Method::HEAD);
        let _held = (!reading).then(|| app.shared.drain.hold());
        let response = app.response(&mut session).await;
        // What the process that has taken over is told from now on, this one does not know.
        if app.shared.gate.is_handed_over() {
            session.set_keepalive(None);
        }
        let Ok(Some(again)) = timeout(TAKEN, write(session, response)).await else { return };
        stream = again;
    }
}

/// Writes the answer, and returns the connection if another request may come on it.
async fn write(mut session: ServerSession, response: Response<Vec<u8>>) -> Option<Stream> {
    let (head, body) = response.into_parts();
    let head = HttpTask::Header(Box::new(head.into()), body.is_empty());
    session.response_duplex_vec(vec![head, HttpTask::Body(Some(body.into()), true)]).await.ok()?;
    let (stream, _) = session.finish().await.ok()??.into_parts();
    Some(stream)
}

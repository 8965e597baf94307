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
        let Some(again) = give(session, response).await else { return };
        stream = again;
    }
}

/// Gives the answer to whoever takes it in time, and returns the connection if another request may come on it. Otherwise
/// it is closed.
async fn give(session: ServerSession, response: Response<Vec<u8>>) -> Option<Stream> {
    timeout(TAKEN, write(session, response)).await.ok()?
}

/// Writes the answer, and returns the connection if another request may come on it.
async fn write(mut session: ServerSession, response: Response<Vec<u8>>) -> Option<Stream> {
    let (head, body) = response.into_parts();
    let head = HttpTask::Header(Box::new(head.into()), body.is_empty());
    session.response_duplex_vec(vec![head, HttpTask::Body(Some(body.into()), true)]).await.ok()?;
    let (stream, _) = session.finish().await.ok()??.into_parts();
    Some(stream)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::answer::text;
    use super::*;

    /// More than the system keeps for a connection, on both sides together.
    const LARGE: usize = 64 << 20;

    /// A client that has sent a request, and what came of it.
    async fn asked() -> (TcpStream, ServerSession) {
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(door.local_addr().unwrap()).await.unwrap();
        client.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let (stream, _) = door.accept().await.unwrap();
        let mut session = ServerSession::new_http1(Box::new(LayerFour::from(stream)));
        assert!(session.read_request().await.unwrap());
        session.set_keepalive(Some(SILENCE.as_secs()));
        (client, session)
    }

    fn large() -> Response<Vec<u8>> {
        text(StatusCode::OK, "text/plain", vec![b'x'; LARGE])
    }

    /// Time stands still here but for what is waited for when nothing else can happen.
    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_take_the_answer_is_cut_when_its_time_is_over() {
        for reads in [0, 1 << 20] {
            let (mut client, session) = asked().await;
            let began = Instant::now();
            let giving = tokio::spawn(give(session, large()));
            // Also who has begun to take it.
            let mut taken = vec![0; reads];
            client.read_exact(&mut taken).await.unwrap();
            assert!(giving.await.unwrap().is_none(), "the connection goes on");
            assert!(began.elapsed() >= TAKEN, "{:?}", began.elapsed());
            // What the system had taken by then still comes, and then the end.
            let mut rest = Vec::new();
            let _ = client.read_to_end(&mut rest).await;
            assert!(reads + rest.len() < LARGE, "{}", rest.len());
        }
    }

    #[tokio::test]
    async fn whoever_takes_the_answer_may_ask_again() {
        let (mut client, session) = asked().await;
        let giving = tokio::spawn(give(session, large()));
        let mut taken = vec![0; LARGE];
        client.read_exact(&mut taken).await.unwrap();
        assert!(giving.await.unwrap().is_some(), "the connection is closed");
    }
}

//! The client's side of a WebSocket.

use super::{Connection, Request, Response};
use crate::harness::deadline::within;
use crate::harness::tls::Stream;
use crate::harness::websocket::{Message, Side, Socket, accept};

/// An open WebSocket.
pub struct WebSocket {
    socket: Socket<Stream>,
    /// The answer that opened it.
    pub response: Response,
}

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

impl WebSocket {
    /// Asks for a WebSocket on `connection`; an answer other than 101 is handed back.
    pub(super) async fn open(
        mut connection: Connection,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, Response> {
        let mut request = Request::get(path)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", KEY);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let bytes = request.to_http1(connection.client());
        connection.write(bytes).await;
        let response = connection.head_to("GET").await;
        if response.status != 101 {
            let mut response = response;
            while let Some(piece) = connection.piece().await {
                response.body.extend_from_slice(&piece);
            }
            return Err(response);
        }
        assert_eq!(response.header("Sec-WebSocket-Accept"), Some(accept(KEY).as_str()), "{response:?}");
        assert!(response.headers.lists("Upgrade", "websocket"), "{response:?}");
        assert!(response.headers.lists("Connection", "upgrade"), "{response:?}");
        let (stream, buffer) = connection.into_parts();
        Ok(Self { socket: Socket::new(stream, buffer, Side::Client), response })
    }

    /// Sends a message; the other side may be gone already, which the next [`WebSocket::receive`] tells.
    pub async fn send(&mut self, message: Message) {
        let _ = within("room for a WebSocket message", self.socket.send(&message)).await;
    }

    /// Sends text.
    pub async fn send_text(&mut self, text: &str) {
        self.send(Message::Text(text.to_owned())).await;
    }

    /// The next message; `None` when the connection ended, properly or not. Frames that are not in the protocol fail the
    /// test.
    pub async fn receive(&mut self) -> Option<Message> {
        let received = within("a WebSocket message", self.socket.receive()).await;
        received.unwrap_or_else(|text| panic!("not in the WebSocket protocol: {text}"))
    }

    /// Sends text and expects it back.
    pub async fn echo(&mut self, text: &str) {
        self.send_text(text).await;
        assert_eq!(self.receive().await, Some(Message::Text(text.to_owned())));
    }

    /// Waits until the other side ends the connection, and says with which close message, if there was one. Other
    /// messages before that are passed over.
    pub async fn closed(&mut self) -> Option<Message> {
        let mut close = None;
        while let Some(message) = self.receive().await {
            if matches!(message, Message::Close(_)) {
                close = Some(message);
            }
        }
        close
    }
}

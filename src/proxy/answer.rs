//! The gateway's own responses: a status, a problem document (RFC 9457), and a challenge where it belongs. A gRPC client gets
//! the same in gRPC's form.
//!
//! A response says nothing that helps a guesser: one fixed sentence for each code, no version, no name of an upstream.

mod client_kind;
mod grpc;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::{HttpTask, ServerSession};
use serde::Serialize;

use super::request_id::{REQUEST_ID, RequestId};
use crate::gateway::refusal::{Refusal, Unauthenticated};
pub(super) use client_kind::ClientKind;
pub(super) use grpc::GrpcRefusal;

/// A response that is ready to be written.
pub(super) struct Answer {
    status: StatusCode,
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    form: Form,
}

/// How a response is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A head, and a body if there is one.
    Document,
    /// A head that ends the stream (gRPC over HTTP/2, "Responses").
    TrailersOnly,
}

#[derive(Serialize)]
struct ProblemDocument<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    code: &'a str,
    /// The schemes that the route accepts, in a 401.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<Vec<&'static str>>,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
}

impl Answer {
    /// The response for `refusal` to a client of this kind. `request_id` and `trace_id` are in the logs, too.
    pub(super) fn new(
        refusal: &Refusal,
        client: ClientKind,
        request_id: &RequestId,
        trace_id: Option<&str>,
    ) -> Self {
        let status = refusal.status();
        let code = refusal.code();
        let kind = format!("urn:portcullis:problem:{code}");
        let document = ProblemDocument {
            r#type: &kind,
            title: refusal.title(),
            status: status.as_u16(),
            detail: refusal.detail(),
            code,
            accepted: refusal.accepted().map(|accepted| accepted.names().collect()),
            request_id: request_id.as_str(),
            trace_id,
        };
        // Strings and a number always serialize.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut fields = vec![
            (header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (REQUEST_ID, request_id.value().clone()),
        ];
        match refusal {
            Refusal::Unauthenticated(Unauthenticated { challenges, code: _, accepted: _ }) => {
                let challenges = match client {
                    ClientKind::Script => challenges.without_dialog(),
                    ClientKind::Grpc | ClientKind::Other => challenges.all(),
                };
                fields
                    .extend(challenges.iter().map(|challenge| (header::WWW_AUTHENTICATE, challenge.clone())));
            }
            Refusal::Forbidden(Some(challenge)) => fields.push((header::WWW_AUTHENTICATE, challenge.clone())),
            Refusal::MethodNotAllowed(allow) => fields.push((header::ALLOW, allow.clone())),
            Refusal::BodyTooLarge
            | Refusal::Forbidden(None)
            | Refusal::HeadTooLarge
            | Refusal::Malformed(_)
            | Refusal::Misdirected
            | Refusal::MultipleCredentials
            | Refusal::NoRoute
            | Refusal::RequestTimeout
            | Refusal::TlsRequired
            | Refusal::TooManyAttempts(_)
            | Refusal::Unavailable(_)
            | Refusal::UpstreamFailed
            | Refusal::UpstreamTimedOut => {}
        }
        if let Some(seconds) = refusal.retry_after() {
            fields.push((header::RETRY_AFTER, HeaderValue::from(seconds)));
        }
        match client {
            ClientKind::Grpc => {
                grpc::to_trailers_only(refusal, &mut fields);
                Self { status: StatusCode::OK, fields, body: Bytes::new(), form: Form::TrailersOnly }
            }
            ClientKind::Script | ClientKind::Other => {
                Self { status, fields, body: body.into(), form: Form::Document }
            }
        }
    }

    /// Sends a client to the same URL over HTTPS.
    pub(super) fn redirect(location: HeaderValue, request_id: &RequestId) -> Self {
        let fields = vec![(header::LOCATION, location), (REQUEST_ID, request_id.value().clone())];
        Self { status: StatusCode::PERMANENT_REDIRECT, fields, body: Bytes::new(), form: Form::Document }
    }

    /// The fields beside the status.
    pub(super) fn into_fields(self) -> Vec<(HeaderName, HeaderValue)> {
        self.fields
    }

    /// Writes the response to a request that the library has read.
    pub(super) async fn write(self, session: &mut ServerSession) -> Result<()> {
        let Self { status, fields, body, form } = self;
        let mut head = ResponseHeader::build(status, Some(fields.len() + 4))?;
        for (name, value) in fields {
            head.append_header(name, value)?;
        }
        if form == Form::TrailersOnly {
            session.response_duplex_vec(vec![HttpTask::Header(Box::new(head), true)]).await?;
            return Ok(());
        }
        head.insert_header(header::CONTENT_LENGTH, body.len())?;
        let without_body = body.is_empty() || session.req_header().method == Method::HEAD;
        session.write_response_header(Box::new(head)).await?;
        if !without_body {
            session.write_response_body(body, true).await?;
        } else if session.is_http2() {
            // Over HTTP/1 the head has said that it is all. A stream that is left without its end is reset.
            session.finish_body().await?;
        }
        Ok(())
    }

    /// The response as HTTP/1.1 bytes, for a request that never reached the library. It closes the connection.
    pub(super) fn to_http1(&self, without_body: bool) -> Vec<u8> {
        let Self { status, fields, body, form: _ } = self;
        let mut bytes =
            format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default())
                .into_bytes();
        for (name, value) in fields {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(
            format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes(),
        );
        if !without_body {
            bytes.extend_from_slice(body);
        }
        bytes
    }
}

//! The gateway's own answers: a status, a problem document (RFC 9457), and a challenge where it belongs.
//!
//! An answer says nothing that helps a guesser: one fixed sentence for each code, no version, no name of an upstream.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use serde::Serialize;

use super::request_id::{REQUEST_ID, RequestId};
use crate::gateway::refusal::{Refusal, Unauthenticated};

/// An answer that is ready to be written.
pub(super) struct Answer {
    status: StatusCode,
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

#[derive(Serialize)]
struct ProblemDocument<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
}

impl Answer {
    /// The answer for `refusal`, and what to look for it under.
    pub(super) fn new(refusal: &Refusal, request_id: &RequestId, trace_id: Option<&str>) -> Self {
        let status = refusal.status();
        let code = refusal.code();
        let kind = format!("urn:portcullis:problem:{code}");
        let document = ProblemDocument {
            r#type: &kind,
            title: refusal.title(),
            status: status.as_u16(),
            code,
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
            Refusal::Unauthenticated(Unauthenticated { challenges, code: _ }) => {
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
        Self { status, fields, body: body.into() }
    }

    /// Sends a client to the same URL over HTTPS.
    pub(super) fn redirect(location: HeaderValue, request_id: &RequestId) -> Self {
        let fields = vec![(header::LOCATION, location), (REQUEST_ID, request_id.value().clone())];
        Self { status: StatusCode::PERMANENT_REDIRECT, fields, body: Bytes::new() }
    }

    /// The fields beside the status.
    pub(super) fn into_fields(self) -> Vec<(HeaderName, HeaderValue)> {
        self.fields
    }

    /// Writes the answer to a request that the library has read.
    pub(super) async fn write(self, session: &mut ServerSession) -> Result<()> {
        let Self { status, fields, body } = self;
        let mut head = ResponseHeader::build(status, Some(fields.len() + 4))?;
        for (name, value) in fields {
            head.append_header(name, value)?;
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

    /// The answer as HTTP/1.1 bytes, for a request that never reached the library. It closes the connection.
    pub(super) fn to_http1(&self, without_body: bool) -> Vec<u8> {
        let Self { status, fields, body } = self;
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

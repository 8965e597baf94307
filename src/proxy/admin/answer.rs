//! Answers of the admin listener, and reading what it is asked.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use pingora::protocols::http::ServerSession;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::authn::guessing::TooMany;
use crate::revocation::store::Failure;

/// The most that a request's body may be.
const LARGEST_BODY: usize = 16 << 10;

/// An answer with a body of a kind.
pub(super) fn text(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let length = body.len();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An answer with a document.
pub(super) fn document(status: StatusCode, value: &impl Serialize) -> Response<Vec<u8>> {
    let mut body = serde_json::to_vec(value).unwrap_or_default();
    body.push(b'\n');
    text(status, "application/json", body)
}

/// Why an operator, or somebody else, does not get what was asked for.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) why: String,
    /// Seconds after which trying again makes sense.
    retry_after: Option<u32>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into(), retry_after: None }
    }

    /// What was sent makes no sense.
    pub(super) fn bad(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }

    pub(super) fn response(&self) -> Response<Vec<u8>> {
        let mut response = document(self.status, &json!({ "error": self.why }));
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"portcullis-admin\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let status = match failure {
            Failure::Cursor => StatusCode::BAD_REQUEST,
            Failure::HandedOver | Failure::Redis(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, failure.to_string())
    }
}

impl From<TooMany> for Refused {
    fn from(TooMany { retry_after }: TooMany) -> Self {
        let why = format!("too many wrong tokens from here: try again in {retry_after} s");
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::TOO_MANY_REQUESTS, why) }
    }
}

/// Refuses a body that is not said to be JSON. A form, which a page of any origin can send, never is.
pub(super) fn check_is_json(headers: &HeaderMap) -> Result<(), Refused> {
    let is_json = headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
    });
    if is_json {
        Ok(())
    } else {
        Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"))
    }
}

/// The body of a request, which has to be here by `deadline`.
pub(super) async fn body(session: &mut ServerSession, deadline: Instant) -> Result<Vec<u8>, Refused> {
    let mut body = Vec::new();
    loop {
        match timeout_at(deadline, session.read_request_body()).await {
            Ok(Ok(Some(piece))) if body.len() + piece.len() <= LARGEST_BODY => body.extend_from_slice(&piece),
            Ok(Ok(Some(_))) => {
                return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"));
            }
            Ok(Ok(None)) => return Ok(body),
            Ok(Err(_)) => return Err(Refused::bad("the body cannot be read")),
            Err(_) => {
                // The rest of it is not waited for either.
                session.set_keepalive(None);
                return Err(Refused::new(StatusCode::REQUEST_TIMEOUT, "the request did not come in time"));
            }
        }
    }
}

/// Reads `a=b&c=d`, with escapes, into a document of text fields.
pub(super) fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, Refused> {
    let mut fields = serde_json::Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if fields.insert(name.clone().into_owned(), value.into_owned().into()).is_some() {
            return Err(Refused::bad(format!("`{name}` is given twice")));
        }
    }
    serde_json::from_value(fields.into()).map_err(|error| Refused::bad(error.to_string()))
}

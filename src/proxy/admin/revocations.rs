//! `/revocations` on the admin listener: `GET` shows the list, `POST` adds to it, `DELETE` takes from it.
//!
//! Whoever may write here can lock users out, or let a revoked one in again. It therefore takes the admin token, or, when
//! there is none, a loopback address that is also asked for by that name: a web page in the operator's browser can reach
//! the address, but under another name, and it cannot send JSON there. Whatever the token, a browser that says that it
//! asks for a page of another origin is refused.

use aws_lc_rs::constant_time;
use http::header::{self, HeaderMap};
use http::{Method, Response, StatusCode};
use pingora::protocols::http::ServerSession;
use serde::Serialize;
use serde_json::json;

use super::super::shared::Shared;
use super::text;
use crate::authn::revocable::Kind;
use crate::config::listeners::Admin;
use crate::request::authority::Authority;
use crate::revocation::request::{Revocation, Target};
use crate::revocation::store::{Cursor, Failure, LARGEST_PAGE, Listed};
use crate::telemetry::audit::{Administrator, Event, Principal};

/// The most that a request's body may be.
const LARGEST_BODY: usize = 16 << 10;

const DEFAULT_PAGE: usize = 100;

/// Answers a request for `/revocations`.
pub(super) async fn answer(shared: &Shared, session: &mut ServerSession) -> Response<Vec<u8>> {
    let configuration = shared.configuration.load_full();
    let source = session.client_addr().and_then(|address| Some(address.as_inet()?.ip().to_canonical()));
    let request = session.req_header();
    let access =
        check_origin(&request.headers).and_then(|()| check_access(&request.headers, &configuration.admin));
    let by = match access {
        Ok(principal) => Administrator { principal, source },
        Err(refused) => {
            let by = Administrator { principal: Principal::Nobody, source };
            let status = refused.status.as_u16();
            shared.audit.record(&Event::AdminRefused { by, status, reason: &refused.why });
            return refused.response();
        }
    };
    let method = request.method.clone();
    let query = request.uri.query().unwrap_or_default().to_owned();
    let is_json = request.headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
    });
    let result = match method {
        Method::GET | Method::HEAD => list(shared, &query).await,
        Method::POST if !is_json => {
            Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"))
        }
        Method::POST => match body(session).await {
            Ok(body) => add(shared, &body, by).await,
            Err(refused) => Err(refused),
        },
        Method::DELETE => remove(shared, &query, by).await,
        _ => Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, "use GET, POST or DELETE")),
    };
    result.unwrap_or_else(|refused| refused.response())
}

struct Refused {
    status: StatusCode,
    why: String,
}

impl Refused {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }

    fn response(&self) -> Response<Vec<u8>> {
        let mut response = answer_json(self.status, &json!({ "error": self.why }));
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = header::HeaderValue::from_static("Bearer realm=\"portcullis-admin\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
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

/// Refuses what a browser sends for a page of another origin. Programs send neither of these fields.
fn check_origin(headers: &HeaderMap) -> Result<(), Refused> {
    let text = |name: &str| headers.get(name).map(header::HeaderValue::as_bytes);
    let host = text("host").unwrap_or_default();
    let own = text("origin").is_none_or(|origin| {
        let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    });
    // Fetch Metadata: what did not come from a page at all is `none`.
    let near = text("sec-fetch-site").is_none_or(|site| matches!(site, b"none" | b"same-origin"));
    if own && near {
        Ok(())
    } else {
        Err(Refused::new(StatusCode::FORBIDDEN, "this is not for web pages of another origin"))
    }
}

fn check_access(headers: &HeaderMap, admin: &Admin) -> Result<Principal, Refused> {
    match &admin.token {
        Some(token) => {
            let sent =
                headers.get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes).unwrap_or_default();
            let sent = match sent.split_at_checked(7) {
                Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => rest,
                Some(_) | None => &[],
            };
            constant_time::verify_slices_are_equal(sent, token.expose())
                .map(|()| Principal::AdminToken)
                .map_err(|_| Refused::new(StatusCode::UNAUTHORIZED, "the admin token is needed"))
        }
        None if !admin.address.ip().is_loopback() => Err(Refused::new(
            StatusCode::FORBIDDEN,
            "without `admin: { token }` this is possible on a loopback address only",
        )),
        None if !is_for_loopback(headers) => {
            Err(Refused::new(StatusCode::FORBIDDEN, "ask for this by a loopback address or `localhost`"))
        }
        None => Ok(Principal::Loopback),
    }
}

/// Whether the request names the machine itself, and not a name that was made to point to it (DNS rebinding).
fn is_for_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(header::HeaderValue::as_bytes).unwrap_or_default();
    let Ok(authority) = Authority::parse(host) else { return false };
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

async fn body(session: &mut ServerSession) -> Result<Vec<u8>, Refused> {
    let mut body = Vec::new();
    loop {
        match session.read_request_body().await {
            Ok(Some(piece)) if body.len() + piece.len() <= LARGEST_BODY => body.extend_from_slice(&piece),
            Ok(Some(_)) => return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")),
            Ok(None) => return Ok(body),
            Err(_) => return Err(Refused::new(StatusCode::BAD_REQUEST, "the body cannot be read")),
        }
    }
}

async fn list(shared: &Shared, query: &str) -> Result<Response<Vec<u8>>, Refused> {
    let parameters: ListParameters = parse_query(query)?;
    let ListParameters { kind, cursor, limit } = parameters;
    let bad = |why: &str| Refused::new(StatusCode::BAD_REQUEST, why);
    let kind =
        kind.map(|kind| Kind::named(&kind).ok_or_else(|| bad("there is no such `kind`"))).transpose()?;
    let limit = limit.map(|limit| limit.parse().map_err(|_| bad("`limit` is not a number"))).transpose()?;
    let limit = limit.unwrap_or(DEFAULT_PAGE).clamp(1, LARGEST_PAGE);
    let cursor = cursor.map(Cursor::new).unwrap_or_default();
    let configuration = shared.configuration.load_full();
    let page = configuration.list.store().list(kind, &cursor, limit).await?;
    let next = page.next.as_ref().map(Cursor::as_str);
    Ok(answer_json(StatusCode::OK, &json!({ "revocations": page.entries, "next": next })))
}

async fn add(shared: &Shared, body: &[u8], by: Administrator) -> Result<Response<Vec<u8>>, Refused> {
    let bad = |why: String| Refused::new(StatusCode::BAD_REQUEST, why);
    let revocation: Revocation = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    let configuration = shared.configuration.load_full();
    let longest_token = configuration.gateway.longest_token();
    let entry = revocation.entry(longest_token, &shared.clock).map_err(|error| bad(error.to_string()))?;
    configuration.list.store().add(&entry).await?;
    let (revoked, listed) = (entry.name().to_string(), Listed::of(&entry, &shared.clock));
    log::info!("revoked {revoked}");
    let (until, reason) = (listed.expires.as_deref(), &*listed.reason);
    shared.audit.record(&Event::RevocationAdded { by, revoked: &revoked, until, reason });
    Ok(answer_json(StatusCode::CREATED, &listed))
}

async fn remove(shared: &Shared, query: &str, by: Administrator) -> Result<Response<Vec<u8>>, Refused> {
    let bad = |why: String| Refused::new(StatusCode::BAD_REQUEST, why);
    let target: Target = parse_query(query)?;
    let name = target.name().map_err(|error| bad(error.to_string()))?;
    let configuration = shared.configuration.load_full();
    if !configuration.list.store().remove(&name).await? {
        return Err(Refused::new(StatusCode::NOT_FOUND, format!("{name} is not revoked")));
    }
    let revoked = name.to_string();
    log::info!("lifted {revoked}");
    shared.audit.record(&Event::RevocationLifted { by, revoked: &revoked });
    Ok(answer_json(StatusCode::OK, &json!({ "lifted": revoked })))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParameters {
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    cursor: Option<String>,
    #[serde(default)]
    limit: Option<String>,
}

/// Reads `a=b&c=d`, with escapes, into a document of text fields.
fn parse_query<T: serde::de::DeserializeOwned>(query: &str) -> Result<T, Refused> {
    let bad = |why: String| Refused::new(StatusCode::BAD_REQUEST, why);
    let mut fields = serde_json::Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if fields.insert(name.clone().into_owned(), value.into_owned().into()).is_some() {
            return Err(bad(format!("`{name}` is given twice")));
        }
    }
    serde_json::from_value(fields.into()).map_err(|error| bad(error.to_string()))
}

fn answer_json(status: StatusCode, value: &impl Serialize) -> Response<Vec<u8>> {
    let mut body = serde_json::to_vec(value).unwrap_or_default();
    body.push(b'\n');
    text(status, "application/json", body)
}

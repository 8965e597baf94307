//! `/revocations` on the admin listener: `GET` shows the list, `POST` adds to it, `DELETE` takes from it.

use http::{Method, Response, StatusCode};
use pingora::protocols::http::ServerSession;
use serde_json::json;

use super::super::shared::Shared;
use super::AdminApp;
use super::access::check_origin;
use super::answer::{Refused, body, check_is_json, document, parse_query};
use crate::authn::Authenticator;
use crate::authn::revocable::Kind;
use crate::config::Configuration;
use crate::revocation::entry::Invalid;
use crate::revocation::request::{Revocation, Target};
use crate::revocation::store::{Cursor, Failure, LARGEST_PAGE, Listed};
use crate::telemetry::audit::{Administrator, Event};

const DEFAULT_PAGE: usize = 100;

/// Answers a request for `/revocations`.
pub(super) async fn answer(app: &AdminApp, session: &mut ServerSession) -> Response<Vec<u8>> {
    let configuration = app.shared.configuration.load_full();
    let headers = &session.req_header().headers;
    let access =
        check_origin(headers).and_then(|()| app.access.check(headers, &configuration.admin, app.source));
    let result = match access {
        Ok(principal) => carry_out(app, session, app.by(principal)).await,
        Err(refused) => {
            app.record(&refused, session);
            Err(refused)
        }
    };
    result.unwrap_or_else(|refused| refused.response())
}

/// Reads or writes the list for somebody who may.
pub(super) async fn carry_out(
    app: &AdminApp,
    session: &mut ServerSession,
    by: Administrator,
) -> Result<Response<Vec<u8>>, Refused> {
    let (request, shared) = (session.req_header(), app.shared.clone());
    let method = request.method.clone();
    let query = request.uri.query().unwrap_or_default().to_owned();
    match method {
        Method::GET | Method::HEAD => list(&shared, &query).await,
        Method::POST => {
            check_is_json(&request.headers)?;
            let body = body(session, app.deadline).await?;
            to_its_end(async move { add(&shared, &body, by).await }).await
        }
        Method::DELETE => to_its_end(async move { remove(&shared, &query, by).await }).await,
        _ => Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, "use GET, POST or DELETE")),
    }
}

/// Carries a change out on a task of its own: it is recorded, too, if whoever asked for it loses the connection meanwhile.
async fn to_its_end(
    change: impl Future<Output = Result<Response<Vec<u8>>, Refused>> + Send + 'static,
) -> Result<Response<Vec<u8>>, Refused> {
    let ended = tokio::spawn(change).await;
    ended.unwrap_or_else(|_| Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "this came to no end")))
}

/// Refuses a key of this gateway in place of its identifier: it would be written down, and revoke nothing. Keys of our own
/// making are known by their form, wherever they are from; others only here.
fn check_is_no_key(configuration: &Configuration, id: &str) -> Result<(), Refused> {
    let is_key = configuration.gateway.methods.iter().any(|method| match method {
        Authenticator::ApiKey(method) => method.knows(id),
        Authenticator::Basic(_) | Authenticator::Jwt(_) => false,
    });
    if is_key { Err(Refused::bad(Invalid::WholeKey.to_string())) } else { Ok(()) }
}

/// Records a change that may have been made, or not: a list that did not answer in time may have heard of it.
fn failed(shared: &Shared, by: Administrator, revoked: &str, failure: Failure) -> Refused {
    let refused = Refused::from(failure);
    shared.audit.record(&Event::RevocationFailed { by, revoked, reason: &refused.why });
    refused
}

async fn list(shared: &Shared, query: &str) -> Result<Response<Vec<u8>>, Refused> {
    let parameters: ListParameters = parse_query(query)?;
    let ListParameters { kind, cursor, limit } = parameters;
    let bad = |why: &str| Refused::bad(why);
    let kind =
        kind.map(|kind| Kind::named(&kind).ok_or_else(|| bad("there is no such `kind`"))).transpose()?;
    let limit = limit.map(|limit| limit.parse().map_err(|_| bad("`limit` is not a number"))).transpose()?;
    let limit = limit.unwrap_or(DEFAULT_PAGE).clamp(1, LARGEST_PAGE);
    let cursor = cursor.map(Cursor::new).unwrap_or_default();
    let configuration = shared.configuration.load_full();
    let page = configuration.list.store().list(kind, &cursor, limit).await?;
    let next = page.next.as_ref().map(Cursor::as_str);
    Ok(document(StatusCode::OK, &json!({ "revocations": page.entries, "next": next })))
}

async fn add(shared: &Shared, body: &[u8], by: Administrator) -> Result<Response<Vec<u8>>, Refused> {
    let revocation: Revocation =
        serde_json::from_slice(body).map_err(|error| Refused::bad(error.to_string()))?;
    let configuration = shared.configuration.load_full();
    let longest_token = configuration.gateway.longest_token();
    let entry =
        revocation.entry(longest_token, &shared.clock).map_err(|error| Refused::bad(error.to_string()))?;
    check_is_no_key(&configuration, &revocation.id)?;
    let (revoked, listed) = (entry.name().to_string(), Listed::of(&entry, &shared.clock));
    let added = configuration.list.store().add(&entry).await;
    added.map_err(|failure| failed(shared, by, &revoked, failure))?;
    log::info!("revoked {revoked}");
    let (until, reason) = (listed.expires.as_deref(), &*listed.reason);
    shared.audit.record(&Event::RevocationAdded { by, revoked: &revoked, until, reason });
    Ok(document(StatusCode::CREATED, &listed))
}

async fn remove(shared: &Shared, query: &str, by: Administrator) -> Result<Response<Vec<u8>>, Refused> {
    let target: Target = parse_query(query)?;
    let name = target.name().map_err(|error| Refused::bad(error.to_string()))?;
    let configuration = shared.configuration.load_full();
    let revoked = name.to_string();
    let removed = configuration.list.store().remove(&name).await;
    if !removed.map_err(|failure| failed(shared, by, &revoked, failure))? {
        return Err(Refused::new(StatusCode::NOT_FOUND, format!("{name} is not revoked")));
    }
    log::info!("lifted {revoked}");
    shared.audit.record(&Event::RevocationLifted { by, revoked: &revoked });
    Ok(document(StatusCode::OK, &json!({ "lifted": revoked })))
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

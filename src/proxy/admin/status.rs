//! The status page: a page for people, and the documents that it is made of.
//!
//! The page itself says nothing about this gateway, so whoever reaches the admin listener may have it. The documents take
//! what `/revocations` takes: the admin token, or a loopback address where there is none. Nothing is asked for elsewhere,
//! and what came with requests is only ever text.

mod now;

use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use pingora::protocols::http::ServerSession;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{came_by_https, check_is_local, check_origin, check_own_page, read_only};
use super::answer::{Refused, body, check_is_json, document, text};
use super::sessions::Open;
use super::{AdminApp, revocations};
use crate::gateway::matrix::Matrix;
use crate::secret::Secret;
use crate::telemetry::audit::{Event, Principal};
use now::Now;

const PAGE: &str = include_str!("status/page.html");
const STYLE: &str = include_str!("status/page.css");
const SCRIPT: &str = include_str!("status/page.js");

/// Nothing is loaded from elsewhere, nothing of it is shown elsewhere, and no script runs that is not ours.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const FIELDS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Whether this is where the page or something of it is.
pub(super) fn is_for(path: &str) -> bool {
    path == "/status" || path.starts_with("/status/")
}

/// Answers a request for the page or something of it.
pub(super) async fn answer(app: &AdminApp, path: &str, session: &mut ServerSession) -> Response<Vec<u8>> {
    let mut response = find(app, path, session).await.unwrap_or_else(|refused| {
        // What somebody may not is recorded; what does not exist or makes no sense is not.
        let may_not = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS];
        if may_not.contains(&refused.status) {
            app.record(&refused, session);
        }
        refused.response()
    });
    for (name, value) in FIELDS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn find(app: &AdminApp, path: &str, session: &mut ServerSession) -> Result<Response<Vec<u8>>, Refused> {
    let method = &session.req_header().method;
    let reading = matches!(*method, Method::GET | Method::HEAD);
    let fixed = |kind, body: &str| Ok(text(StatusCode::OK, kind, body.as_bytes().to_vec()));
    match path {
        "/status" if reading => fixed("text/html; charset=utf-8", PAGE),
        "/status/page.css" if reading => fixed("text/css; charset=utf-8", STYLE),
        "/status/page.js" if reading => fixed("text/javascript; charset=utf-8", SCRIPT),
        "/status/now" if reading => {
            may_read(app, session)?;
            Ok(document(StatusCode::OK, &Now::of(&app.shared)))
        }
        "/status/policy" if reading => {
            may_read(app, session)?;
            let configuration = app.shared.configuration.load_full();
            Ok(document(StatusCode::OK, &Matrix::of(&configuration.gateway)))
        }
        "/status/session" if reading => show_session(app, session),
        "/status/session" if *method == Method::POST => sign_in(app, session).await,
        "/status/session" if *method == Method::DELETE => sign_out(app, session),
        "/status/revocations" => {
            let principal = if reading {
                may_read(app, session)?
            } else {
                may_change(app, session).map(|_open| Principal::AdminSession)?
            };
            revocations::carry_out(app, session, app.by(principal)).await
        }
        "/status" | "/status/page.css" | "/status/page.js" | "/status/now" | "/status/policy"
        | "/status/session" => {
            Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not for this"))
        }
        _ => Err(Refused::new(StatusCode::NOT_FOUND, "there is nothing here")),
    }
}

fn may_read(app: &AdminApp, session: &ServerSession) -> Result<Principal, Refused> {
    let admin = &app.shared.configuration.load().admin;
    app.access.check_reading(&session.req_header().headers, admin, app.source)
}

fn may_change(app: &AdminApp, session: &ServerSession) -> Result<Open, Refused> {
    let admin = &app.shared.configuration.load().admin;
    app.access.check_changing(&session.req_header().headers, admin)
}

/// Tells a page whether somebody has signed in, and what it has to repeat.
fn show_session(app: &AdminApp, session: &ServerSession) -> Result<Response<Vec<u8>>, Refused> {
    let headers = &session.req_header().headers;
    check_origin(headers)?;
    let admin = &app.shared.configuration.load().admin;
    let Some(token) = &admin.token else {
        check_is_local(headers, admin, app.source)?;
        return Ok(document(StatusCode::OK, &json!({ "mode": "read_only" })));
    };
    Ok(match app.access.sessions.find(headers, token) {
        Some(open) => document(StatusCode::OK, &signed_in(&open)),
        None => document(StatusCode::OK, &json!({ "mode": "signed_out" })),
    })
}

fn signed_in(open: &Open) -> Value {
    json!({ "mode": "signed_in", "repeat": open.repeat, "seconds_left": open.left.as_secs() })
}

/// What the form for signing in sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    token: String,
}

async fn sign_in(app: &AdminApp, session: &mut ServerSession) -> Result<Response<Vec<u8>>, Refused> {
    let headers = session.req_header().headers.clone();
    check_own_page(&headers)?;
    let configuration = app.shared.configuration.load_full();
    let token = configuration.admin.token.as_ref().ok_or_else(read_only)?;
    check_is_json(&headers)?;
    let body = Secret::new(body(session, app.deadline).await?);
    // What is wrong with it is not said: it would be said with a piece of the body.
    let sent: SignIn =
        serde_json::from_slice(body.expose()).map_err(|_| Refused::bad("a `token` is expected"))?;
    let sent = Secret::from(sent.token);
    app.access.check_token(token, sent.expose(), app.source)?;
    let (open, cookie) = app
        .access
        .sessions
        .open(token, came_by_https(&headers))
        .ok_or_else(|| Refused::new(StatusCode::SERVICE_UNAVAILABLE, "a session cannot be opened now"))?;
    log::info!("signed in to the status page from {}", app.source);
    app.shared.audit.record(&Event::SignedIn { by: app.by(Principal::AdminToken) });
    let mut response = document(StatusCode::OK, &signed_in(&open));
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

fn sign_out(app: &AdminApp, session: &ServerSession) -> Result<Response<Vec<u8>>, Refused> {
    let open = may_change(app, session)?;
    app.shared.audit.record(&Event::SignedOut { by: app.by(Principal::AdminSession) });
    let mut response = document(StatusCode::OK, &json!({ "mode": "signed_out" }));
    for cookie in app.access.sessions.close(&open) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

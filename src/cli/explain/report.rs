//! What there is to say about a request, without secrets: what JSON shows, and what the text is made from.

use std::net::IpAddr;

use http::{HeaderName, header};
use serde::Serialize;

use crate::authn::credential::{API_KEY, has_credential};
use crate::authn::witness::{Finding, Outcome};
use crate::gateway::matcher::{Miss, Near};
use crate::gateway::requirement::Methods;
use crate::gateway::upstream::{Destination, HostPolicy, Upstream};
use crate::proxy::rehearsal::{Account, Ending, Forwarded, Identifier};
use crate::secret::{Secret, looks_like_a_credential};

/// What is said about a request.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Report {
    /// The address of the client, where a trusted proxy has named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) client: Option<IpAddr>,
    /// `public`, `allowed`, `reported`, `redirected` or `refused`, as in the access log.
    pub(in crate::cli) outcome: &'static str,
    /// As in the access log.
    pub(in crate::cli) reason: &'static str,
    /// The status of the gateway's own answer; none when the upstream answers.
    pub(in crate::cli) status: Option<u16>,
    /// The code in the problem document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) title: Option<&'static str>,
    pub(in crate::cli) route: Option<String>,
    pub(in crate::cli) near: Vec<NearRoute>,
    pub(in crate::cli) auth: Option<String>,
    pub(in crate::cli) subject: Option<String>,
    pub(in crate::cli) checks: Vec<Checked>,
    /// The fields of the gateway's own answer.
    pub(in crate::cli) answer: Vec<Field>,
    pub(in crate::cli) upstream: Option<Request>,
    /// What cannot be known here.
    pub(in crate::cli) unknown: Vec<String>,
}

/// A route that was nearly taken.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct NearRoute {
    pub(in crate::cli) route: String,
    pub(in crate::cli) miss: &'static str,
    pub(in crate::cli) detail: String,
}

/// A check and how it came out.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Checked {
    pub(in crate::cli) check: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) auth: Option<String>,
    /// `passed`, `failed` or `passed_over`.
    pub(in crate::cli) result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) reason: Option<&'static str>,
    pub(in crate::cli) detail: String,
}

/// What would go upstream.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Request {
    pub(in crate::cli) name: String,
    pub(in crate::cli) targets: Vec<String>,
    pub(in crate::cli) target: String,
    pub(in crate::cli) limits: Limits,
    pub(in crate::cli) headers: Vec<Field>,
    /// The field that held the credential, which is removed.
    pub(in crate::cli) credential_removed: Option<String>,
    /// Other fields that are removed.
    pub(in crate::cli) removed: Vec<String>,
}

/// The limits of the request, of its route or of the whole file.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Limits {
    /// How long its body may be.
    pub(in crate::cli) request_body_bytes: u64,
    /// How long the upstream may take until its response begins.
    pub(in crate::cli) request_timeout_ms: u128,
    /// Both as the file writes them.
    #[serde(skip)]
    pub(in crate::cli) text: String,
}

/// A header field.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Field {
    pub(in crate::cli) name: String,
    /// Nothing when it is not shown.
    pub(in crate::cli) value: Option<String>,
    /// Why it is not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) hidden: Option<&'static str>,
    /// What is hidden, for whoever compares it with something and shows neither.
    #[serde(skip)]
    pub(in crate::cli) kept: Option<Secret>,
}

impl Report {
    /// What there is to say about `account`.
    pub(in crate::cli) fn of(account: &Account) -> Self {
        let Account { client, logged, near, findings, ending, notes } = account;
        let plain = |name: &HeaderName, value: &http::HeaderValue| Field {
            name: name.as_str().to_owned(),
            value: Some(String::from_utf8_lossy(value.as_bytes()).into_owned()),
            hidden: None,
            kept: None,
        };
        let (status, code, title, answer, upstream) = match ending {
            Ending::Admitted(forwarded) => (None, None, None, Vec::new(), Some(Request::of(forwarded))),
            Ending::Redirected(location) => {
                (Some(308), None, None, vec![plain(&header::LOCATION, location)], None)
            }
            Ending::Refused(refusal, fields) => {
                let fields = fields.iter().map(|(name, value)| plain(name, value)).collect();
                let (code, title) = (Some(refusal.code()), Some(refusal.title()));
                (Some(refusal.status().as_u16()), code, title, fields, None)
            }
        };
        Self {
            client: *client,
            outcome: logged.outcome,
            reason: logged.reason,
            status,
            code,
            title,
            route: logged.route.clone(),
            near: near.iter().map(NearRoute::of).collect(),
            auth: logged.auth.clone(),
            subject: logged.subject.clone(),
            checks: findings.iter().map(Checked::of).collect(),
            answer,
            upstream,
            unknown: notes.clone(),
        }
    }
}

/// Why what may be a secret of the client is not shown.
const AS_IT_WAS_SENT: &str = "as it was sent";

/// Whether the value of a field that a client sends may be a secret.
pub(in crate::cli) fn may_be_secret(name: &HeaderName, value: &str) -> bool {
    let secret = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE, API_KEY];
    secret.contains(name) || looks_like_a_credential(value)
}

impl NearRoute {
    fn of(near: &Near) -> Self {
        let Near { route, miss } = near;
        let pattern = &route.pattern;
        let detail = match miss {
            Miss::Host => format!("its host is `{}`", pattern.host),
            Miss::LessSpecific => {
                format!("`{}` fits, and another route that fits is more specific", pattern.path)
            }
            Miss::Method => {
                let methods = pattern.methods.iter().flat_map(Methods::iter);
                format!("its methods are {}", methods.collect::<Vec<_>>().join(", "))
            }
            Miss::Path => format!("its path is `{}`", pattern.path),
            Miss::Reserved => {
                "it fits and is public, but a more specific route with a guard does not take the method"
                    .to_owned()
            }
            Miss::Shadow(other) => format!(
                "it fits, but some upstreams would take the path for `{}` of the route `{}`, so there is no route",
                other.pattern.path, other.name
            ),
        };
        Self { route: route.name.to_string(), miss: miss.name(), detail }
    }
}

impl Checked {
    fn of(finding: &Finding) -> Self {
        let Finding { check, auth, outcome, detail } = finding;
        let (result, reason) = match outcome {
            Outcome::Failed(reason) => ("failed", Some(*reason)),
            Outcome::Passed => ("passed", None),
            Outcome::PassedOver => ("passed_over", None),
        };
        let auth = auth.as_ref().map(ToString::to_string);
        Self { check: check.name(), auth, result, reason, detail: detail.clone() }
    }
}

impl Request {
    fn of(forwarded: &Forwarded) -> Self {
        let Forwarded {
            upstream,
            body_limit,
            request_timeout,
            target,
            headers,
            passed_on,
            removed,
            stripped,
            request_id,
        } = forwarded;
        let several = matches!(&upstream.destination, Destination::Targets(targets) if targets.len() > 1);
        let host_of_target = upstream.host == HostPolicy::Target && several;
        let hidden = |name: &HeaderName, value: &str| {
            if *name == header::HOST && host_of_target {
                return Some("that of the target");
            }
            if *name == "x-request-id" && *request_id == Identifier::Made {
                return Some("another one for each request");
            }
            (passed_on.contains(name) && may_be_secret(name, value)).then_some(AS_IT_WAS_SENT)
        };
        let fields = headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            let hidden = hidden(name, &value);
            let name = name.as_str().to_owned();
            match hidden {
                Some(AS_IT_WAS_SENT) => Field { name, value: None, hidden, kept: Some(value.into()) },
                Some(_) => Field { name, value: None, hidden, kept: None },
                None => Field { name, value: Some(value), hidden, kept: None },
            }
        });
        Self {
            name: upstream.name.to_string(),
            targets: targets(upstream),
            target: shown(target),
            limits: Limits {
                request_body_bytes: body_limit.bytes(),
                request_timeout_ms: request_timeout.duration().as_millis(),
                text: format!("a body of {body_limit}, {request_timeout} until the response begins"),
            },
            headers: fields.collect(),
            credential_removed: stripped.as_ref().map(|name| name.as_str().to_owned()),
            removed: removed.iter().map(|name| name.as_str().to_owned()).collect(),
        }
    }
}

fn targets(upstream: &Upstream) -> Vec<String> {
    match &upstream.destination {
        Destination::Echo => vec!["builtin:echo".to_owned()],
        Destination::Targets(targets) => targets
            .iter()
            .map(|target| {
                let (open, close) = if target.host.contains(':') { ("[", "]") } else { ("", "") };
                format!("{}://{open}{}{close}:{}", target.protocol.scheme(), target.host, target.port)
            })
            .collect(),
    }
}

/// A target without what may be a credential.
pub(in crate::cli) fn shown(target: &str) -> String {
    match target.split_once('?') {
        Some((path, query)) if has_credential(query) || looks_like_a_credential(query) => {
            format!("{}?[redacted]", crate::proxy::loggable_path(path))
        }
        Some((path, query)) => format!("{}?{query}", crate::proxy::loggable_path(path)),
        None => crate::proxy::loggable_path(target),
    }
}

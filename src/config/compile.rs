//! Turns the document into what serves requests. Every name becomes a pointer here, or the file is refused.

mod auth;
mod headers;
mod names;
mod proxies;
mod routes;
mod upstreams;

use super::document::{Document, FailedAttemptsEntry, LimitsEntry, TestEntry};
use super::listeners::{self, Admin, Listener};
use super::logs::{self, Logs};
use super::tls::{self, Tls};
use super::tracing::{self, Tracing};
use super::{Configuration, Purpose, Services, trials};
use crate::authn::guessing::{Limiter, Memory};
use crate::gateway::matcher::RouteTable;
use crate::gateway::{Gateway, Limits};
use crate::loading::Loading;
use crate::revocation::{self, Backing, List};
use crate::yaml::Located;
use names::Uses;

/// Everything that a document compiles into.
pub(super) struct Compiled {
    pub(super) gateway: Gateway,
    pub(super) listeners: Vec<Listener>,
    pub(super) admin: Admin,
    pub(super) tls: Option<Tls>,
    pub(super) logs: Logs,
    pub(super) tracing: Option<Tracing>,
    pub(super) list: List,
    pub(super) backing: Backing,
    pub(super) tests: Vec<Located<TestEntry>>,
}

/// Compiles `document`, reporting everything that is wrong with it. `None` means that something essential is missing;
/// otherwise the caller looks at the problems.
pub(super) fn compile(
    document: &Located<Document>,
    purpose: Purpose<'_>,
    services: &Services<'_>,
    previous: Option<&Configuration>,
    loading: &mut Loading<'_>,
) -> Option<Compiled> {
    let Document {
        version,
        listen: _,
        admin,
        tls,
        redis,
        trusted_proxies,
        auth,
        revocation,
        identity,
        limits,
        log,
        tracing,
        upstreams,
        routes,
        tests,
    } = &**document;
    if **version != 1 {
        loading
            .error(version.place(), format!("this is version {} of the file format", **version))
            .hint("this Portcullis reads version 1");
    }
    let listeners = listeners::compile(document, loading);
    let admin = listeners::compile_admin(admin.as_ref(), loading);
    let logs = logs::compile(log, purpose, loading);
    let tracing = tracing.as_ref().and_then(|tracing| tracing::compile(tracing, loading));
    let before = previous.map(|previous| &*previous.gateway);
    let tls = tls
        .as_ref()
        .map(|tls| tls::compile(tls, previous.and_then(|previous| previous.tls.as_ref()), loading));
    let trusted_proxies = proxies::compile(trusted_proxies, loading);
    let revocation = revocation::compile(revocation.as_ref(), redis.as_ref(), loading);
    let identity_headers = headers::compile(identity.as_ref(), loading);
    let methods = auth::compile(auth, identity_headers.as_ref(), purpose, services, before, loading);
    let upstreams = upstreams::compile(upstreams, &services.metrics, before, loading);
    let mut uses = Uses::new(auth.names(), document.upstreams.names());
    let routes = routes::compile(routes, &methods, &upstreams, &mut uses, services, loading);
    uses.report_unused(loading);
    trials::check(tests, loading);
    logs::check_files(log, &logs, loading);
    let revocation::policy::Compiled { backing, policy } = revocation?;
    let backing = match purpose {
        Purpose::Serving => backing,
        Purpose::Trying(_) => Backing::Memory,
    };
    // The list lives as long as the process: a reload changes how much it must be in touch, not where it is.
    let list = previous
        .map_or_else(|| List::new(backing.clone(), loading.clock.clone()), |before| before.list.clone());
    let upstreams: Vec<_> = upstreams.into_iter().filter_map(|(_, upstream)| upstream).collect();
    let gateway = Gateway {
        routes: RouteTable::new(routes),
        http2: upstreams.iter().map(|upstream| upstream.destination.http2()).max().unwrap_or_default(),
        upstreams,
        methods: methods.into_iter().filter_map(|(_, method)| method).collect(),
        identity_headers: identity_headers?,
        revocations: list.under(policy),
        trusted_proxies,
        limits: compile_limits(limits),
        limiter: compile_limiter(limits.failed_attempts.as_ref(), before),
    };
    let tls = match tls {
        None => None,
        Some(tls) => Some(tls?),
    };
    Some(Compiled { gateway, listeners, admin, tls, logs, tracing, list, backing, tests: tests.clone() })
}

fn compile_limits(entry: &LimitsEntry) -> Limits {
    let LimitsEntry {
        request_header_bytes,
        request_headers,
        request_body_bytes,
        handshake_timeout,
        header_timeout,
        body_timeout,
        idle_timeout,
        discard_body_bytes,
        discard_body_timeout,
        connections,
        connections_per_source,
        http2_streams,
        failed_attempts: _,
    } = entry;
    Limits {
        request_header_bytes: request_header_bytes.bytes(),
        request_headers: *request_headers as usize,
        request_body_bytes: request_body_bytes.bytes(),
        handshake_timeout: handshake_timeout.duration(),
        header_timeout: header_timeout.duration(),
        body_timeout: body_timeout.duration(),
        idle_timeout: idle_timeout.duration(),
        discard_body_bytes: discard_body_bytes.bytes(),
        discard_body_timeout: discard_body_timeout.duration(),
        connections: *connections as usize,
        connections_per_source: *connections_per_source as usize,
        http2_streams: *http2_streams,
    }
}

/// What was counted lives as long as the process: a reload wins nobody a fresh start.
fn compile_limiter(entry: Option<&Located<FailedAttemptsEntry>>, previous: Option<&Gateway>) -> Limiter {
    let FailedAttemptsEntry { source, principal } = entry.map(|entry| **entry).unwrap_or_default();
    let memory = previous.map_or_else(Memory::new, |previous| previous.limiter.memory().clone());
    Limiter::new(memory, source, principal)
}

/// A name beside what it compiled into; `None` when that failed, which has been reported.
type Named<T> = (Located<String>, Option<T>);

/// What `name` compiled into; nothing when there is no such name or it could not be compiled, both of which are reported.
fn find<'a, T>(list: &'a [Named<T>], name: &str) -> Option<&'a T> {
    list.iter().find(|(known, _)| **known == *name).and_then(|(_, value)| value.as_ref())
}

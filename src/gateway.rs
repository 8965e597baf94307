//! The decision: which route is this, who sent it, may they? Made from one immutable snapshot, without I/O of its own.
//!
//! [`Gateway::admit`] is the only place where an [`Admission`] is made, and without one there is no way upstream. What a
//! decision needs is built when the policy is compiled; every name in the file became a pointer then.

pub mod admission;
pub mod fact;
pub mod guard;
pub mod matcher;
pub mod matrix;
pub mod refusal;
pub mod requirement;
pub mod route;
pub mod upstream;

use std::sync::Arc;
use std::time::Duration;

use crate::authn::guessing::Limiter;
use crate::authn::witness::{Check, Finding, Nobody, Outcome};
use crate::authn::{Authenticator, Witness};
use crate::request::origin::TrustedProxies;
use crate::request::{Malformed, Request};
use crate::revocation::Revocations;
use crate::units::ByteSize;
use admission::Admission;
use fact::IdentityHeaders;
use guard::{Known, Rejected};
use matcher::{Lookup, RouteTable};
use refusal::{Refusal, Refused};
use route::{Access, Mode, Route};
use upstream::{Http2, Upstream};

/// A compiled policy. It never changes: a reload makes another one.
#[derive(Debug)]
pub struct Gateway {
    /// Finds the route of a request.
    pub routes: RouteTable,
    /// The upstreams, in the order of the file.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Whether HTTP/2 is spoken with one of them.
    pub http2: Http2,
    /// The authentication methods, in the order of the file.
    pub methods: Vec<Authenticator>,
    /// Which of the caller's facts upstreams receive, and under which names.
    pub identity_headers: IdentityHeaders,
    /// The revocation list and how much it must be in touch.
    pub revocations: Revocations,
    /// The proxies in front, and the header in which they say whom a request comes from.
    pub trusted_proxies: TrustedProxies,
    /// How much a request may ask for.
    pub limits: Limits,
    /// How often somebody may be wrong.
    pub limiter: Limiter,
}

/// How much a request may ask for; compiled from `limits` in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's head.
    pub request_header_bytes: u64,
    /// Number of header fields.
    pub request_headers: usize,
    /// Bytes of a request's body.
    pub request_body_bytes: u64,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// From the first byte of a connection or request to the end of its head.
    pub header_timeout: Duration,
    /// How long a request's body may pause, and how long a client may take nothing of its answer.
    pub body_timeout: Duration,
    /// How long a connection may stay without a request.
    pub idle_timeout: Duration,
    /// Bytes of a body that are discarded after a response that came before the body's end.
    pub discard_body_bytes: u64,
    /// How long discarding may take.
    pub discard_body_timeout: Duration,
    /// Open connections on all listeners together.
    pub connections: usize,
    /// Open connections of one client: an IPv4 address or a /64 of IPv6.
    pub connections_per_source: usize,
    /// Requests that are under way at once on an HTTP/2 connection.
    pub http2_streams: u32,
}

impl Gateway {
    /// Decides on `request` at the time `now`, in seconds since the Unix epoch.
    ///
    /// # Errors
    /// Why it is refused, and what is known of who asked.
    pub async fn admit(&self, request: &Request<'_>, now: u64) -> Result<Admission, Refused> {
        self.admit_before(request, now, &Nobody).await
    }

    /// The same, telling `witness` how each check comes out.
    ///
    /// # Errors
    /// As [`Gateway::admit`].
    pub async fn admit_before(
        &self,
        request: &Request<'_>,
        now: u64,
        witness: &impl Witness,
    ) -> Result<Admission, Refused> {
        let route = match self.routes.find(request) {
            Lookup::Found(route) => route,
            // No route allows it here, so it is refused for what it is, as on a route that does not.
            Lookup::MethodNotAllowed(_) | Lookup::NoRoute if request.target().has_encoded_slash() => {
                return Err(Refused::without_route(Refusal::Malformed(Malformed::EncodedSlash)));
            }
            Lookup::MethodNotAllowed(allow) => {
                return Err(Refused::without_route(Refusal::MethodNotAllowed(allow)));
            }
            Lookup::NoRoute => return Err(Refused::without_route(Refusal::NoRoute)),
        };
        match self.decide(&route, request, now, witness).await {
            Ok(Pass::Anyone) => Ok(Admission::anonymous(route)),
            Ok(Pass::Caller(known)) => Ok(Admission::known(route, known)),
            Err(Stop::Request(refusal)) => {
                Err(Refused { route: Some(route), ..Refused::without_route(refusal) })
            }
            // A route that only reports lets the request pass, with an identity only if it was verified.
            Err(Stop::Caller(rejected)) => match route.mode {
                Mode::Enforce => Err(Refused::guarded(route, rejected)),
                Mode::Report => Ok(Admission::reported(route, rejected)),
            },
        }
    }

    /// How many bytes the body of a request for `route` may have.
    pub fn body_limit(&self, route: &Route) -> u64 {
        route.limits.request_body_bytes.map_or(self.limits.request_body_bytes, ByteSize::bytes)
    }

    /// How long a token that is accepted can live at most, leeway included; `None` when no method takes tokens.
    pub fn longest_token(&self) -> Option<Duration> {
        let lifetimes = self.methods.iter().filter_map(|method| match method {
            Authenticator::ApiKey(_) | Authenticator::Basic(_) => None,
            Authenticator::Jwt(method) => Some(method.longest_lifetime()),
        });
        lifetimes.max()
    }

    async fn decide(
        &self,
        route: &Route,
        request: &Request<'_>,
        now: u64,
        witness: &impl Witness,
    ) -> Result<Pass, Stop> {
        if request.target().has_encoded_slash() && !route.allows_encoded_slashes {
            let refusal = Refusal::Malformed(Malformed::EncodedSlash);
            let detail = |_: &Refusal| "the route does not say `encoded_slashes: allow`".to_owned();
            return Err(stop(witness, Check::Path, refusal, detail));
        }
        let limit = self.body_limit(route);
        if let Some(length) = request.body_length().filter(|length| *length > limit) {
            let detail =
                |_: &Refusal| format!("the request announces {length} bytes, and the limit is {limit}");
            return Err(stop(witness, Check::Body, Refusal::BodyTooLarge, detail));
        }
        let guard = match &route.access {
            Access::Guarded(guard) => guard,
            Access::Public(methods) if methods.contains(request.method()) => {
                let detail = || "anyone may: no credential is looked at".to_owned();
                witness.saw(|| Finding::passed(Check::Public, detail()));
                return Ok(Pass::Anyone);
            }
            Access::Public(methods) => {
                let refusal = Refusal::MethodNotAllowed(methods.allow());
                return Err(stop(witness, Check::Method, refusal, taken));
            }
        };
        let Some(requirement) = guard.requirement(request.method()) else {
            return Err(stop(witness, Check::Method, Refusal::MethodNotAllowed(guard.allow()), taken));
        };
        let known = guard.identify(request, now, &self.limiter, witness).await?;
        let (auth, revocable) = (&known.identity.auth, &known.identity.revocable);
        let confirmed = self.revocations.confirm(revocable);
        witness
            .tell(Check::Revocation, Some(auth), confirmed, || self.revocations.explain(revocable))
            .map_err(|reason| guard.refused(reason, &known))?;
        let checked = requirement.check(&known.identity);
        requirement.tell(&known.identity, checked, witness);
        checked.map_err(|missing| guard.forbidden(missing, requirement, &known))?;
        Ok(Pass::Caller(known))
    }
}

/// Tells `witness` that `check` failed with `refusal`, which no credential can change.
fn stop(
    witness: &impl Witness,
    check: Check,
    refusal: Refusal,
    detail: impl FnOnce(&Refusal) -> String,
) -> Stop {
    witness.saw(|| {
        let outcome = Outcome::Failed(refusal.code());
        Finding { check, auth: None, outcome, detail: detail(&refusal) }
    });
    Stop::Request(refusal)
}

/// Which methods are taken, as a refusal of another one says.
fn taken(refusal: &Refusal) -> String {
    match refusal {
        Refusal::MethodNotAllowed(allow) => format!("the route takes {}", allow.to_str().unwrap_or_default()),
        refusal => refusal.title().to_owned(),
    }
}

/// Why a request may pass.
enum Pass {
    /// The route is public.
    Anyone,
    /// The caller is known and allowed.
    Caller(Known),
}

/// Why a request may not pass.
enum Stop {
    /// The caller is not accepted or not allowed.
    Caller(Rejected),
    /// Whoever sent it, it cannot pass here.
    Request(Refusal),
}

impl From<Rejected> for Stop {
    fn from(rejected: Rejected) -> Self {
        Self::Caller(rejected)
    }
}

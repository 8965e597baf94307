//! Where clients and operators connect to. These are fixed while the process lives: a reload that changes them says so.

use std::net::{Ipv4Addr, SocketAddr};

use serde::de::{Deserialize, Deserializer, Error};

use crate::config::document::{AdminEntry, Document, ListenEntry, Redirect};
use crate::loading::Loading;
use crate::secret::Secret;
use crate::yaml::Located;

/// Address and port of a listener, as the file says them. A name could stand for several addresses, so it is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "an IP address and a port are expected here, such as `0.0.0.0:8443`, `127.0.0.1:8443` or `[::]:8443`";
        String::deserialize(deserializer)?.parse().map(Self).map_err(|_| D::Error::custom(EXPECTED))
    }
}

/// An address that clients connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// What is spoken there.
    pub kind: ListenerKind,
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// Plain HTTP, without credentials.
    Plaintext,
    /// Plain HTTP that sends clients to HTTPS.
    Redirect,
    /// HTTPS.
    Tls,
}

impl ListenerKind {
    /// The word for it in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Redirect => "redirect",
            Self::Tls => "tls",
        }
    }
}

/// Where operators connect to.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Address and port.
    pub address: SocketAddr,
    /// What a request must carry to read or write revocations, and what operators sign in to the status page with.
    pub token: Option<Secret>,
}

impl Admin {
    /// How long a token is that nobody can have thought of, or guess.
    pub const LONG_TOKEN: usize = 32;
}

/// The address of the admin listener where the file names none.
pub const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9180);

/// Compiles `listen`.
pub(super) fn compile(document: &Document, loading: &mut Loading<'_>) -> Vec<Listener> {
    if document.listen.is_empty() && !loading.problems.has_errors() {
        loading
            .error(document.listen.place(), "at least one address must stand here")
            .hint("such as `- { address: \"0.0.0.0:8443\", tls: true }`");
    }
    let mut listeners: Vec<Listener> = Vec::new();
    for entry in document.listen.iter() {
        let Some(listener) = compile_one(entry, loading) else { continue };
        let taken =
            listeners.iter().any(|other| other.address == listener.address && listener.address.port() != 0);
        if taken {
            loading.error(entry.address.place(), "this address is listened on twice");
        }
        if listener.kind == ListenerKind::Tls && document.tls.is_none() {
            loading
                .error(entry.place(), "this listener speaks TLS, and the file has no `tls` section")
                .hint("add `tls: { certificates: [{ cert: …, key: … }] }`, or `self_signed: [localhost]` for development");
        }
        listeners.push(listener);
    }
    let has = |kind| listeners.iter().any(|listener: &Listener| listener.kind == kind);
    if has(ListenerKind::Redirect) && !has(ListenerKind::Tls) {
        loading.error(document.listen.place(), "a listener redirects to HTTPS, and none speaks it");
    }
    listeners
}

fn compile_one(entry: &Located<ListenEntry>, loading: &mut Loading<'_>) -> Option<Listener> {
    let ListenEntry { address, tls, redirect, plaintext } = &**entry;
    let kind = match (tls.unwrap_or(false), redirect, plaintext.unwrap_or(false)) {
        (true, None, false) => ListenerKind::Tls,
        (false, Some(Redirect::Https), false) => ListenerKind::Redirect,
        (false, None, true) => ListenerKind::Plaintext,
        (false, None, false) => {
            loading
                .error(entry.place(), "what is spoken on this address is not said")
                .hint("add `tls: true`; `redirect: https` and `plaintext: true` are the other two");
            return None;
        }
        _ => {
            loading.error(
                entry.place(),
                "only one of `tls`, `redirect` and `plaintext` can be spoken on an address",
            );
            return None;
        }
    };
    Some(Listener { address: address.0, kind })
}

/// Compiles `admin`.
pub(super) fn compile_admin(entry: Option<&Located<AdminEntry>>, loading: &mut Loading<'_>) -> Admin {
    let Some(entry) = entry else { return Admin { address: DEFAULT_ADMIN, token: None } };
    let AdminEntry { address, token } = &**entry;
    let place = token.as_ref().map(|token| token.place().clone());
    let token = token.as_ref().and_then(|token| loading.secret(token));
    let short =
        place.filter(|_| token.as_ref().is_some_and(|token| token.expose().len() < Admin::LONG_TOKEN));
    if token.is_none() && !address.0.ip().is_loopback() {
        loading
            .problems
            .warning(
                address.place(),
                "metrics are served on an address that others may reach, and revocations are not",
            )
            .hint("without a `token`, revocations can be read and written on a loopback address only");
    }
    if let Some(place) = short {
        loading
            .problems
            .warning(&place, "this admin token is short, so that it may be guessed")
            .hint("`openssl rand -hex 32` makes one that is never held up by the wrong ones of others");
    }
    Admin { address: address.0, token }
}

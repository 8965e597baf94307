//! Portcullis: an authenticating reverse-proxy gateway, as a library and a thin binary.
//!
//! The modules are floors. A file imports only from floors below its own, and a test holds it to that:
//!
//! | floor | modules | what it is |
//! |---|---|---|
//! | 7 | `main`, [`cli`] | the process: arguments, exit status |
//! | 6 | [`proxy`] | the only floor that knows pingora, and the only one that spawns |
//! | 5 | [`config`] | the YAML document, and compiling it into a gateway |
//! | 4 | [`gateway`] | route → guard → admission or refusal: the decision, without I/O of its own |
//! | 3 | [`revocation`] | is this credential still good? |
//! | 2 | [`authn`] | who is this? |
//! | 1 | [`request`] | what was asked: borrowed, parsed once, canonical or refused |
//! | 0 | [`secret`], [`address`], [`clock`], [`units`], [`fingerprint`], [`hex`], [`problem`], [`yaml`], [`loading`], [`telemetry`] | vocabulary |
#![forbid(unsafe_code)]

// Floor 0.
pub mod address;
pub mod clock;
pub mod fingerprint;
pub mod hex;
pub mod loading;
pub mod problem;
pub mod secret;
pub mod telemetry;
pub mod units;
pub mod yaml;

// Floor 1.
pub mod request;

// Floor 2.
pub mod authn;

// Floor 3.
pub mod revocation;

// Floor 4.
pub mod gateway;

// Floor 5.
pub mod config;

// Floor 6.
pub mod proxy;

// Floor 7.
pub mod cli;

//! Every kind of credential on the same route: what is accepted and what the upstream then hears, and what is refused and
//! what the client then hears.

mod accepted;
mod basic;
mod browser;
mod door;
mod forbidden;
mod keys;
mod query;
mod refused;
mod several;
mod timing;

//! What operators see: metrics, the access log, health and readiness.

mod access_log;
mod admin;
mod metrics;
mod stand;
mod upkeep;

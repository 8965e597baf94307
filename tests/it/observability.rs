//! What operators see: metrics, the access log, health and readiness.

mod access_log;
mod admin;
mod audit;
mod log_files;
mod logrotate;
mod metrics;
mod stand;
mod upkeep;

//! What Portcullis says about itself: metrics, the access log, the audit log, traces, and the log of the process.
//!
//! This is vocabulary: it knows names and numbers, but neither routes nor credentials. The floors above resolve their
//! series once, when a policy is compiled, and pass finished values down.

pub mod access_log;
pub mod audit;
pub mod journal;
pub mod log;
pub mod metrics;
pub mod refusals;
pub mod trace;

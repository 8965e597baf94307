//! Secrets in every position, at the highest level of the log, over all kinds of failure: they are found nowhere.
//! CVE-2026-31924 and its like: a gateway's logs are read by more people than its secrets are meant for.

mod configuration;
mod redis;
mod requests;

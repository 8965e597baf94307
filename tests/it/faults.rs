//! Faults of the machine and of what is around: the gateway keeps its promises as far as the fault lets it, never panics,
//! and is well again by itself when the fault ends.

mod access_log;
mod clock;
mod descriptors;
mod reading;
mod skipped_targets;
mod upstream_errors;
mod upstreams;

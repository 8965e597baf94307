//! How many files the process may have open. Each connection is one, and the usual soft limit of 1,024 would be used up long
//! before the connections that the policy allows.

use log::{info, warn};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, which is the operator's, and says when even that is not enough for `connections`.
pub(super) fn allow_many(connections: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            warn!("the limit of open files cannot be raised: {error}");
        }
    }
    let Some(most) = getrlimit(Resource::Nofile).current else { return };
    info!("{most} files may be open");
    if most < connections as u64 {
        warn!("{most} files may be open, fewer than `connections: {connections}`: `ulimit -n` raises it");
    }
}

//! The `Host` that an upstream receives.

use http::HeaderValue;

use super::{Destination, Upstream};

/// Which host a request names upstream, in `Host` or, over HTTP/2, in `:authority`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostPolicy {
    /// The host that the client sent.
    #[default]
    Preserve,
    /// Host and port of the target that gets the request.
    Target,
    /// This host.
    Fixed(HeaderValue),
}

impl Upstream {
    /// The host that replaces the client's in a request for the target at `position`; none where the client's stays.
    pub fn host_for(&self, position: Option<usize>) -> Option<&HeaderValue> {
        match (&self.host, &self.destination) {
            (HostPolicy::Preserve, _) | (HostPolicy::Target, Destination::Echo) => None,
            (HostPolicy::Fixed(host), _) => Some(host),
            (HostPolicy::Target, Destination::Targets(targets)) => {
                targets.get(position.unwrap_or_default()).map(|target| &target.authority)
            }
        }
    }
}

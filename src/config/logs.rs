//! Where the access log and the audit log go.

use super::Purpose;
use super::document::{DestinationEntry, LogEntry};
use crate::loading::{Loading, resolve};
use crate::telemetry::journal::Destination;
use crate::yaml::Located;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    /// One line for each request.
    pub access: Destination,
    /// One line for each refusal, and for each change of what refusals are decided by.
    pub audit: Destination,
}

/// Compiles `log`. A file that could not be written to is reported where it would be, and none is made.
pub(super) fn compile(entry: &LogEntry, purpose: Purpose<'_>, loading: &mut Loading<'_>) -> Logs {
    let LogEntry { access, audit } = entry;
    let logs = Logs {
        access: access
            .as_ref()
            .map_or(Destination::StandardOutput, |access| destination(access, purpose, loading)),
        audit: audit.as_ref().map_or(Destination::Off, |audit| destination(audit, purpose, loading)),
    };
    if let (Destination::File(_), Some(entry)) = (&logs.audit, audit)
        && logs.access == logs.audit
    {
        loading.error(entry.place(), "the access log goes to the same file").hint(
            "give each a file of its own: whoever reads one of them must tell its lines from the other's",
        );
    }
    logs
}

fn destination(
    entry: &Located<DestinationEntry>,
    purpose: Purpose<'_>,
    loading: &mut Loading<'_>,
) -> Destination {
    match &**entry {
        DestinationEntry::Off => Destination::Off,
        DestinationEntry::Stdout => Destination::StandardOutput,
        DestinationEntry::File(path) => {
            let path = resolve(&Located::new(path.clone(), entry.place().clone()));
            let destination = Destination::File(path);
            if matches!(purpose, Purpose::Serving)
                && let Err(error) = destination.check()
            {
                loading
                    .error(entry.place(), format!("lines cannot be written to this file: {error}"))
                    .hint("its folder must be there, and the user that runs the gateway must be able to write there");
            }
            destination
        }
    }
}

//! Where the access log and the audit log go.

use super::Purpose;
use super::document::{DestinationEntry, LogEntry};
use crate::loading::{Loading, resolve};
use crate::secret::looks_like_a_credential;
use crate::telemetry::journal::{Destination, Identity};
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
    Logs {
        access: access
            .as_ref()
            .map_or(Destination::StandardOutput, |access| destination(access, purpose, loading)),
        audit: audit.as_ref().map_or(Destination::Off, |audit| destination(audit, purpose, loading)),
    }
}

/// Reports a log that would go to a file of the policy, or to the file of the other log. It is asked once the policy was
/// read, and before anything is opened.
pub(super) fn check_files(entry: &LogEntry, logs: &Logs, loading: &mut Loading<'_>) {
    let LogEntry { access, audit } = entry;
    for (entry, to) in [(access, &logs.access), (audit, &logs.audit)] {
        let (Some(entry), Destination::File(path)) = (entry, to) else { continue };
        let Some(identity) = Identity::of(path) else { continue };
        let Some(file) = loading.files().iter().find(|file| Identity::of(file).as_ref() == Some(&identity))
        else {
            continue;
        };
        let name = file.display().to_string();
        let name = if looks_like_a_credential(&name) { String::new() } else { format!(", `{name}`") };
        loading
            .error(entry.place(), format!("this is a file of the policy{name}"))
            .hint("give the log a file of its own: each line would spoil that one, and be a reason to read it again");
    }
    let place = match (access, audit) {
        (_, Some(entry)) | (Some(entry), None) => entry.place(),
        (None, None) => return,
    };
    // Both may go to standard output, where each line is whole; not so if one of them has opened its file by itself.
    if (&logs.access, &logs.audit) != (&Destination::StandardOutput, &Destination::StandardOutput)
        && let (Some(access), Some(audit)) =
            (Identity::of_destination(&logs.access), Identity::of_destination(&logs.audit))
        && access == audit
    {
        loading.error(place, "the access log goes to the same file").hint(
            "give each a file of its own: whoever reads one of them must tell its lines from the other's",
        );
    }
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

//! What the service manager is told, if one started the process and listens (`NOTIFY_SOCKET`, systemd's `sd_notify`).

use log::warn;
use sd_notify::NotifyState;

/// Whether there is one that would know which process the service is from now on.
pub(super) fn follows() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| !socket.is_empty())
}

/// Requests are being served.
pub(super) fn serving() {
    tell(&[NotifyState::Ready]);
}

/// The process is ending.
pub(super) fn ending() {
    tell(&[NotifyState::Stopping]);
}

/// The service is another process from now on.
pub(super) fn replaced_by(process: u32) {
    tell(&[NotifyState::MainPid(process)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("the service manager cannot be told: {error}");
    }
}

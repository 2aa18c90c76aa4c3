//! Notifications for the service manager. Without one, they do nothing.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;

/// The number of descriptors that the scheduler asks for, within the hard limit: each run takes four, and programs that
/// close all possible descriptors would be slow with a million.
const DESCRIPTORS: u64 = 16 * 1024;

/// Raises the soft limit of open files, usually 1,024, towards the hard limit.
pub fn raise_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(u64::MAX).min(DESCRIPTORS);
    if current.is_some_and(|current| current < wanted) {
        let limit = Rlimit { current: Some(wanted), maximum };
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!(target: "portolan", "the limit of open files stays as it is: {error}");
        }
    }
}

/// Reports that the service is ready.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reports that it is reading its jobs file again.
pub(super) fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    // The manager uses it to match this notification with its own request.
    states.extend(NotifyState::monotonic_usec_now().ok());
    tell(&states);
}

/// Reports that it is stopping, and the time that this may take.
pub fn stopping(time: Duration) {
    let time = time + Duration::from_secs(5);
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros)]);
}

/// Reports a tick to the watchdog: a loop that hangs sends none.
pub(super) fn alive() {
    if sd_notify::watchdog_enabled().is_some() {
        tell(&[NotifyState::Watchdog]);
    }
}

/// Reports its status text.
pub(super) fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if std::env::var_os("NOTIFY_SOCKET").is_some()
        && let Err(error) = sd_notify::notify(states)
    {
        tracing::debug!(target: "portolan", "the service manager does not listen: {error}");
    }
}

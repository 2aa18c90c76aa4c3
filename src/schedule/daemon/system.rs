//! What the service manager is told. Without one, nothing is said to nobody.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;

/// Descriptors that the scheduler asks for, where it may have so many: each run takes four, and programs that close all
/// that there may be would be slow with a million.
const DESCRIPTORS: u64 = 16 * 1024;

/// Raises the limit of open files that the system begins with, mostly 1,024, towards what it allows.
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

/// The scheduler is at work.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// It reads its jobs file again.
pub(super) fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    // The manager tells by it whether this is the answer to its own request.
    states.extend(NotifyState::monotonic_usec_now().ok());
    tell(&states);
}

/// It stops, which may take so long.
pub(super) fn stopping(time: Duration) {
    let time = time + Duration::from_secs(5);
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros)]);
}

/// It has made a turn: a loop that hangs says nothing any more.
pub(super) fn alive() {
    if sd_notify::watchdog_enabled().is_some() {
        tell(&[NotifyState::Watchdog]);
    }
}

/// What it does.
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

//! The published release: a machine that follows releases takes each one that becomes current, and every machine of a fleet
//! compares its jobs with it.

use std::time::{Duration, Instant};

use super::Daemon;
use crate::{
    error::Result,
    observe::MessageLevel,
    schedule::{
        jobs::Jobs,
        releases::{ReadFault, ReleaseFolder},
    },
    store::releases::PublishedRelease,
};

/// The time between two looks at which release is current.
const LOOK: Duration = Duration::from_secs(1);
/// The time after which a release that could not be used is tried again: what it lacks may have come.
const RETRY: Duration = Duration::from_secs(30);

/// The number of missing secrets that are named in one line of the log.
const SECRETS_NAMED: usize = 20;

/// The knowledge of a machine about releases.
#[derive(Debug, Default)]
pub(super) struct ReleaseWatch {
    looked: Option<Instant>,
    /// The current release at the last look.
    pub(super) current: Option<PublishedRelease>,
    /// The hash of the release that could not be used, and when.
    failed: Option<(String, Instant)>,
    /// The time of the last look for secrets that were missing.
    sought: Option<Instant>,
}

impl ReleaseWatch {
    fn has_failed(&self, release: &PublishedRelease) -> bool {
        self.failed.as_ref().is_some_and(|(digest, _)| *digest == release.digest)
    }

    fn is_to_be_tried(&self, release: &PublishedRelease) -> bool {
        !self.has_failed(release)
            || self.failed.as_ref().is_some_and(|(_, at)| at.elapsed() >= RETRY)
    }
}

impl Daemon {
    /// Looks at which release is current, at intervals. A machine that follows releases asks for it to be read.
    pub(super) fn look_at_release(&mut self) -> Result<()> {
        let Some(setup) = &self.context.fleet else { return Ok(()) };
        if self.releases.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return Ok(());
        }
        self.releases.looked = Some(Instant::now());
        let (follows, current) = (setup.follows_releases, self.worker.store.current_release()?);
        if let Some(fleet) = self.leader.as_mut().and_then(|leader| leader.fleet.as_mut()) {
            fleet.published.clone_from(&current);
        }
        let own = self.context.jobs().release.clone();
        let other = current.as_ref().filter(|current| current.short_digest() != own);
        let is_wanted = other.is_some_and(|other| self.releases.is_to_be_tried(other));
        let has_failed = other.is_some_and(|other| self.releases.has_failed(other));
        let is_another = current.as_ref().is_some_and(|current| !current.is_of(&own));
        if other.is_none() && self.releases.failed.take().is_some() {
            // The jobs in force are current again.
            self.worker.note_fault("");
        }
        self.releases.current = current;
        if follows && is_wanted && !self.watch.is_reading() {
            self.reload();
        }
        self.look_for_secrets()?;
        // One that is about to take the current release goes on as the leader.
        if is_another && (has_failed || !follows) {
            self.resign_to_current()?;
        }
        Ok(())
    }

    /// Looks for the secrets that this machine did not have, at intervals. If it has one, the release is read anew.
    fn look_for_secrets(&mut self) -> Result<()> {
        let Some(releases) = self.release_folder() else { return Ok(()) };
        if self.releases.sought.is_some_and(|at| at.elapsed() < RETRY) {
            return Ok(());
        }
        self.releases.sought = Some(Instant::now());
        if !self.watch.is_reading() && releases.has_new_secret(&self.context.jobs())? {
            self.reload();
        }
        Ok(())
    }

    /// Returns the directory of releases of a machine that follows them.
    fn release_folder(&self) -> Option<ReleaseFolder> {
        let setup = self.context.fleet.as_ref().filter(|setup| setup.follows_releases)?;
        let (place, state) = (setup.place.clone(), self.context.start.state.clone());
        Some(ReleaseFolder { place, state })
    }

    /// Gives the lease up to a machine that has the current release, which this one has not, if there is one.
    fn resign_to_current(&mut self) -> Result<()> {
        let Some(leader) = &mut self.leader else { return Ok(()) };
        let has_heir = leader.fleet.as_ref().is_some_and(|fleet| fleet.has_heir(leader.name()));
        if !has_heir {
            return Ok(());
        }
        self.context.observer.warn(
            "another machine leads from now on: it has the release that is current, which this one has not",
        );
        leader.resign()?;
        leader.notifier.end();
        self.leader = None;
        Ok(())
    }

    /// Notes that the jobs of a release are in force, and removes the files of those that nobody needs.
    pub(super) fn took_release(&mut self, jobs: &Jobs, before: &Jobs) {
        self.releases.failed = None;
        self.worker.note_fault("");
        let Some(releases) = self.release_folder() else { return };
        if !jobs.missing.is_empty() {
            let (named, more) = jobs.missing.split_at(jobs.missing.len().min(SECRETS_NAMED));
            let more =
                if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
            self.context.observer.warn(format!(
                "this machine gets no runs of the jobs that need the secrets {}{more}, which it does not have",
                named.join(", ")
            ));
        }
        if jobs.runner.work != before.runner.work {
            self.context.observer.warn(
                "`work` in [runner] is another one than before: restart this machine, whose runs work in the old one until then",
            );
        }
        let scripts = self.worker.active.values().map(|active| active.job.script.clone());
        let mut needed: Vec<_> = scripts.collect();
        // Runs that were dispatched with the jobs before may still come.
        needed.extend([jobs.file.clone(), before.file.clone()]);
        if let Err(fault) = releases.prune(&needed) {
            self.context.observer.warn(format!("an earlier release could not be removed: {fault}"));
        }
    }

    /// Notes that a release cannot be used here: the fleet is told, and the jobs before stay in force. One that could not be
    /// read because of a passing fault is tried again at the next look.
    pub(super) fn failed_release(&mut self, found: &ReadFault) {
        let Some(digest) = found.release.as_ref().filter(|_| !found.fault.is_retryable()) else {
            return;
        };
        self.releases.failed = Some((digest.clone(), Instant::now()));
        self.worker.note_fault(&found.fault.to_string());
    }

    /// Tells that other jobs are in force.
    pub(super) fn tell_jobs(&self, jobs: &Jobs) {
        let count = jobs.all.len();
        let plural = if count == 1 { "" } else { "s" };
        let text = match jobs.published {
            Some(number) => format!("release {number} is in force: {count} job{plural}"),
            None => format!("the jobs file was read again: {count} jobs"),
        };
        self.context.observer.message(MessageLevel::Info, text);
    }
}

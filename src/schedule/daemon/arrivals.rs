//! Files that have arrived: which jobs look for them, and the hand-out of each to one run.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{Leader, Message, rows};
use crate::{
    error::Result,
    limits::FILES_GIVEN_MAX,
    observe::MessageLevel,
    permissions::PermissionOptions,
    schedule::{
        arrivals::{FileNews, LocalWatch, PolledJob, ServerPoll, TellFiles, WatchedJob},
        jobs::{Connect, FileTrigger, Job},
        slot::SlotId,
    },
    store::history::{ArrivedFile, HandOut, NewRun},
};

/// The files that were found and not handed out yet, and those who look for them.
#[derive(Debug, Default)]
pub(super) struct FileTriggers {
    sources: BTreeMap<Arc<str>, FileSource>,
    /// The looks at directories of this host.
    local: Option<LocalWatch>,
    /// The last number of a source.
    last_source: u64,
    pending: BTreeMap<Arc<str>, Vec<ArrivedFile>>,
    /// Files that are gone, or there again, which is not recorded yet.
    moved: Vec<(Arc<str>, Vec<ArrivedFile>, bool)>,
    /// The time of the last slot: each is later, since its time is its identity.
    last_slot: Option<Timestamp>,
}

/// One that looks for the files of a job.
#[derive(Debug)]
struct FileSource {
    number: u64,
    settings: SourceSettings,
    /// `None` for a directory of this host: one thread looks at all of them.
    _poll: Option<ServerPoll>,
}

/// The settings on which a source depends.
#[derive(Debug, PartialEq)]
struct SourceSettings {
    trigger: FileTrigger,
    connect: Connect,
    permissions: Option<PermissionOptions>,
}

impl SourceSettings {
    fn of(job: &Job) -> Option<Self> {
        let trigger = job.active_files()?.clone();
        let (connect, permissions) = if trigger.site.is_some() {
            (job.connect.clone(), job.permissions.clone())
        } else {
            (Connect::default(), None)
        };
        Some(Self { trigger, connect, permissions })
    }

    const fn is_local(&self) -> bool {
        self.trigger.site.is_none()
    }
}

/// Files for the slot of a job that the planner is asked to decide.
#[derive(Debug)]
pub(super) struct OfferedFiles {
    job: Arc<str>,
    slot: String,
    files: Vec<ArrivedFile>,
}

impl Leader {
    /// Starts to look for the files of all jobs, and stops where the jobs file no longer wants it. Those that are as they
    /// were go on.
    pub(super) fn set_triggers(&mut self) {
        let jobs = Arc::clone(self.planner.jobs());
        let mut wanted: BTreeMap<Arc<str>, (Arc<Job>, SourceSettings)> = BTreeMap::new();
        for job in &jobs.all {
            if let Some(settings) = SourceSettings::of(job) {
                wanted.insert(Arc::clone(&job.name), (Arc::clone(job), settings));
            }
        }
        let is_kept = |name: &Arc<str>, source: &FileSource| {
            wanted.get(name).is_some_and(|(_, settings)| *settings == source.settings)
        };
        let own = &self.triggers.sources;
        let has_changed =
            own.iter().any(|(name, one)| one.settings.is_local() && !is_kept(name, one))
                || wanted.iter().any(|(name, (_, new))| new.is_local() && !own.contains_key(name));
        if has_changed {
            // One thread looks for all of them.
            self.triggers.local = None;
        }
        self.triggers
            .sources
            .retain(|name, one| is_kept(name, one) && !(has_changed && one.settings.is_local()));
        wanted.retain(|name, _| !self.triggers.sources.contains_key(name));
        // What was found and not handed out is found again.
        let sources = &self.triggers.sources;
        self.triggers.pending.retain(|name, _| sources.contains_key(name));
        let mut local = Vec::new();
        for (job, settings) in wanted.into_values() {
            if let Err(fault) = self.add_source(&job, settings, &mut local) {
                let text = format!("`{}` does not look for files: {fault}", job.name);
                self.context.observer.message(MessageLevel::Error, text);
            }
        }
        if !local.is_empty() {
            match LocalWatch::start(local, self.context.observer.clone(), self.tell_files()) {
                Ok(watch) => self.triggers.local = Some(watch),
                Err(fault) => self.context.observer.message(MessageLevel::Error, fault.to_string()),
            }
        }
    }

    fn tell_files(&self) -> TellFiles {
        let outbox = std::sync::Mutex::new(self.context.outbox.clone());
        Arc::new(move |news| {
            let outbox = outbox.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            outbox.send(Message::Files(news)).ok();
        })
    }

    fn add_source(
        &mut self,
        job: &Arc<Job>,
        settings: SourceSettings,
        local: &mut Vec<WatchedJob>,
    ) -> Result<()> {
        self.triggers.last_source += 1;
        let number = self.triggers.last_source;
        let seen = self.store.seen_files(&job.name)?;
        let trigger = &settings.trigger;
        let poll = if settings.is_local() {
            let folder = &self.context.start.folder;
            local.push(WatchedJob::new(&job.name, number, trigger, folder, seen)?);
            None
        } else {
            let polled = PolledJob::new(job, number, trigger, seen)?;
            let observer = self.context.observer.clone();
            Some(ServerPoll::start(polled, &self.context.start, observer, self.tell_files())?)
        };
        let source = FileSource { number, settings, _poll: poll };
        self.triggers.sources.insert(Arc::clone(&job.name), source);
        Ok(())
    }

    /// Takes news of files. They are handed out at the next tick.
    pub(super) fn take_files(&mut self, news: FileNews) {
        let FileNews { source, job, ready, gone, back } = news;
        if self.triggers.sources.get(&job).is_none_or(|known| known.number != source) {
            return;
        }
        for (files, is_gone) in [(gone, true), (back, false)] {
            if !files.is_empty() {
                self.triggers.moved.push((Arc::clone(&job), files, is_gone));
            }
        }
        if !ready.is_empty() {
            self.triggers.pending.entry(job).or_default().extend(ready);
        }
    }

    /// Records which files are gone, and which are there again.
    pub(super) fn record_moved(&mut self) -> Result<()> {
        let now = self.context.clock.now();
        while let Some((job, files, is_gone)) = self.triggers.moved.first() {
            self.store.mark_gone(job, files, is_gone.then_some(now))?;
            self.triggers.moved.remove(0);
        }
        Ok(())
    }

    /// Asks the planner for a slot of each job that has files and can take them. The caller must record its decision.
    pub(super) fn offer_files(&mut self, now: Timestamp) -> Vec<OfferedFiles> {
        let mut offered = Vec::new();
        for (job, files) in &self.triggers.pending {
            let Some(source) = self.triggers.sources.get(job) else { continue };
            if !self.planner.takes_files(job) {
                continue;
            }
            let at = later_than(self.triggers.last_slot, now);
            self.triggers.last_slot = Some(at);
            self.planner.arrive(job, at, source.settings.trigger.trigger());
            let files = files.iter().take(FILES_GIVEN_MAX).cloned().collect();
            let slot = SlotId::Files(at).to_string();
            offered.push(OfferedFiles { job: Arc::clone(job), slot, files });
        }
        offered
    }

    /// Forgets that files are pending that a run has been given. If more are left, the next tick comes at once.
    pub(super) fn note_given(
        &mut self,
        offered: &[OfferedFiles],
        rows: &[(usize, NewRun)],
        ids: &[Option<i64>],
    ) {
        for one in offered {
            let row = rows.iter().position(|(_, row)| one.is_for(row));
            if row.and_then(|row| ids.get(row).copied().flatten()).is_none() {
                continue;
            }
            if let Some(pending) = self.triggers.pending.get_mut(&one.job) {
                pending.drain(..one.files.len().min(pending.len()));
                if pending.is_empty() {
                    self.triggers.pending.remove(&one.job);
                }
            }
        }
    }

    /// Returns true if there are files that could be handed out at once.
    pub(super) fn has_files_to_give(&self) -> bool {
        self.triggers.pending.keys().any(|job| self.planner.takes_files(job))
    }
}

impl OfferedFiles {
    fn is_for(&self, row: &NewRun) -> bool {
        *row.job == *self.job && row.slot.as_ref() == Some(&self.slot)
    }
}

/// Returns the files for the rows that are to be recorded.
pub(super) fn hand_outs<'f>(
    offered: &'f [OfferedFiles],
    rows: &[(usize, NewRun)],
) -> Vec<HandOut<'f>> {
    let hand_out = |one: &'f OfferedFiles| {
        let row = rows.iter().position(|(_, row)| one.is_for(row))?;
        Some(HandOut { row, job: &one.job, files: &one.files })
    };
    offered.iter().filter_map(hand_out).collect()
}

/// Returns the time of a new slot, in milliseconds, as history keeps it.
fn later_than(last: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let now = rows::milliseconds(now.as_millisecond());
    match last {
        Some(last) if last >= now => rows::milliseconds(last.as_millisecond() + 1),
        _ => now,
    }
}

//! Notices of the scheduler, and the results of their delivery.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::SignedDuration;

use super::{Daemon, Message, active::ActiveRun};
use crate::{
    error::Result,
    limits::NOTICE_WAITS,
    observe::MessageLevel,
    schedule::{
        child::log,
        jobs::Job,
        notify::{Delivery, NoticeContext, NotifyTarget, of_run, of_start, target, target_of},
    },
    store::history::{NewNotice, Notice},
};

/// The maximum time for deliveries in progress when the scheduler ends: most take less, and a service manager is
/// waiting.
const NOTICE_END_TIME_MAX: Duration = Duration::from_secs(2);

/// The maximum number of due notices that are looked at in a turn: those of a target that hangs are passed over.
const DUE_NOTICES_MAX: u32 = 500;

impl Daemon {
    /// Queues the notices for the start of a run, which does not wait for them.
    pub(super) fn tell_start(&mut self, active: &ActiveRun) {
        let notices = of_start(&active.job.notify, active.run, &active.job.name);
        self.keep(&notices);
    }

    /// Returns the end of a run's log if a notice may contain it.
    pub(super) fn tail_for(&self, run: i64, job: &Job) -> String {
        if !job.notify.is_any() {
            return String::new();
        }
        log::tail(&log::path(&self.start.state, &job.name, run)).unwrap_or_default()
    }

    /// Returns the URL of the page, if there is one.
    pub(super) fn page_url(&self) -> Option<String> {
        self.planner.jobs().runner.page_url.clone().or_else(|| self.page.clone())
    }

    /// Returns the facts of a notice besides those of its run.
    pub(super) fn notice_context<'c>(
        &'c self,
        job: &'c Job,
        page: Option<&'c str>,
        log: &'c str,
    ) -> NoticeContext<'c> {
        NoticeContext { host: &self.host, page, description: job.description.as_deref(), log }
    }

    pub(super) fn tell_missed(&mut self, run: i64, job: &Arc<str>) {
        let Some(job) = self.planner.jobs().get(job).map(Arc::clone) else { return };
        match self.store.run(run) {
            Ok(found) => {
                let page = self.page_url();
                let context = self.notice_context(&job, page.as_deref(), "");
                let notices = found.map(|found| of_run(&job.notify, &found, "missed", &context));
                self.keep(&notices.unwrap_or_default());
            }
            Err(fault) => {
                self.observer.message(
                    MessageLevel::Error,
                    format!("the notification was not sent: {fault}"),
                );
            }
        }
    }

    pub(super) fn keep(&mut self, notices: &[NewNotice]) {
        if !notices.is_empty()
            && let Err(fault) = self.store.add_notices(notices, self.clock.now())
        {
            self.observer
                .message(MessageLevel::Error, format!("the notification was not sent: {fault}"));
        }
    }

    /// Delivers notices that are due. The heartbeats of a job stay in order: a start after the end would mean that the
    /// run is still in progress.
    pub(super) fn tell_notices(&mut self) -> Result<()> {
        let room = self.notifier.room();
        if room == 0 {
            return Ok(());
        }
        let due = self.store.due_notices(self.clock.now(), DUE_NOTICES_MAX)?;
        let mut taken: Vec<String> = Vec::new();
        for notice in due {
            let is_heartbeat = notice.what.channel == "heartbeat";
            let is_behind = is_heartbeat && taken.contains(&notice.what.job);
            if is_heartbeat {
                taken.push(notice.what.job.clone());
            }
            if !is_behind && !self.notifier.is_under_way(notice.id) {
                self.deliver(notice)?;
            }
            if self.notifier.room() == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Returns the target of a notice according to the jobs file in force.
    fn target(&self, notice: &NewNotice) -> Option<NotifyTarget> {
        let NewNotice { event, channel, job, .. } = notice;
        let jobs = self.planner.jobs();
        if event == "digest" {
            return target_of(&jobs.digest.as_ref()?.tell, &jobs.mail, channel);
        }
        target(&jobs.get(job)?.notify, &jobs.mail, event, channel)
    }

    fn deliver(&mut self, mut notice: Notice) -> Result<()> {
        let Some(target) = self.target(&notice.what) else {
            let why = "the jobs file wants it told to nobody any more";
            return self.store.tried_notice(notice.id, "given_up", self.clock.now(), Some(why));
        };
        if !self.notifier.has_room_for(&target) {
            return Ok(());
        }
        notice.what.body = self.store.notice_body(notice.id)?;
        self.notifier.send(&notice, target, self.start.folder.clone())
    }

    /// Waits briefly for deliveries in progress, and kills commands that do not finish: undelivered notices are left to
    /// the next scheduler.
    pub(super) fn end_notices(&mut self) {
        let end = Instant::now() + NOTICE_END_TIME_MAX;
        while !self.notifier.is_idle() {
            let left = end.saturating_duration_since(Instant::now());
            match self.inbox.recv_timeout(left) {
                Ok(Message::Told(told)) => self.note_told(&told),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        self.notifier.end();
    }

    /// Records the result of a delivery.
    pub(super) fn note_told(&mut self, told: &Delivery) {
        self.notifier.done(told.id);
        let now = self.clock.now();
        let written = match &told.result {
            Ok(()) => self.store.tried_notice(told.id, "told", now, None),
            Err(error) => {
                let tries = usize::try_from(told.tries).unwrap_or(usize::MAX);
                let wait = NOTICE_WAITS.get(tries.saturating_sub(1)).filter(|_| !told.is_start);
                let (outcome, wait) = match wait {
                    Some(wait) => ("due", SignedDuration::try_from(*wait).unwrap_or_default()),
                    None => ("given_up", SignedDuration::ZERO),
                };
                if outcome == "given_up" {
                    self.metrics.gave_up_notice();
                }
                let text = format!("notice {} could not be told: {error}", told.id);
                self.observer.message(MessageLevel::Warn, text);
                let due_at = now.checked_add(wait).unwrap_or(now);
                self.store.tried_notice(told.id, outcome, due_at, Some(error))
            }
        };
        if let Err(fault) = written {
            // It stays due and will be delivered once more: better twice than never.
            self.observer.message(MessageLevel::Error, fault.to_string());
        }
    }
}

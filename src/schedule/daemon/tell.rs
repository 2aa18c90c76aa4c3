//! Notices of the scheduler, and the results of their delivery.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::SignedDuration;

use super::{Daemon, Leader, Message};
use crate::{
    error::Result,
    limits::NOTICE_WAITS,
    observe::MessageLevel,
    schedule::notify::{Delivery, NotifyTarget, of_run, target, target_of},
    store::history::{NewNotice, Notice},
};

/// The maximum number of due notices that are looked at in a turn: those of a target that hangs are passed over.
const DUE_NOTICES_MAX: u32 = 500;

/// The maximum time for deliveries in progress when the scheduler ends: most take less, and a service manager is
/// waiting.
const NOTICE_END_TIME_MAX: Duration = Duration::from_secs(2);

impl Leader {
    pub(super) fn tell_missed(&mut self, run: i64, job: &Arc<str>) {
        let Some(job) = self.planner.jobs().get(job).map(Arc::clone) else { return };
        match self.store.run(run) {
            Ok(found) => {
                let page = self.context.page_url();
                let context = self.context.notice_context(&job, page.as_deref(), "");
                let notices = found.map(|found| of_run(&job.notify, &found, "missed", &context));
                self.context.keep_notices(&mut self.store, &notices.unwrap_or_default());
            }
            Err(fault) => {
                self.context.observer.message(
                    MessageLevel::Error,
                    format!("the notification was not sent: {fault}"),
                );
            }
        }
    }

    /// Delivers notices that are due. The heartbeats of a job stay in order: a start after the end would mean that the
    /// run is still in progress.
    pub(super) fn tell_notices(&mut self) -> Result<()> {
        let room = self.notifier.room();
        if room == 0 {
            return Ok(());
        }
        let due = self.store.due_notices(self.context.clock.now(), DUE_NOTICES_MAX)?;
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
            let why = "the jobs file no longer names the recipient";
            return self.store.tried_notice(
                notice.id,
                "given_up",
                self.context.clock.now(),
                Some(why),
            );
        };
        if !self.notifier.has_room_for(&target) {
            return Ok(());
        }
        notice.what.body = self.store.notice_body(notice.id)?;
        self.notifier.send(&notice, target, self.context.start.folder.clone())
    }

    /// Records the result of a delivery.
    pub(super) fn note_told(&mut self, told: &Delivery) {
        self.notifier.done(told.id);
        let now = self.context.clock.now();
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
                    self.context.metrics.gave_up_notice();
                }
                let text = format!("notice {} could not be told: {error}", told.id);
                self.context.observer.message(MessageLevel::Warn, text);
                let due_at = now.checked_add(wait).unwrap_or(now);
                self.store.tried_notice(told.id, outcome, due_at, Some(error))
            }
        };
        if let Err(fault) = written {
            // It stays due and will be delivered once more: better twice than never.
            self.context.observer.message(MessageLevel::Error, fault.to_string());
        }
    }
}

impl Daemon {
    /// Waits briefly for deliveries in progress, and kills commands that do not finish: undelivered notices are left to
    /// the next scheduler.
    pub(super) fn end_notices(&mut self) {
        let Some(leader) = &mut self.leader else { return };
        let end = Instant::now() + NOTICE_END_TIME_MAX;
        while !leader.notifier.is_idle() {
            let left = end.saturating_duration_since(Instant::now());
            match self.inbox.recv_timeout(left) {
                Ok(Message::Told(told)) => leader.note_told(&told),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        leader.notifier.end();
    }
}

//! The means of the scheduler that its leader and its worker share.

use std::{
    sync::{Arc, OnceLock, mpsc::Sender},
    time::Duration,
};

use super::{FleetSetup, Message, SchedulerView};
use crate::{
    clock::Clock,
    observe::{EventEmitter, MessageLevel, metrics::Metrics},
    schedule::{
        child::ChildSetup,
        jobs::{Job, Jobs},
        notify::NoticeContext,
    },
    store::{Store, StorePlace, history::NewNotice},
};

/// The means that leader and worker share: none of them is the state of a run or of a job.
pub(super) struct SchedulerContext {
    pub(super) start: ChildSetup,
    /// The place of the store.
    pub(super) place: StorePlace,
    /// The settings of this machine, if several share the store.
    pub(super) fleet: Option<FleetSetup>,
    /// The lease of machines, as it was when the scheduler started.
    pub(super) lease: Duration,
    pub(super) clock: Clock,
    pub(super) observer: EventEmitter,
    pub(super) metrics: Arc<Metrics>,
    pub(super) view: Arc<SchedulerView>,
    pub(super) outbox: Sender<Message>,
    /// The name of this host, for notifications.
    pub(super) host: String,
    /// The URL of the page, unless the jobs file names one.
    pub(super) page: OnceLock<String>,
}

impl SchedulerContext {
    /// Returns the jobs in force.
    pub(super) fn jobs(&self) -> Arc<Jobs> {
        self.view.jobs()
    }

    /// Returns the URL of the page, if there is one.
    pub(super) fn page_url(&self) -> Option<String> {
        self.jobs().runner.page_url.clone().or_else(|| self.page.get().cloned())
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

    /// Queues notices. If that fails, the runs that they are about continue.
    pub(super) fn keep_notices(&self, store: &mut Store, notices: &[NewNotice]) {
        if !notices.is_empty()
            && let Err(fault) = store.add_notices(notices, self.clock.now())
        {
            self.observer
                .message(MessageLevel::Error, format!("the notification was not sent: {fault}"));
        }
    }
}

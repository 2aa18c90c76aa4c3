//! Notifications: mail, services for people, webhooks, pings, commands. Notices stay in the store until they are delivered, so that neither a
//! server that is down nor an end of the scheduler loses them; the scheduler does not wait for them.

mod choose;
mod deliver;
mod digest;
mod mail;
mod message;
mod shapes;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, mpsc::Sender},
};

pub use self::choose::{
    NoticeContext, channels, host_name, job_facts, of_end, of_run, of_start, of_tell, target,
    target_of,
};
use self::deliver::{ProcessGroup, deliver};
pub use self::{
    digest::{digest_facts, last_time},
    message::NoticeText,
};
use super::{
    daemon::Message,
    jobs::{ChatTarget, MailSettings, Templates, WebhookTarget},
};
use crate::{
    error::Result,
    limits::NOTICES_AT_ONCE_MAX,
    secret::Secret,
    store::history::{NewNotice, Notice},
};

/// The destination of a notice. Its secrets may be `secret:NAME`.
#[derive(Debug, Clone)]
pub enum NotifyTarget {
    /// A URL that receives JSON, or a template that is filled in.
    Webhook(WebhookTarget),
    /// A URL that is fetched.
    Ping(Secret),
    /// A URL that with a suffix receives the end of the log.
    Heartbeat {
        /// The URL.
        address: Secret,
        /// The suffix for the event.
        suffix: &'static str,
    },
    /// A program.
    Command(Vec<String>),
    /// Addresses of mail.
    Mail {
        /// The way of mail.
        settings: Box<MailSettings>,
        /// The addresses.
        to: Vec<Secret>,
        /// The templates.
        templates: Templates,
    },
    /// A service for people.
    Chat(ChatTarget, Templates),
}

impl NotifyTarget {
    /// Returns what may hang: the server of a URL, the way of mail, or a program. Not for people, as it may be secret.
    fn place(&self) -> String {
        let origin = |url: &Secret| url.reveal().split('/').take(3).collect::<Vec<_>>().join("/");
        match self {
            Self::Webhook(webhook) => origin(&webhook.url),
            Self::Ping(address) | Self::Heartbeat { address, .. } => origin(address),
            Self::Chat(chat, _) => origin(&chat.url),
            Self::Mail { .. } => "mail".into(),
            Self::Command(words) => words.first().cloned().unwrap_or_default(),
        }
    }
}

/// Delivers a notice at once, and returns its result. Relative paths and secrets count from `folder`.
pub fn deliver_now(notice: &NewNotice, target: &NotifyTarget, folder: &Path) -> Result<(), String> {
    deliver(notice, target, folder, &ProcessGroup::default())
}

/// The result of one delivery.
#[derive(Debug)]
pub struct Delivery {
    /// The notice.
    pub id: i64,
    /// The number of deliveries tried, including this one.
    pub tries: i64,
    /// True for the ping of a start, which is worthless later.
    pub is_start: bool,
    /// The result; an error omits the address.
    pub result: Result<(), String>,
}

/// The notifier; it delivers each notice on a separate thread.
#[derive(Debug)]
pub struct Notifier {
    outbox: Sender<Message>,
    in_flight: BTreeMap<i64, DeliveryInFlight>,
}

/// A delivery in progress.
#[derive(Debug)]
struct DeliveryInFlight {
    group: Arc<ProcessGroup>,
    place: String,
}

impl Notifier {
    /// Creates a notifier that sends the results to `outbox`.
    pub fn new(outbox: Sender<Message>) -> Self {
        Self { outbox, in_flight: BTreeMap::new() }
    }

    /// Returns the number of further deliveries that may be started.
    pub fn room(&self) -> usize {
        NOTICES_AT_ONCE_MAX.saturating_sub(self.in_flight.len())
    }

    /// Returns true if this notice is being delivered.
    pub fn is_under_way(&self, id: i64) -> bool {
        self.in_flight.contains_key(&id)
    }

    /// Returns true if a target is not busy already: one that hangs takes no more than half of all deliveries.
    pub fn has_room_for(&self, target: &NotifyTarget) -> bool {
        let place = target.place();
        let same = self.in_flight.values().filter(|busy| busy.place == place).count();
        same < NOTICES_AT_ONCE_MAX / 2
    }

    /// Tries to deliver a notice.
    pub fn send(&mut self, notice: &Notice, target: NotifyTarget, folder: PathBuf) -> Result<()> {
        let outbox = self.outbox.clone();
        let what = notice.what.clone();
        let group = Arc::new(ProcessGroup::default());
        let known = Arc::clone(&group);
        let (id, tries, place) = (notice.id, notice.tries + 1, target.place());
        let thread = std::thread::Builder::new().name("notice".into()).spawn(move || {
            let result = deliver(&what, &target, &folder, &group);
            let told = Delivery { id, tries, is_start: what.event == "start", result };
            // The scheduler may have ended; the next one tries again.
            outbox.send(Message::Told(told)).ok();
        });
        thread.map_err(|error| {
            crate::error::Error::new(
                crate::error::ErrorKind::Local,
                crate::error::Origin::Here,
                format!("cannot start a thread: {error}"),
            )
        })?;
        self.in_flight.insert(id, DeliveryInFlight { group: known, place });
        Ok(())
    }

    /// Returns true if no delivery is in progress.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Kills the commands in progress: the scheduler will not wait for them.
    pub fn end(&self) {
        self.in_flight.values().for_each(|busy| busy.group.kill());
    }

    /// Records that a delivery has ended.
    pub fn done(&mut self, id: i64) {
        self.in_flight.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use crate::store::history::{HistoryRun, RunState, Sum, Trigger};

    /// Returns a run of job `a` with an error.
    pub(super) fn run(state: RunState) -> HistoryRun {
        HistoryRun {
            id: 7,
            job: "a".into(),
            revision: "r".into(),
            slot: Some("U1".into()),
            script: "a.rhai".into(),
            cause: Trigger::Schedule,
            scheduled_for: None,
            up_to: None,
            moved_from: None,
            wait: None,
            decided_at: jiff::Timestamp::UNIX_EPOCH,
            started_at: None,
            ended_at: None,
            state,
            reason: None,
            reason_code: None,
            covered_by: None,
            covers: 1,
            attempts: 1,
            sum: Sum { error: Some("530 no".into()), ..Sum::default() },
            fallbacks: 0,
            machine: None,
        }
    }
}

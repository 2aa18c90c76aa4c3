//! Notifications: webhooks, pings, commands. Notices stay in the store until they are delivered, so that neither a
//! server that is down nor an end of the scheduler loses them; the scheduler does not wait for them.

mod choose;
mod deliver;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, mpsc::Sender},
};

pub use self::choose::{of_end, of_missed, of_start, target};
use self::deliver::{ProcessGroup, deliver};
use super::daemon::Message;
use crate::{error::Result, limits::NOTICES_AT_ONCE_MAX, secret::Secret, store::history::Notice};

/// The destination of a notice.
#[derive(Debug, Clone)]
pub enum NotifyTarget {
    /// A URL that receives JSON.
    Webhook(Secret),
    /// A URL that is fetched, or receives the end of the log.
    Ping(Secret),
    /// A program.
    Command(Vec<String>),
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
    in_flight: BTreeMap<i64, Arc<ProcessGroup>>,
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

    /// Tries to deliver a notice.
    pub fn send(&mut self, notice: &Notice, target: NotifyTarget, folder: PathBuf) -> Result<()> {
        let outbox = self.outbox.clone();
        let what = notice.what.clone();
        let group = Arc::new(ProcessGroup::default());
        let known = Arc::clone(&group);
        let (id, tries) = (notice.id, notice.tries + 1);
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
        self.in_flight.insert(id, known);
        Ok(())
    }

    /// Returns true if no delivery is in progress.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Kills the commands in progress: the scheduler will not wait for them.
    pub fn end(&self) {
        self.in_flight.values().for_each(|group| group.kill());
    }

    /// Records that a delivery has ended.
    pub fn done(&mut self, id: i64) {
        self.in_flight.remove(&id);
    }
}

//! Telling somebody: webhooks, pings, commands. What is to be told stands in the store until it was told, so that neither
//! a server that is down nor an end of the scheduler loses it; and nobody waits for it.

mod choose;
mod deliver;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, mpsc::Sender},
};

pub use self::choose::{of_end, of_missed, of_start, target};
use self::deliver::{Group, deliver};
use super::daemon::Message;
use crate::{
    fault::Outcome, ftp::secret::Secret, limits::NOTICES_AT_ONCE_MAX, store::history::Notice,
};

/// Where something is told.
#[derive(Debug, Clone)]
pub enum Target {
    /// An address that gets JSON.
    Webhook(Secret),
    /// An address that is fetched, or gets the end of the log.
    Ping(Secret),
    /// A program.
    Command(Vec<String>),
}

/// What came of one try.
#[derive(Debug)]
pub struct Told {
    /// The notice.
    pub id: i64,
    /// Tries, with this one.
    pub tries: i64,
    /// Whether it is a ping of a start, which is worth nothing later.
    pub is_start: bool,
    /// Why it failed, without the address.
    pub result: Result<(), String>,
}

/// Delivers, each notice on a thread of its own.
#[derive(Debug)]
pub struct Notifier {
    outbox: Sender<Message>,
    in_flight: BTreeMap<i64, Arc<Group>>,
}

impl Notifier {
    /// One that tells `outbox` what came of each.
    pub fn new(outbox: Sender<Message>) -> Self {
        Self { outbox, in_flight: BTreeMap::new() }
    }

    /// How many more may be under way.
    pub fn room(&self) -> usize {
        NOTICES_AT_ONCE_MAX.saturating_sub(self.in_flight.len())
    }

    /// Whether this one is under way.
    pub fn is_under_way(&self, id: i64) -> bool {
        self.in_flight.contains_key(&id)
    }

    /// Tries to deliver a notice.
    pub fn send(&mut self, notice: &Notice, target: Target, folder: PathBuf) -> Outcome<()> {
        let outbox = self.outbox.clone();
        let what = notice.what.clone();
        let group = Arc::new(Group::default());
        let known = Arc::clone(&group);
        let (id, tries) = (notice.id, notice.tries + 1);
        let thread = std::thread::Builder::new().name("notice".into()).spawn(move || {
            let result = deliver(&what, &target, &folder, &group);
            let told = Told { id, tries, is_start: what.event == "start", result };
            // The scheduler may have ended; the next one tries again.
            outbox.send(Message::Told(told)).ok();
        });
        thread.map_err(|error| {
            crate::fault::Fault::new(
                crate::fault::Kind::Local,
                crate::fault::Side::Here,
                format!("cannot start a thread: {error}"),
            )
        })?;
        self.in_flight.insert(id, known);
        Ok(())
    }

    /// Whether any is under way.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Ends the commands that are under way: nobody is left to wait for them.
    pub fn end(&self) {
        self.in_flight.values().for_each(|group| group.kill());
    }

    /// Notes that a try has ended.
    pub fn done(&mut self, id: i64) {
        self.in_flight.remove(&id);
    }
}

//! The notifications of the database that wake the scheduler when another machine has written, beside the looks that it takes
//! once a second. A pooler of connections may swallow them, which is told once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Daemon, Message, context::SchedulerContext};
use crate::{
    error::Result,
    observe::MessageLevel,
    store::{StoreListener, StoreNews},
};

/// The maximum time for a notification to oneself to arrive.
const ECHO_TIME_MAX: Duration = Duration::from_secs(10);

/// The part of this process that has something to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    Worker,
    Leader,
}

/// The notifications of a machine of a fleet.
#[derive(Debug)]
pub(super) struct WakeUps {
    listener: StoreListener,
    /// The time of a notification to itself that has not arrived yet.
    echo: Option<Instant>,
    /// True if it was told that notifications do not arrive.
    is_told: bool,
}

impl WakeUps {
    /// Starts to listen, if machines share the store.
    pub(super) fn start(context: &Arc<SchedulerContext>) -> Result<Option<Self>> {
        let Some(setup) = &context.fleet else { return Ok(None) };
        let outbox = context.outbox.clone();
        let tell = move |news| drop(outbox.send(Message::Store(news)));
        let listener = setup.place.listen(&setup.name, tell)?;
        Ok(listener.map(|listener| Self { listener, echo: None, is_told: false }))
    }

    /// Listens for what is meant for the leader, or no longer does.
    pub(super) fn set_leader(&self, is_leader: bool) {
        self.listener.set_leader(is_leader);
    }

    /// Returns true if a notification to itself is to be sent: it listens, from now on.
    fn is_to_be_tried(&mut self, news: &StoreNews) -> bool {
        let is_open = *news == StoreNews::Open;
        if is_open {
            self.echo = Some(Instant::now());
        }
        is_open
    }

    /// Takes news, and returns who has something to look at.
    fn hear(&mut self, context: &SchedulerContext, news: StoreNews) -> Option<Woken> {
        match news {
            StoreNews::Worker => {
                if self.echo.take().is_some() {
                    self.is_told = false;
                }
                Some(Woken::Worker)
            }
            StoreNews::Leader => Some(Woken::Leader),
            // What was written before it listened is found by a look.
            StoreNews::Open => Some(Woken::Worker),
            StoreNews::Lost(reason) => {
                self.echo = None;
                self.tell(context, &reason);
                None
            }
        }
    }

    /// Tells if notifications do not arrive.
    pub(super) fn watch(&mut self, context: &SchedulerContext) {
        if self.echo.is_some_and(|sent| sent.elapsed() > ECHO_TIME_MAX) {
            self.echo = None;
            self.tell(context, "none has come back");
        }
    }

    fn tell(&mut self, context: &SchedulerContext, reason: &str) {
        if !std::mem::replace(&mut self.is_told, true) {
            let text = format!(
                "no notifications of the database arrive, and new runs are looked for once a second: {reason}"
            );
            context.observer.message(MessageLevel::Warn, text);
        }
    }
}

impl Daemon {
    /// Looks at what another machine has written.
    pub(super) fn hear(&mut self, news: StoreNews) {
        let Some(listener) = &mut self.listener else { return };
        // By another connection, as that of another machine.
        if listener.is_to_be_tried(&news)
            && let Err(fault) = self.worker.wake_itself()
        {
            self.context.observer.warn(fault.to_string());
        }
        match listener.hear(&self.context, news) {
            Some(Woken::Worker) => self.worker.look_again(),
            Some(Woken::Leader) => {
                if let Some(leader) = &mut self.leader {
                    leader.look_again();
                }
            }
            None => {}
        }
    }
}

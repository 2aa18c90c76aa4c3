//! A connection that listens for notifications.

use std::{future::poll_fn, time::Duration};

use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{sleep, timeout},
};
use tokio_postgres::{AsyncMessage, Client};

use super::{CONNECT_TIME_MAX, Error, PostgresSettings, pooler, runtime};
use crate::{
    notify::{Addressee, StoreNews},
    sql::SqlError,
};

/// The wait before the next try after a connection broke, or could not be made.
const RETRY_WAIT: Duration = Duration::from_secs(5);
/// The interval between checks for a pooler.
const POOLER_WAIT: Duration = Duration::from_mins(5);
/// The name of the connection in the server's list of them.
const APPLICATION: &str =
    "SET application_name = 'portolan listen'; SET client_min_messages = 'warning'";

/// A listener for notifications, on a connection of its own. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct NotificationListener {
    /// True while its process leads.
    leads: UnboundedSender<bool>,
}

impl NotificationListener {
    /// Starts one for a worker. `tell` is called with all news.
    pub(crate) fn start(
        settings: &PostgresSettings,
        worker: &str,
        tell: impl Fn(StoreNews) + Send + Sync + 'static,
    ) -> Result<Self, SqlError> {
        let (leads, orders) = unbounded_channel();
        let (settings, worker) = (settings.clone(), Addressee::Worker(worker).channel());
        let listener = Listener { settings, worker, orders, is_leader: false, is_ended: false };
        drop(runtime()?.spawn(listener.run(tell)));
        Ok(Self { leads })
    }

    /// Listens for what is meant for the leader, or no longer does.
    pub(crate) fn set_leader(&self, is_leader: bool) {
        // A task that has ended is that of a process that ends.
        self.leads.send(is_leader).ok();
    }
}

/// The task.
struct Listener {
    settings: PostgresSettings,
    /// The channel of its worker.
    worker: String,
    orders: UnboundedReceiver<bool>,
    is_leader: bool,
    /// Set when the listener is dropped.
    is_ended: bool,
}

impl Listener {
    async fn run(mut self, tell: impl Fn(StoreNews)) {
        while !self.is_ended {
            let mut wait = RETRY_WAIT;
            let ended = match timeout(CONNECT_TIME_MAX, self.open()).await {
                Ok(Ok(Some((client, heard)))) => {
                    tell(StoreNews::Open);
                    self.listen(client, heard, &tell).await
                }
                Ok(Ok(None)) => {
                    wait = POOLER_WAIT;
                    Err("a pooler stands in between, which gives its sessions to others".into())
                }
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("the server does not answer".into()),
            };
            if let Err(error) = ended {
                tell(StoreNews::Lost(error));
            }
            let wait = sleep(wait);
            tokio::pin!(wait);
            while !self.is_ended {
                tokio::select! {
                    () = &mut wait => break,
                    order = self.orders.recv() => self.take(order),
                }
            }
        }
    }

    fn take(&mut self, order: Option<bool>) {
        match order {
            Some(is_leader) => self.is_leader = is_leader,
            None => self.is_ended = true,
        }
    }

    /// Connects, and returns the connection with the channels of the notifications that arrive; `None` if sessions of the
    /// server are shared: a notification would go to another client of the session.
    async fn open(&self) -> Result<Option<(Client, UnboundedReceiver<String>)>, Error> {
        let (client, mut connection) =
            self.settings.config.connect(self.settings.tls.clone()).await?;
        let (heard, channels) = unbounded_channel();
        // It ends with the connection, or when the client is dropped.
        drop(tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|it| connection.poll_message(it)).await {
                if let AsyncMessage::Notification(note) = message
                    && heard.send(note.channel().to_owned()).is_err()
                {
                    break;
                }
            }
        }));
        if self.settings.is_pooled || pooler::ask(&client).await?.is_pooled {
            return Ok(None);
        }
        client.batch_execute(&format!("{APPLICATION}; LISTEN {}", self.worker)).await?;
        if self.is_leader {
            client.batch_execute(&listen(true)).await?;
        }
        Ok(Some((client, channels)))
    }

    /// Tells what it hears, until the connection breaks or the receiver is dropped.
    async fn listen(
        &mut self,
        client: Client,
        mut heard: UnboundedReceiver<String>,
        tell: &impl Fn(StoreNews),
    ) -> Result<(), String> {
        loop {
            tokio::select! {
                channel = heard.recv() => match channel {
                    Some(channel) if channel == self.worker => tell(StoreNews::Worker),
                    Some(_) => tell(StoreNews::Leader),
                    None => return Err("the connection broke".into()),
                },
                order = self.orders.recv() => {
                    self.take(order);
                    if self.is_ended {
                        return Ok(());
                    }
                    let changed = listen(self.is_leader);
                    let changed = timeout(CONNECT_TIME_MAX, client.batch_execute(&changed)).await;
                    changed.map_err(|_| "the server does not answer")?.map_err(|error| error.to_string())?;
                }
            }
        }
    }
}

/// Returns the statement that begins or ends to listen for what is meant for the leader.
fn listen(is_leader: bool) -> String {
    let verb = if is_leader { "LISTEN" } else { "UNLISTEN" };
    format!("{verb} {}", Addressee::Leader.channel())
}

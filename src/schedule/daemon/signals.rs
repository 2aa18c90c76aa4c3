//! Signals as messages.

use std::sync::mpsc::Sender;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Message;
use crate::error::{Error, ErrorKind, Origin, Result};

/// Starts to handle signals: SIGHUP reads the jobs file again, SIGTERM and SIGINT stop the scheduler.
pub fn follow(mailbox: Sender<Message>) -> Result<()> {
    let cannot = |error: std::io::Error| {
        Error::new(ErrorKind::Local, Origin::Here, format!("cannot follow signals: {error}"))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(cannot)?;
    // Before the thread starts: an early signal must not kill the process.
    let signals: Result<[Signal; 3]> = runtime.block_on(async {
        let one = |kind| signal(kind).map_err(cannot);
        Ok([
            one(SignalKind::hangup())?,
            one(SignalKind::terminate())?,
            one(SignalKind::interrupt())?,
        ])
    });
    let signals = signals?;
    let thread = std::thread::Builder::new().name("signals".into());
    let thread = thread.spawn(move || runtime.block_on(tell(signals, mailbox)));
    thread.map(drop).map_err(cannot)
}

async fn tell([mut hang_up, mut terminate, mut interrupt]: [Signal; 3], mailbox: Sender<Message>) {
    loop {
        let message = tokio::select! {
            _ = hang_up.recv() => Message::Reload,
            _ = terminate.recv() => Message::Stop,
            _ = interrupt.recv() => Message::Stop,
        };
        if mailbox.send(message).is_err() {
            return;
        }
    }
}

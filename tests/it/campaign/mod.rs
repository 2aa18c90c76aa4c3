//! Faults on the control connection at every byte of its replies and at every command of a whole session: no operation
//! is reported done that the server has not done, and no command gets the reply to another.
//!
//! Every seventh byte by default; `PORTOLAN_CAMPAIGN` is the number of bytes, spread evenly over the session.

mod tour;

use std::{sync::Mutex, thread, time::Duration};

use self::tour::Tour;
use crate::support::{
    rehearsal::{Rehearsal, run},
    rounds::rounds,
};

/// The number of concurrent sessions, most of which wait for something.
const WORKERS: usize = 8;
/// Shorter than the pause of `control-pause`: a reply that comes after it is too late and belongs to no command.
const REPLY_TIMEOUT: Duration = Duration::from_millis(200);

/// Returns the number of reply bytes and of commands in a session without faults.
fn recorded() -> (usize, usize) {
    let stage = Rehearsal::start(&[], false);
    let tour = run(Tour::go(&stage));
    assert_eq!(tour.failed, 0, "{:#?}", stage.server.log());
    assert!(tour.complaints.is_empty(), "{:#?}", tour.complaints);
    let log = stage.server.log();
    let replies = log.iter().filter_map(|line| line.strip_prefix("1 < "));
    let bytes = replies.map(|line| line.len() + 2).sum();
    let commands = log.iter().filter(|line| line.starts_with("1 > ")).count();
    (bytes, commands)
}

/// Runs one session with one fault, and returns its false claims.
fn with_fault(fault: &str) -> Option<String> {
    let mut stage = Rehearsal::start(&[fault], false);
    stage.site.reply_timeout = REPLY_TIMEOUT;
    stage.site.connect_timeout = Duration::from_secs(2);
    stage.site.data_timeout = Duration::from_secs(1);
    let tour = run(Tour::go(&stage));
    let complaints = tour.complaints.join("\n");
    let log = || stage.server.log().join("\n");
    (!complaints.is_empty()).then(|| format!("{fault}:\n{complaints}\n{}\n", log()))
}

/// Returns the faults of a campaign over a session of `bytes` reply bytes and `commands` commands.
fn faults(bytes: usize, commands: usize) -> Vec<String> {
    let every = (bytes / rounds(bytes / 7)).max(1);
    let by_byte = ["control-cut", "control-pause"].map(|name| (name, bytes, every));
    let by_command = ["repeat-at", "lost-at", "hang-up-at"].map(|name| (name, commands + 1, 1));
    let all = by_byte.into_iter().chain(by_command);
    let each = |(name, end, every)| (0..end).step_by(every).map(move |at| format!("{name}={at}*1"));
    all.flat_map(each).collect()
}

#[test]
fn nothing_is_claimed_that_did_not_happen_wherever_the_control_connection_fails() {
    let (bytes, commands) = recorded();
    assert!(commands >= 40, "{commands} commands are no session");
    let faults = faults(bytes, commands);
    let next = Mutex::new(faults.iter());
    let complaints = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some(fault) = next.lock().unwrap().next() else { return };
                    let complaint = with_fault(fault);
                    complaints.lock().unwrap().extend(complaint);
                }
            });
        }
    });
    let complaints = complaints.into_inner().unwrap();
    println!("{} faults over {bytes} bytes and {commands} commands", faults.len());
    let count = complaints.len();
    assert!(count == 0, "{count} of {}:\n{}", faults.len(), complaints.join("\n"));
}

//! Connections that are cut at each message of what a leader and a worker write: before the server gets it, or before its
//! answer arrives. The writer tries again, and finds one row of each kind.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    thread,
};

use jiff::Timestamp;

use super::{test_server::new_database, *};
use crate::{
    Store,
    fleet::{Dispatch, LeaderLease, RunClaim, WorkerRecord, tests::slot},
    history::{
        AttemptRecord, Decisions, FileMoved, Health, JobStateRecord, NewNotice, RunEnd, RunState,
        Sum,
    },
    releases::tests::new_release,
};
use portolan_core::error::Result;

/// A proxy that cuts a connection at one of its messages.
#[derive(Default)]
struct Cutter {
    /// The number of messages that still pass; negative if all do.
    left: AtomicI64,
    /// True if the server gets the last of them, and only its answer is lost.
    is_late: AtomicBool,
}

const ALL: i64 = -1;

impl Cutter {
    /// Returns true if this message is the one to cut at.
    fn is_here(&self) -> bool {
        let left = self.left.load(Ordering::SeqCst);
        if left > 0 {
            self.left.store(left - 1, Ordering::SeqCst);
        } else if left == 0 {
            self.left.store(ALL, Ordering::SeqCst);
        }
        left == 0
    }
}

/// Starts the proxy, and returns its port.
fn proxy(to: u16, cutter: &Arc<Cutter>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let cutter = Arc::clone(cutter);
    thread::spawn(move || {
        for client in listener.incoming() {
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).unwrap();
            let (client, cutter) = (client.unwrap(), Arc::clone(&cutter));
            for one in [&client, &server] {
                one.set_nodelay(true).unwrap();
            }
            let (answers, back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let is_swallowed = Arc::new(AtomicBool::new(false));
            let swallows = Arc::clone(&is_swallowed);
            thread::spawn(move || pass_answers(answers, back, &swallows));
            thread::spawn(move || pass_messages(client, server, &cutter, &is_swallowed));
        }
    });
    port
}

fn pass_answers(mut server: TcpStream, mut client: TcpStream, is_swallowed: &AtomicBool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = server.read(&mut bytes) {
        if is_swallowed.load(Ordering::SeqCst) {
            break;
        }
        if client.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    client.shutdown(Shutdown::Both).ok();
    server.shutdown(Shutdown::Both).ok();
}

/// Passes messages one by one. Those that ask for an answer are counted: `Q`uery and `S`ync.
fn pass_messages(
    mut client: TcpStream,
    mut server: TcpStream,
    cutter: &Cutter,
    is_swallowed: &AtomicBool,
) {
    let mut is_first = true;
    loop {
        let mut head = vec![0; if is_first { 4 } else { 5 }];
        if client.read_exact(&mut head).is_err() {
            break;
        }
        let length =
            head[head.len() - 4..].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let mut body = vec![0; length - 4];
        if client.read_exact(&mut body).is_err() {
            break;
        }
        let is_asking = !is_first && matches!(head[0], b'Q' | b'S');
        is_first = false;
        let is_cut = is_asking && cutter.is_here();
        if is_cut && !cutter.is_late.load(Ordering::SeqCst) {
            break;
        }
        // Set before the server can answer; its answer ends the connection.
        is_swallowed.store(is_cut, Ordering::SeqCst);
        head.extend(body);
        if server.write_all(&head).is_err() {
            break;
        }
        if is_cut {
            return;
        }
    }
    client.shutdown(Shutdown::Both).ok();
    server.shutdown(Shutdown::Both).ok();
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn again<T>(mut work: impl FnMut() -> Result<T>) -> T {
    (0..3).find_map(|_| work().ok()).unwrap()
}

/// Returns a file that was sent.
fn sent() -> FileMoved {
    FileMoved {
        attempt: 1,
        verb: "upload".into(),
        path: "a".into(),
        bytes: 1,
        verified: true,
        error: None,
    }
}

/// Writes all that a leader and a worker write about one run, with a cut at the message `cut` of it. Returns true if there
/// was none.
fn life_of_a_run(
    store: &mut Store,
    lease: &LeaderLease,
    cutter: &Cutter,
    cut: i64,
    boot: i64,
) -> bool {
    let late = i64::from(cutter.is_late.load(Ordering::SeqCst));
    let job = format!("job{cut}-{late}");
    let run = slot(&job, "U1", RunState::Running);
    let state = JobStateRecord {
        job: job.clone(),
        revision: "r1".into(),
        watermark: Some(at(60)),
        ..JobStateRecord::default()
    };
    let decisions = Decisions {
        runs: std::slice::from_ref(&run),
        states: std::slice::from_ref(&state),
        dispatches: &[Dispatch { row: 0, worker: "one", boot }],
        ..Decisions::default()
    };
    cutter.left.store(cut, Ordering::SeqCst);
    again(|| store.decide_as(lease, &decisions, at(60))).unwrap();
    let found = again(|| store.dispatched(Some(("one", boot))));
    assert_eq!(found.len(), 1, "{job}: {found:?}");
    let claim: RunClaim = found[0].claim();
    assert!(again(|| store.begin(claim, 1, at(61))));
    let sum = Sum::default();
    let attempt = AttemptRecord {
        number: 1,
        started_at: at(61),
        ended_at: Some(at(70)),
        state: RunState::Done,
        sum: sum.clone(),
    };
    let file = sent();
    assert!(again(|| store.end_attempt(claim, &attempt, std::slice::from_ref(&file), &[])));
    let notice = NewNotice {
        run: claim.run,
        job: job.clone(),
        event: "success".into(),
        channel: "mail".into(),
        body: "{}".into(),
    };
    let (state, health) = (RunState::Done, Some(Health::Good));
    let end = RunEnd { claim, job: &job, state, sum: &sum, health, at: at(70) };
    // Without an answer the second time finds that the run has ended.
    again(|| store.close(&end, |_, _, _| vec![notice.clone()]));
    let is_without = cutter.left.swap(ALL, Ordering::SeqCst) > 0;
    let runs = store.runs(Some(&job), 10).unwrap();
    assert_eq!(runs.len(), 1, "{job}: {runs:?}");
    assert_eq!((runs[0].state, runs[0].attempts), (RunState::Done, 1), "{job}");
    assert_eq!(store.dispatched(None).unwrap(), [], "{job}");
    assert_eq!(store.attempts(claim.run).unwrap().len(), 1, "{job}");
    assert_eq!(store.files(claim.run).unwrap().len(), 1, "{job}");
    assert_eq!(store.notices_of(claim.run).unwrap().len(), 1, "{job}");
    let state = store.job_state(&job).unwrap().unwrap();
    assert_eq!((state.watermark, state.last_success), (Some(at(60)), Some(at(70))), "{job}");
    is_without
}

#[test]
fn a_cut_at_any_message_leaves_one_row_of_each_kind() {
    let Some(database) = new_database() else { return };
    for is_late in [false, true] {
        let cutter = Arc::new(Cutter::default());
        cutter.left.store(ALL, Ordering::SeqCst);
        cutter.is_late.store(is_late, Ordering::SeqCst);
        let address = format!(
            "postgres://portolan@127.0.0.1:{}/{}?sslmode=disable",
            proxy(database.port, &cutter),
            database.name
        );
        let mut store = Store::connect(&PostgresSettings::parse(&address).unwrap()).unwrap();
        let boot = store
            .register_worker(&WorkerRecord { name: "one".into(), ..WorkerRecord::default() })
            .unwrap();
        let seen = store.lease().unwrap();
        let lease = store.take_lease("one", &seen).unwrap().unwrap();
        let last = (0..500).find(|cut| life_of_a_run(&mut store, &lease, &cutter, *cut, boot));
        assert!(last > Some(20), "{last:?} messages were cut");
    }
}

/// Returns the digest of the current release, after a look at whether all of it is there.
fn whole_release(store: &Store) -> String {
    let Some(current) = store.current_release().unwrap() else { return String::new() };
    let files = store.release_files(current.number).unwrap();
    assert_eq!(i64::try_from(files.len()).unwrap(), current.files, "{current:?}");
    for file in files {
        let content = store.release_content(&file.digest).unwrap();
        assert_eq!(content.as_deref(), Some(file.digest.as_bytes()), "{current:?}: {file:?}");
    }
    assert_eq!(store.releases().unwrap().iter().filter(|one| one.is_current).count(), 1);
    current.digest
}

#[test]
fn a_cut_at_any_message_of_publish_leaves_the_old_release_or_the_new_one() {
    let Some(database) = new_database() else { return };
    let watcher = Store::connect(&database.settings()).unwrap();
    let mut before = String::new();
    for is_late in [false, true] {
        let cutter = Arc::new(Cutter::default());
        cutter.left.store(ALL, Ordering::SeqCst);
        cutter.is_late.store(is_late, Ordering::SeqCst);
        let address = format!(
            "postgres://portolan@127.0.0.1:{}/{}?sslmode=disable",
            proxy(database.port, &cutter),
            database.name
        );
        let mut store = Store::connect(&PostgresSettings::parse(&address).unwrap()).unwrap();
        let mut is_over = false;
        let mut outcomes = BTreeSet::new();
        for cut in 0..500 {
            let digest = format!("digest-{is_late}-{cut}");
            let content = format!("content-{is_late}-{cut}");
            let files = [("jobs.toml", &*content), ("a.rhai", "same"), ("lib/b.rhai", &content)];
            let new = new_release(&digest, &files);
            cutter.left.store(cut, Ordering::SeqCst);
            let first = store.publish(&new, at(60)).is_ok();
            let found = whole_release(&watcher);
            assert!([&before, &digest].contains(&&found), "{cut}: {found} after {before}");
            outcomes.insert((first, found == digest));
            let (current, _) = again(|| store.publish(&new, at(60)));
            assert_eq!(current.unwrap().digest, digest);
            assert_eq!(whole_release(&watcher), digest);
            let numbers: Vec<_> = store.releases().unwrap().iter().map(|one| one.number).collect();
            assert!(numbers.is_sorted_by(|one, next| one == &(next + 1)), "{numbers:?}");
            before = digest;
            is_over = cutter.left.swap(ALL, Ordering::SeqCst) > 0;
            if is_over {
                assert!(cut > 10, "{cut} messages were cut");
                break;
            }
        }
        assert!(is_over, "there is no end of messages");
        // Written, and told; or neither; with answers that are lost also written and not told.
        assert!(outcomes.contains(&(true, true)) && outcomes.contains(&(false, false)));
        assert_eq!(outcomes.contains(&(false, true)), is_late, "{outcomes:?}");
        assert!(!outcomes.contains(&(true, false)));
    }
}

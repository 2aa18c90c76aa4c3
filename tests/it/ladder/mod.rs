//! It gets through: whatever happens to data connections, the transfer takes place if any mode can carry it.

mod rows;
mod servers;

use std::{
    fmt::Write,
    net::TcpListener,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use portolan::{
    fault::{Kind, Outcome},
    ftp::site::Mode,
};

use self::rows::{ROWS, Row};
use crate::support::{
    rehearsal::{Rehearsal, path, put, run},
    server::free_ports,
};

/// The longest that a user waits for a transfer to begin, whatever stands in the way.
const ROW_TIME_MAX: Duration = Duration::from_secs(12);
/// Rows at the same time: most of them wait.
const WORKERS: usize = 10;

/// A row as it went.
struct Measured {
    name: String,
    steps: String,
    took: Duration,
}

/// One transfer through the trouble of a row, and two more in the same session.
async fn go_through(row: &Row, stage: &Rehearsal) -> Outcome<Measured> {
    let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    stage.file("a", &bytes);
    let started = Instant::now();
    let mut session = stage.open().await?;
    let read = session.read(&path("/a"), u64::MAX).await?;
    let took = started.elapsed();
    assert!(read == bytes, "{}: other bytes", row.name);
    let steps: Vec<_> = session.attempts().iter().map(|attempt| attempt.step).collect();
    let steps = steps.join(" ");
    put(&mut session, "/b", &bytes).await?;
    assert!(stage.bytes("b").is_some_and(|stored| stored == bytes), "{}: stored others", row.name);
    assert_eq!(session.list(&path("/")).await?.entries.len(), 2, "{}", row.name);
    assert_eq!(session.route(), row.route, "{}: {:#?}", row.name, session.attempts());
    session.close().await;
    let name = format!("{}, {}", row.name, row.mode.word());
    Ok(Measured { name, steps, took })
}

fn measure(row: &Row, tls: bool) -> Measured {
    let mut stage = Rehearsal::start(row.faults, tls);
    stage.site.mode = row.mode;
    let measured = run(go_through(row, &stage)).unwrap_or_else(|fault| {
        let log = stage.server.log().join("\n");
        panic!("{} (TLS {tls}): {fault:?}\n{log}", row.name)
    });
    let told = stage.told();
    let is_other = row.mode.word() != "auto" && is_active(row.route) != (row.mode == Mode::Active);
    if is_other {
        assert_eq!(told.len(), 1, "{}: told once and no more: {told:?}", row.name);
    }
    if let Some(reason) = row.reason {
        assert!(told.iter().any(|line| line.contains(reason)), "{}: {told:?}", row.name);
    }
    measured
}

fn is_active(route: &str) -> bool {
    matches!(route, "eprt" | "port")
}

/// All rows, some at a time, in the order of the table.
fn every_row(tls: bool) -> Vec<Measured> {
    let next = Mutex::new(ROWS.iter().enumerate());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some((at, row)) = next.lock().unwrap().next() else { return };
                    let measured = measure(row, tls);
                    done.lock().unwrap().push((at, measured));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, measured)| measured).collect()
}

#[test]
fn every_trouble_with_data_connections_ends_in_a_transfer() {
    for tls in [false, true] {
        let mut table = String::new();
        let rows = every_row(tls);
        for Measured { name, steps, took } in &rows {
            writeln!(table, "{:>6} ms  {steps:20} {name}", took.as_millis()).unwrap();
        }
        println!("TLS: {tls}\n{table}");
        let worst = rows.iter().map(|row| row.took).max().unwrap();
        assert!(worst < ROW_TIME_MAX, "the worst row took {worst:?}:\n{table}");
    }
}

#[test]
fn without_fallback_the_mode_is_held_and_the_fault_says_so() {
    for (faults, mode, reason) in [
        (&["pasv-refused"][..], Mode::Passive, "passive: the server said \"502"),
        (&["pasv-dead"], Mode::Passive, "passive: cannot connect to 127.0.0.1:"),
        (&["active-refused"], Mode::Active, "active: the server said \"500 Illegal PORT"),
        (&["active-425"], Mode::Active, "active: the server said \"425 Failed"),
        (&["active-silent"], Mode::Active, "active: the server did not connect to 127.0.0.1:"),
    ] {
        let mut stage = Rehearsal::start(faults, false);
        stage.file("a", "x");
        (stage.site.mode, stage.site.fallback) = (mode, false);
        let started = Instant::now();
        let (fault, steps) = run(async {
            let mut session = stage.open().await.unwrap();
            let fault = session.read(&path("/a"), 9).await.unwrap_err();
            let steps: Vec<_> = session.attempts().iter().map(|attempt| attempt.step).collect();
            (fault, steps)
        });
        assert_eq!(fault.kind, Kind::DataConnection, "{faults:?}: {fault:?}");
        assert!(fault.message.contains("and `fallback` is off: "), "{fault}");
        assert!(fault.message.contains(reason), "{fault}");
        let held = steps.iter().all(|step| is_active(step) == (mode == Mode::Active));
        assert!(held, "{faults:?}: {steps:?}");
        assert!(started.elapsed() < ROW_TIME_MAX, "{faults:?}: {:?}", started.elapsed());
    }
}

#[test]
fn a_server_that_connects_late_is_waited_for_where_there_is_no_other_mode() {
    let mut stage = Rehearsal::start(&["active-late=3500"], false);
    stage.file("a", "x");
    (stage.site.mode, stage.site.fallback) = (Mode::Active, false);
    run(async {
        let mut session = stage.open().await.unwrap();
        assert_eq!(session.read(&path("/a"), 9).await.unwrap(), b"x");
        assert_eq!(session.attempts().len(), 1);
    });
}

#[test]
fn where_no_mode_is_left_both_are_named_within_the_time() {
    for faults in [
        &["pasv-blackhole", "active-silent"][..],
        &["pasv-refused", "active-refused"],
        &["pasv-dead", "active-425"],
    ] {
        let stage = Rehearsal::start(faults, false);
        stage.file("a", "x");
        let started = Instant::now();
        let fault = run(async {
            let mut session = stage.open().await.unwrap();
            session.read(&path("/a"), 9).await.unwrap_err()
        });
        assert_eq!((fault.kind, fault.may_retry()), (Kind::DataConnection, true), "{fault:?}");
        for words in ["in either mode: ", "passive: ", "; active: "] {
            assert!(fault.message.contains(words), "{fault}");
        }
        assert!(started.elapsed() < ROW_TIME_MAX, "{faults:?}: {:?}", started.elapsed());
    }
}

#[test]
fn ports_that_are_all_taken_leave_passive_mode() {
    let ports = free_ports(2);
    let taken: Vec<_> =
        ports.clone().map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap()).collect();
    let mut stage = Rehearsal::start(&[], false);
    stage.file("a", "x");
    (stage.site.mode, stage.site.port_range) = (Mode::Active, Some(ports));
    run(async {
        let mut session = stage.open().await.unwrap();
        assert_eq!(session.read(&path("/a"), 9).await.unwrap(), b"x");
        assert_eq!(session.route(), "epsv");
    });
    let told = stage.told();
    assert!(
        told.len() == 1 && told.iter().all(|line| line.contains("no free port in")),
        "{told:?}"
    );
    drop(taken);
}

#[test]
fn another_session_of_the_process_begins_where_the_first_one_ended() {
    let mut stage = Rehearsal::start(&["active-silent", "no-reply=EPSV"], false);
    stage.file("a", "x");
    stage.site.mode = Mode::Active;
    run(async {
        let mut first = stage.open().await.unwrap();
        first.read(&path("/a"), 9).await.unwrap();
        let mut second = first.another().await.unwrap();
        let started = Instant::now();
        second.read(&path("/a"), 9).await.unwrap();
        let steps: Vec<_> = second.attempts().iter().map(|attempt| attempt.step).collect();
        assert_eq!(steps, ["pasv"]);
        assert!(started.elapsed() < Duration::from_secs(2));
    });
    assert_eq!(stage.told().len(), 1, "{:?}", stage.told());
}

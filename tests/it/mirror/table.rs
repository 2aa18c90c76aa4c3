//! The files that the command sends after each kind of change, with and without a state, to servers of different
//! abilities: the table that today's tools fail (same-size rollbacks missed, edits missed in silence, fresh checkouts
//! sent again).

use std::{fs, path::Path};

use portolan::clock::Clock;

use super::{mirror, url};
use crate::support::{program::Portolan, rehearsal::Rehearsal, tree::set_modified};

/// The modification time of the files.
const THEN_S: u64 = 1_700_000_000;

fn now_s() -> u64 {
    Clock::System.now().as_second().try_into().unwrap()
}

fn rewrite(path: &Path, text: &str, at_s: u64) {
    fs::write(path, text).unwrap();
    set_modified(path, at_s);
}

/// A change to a file between two runs, and whether it must be sent in three cases: with a state, without one if times
/// are kept, and with neither.
type Row = (&'static str, fn(&Path), [bool; 3]);

const ROWS: [Row; 5] = [
    ("no change", |_| {}, [false, false, false]),
    // Without a state and without times it cannot be detected, and the run reports that.
    ("rollback of the same size", |at| rewrite(at, "older", THEN_S - 90_000), [true, true, false]),
    ("edit of the same size", |at| rewrite(at, "newer", now_s() + 120), [true, true, true]),
    ("rollback of another size", |at| rewrite(at, "old", THEN_S - 90_000), [true, true, true]),
    ("fresh checkout", |at| rewrite(at, "bytes", now_s() + 120), [false, true, true]),
];

/// The faults of a server, and whether it keeps times.
const SERVERS: [(&[&str], bool); 5] = [
    (&[], true),
    (&["no-mlsd", "no-mlst"], true),
    (&["no-mfmt"], false),
    (&["no-mlsd", "no-mlst", "no-mfmt"], false),
    (&["no-mlsd", "no-mlst", "no-mfmt", "reply=MDTM:502 No."], false),
];

/// Runs it once more; returns the number of files sent, and whether it warned that times are not kept.
fn sent(program: &Portolan) -> (u64, bool) {
    let ran =
        program.run().succeeds().any_files().stdout_has(" 0 failed\n").never_says("in the target");
    let warned = ran.stderr_text().contains("the server sets no times");
    let count = ran.stdout_text().split(' ').next().unwrap().parse().unwrap();
    drop(ran.any_stderr());
    (count, warned)
}

fn row((name, change, is_sent): Row, (plans, keeps_times): (&[&str], bool), remembers: bool) {
    let about = format!("{name}; {plans:?}; remembers {remembers}");
    let stage = Rehearsal::start(plans, false);
    let program = mirror(&stage).file("dist/one", "bytes").file("dist/sub/other", "bytes");
    let program = program.args(["dist", &url(&stage)]);
    let program = if remembers { program } else { program.args(["--no-memory"]) };
    for file in ["dist/one", "dist/sub/other"] {
        set_modified(&program.folder().join(file), THEN_S);
    }
    assert_eq!(sent(&program).0, 2, "{about}");
    change(&program.folder().join("dist/one"));
    let [always, by_time, by_size] = is_sent;
    // LIST alone, in an unknown time zone: the size decides, and the run reports that.
    let tells_times = !plans.contains(&"reply=MDTM:502 No.");
    let wanted = match (remembers, keeps_times) {
        (true, _) => always,
        (false, true) => by_time,
        (false, false) => by_size && (tells_times || name == "rollback of another size"),
    };
    let (found, warned) = sent(&program);
    assert_eq!(found, u64::from(wanted), "{about}");
    assert_eq!(warned, !remembers && !keeps_times, "{about}");
    let is_same = stage.bytes("in/one") == fs::read(program.folder().join("dist/one")).ok();
    assert!(is_same || !wanted, "{about}");
    assert!(is_same || warned, "what is missed is never missed in silence: {about}");
    if remembers || keeps_times {
        assert_eq!(sent(&program).0, 0, "the next run is quiet: {about}");
    }
}

#[test]
fn after_each_sort_of_change_what_changed_is_sent_and_nothing_else() {
    std::thread::scope(|scope| {
        for server in SERVERS {
            scope.spawn(move || {
                for change in ROWS {
                    for remembers in [true, false] {
                        row(change, server, remembers);
                    }
                }
            });
        }
    });
}

#[test]
fn the_first_deployment_with_its_state_on_the_server_is_no_news() {
    let stage = Rehearsal::start(&[], false);
    let program = mirror(&stage).file("dist/one", "bytes");
    let program = program.args(["--state-remote", "--delete", "dist", &url(&stage)]);
    for run in ["1 up, 0 down, 0 deleted, 0 unchanged", "0 up, 0 down, 0 deleted, 1 unchanged"] {
        let ran = program.run().succeeds().stdout(&format!("{run}, 0 failed\n"));
        drop(ran.never_says("failed to").never_says("warning").any_stderr());
        assert!(stage.bytes("in/.portolan-state").is_some());
    }
}

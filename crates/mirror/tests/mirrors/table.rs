//! The changes that other tools mishandle (rollback, edit and fresh checkout, with and without times on the server):
//! the run after a change sends exactly the changed files, and the run after that sends none.

use std::path::Path;

use super::{MirrorFixture, MirrorOptions, Report, age, assert_same, fs, write};

/// A change of a file of the source between two runs.
type SourceChange = fn(&Path);

/// The capabilities of servers.
const SERVERS: [&[&str]; 6] = [
    &[],
    &["no-mfmt"],
    &["no-mlsd", "no-mlst"],
    &["no-mlsd", "no-mlst", "no-mfmt"],
    &["no-mlsd", "no-mlst", "no-mfmt", "reply=MDTM:502 No."],
    &["no-mfmt", "reply=MDTM:502 No.", "reply=SIZE:502 No."],
];

fn rewrite(path: &Path, text: &str, age_s: i64) {
    fs::write(path, text).unwrap();
    age(path, age_s);
}

const ROWS: [(&str, SourceChange, bool); 6] = [
    ("no change", |_| {}, false),
    ("rollback of the same size", |path| rewrite(path, "older", 90_000), true),
    ("edit of the same size", |path| rewrite(path, "newer", 60), true),
    ("edit of the same size, dated to come", |path| rewrite(path, "newer", -5), true),
    ("rollback of another size", |path| rewrite(path, "old one", 90_000), true),
    ("fresh checkout", |path| rewrite(path, "bytes", 0), false),
];

fn assert_clean(report: &Report, about: &str) {
    assert_eq!(report.failed, 0, "{about}: {:?}", report.errors);
    assert_eq!(report.drift, [""; 0], "{about}");
}

#[tokio::test]
async fn what_changed_here_is_sent_once_and_nothing_else() {
    for server in SERVERS {
        for (name, change, is_sent) in ROWS {
            let about = format!("{server:?}: {name}");
            let bench = MirrorFixture::new(server).remembering();
            for file in ["one", "sub/two", "sub/other"] {
                write(&bench.here(), file, "bytes");
            }
            let first = bench.up(&MirrorOptions::default()).await.unwrap();
            assert_clean(&first, &about);
            assert_eq!(first.uploaded, 3, "{about}");
            for file in ["one", "sub/two"] {
                change(&bench.here().join(file));
            }
            for (run, sent) in [("changed", if is_sent { 2 } else { 0 }), ("quiet", 0)] {
                let report = bench.up(&MirrorOptions::default()).await.unwrap();
                assert_clean(&report, &about);
                assert_eq!(report.uploaded, sent, "{about}, {run}: {:?}", report.plan);
            }
            assert_same(&bench.here(), &bench.there());
        }
    }
}

#[tokio::test]
async fn without_a_memory_size_and_time_decide() {
    for (name, change, is_sent) in ROWS {
        let bench = MirrorFixture::new(&[]);
        write(&bench.here(), "one", "bytes");
        bench.up(&MirrorOptions::default()).await.unwrap();
        change(&bench.here().join("one"));
        let is_sent = is_sent || name == "fresh checkout";
        for sent in [u64::from(is_sent), 0] {
            let report = bench.up(&MirrorOptions::default()).await.unwrap();
            assert_eq!(report.uploaded, sent, "{name}: {:?}", report.plan);
        }
    }
}

#[tokio::test]
async fn s61_what_was_fetched_from_a_server_of_unknown_zone_is_quiet_afterwards() {
    for server in SERVERS.into_iter().filter(|plans| !plans.contains(&"reply=SIZE:502 No.")) {
        let bench = MirrorFixture::new(server).remembering();
        for file in ["one", "sub/two"] {
            write(&bench.there(), file, "bytes");
        }
        let first = bench.down(&MirrorOptions::default()).await.unwrap();
        assert_eq!((first.downloaded, first.failed), (2, 0), "{server:?}");
        assert_eq!(
            bench.down(&MirrorOptions::default()).await.unwrap().downloaded,
            0,
            "{server:?}"
        );
        rewrite(&bench.there().join("one"), "newer", 60);
        for fetched in [1, 0] {
            let report = bench.down(&MirrorOptions::default()).await.unwrap();
            assert_eq!(report.downloaded, fetched, "{server:?}: {:?}", report.plan);
        }
        assert_same(&bench.there(), &bench.here());
    }
}

#[tokio::test]
async fn what_was_only_touched_here_is_not_fetched_again_and_a_change_here_is_drift() {
    for server in SERVERS.into_iter().filter(|plans| !plans.contains(&"reply=SIZE:502 No.")) {
        for rules in [
            MirrorOptions::default(),
            MirrorOptions { preserve_times: false, resume: true, ..MirrorOptions::default() },
        ] {
            let about = format!("{server:?}, resume {}", rules.resume);
            let bench = MirrorFixture::new(server).remembering();
            for file in ["one", "sub/two"] {
                write(&bench.there(), file, "bytes");
            }
            assert_eq!(bench.down(&rules).await.unwrap().downloaded, 2, "{about}");
            for file in ["one", "sub/two"] {
                age(&bench.here().join(file), 90_000);
            }
            for run in ["touched", "quiet"] {
                let report = bench.down(&rules).await.unwrap();
                assert_clean(&report, &about);
                assert_eq!((report.downloaded, report.unchanged), (0, 2), "{about}, {run}");
            }
            rewrite(&bench.here().join("one"), "BYTES", 80_000);
            let report = bench.down(&rules).await.unwrap();
            let drift = ["one: changed in the target since the last run, overwritten"];
            assert_eq!((report.downloaded, &report.drift[..]), (1, &drift.map(String::from)[..]));
            assert_same(&bench.there(), &bench.here());
        }
    }
}

//! Incomplete files that other tools take for complete: they are never reported as done, never get the final name, and
//! nothing is deleted in the run; once the server works again, the next run repairs everything.

use std::path::{Path, PathBuf};

use super::{MirrorFixture, MirrorOptions, assert_same, deleting, fs, write};

/// More than the buffers of sockets hold.
const BYTES: usize = 1_000_000;
const OLD: &[u8] = b"old bytes";

/// The faults of a server in each transfer, each with true for uploads.
const CASES: [(&str, &str, bool); 10] = [
    ("RETR half, then 226", "short-226", false),
    ("RETR cut, then 426", "drop-after=500000", false),
    ("RETR whole, then 426", "retr-426", false),
    ("RETR of nothing, then 226", "short=0", false),
    ("STOR keeps half, then 226", "stor-short", true),
    ("STOR whole, then 452", "stor-452", true),
    ("STOR whole, then 451", "stor-451", true),
    ("STOR cut at a fifth, then 426", "stor-drop=200000", true),
    ("STOR cut, and the session with it", "hang-up-after=STOR", true),
    ("STOR whole, and no final reply", "lost-reply=STOR", true),
];

fn parts(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "part")).collect()
}

fn sides(bench: &MirrorFixture, is_up: bool) -> (PathBuf, PathBuf) {
    if is_up { (bench.here(), bench.there()) } else { (bench.there(), bench.here()) }
}

async fn run(bench: &MirrorFixture, is_up: bool, rules: &MirrorOptions) -> super::Report {
    if is_up { bench.up(rules).await } else { bench.down(rules).await }.unwrap()
}

fn furnish(bench: &MirrorFixture, is_up: bool) {
    let (source, target) = sides(bench, is_up);
    let big: Vec<u8> = (0..BYTES).map(|at| u8::try_from(at % 251).unwrap()).collect();
    write(&source, "new", &big);
    write(&source, "changed", &big);
    write(&target, "changed", OLD);
    write(&target, "extra", "not in the source");
}

fn impatient(plans: &[&str]) -> MirrorFixture {
    let mut bench = MirrorFixture::new(plans);
    bench.site.reply_timeout = std::time::Duration::from_millis(300);
    bench.site.data_timeout = std::time::Duration::from_millis(500);
    bench
}

#[tokio::test]
async fn nothing_half_is_ever_called_done_and_nothing_is_deleted_after_it() {
    for (name, plan, is_up) in CASES {
        for resume in [false, true] {
            let about = format!("{name}, resume {resume}");
            let bench = impatient(&[plan]);
            furnish(&bench, is_up);
            let rules = MirrorOptions { retries: 1, resume, ..deleting() };
            let report = run(&bench, is_up, &rules).await;
            let (source, target) = sides(&bench, is_up);
            let whole = fs::read(source.join("new")).unwrap();
            let found = ["new", "changed"].map(|name| fs::read(target.join(name)).ok());
            let arrived = found.iter().flatten().filter(|bytes| **bytes == whole).count() as u64;
            assert_eq!(report.uploaded + report.downloaded, arrived, "{about}: {report}");
            assert!(arrived == 2 || found[1].as_deref() == Some(OLD), "{about}");
            assert!(arrived >= 1 || found[0].is_none(), "{about}");
            // A file that arrived without a reply from the server is proved by the second try, and by nothing else.
            let may_arrive = resume && matches!(plan, "hang-up-after=STOR" | "lost-reply=STOR");
            assert!(arrived == 0 || may_arrive, "{about}: {report}");
            if arrived < 2 {
                assert!(report.failed >= 1 && !report.errors.is_empty(), "{about}: {report}");
                assert_eq!((report.deleted, target.join("extra").exists()), (0, true), "{about}");
            }
            // A partial file stays only if another run resumes it, or if no session was left to remove it.
            let may_stay = resume || matches!(plan, "hang-up-after=STOR" | "lost-reply=STOR");
            assert!(may_stay || parts(&target).is_empty(), "{about}: {:?}", parts(&target));
        }
    }
}

#[tokio::test]
async fn what_was_half_once_is_whole_after_another_try_in_the_same_run() {
    for (name, plan, is_up) in CASES {
        // A full server is not tried again.
        if plan == "stor-452" {
            continue;
        }
        for resume in [false, true] {
            let about = format!("{name}, resume {resume}");
            let bench = impatient(&[&format!("{plan}*1")]);
            furnish(&bench, is_up);
            let rules = MirrorOptions { resume, ..deleting() };
            let report = run(&bench, is_up, &rules).await;
            let (source, target) = sides(&bench, is_up);
            assert_eq!((report.failed, report.deleted), (0, 1), "{about}: {:?}", report.errors);
            for part in parts(&target) {
                // Only a later run removes the files left by a session that died.
                assert!(
                    matches!(plan, "hang-up-after=STOR" | "lost-reply=STOR"),
                    "{about}: {part:?}"
                );
                fs::remove_file(target.join(part)).unwrap();
            }
            assert_same(&source, &target);
        }
    }
}

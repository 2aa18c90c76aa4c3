//! Many files and many sessions: pipelined commands, batches, and failures within them.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, time::Instant};

use super::{MirrorFixture, MirrorOptions, age, assert_same, deleting, odd_tree, write};
use portolan_ftp::site::{Mode, PARALLEL_AUTO};
use portolan_testserver::ServerSetup;

/// Creates a directory with `count` small files.
fn small_files(folder: &std::path::Path, count: usize) {
    for number in 0..count {
        write(folder, format!("{}/{number}", number % 3), vec![b'x'; number * 10]);
    }
}

#[tokio::test]
async fn what_is_left_to_do_for_many_uploads_goes_together() {
    let bench = MirrorFixture::new(&[]);
    small_files(&bench.here(), 30);
    let report = bench.up(&deleting()).await.unwrap();
    assert_eq!((report.uploaded, report.verified, report.failed), (30, 30, 0));
    assert_same(&bench.here(), &bench.there());
    let log = bench.server.log();
    let commands: Vec<_> = log.iter().filter_map(|line| line.split_once(" > ")).collect();
    let verbs: Vec<_> =
        commands.iter().map(|(_, line)| line.split(' ').next().unwrap_or_default()).collect();
    assert!(verbs.windows(4).any(|four| four == ["RNFR", "RNTO", "RNFR", "RNTO"]), "{verbs:?}");
    // A harmless command is sent first, and only twice: once after the listing, once after an upload.
    assert_eq!(bench.count("NOOP"), 2, "{verbs:?}");
}

#[tokio::test]
async fn in_active_mode_a_file_is_asked_for_before_the_one_before_it_has_ended() {
    let mut bench = MirrorFixture::new(&[]);
    bench.site.mode = Mode::Active;
    small_files(&bench.there(), 20);
    let report = bench.down(&deleting()).await.unwrap();
    assert_eq!((report.downloaded, report.verified, report.failed), (20, 20, 0));
    assert_same(&bench.here(), &bench.there());
    assert_eq!((bench.count("NOOP"), bench.count("USER")), (1, 1));
    assert_eq!(bench.count("RETR"), 20, "nothing is asked for twice");
}

#[tokio::test]
async fn a_file_that_was_asked_for_early_is_whole_or_asked_for_again() {
    for plan in [
        "repeat=NOOP",
        "repeat=EPRT*8",
        "busy-421=RETR*1",
        "leave-after=RETR*1",
        "hang-up-at=30",
        "hang-up-at=31",
        "repeat-at=30",
        "repeat-at=31",
        "control-cut=1800",
        "drop-after=60*2",
        "reply=EPRT:500 No more of that.*6",
        "double-226",
        "late-226*1",
        "early-226",
        "short-226*1",
    ] {
        let mut bench = MirrorFixture::new(&[plan]);
        bench.site.mode = Mode::Active;
        small_files(&bench.there(), 24);
        let report = bench.down(&MirrorOptions { parallel: 2, ..deleting() }).await;
        let report = report.unwrap_or_else(|fault| panic!("{plan}: {fault}"));
        assert_eq!(report.failed, 0, "{plan}: {:?}", report.errors);
        assert_same(&bench.here(), &bench.there());
    }
}

#[tokio::test]
async fn a_server_that_does_not_keep_step_still_gets_and_gives_everything() {
    let plans = [
        "repeat=NOOP",
        "hang-up=NOOP*1",
        "busy-421=NOOP*1",
        "reply=NOOP:500 What?",
        "reply=NOOP:226 Transfer complete.",
        "lost-reply=NOOP*1",
        "leave-after=EPSV*5",
        "double-226",
        "late-226*1",
        "early-226",
        "stor-short*1",
        "short-226*1",
    ];
    // All at the same time, since most of it is waiting.
    let each = plans.into_iter().flat_map(|plan| [(plan, true), (plan, false)]);
    let each = each.map(|(plan, is_up)| async move {
        let bench = MirrorFixture::new(&[plan]);
        small_files(&if is_up { bench.here() } else { bench.there() }, 12);
        let rules = MirrorOptions { parallel: 2, ..deleting() };
        let report = if is_up { bench.up(&rules).await } else { bench.down(&rules).await };
        let report = report.unwrap_or_else(|fault| panic!("{plan}, {is_up}: {fault}"));
        assert_eq!(report.failed, 0, "{plan}, {is_up}: {:?}", report.errors);
        assert_same(&bench.here(), &bench.there());
    });
    futures_util::future::join_all(each).await;
}

#[tokio::test]
async fn times_that_no_listing_tells_come_with_the_files() {
    let plans = [
        ("no-mfmt", true),
        ("reply=NOOP:500 What?", true),
        ("hang-up=MDTM*1", true),
        ("busy-421=MDTM*1", true),
        ("repeat=MDTM*1", true),
        ("reply=MDTM:226 Transfer complete.*1", true),
        ("reply=MDTM:550 No.", false),
        ("reply=MDTM:502 No.", false),
    ];
    let each = plans.into_iter().map(|(plan, has_times)| async move {
        let bench = MirrorFixture::new(&["no-mlsd", "no-mlst", plan]);
        small_files(&bench.there(), 24);
        for number in 0..24 {
            // So old that a listing shows only the day.
            age(
                &bench.there().join(format!("{}/{number}", number % 3)),
                60_000_000 + number * 12_345,
            );
        }
        let rules = MirrorOptions { parallel: 2, ..deleting() };
        let report = bench.down(&rules).await.unwrap_or_else(|fault| panic!("{plan}: {fault}"));
        assert_eq!((report.downloaded, report.failed), (24, 0), "{plan}: {:?}", report.errors);
        assert_same(&bench.here(), &bench.there());
        let time = |folder: PathBuf, number: i64| {
            fs::metadata(folder.join(format!("{}/{number}", number % 3))).unwrap().mtime()
        };
        let is_kept = |number| time(bench.here(), number) == time(bench.there(), number);
        let kept = (0..24).filter(|number| is_kept(*number)).count();
        // A reply out of step is believed no more than the file that it came with, which is fetched again.
        assert_eq!(kept, if has_times { 24 } else { 0 }, "{plan}");
    });
    futures_util::future::join_all(each).await;
}

#[tokio::test]
async fn as_many_sessions_as_the_server_takes_are_enough_for_auto() {
    for is_up in [true, false] {
        let bench = MirrorFixture::with(&[], |setup| ServerSetup { sessions_max: 3, ..setup });
        odd_tree(&if is_up { bench.here() } else { bench.there() });
        let rules = MirrorOptions { parallel: PARALLEL_AUTO, ..deleting() };
        let report = if is_up { bench.up(&rules).await } else { bench.down(&rules).await }.unwrap();
        assert_eq!(report.failed, 0, "{:?}", report.errors);
        assert_same(&bench.here(), &bench.there());
    }
}

#[tokio::test]
async fn all_sessions_of_a_mirror_keep_to_its_rate() {
    let bench = MirrorFixture::new(&[]);
    for number in 0..6 {
        write(&bench.there(), format!("{number}"), vec![7; 50_000]);
    }
    let rules =
        MirrorOptions { parallel: 3, rate_limit: Some(150_000), ..MirrorOptions::default() };
    let began = Instant::now();
    let report = bench.down(&rules).await.unwrap();
    assert_eq!((report.downloaded, report.failed), (6, 0));
    assert!(began.elapsed().as_millis() >= 1_700, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_mirror_goes_on_with_a_file_that_broke_off() {
    for (plan, is_up, again) in
        [("drop-after=300000*1", false, "REST"), ("stor-drop=300000*1", true, "APPE")]
    {
        let bench = MirrorFixture::new(&[plan]);
        write(&if is_up { bench.here() } else { bench.there() }, "big", vec![7; 1_000_000]);
        let rules = MirrorOptions { resume: true, ..MirrorOptions::default() };
        let report = if is_up { bench.up(&rules).await } else { bench.down(&rules).await }.unwrap();
        assert_eq!(report.failed, 0, "{:?}", report.errors);
        assert_same(&bench.here(), &bench.there());
        assert!(bench.count(again) >= 1, "{plan}");
    }
}

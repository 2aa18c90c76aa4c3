//! Faults during a run: the retries, the failures, and the report.

use super::{MirrorFixture, MirrorOptions, assert_same, deleting, odd_tree, write};
use portolan_core::error::ErrorKind;
use portolan_ftp::site::InPlace;
use portolan_remote::fs::RemoteFs;
use portolan_testserver::ServerSetup;

#[tokio::test]
async fn a_server_that_takes_two_sessions_is_enough_for_four() {
    for is_up in [true, false] {
        let bench = MirrorFixture::with(&[], |setup| ServerSetup { sessions_max: 2, ..setup });
        odd_tree(&if is_up { bench.here() } else { bench.there() });
        let rules = MirrorOptions { parallel: 4, ..deleting() };
        let report = if is_up { bench.up(&rules).await } else { bench.down(&rules).await }.unwrap();
        assert_eq!(report.failed, 0, "{:?}", report.errors);
        assert_same(&bench.here(), &bench.there());
    }
}

#[tokio::test]
async fn a_session_that_is_thrown_out_leaves_its_work_to_the_others() {
    // One more than the first and the two others open, so that none of them comes back.
    let bench =
        MirrorFixture::with(&["busy-421=RETR*1"], |setup| ServerSetup { sessions_max: 3, ..setup });
    odd_tree(&bench.there());
    let report = bench.down(&MirrorOptions { parallel: 3, ..deleting() }).await.unwrap();
    assert_eq!(report.failed, 0, "{:?}", report.errors);
    assert_same(&bench.here(), &bench.there());
}

#[tokio::test]
async fn a_transfer_that_breaks_once_is_tried_again() {
    for (plan, is_up) in [
        ("drop-after=10*1", false),
        ("short-226*1", false),
        ("retr-425*2", false),
        ("busy-421=RETR*1", false),
        ("stor-451*1", true),
        ("stor-short*1", true),
        ("hang-up=STOR*1", true),
    ] {
        let bench = MirrorFixture::new(&[plan]);
        odd_tree(&if is_up { bench.here() } else { bench.there() });
        let rules = deleting();
        let report = if is_up { bench.up(&rules).await } else { bench.down(&rules).await }.unwrap();
        assert_eq!(report.failed, 0, "{plan}: {:?}", report.errors);
        assert_same(&bench.here(), &bench.there());
    }
}

#[tokio::test]
async fn one_file_that_fails_does_not_keep_the_others_back() {
    let bench = MirrorFixture::new(&["reply=STOR:553 Not this one.@/in/bad"]);
    for name in ["a", "bad/b", "bad/c", "d"] {
        write(&bench.here(), name, "x");
    }
    let report = bench.up(&deleting()).await.unwrap();
    assert_eq!((report.uploaded, report.failed), (2, 2));
    let paths: Vec<_> = report.errors.iter().map(|fault| fault.path.clone().unwrap()).collect();
    assert_eq!(paths, ["/in/bad/b", "/in/bad/c"]);
}

#[tokio::test]
async fn s44_a_full_server_gets_no_more_files() {
    // After all of the data, and instead of it.
    for (plan, stores) in
        [("stor-552", 1), ("stor-452", 1), ("reply=STOR:552 Full.", 1), ("reply=STOR:452 Full.", 1)]
    {
        let bench = MirrorFixture::new(&[plan]);
        for number in 0..5 {
            write(&bench.here(), format!("{number}"), "x");
        }
        write(&bench.there(), "0", "old bytes");
        write(&bench.there(), "extra", "y");
        let report = bench.up(&deleting()).await.unwrap();
        let counts = (report.uploaded, report.failed, report.skipped, report.deleted);
        assert_eq!(counts, (0, 1, 5, 0), "{plan}: {:?}", report.errors);
        assert_eq!(report.errors[0].kind, ErrorKind::Full, "{plan}");
        assert_eq!(bench.count("STOR"), stores, "{plan}");
        let left: Vec<_> = std::fs::read_dir(bench.there()).unwrap().collect();
        assert_eq!(left.len(), 2, "{plan}: {left:?}");
        assert_eq!(std::fs::read(bench.there().join("0")).unwrap(), b"old bytes", "{plan}");
    }
}

#[tokio::test]
async fn nothing_is_tried_below_a_folder_that_cannot_be_made() {
    let bench = MirrorFixture::new(&["mkd-refused"]);
    for name in ["a", "bad/b", "bad/c/d"] {
        write(&bench.here(), name, "x");
    }
    let report = bench.up(&deleting()).await.unwrap();
    assert_eq!((report.uploaded, report.failed), (1, 3));
    let told = report.errors.iter().map(|fault| (fault.path.as_deref(), &*fault.message));
    let told: Vec<_> = told.collect();
    let why = "not tried: the server said \"550 Permission denied.\"";
    assert_eq!(told[1..], [(Some("bad/b"), why), (Some("bad/c/d"), why)]);
    assert_eq!(bench.count("STOR"), 1);
}

#[tokio::test]
async fn a_mirror_ends_when_it_is_told_to() {
    let bench = MirrorFixture::new(&["slow=1000"]);
    write(&bench.there(), "big", vec![0; 100_000]);
    let mut session = bench.session().await;
    let stop = RemoteFs::stop(&session).clone();
    let (here, rules) = (bench.here(), MirrorOptions::default());
    let remote = super::remote("/in");
    let work = portolan_mirror::down(&mut session, None, &remote, &here, &rules, false);
    let signal = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        stop.set();
    };
    let (result, ()) = tokio::join!(work, signal);
    assert_eq!(result.unwrap_err().kind, ErrorKind::Interrupted);
    assert_eq!(std::fs::read_dir(bench.here()).unwrap().count(), 0);
}

/// Checks the number of tries of each class of failures: all of them if a retry may help, or one.
#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
    let rules =
        MirrorOptions { retries: 3, in_place: Some(InPlace::Never), ..MirrorOptions::default() };
    for (plan, is_up, command, tries) in [
        ("retr-425", false, "RETR", 4),
        ("retr-426", false, "RETR", 4),
        ("reply=RETR:450 Busy.", false, "RETR", 4),
        ("reply=RETR:451 No.", false, "RETR", 4),
        ("busy-421=RETR", false, "RETR", 4),
        ("hang-up=RETR", false, "RETR", 4),
        ("short-226", false, "RETR", 4),
        ("stor-451", true, "STOR", 4),
        ("stor-short", true, "STOR", 4),
        ("reply=RETR:550 No.", false, "RETR", 1),
        ("reply=RETR:501 What?", false, "RETR", 1),
        ("reply=RETR:530 Not you.", false, "RETR", 1),
        // Once more under another kind of temporary name, which may be what was refused.
        ("reply=STOR:553 No.", true, "STOR", 2),
        ("rename-refused", true, "STOR", 1),
        ("stor-552", true, "STOR", 1),
    ] {
        let bench = MirrorFixture::new(&[plan]);
        write(&if is_up { bench.here() } else { bench.there() }, "a", "some bytes");
        let report = if is_up { bench.up(&rules).await } else { bench.down(&rules).await }.unwrap();
        assert_eq!((report.failed, report.errors.len()), (1, 1), "{plan}");
        let found = bench.count(command);
        // 425 is tried in the other modes as well, and 421 at once on a new connection.
        let each = if matches!(plan, "retr-425" | "busy-421=RETR") { 2..=4 } else { 1..=1 };
        let is_right = found >= tries * each.start() && found <= tries * each.end();
        assert!(is_right, "{plan}: {found}");
    }
}

#[tokio::test]
async fn a_server_that_goes_away_ends_the_run_and_every_file_left_is_named() {
    let bench = MirrorFixture::new(&["busy-421=RETR"]);
    for number in 0..15 {
        write(&bench.there(), format!("{number:02}"), "x");
    }
    let rules = MirrorOptions { retries: 0, ..deleting() };
    write(&bench.here(), "extra", "y");
    let report = bench.down(&rules).await.unwrap();
    assert_eq!((report.downloaded, report.failed, report.deleted), (0, 15, 0));
    let named: Vec<_> = report.errors.iter().filter_map(|fault| fault.path.clone()).collect();
    assert_eq!(named.len(), 15, "{named:?}");
    let not_tried = report.errors.iter().filter(|fault| fault.message.starts_with("not tried: "));
    assert_eq!(not_tried.count(), 5);
    assert!(bench.count("RETR") <= 2 * 10);
}

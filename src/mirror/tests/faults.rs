//! Faults on the way: what is tried again, what is given up, and what the report says.

use super::{Bench, Rules, assert_same, deleting, odd_tree, write};
use crate::{fault::Kind, rehearse::Setup};

#[tokio::test]
async fn a_server_that_takes_two_sessions_is_enough_for_four() {
    for is_up in [true, false] {
        let bench = Bench::with(&[], |setup| Setup { sessions_max: 2, ..setup });
        odd_tree(&if is_up { bench.here() } else { bench.there() });
        let rules = Rules { parallel: 4, ..deleting() };
        let report = if is_up { bench.up(&rules).await } else { bench.down(&rules).await }.unwrap();
        assert_eq!(report.failed, 0, "{:?}", report.errors);
        assert_same(&bench.here(), &bench.there());
    }
}

#[tokio::test]
async fn a_session_that_is_thrown_out_leaves_its_work_to_the_others() {
    // One more than the first and the two others open, so that none of them comes back.
    let bench = Bench::with(&["busy-421=RETR*1"], |setup| Setup { sessions_max: 3, ..setup });
    odd_tree(&bench.there());
    let report = bench.down(&Rules { parallel: 3, ..deleting() }).await.unwrap();
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
        let bench = Bench::new(&[plan]);
        odd_tree(&if is_up { bench.here() } else { bench.there() });
        let rules = deleting();
        let report = if is_up { bench.up(&rules).await } else { bench.down(&rules).await }.unwrap();
        assert_eq!(report.failed, 0, "{plan}: {:?}", report.errors);
        assert_same(&bench.here(), &bench.there());
    }
}

#[tokio::test]
async fn one_file_that_fails_does_not_keep_the_others_back() {
    let bench = Bench::new(&["reply=STOR:553 Not this one.@/in/bad"]);
    for name in ["a", "bad/b", "bad/c", "d"] {
        write(&bench.here(), name, "x");
    }
    let report = bench.up(&deleting()).await.unwrap();
    assert_eq!((report.uploaded, report.failed), (2, 2));
    let paths: Vec<_> = report.errors.iter().map(|fault| fault.path.clone().unwrap()).collect();
    assert_eq!(paths, ["/in/bad/b", "/in/bad/c"]);
}

#[tokio::test]
async fn a_full_server_gets_no_more_files() {
    let bench = Bench::new(&["stor-552"]);
    for number in 0..5 {
        write(&bench.here(), format!("{number}"), "x");
    }
    let report = bench.up(&deleting()).await.unwrap();
    assert_eq!((report.uploaded, report.failed, report.skipped), (0, 1, 4));
    assert_eq!(report.errors[0].kind, Kind::Full);
    assert_eq!(bench.count("STOR"), 1);
}

#[tokio::test]
async fn nothing_is_tried_below_a_folder_that_cannot_be_made() {
    let bench = Bench::new(&["mkd-refused"]);
    for name in ["a", "bad/b", "bad/c/d"] {
        write(&bench.here(), name, "x");
    }
    let report = bench.up(&deleting()).await.unwrap();
    assert_eq!((report.uploaded, report.failed, report.errors.len()), (1, 3, 1));
    assert_eq!(bench.count("STOR"), 1);
}

#[tokio::test]
async fn a_mirror_ends_when_it_is_told_to() {
    let bench = Bench::new(&["slow=1000"]);
    write(&bench.there(), "big", vec![0; 100_000]);
    let mut session = bench.session().await;
    let stop = session.context().stop.clone();
    let (here, rules) = (bench.here(), Rules::default());
    let remote = super::remote("/in");
    let work = crate::mirror::down(&mut session, &remote, &here, &rules, false);
    let signal = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        stop.set();
    };
    let (result, ()) = tokio::join!(work, signal);
    assert_eq!(result.unwrap_err().kind, Kind::Interrupted);
    assert_eq!(std::fs::read_dir(bench.here()).unwrap().count(), 0);
}

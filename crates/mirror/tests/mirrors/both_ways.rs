//! The purpose of a mirror: both sides are the same, and the second run has nothing to do.

use super::{
    MirrorFixture, MirrorOptions, ODD_NAMES, Report, age, assert_same, deleting, fs, odd_tree,
    remote, write,
};
use portolan_core::error::ErrorKind;
use portolan_mirror as mirror;
use portolan_mirror::Compare;

const FILES: u64 = 2 * ODD_NAMES.len() as u64 + 1;

fn assert_clean(report: &Report) {
    let errors: Vec<_> = report.errors.iter().map(ToString::to_string).collect();
    assert_eq!((report.failed, errors), (0, Vec::new()));
}

#[tokio::test]
async fn s03_a_tree_of_odd_names_goes_up_and_the_second_run_plans_nothing() {
    for parallel in [1, 4] {
        for plans in [&[][..], &["no-mlsd", "no-mlst"]] {
            let bench = MirrorFixture::new(plans);
            odd_tree(&bench.here());
            let rules = MirrorOptions { parallel, ..deleting() };
            let report = bench.up(&rules).await.unwrap();
            assert_clean(&report);
            assert_same(&bench.here(), &bench.there());
            assert_eq!((report.uploaded, report.verified), (FILES, FILES));
            assert_eq!(report.route, "epsv");

            let report = bench.up(&rules).await.unwrap();
            assert_clean(&report);
            assert_eq!(report.plan, [""; 0]);
            assert_eq!(report.unchanged, FILES);
        }
    }
}

#[tokio::test]
async fn s03_a_tree_of_odd_names_comes_down_and_the_second_run_plans_nothing() {
    for parallel in [1, 4] {
        let bench = MirrorFixture::new(&[]);
        odd_tree(&bench.there());
        let rules = MirrorOptions { parallel, ..deleting() };
        let report = bench.down(&rules).await.unwrap();
        assert_clean(&report);
        assert_same(&bench.there(), &bench.here());
        assert_eq!((report.downloaded, report.verified), (FILES, FILES));
        // The listed size and time are not queried again before a file is fetched; afterwards, one query checks whether
        // it is still the same.
        assert_eq!(bench.count("SIZE"), 0);
        assert_eq!(bench.count("MDTM"), usize::try_from(FILES).unwrap());

        let report = bench.down(&rules).await.unwrap();
        assert_clean(&report);
        assert_eq!((report.plan.len(), report.unchanged), (0, FILES));
    }
}

#[tokio::test]
async fn a_change_of_size_or_time_is_seen_either_way() {
    for is_up in [true, false] {
        let bench = MirrorFixture::new(&[]);
        let source = if is_up { bench.here() } else { bench.there() };
        for name in ["same", "grown", "touched", "rolled back"] {
            write(&source, name, "12345");
        }
        let rules = deleting();
        for round in ["first", "second"] {
            let report =
                if is_up { bench.up(&rules).await } else { bench.down(&rules).await }.unwrap();
            assert_clean(&report);
            assert_eq!(report.bytes, if round == "first" { 20 } else { 16 });
            if round == "second" {
                let why: Vec<_> = report.plan.iter().map(|line| line.split("  ").last()).collect();
                assert_eq!(
                    why,
                    [
                        Some("(size differs, 6 B)"),
                        Some("(time differs, 5 B)"),
                        Some("(time differs, 5 B)")
                    ]
                );
            }
            write(&source, "grown", "123456");
            age(&source.join("touched"), 10);
            age(&source.join("rolled back"), 90_000);
        }
        assert_same(&bench.here(), &bench.there());
    }
}

#[tokio::test]
async fn a_missing_target_is_made_and_a_missing_source_is_an_error() {
    let bench = MirrorFixture::new(&[]);
    write(&bench.here(), "a/b", "x");
    let mut session = bench.session().await;
    let (here, new) = (bench.here(), bench.here().join("../new/deep"));
    let rules = deleting();
    mirror::up(&mut session, None, &here, &remote("/new/deep"), &rules, false).await.unwrap();
    mirror::down(&mut session, None, &remote("/new/deep"), &new, &rules, false).await.unwrap();
    assert_same(&here, &new);

    let missing = remote("/missing");
    let fault = mirror::down(&mut session, None, &missing, &here, &rules, false).await.unwrap_err();
    assert_eq!(fault.kind, ErrorKind::NotFound);
    let missing = here.join("missing");
    let fault = mirror::up(&mut session, None, &missing, &remote("/in"), &rules, false).await;
    assert_eq!(fault.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn what_is_not_in_the_source_goes_and_a_plan_alone_changes_nothing() {
    let bench = MirrorFixture::new(&[]);
    write(&bench.here(), "a", "x");
    for name in ["a", "b", "c/d", "c/e/f"] {
        write(&bench.there(), name, "y");
    }
    age(&bench.here().join("a"), 10);
    let before = bench.all();
    let mut session = bench.session().await;
    let (here, there) = (bench.here(), remote("/in"));
    let lines = [
        "put  a  (time differs, 1 B)",
        "delete  c/e/f  (not in source)",
        "delete  c/d  (not in source)",
        "delete  b  (not in source)",
        "delete  c/e/  (not in source)",
        "delete  c/  (not in source)",
    ];
    let plan = mirror::plan_up(&mut session, None, &here, &there, &deleting()).await.unwrap();
    assert_eq!(plan.lines(), lines);
    assert_eq!(bench.changes(&before), []);
    let dry = mirror::up(&mut session, None, &here, &there, &deleting(), true).await.unwrap();
    assert_eq!((dry.plan, dry.uploaded), (plan.lines(), 0));
    assert_eq!(bench.changes(&before), []);

    let report = mirror::apply(&mut session, None, &plan).await.unwrap();
    assert_clean(&report);
    assert_eq!((report.uploaded, report.deleted), (1, 5));
    assert_same(&bench.here(), &bench.there());
}

#[tokio::test]
async fn excluded_paths_and_our_temporary_files_are_neither_sent_nor_deleted() {
    let bench = MirrorFixture::new(&[]);
    let temporary = ".portolan-0123456789abcdef.part";
    for name in ["a.html", "a.map", ".git/config", temporary] {
        write(&bench.here(), name, "x");
    }
    for name in ["b.map", ".git/other", "gone/c.map", "gone/d", temporary, "left/only"] {
        write(&bench.there(), name, "y");
    }
    write(&bench.there(), format!("left/{temporary}"), "y");
    let exclude = vec!["*.map".to_owned(), ".git/".to_owned()];
    let rules = MirrorOptions { exclude, ..deleting() };
    let report = bench.up(&rules).await.unwrap();
    assert_clean(&report);
    assert_eq!((report.uploaded, report.deleted), (1, 2));
    let there = bench.there();
    for name in ["a.html", "b.map", ".git/other", "gone/c.map", temporary] {
        assert!(there.join(name).exists(), "{name}");
    }
    assert!(there.join("left").join(temporary).exists());
    assert!(!there.join(".git/config").exists());
    assert_eq!(bench.up(&rules).await.unwrap().plan, [""; 0]);
}

#[tokio::test]
async fn only_what_is_included_moves_with_the_folders_it_needs() {
    let bench = MirrorFixture::new(&[]);
    for name in ["a/b/c.html", "a/x.css", "empty/y.css"] {
        write(&bench.here(), name, "x");
    }
    write(&bench.there(), "z.css", "y");
    let rules = MirrorOptions { include: vec!["*.html".to_owned()], ..deleting() };
    assert_clean(&bench.up(&rules).await.unwrap());
    assert!(bench.there().join("a/b/c.html").exists());
    assert!(bench.there().join("z.css").exists());
    assert!(!bench.there().join("empty").exists());
    assert_eq!(bench.up(&rules).await.unwrap().plan, [""; 0]);
}

#[tokio::test]
async fn a_file_takes_the_place_of_a_folder_only_when_deletes_are_on() {
    for is_up in [true, false] {
        let bench = MirrorFixture::new(&[]);
        let (source, target) =
            if is_up { (bench.here(), bench.there()) } else { (bench.there(), bench.here()) };
        write(&source, "file", "x");
        write(&source, "folder/a", "x");
        write(&target, "file/deep/b", "y");
        write(&target, "folder", "y");
        let before = bench.all();
        let run = async |rules: MirrorOptions| {
            if is_up { bench.up(&rules).await } else { bench.down(&rules).await }.unwrap()
        };
        let report = run(MirrorOptions::default()).await;
        assert_eq!((report.failed, report.skipped), (2, 1));
        assert_eq!(bench.changes(&before), []);
        assert_clean(&run(deleting()).await);
        assert_same(&source, &target);
    }
}

#[tokio::test]
async fn a_server_that_sets_no_times_gets_each_file_once() {
    let bench = MirrorFixture::new(&["no-mfmt", "reply=MDTM:550 No."]);
    write(&bench.here(), "a", "x");
    assert_eq!(bench.up(&MirrorOptions::default()).await.unwrap().uploaded, 1);
    assert_eq!(bench.up(&MirrorOptions::default()).await.unwrap().unchanged, 1);
    fs::write(bench.here().join("a"), "y").unwrap();
    age(&bench.here().join("a"), -60);
    assert_eq!(bench.up(&MirrorOptions::default()).await.unwrap().uploaded, 1);
}

#[tokio::test]
async fn newer_files_of_the_target_stay_if_asked_for() {
    let bench = MirrorFixture::new(&[]);
    write(&bench.here(), "old", "source");
    write(&bench.here(), "new", "source");
    write(&bench.there(), "old", "newer target");
    write(&bench.there(), "new", "target");
    age(&bench.there().join("old"), 10);
    age(&bench.there().join("new"), 90_000);
    let rules = MirrorOptions { newer_only: true, ..MirrorOptions::default() };
    let report = bench.up(&rules).await.unwrap();
    assert_eq!((report.uploaded, report.skipped), (1, 1));
    assert_eq!(fs::read(bench.there().join("old")).unwrap(), b"newer target");
}

#[tokio::test]
async fn options_that_cannot_be_are_refused_before_anything_is_asked_of_the_server() {
    let bench = MirrorFixture::new(&[]);
    let rules =
        MirrorOptions { trust_state: true, compare: Compare::Size, ..MirrorOptions::default() };
    assert_eq!(bench.up(&rules).await.unwrap_err().kind, ErrorKind::Invalid);
    for parallel in [0, 33] {
        let rules = MirrorOptions { parallel, ..MirrorOptions::default() };
        assert_eq!(bench.up(&rules).await.unwrap_err().kind, ErrorKind::Invalid);
    }
    let rules = MirrorOptions { exclude: vec![String::new()], ..MirrorOptions::default() };
    assert_eq!(bench.up(&rules).await.unwrap_err().kind, ErrorKind::Invalid);
}

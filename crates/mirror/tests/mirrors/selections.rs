//! Runs for a part of the files: the state of all others stays as it is.

use std::path::PathBuf;

use super::{MirrorFixture, MirrorOptions, Report, age, deleting, fs, remote, write};
use portolan_core::error::Result;
use portolan_mirror::{
    DeployRules, OnConflict, SizeAgeFilter, StateIn,
    sync_base::{Intent, MirrorId},
};

fn sides(bench: &MirrorFixture, is_up: bool) -> (PathBuf, PathBuf) {
    if is_up { (bench.here(), bench.there()) } else { (bench.there(), bench.here()) }
}

async fn run(bench: &MirrorFixture, is_up: bool, rules: &MirrorOptions) -> Result<Report> {
    if is_up { bench.up(rules).await } else { bench.down(rules).await }
}

fn once() -> MirrorOptions {
    MirrorOptions { once: true, ..MirrorOptions::default() }
}

fn only(name: &str) -> MirrorOptions {
    MirrorOptions { files: Some([name.to_owned()].into()), ..MirrorOptions::default() }
}

/// Returns the name under which the state of the bench is kept.
fn identity(bench: &MirrorFixture) -> MirrorId {
    MirrorId {
        host: bench.site.host.clone(),
        port: bench.site.port,
        user: bench.site.user.clone(),
        remote: remote("/in"),
        local: bench.here().canonicalize().unwrap(),
    }
}

#[tokio::test]
async fn a_run_for_some_files_keeps_the_state_of_the_others() {
    let bounds = SizeAgeFilter { max_size: Some(1), ..SizeAgeFilter::default() };
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    for (filter, rules) in [
        ("files", only("a")),
        ("exclude", MirrorOptions { exclude: texts(&["d/", "b"]), ..MirrorOptions::default() }),
        ("include", MirrorOptions { include: texts(&["a"]), ..MirrorOptions::default() }),
        ("bounds", MirrorOptions { bounds, ..MirrorOptions::default() }),
        ("trust", MirrorOptions { trust_state: true, ..only("a") }),
    ] {
        for is_up in [true, false] {
            let bench = MirrorFixture::new(&[]).remembering();
            let (source, target) = sides(&bench, is_up);
            for (name, text) in [("a", "1"), ("b", "22"), ("d/c", "333")] {
                write(&source, name, text);
            }
            let report = run(&bench, is_up, &once()).await.unwrap();
            assert_eq!(report.uploaded + report.downloaded, 3, "{filter} {is_up}");
            // The target is a place from which others take what comes.
            fs::remove_file(target.join("b")).unwrap();
            fs::remove_dir_all(target.join("d")).unwrap();
            let report = run(&bench, is_up, &rules).await.unwrap();
            let moved = report.uploaded + report.downloaded;
            assert_eq!((moved, report.failed), (0, 0), "{filter} {is_up}");
            let report = run(&bench, is_up, &once()).await.unwrap();
            let moved = report.uploaded + report.downloaded;
            assert_eq!((moved, report.unchanged), (0, 3), "{filter} {is_up}");
        }
    }
}

#[tokio::test]
async fn a_run_that_trusts_the_state_deletes_no_file_that_takes_no_part() {
    let bench = MirrorFixture::new(&[]).remembering();
    for name in ["a", "b", "d/c"] {
        write(&bench.here(), name, name);
    }
    bench.up(&deleting()).await.unwrap();
    let rules = MirrorOptions { delete: true, trust_state: true, ..only("a") };
    let report = bench.up(&rules).await.unwrap();
    assert_eq!((report.plan.len(), report.deleted), (0, 0), "{:?}", report.plan);
}

#[tokio::test]
async fn a_run_that_trusts_the_state_keeps_to_the_bounds() {
    for trust_state in [true, false] {
        let bench = MirrorFixture::new(&[]).remembering();
        let write_all = |a: &str, b: &str| {
            write(&bench.here(), "a", a);
            write(&bench.here(), "b", b);
        };
        write_all("1", "22");
        bench.up(&deleting()).await.unwrap();
        write_all("333", "4444444");
        let bounds = SizeAgeFilter { max_size: Some(5), ..SizeAgeFilter::default() };
        let rules = MirrorOptions { bounds, trust_state, ..deleting() };
        let report = bench.up(&rules).await.unwrap();
        let did = (report.uploaded, report.deleted, report.failed);
        assert_eq!(did, (1, 0, 0), "{trust_state}: {:?}", report.plan);
        assert_eq!(fs::read(bench.there().join("b")).unwrap(), b"22", "{trust_state}");
    }
}

#[tokio::test]
async fn a_deployment_of_some_files_keeps_the_record_of_the_others() {
    for state in [StateIn::Local, StateIn::Remote] {
        let bench = MirrorFixture::new(&[]).remembering();
        let rules = MirrorOptions { deploy: Some(DeployRules::default()), state, ..deleting() };
        for name in ["a", "b", "d/old", "d/new"] {
            write(&bench.here(), name, name);
        }
        assert_eq!(bench.up(&rules).await.unwrap().uploaded, 4, "{state:?}");
        let some = MirrorOptions { files: only("a").files, ..rules.clone() };
        let report = bench.up(&some).await.unwrap();
        assert_eq!((report.uploaded, report.deleted), (0, 0), "{state:?}");
        fs::remove_file(bench.here().join("d/old")).unwrap();
        let report = bench.up(&rules).await.unwrap();
        assert_eq!((report.uploaded, report.deleted), (0, 1), "{state:?}");
        assert!(!bench.there().join("d/old").exists(), "{state:?}");
    }
}

#[tokio::test]
async fn a_source_that_lost_the_files_of_another_selection_is_no_surprise() {
    let bench = MirrorFixture::new(&[]).remembering();
    write(&bench.here(), "a", "1");
    bench.up(&deleting()).await.unwrap();
    let rules = MirrorOptions { delete: true, ..only("b") };
    assert_eq!(bench.up(&rules).await.unwrap().plan, Vec::<String>::new());
}

#[tokio::test]
async fn the_intents_for_files_that_take_no_part_stay_open() {
    for is_up in [true, false] {
        let bench = MirrorFixture::new(&[]).remembering();
        let (source, _) = sides(&bench, is_up);
        write(&source, "a", "1");
        run(&bench, is_up, &MirrorOptions::default()).await.unwrap();
        let (states, mirror) = (bench.states().unwrap(), identity(&bench));
        let open: Vec<_> = [("a", Intent::Any), ("b", Intent::Gone)]
            .map(|(path, intent)| (path.as_bytes().to_vec(), intent))
            .into();
        states.intend(&mirror, &open).unwrap();
        write(&source, "a", "another");
        age(&source.join("a"), 60);
        let report = run(&bench, is_up, &only("a")).await.unwrap();
        assert_eq!((report.uploaded + report.downloaded, report.failed), (1, 0), "{is_up}");
        assert_eq!(states.intents(&mirror), [open[1].clone()].into(), "{is_up}");
        run(&bench, is_up, &MirrorOptions::default()).await.unwrap();
        assert_eq!(states.intents(&mirror), [].into(), "{is_up}");
    }
}

#[tokio::test]
async fn the_intents_for_files_out_of_bounds_stay_open() {
    let bounds = SizeAgeFilter { max_size: Some(5), ..SizeAgeFilter::default() };
    let small = MirrorOptions { bounds, ..MirrorOptions::default() };
    let none = MirrorOptions { exclude: vec!["b".into(), "c".into()], ..small.clone() };
    for is_up in [true, false] {
        for (part, open_after) in [(&none, &["a", "b"][..]), (&small, &["a"])] {
            for on_conflict in [OnConflict::Keep, OnConflict::Fail] {
                let about = format!("{is_up} {open_after:?} {on_conflict:?}");
                let bench = MirrorFixture::new(&[]).remembering();
                let (source, target) = sides(&bench, is_up);
                for name in ["a", "b", "c"] {
                    write(&source, name, "1");
                }
                run(&bench, is_up, &MirrorOptions::default()).await.unwrap();
                // A run that was killed has sent `a`, and was about to send `b`.
                let open = ["a", "b"].map(|name| (name.as_bytes().to_vec(), Intent::Any));
                let (states, mirror) = (bench.states().unwrap(), identity(&bench));
                states.intend(&mirror, &open).unwrap();
                write(&target, "a", "another");
                for (name, text) in [("a", "and another"), ("c", "2")] {
                    write(&source, name, text);
                    age(&source.join(name), 60);
                }
                let report = run(&bench, is_up, part).await.unwrap();
                let done = u64::from(part == &small);
                assert_eq!(
                    (report.uploaded + report.downloaded, report.failed),
                    (done, 0),
                    "{about}"
                );
                let left: Vec<_> = states.intents(&mirror).into_keys().collect();
                let wanted: Vec<_> = open_after.iter().map(|name| name.as_bytes()).collect();
                assert_eq!(left, wanted, "{about}");
                let all = MirrorOptions { on_conflict, ..MirrorOptions::default() };
                let report = run(&bench, is_up, &all).await.unwrap();
                assert_eq!((report.drift, report.failed), (vec![], 0), "{about}");
                assert_eq!(fs::read(target.join("a")).unwrap(), b"and another", "{about}");
                assert_eq!(states.intents(&mirror), [].into(), "{about}");
            }
        }
    }
}

#[tokio::test]
async fn a_folder_in_the_place_of_a_file_that_was_sent_stays() {
    for is_up in [true, false] {
        let bench = MirrorFixture::new(&[]).remembering();
        let (source, target) = sides(&bench, is_up);
        for name in ["a", "b", "gone"] {
            write(&source, name, "bytes");
        }
        let rules = MirrorOptions { delete: true, ..once() };
        run(&bench, is_up, &rules).await.unwrap();
        fs::remove_file(source.join("gone")).unwrap();
        fs::remove_file(target.join("a")).unwrap();
        write(&target, "a/x", "of others");
        write(&target, "a/deep/y", "of others");
        fs::create_dir(target.join("a/empty")).unwrap();
        let report = run(&bench, is_up, &rules).await.unwrap();
        assert_eq!((report.deleted, report.unchanged, report.failed), (1, 2, 0), "{is_up}");
        for name in ["a/x", "a/deep/y", "a/empty"] {
            assert!(target.join(name).exists(), "{name} {is_up}");
        }
    }
}

#[tokio::test]
async fn a_file_that_a_killed_run_may_have_left_half_written_is_sent_again() {
    for is_up in [true, false] {
        let bench = MirrorFixture::new(&[]).remembering();
        let (source, target) = sides(&bench, is_up);
        write(&source, "a", "all of the bytes");
        run(&bench, is_up, &once()).await.unwrap();
        let open = [(b"a".to_vec(), Intent::Any)];
        bench.states().unwrap().intend(&identity(&bench), &open).unwrap();
        write(&target, "a", "all of");
        let report = run(&bench, is_up, &once()).await.unwrap();
        assert_eq!((report.uploaded + report.downloaded, report.failed), (1, 0), "{is_up}");
        assert_eq!(fs::read(target.join("a")).unwrap(), b"all of the bytes", "{is_up}");
    }
}

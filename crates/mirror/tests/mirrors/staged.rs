//! Staged mirrors: all of the new files or none of them, and otherwise a report of exactly which.

use std::{collections::BTreeSet, path::Path, time::Duration};

use futures_util::{StreamExt, stream};

use super::{
    MirrorFixture, MirrorOptions, Report, assert_same, deleting, fs, odd_tree, remote, shown, write,
};
use portolan_core::error::{ErrorKind, Result};
use portolan_mirror as mirror;
use portolan_mirror::{MirrorPlan, StateIn};
use portolan_remote::fs::RemoteFs;
use portolan_testserver::{ServerSetup, tree::Snapshot};

fn staged() -> MirrorOptions {
    MirrorOptions { staged: true, ..deleting() }
}

async fn run(bench: &MirrorFixture, is_up: bool, rules: &MirrorOptions) -> Result<Report> {
    if is_up { bench.up(rules).await } else { bench.down(rules).await }
}

/// Returns the source and the target.
fn sides(bench: &MirrorFixture, is_up: bool) -> [std::path::PathBuf; 2] {
    if is_up { [bench.here(), bench.there()] } else { [bench.there(), bench.here()] }
}

/// Creates six files, of which two are in the target with other bytes, and one there that is to be deleted.
fn mixed(bench: &MirrorFixture, is_up: bool) {
    let [source, target] = sides(bench, is_up);
    for name in ["a", "bad/b", "c", "d", "new/deep/e", "new/f"] {
        write(&source, name, format!("new bytes of {name}"));
    }
    for name in ["a", "bad/b", "gone"] {
        write(&target, name, "old");
    }
}

/// Returns the names of temporary files anywhere below `folder`.
fn parts(folder: &Path) -> Vec<String> {
    let changes = Snapshot::default().changes_to(&Snapshot::of(folder).unwrap());
    shown(&changes).into_iter().filter(|line| line.contains(".part")).collect()
}

/// Returns the commands that the server has received, of those that move or name files.
fn verbs(bench: &MirrorFixture) -> Vec<String> {
    let log = bench.server.log();
    let commands = log.iter().filter_map(|line| line.split_once(" > ")).map(|(_, command)| command);
    // The claim is taken before all of it, and released last.
    let commands = commands.filter(|command| !command.contains("/.portolan-lock"));
    let verbs = commands.map(|command| command.split(' ').next().unwrap().to_owned());
    verbs
        .filter(|verb| ["STOR", "APPE", "MKD", "RNTO", "DELE", "RETR"].contains(&&**verb))
        .collect()
}

#[tokio::test]
async fn a_staged_mirror_is_like_any_other_in_the_end() {
    for is_up in [true, false] {
        for rules in [
            staged(),
            MirrorOptions { parallel: 4, ..staged() },
            MirrorOptions { resume: true, ..staged() },
            MirrorOptions { trash: Some("trash".into()), ..staged() },
        ] {
            let bench = MirrorFixture::new(&[]).remembering();
            let [source, target] = sides(&bench, is_up);
            odd_tree(&source);
            mixed(&bench, is_up);
            let report = run(&bench, is_up, &rules).await.unwrap();
            assert_eq!(report.failed, 0, "{:?}", report.errors);
            assert_eq!(report.placed.len() as u64, report.uploaded + report.downloaded);
            assert_eq!((report.deleted, report.unverified), (1, 0));
            assert!(!target.join("gone").exists());
            fs::remove_dir_all(target.join("trash")).ok();
            assert_same(&source, &target);
            assert_eq!(run(&bench, is_up, &rules).await.unwrap().plan, [""; 0]);
        }
    }
}

#[tokio::test]
async fn all_files_arrive_before_folders_names_and_deletes_each_in_few_packets() {
    let bench = MirrorFixture::new(&[]);
    mixed(&bench, true);
    assert_eq!(bench.up(&staged()).await.unwrap().failed, 0);
    let order = ["STOR", "MKD", "RNTO", "DELE"]
        .map(|verb| verbs(&bench).iter().filter(|one| *one == verb).count());
    assert_eq!(order, [6, 2, 6, 1]);
    let mut sorted = verbs(&bench);
    sorted.sort_by_key(|verb| ["STOR", "MKD", "RNTO", "DELE"].iter().position(|one| one == verb));
    assert_eq!(verbs(&bench), sorted);
}

#[tokio::test]
async fn a_file_that_does_not_arrive_leaves_the_target_as_it_was() {
    for (plan, is_up) in [
        ("reply=STOR:553 Not this one.@/in/bad", true),
        ("stor-552@/in/bad", true),
        ("stor-short@/in/bad", true),
        ("reply=SIZE:213 7@/in/bad", true),
        ("mkd-refused", true),
        ("drop-after=3@/in/bad", false),
        ("short-226@/in/bad", false),
        ("reply=RETR:550 No.@/in/bad", false),
    ] {
        for parallel in [1, 4] {
            let bench = MirrorFixture::new(&[plan]).remembering();
            mixed(&bench, is_up);
            let [source, target] = sides(&bench, is_up);
            let before = Snapshot::of(&target).unwrap();
            let rules = MirrorOptions { parallel, ..staged() };
            let report = run(&bench, is_up, &rules).await.unwrap();
            assert_eq!(
                shown(&before.changes_to(&Snapshot::of(&target).unwrap())),
                [""; 0],
                "{plan}"
            );
            assert_eq!(report.failed, 1, "{plan}: {:?}", report.errors);
            assert_eq!((report.uploaded, report.downloaded, report.deleted), (0, 0, 0), "{plan}");
            assert_eq!((report.placed.len(), parts(&source).len()), (0, 0), "{plan}");
            let last = report.errors.last().unwrap();
            assert_eq!(last.kind, ErrorKind::Guard, "{plan}");
            assert!(last.message.contains("no file was renamed"), "{plan}: {last}");
        }
    }
}

#[tokio::test]
async fn a_source_that_cannot_be_known_wholly_moves_nothing() {
    let bench = MirrorFixture::new(&[]);
    mixed(&bench, true);
    write(&bench.here(), "bad\nname", "x");
    let before = bench.all();
    let report = bench.up(&staged()).await.unwrap();
    assert_eq!((report.failed, report.skipped), (1, 7), "{:?}", report.errors);
    assert_eq!(bench.changes(&before), []);
    assert_eq!(verbs(&bench), [""; 0]);
}

#[tokio::test]
async fn a_file_that_cannot_be_proven_counts_as_lacking() {
    let bench = MirrorFixture::new(&["reply=SIZE:502 No.", "listing=type=cdir; ."]);
    write(&bench.here(), "a", "bytes");
    let report =
        bench.up(&MirrorOptions { verify: Some(true), delete: false, ..staged() }).await.unwrap();
    assert_eq!((report.failed, report.uploaded), (1, 0), "{:?}", report.errors);
    assert_eq!(fs::read_dir(bench.there()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_name_that_is_refused_is_told_the_others_are_given_and_nothing_is_deleted() {
    let bench = MirrorFixture::new(&["reply=RNTO:550 Not here.@/in/bad"]);
    mixed(&bench, true);
    let report = bench.up(&staged()).await.unwrap();
    assert_eq!((report.failed, report.uploaded, report.deleted), (1, 5, 0), "{:?}", report.errors);
    assert_eq!(report.placed, ["a", "c", "d", "new/deep/e", "new/f"]);
    let [refused, summary] = &report.errors[..] else { panic!("{:?}", report.errors) };
    assert_eq!(refused.path.as_deref(), Some("/in/bad/b"));
    assert!(refused.message.ends_with("; it has its old bytes"), "{refused}");
    assert!(summary.message.starts_with("of 6 files 5 were given their names"), "{summary}");
    assert_eq!(fs::read(bench.there().join("bad/b")).unwrap(), b"old");
    assert!(bench.there().join("gone").exists());
    assert_eq!(parts(&bench.there()), [""; 0]);
}

#[tokio::test]
async fn names_are_given_on_servers_that_rename_over_nothing() {
    let bench = MirrorFixture::new(&["rename-onto-refused"]);
    mixed(&bench, true);
    let report = bench.up(&staged()).await.unwrap();
    assert_eq!((report.failed, report.uploaded), (0, 6), "{:?}", report.errors);
    assert_same(&bench.here(), &bench.there());
}

/// Asserts that every file has its old or its new bytes after a run, as the report says.
fn assert_told(bench: &MirrorFixture, report: Option<&Report>, what: &str) {
    let placed: Option<BTreeSet<&str>> =
        report.map(|report| report.placed.iter().map(String::as_str).collect());
    for name in ["a", "bad/b", "c", "d", "new/deep/e", "new/f"] {
        let found = fs::read(bench.there().join(name)).ok();
        let is_new = found.as_deref() == Some(format!("new bytes of {name}").as_bytes());
        let old = if ["a", "bad/b"].contains(&name) { Some(&b"old"[..]) } else { None };
        assert!(is_new || found.as_deref() == old, "{what}: {name} has {found:?}");
        let is_open = report.is_some_and(|report| {
            let path = format!("/in/{name}");
            let errors = report.errors.iter().filter(|fault| fault.path.as_deref() == Some(&path));
            errors.into_iter().any(|fault| fault.message.contains("is not known"))
        });
        if let Some(placed) = &placed
            && !is_open
        {
            assert_eq!(placed.contains(name), is_new, "{what}: {name}: {report:?}");
        }
    }
    if report.is_some_and(|report| report.failed > 0) {
        assert!(bench.there().join("gone").exists(), "{what}: {report:?}");
    }
}

/// Runs one staged upload under `plan`, which may fail as a whole, and returns the number of commands that the server
/// received.
async fn one(plan: Option<String>) -> usize {
    let what = plan.clone().unwrap_or_default();
    let plans: Vec<_> = plan.iter().map(String::as_str).collect();
    let mut bench = MirrorFixture::new(&plans);
    bench.site.reply_timeout = Duration::from_millis(150);
    mixed(&bench, true);
    let report = match bench.try_session().await {
        Ok(mut session) => {
            let there = remote("/in");
            mirror::up(&mut session, None, &bench.here(), &there, &staged(), false).await
        }
        Err(fault) => Err(fault),
    };
    assert_told(&bench, report.as_ref().ok(), &what);
    if report.as_ref().is_ok_and(|report| report.failed == 0) {
        assert_same(&bench.here(), &bench.there());
    }
    bench.server.log().iter().filter(|line| line.contains(" > ")).count()
}

#[tokio::test]
async fn a_session_that_ends_at_any_command_leaves_each_name_old_or_new_as_the_report_says() {
    let commands = one(None).await;
    assert!(commands > 30, "{commands}");
    let plans = (1..=commands)
        .flat_map(|number| ["hang-up-at", "lost-at"].map(|fault| format!("{fault}={number}*1")));
    // Each run is waiting most of the time.
    let runs = stream::iter(plans).map(|plan| one(Some(plan))).buffer_unordered(16);
    assert_eq!(runs.count().await, 2 * commands);
}

#[tokio::test]
async fn a_server_that_goes_away_among_the_names_is_told_file_by_file() {
    // The server hangs up at the first name, and answers no client any more.
    let bench = MirrorFixture::new(&["hang-up=RNFR", "hang-up=DELE"]);
    mixed(&bench, true);
    let report = bench.up(&staged()).await.unwrap();
    assert_eq!((report.failed, report.uploaded, report.deleted), (6, 0, 0), "{:?}", report.errors);
    assert_told(&bench, Some(&report), "gone");
    let open = report.errors.iter().filter(|fault| fault.message.contains("is not known"));
    assert_eq!(open.count(), 6);
}

#[tokio::test]
async fn a_stop_leaves_nothing_under_temporary_names() {
    let bench = MirrorFixture::new(&["slow=20000"]);
    for number in 0..8 {
        write(&bench.here(), format!("{number}"), vec![b'x'; 2_000]);
    }
    let mut session = bench.session().await;
    let stop = RemoteFs::stop(&session).clone();
    let (here, rules) = (bench.here(), staged());
    let there = remote("/in");
    let work = mirror::up(&mut session, None, &here, &there, &rules, false);
    let signal = async {
        while bench.count("STOR") < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.set();
    };
    let (result, ()) = tokio::join!(work, signal);
    assert_eq!(result.unwrap_err().kind, ErrorKind::Interrupted);
    assert_eq!(
        shown(&Snapshot::default().changes_to(&Snapshot::of(&bench.there()).unwrap())),
        [""; 0]
    );
}

#[tokio::test]
async fn a_plan_shows_the_order_and_is_done_later_as_it_was_made() {
    let bench = MirrorFixture::new(&[]);
    mixed(&bench, true);
    let before = bench.all();
    let mut session = bench.session().await;
    let (here, there) = (bench.here(), remote("/in"));
    let lines = [
        "put  a  (size differs, 14 B)",
        "put  bad/b  (size differs, 18 B)",
        "put  c  (new, 14 B)",
        "put  d  (new, 14 B)",
        "put  new/deep/e  (new, 23 B)",
        "put  new/f  (new, 18 B)",
        "mkdir  new/",
        "mkdir  new/deep/",
        "rename  6 files  (when all have arrived)",
        "delete  gone  (not in source)",
    ];
    let dry = mirror::up(&mut session, None, &here, &there, &staged(), true).await.unwrap();
    assert_eq!(dry.plan, lines);
    assert_eq!(bench.changes(&before), []);
    let plan = mirror::plan_up(&mut session, None, &here, &there, &staged()).await.unwrap();
    let read = MirrorPlan::from_json(&plan.to_json()).unwrap();
    assert_eq!((read.lines(), read.rules.staged), (plan.lines(), true));
    let report = mirror::apply(&mut session, None, &read).await.unwrap();
    assert_eq!((report.failed, report.placed.len(), report.deleted), (0, 6, 1));
    assert_same(&bench.here(), &bench.there());
    let first_name = verbs(&bench).iter().position(|verb| verb == "RNTO").unwrap();
    assert_eq!(verbs(&bench).iter().rposition(|verb| verb == "STOR").unwrap() + 3, first_name);
}

#[tokio::test]
async fn the_state_of_a_staged_mirror_knows_only_what_has_its_name() {
    for state in [StateIn::Local, StateIn::Remote] {
        let bench = MirrorFixture::new(&["stor-552@/in/bad*1"]).remembering();
        mixed(&bench, true);
        let rules = MirrorOptions { state, delete: false, ..staged() };
        let report = bench.up(&rules).await.unwrap();
        assert_eq!((report.failed, report.uploaded), (1, 0));
        let report = bench.up(&rules).await.unwrap();
        assert_eq!((report.failed, report.uploaded), (0, 6), "{:?}", report.errors);
        let report = bench.up(&rules).await.unwrap();
        assert_eq!((report.unchanged, report.drift), (6, Vec::new()), "{state:?}");
    }
}

#[tokio::test]
async fn a_file_and_a_folder_change_places() {
    for is_up in [true, false] {
        let bench = MirrorFixture::new(&[]);
        let [source, target] = sides(&bench, is_up);
        write(&source, "file", "x");
        write(&source, "folder/a", "x");
        write(&target, "file/deep/b", "y");
        write(&target, "folder", "y");
        let report = run(&bench, is_up, &staged()).await.unwrap();
        assert_eq!(report.failed, 0, "{:?}", report.errors);
        assert_same(&source, &target);
    }
}

#[tokio::test]
async fn a_session_that_is_thrown_out_leaves_its_files_to_the_others() {
    for (plan, is_up) in
        [("busy-421=STOR*1", true), ("busy-421=RNFR*1", true), ("busy-421=RETR*1", false)]
    {
        let bench = MirrorFixture::with(&[plan], |setup| ServerSetup { sessions_max: 3, ..setup });
        let [source, target] = sides(&bench, is_up);
        odd_tree(&source);
        let report = run(&bench, is_up, &MirrorOptions { parallel: 3, ..staged() }).await.unwrap();
        assert_eq!(report.failed, 0, "{plan}: {:?}", report.errors);
        assert_same(&source, &target);
    }
}

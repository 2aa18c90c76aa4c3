//! The state on the server: a host without local state sends only changed files, and an unreliable state deletes
//! nothing.

use super::{MirrorFixture, MirrorOptions, age, assert_same, deleting, fs, write};
use portolan_mirror::{Compare, StateIn};

const STATE: &str = ".portolan-state";

fn remote_state() -> MirrorOptions {
    MirrorOptions { state: StateIn::Remote, ..deleting() }
}

/// Creates the local directory again, with the same bytes and new times.
fn check_out_again(bench: &MirrorFixture, names: &[&str]) {
    fs::remove_dir_all(bench.here()).unwrap();
    for name in names {
        write(&bench.here(), name, format!("bytes of {name}"));
        age(&bench.here().join(name), 0);
    }
}

#[tokio::test]
async fn a_fresh_checkout_sends_only_what_changed() {
    for server in [&[][..], &["no-mfmt"], &["no-mlsd", "no-mlst", "no-mfmt"]] {
        let bench = MirrorFixture::new(server);
        let names = ["a", "sub/b", "sub/c"];
        check_out_again(&bench, &names);
        assert_eq!(bench.up(&remote_state()).await.unwrap().uploaded, 3);
        assert!(bench.there().join(STATE).exists());
        for _ in 0..2 {
            check_out_again(&bench, &names);
            let report = bench.up(&remote_state()).await.unwrap();
            assert_eq!((report.uploaded, report.failed), (0, 0), "{server:?} {:?}", report.plan);
        }
        write(&bench.here(), "a", "BYTES of a");
        fs::remove_file(bench.here().join("sub/c")).unwrap();
        let report = bench.up(&remote_state()).await.unwrap();
        assert_eq!((report.uploaded, report.deleted, report.failed), (1, 1, 0), "{server:?}");
        assert_eq!(report.drift, [""; 0]);
        fs::remove_file(bench.there().join(STATE)).unwrap();
        assert_same(&bench.here(), &bench.there());
    }
}

#[tokio::test]
async fn a_state_that_is_lost_damaged_or_foreign_deletes_nothing() {
    let breaks: [fn(&std::path::Path); 4] = [
        |state| fs::remove_file(state).unwrap(),
        |state| {
            let bytes = fs::read(state).unwrap();
            fs::write(state, &bytes[..bytes.len() / 2]).unwrap();
        },
        |state| {
            let text = fs::read_to_string(state).unwrap().replace("/in", "/other");
            fs::write(state, text).unwrap();
        },
        |state| fs::write(state, "{\"version\": \"1.0.0\"}").unwrap(),
    ];
    for break_it in breaks {
        let bench = MirrorFixture::new(&[]);
        for name in ["a", "b"] {
            write(&bench.here(), name, "bytes");
        }
        bench.up(&remote_state()).await.unwrap();
        break_it(&bench.there().join(STATE));
        write(&bench.there(), "theirs", "x");
        fs::remove_file(bench.here().join("b")).unwrap();
        let report = bench.up(&remote_state()).await.unwrap();
        assert_eq!((report.deleted, report.failed, report.uploaded), (0, 0, 0));
        assert!(bench.there().join("theirs").exists() && bench.there().join("b").exists());
        // The state of both sides is known again from here on.
        assert_eq!(bench.up(&remote_state()).await.unwrap().deleted, 2);
    }
}

#[tokio::test]
async fn a_change_on_the_server_is_seen_by_a_machine_that_has_never_been_there() {
    let bench = MirrorFixture::new(&[]);
    let names = ["a", "b"];
    check_out_again(&bench, &names);
    bench.up(&remote_state()).await.unwrap();
    write(&bench.there(), "a", "BYTES of a");
    check_out_again(&bench, &names);
    let report = bench.up(&remote_state()).await.unwrap();
    assert_eq!(report.drift, ["a: changed in the target since the last run, overwritten"]);
    assert_eq!(report.uploaded, 1);
}

/// Returns the round trips of a run after its login: waits for a reply, and one for each data connection.
fn round_trips(bench: &MirrorFixture, from: usize) -> usize {
    let log = bench.server.log();
    let commands = log.iter().skip(from).filter_map(|line| line.split_once(" > "));
    let mut commands: Vec<_> = commands.map(|(_, command)| command).collect();
    // Queries without data go in one packet, as many as fit.
    let is_question = |command: &str| command.starts_with("SIZE") || command.starts_with("MDTM");
    let asked: usize = commands.iter().filter(|it| is_question(it)).map(|it| it.len() + 2).sum();
    assert!(asked <= 2 * portolan_core::limits::BATCH_BYTES_MAX, "{asked}");
    commands.dedup_by(|one, other| is_question(one) && is_question(other));
    // A data connection is one more.
    commands.len() + commands.iter().filter(|command| command.starts_with("RETR")).count()
}

#[tokio::test]
async fn an_unchanged_tree_costs_five_round_trips_at_most_where_the_state_is_trusted() {
    for files in [10, 300] {
        for state in [StateIn::Local, StateIn::Remote] {
            let bench = MirrorFixture::new(&[]).remembering();
            for number in 0..files {
                write(&bench.here(), format!("{}/{number}", number % 7), "bytes");
            }
            let rules = MirrorOptions { state, trust_state: true, ..deleting() };
            assert_eq!(bench.up(&rules).await.unwrap().uploaded, files);
            let mut session = bench.session().await;
            let before = bench.server.log().len();
            let (here, there) = (bench.here(), super::remote("/in"));
            let report = portolan_mirror::up(
                &mut session,
                bench.states().as_ref(),
                &here,
                &there,
                &rules,
                false,
            )
            .await
            .unwrap();
            assert_eq!((report.unchanged, report.plan.len()), (files, 0));
            let trips = round_trips(&bench, before);
            assert!(trips <= 5, "{trips}: {:#?}", bench.server.log().get(before..));
            let log = bench.server.log();
            assert!(!log.iter().skip(before).any(|line| line.contains("MLSD")), "{state:?}");
        }
    }
}

#[tokio::test]
async fn a_trusted_state_that_proves_wrong_is_trusted_no_more() {
    let bench = MirrorFixture::new(&[]).remembering();
    for number in 0..5 {
        write(&bench.here(), format!("{number}"), "bytes");
    }
    let rules = MirrorOptions { trust_state: true, ..deleting() };
    bench.up(&rules).await.unwrap();
    fs::remove_file(bench.there().join("3")).unwrap();
    write(&bench.there(), "theirs", "x");
    let report = bench.up(&rules).await.unwrap();
    assert_eq!((report.uploaded, report.deleted), (1, 1), "{:?}", report.plan);
    assert_same(&bench.here(), &bench.there());
    // A file to be deleted is queried before, and files that were added since are not touched.
    write(&bench.there(), "theirs", "x");
    fs::remove_file(bench.here().join("2")).unwrap();
    let report = bench.up(&rules).await.unwrap();
    assert_eq!((report.deleted, report.failed), (1, 0));
    assert!(bench.there().join("theirs").exists());
}

#[tokio::test]
async fn a_site_that_is_there_already_is_taken_over_by_its_content() {
    for state in [StateIn::Remote, StateIn::Local] {
        for server in [&[][..], &["no-hash"], &["no-mlsd", "no-mlst", "no-mfmt", "no-hash"]] {
            let bench = MirrorFixture::new(server).remembering();
            let names = ["a", "sub/b", "sub/c"];
            check_out_again(&bench, &names);
            for name in names {
                write(&bench.there(), name, format!("bytes of {name}"));
            }
            write(&bench.there(), "sub/c", "other bytes");
            let adopt =
                MirrorOptions { compare: Compare::Checksum, state, ..MirrorOptions::default() };
            let report = bench.up(&adopt).await.unwrap();
            assert_eq!((report.uploaded, report.unchanged, report.failed), (1, 2, 0), "{server:?}");
            for _ in 0..2 {
                check_out_again(&bench, &names);
                let report = bench.up(&MirrorOptions { state, ..deleting() }).await.unwrap();
                let did = (report.uploaded, report.deleted, report.failed, report.unchanged);
                assert_eq!(did, (0, 0, 0, 3), "{state:?} {server:?} {:?}", report.plan);
            }
        }
    }
}

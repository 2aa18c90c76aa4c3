//! Servers that treat two names as the same, or store a file under another name than was requested.

use std::{collections::BTreeMap, path::Path};

use super::{MirrorFixture, MirrorOptions, deleting, fs, write};
use portolan_core::error::ErrorKind;
use portolan_mirror::{Compare, StateIn};
use portolan_testserver::tree::{Snapshot, TreeChange};

/// The names on the server, each with that of the same local file.
type AliasPairs = &'static [(&'static str, &'static str)];

/// A name of 64 bytes, which is longer than those of temporary files.
const LONG: &str = "a-report-with-a-name-that-goes-on-and-on-until-somebody-cuts-it.";
const LONGER: &str = "a-report-with-a-name-that-goes-on-and-on-until-somebody-cuts-it.pdf";

/// The kinds of servers, each with its files.
const RENAMED: &[(&[&str], AliasPairs)] = &[
    (&["fold-case"], &[("Logo.png", "logo.png"), ("index.html", "Index.html"), ("Img/a", "img/a")]),
    (
        &["fold-case", "no-mlst", "no-mlsd"],
        &[("Logo.png", "logo.png"), ("Img/Deep/a", "img/deep/A")],
    ),
    (&["fold-case", "no-mfmt"], &[("\u{c9}T\u{c9}", "\u{e9}t\u{e9}")]),
    (&["fold-case", "rename-onto-refused"], &[("README", "readme"), ("d/X", "d/x")]),
    (&["lower-case"], &[("100_001.jpg", "100_001.JPG"), ("photos/a", "Photos/a")]),
    (
        &["windows-names"],
        &[("x_y", "x:y"), ("report", "report."), ("What_", "what?"), ("d/e", "D. /e")],
    ),
    (&["decomposed"], &[("e\u{301}te\u{301}", "\u{e9}t\u{e9}"), ("u\u{308}/a", "\u{fc}/a")]),
    (&["plus-blank"], &[("a b", "a+b"), ("c d/e f", "c+d/e+f")]),
    (&["drop-query"], &[("page.php", "page.php?id=1")]),
    (&["cut-names=64"], &[(LONG, LONGER)]),
];

/// Returns every kind of mirror that has a code path of its own.
fn ways() -> Vec<(&'static str, MirrorOptions)> {
    vec![
        ("plain", deleting()),
        ("staged", MirrorOptions { staged: true, ..deleting() }),
        ("trash", MirrorOptions { trash: Some("/trash".into()), ..deleting() }),
        ("remote state", MirrorOptions { state: StateIn::Remote, ..deleting() }),
        ("trusted", MirrorOptions { trust_state: true, ..deleting() }),
        ("checksum", MirrorOptions { compare: Compare::Checksum, ..deleting() }),
        ("size", MirrorOptions { compare: Compare::Size, ..deleting() }),
    ]
}

/// Returns the contents of the files below `folder`, each with the number of its occurrences.
fn contents(folder: &Path) -> BTreeMap<Vec<u8>, usize> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if !entry.file_name().to_string_lossy().starts_with(".portolan-") {
                *all.entry(fs::read(entry.path()).unwrap()).or_default() += 1;
            }
        }
    }
    all
}

/// Returns the changes on the server, without the files that the run keeps there for itself.
fn changes(bench: &MirrorFixture, before: &Snapshot) -> Vec<TreeChange> {
    let mut changes = before.changes_to(&Snapshot::of(&bench.there()).unwrap());
    changes.retain(|change| !change.path.to_string_lossy().starts_with(".portolan-"));
    changes
}

#[tokio::test]
async fn a_file_that_has_another_name_there_is_not_deleted_and_the_second_run_is_quiet() {
    for (server, names) in RENAMED {
        for (way, rules) in ways() {
            for remembers in [true, false] {
                let bench = MirrorFixture::new(server);
                let bench = if remembers { bench.remembering() } else { bench };
                write(&bench.here(), "same", "same");
                write(&bench.there(), "same", "same");
                // The first run with a state on the server deletes nothing, whatever it finds.
                if rules.state == StateIn::Local {
                    write(&bench.there(), "gone", "gone");
                }
                for (there, here) in *names {
                    write(&bench.there(), there, format!("old {there}"));
                    write(&bench.here(), here, format!("the newer {here}"));
                }
                let case = format!("{server:?} {way} {remembers}");
                let report = bench.up(&rules).await.unwrap();
                assert_eq!(report.failed, 0, "{case}: {:?}", report.errors);
                assert_eq!(contents(&bench.there()), contents(&bench.here()), "{case}");
                for _ in 0..2 {
                    let before = Snapshot::of(&bench.there()).unwrap();
                    let report = bench.up(&rules).await.unwrap();
                    let did = (report.uploaded, report.deleted, report.failed);
                    assert_eq!(did, (0, 0, 0), "{case}: {:?} {:?}", report.plan, report.errors);
                    assert_eq!(report.drift, [""; 0], "{case}");
                    assert_eq!(changes(&bench, &before), [], "{case}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_file_renamed_in_its_case_between_two_runs_is_there_afterwards() {
    for (server, names) in RENAMED {
        for (way, rules) in ways() {
            let bench = MirrorFixture::new(server).remembering();
            for (there, _) in *names {
                write(&bench.here(), there, format!("old {there}"));
            }
            write(&bench.here(), "b", "b");
            assert_eq!(bench.up(&rules).await.unwrap().failed, 0);
            fs::remove_dir_all(bench.here()).unwrap();
            for (_, here) in *names {
                write(&bench.here(), here, format!("the newer {here}"));
            }
            let case = format!("{server:?} {way}");
            let report = bench.up(&rules).await.unwrap();
            let holds = contents(&bench.there());
            for bytes in contents(&bench.here()).keys() {
                assert!(holds.contains_key(bytes), "{case}: {:?} {:?}", report.plan, report.errors);
            }
            let report = bench.up(&rules).await.unwrap();
            assert_eq!((report.uploaded, report.failed), (0, 0), "{case}: {:?}", report.plan);
            assert_eq!(contents(&bench.there()), contents(&bench.here()), "{case}");
        }
    }
}

#[tokio::test]
async fn of_two_names_that_are_one_there_the_second_is_refused_by_name_in_every_run() {
    for (server, first, second) in [
        (&["fold-case"][..], "README", "readme"),
        (&["fold-case", "no-mlst", "no-mlsd"], "a/B", "a/b"),
        (&["fold-case"], "Img/one", "img/two"),
        (&["windows-names"], "a:b", "a?b"),
        (&["windows-names"], "note", "note."),
        (&["decomposed"], "e\u{301}", "\u{e9}"),
        (&["plus-blank"], "a b", "a+b"),
    ] {
        for (way, rules) in ways() {
            for remembers in [true, false] {
                let bench = MirrorFixture::new(server);
                let bench = if remembers { bench.remembering() } else { bench };
                write(&bench.here(), "other", "other");
                write(&bench.here(), first, "bytes of the first");
                write(&bench.here(), second, "other bytes of the second");
                let case = format!("{server:?} {second} {way} {remembers}");
                let report = bench.up(&rules).await.unwrap();
                assert_eq!(
                    report.errors[0].kind,
                    ErrorKind::Refused,
                    "{case}: {:?}",
                    report.errors
                );
                assert!(report.failed >= 1, "{case}");
                for _ in 0..2 {
                    let before = Snapshot::of(&bench.there()).unwrap();
                    let report = bench.up(&rules).await.unwrap();
                    assert_eq!(
                        (report.uploaded, report.deleted),
                        (0, 0),
                        "{case}: {:?}",
                        report.plan
                    );
                    assert!(report.failed >= 1, "{case}");
                    assert!(
                        report.errors.iter().any(|fault| fault.kind == ErrorKind::Refused),
                        "{case}"
                    );
                    assert_eq!(changes(&bench, &before), [], "{case}");
                }
                // All together or not at all: if a directory cannot be created, no file is.
                let none = rules.staged && first.contains('/');
                let holds = contents(&bench.there());
                assert!(
                    none || holds.contains_key(&b"bytes of the first"[..]),
                    "{case}: {:?}",
                    report.plan
                );
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_tells_names_apart_gets_both_and_loses_what_is_gone() {
    for server in [&[][..], &["no-mlst", "no-mlsd"]] {
        for (way, rules) in ways() {
            let bench = MirrorFixture::new(server);
            write(&bench.there(), "Logo.png", "old");
            write(&bench.there(), "Img/a", "old");
            for name in ["logo.png", "README", "readme", "img/a", "a b", "a+b", "a:b"] {
                write(&bench.here(), name, format!("bytes of {name}"));
            }
            let report = bench.up(&rules).await.unwrap();
            assert_eq!((report.uploaded, report.failed), (7, 0), "{way}: {:?}", report.errors);
            if rules.state == StateIn::Remote {
                assert_eq!(bench.up(&rules).await.unwrap().failed, 0);
            }
            assert_eq!(contents(&bench.there()), contents(&bench.here()), "{way}");
            assert!(!bench.there().join("Img").exists(), "{way}");
        }
    }
}

#[tokio::test]
async fn a_question_is_asked_only_where_a_name_is_in_doubt() {
    let bench = MirrorFixture::new(&[]);
    for name in ["a", "b", "c/d"] {
        write(&bench.here(), name, name);
    }
    bench.up(&deleting()).await.unwrap();
    write(&bench.here(), "new", "new");
    fs::remove_file(bench.here().join("c/d")).unwrap();
    let (listed, asked) = (bench.count("MLSD"), bench.count("MLST"));
    let report = bench.up(&deleting()).await.unwrap();
    assert_eq!((report.uploaded, report.deleted), (1, 1));
    // Two directories, neither of them twice: nothing has arrived in the one from which something is deleted.
    assert_eq!((bench.count("MLSD") - listed, bench.count("MLST") - asked), (2, 0));
}

#[tokio::test]
async fn a_new_file_is_not_fetched_over_one_that_no_listing_showed() {
    for staged in [false, true] {
        let bench = MirrorFixture::new(&["slow=300000@/in/b"]);
        write(&bench.there(), "a", "a");
        write(&bench.there(), "b", vec![7; 300_000]);
        let rules = MirrorOptions { staged, ..deleting() };
        let here = bench.here();
        let (report, ()) = tokio::join!(async { bench.down(&rules).await.unwrap() }, async {
            // It appears while the other one is being transferred.
            while bench.count("RETR /in/b") + bench.count("RETR b") == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            write(&here, "b", "mine");
        });
        assert_eq!(report.failed, 1, "{:?}", report.errors);
        assert_eq!(report.errors[0].kind, ErrorKind::Refused);
        assert_eq!(fs::read(bench.here().join("b")).unwrap(), b"mine");
    }
}

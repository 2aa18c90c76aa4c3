//! Files that a listing omits and the server has: whatever its commands answer about them, they are kept locally.

use futures_util::future::join_all;
use portolan_remote::fs::RemoteFs as _;

use super::{MirrorFixture, MirrorOptions, write};

/// The files of the server; the last two are in no truncated listing.
const FILES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn rules() -> MirrorOptions {
    MirrorOptions { delete: true, max_delete: Some(100), ..MirrorOptions::default() }
}

/// Checks a mirror from a server whose listing shows three of five files, with these faults besides.
async fn cut(faults: &[&str]) {
    let line = |name: &&str| format!("type=file;size=1;modify=20200101000000; {name}\\r\\n");
    let listing: String = FILES.iter().take(3).map(line).collect();
    let listing = format!("listing={listing}");
    let plans: Vec<_> = faults.iter().copied().chain([listing.as_str()]).collect();
    let bench = MirrorFixture::new(&plans);
    for name in FILES {
        write(&bench.there(), name, "x");
        write(&bench.here(), name, "x");
    }
    fs_folder(&bench);
    let report = bench.down(&rules()).await.unwrap();
    for name in FILES {
        assert!(bench.here().join(name).exists(), "{name}: {faults:?}");
    }
    assert!(bench.here().join("folder/in").exists(), "{faults:?}");
    assert_eq!((report.deleted, report.failed), (0, 3), "{faults:?} {:?}", report.errors);
}

/// Creates a directory that both sides have and the truncated listing does not show.
fn fs_folder(bench: &MirrorFixture) {
    write(&bench.there(), "folder/in", "x");
    write(&bench.here(), "folder/in", "x");
}

#[tokio::test]
async fn a_cut_listing_deletes_nothing_whatever_commands_are_refused() {
    let cases: [&[&str]; 12] = [
        &[],
        &["reply=MLST:502 not implemented"],
        &["reply=MLST:500 What?"],
        &["reply=MLST:501 Syntax"],
        &["reply=MLST:550 No such file or directory"],
        &["reply=MLST:451 Try later"],
        &["reply=MLST:504 Not for that", "no-size"],
        &["reply=MLST:550 No", "reply=SIZE:550 No"],
        &["reply=MLST:502 No", "reply=SIZE:502 No", "reply=MDTM:550 No such file"],
        &["reply=MLST:550 No", "reply=SIZE:550 No", "reply=MDTM:550 No"],
        &["reply=MLST:553 No", "reply=SIZE:504 No", "reply=MDTM:500 No", "reply=CWD:502 No"],
        &["reply=MLST:550 denied", "reply=SIZE:550 denied", "reply=MDTM:550 Access is denied"],
    ];
    join_all(Vec::from(cases).into_iter().map(cut)).await;
}

#[tokio::test]
async fn what_is_gone_goes_where_one_command_tells() {
    let cases: [&[&str]; 6] = [
        &[],
        &["reply=MLST:502 not implemented"],
        &["reply=MLST:550 No", "reply=MDTM:550 No"],
        &["no-size", "reply=MDTM:502 No"],
        &["no-size", "reply=MLST:502 No"],
        // LIST of a name is the last command that reports it.
        &["no-size", "reply=MDTM:502 No", "reply=MLST:502 No"],
    ];
    join_all(Vec::from(cases).into_iter().map(async |faults| {
        let bench = MirrorFixture::new(faults);
        for name in ["a", "b"] {
            write(&bench.there(), name, "x");
            write(&bench.here(), name, "x");
        }
        write(&bench.here(), "gone", "x");
        let report = bench.down(&rules()).await.unwrap();
        assert_eq!((report.deleted, report.failed), (1, 0), "{faults:?} {:?}", report.errors);
        assert!(!bench.here().join("gone").exists());
    }))
    .await;
}

#[tokio::test]
async fn what_the_listing_of_its_folder_lacks_is_found_by_its_name() {
    for faults in [&["reply=MLST:502 No"][..], &["no-mlst", "no-mlsd"], &["reply=MLST:500 ?"]] {
        let listing = "listing=type=file;size=1; a\\r\\n";
        let bench = MirrorFixture::new(&[faults, &[listing]].concat());
        write(&bench.there(), "shown", "x");
        write(&bench.there(), "left out", "four");
        let mut session = bench.session().await;
        let path = super::remote("/in/left out");
        assert!(session.exists(&path).await.unwrap(), "{faults:?}");
        assert_eq!(session.stat(&path).await.unwrap().size, Some(4), "{faults:?}");
    }
}

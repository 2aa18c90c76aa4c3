//! Names: paths from untrusted sources, and portolan's own files.

use super::{MirrorFixture, MirrorOptions, deleting, fs, write};
use portolan_mirror::StateIn;

const STATE: &str = ".portolan-state";

/// Writes a state as an attacker who may write one file can: with these paths beside `kept`, and the correct hash at
/// its end.
fn forge(bench: &MirrorFixture, paths: &[&str]) {
    let mut lines = vec![r#"{"portolan_state":2,"folder":"/in"}"#.to_owned()];
    lines.extend(
        paths.iter().map(|path| format!(r#"{{"path":"{path}","size":6,"remote_size":6}}"#)),
    );
    let text = lines.join("\n") + "\n";
    let hash = blake3::hash(text.as_bytes()).to_hex();
    let tail = format!(r#"{{"files":{},"blake3":"{hash}"}}"#, paths.len());
    let text = format!("{text}{tail}\n");
    fs::write(bench.there().join(STATE), text).unwrap();
}

#[tokio::test]
async fn a_forged_state_deletes_nothing_and_the_run_goes_on_without_it() {
    for trust_state in [true, false] {
        for path in [
            "../private/db",
            "x/../../private/db",
            "./../private/db",
            "/private/db",
            "kept/../../private/db",
            "..%5Cprivate%5Cdb",
            "a%0D%0ADELE /private/db",
        ] {
            let bench = MirrorFixture::new(&[]);
            write(&bench.here(), "kept", "123456");
            write(&bench.here(), "new", "1");
            write(&bench.there(), "kept", "123456");
            write(&bench.there(), "theirs", "123456");
            write(&bench.there().join("../private"), "db", "secret");
            forge(&bench, &["kept", "theirs", path]);
            let rules = MirrorOptions { state: StateIn::Remote, trust_state, ..deleting() };
            let report = bench.up(&rules).await.unwrap();
            assert_eq!((report.deleted, report.failed), (0, 0), "{path}");
            // Except for the journal of the run itself.
            let is_delete =
                |line: &&String| line.contains(" > DELE ") && !line.contains("/.portolan-intents");
            assert_eq!(bench.server.log().iter().filter(is_delete).count(), 0, "{path}");
            assert!(report.uploaded >= 1, "{path}");
            assert_eq!(fs::read(bench.there().join("../private/db")).unwrap(), b"secret");
            // The state that was written in its place is trusted again.
            assert_eq!(bench.up(&rules).await.unwrap().failed, 0);
        }
    }
}

#[tokio::test]
async fn the_state_folder_is_no_part_of_a_tree_wherever_it_is() {
    for inside in ["", "deep/er/"] {
        // Fetched into a directory that contains the state: it is neither deleted nor overwritten.
        let mut bench = MirrorFixture::new(&[]).remembering();
        let state = format!("here/tree/{inside}state");
        bench.keep_state_in(&state);
        write(&bench.there(), "a", "x");
        write(&bench.there(), format!("{inside}state/portolan.db"), "not ours");
        write(&bench.there(), format!("{inside}state/marks/x"), "not ours");
        for _ in 0..3 {
            let report = bench.down(&deleting()).await.unwrap();
            assert_eq!((report.deleted, report.failed), (0, 0), "{:?}", report.plan);
            assert!(
                bench.state().join("portolan.db").exists() && bench.state().join("marks").exists()
            );
            assert!(fs::read(bench.state().join("portolan.db")).unwrap().starts_with(b"SQLite"));
        }
        assert_eq!(fs::read(bench.here().join("a")).unwrap(), b"x");

        // Sent from a directory that contains it: nothing of it reaches the server, or is deleted there.
        let mut bench = MirrorFixture::new(&[]).remembering();
        bench.keep_state_in(&state);
        write(&bench.here(), "a", "x");
        write(&bench.there(), format!("{inside}state/portolan.db"), "somebody's");
        for _ in 0..2 {
            assert_eq!(bench.up(&deleting()).await.unwrap().failed, 0);
        }
        let theirs = fs::read(bench.there().join(format!("{inside}state/portolan.db"))).unwrap();
        assert_eq!(theirs, b"somebody's");
        assert!(!bench.there().join(format!("{inside}state/marks")).exists());
        assert!(bench.there().join("a").exists());
    }
}

#[tokio::test]
async fn a_folder_that_is_the_state_itself_keeps_it_and_so_does_that_of_another_run() {
    let mut bench = MirrorFixture::new(&[]).remembering();
    bench.keep_state_in("here/tree");
    for name in ["a", "b/c"] {
        write(&bench.there(), name, "x");
    }
    for _ in 0..3 {
        let report = bench.down(&deleting()).await.unwrap();
        assert_eq!((report.deleted, report.failed), (0, 0), "{:?}", report.plan);
    }
    assert!(bench.here().join("marks").exists());

    // A state that another run uses is recognized by its contents.
    let other = MirrorFixture::new(&[]);
    for name in ["theirs/portolan.db", "theirs/portolan.db-wal"] {
        write(&other.here(), name, "SQLite format 3\0and more");
    }
    for name in
        ["theirs/marks/one", "theirs/logs/job/1.log", "theirs/serve.lock", "marks/mine", "a"]
    {
        write(&other.here(), name, "x");
    }
    assert_eq!(other.up(&deleting()).await.unwrap().uploaded, 2);
    assert!(
        !other.there().join("theirs/marks").exists()
            && !other.there().join("theirs/portolan.db").exists()
    );
    write(&other.there(), "b", "y");
    let empty = MirrorOptions { max_delete: Some(100), ..deleting() };
    fs::remove_file(other.there().join("a")).unwrap();
    let report = other.down(&empty).await.unwrap();
    assert_eq!((report.deleted, report.failed), (1, 0), "{:?}", report.plan);
    assert!(
        other.here().join("theirs/marks/one").exists()
            && other.here().join("theirs/portolan.db").exists()
    );
}

#[tokio::test]
async fn names_of_portolans_own_go_neither_way() {
    let own = [
        STATE,
        ".portolan-claim",
        "sub/.portolan-x.part",
        ".portolan-folder/in",
        "sub/portolan.db-wal",
    ];
    let bench = MirrorFixture::new(&[]);
    write(&bench.here(), "sub/a", "x");
    for name in own {
        write(&bench.there(), name, "theirs");
    }
    let before = bench.all();
    assert_eq!(bench.up(&deleting()).await.unwrap().deleted, 0);
    assert_eq!(bench.changes(&before).len(), 1);
    for name in own {
        write(&bench.here(), name, "ours");
    }
    let before = bench.all();
    assert_eq!(bench.up(&deleting()).await.unwrap().failed, 0);
    assert_eq!(bench.down(&deleting()).await.unwrap().failed, 0);
    assert_eq!(bench.changes(&before), []);
}

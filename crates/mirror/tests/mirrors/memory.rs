//! Mirrors with a server in memory: nothing in a mirror depends on FTP.

use super::{MirrorOptions, Path, assert_same, deleting, fs, odd_tree, remote, write};
use portolan_mirror as mirror;
use portolan_mirror::Compare;
use portolan_remote::{fs::RemoteFs, memory::MemoryFs};

/// Makes `folder` in `server` like `here`, and the local directory `back` like that.
async fn there_and_back(server: &mut MemoryFs, here: &Path, back: &Path, rules: &MirrorOptions) {
    let there = remote("/in");
    let up = mirror::up(server, None, here, &there, rules, false).await.unwrap();
    assert_eq!((up.failed, up.errors.len()), (0, 0), "{:?}", up.errors);
    let down = mirror::down(server, None, &there, back, rules, false).await.unwrap();
    assert_eq!((down.failed, down.errors.len()), (0, 0), "{:?}", down.errors);
}

#[tokio::test]
async fn a_tree_goes_to_memory_and_comes_back_whole() {
    for rules in [
        deleting(),
        MirrorOptions { staged: true, ..deleting() },
        MirrorOptions { resume: true, parallel: 4, ..deleting() },
        MirrorOptions { compare: Compare::Checksum, ..deleting() },
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let (here, back) = (scratch.path().join("here"), scratch.path().join("back"));
        fs::create_dir_all(&here).unwrap();
        odd_tree(&here);
        let mut server = MemoryFs::default();
        there_and_back(&mut server, &here, &back, &rules).await;
        assert_same(&here, &back);
        // What is gone here goes there, and nothing else moves.
        fs::remove_file(here.join("big")).unwrap();
        let again = mirror::up(&mut server, None, &here, &remote("/in"), &rules, false).await;
        let again = again.unwrap();
        assert_eq!((again.uploaded, again.deleted, again.failed), (0, 1, 0), "{again:?}");
        assert!(!server.exists(&remote("/in/big")).await.unwrap());
    }
}

#[tokio::test]
async fn a_plan_in_memory_is_refused_once_the_server_has_changed() {
    let scratch = tempfile::tempdir().unwrap();
    write(scratch.path(), "a", "bytes");
    let (mut server, there) = (MemoryFs::default(), remote("/in"));
    let rules = deleting();
    let plan = mirror::plan_up(&mut server, None, scratch.path(), &there, &rules).await.unwrap();
    assert_eq!(plan.lines(), ["mkdir  ./", "put  a  (new, 5 B)"]);
    server.mkdir(&remote("/in/a")).await.unwrap();
    let fault = mirror::apply(&mut server, None, &plan).await.unwrap_err();
    assert!(fault.message.contains("has changed since the plan was made"), "{fault}");
}

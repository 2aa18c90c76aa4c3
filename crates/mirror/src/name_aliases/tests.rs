//! Tests of names that a server changes.

use std::fs;

use portolan_remote::{memory::MemoryFs, path::RemotePath};

use super::*;
use crate::{Direction, MirrorOptions, Node, ScanResult, Tree};

#[test]
fn names_that_some_server_may_take_for_one_are_alike_and_others_are_not() {
    for (one, other) in [
        ("README", "readme"),
        ("\u{e9}t\u{e9}", "e\u{301}te\u{301}"),
        ("stra\u{df}e", "STRASSE"),
        ("report.", "report"),
        ("a b ", "a+b"),
        ("x:y", "x_y"),
        ("what?.txt", "what.txt"),
        ("caf\u{e9}", "cafe"),
    ] {
        assert_eq!(likeness(one.as_bytes()), likeness(other.as_bytes()), "{one} {other}");
    }
    for (one, other) in [("a1", "a2"), ("ab", "abc"), ("d/a", "da"), ("\u{e9}", "\u{e4}")] {
        assert_ne!(likeness(one.as_bytes()), likeness(other.as_bytes()), "{one} {other}");
    }
}

/// Simulates a disk that treats two names as the same, as far as a test can: the second name exists and is not listed.
#[tokio::test]
async fn a_disk_is_asked_by_name_and_what_it_has_under_another_is_neither_fetched_again_nor_deleted()
 {
    for (listed, asked) in
        [("report", "report."), ("LONGFI~1.TXT", "long file name.txt"), ("b", "b ")]
    {
        let here = tempfile::tempdir().unwrap();
        fs::write(here.path().join(listed), "bytes").unwrap();
        fs::hard_link(here.path().join(listed), here.path().join(asked)).unwrap();
        let survey = |names: &[&str]| {
            let mut tree = Tree::empty();
            for name in names {
                tree.set(name.as_bytes().to_vec(), Node::file(Some(5), None, None));
            }
            ScanResult { tree, ..ScanResult::default() }
        };
        let mut session = MemoryFs::default();
        let rules = MirrorOptions { delete: true, ..MirrorOptions::default() };
        let heading = Endpoints::of(
            &session,
            Direction::Down,
            here.path(),
            &RemotePath::parse("/in").unwrap(),
            rules.preserve_times,
        )
        .unwrap();
        let mut crew = SessionPool::new(&mut session, rules.pool());
        // The source has only this one: it is the file that is listed under the other name.
        let (mut source, mut target) = (survey(&[asked]), survey(&[listed]));
        resolve_aliases(&mut crew, &mut source, &mut target, None, &heading, rules.delete)
            .await
            .unwrap();
        let names: Vec<_> = target.tree.nodes().map(|(path, _)| path.to_vec()).collect();
        assert_eq!((names, source.faults.len()), (vec![asked.as_bytes().to_vec()], 0));
        // The source has both: the second is refused by name.
        let (mut source, mut target) = (survey(&[listed, asked]), survey(&[listed]));
        resolve_aliases(&mut crew, &mut source, &mut target, None, &heading, rules.delete)
            .await
            .unwrap();
        assert_eq!(source.faults.len(), 1);
        assert_eq!(source.faults[0].path.as_deref(), Some(asked));
        assert!(source.faults[0].message.starts_with("on this disk its name is that of"));
    }
}

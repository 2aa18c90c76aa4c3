//! Properties of plans, over generated trees.

use std::path::PathBuf;

use jiff::Timestamp;
use proptest::prelude::*;

use crate::{
    Action, Direction, Endpoints, MirrorOptions, MirrorPlan, Node, NodeKind, ScanResult, Tree,
    plan,
    tree::{depth, parent},
};
use portolan_remote::{
    entry::{Modified, Precision},
    path::RemotePath,
};

/// Generates trees of up to 30 paths over few names, so that files and directories of two trees meet.
fn trees() -> impl Strategy<Value = Tree> {
    let name = prop::sample::select(vec!["a", "b", "c", ".d", "a b"]);
    let path = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    let kind = prop::sample::select(vec![NodeKind::File, NodeKind::File, NodeKind::Folder]);
    let kind = prop_oneof![9 => kind, 1 => Just(NodeKind::Other)];
    let entry = (path, kind, 0_u64..3, 0_i64..3, prop::bool::weighted(0.9));
    prop::collection::vec(entry, 0..30).prop_map(|entries| {
        let mut tree = Tree::empty();
        for (path, kind, size, time, listed) in entries {
            let path = path.into_bytes();
            if !make_folders(&mut tree, &path) || tree.get(&path).is_some() {
                continue;
            }
            let folder = Node { listed, shows_hidden: listed, ..Node::of(NodeKind::Folder) };
            tree.set(
                path,
                match kind {
                    NodeKind::File => file(size, time),
                    NodeKind::Folder => folder,
                    other => Node::of(other),
                },
            );
        }
        tree
    })
}

fn file(size: u64, time: i64) -> Node {
    let time = Timestamp::from_second(time * 100).unwrap();
    Node::file(Some(size), Some(Modified::Utc(time, Precision::Second)), None)
}

/// Creates the directories above `path`; returns false if something else is in the way.
fn make_folders(tree: &mut Tree, path: &[u8]) -> bool {
    let folder = parent(path).to_vec();
    if folder.is_empty() {
        return true;
    }
    if !make_folders(tree, &folder) {
        return false;
    }
    if tree.get(&folder).is_none() {
        let node = Node { listed: true, shows_hidden: true, ..Node::of(NodeKind::Folder) };
        tree.set(folder.clone(), node);
    }
    tree.get(&folder).is_some_and(Node::is_folder)
}

fn survey(tree: Tree) -> ScanResult {
    ScanResult { tree, ..ScanResult::default() }
}

fn plan_of(source: &Tree, target: &Tree, rules: &MirrorOptions) -> Option<MirrorPlan> {
    let (local, direction) = (PathBuf::from("/here"), Direction::Up);
    let (remote, server) = (RemotePath::parse("/in").unwrap(), String::new());
    let heading = Endpoints { direction, local, remote, keeps_times: true, server };
    plan(&survey(source.clone()), &survey(target.clone()), None, heading, rules.clone()).ok()
}

/// Applies a plan to a model of the target, and checks that each step can be done when its turn comes.
fn done(plan: &MirrorPlan, source: &Tree, target: &Tree) -> Tree {
    let mut target = target.clone();
    for step in &plan.steps {
        let path = &step.path;
        let folder = target.get(parent(path)).copied();
        assert!(depth(path) == 0 || folder.is_some_and(|node| node.is_folder()), "{step}");
        let standing = target.get(path).copied();
        match step.act {
            // No generated tree has files left by killed runs.
            Action::Sweep => {}
            Action::MakeFolder => {
                assert_eq!(standing, None, "{step}");
                let node = Node { listed: true, shows_hidden: true, ..Node::of(NodeKind::Folder) };
                target.set(path.clone(), node);
            }
            Action::Put(_) | Action::Get(_) => {
                assert!(standing.is_none_or(|node| node.kind == NodeKind::File), "{step}");
                target.set(path.clone(), *source.get(path).unwrap());
            }
            Action::DeleteFile => {
                assert_eq!(standing.map(|node| node.kind), Some(NodeKind::File), "{step}");
                target.remove(path);
            }
            Action::DeleteFolder => {
                assert_eq!(standing.map(|node| node.kind), Some(NodeKind::Folder), "{step}");
                assert!(!target.nodes().any(|(other, _)| parent(other) == path), "{step}");
                target.remove(path);
            }
        }
    }
    target
}

proptest! {
    #[test]
    fn applying_a_plan_leaves_nothing_to_plan(
        source in trees(), target in trees(), delete: bool
    ) {
        let rules = MirrorOptions { delete, ..MirrorOptions::default() };
        let Some(first) = plan_of(&source, &target, &rules) else { return Ok(()) };
        let after = done(&first, &source, &target);
        let again = plan_of(&source, &after, &rules).unwrap();
        prop_assert_eq!(again.lines(), Vec::<String>::new());
        let missing = Tree::default();
        let first = plan_of(&source, &missing, &rules).unwrap();
        let after = done(&first, &source, &missing);
        prop_assert_eq!(plan_of(&source, &after, &rules).unwrap().lines(), Vec::<String>::new());
    }

    #[test]
    fn nothing_goes_from_a_folder_that_is_not_known_on_both_sides(
        source in trees(), target in trees()
    ) {
        let rules = MirrorOptions { delete: true, ..MirrorOptions::default() };
        let Some(plan) = plan_of(&source, &target, &rules) else { return Ok(()) };
        for step in plan.steps.iter().filter(|step| step.act.is_delete()) {
            let mut folder = parent(&step.path);
            loop {
                prop_assert!(target.get(folder).unwrap().listed);
                let is_known = source.get(folder).is_none_or(|node| match node.kind {
                    NodeKind::File => true,
                    NodeKind::Other => false,
                    _ => node.listed,
                });
                prop_assert!(is_known);
                if folder.is_empty() {
                    break;
                }
                folder = parent(folder);
            }
        }
        prop_assert!(plan_of(&source, &target, &MirrorOptions::default())
            .unwrap().steps.iter().all(|step| !step.act.is_delete()));
    }
}

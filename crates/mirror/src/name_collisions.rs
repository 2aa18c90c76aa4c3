//! Names that the local disk treats as the same (class C6): `A.txt` and `a.txt`, or an accented letter that is encoded
//! in two ways. Two files of a server would become one there, and the other would look as if it were to be deleted.

use std::{collections::HashMap, path::Path};

use icu_normalizer::ComposingNormalizerBorrowed;

use super::tree::{Node, NodeKind, ScanResult, Tree, above, join, parent};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    observe::visible::visible,
};
use portolan_fs::Folds;

/// Decides which of the colliding names of `source` is kept in the directory `local`, and finds the files of `target`
/// that are spelled differently there. The disk is asked only if it matters.
pub(super) fn drop_colliding(
    source: &mut ScanResult,
    target: &mut ScanResult,
    local: &Path,
) -> Result<()> {
    let all = Folds { case: true, form: true };
    if !falls_together(&source.tree, &target.tree, all) {
        return Ok(());
    }
    let folds = Folds::of(local)?;
    if folds != Folds::default() {
        fold(source, target, folds);
    }
    Ok(())
}

/// Returns true if two different paths of both trees are the same to a disk that `folds`.
fn falls_together(source: &Tree, target: &Tree, folds: Folds) -> bool {
    let mut spelt: HashMap<Vec<u8>, &[u8]> = HashMap::new();
    let mut paths = source.nodes().chain(target.nodes()).map(|(path, _)| path);
    paths.any(|path| *spelt.entry(key(path, folds)).or_insert(path) != path)
}

/// Refuses the second of two names in `source` that are the same locally, and spells `target` as `source` does.
fn fold(source: &mut ScanResult, target: &mut ScanResult, folds: Folds) {
    let mut spelt: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    let mut refused: Vec<Vec<u8>> = Vec::new();
    let paths: Vec<_> = source.tree.nodes().map(|(path, _)| path.to_vec()).collect();
    for path in paths {
        if above(&path).any(|folder| refused.iter().any(|refused| refused == folder)) {
            source.tree.remove(&path);
            continue;
        }
        let first = spelt.entry(key(&path, folds)).or_insert_with(|| path.clone());
        if *first == path {
            continue;
        }
        let message = format!(
            "on this disk its name is that of `{}`: only that one is kept here",
            visible(first)
        );
        source
            .faults
            .push(Error::new(ErrorKind::Refused, Origin::Here, message).at(visible(&path)));
        source.tree.remove(&path);
        source.tree.set(path.clone(), Node::of(NodeKind::Other));
        refused.push(path);
    }
    let nodes: Vec<_> = target.tree.nodes().map(|(path, node)| (path.to_vec(), *node)).collect();
    let mut now: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    for (path, node) in nodes {
        let folder = now.get(parent(&path)).cloned().unwrap_or_else(|| parent(&path).to_vec());
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let new = spelt.get(&key(&path, folds)).cloned().unwrap_or_else(|| join(&folder, name));
        // If both exist after all, this directory of the disk does not fold.
        if new != path && target.tree.get(&new).is_none() {
            target.tree.remove(&path);
            target.tree.set(new.clone(), node);
            now.insert(path, new);
        }
    }
}

/// Returns the key that two paths share if they are the same to a disk that `folds`. Names that are not UTF-8 match
/// only themselves.
fn key(path: &[u8], folds: Folds) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(path) else { return path.to_vec() };
    if text.is_ascii() {
        return if folds.case { path.to_ascii_lowercase() } else { path.to_vec() };
    }
    // Uppercase first: some letters have two lowercase forms and one uppercase form.
    let text = if folds.case { text.to_uppercase().to_lowercase() } else { text.to_owned() };
    if folds.form {
        return ComposingNormalizerBorrowed::new_nfc().normalize(&text).as_bytes().to_vec();
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Direction, Endpoints, MirrorOptions, plan};
    use portolan_remote::path::RemotePath;

    const BOTH: Folds = Folds { case: true, form: true };

    fn survey(paths: &[&str]) -> ScanResult {
        let mut tree = Tree::empty();
        for path in paths {
            for folder in above(path.as_bytes()) {
                let listed =
                    Node { listed: true, shows_hidden: true, ..Node::of(NodeKind::Folder) };
                tree.set(folder.to_vec(), listed);
            }
            tree.set(path.as_bytes().to_vec(), Node::file(Some(1), None, None));
        }
        ScanResult { tree, ..ScanResult::default() }
    }

    fn lines(source: &ScanResult, target: &ScanResult) -> (Vec<String>, usize) {
        let heading = Endpoints {
            direction: Direction::Down,
            local: "/here".into(),
            remote: RemotePath::parse("/in").unwrap(),
            keeps_times: true,
            server: String::new(),
        };
        let rules = MirrorOptions { delete: true, ..MirrorOptions::default() };
        let plan = plan(source, target, None, heading, rules).unwrap();
        (plan.lines(), plan.faults.len())
    }

    #[test]
    fn s14_of_two_names_that_are_one_the_second_is_refused_and_neither_is_deleted() {
        for (first, second, here, folds) in [
            ("A.txt", "a.txt", "a.txt", BOTH),
            ("A.txt", "a.txt", "A.txt", Folds { form: false, ..BOTH }),
            ("e\u{301}", "\u{e9}", "\u{e9}", Folds { case: false, ..BOTH }),
            ("E\u{301}/x", "\u{e9}/x", "\u{e9}/x", BOTH),
            ("STRASSE", "stra\u{df}e", "Strasse", BOTH),
        ] {
            let mut source = survey(&[first, second, "other"]);
            let mut target = survey(&[here, "other"]);
            fold(&mut source, &mut target, folds);
            let (steps, faults) = lines(&source, &target);
            assert_eq!((steps, faults), (Vec::new(), 1), "{first} {second}");
            let fault = &source.faults[0];
            assert_eq!(fault.kind, ErrorKind::Refused);
            assert!(fault.message.ends_with("only that one is kept here"), "{fault}");

            // On a disk that does not fold, both are separate files.
            let (source, target) = (survey(&[first, second]), survey(&[]));
            assert_eq!(lines(&source, &target).1, 0);
            assert!(falls_together(&source.tree, &target.tree, folds));
            assert!(!falls_together(&source.tree, &target.tree, Folds::default()));
        }
    }

    #[test]
    fn s14_another_spelling_here_is_the_same_file_and_what_is_beside_it_goes_all_the_same() {
        let mut source = survey(&["Photos/Day 1/a.jpg", "notes"]);
        let mut target = survey(&["PHOTOS/day 1/A.JPG", "PHOTOS/day 1/gone", "notes"]);
        fold(&mut source, &mut target, BOTH);
        let (steps, faults) = lines(&source, &target);
        assert_eq!(steps, ["delete  Photos/Day 1/gone  (not in source)"]);
        assert_eq!(faults, 0);
    }

    #[test]
    fn s14_a_disk_that_keeps_names_apart_keeps_both() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("x"), "").unwrap();
        // The disk on which the tests run is asked itself.
        let is_folding = scratch.path().join("X").exists();
        let folds = Folds::of(&scratch.path().join("not/there/yet")).unwrap();
        assert_eq!(folds.case, is_folding);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
        if !is_folding {
            let mut source = survey(&["A.txt", "a.txt"]);
            let mut target = survey(&[]);
            drop_colliding(&mut source, &mut target, scratch.path()).unwrap();
            assert_eq!(source.faults.len(), 0);
            assert_eq!(lines(&source, &target).0.len(), 2);
        }
    }
}

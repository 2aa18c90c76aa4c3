//! The absence of files: from a tree, and from both since they take no part in a run.

use std::collections::{BTreeSet, HashMap};

use super::{
    super::{
        filter::Filter,
        sync_base::SyncBase,
        tree::{NodeKind, ScanResult, Tree, Why, parent},
    },
    Diff,
};

/// The files that take no part in a run, so that their absence from its trees means nothing.
#[derive(Debug, Default)]
pub(super) struct LeftOut<'a> {
    filter: Option<&'a Filter>,
    /// The files of the source that are out of bounds in size or time.
    beyond: BTreeSet<&'a [u8]>,
}

impl<'a> LeftOut<'a> {
    pub(super) fn of(filter: Option<&'a Filter>, source: &'a ScanResult) -> Self {
        let beyond = source.left_out.iter().filter(|(_, why)| *why == Why::Bounds);
        Self { filter, beyond: beyond.map(|(path, _)| &path[..]).collect() }
    }

    fn contains(&self, path: &[u8]) -> bool {
        self.beyond.contains(path) || self.filter.is_some_and(|filter| filter.leaves_out(path))
    }
}

impl Diff<'_> {
    /// Returns the number of files that take part and that the base has.
    pub(super) fn known_before(&self, base: Option<&SyncBase>) -> usize {
        let known = base.into_iter().flatten();
        known.filter(|(path, _)| !self.left_out.contains(path)).count()
    }

    /// Removes from the base the files that neither side has any more. A file that takes no part in this run keeps its
    /// record.
    pub(super) fn forget(&mut self, base: Option<&SyncBase>) {
        let is_gone = |path: &[u8]| {
            let is_absent = self.source.get(path).is_none() && self.target.get(path).is_none();
            is_absent && !self.left_out.contains(path)
        };
        let gone = base.into_iter().flatten().filter(|(path, _)| is_gone(path));
        let gone: Vec<_> = gone.map(|(path, _)| (path.to_vec(), None)).collect();
        self.learnt.extend(gone);
    }
}

/// The knowledge about what is *not* in a tree.
pub(super) struct Certainty<'a> {
    pub(super) source: &'a Tree,
    pub(super) target: &'a Tree,
    pub(super) folders: HashMap<&'a [u8], bool>,
}

impl<'a> Certainty<'a> {
    /// Returns true if `path`, which the source's tree does not have, is not in the source.
    pub(super) fn is_gone(&mut self, path: &'a [u8]) -> bool {
        let folder = parent(path);
        if !self.is_safe(folder) {
            return false;
        }
        let name = path.get(folder.len()..).unwrap_or_default();
        let is_hidden = name.strip_prefix(b"/").unwrap_or(name).starts_with(b".");
        match self.source.get(folder) {
            Some(above) if above.is_folder() => above.shows_hidden || !is_hidden,
            // It is gone together with its directory.
            _ => true,
        }
    }

    /// Returns true if the directory `path` of the target is completely known on both sides, with all above it.
    pub(super) fn is_safe(&mut self, path: &'a [u8]) -> bool {
        if let Some(known) = self.folders.get(path) {
            return *known;
        }
        let is_listed = self.target.get(path).is_some_and(|folder| folder.listed);
        let is_safe = is_listed
            && match self.source.get(path) {
                Some(folder) if folder.is_folder() => {
                    folder.listed && (path.is_empty() || self.is_safe(parent(path)))
                }
                // A file is to take the place of the directory.
                Some(node) => node.kind == NodeKind::File && self.is_safe(parent(path)),
                None => !path.is_empty() && self.is_gone(path),
            };
        self.folders.insert(path, is_safe);
        is_safe
    }
}

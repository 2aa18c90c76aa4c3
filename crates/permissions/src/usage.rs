//! The record of what a run asked for, and the block that would allow it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use super::options::{PermissionKind, PermissionOptions};

/// The maximum number of objects of one kind: a script can ask for millions of paths.
const OBJECTS_MAX: usize = 10_000;
/// The number of paths in one directory from which the block names the directory.
const SIBLINGS_MAX: usize = 4;

/// Permissions with their objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PermissionSet(BTreeMap<PermissionKind, BTreeSet<String>>);

impl PermissionSet {
    /// Adds the permission of that kind for `what`.
    pub fn add(&mut self, kind: PermissionKind, what: &str) {
        let objects = self.0.entry(kind).or_default();
        if objects.len() < OBJECTS_MAX && (!kind.is_flag() || objects.is_empty()) {
            objects.insert(what.to_owned());
        }
    }

    /// Returns what it has of a kind.
    pub fn of_kind(&self, kind: PermissionKind) -> impl Iterator<Item = &str> {
        self.0.get(&kind).into_iter().flatten().map(String::as_str)
    }

    /// Returns true if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the objects of each kind, as few as say the same: a path below another is left out, and many in one
    /// directory are that directory.
    fn smallest(&self) -> BTreeMap<PermissionKind, Vec<String>> {
        let smallest = self.0.iter().map(|(kind, objects)| {
            let paths = || outermost(&without_crowds(objects));
            let few = if kind.is_path() { paths() } else { objects.iter().cloned().collect() };
            (*kind, few)
        });
        smallest.collect()
    }

    /// Returns the lines of `[job.permissions]`.
    pub fn lines(&self) -> Vec<String> {
        let all = self.smallest();
        all.iter().map(|(kind, objects)| kind.line(objects.iter().map(String::as_str))).collect()
    }

    /// Returns the flags of `portolan run`; `--deny-all` if there is no permission.
    pub fn flags(&self) -> Vec<String> {
        if self.is_empty() {
            return vec!["--deny-all".to_owned()];
        }
        let all = self.smallest();
        let flags = all.iter().flat_map(|(kind, objects)| objects.iter().map(|it| kind.flag(it)));
        flags.collect()
    }

    /// Returns the same as options.
    pub fn options(&self) -> PermissionOptions {
        let mut options = PermissionOptions::default();
        for (kind, objects) in self.smallest() {
            let list = match kind {
                PermissionKind::Net => &mut options.net,
                PermissionKind::Read => &mut options.read,
                PermissionKind::Write => &mut options.write,
                PermissionKind::Delete => &mut options.delete,
                PermissionKind::Run => &mut options.run,
                PermissionKind::Http => &mut options.http,
                PermissionKind::Env => &mut options.env,
                PermissionKind::Secret => &mut options.secret,
                PermissionKind::RemoteDelete => {
                    options.remote_delete = true;
                    continue;
                }
                PermissionKind::Nat => {
                    options.nat = true;
                    continue;
                }
            };
            *list = objects;
        }
        options
    }
}

impl Serialize for PermissionSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.options().serialize(serializer)
    }
}

fn without_crowds(paths: &BTreeSet<String>) -> BTreeSet<String> {
    let folder = |path: &str| {
        let folder = Path::new(path).parent()?;
        // Neither the root nor the working directory as a whole.
        let is_one = folder.parent().is_some() && !folder.as_os_str().is_empty();
        is_one.then(|| folder.to_string_lossy().into_owned())
    };
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    for path in paths {
        if let Some(folder) = folder(path) {
            *sizes.entry(folder).or_default() += 1;
        }
    }
    let crowded = |path: &String| {
        folder(path).filter(|folder| sizes.get(folder).is_some_and(|size| *size >= SIBLINGS_MAX))
    };
    paths.iter().map(|path| crowded(path).unwrap_or_else(|| path.clone())).collect()
}

fn outermost(paths: &BTreeSet<String>) -> Vec<String> {
    let is_inner = |path: &String| {
        paths.iter().any(|other| other != path && Path::new(path).starts_with(other))
    };
    paths.iter().filter(|path| !is_inner(path)).cloned().collect()
}

/// The record of the permissions that a run asked for.
#[derive(Debug, Default)]
pub struct PermissionUsage {
    granted: Mutex<PermissionSet>,
    refused: Mutex<PermissionSet>,
}

impl PermissionUsage {
    /// Records that `what` was granted, or refused.
    pub fn record(&self, kind: PermissionKind, what: &str, is_granted: bool) {
        let book = if is_granted { &self.granted } else { &self.refused };
        book.lock().unwrap_or_else(PoisonError::into_inner).add(kind, what);
    }

    /// Returns what was granted.
    pub fn granted(&self) -> PermissionSet {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns what was refused.
    pub fn refused(&self) -> PermissionSet {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

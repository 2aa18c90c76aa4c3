//! Scans of a local directory.

use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{
    filter::{Filter, FilterDecision},
    own_files,
    scan::Role,
    stale_temps::StaleTemps,
    tree::{ScanResult, Tree},
};
use portolan_core::{
    cancel::CancelToken,
    error::{ErrorKind, Result},
};
use portolan_fs::{LocalKind, RootDir, SymlinkPolicy, walk_where};

/// Scans the local directory `top`. Reads the disk for as long as it takes, so it must not run on the thread of the
/// sessions.
pub(super) fn local(
    (top, links): (&Path, SymlinkPolicy),
    filter: &Filter,
    role: Role,
    leftovers: &StaleTemps,
    stop: &CancelToken,
) -> Result<ScanResult> {
    let root = match RootDir::open_with(top, links) {
        Err(fault) if fault.kind == ErrorKind::NotFound && role == Role::Target => {
            return Ok(ScanResult::default());
        }
        root => root?,
    };
    let mut survey = ScanResult { tree: Tree::empty(), ..ScanResult::default() };
    let (mut out, mut homes) = (Vec::new(), Vec::new());
    if own_files::identity(top).is_some_and(|top| leftovers.is_state(top)) {
        homes.push(Vec::new());
    }
    let walk = walk_where(&root, stop, |entry| {
        let path = entry.path.as_os_str().as_bytes();
        let is_folder = entry.kind == LocalKind::Folder;
        homes.extend(own_files::home_of(&root, path).filter(|_| !is_folder));
        let is_state = is_folder && leftovers.is_state(entry.identity);
        if is_state {
            survey.own.push(path.to_vec());
        }
        let is_in = !is_state && filter.part(path, is_folder) != FilterDecision::Out;
        if !is_in {
            if !is_state && filter.is_out_by_default(path, is_folder) {
                survey.by_default.push(path.to_vec());
            }
            out.push(path.to_vec());
        }
        is_in
    })?;
    let strays: BTreeMap<_, _> = walk.strays.into_iter().collect();
    for entry in &walk.entries {
        match strays.get(&entry.path) {
            None => survey.add(entry, filter, role, &root)?,
            Some(stray) => survey.add_stray(entry, *stray, &root)?,
        }
    }
    survey.own.extend(homes.iter().flat_map(|home| own_files::parts_of(home)));
    let is_stale = |path: &&Path| {
        let name = path.file_name().unwrap_or_default().as_bytes();
        role == Role::Target && (leftovers.is_stale(name) || root.is_abandoned(path))
    };
    let (stale, left): (Vec<_>, Vec<_>) =
        walk.leftovers.iter().map(PathBuf::as_path).partition(is_stale);
    survey.leftovers = stale.iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect();
    let left = left.iter().map(|path| path.as_os_str().as_bytes());
    for path in left.chain(out.iter().map(Vec::as_slice)) {
        survey.tree.keep_folder_of(path);
    }
    for (path, fault) in walk.unread {
        // Without its top, nothing of a tree is known.
        if path.as_os_str().is_empty() {
            return Err(fault);
        }
        survey.tree.set_listed(path.as_os_str().as_bytes(), false, false);
        survey.faults.push(fault);
    }
    let own = std::mem::take(&mut survey.own);
    survey.withdraw(&own);
    survey.own = own;
    Ok(survey)
}

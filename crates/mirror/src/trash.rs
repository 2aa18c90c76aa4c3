//! The trash: a directory that takes files that are deleted, or overwritten.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    endpoints::{Direction, Endpoints, place},
    filter::Filter,
    options::MirrorOptions,
    trash_rules::TrashRules,
    tree::join,
};
use portolan_core::error::{Error, ErrorKind, Origin, Result};
use portolan_fs::{LocalKind, RootDir, walk};
use portolan_remote::{entry::EntryKind, fs::RemoteFs, path::RemotePath};

/// The maximum number of directories in a trash on a server whose old versions are looked through.
const TRASH_FOLDERS_MAX: usize = 10_000;

/// Returns the trash directory of the server; a relative one is below the mirrored directory.
pub(super) fn there(heading: &Endpoints, trash: &str) -> Result<RemotePath> {
    let trash = trash.trim_end_matches('/');
    if trash.starts_with('/') {
        let encoding = heading.remote.encoding();
        return RemotePath::parse(encoding.encode(trash.as_bytes())?)
            .map(|path| path.in_encoding(encoding));
    }
    place(&heading.remote, trash.as_bytes())
}

/// Returns the local trash directory; a relative one is below the mirrored directory.
pub(super) fn here(heading: &Endpoints, trash: &str) -> PathBuf {
    heading.local.join(trash)
}

/// Returns `filter`, extended to exclude the `trash` directory on both sides.
pub(super) fn reserve(filter: Filter, heading: &Endpoints, trash: Option<&str>) -> Result<Filter> {
    let Some(trash) = trash else { return Ok(filter) };
    let (top, folder) = match heading.direction {
        Direction::Up => {
            (heading.remote.as_bytes().to_vec(), there(heading, trash)?.as_bytes().to_vec())
        }
        Direction::Down => {
            let bytes = |path: PathBuf| path.as_os_str().as_bytes().to_vec();
            (bytes(heading.local.clone()), bytes(here(heading, trash)))
        }
    };
    let top = top.strip_suffix(b"/").unwrap_or(&top);
    let inside = folder.strip_prefix(top).and_then(|path| path.strip_prefix(b"/"));
    Ok(match inside {
        Some(path) => filter.without(path.strip_suffix(b"/").unwrap_or(path)),
        None => filter,
    })
}

/// The trash of one run.
#[derive(Debug)]
pub(super) struct Trash {
    place: TrashPlace,
    rules: TrashRules,
}

/// The place of a trash.
#[derive(Debug)]
enum TrashPlace {
    /// On the server.
    There {
        folder: RemotePath,
        /// The directories in it that exist, so that none is created again for each file.
        made: RefCell<BTreeSet<RemotePath>>,
    },
    /// On the local host.
    Here(Arc<RootDir>),
}

/// The local trash, for the thread that renames local files.
#[derive(Debug, Clone)]
pub(super) struct LocalTrash {
    folder: Arc<RootDir>,
    rules: TrashRules,
    now: Timestamp,
}

impl Trash {
    /// Opens the trash directory, if the run has one.
    pub(super) fn of(heading: &Endpoints, options: &MirrorOptions) -> Result<Option<Self>> {
        let Some(trash) = options.trash.as_deref() else { return Ok(None) };
        let place = match heading.direction {
            Direction::Up => {
                TrashPlace::There { folder: there(heading, trash)?, made: RefCell::default() }
            }
            Direction::Down => {
                let folder = here(heading, trash);
                fs::create_dir_all(&folder)
                    .map_err(|error| Error::local("make the trash", &folder, error))?;
                TrashPlace::Here(Arc::new(RootDir::open(folder)?))
            }
        };
        Ok(Some(Self { place, rules: options.trash_rules }))
    }

    /// Returns true if files are moved there before they are overwritten.
    pub(super) const fn takes_overwritten(&self) -> bool {
        self.rules.overwritten
    }

    /// Returns the local trash, if files are moved there before they are overwritten.
    pub(super) fn local(&self, now: Timestamp) -> Option<LocalTrash> {
        let TrashPlace::Here(folder) = &self.place else { return None };
        let (folder, rules) = (Arc::clone(folder), self.rules);
        self.rules.overwritten.then_some(LocalTrash { folder, rules, now })
    }

    /// Moves the file `path` of the mirrored directory `root` or `top` into the trash, under the same path, or with a
    /// timestamp in its name if something is there already. Returns its name there, if it is on the server.
    pub(super) async fn take(
        &self,
        session: &mut impl RemoteFs,
        root: &RootDir,
        top: &RemotePath,
        path: &[u8],
    ) -> Result<Option<RemotePath>> {
        let names = self.rules.names(path, session.now());
        let (folder, made) = match &self.place {
            TrashPlace::There { folder, made } => (folder, made),
            TrashPlace::Here(trash) => {
                let taken = |name: &Path| trash.metadata(name).is_ok();
                let moved = |name: &Path| root.move_to(named(path), trash, name);
                return first_free(&names, taken, moved).map(|()| None);
            }
        };
        let above = place(folder, path)?.parent();
        if !made.borrow().contains(&above) {
            session.mkdir(&above).await?;
            made.borrow_mut().insert(above);
        }
        let from = place(top, path)?;
        for name in &names {
            let target = place(folder, name)?;
            if !session.exists(&target).await? {
                session.rename(&from, &target).await?;
                return Ok(Some(target));
            }
        }
        Err(no_free_name())
    }

    /// Moves the file `path` of the server into the trash before it is overwritten. Returns its name there; `None` if it
    /// is gone already: an earlier attempt has moved it.
    pub(super) async fn keep(
        &self,
        session: &mut impl RemoteFs,
        root: &RootDir,
        top: &RemotePath,
        path: &[u8],
    ) -> Result<Option<RemotePath>> {
        let fault = match self.take(session, root, top, path).await {
            Err(fault) if fault.kind == ErrorKind::NotFound => return Ok(None),
            Err(fault) if !fault.is_retryable() && fault.kind != ErrorKind::Interrupted => fault,
            taken => return taken,
        };
        let is_gone = matches!(session.exists(&place(top, path)?).await, Ok(false));
        if is_gone { Ok(None) } else { Err(not_kept(fault)) }
    }

    /// Moves the file `path` of the server back from `kept`, since no new version has replaced it. Returns `fault` with
    /// the location of the old version.
    pub(super) async fn give_back(
        session: &mut impl RemoteFs,
        top: &RemotePath,
        path: &[u8],
        kept: &RemotePath,
        fault: Error,
    ) -> Error {
        let Ok(target) = place(top, path) else { return fault };
        // The file may have come although its reply has not.
        let is_there = session.exists(&target).await;
        let result = match is_there {
            Ok(false) => session.rename(kept, &target).await,
            Ok(true) => return fault,
            Err(other) => Err(other),
        };
        if result.is_ok() {
            return fault;
        }
        let message = format!("{}; its old version is {kept}", fault.message);
        Error { message, ..fault }
    }

    /// Removes the old versions that the rules do not keep. A failure is reported and harms nothing.
    pub(super) async fn prune(&self, session: &mut impl RemoteFs) {
        if self.rules.keep.is_none() {
            return;
        }
        let pruned = match &self.place {
            TrashPlace::There { folder, .. } => self.prune_there(session, folder).await,
            TrashPlace::Here(folder) => self.prune_here(session, folder),
        };
        if let Err(fault) = pruned {
            session.observer().warn(format!("old versions stay in the trash: {fault}"));
        }
    }

    async fn prune_there(&self, session: &mut impl RemoteFs, folder: &RemotePath) -> Result<()> {
        let (mut files, mut folders) = (Vec::new(), vec![Vec::new()]);
        let mut count = 0;
        while let Some(at) = folders.pop() {
            count += 1;
            if count > TRASH_FOLDERS_MAX {
                return Err(Error::invalid("it has too many directories to look through"));
            }
            let path = if at.is_empty() { folder.clone() } else { place(folder, &at)? };
            let listed = match session.list(&path).await {
                Err(fault)
                    if at.is_empty()
                        && matches!(fault.kind, ErrorKind::NotFound | ErrorKind::Refused) =>
                {
                    return Ok(());
                }
                listed => listed?,
            };
            for entry in listed.entries {
                let below = join(&at, &entry.name);
                match entry.kind {
                    EntryKind::Dir => folders.push(below),
                    EntryKind::File => files.push(below),
                    _ => {}
                }
            }
        }
        for name in self.rules.expired(&files, session.now()) {
            session.remove(&place(folder, name)?).await?;
        }
        Ok(())
    }

    fn prune_here(&self, session: &impl RemoteFs, folder: &RootDir) -> Result<()> {
        let found = walk(folder, session.stop())?;
        let files = found.entries.iter().filter(|entry| entry.kind == LocalKind::File);
        let files: Vec<_> = files.map(|entry| entry.path.as_os_str().as_bytes().to_vec()).collect();
        for name in self.rules.expired(&files, session.now()) {
            folder.remove_file(named(name))?;
        }
        Ok(())
    }
}

impl LocalTrash {
    /// Keeps the file `path` of `root` in the trash before it is overwritten: as a second name or a copy, so that its own
    /// name is never without a file.
    pub(super) fn keep(&self, root: &RootDir, path: &Path) -> Result<()> {
        let names = self.rules.names(path.as_os_str().as_bytes(), self.now);
        let taken = |name: &Path| self.folder.metadata(name).is_ok();
        let kept = first_free(&names, taken, |name| root.link_to(path, &self.folder, name));
        match kept {
            Err(fault) if fault.kind == ErrorKind::NotFound => Ok(()),
            kept => kept.map_err(not_kept),
        }
    }
}

fn named(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

/// Moves a file by `moved` to the first of `names` that is not `taken`.
fn first_free(
    names: &[Vec<u8>],
    taken: impl Fn(&Path) -> bool,
    moved: impl Fn(&Path) -> Result<()>,
) -> Result<()> {
    let name = names.iter().map(|name| named(name)).find(|name| !taken(name));
    name.map_or_else(|| Err(no_free_name()), moved)
}

fn no_free_name() -> Error {
    Error::new(ErrorKind::Local, Origin::Here, "the trash has files of all names that it may get")
}

/// Returns the error of a file that is not overwritten because of `fault`.
fn not_kept(fault: Error) -> Error {
    let message = format!(
        "its old version cannot be moved to the trash, so it was not overwritten: {}",
        fault.message
    );
    Error { message, ..fault }
}

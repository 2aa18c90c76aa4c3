//! The trash: a directory that takes deleted files.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{
    endpoints::{Direction, Endpoints, place},
    filter::Filter,
};
use portolan_core::error::{Error, ErrorKind, Result};
use portolan_fs::RootDir;
use portolan_remote::{fs::RemoteFs, path::RemotePath};

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
pub(super) enum Trash {
    /// On the server.
    There {
        folder: RemotePath,
        /// The directories in it that exist, so that none is created again for each file.
        made: RefCell<BTreeSet<RemotePath>>,
    },
    /// On the local host.
    Here(RootDir),
}

impl Trash {
    /// Opens the directory `trash`, if the run has one.
    pub(super) fn of(heading: &Endpoints, trash: Option<&str>) -> Result<Option<Self>> {
        let Some(trash) = trash else { return Ok(None) };
        Ok(Some(match heading.direction {
            Direction::Up => {
                Self::There { folder: there(heading, trash)?, made: RefCell::default() }
            }
            Direction::Down => {
                let folder = here(heading, trash);
                fs::create_dir_all(&folder)
                    .map_err(|error| Error::local("make the trash", &folder, error))?;
                Self::Here(RootDir::open(folder)?)
            }
        }))
    }

    /// Moves the file `path` of the mirrored directory `root` or `top` into the trash, under the same path, or with a
    /// timestamp in its name if something is there already.
    pub(super) async fn take(
        &self,
        session: &mut impl RemoteFs,
        root: &RootDir,
        top: &RemotePath,
        path: &[u8],
    ) -> Result<()> {
        let now = session.now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let second = [path, b"~", now.as_bytes()].concat();
        let (folder, made) = match self {
            Self::There { folder, made } => (folder, made),
            Self::Here(trash) => {
                let named = |path| Path::new(OsStr::from_bytes(path));
                return match root.move_to(named(path), trash, named(path)) {
                    Err(fault)
                        if fault.kind == ErrorKind::Local
                            && trash.metadata(named(path)).is_ok() =>
                    {
                        root.move_to(named(path), trash, named(&second))
                    }
                    done => done,
                };
            }
        };
        let mut target = place(folder, path)?;
        let above = target.parent();
        if !made.borrow().contains(&above) {
            session.mkdir(&above).await?;
            made.borrow_mut().insert(above);
        }
        if session.exists(&target).await? {
            target = place(folder, &second)?;
        }
        session.rename(&place(top, path)?, &target).await
    }
}

//! The files that git tracks, as the program `git` lists them.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Stdio},
};

use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::ENTRIES_MAX,
    observe::visible::visible,
};

/// Returns the paths below the directory `local` of the files that git tracks there, submodules included; `program` is
/// git.
pub(super) fn tracked(program: &Path, local: &Path) -> Result<BTreeSet<Vec<u8>>> {
    let listed = Command::new(program)
        .args(["ls-files", "-z", "--cached", "--recurse-submodules"])
        .current_dir(local)
        .stdin(Stdio::null())
        .output();
    let listed = listed.map_err(|error| Error::local("run git", local, error))?;
    if !listed.status.success() {
        let words = visible(listed.stderr.trim_ascii());
        let message = format!("git lists no tracked files there: {words}");
        return Err(Error::new(ErrorKind::Local, Origin::Here, message).at(local.to_string_lossy()));
    }
    let paths = listed.stdout.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    let tracked: BTreeSet<_> = paths.map(<[u8]>::to_vec).collect();
    if tracked.len() > ENTRIES_MAX {
        let message = format!("more than {ENTRIES_MAX} files are tracked");
        return Err(Error::new(ErrorKind::Guard, Origin::Here, message));
    }
    Ok(tracked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_git_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let fault = tracked(Path::new("git"), folder.path()).unwrap_err();
        assert!(fault.to_string().contains("git"), "{fault}");
    }
}

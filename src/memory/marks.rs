//! The marks of mirrors: which temporary files are ours, and whether another run of the same mirror is alive.
//!
//! Each mirror has a file that holds its mark, and whoever runs it holds that file locked. The kernel gives the lock back
//! when the process ends, however it does: who has it knows that nobody else makes files under this mark now.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, OpenOptionsExt},
    },
    path::Path,
    time::SystemTime,
};

use crate::{
    files::Mark,
    ftp::base::{Claim, Sides},
    limits::MARKS_KEPT_MAX,
};
use rustix::fs::{FlockOperation, flock};

/// The folder of the marks in the state folder.
const FOLDER: &str = "marks";

/// Takes the mark of `sides` from the state folder `state`, or makes it; nothing where another run is just making it.
pub(super) fn claim(state: &Path, sides: &Sides) -> io::Result<Option<Claim>> {
    let folder = state.join(FOLDER);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let path = folder.join(name(sides));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.custom_flags(no_follow()).open(&path)?;
    let is_alone = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
    let mut text = String::new();
    Read::by_ref(&mut file).take(64).read_to_string(&mut text)?;
    let mark = match Mark::read(&text) {
        Some(mark) => mark,
        None if is_alone => {
            prune(&folder)?;
            write(&mut file)?
        }
        None => return Ok(None),
    };
    Ok(Some(Claim { mark, lock: is_alone.then_some(file) }))
}

fn write(file: &mut File) -> io::Result<Mark> {
    let mark = Mark::random();
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(mark.text().as_bytes())?;
    file.sync_data()?;
    Ok(mark)
}

/// The flag by which a link in the file's place is refused.
fn no_follow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0)
}

fn name(sides: &Sides) -> String {
    let Sides { host, port, user, remote, local } = sides;
    let mut all = format!("{host}\n{port}\n{user}\n").into_bytes();
    all.extend_from_slice(remote.as_bytes());
    all.push(b'\n');
    all.extend_from_slice(local.as_os_str().as_bytes());
    Mark::of(&all).text().to_owned()
}

/// Of too many marks the oldest go; what was made under them counts as nobody's then.
fn prune(folder: &Path) -> io::Result<()> {
    let mut marks = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        marks.push((entry.metadata()?.modified().unwrap_or(SystemTime::UNIX_EPOCH), entry.path()));
    }
    marks.sort();
    let surplus = marks.len().saturating_sub(MARKS_KEPT_MAX);
    marks.iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ftp::path::RemotePath;

    fn sides(local: &str) -> Sides {
        Sides {
            host: "a".into(),
            port: 21,
            user: "tester".into(),
            remote: RemotePath::parse("/in").unwrap(),
            local: local.into(),
        }
    }

    #[test]
    fn a_mirror_keeps_its_mark_and_only_one_run_has_it_alone() {
        let state = tempfile::tempdir().unwrap();
        let take = |local| claim(state.path(), &sides(local)).unwrap().unwrap();
        let first = take("/x");
        assert!(first.lock.is_some());
        let second = take("/x");
        assert!(second.lock.is_none());
        assert_eq!(first.mark, second.mark);
        let other = take("/y");
        assert!(other.lock.is_some());
        assert_ne!(first.mark, other.mark);
        let mark = first.mark.clone();
        drop(first);
        let again = take("/x");
        assert!(again.lock.is_some());
        assert_eq!(again.mark, mark);
    }

    #[test]
    fn a_mark_that_was_not_written_whole_is_made_anew() {
        let state = tempfile::tempdir().unwrap();
        let mark = claim(state.path(), &sides("/x")).unwrap().unwrap().mark;
        let path = state.path().join(FOLDER).join(name(&sides("/x")));
        fs::write(&path, "0123").unwrap();
        let now = claim(state.path(), &sides("/x")).unwrap().unwrap();
        assert!(now.lock.is_some());
        assert_ne!(now.mark, mark);
        assert_eq!(fs::read_to_string(&path).unwrap(), now.mark.text());
        // While one writes it, another has none.
        fs::write(&path, "").unwrap();
        assert!(claim(state.path(), &sides("/x")).unwrap().is_none());
    }
}

//! The owner tags (marks) of mirrors: they tell which temporary files are ours, and whether another run of the same
//! mirror is alive.
//!
//! Each mirror has a file that contains its mark, and a run of the mirror keeps that file locked. The kernel releases
//! the lock when the process ends, however it ends: the holder of the lock knows that no other process creates files
//! under this mark.

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

use portolan_core::limits::MARKS_KEPT_MAX;
use portolan_fs::OwnerTag;
use portolan_mirror::sync_base::{MirrorId, TagLease};
use rustix::fs::{FlockOperation, flock};

/// The name of the folder for marks in the state folder.
const FOLDER: &str = "marks";

/// Reads the mark of `sides` from the state folder `state`, or creates it; returns `None` while another run is creating
/// it.
pub(super) fn claim(state: &Path, sides: &MirrorId) -> io::Result<Option<TagLease>> {
    let folder = state.join(FOLDER);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let path = folder.join(name(sides));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.custom_flags(no_follow()).open(&path)?;
    let is_alone = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
    let mut text = String::new();
    Read::by_ref(&mut file).take(64).read_to_string(&mut text)?;
    let here = MachineId::this();
    let (mark, is_known) = match TagFile::read(&text) {
        // The first version stored only the mark.
        Some(TagFile { mark, machine: None }) if is_alone => {
            write(&mut file, &mark, &here)?;
            (mark, true)
        }
        Some(TagFile { mark, machine: None }) => (mark, true),
        Some(TagFile { mark, machine: Some(machine) }) if machine == here => (mark, true),
        Some(TagFile { mark, machine: Some(MachineId { id, .. }) }) if id == here.id => {
            // Either the host was rebooted, or a copy of it is running as well, whose files are left alone.
            if is_alone {
                write(&mut file, &mark, &here)?;
            }
            (mark, false)
        }
        // The folder was copied from another host, which owns that mark.
        Some(_) | None if is_alone => {
            prune(&folder)?;
            let mark = OwnerTag::random();
            write(&mut file, &mark, &here)?;
            (mark, true)
        }
        Some(_) | None => return Ok(None),
    };
    Ok(Some(TagLease { mark, lock: (is_alone && is_known).then_some(file) }))
}

/// The contents of a mirror's mark file.
struct TagFile {
    mark: OwnerTag,
    machine: Option<MachineId>,
}

/// A host, identified down to the current boot.
#[derive(Debug, Clone, PartialEq, Eq)]
struct MachineId {
    id: String,
    boot: String,
}

impl MachineId {
    /// Returns the identity of this host. A cloned disk has the same machine id, but usually another host name.
    fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let digits = |text: &str| OwnerTag::of(text.as_bytes()).text().to_owned();
        let id = [read("/etc/machine-id"), read("/proc/sys/kernel/hostname")].concat();
        Self { id: digits(&id), boot: digits(&read("/proc/sys/kernel/random/boot_id")) }
    }
}

impl TagFile {
    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mark = OwnerTag::read(lines.next()?)?;
        let machine = match (lines.next(), lines.next()) {
            (Some(id), Some(boot)) => Some(MachineId { id: id.into(), boot: boot.into() }),
            _ => None,
        };
        Some(Self { mark, machine })
    }
}

fn write(file: &mut File, mark: &OwnerTag, MachineId { id, boot }: &MachineId) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{}\n{id}\n{boot}\n", mark.text()).as_bytes())?;
    file.sync_data()
}

/// Returns the open flag that refuses a symbolic link in place of the file.
fn no_follow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0)
}

fn name(sides: &MirrorId) -> String {
    let MirrorId { host, port, user, remote, local } = sides;
    let mut all = format!("{host}\n{port}\n{user}\n").into_bytes();
    all.extend_from_slice(remote.as_bytes());
    all.push(b'\n');
    all.extend_from_slice(local.as_os_str().as_bytes());
    OwnerTag::of(&all).text().to_owned()
}

/// Removes the oldest marks if there are too many; files created under them then have no known owner.
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
    use portolan_ftp::path::RemotePath;

    fn sides(local: &str) -> MirrorId {
        MirrorId {
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
    fn the_mark_of_another_machine_is_not_taken_over_with_a_copy_of_its_folder() {
        let state = tempfile::tempdir().unwrap();
        let take = || claim(state.path(), &sides("/x")).unwrap().unwrap();
        let mark = take().mark;
        let path = state.path().join(FOLDER).join(name(&sides("/x")));
        let MachineId { id, boot } = MachineId::this();
        let other = "0123456789abcdef";
        for (machine, boot, is_same, is_alone) in [
            // A file written by the first version.
            ("", "", true, true),
            (&*id, &*boot, true, true),
            // Rebooted since: in the first run no other run is known to be over.
            (&id, other, true, false),
            (other, &boot, false, true),
            (other, other, false, true),
        ] {
            let rest =
                if machine.is_empty() { String::new() } else { format!("\n{machine}\n{boot}\n") };
            fs::write(&path, format!("{}{rest}", mark.text())).unwrap();
            for is_first in [true, false] {
                let now = take();
                assert_eq!(now.mark == mark, is_same, "{machine} {boot}");
                assert_eq!(
                    now.lock.is_some(),
                    is_alone || !is_first,
                    "{machine} {boot} {is_first}"
                );
            }
        }
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
        assert!(fs::read_to_string(&path).unwrap().starts_with(now.mark.text()));
        // While one run writes the file, another one gets no mark.
        fs::write(&path, "").unwrap();
        assert!(claim(state.path(), &sides("/x")).unwrap().is_none());
    }
}

//! The local paths of a recorded run: what was there before it used them; and the same again for its replay.

use std::{
    collections::BTreeSet,
    fs::{self, File, Metadata},
    io::Write,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::overlay::{absolute, inside};
use crate::{
    cancel::CancelToken,
    error::{Error, Result},
    files::{LocalKind, RootDir, walk},
    ftp::recorder::RunRecorder,
    limits::{COPY_BYTES, RECORDED_ENTRIES_MAX, REPLAYED_FILE_BYTES_MAX},
    recording::{RecordedEntry, RecordedEvent, RecordedPath, Recording, fill},
};

/// The recorder of the local paths that a run uses.
#[derive(Debug)]
pub(super) struct PathRecorder {
    recorder: Arc<RunRecorder>,
    /// The absolute paths that were recorded.
    seen: Mutex<BTreeSet<PathBuf>>,
}

impl PathRecorder {
    pub(super) fn new(recorder: Arc<RunRecorder>) -> Self {
        Self { recorder, seen: Mutex::default() }
    }

    /// Records the state of `path` if the run uses it, and what contains it, for the first time.
    pub(super) fn record(&self, path: &Path, stop: &CancelToken) {
        let Ok(whole) = absolute(path) else { return };
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if whole.ancestors().any(|above| seen.contains(above)) {
                return;
            }
            seen.insert(whole);
        }
        let (entries, is_cut) = entries(path, stop);
        let path = self.recorder.hide_in(&path.to_string_lossy());
        self.recorder.note_run(RecordedEvent::Local(RecordedPath { path, entries, is_cut }));
    }
}

/// Returns what is at `path`, and whether some of it is left out.
fn entries(path: &Path, stop: &CancelToken) -> (Vec<RecordedEntry>, bool) {
    let Ok(found) = fs::metadata(path) else { return (Vec::new(), false) };
    let size = (!found.is_dir()).then_some(found.len());
    let mut entries =
        vec![RecordedEntry { path: String::new(), size, modified: millis(found.modified().ok()) }];
    if !found.is_dir() {
        return (entries, false);
    }
    let Ok(found) = RootDir::open(path).and_then(|root| walk(&root, stop)) else {
        return (entries, true);
    };
    let is_cut = found.entries.len() > RECORDED_ENTRIES_MAX || !found.is_complete();
    for entry in found.entries.into_iter().take(RECORDED_ENTRIES_MAX) {
        let size = match entry.kind {
            LocalKind::Folder => None,
            LocalKind::File => Some(entry.size),
            LocalKind::Link | LocalKind::Other => continue,
        };
        let modified = entry.modified.as_millisecond();
        let Some(path) = entry.path.to_str().map(str::to_owned) else { continue };
        entries.push(RecordedEntry { path, size, modified });
    }
    (entries, is_cut)
}

fn millis(time: Option<SystemTime>) -> i64 {
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0)
}

/// Makes the local paths of `recording` in the folder `scratch`, as they were before the run, and returns them as absolute
/// paths. The content of a file is that of the local file at its path if that has the recorded size and time, and made up
/// otherwise.
///
/// # Errors
///
/// `invalid` for a path that leads out of its directory, `local` if something cannot be made.
pub fn restore(recording: &Recording, scratch: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut taken = BTreeSet::new();
    let mut left = REPLAYED_FILE_BYTES_MAX;
    for line in &recording.lines {
        let RecordedEvent::Local(local) = &line.event else { continue };
        let path = absolute(Path::new(&local.path))?;
        // What a run has changed meanwhile is no state before it.
        if path.ancestors().any(|above| taken.contains(above)) {
            continue;
        }
        let there = inside(scratch, &path);
        if let Some(folder) = there.parent() {
            fs::create_dir_all(folder).map_err(|error| Error::local("make", folder, error))?;
        }
        for entry in &local.entries {
            let below = Path::new(&entry.path);
            if below.components().any(|part| !matches!(part, Component::Normal(_))) {
                let message = "a path of the recording leads out of its directory";
                return Err(Error::invalid(message).at(entry.path.clone()));
            }
            // An empty path would end in a slash.
            let [from, to] = [&path, &there]
                .map(|base| if entry.path.is_empty() { base.clone() } else { base.join(below) });
            let made = match entry.size {
                None => fs::create_dir_all(&to),
                Some(size) => restore_file(&from, &to, size, entry.modified, &mut left),
            };
            made.map_err(|error| Error::local("make", &to, error))?;
        }
        taken.insert(path);
    }
    Ok(taken)
}

fn restore_file(
    from: &Path,
    to: &Path,
    size: u64,
    modified: i64,
    left: &mut u64,
) -> std::io::Result<()> {
    let is_same = |found: &Metadata| {
        found.is_file() && found.len() == size && millis(found.modified().ok()) == modified
    };
    let here = fs::metadata(from).ok().filter(|found| is_same(found) && size <= *left);
    if here.is_some() {
        fs::copy(from, to)?;
    } else {
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::create(to)?;
        let mut piece = vec![0; COPY_BYTES];
        let mut at = 0;
        // Beyond the limit the file is long, and takes no room.
        while at < size.min(*left) {
            let length =
                usize::try_from(size.min(*left) - at).unwrap_or(COPY_BYTES).min(COPY_BYTES);
            let space = piece.get_mut(..length).unwrap_or_default();
            fill(at, space);
            file.write_all(space)?;
            at += length as u64;
        }
        file.set_len(size)?;
    }
    *left = left.saturating_sub(size);
    let time = u64::try_from(modified).ok().map(|ms| UNIX_EPOCH + Duration::from_millis(ms));
    let file = File::options().write(true).open(to)?;
    time.map_or(Ok(()), |time| file.set_modified(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(path: &str, entry: &str) -> Recording {
        let text = format!(
            "{{\"event\":\"recording\",\"version\":1,\"portolan\":\"0\",\"command\":\"run\"}}\n\
             {{\"event\":\"local\",\"path\":\"{path}\",\"entries\":[{{\"path\":\"\"}},{{\"path\":\"{entry}\",\"size\":20,\"modified\":1000}}]}}\n"
        );
        Recording::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_recorded_directory_is_made_again_in_the_scratch_folder_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let taken = restore(&recording("/nowhere/x/../dist", "a/b.txt"), scratch.path()).unwrap();
        assert_eq!(taken, BTreeSet::from([PathBuf::from("/nowhere/dist")]));
        let made = fs::read_to_string(scratch.path().join("nowhere/dist/a/b.txt")).unwrap();
        assert_eq!(made, "portolan replay\nport");
        for entry in ["../b", "/b", "a/../../b"] {
            let error = restore(&recording("d", entry), scratch.path()).unwrap_err();
            assert!(error.message.contains("leads out"), "{entry}: {error}");
        }
    }
}

//! Listings whose times have all shifted by the same amount since the last run: the clock of a server that lists its
//! local time was set, as for daylight saving time, and no file changed.

use std::collections::BTreeMap;

use jiff::{SignedDuration, civil::DateTime};

use super::{
    endpoints::{Endpoints, place},
    pool::SessionPool,
    sync_base::SyncBase,
    tree::{NodeKind, ScanResult},
};
use portolan_core::{
    error::{Error, ErrorKind, Result},
    observe::MessageLevel,
};
use portolan_remote::{
    entry::{Modified, Precision},
    fs::RemoteFs,
    hints::TransferHints,
    source_sink::ByteSink,
    transfer::RemoteMeta,
};

/// The granularity of time zone offsets in seconds.
const STEP_S: i64 = 15 * 60;
/// The maximum shift in seconds: no clock is set further than from one extreme time zone to the other.
const SHIFT_S_MAX: i64 = 26 * 3600;
/// The number of files whose bytes are compared before a shift is accepted that is shown by files which cannot have
/// been written since.
const SAMPLE_FILES: usize = 3;
/// The maximum number of files compared if all of them may have been written again in the same order, each as many
/// hours later. If there are more files, or more bytes, they are transferred as files that changed.
const ALL_FILES_MAX: usize = 64;
/// The maximum number of bytes that are read for that.
const ALL_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A shift of listed times that most files show, while none kept its time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shift {
    by: SignedDuration,
    /// The files that show it.
    paths: Vec<Vec<u8>>,
    /// True if one of them still has a time from before the last run: a write since then would have left a later one.
    is_evident: bool,
}

/// A file of the server whose size is unchanged: its path, and its time then and now.
type ShiftedFile = (Vec<u8>, DateTime, DateTime);

/// Detects whether all times have shifted by the same amount since the last run, and records that in the times of
/// `there`. The bytes of some files are read, and must be those of the last run.
pub(super) async fn undo_clock_shift(
    crew: &mut SessionPool<'_, impl RemoteFs>,
    there: &mut ScanResult,
    base: Option<&SyncBase>,
    heading: &Endpoints,
) -> Result<()> {
    let Some(base) = base else { return Ok(()) };
    let latest = base.values().filter_map(|pair| clock(pair.remote_time)).max();
    let (Some(shift), Some(latest)) = (shift(&seen(there, base), latest), latest) else {
        return Ok(());
    };
    if is_believed(crew, &shift, there, base, heading).await? {
        let hours = shift.by.as_secs_f64() / 3600.0;
        let text = format!(
            "all times that the server lists moved by {hours:+} h since the last run (the latest then was {latest}): \
             taken for its clock, and files of the same size for unchanged"
        );
        crew.first().observer().message(MessageLevel::Info, text);
        there.times.set_moved(shift.by);
    }
    Ok(())
}

/// Returns the files of which size and time are known then and now, in the server's local time to the minute.
fn seen(there: &ScanResult, base: &SyncBase) -> Vec<ShiftedFile> {
    let files = there.tree.nodes().filter_map(|(path, node)| {
        let pair = base.get(path).filter(|_| node.kind == NodeKind::File)?;
        let is_same_size = node.size.is_some() && node.size == pair.remote_size;
        let (before, now) = (clock(pair.remote_time)?, clock(node.modified)?);
        is_same_size.then(|| (path.to_vec(), before, now))
    });
    files.collect()
}

/// Returns a time in the server's own zone that is known to the minute.
fn clock(modified: Option<Modified>) -> Option<DateTime> {
    match modified? {
        Modified::Server(at, precision) if precision <= Precision::Minute => Some(at),
        _ => None,
    }
}

/// Returns the shift that the files show, if none of them kept its time and more than half of them moved by it.
fn shift(files: &[ShiftedFile], latest: Option<DateTime>) -> Option<Shift> {
    let latest = latest?;
    let apart = |(_, before, now): &ShiftedFile| now.duration_since(*before);
    if files.iter().any(|file| apart(file).is_zero()) {
        return None;
    }
    let mut counts = BTreeMap::<SignedDuration, usize>::new();
    for file in files {
        *counts.entry(apart(file)).or_default() += 1;
    }
    let is_zone =
        |by: &SignedDuration| by.as_secs() % STEP_S == 0 && by.as_secs().abs() <= SHIFT_S_MAX;
    let (by, count) = counts.into_iter().filter(|(by, _)| is_zone(by)).max_by_key(|(_, n)| *n)?;
    if count * 2 <= files.len() {
        return None;
    }
    let moved: Vec<_> = files.iter().filter(|file| apart(file) == by).collect();
    // A clock that was set back is evident: times of files that are written do not go back.
    let is_evident = by.is_negative() || moved.iter().any(|(_, _, now)| *now < latest);
    let paths = moved.into_iter().map(|(path, ..)| path.clone()).collect();
    Some(Shift { by, paths, is_evident })
}

/// Returns true if the files that show `shift` have the bytes of the last run.
async fn is_believed(
    crew: &mut SessionPool<'_, impl RemoteFs>,
    shift: &Shift,
    there: &ScanResult,
    base: &SyncBase,
    heading: &Endpoints,
) -> Result<bool> {
    let size = |path: &[u8]| there.tree.get(path).and_then(|node| node.size).unwrap_or(u64::MAX);
    let mut sample: Vec<_> = shift
        .paths
        .iter()
        .filter_map(|path| {
            Some((size(path), path, base.get(&path[..]).and_then(|pair| pair.hash)?))
        })
        .collect();
    sample.sort_unstable_by_key(|(size, path, _)| (*size, *path));
    if shift.is_evident {
        sample.truncate(SAMPLE_FILES);
    } else if sample.len() < shift.paths.len() || sample.len() > ALL_FILES_MAX {
        return Ok(false);
    }
    let bytes: u64 = sample.iter().fold(0, |sum, (size, ..)| sum.saturating_add(*size));
    if bytes > ALL_BYTES_MAX {
        // So large a sample costs more than it proves if the times are evidence enough.
        return Ok(shift.is_evident);
    }
    for (size, path, hash) in sample {
        let mut read = DiscardingHasher(blake3::Hasher::new());
        let place = place(&heading.remote, path)?;
        let known = RemoteMeta { size: Some(size), ..RemoteMeta::default() };
        match crew.first().download_into(&place, &mut read, known, TransferHints::default()).await {
            Ok(_) if read.0.finalize() == hash => {}
            Ok(_) => return Ok(false),
            Err(fault) if fault.kind == ErrorKind::Interrupted => return Err(fault),
            Err(fault) => return Ok(doubt(crew, &fault)),
        }
    }
    Ok(true)
}

fn doubt(crew: &mut SessionPool<'_, impl RemoteFs>, fault: &Error) -> bool {
    let text = format!("times moved on the server, and no file could be read to see why: {fault}");
    crew.first().observer().message(MessageLevel::Info, text);
    false
}

/// A sink that hashes bytes and does not keep them.
struct DiscardingHasher(blake3::Hasher);

impl ByteSink for DiscardingHasher {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.update(bytes);
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        self.0.reset();
        Ok(())
    }
}

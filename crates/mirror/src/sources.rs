//! The end of a mirror that moves: source files are removed once their copies are proven.
//!
//! A copy is proven by its transfer in this run, whose size the target confirmed, or, if the target had the file before,
//! by its content. It is looked at once more, under its own name, right before the source file goes; that must be the
//! one that was listed. What cannot be proven stays, and is reported.

use std::{collections::BTreeSet, ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use super::{
    endpoints::{Direction, place},
    execution::Execution,
    executor::Executor,
    plan::{Action, FileStat, MirrorPlan, SourceFileStat},
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    observe::{Event, Operation, visible::visible},
};
use portolan_fs::RootDir;
use portolan_remote::{
    entry::{Modified, Precision},
    fs::RemoteFs,
    path::RemotePath,
    transfer::unproven,
};

/// The number of copies that are looked at together.
const SOURCES_AT_ONCE: usize = 200;

/// Removes the source files of `plan` whose copies are proven.
pub(super) async fn remove(
    session: &mut impl RemoteFs,
    plan: &MirrorPlan,
    run: &mut Execution<'_, '_>,
    tools: &Executor<'_>,
) -> Result<()> {
    let files = proven(plan, run);
    for files in files.chunks(SOURCES_AT_ONCE) {
        session.stop().check()?;
        if run.over.is_some() {
            break;
        }
        tools.renew(session).await?;
        let places: Result<Vec<_>> =
            files.iter().map(|file| place(&plan.heading.remote, &file.path)).collect();
        let places = places?;
        let there = session.stat_many(&places).await?;
        for ((file, place), (size, modified)) in files.iter().zip(&places).zip(there) {
            let there = FileStat { size, modified };
            let fetched = run.verified.get(&file.path[..]).copied().flatten();
            let known = SourceState { file, fetched, there };
            match known.remove(session, plan.heading.direction, &tools.root, place).await {
                Ok(()) => run.report.moved += 1,
                Err(fault) if fault.kind == ErrorKind::Interrupted => return Err(fault),
                Err(fault) => run.fail_with(fault.at(visible(&file.path))),
            }
        }
    }
    let left = plan.sources.len() as u64 - run.report.moved;
    if left > 0 {
        let files = if left == 1 { "file stays" } else { "files stay" };
        let text =
            format!("{left} {files} in the source, since the copies are not proven to be complete");
        session.observer().warn_once(text);
    }
    Ok(())
}

/// Returns the source files whose copies have arrived or were there before.
fn proven<'p>(plan: &'p MirrorPlan, run: &Execution<'_, '_>) -> Vec<&'p SourceFileStat> {
    let transfers = plan.steps.iter();
    let transfers: BTreeSet<_> = transfers
        .filter(|step| matches!(step.act, Action::Put(_) | Action::Get(_)))
        .map(|step| &step.path[..])
        .collect();
    let lost = run.recheck.iter().flat_map(|recheck| &recheck.lost);
    let lost: BTreeSet<_> = lost.map(|path| &path[..]).collect();
    let is_proven = |file: &&SourceFileStat| {
        let path = &file.path[..];
        (!transfers.contains(path) || run.verified.contains_key(path)) && !lost.contains(path)
    };
    plan.sources.iter().filter(is_proven).collect()
}

/// A source file with what is known of it and of its copy.
struct SourceState<'p> {
    file: &'p SourceFileStat,
    /// The time of the transfer's own file on the server, if it was told.
    fetched: Option<Modified>,
    /// The file on the server now.
    there: FileStat,
}

impl SourceState<'_> {
    async fn remove(
        &self,
        session: &mut impl RemoteFs,
        direction: Direction,
        root: &RootDir,
        place: &RemotePath,
    ) -> Result<()> {
        let path = Path::new(OsStr::from_bytes(&self.file.path));
        let entry = root.metadata(path)?;
        let modified = Modified::Utc(entry.modified, Precision::Millisecond);
        let here = FileStat { size: Some(entry.size), modified: Some(modified) };
        let (source, copy) = match direction {
            Direction::Up => (here, self.there),
            Direction::Down => (self.there, here),
        };
        if source.size.is_none() || copy.size.is_none() {
            return Err(unproven());
        }
        let is_refetched = direction == Direction::Down
            && self.fetched.zip(source.modified).and_then(|(one, two)| one.agrees(two))
                == Some(false);
        if is_refetched || source.size != copy.size || self.file.is_changed(source) {
            let message = "it stays in the source: one side has changed while this run went on";
            return Err(Error::new(ErrorKind::Refused, Origin::Here, message));
        }
        let shown = match direction {
            Direction::Up => {
                root.remove_file(path)?;
                visible(root.path().join(path).as_os_str().as_bytes())
            }
            Direction::Down => {
                session.remove(place).await?;
                place.to_string()
            }
        };
        session.observer().emit(&Event::Done { verb: Operation::Delete, path: shown });
        Ok(())
    }
}

impl SourceFileStat {
    /// Returns true if `now` is certainly another version of the file.
    fn is_changed(&self, now: FileStat) -> bool {
        let sizes = self.stat.size.zip(now.size);
        let times = self.stat.modified.zip(now.modified);
        sizes.is_some_and(|(one, two)| one != two)
            || times.is_some_and(|(one, two)| one.agrees(two) == Some(false))
    }
}

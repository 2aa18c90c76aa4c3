//! The way back: what a deployment replaced and deleted gets its old bytes, and what it added is removed.

use std::fmt;

use serde::Serialize;

use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    observe::visible::visible,
    option_table::{
        OptionKind::{Count, Flag},
        OptionRow, OptionTable,
    },
};
use portolan_mirror::{sync_base::SyncedFile, with_target_lock, write_deployed};
use portolan_remote::{
    fs::RemoteFs,
    path::{RelativePath, RemotePath},
};

use super::{
    releases::{self, Release, ReleaseChanges},
    remote,
};

/// The maximum number of deployments that one call undoes.
const COUNT_MAX: u16 = 1000;
/// The number of files whose size is asked for at once.
const ASKED_AT_ONCE: usize = 200;

/// A rollback as a user asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackRequest {
    /// The number of deployments to undo.
    pub count: u16,
    /// True if the steps are only reported.
    pub dry_run: bool,
}

impl Default for RollbackRequest {
    fn default() -> Self {
        Self { count: 1, dry_run: false }
    }
}

/// Every option of a rollback.
pub const ROLLBACK_OPTIONS: OptionTable<RollbackRequest> = OptionTable {
    rows: &[
        OptionRow::new(
            "count",
            Count(1..=COUNT_MAX, |it: &mut RollbackRequest, count| it.count = count),
            "the number of deployments to undo",
        )
        .usual("1")
        .flag("count", "Number of deployments to undo"),
        OptionRow::new(
            "dry_run",
            Flag(|it: &mut RollbackRequest, on| it.dry_run = on),
            "nothing is done; `plan` of the result has the steps",
        )
        .usual("false")
        .flag("dry-run", "Show what would be done, but do nothing"),
    ],
    usual: RollbackRequest::default,
};

/// The results of a rollback. Its JSON has the names and the order of the fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RollbackReport {
    /// The deployments that were undone, the last one first.
    pub releases: Vec<String>,
    /// The number of files that have their old bytes again.
    pub restored: u64,
    /// The number of files that were removed, since the deployments had added them.
    pub deleted: u64,
    /// The files that the deployments had added and that stay, since they were changed later.
    pub kept: Vec<String>,
    /// The steps, one per line.
    pub plan: Vec<String>,
    /// True if nothing was done.
    pub dry_run: bool,
}

impl fmt::Display for RollbackReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { releases, restored, deleted, kept, dry_run, .. } = self;
        let noun = if releases.len() == 1 { "deployment" } else { "deployments" };
        let done = if *dry_run { "to undo" } else { "undone" };
        let count = releases.len();
        write!(f, "{count} {noun} {done}: {restored} restored, {deleted} deleted")?;
        if kept.is_empty() { Ok(()) } else { write!(f, ", {} changed since and kept", kept.len()) }
    }
}

/// A deployment that can be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseSummary {
    /// The time of the deployment, which is its name.
    pub release: String,
    /// The number of files that it added.
    pub added: usize,
    /// The number of files that it replaced.
    pub replaced: usize,
    /// The number of files that it deleted.
    pub deleted: usize,
}

impl fmt::Display for ReleaseSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { release, added, replaced, deleted } = self;
        write!(f, "{release}  {added} added, {replaced} replaced, {deleted} deleted")
    }
}

/// Returns the deployments to the directory `folder` of the server that can be undone, the last one first.
pub async fn list_releases(
    session: &mut impl RemoteFs,
    folder: &RemotePath,
) -> Result<Vec<ReleaseSummary>> {
    let encoding = session.capabilities().encoding;
    let top = session.absolute(folder)?.in_encoding(encoding);
    let mut found = Vec::new();
    for release in releases::all(session, &top).await?.into_iter().rev() {
        let changes = release.changes(session).await?.unwrap_or_default();
        let (added, replaced) = (changes.added.len(), changes.replaced.len());
        let deleted = changes.deleted.len();
        found.push(ReleaseSummary { release: release.id, added, replaced, deleted });
    }
    Ok(found)
}

/// A step of the way back.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RollbackStep {
    /// The old bytes come back.
    Restore(RelativePath),
    /// A file that was added, of that size if it is known, is removed.
    Remove(RelativePath, Option<u64>),
    /// A directory that was made is removed if it is empty.
    RemoveFolder(RelativePath),
}

impl fmt::Display for RollbackStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restore(path) => write!(f, "restore  {}", visible(&path[..])),
            Self::Remove(path, _) => write!(f, "delete  {}", visible(&path[..])),
            Self::RemoveFolder(path) => write!(f, "delete  {}/  (if empty)", visible(&path[..])),
        }
    }
}

/// Returns the steps that undo `changes`: what pages need comes before them, and what they needed goes after them.
fn steps(changes: &ReleaseChanges) -> Vec<RollbackStep> {
    let is_page = |path: &&RelativePath| {
        let name = path.to_ascii_lowercase();
        name.ends_with(b".html") || name.ends_with(b".htm")
    };
    let old = || changes.deleted.iter().chain(&changes.replaced);
    let restored = old().filter(|path| !is_page(path)).chain(old().filter(is_page));
    let restored = restored.cloned().map(RollbackStep::Restore);
    let removed = changes.added.iter().cloned();
    let removed = removed.map(|(path, size)| RollbackStep::Remove(path, size));
    let folders = changes.folders.iter().rev().cloned().map(RollbackStep::RemoveFolder);
    restored.chain(removed).chain(folders).collect()
}

/// Undoes the last deployments to the directory `folder` of the server. Fails with `not_found` if there are not so many
/// releases.
pub async fn rollback<R: RemoteFs>(
    session: &mut R,
    folder: &RemotePath,
    request: &RollbackRequest,
) -> Result<RollbackReport> {
    let encoding = session.capabilities().encoding;
    let top = session.absolute(folder)?.in_encoding(encoding);
    if request.dry_run {
        return all_back(session, &top, request).await;
    }
    with_target_lock(session, &top, async |session| all_back(session, &top, request).await).await
}

async fn all_back(
    session: &mut impl RemoteFs,
    top: &RemotePath,
    request: &RollbackRequest,
) -> Result<RollbackReport> {
    let mut report = RollbackReport { dry_run: request.dry_run, ..RollbackReport::default() };
    let all = releases::all(session, top).await?;
    let count = usize::from(request.count);
    if all.len() < count {
        let message = match all.len() {
            0 => "there is no release to go back to: `portolan deploy --keep N` keeps some"
                .to_owned(),
            have => format!("there are {have} releases to go back to, not {count}"),
        };
        return Err(Error::new(ErrorKind::NotFound, Origin::Server, message).at(top.to_string()));
    }
    for release in all.iter().rev().take(count) {
        one_back(session, top, release, &mut report).await?;
    }
    Ok(report)
}

/// Undoes the deployment of `release`, after which the release is no more. A run that is cut off is continued by the
/// next one: what is restored has left the release.
pub(super) async fn one_back(
    session: &mut impl RemoteFs,
    top: &RemotePath,
    release: &Release,
    report: &mut RollbackReport,
) -> Result<()> {
    report.releases.push(release.id.clone());
    let Some(changes) = release.changes(session).await? else {
        return if report.dry_run { Ok(()) } else { release.remove(session).await };
    };
    let steps = steps(&changes);
    report.plan.extend(steps.iter().map(ToString::to_string));
    if report.dry_run {
        report.restored += (changes.deleted.len() + changes.replaced.len()) as u64;
        report.deleted += changes.added.len() as u64;
        return Ok(());
    }
    let mut state = release.state(session).await?;
    for step in &steps {
        if let RollbackStep::Restore(path) = step {
            restore(session, top, release, path).await?;
            report.restored += 1;
        }
    }
    remove_added(session, top, &changes, report).await?;
    for step in &steps {
        if let RollbackStep::RemoveFolder(path) = step {
            match session.rmdir(&top.below(path)?).await {
                Err(fault) if !remote::is_plain(&fault) => return Err(fault),
                _ => {}
            }
        }
    }
    for path in &changes.replaced {
        // The old bytes came back with another time.
        if let Some(pair) = state.get_mut(&path[..]) {
            *pair = SyncedFile { remote_time: None, ..*pair };
        }
    }
    write_deployed(session, top, &state).await?;
    release.remove(session).await
}

async fn restore(
    session: &mut impl RemoteFs,
    top: &RemotePath,
    release: &Release,
    path: &RelativePath,
) -> Result<()> {
    let (from, to) = (release.old_file(path)?, top.below(path)?);
    if !session.exists(&from).await? {
        // The deployment, or an earlier rollback, was cut off: the file has its name.
        return Ok(());
    }
    if !session.exists(&to.parent()).await? {
        session.mkdir(&to.parent()).await?;
    }
    remote::move_over(session, &from, &to).await
}

/// Removes the files that the deployment had added, unless they have another size by now.
async fn remove_added(
    session: &mut impl RemoteFs,
    top: &RemotePath,
    changes: &ReleaseChanges,
    report: &mut RollbackReport,
) -> Result<()> {
    for added in changes.added.chunks(ASKED_AT_ONCE) {
        let paths: Vec<_> = added.iter().map(|(path, _)| top.below(path)).collect::<Result<_>>()?;
        let now = session.stat_many(&paths).await?;
        for (((path, size), there), (now, _)) in added.iter().zip(&paths).zip(now) {
            if now.zip(*size).is_some_and(|(now, then)| now != then) {
                report.kept.push(visible(&path[..]));
                continue;
            }
            remote::gone(session.remove(there).await)?;
            report.deleted += 1;
        }
    }
    if !report.kept.is_empty() {
        let text = format!("changed since the deployment, and kept: {}", report.kept.join(", "));
        session.observer().warn_once(text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_files_come_back_before_pages_and_new_ones_go_last() {
        let path = |text: &str| RelativePath::parse(text).unwrap();
        let changes = ReleaseChanges {
            added: vec![(path("new.js"), Some(1))],
            replaced: vec![path("a.html"), path("b.css")],
            deleted: vec![path("old.js")],
            folders: vec![path("d"), path("d/e")],
        };
        let lines: Vec<_> = steps(&changes).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "restore  old.js",
                "restore  b.css",
                "restore  a.html",
                "delete  new.js",
                "delete  d/e/  (if empty)",
                "delete  d/  (if empty)",
            ]
        );
    }
}

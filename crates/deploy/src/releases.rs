//! Releases: the old bytes of what a deployment replaces and deletes, kept on the server so that it can be undone.
//!
//! They are in the directory beside the deployed one, `.portolan-deploy-NAME/releases/TIME`: `files` has the old bytes
//! under the paths that they had, `record` the changes of the deployment, `state` what was deployed before. What is
//! deleted is moved there. What is replaced is copied there before anything is changed, so that its name never lacks a
//! file.

use serde::{Deserialize, Serialize};

use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::STATE_BYTES_MAX,
    observe::MessageLevel,
};
use portolan_mirror::{
    Action, MirrorPlan, Step, home_beside, home_inside, read_deployed, read_state,
    sync_base::{SyncBase, path_bytes, path_text},
    write_state,
};
use portolan_remote::{
    fs::RemoteFs,
    path::{RelativePath, RemotePath},
};

use super::remote;

const RELEASES: &[u8] = b"releases";
const FILES: &[u8] = b"files";
const RECORD: &[u8] = b"record";
const STATE: &[u8] = b"state";
/// The format version that is written.
const FORM: u32 = 1;
/// The permissions of the directory of releases: its owner alone enters it.
const HOME_MODE: u32 = 0o700;

/// The place of one release on the server.
#[derive(Debug, Clone)]
pub(super) struct Release {
    /// The time of the deployment, which is its name.
    pub(super) id: String,
    /// The directory that was deployed to.
    top: RemotePath,
    folder: RemotePath,
}

/// The changes that a deployment makes to its directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ReleaseChanges {
    /// The files that were not there before, with their sizes.
    pub(super) added: Vec<(RelativePath, Option<u64>)>,
    /// The files that get other bytes.
    pub(super) replaced: Vec<RelativePath>,
    /// The files that are deleted.
    pub(super) deleted: Vec<RelativePath>,
    /// The directories that are made, those above first.
    pub(super) folders: Vec<RelativePath>,
}

/// The changes as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct SavedChanges {
    portolan_release: u32,
    folder: String,
    added: Vec<(String, Option<u64>)>,
    replaced: Vec<String>,
    deleted: Vec<String>,
    folders: Vec<String>,
}

impl ReleaseChanges {
    /// Returns the changes that `steps` make.
    pub(super) fn of(steps: &[Step]) -> Result<Self> {
        let mut changes = Self::default();
        for step in steps.iter().filter(|step| !step.path.is_empty()) {
            let path = RelativePath::parse(&step.path)?;
            match step.act {
                Action::Put(_) if step.standing.is_some() => changes.replaced.push(path),
                Action::Put(_) => changes.added.push((path, step.size)),
                Action::DeleteFile => changes.deleted.push(path),
                Action::MakeFolder => changes.folders.push(path),
                Action::Sweep | Action::Get(_) | Action::DeleteFolder => {}
            }
        }
        Ok(changes)
    }

    fn to_json(&self, top: &RemotePath) -> Vec<u8> {
        let texts = |paths: &[RelativePath]| paths.iter().map(|path| path_text(path)).collect();
        let saved = SavedChanges {
            portolan_release: FORM,
            folder: path_text(top.as_bytes()),
            added: self.added.iter().map(|(path, size)| (path_text(path), *size)).collect(),
            replaced: texts(&self.replaced),
            deleted: texts(&self.deleted),
            folders: texts(&self.folders),
        };
        // Strings and numbers in memory: it cannot fail.
        serde_json::to_vec(&saved).unwrap_or_default()
    }

    fn from_json(bytes: &[u8], top: &RemotePath) -> Result<Self> {
        let refuse = |why: &str| Error::invalid(format!("invalid record of a release: {why}"));
        let saved: SavedChanges =
            serde_json::from_slice(bytes).map_err(|error| refuse(&error.to_string()))?;
        if saved.portolan_release != FORM || saved.folder != path_text(top.as_bytes()) {
            return Err(refuse("it is about another folder, or of another version"));
        }
        let path = |text: &String| {
            let bytes = path_bytes(text).ok_or_else(|| refuse("it has an invalid path"))?;
            RelativePath::parse(bytes)
        };
        let paths = |texts: &[String]| texts.iter().map(path).collect::<Result<Vec<_>>>();
        let added = saved.added.iter().map(|(text, size)| Ok((path(text)?, *size)));
        Ok(Self {
            added: added.collect::<Result<_>>()?,
            replaced: paths(&saved.replaced)?,
            deleted: paths(&saved.deleted)?,
            folders: paths(&saved.folders)?,
        })
    }
}

impl Release {
    /// Chooses the place of a new release of the directory `top`, and makes the directory of all of them.
    pub(super) async fn begin(session: &mut impl RemoteFs, top: &RemotePath) -> Result<Self> {
        let releases = home(session, top).await?.join(RELEASES)?;
        let time = session.now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut release =
            Self { folder: releases.join(time.as_bytes())?, id: time.clone(), top: top.clone() };
        let mut number = 1;
        while session.exists(&release.folder).await? {
            number += 1;
            release.id = format!("{time}-{number}");
            release.folder = releases.join(release.id.as_bytes())?;
        }
        Ok(release)
    }

    /// Returns the directory for the old bytes, as the option `trash` of a mirror.
    pub(super) fn trash(&self) -> Result<String> {
        let files = self.folder.join(FILES)?;
        let bytes = self.top.encoding().decode(files.as_bytes())?;
        String::from_utf8(bytes).map_err(|_| {
            Error::invalid("releases want a folder on the server whose name is UTF-8")
                .at(self.top.to_string())
        })
    }

    /// Returns the place of the old bytes of `path`.
    pub(super) fn old_file(&self, path: &RelativePath) -> Result<RemotePath> {
        self.folder.join(FILES)?.in_encoding(self.top.encoding()).below(path)
    }

    /// Records the changes of `plan`, and copies what it replaces, before anything is changed.
    pub(super) async fn prepare(
        &self,
        session: &mut impl RemoteFs,
        plan: &MirrorPlan,
    ) -> Result<()> {
        let changes = ReleaseChanges::of(&plan.steps)?;
        session.mkdir(&self.folder.join(FILES)?).await?;
        if let Some(base) = read_deployed(session, &self.top).await.unwrap_or_default() {
            let bytes = write_state(&base, &self.top);
            remote::write(session, &self.folder.join(STATE)?, &bytes).await?;
        }
        remote::write(session, &self.folder.join(RECORD)?, &changes.to_json(&self.top)).await?;
        let mut made = std::collections::BTreeSet::new();
        for step in &plan.steps {
            let (Action::Put(_), Some(stat)) = (step.act, step.standing) else { continue };
            let path = RelativePath::parse(&step.path)?;
            let (from, to) = (self.top.below(&path)?, self.old_file(&path)?);
            if made.insert(to.parent()) {
                session.mkdir(&to.parent()).await?;
            }
            remote::copy(session, &from, &to, stat).await?;
        }
        Ok(())
    }

    /// Returns the changes of the deployment; `None` if it was cut off before it made any.
    pub(super) async fn changes(
        &self,
        session: &mut impl RemoteFs,
    ) -> Result<Option<ReleaseChanges>> {
        let file = self.folder.join(RECORD)?;
        let Some(bytes) = remote::read(session, &file, STATE_BYTES_MAX).await? else {
            return Ok(None);
        };
        let changes = ReleaseChanges::from_json(&bytes, &self.top);
        changes.map(Some).map_err(|fault| fault.at(file.to_string()))
    }

    /// Returns what was deployed before; empty if nothing was.
    pub(super) async fn state(&self, session: &mut impl RemoteFs) -> Result<SyncBase> {
        let file = self.folder.join(STATE)?;
        let Some(bytes) = remote::read(session, &file, STATE_BYTES_MAX).await? else {
            return Ok(SyncBase::new());
        };
        read_state(&bytes, &self.top).map_err(|_| {
            let message = "the state of this release is damaged";
            Error::new(ErrorKind::Invalid, Origin::Server, message).at(file.to_string())
        })
    }

    /// Removes the release.
    pub(super) async fn remove(&self, session: &mut impl RemoteFs) -> Result<()> {
        remote::remove_tree(session, &self.folder).await
    }
}

/// Returns the releases of the directory `top`, the oldest first.
pub(super) async fn all(session: &mut impl RemoteFs, top: &RemotePath) -> Result<Vec<Release>> {
    let mut found = Vec::new();
    for home in home_beside(top)?.into_iter().chain([home_inside(top)?]) {
        let releases = home.join(RELEASES)?;
        for name in remote::folders(session, &releases).await? {
            let Ok(id) = String::from_utf8(name) else { continue };
            let folder = releases.join(id.as_bytes())?;
            found.push(Release { id, top: top.clone(), folder });
        }
    }
    found.sort_by(|one, other| order(&one.id).cmp(&order(&other.id)));
    Ok(found)
}

/// Returns what orders releases by time: the time, and the number of several in one second.
fn order(id: &str) -> (&str, u64) {
    let (time, number) = id.split_once('-').unwrap_or((id, "1"));
    (time, number.parse().unwrap_or(u64::MAX))
}

/// Removes all but the last `keep` releases of the directory `top`. What cannot be removed stays until the next time.
pub(super) async fn prune(
    session: &mut impl RemoteFs,
    top: &RemotePath,
    keep: usize,
) -> Result<()> {
    let all = all(session, top).await?;
    let old = all.len().saturating_sub(keep);
    for release in all.iter().take(old) {
        match release.remove(session).await {
            Err(fault) if fault.kind == ErrorKind::Interrupted => return Err(fault),
            Err(fault) => {
                let text = format!("the old release {} stays: {fault}", release.id);
                session.observer().message(MessageLevel::Info, text);
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Makes the directory that holds the releases of the directory `top`, beside it if the server allows that.
async fn home(session: &mut impl RemoteFs, top: &RemotePath) -> Result<RemotePath> {
    if let Some(beside) = home_beside(top)? {
        match session.mkdir(&beside).await {
            Err(fault) if remote::is_plain(&fault) => {}
            made => {
                protect(session, &beside, made?).await?;
                return Ok(beside);
            }
        }
    }
    let inside = home_inside(top)?;
    let is_new = session.mkdir(&inside).await?;
    protect(session, &inside, is_new).await?;
    Ok(inside)
}

/// Keeps others out of the new directory `path`, as far as the server does that.
async fn protect(session: &mut impl RemoteFs, path: &RemotePath, is_new: bool) -> Result<()> {
    if is_new {
        let set = session.set_modes(&[(path.clone(), HOME_MODE)]).await?;
        if let Some(Err(fault)) = set.into_iter().next() {
            let text = format!("{path} has the permissions that the server gave it: {fault}");
            session.observer().message_once(MessageLevel::Info, text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelativePath {
        RelativePath::parse(text).unwrap()
    }

    #[test]
    fn a_record_is_read_again_and_one_that_leads_out_is_not_believed() {
        let top = RemotePath::parse("/htdocs").unwrap();
        let changes = ReleaseChanges {
            added: vec![(path("a b%"), Some(3))],
            replaced: vec![path("index.html")],
            deleted: vec![path("old/x")],
            folders: vec![path("new")],
        };
        let bytes = changes.to_json(&top);
        assert_eq!(ReleaseChanges::from_json(&bytes, &top).unwrap(), changes);
        let other = RemotePath::parse("/other").unwrap();
        assert!(ReleaseChanges::from_json(&bytes, &other).is_err());
        let text = String::from_utf8(bytes).unwrap();
        for bad in ["../x", "/etc/passwd", "a%0Ab"] {
            let forged = text.replace("old/x", bad);
            assert!(ReleaseChanges::from_json(forged.as_bytes(), &top).is_err(), "{bad}");
        }
    }

    #[test]
    fn releases_of_one_second_keep_their_order() {
        let mut ids =
            ["20260101T000000Z-10", "20260101T000000Z-2", "20260101T000000Z", "20250101T000000Z"];
        ids.sort_by_key(|id| order(id));
        assert_eq!(
            ids,
            ["20250101T000000Z", "20260101T000000Z", "20260101T000000Z-2", "20260101T000000Z-10"]
        );
    }
}

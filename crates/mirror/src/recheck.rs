//! The final check before anything is deleted: the entries to delete must still be those that were listed and none that
//! this run sent, and names that a server may change must still denote as many files.
//!
//! The check needs no rules about names. If something new has arrived in a directory from which something else is to be
//! deleted, or under several names of which some server may store one as another, the directory is listed again. The
//! files that were sent must be in it, each under its own name or under a new one: otherwise the target has stored two
//! of them as one, or one under the name of an entry to delete, and nothing is deleted at all. An entry to delete must
//! be there under its own name, unchanged: one that is no longer listed may be another name of a file that was sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use super::{
    endpoints::{Direction, place},
    merged::may_be_changed,
    own_files::is_own_name,
    plan::{Action, FileStat, MirrorPlan, Step},
    pool::SessionPool,
    tree::{above, name_of, parent},
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    observe::visible::visible,
};
use portolan_fs::{RootDir, read_folder};
use portolan_remote::{
    entry::{Modified, Precision},
    fs::RemoteFs,
    hints::NextTransfer,
    path::RemotePath,
};

/// The current contents of a directory, by name.
type Now = BTreeMap<Vec<u8>, FileStat>;

/// The result of the final check.
#[derive(Debug, Default)]
pub(super) struct Recheck {
    /// The entries that are not deleted after all, with everything below them.
    kept: BTreeSet<Vec<u8>>,
    /// The reasons why nothing is deleted.
    pub(super) faults: Vec<Error>,
    /// The files that were sent and may have been overwritten.
    pub(super) lost: Vec<Vec<u8>>,
    /// True if the server is known to shorten names.
    shortens: bool,
}

impl Recheck {
    /// Returns true if `step` is still to be done.
    pub(super) fn may_go(&self, step: &Step) -> bool {
        !self.kept.contains(&step.path)
            && !above(&step.path).any(|folder| self.kept.contains(folder))
    }

    fn may_be_changed(&self, step: &Step) -> bool {
        may_be_changed(name_of(&step.path), self.shortens)
    }
}

/// Lists again the directories that got something new and from which something is to be deleted, or in which names may
/// coincide.
pub(super) async fn look(
    crew: &mut SessionPool<'_, impl RemoteFs>,
    plan: &MirrorPlan,
    root: &RootDir,
    arrived: &BTreeSet<&[u8]>,
) -> Result<Recheck> {
    let tops = tops(plan);
    let before_deletes = plan.steps.iter().take_while(|step| !step.act.is_delete());
    let is_new = |step: &&Step| step.is_new() && arrived.contains(&*step.path);
    let mut folders: BTreeMap<&[u8], (Vec<&Step>, Vec<&Step>)> = BTreeMap::new();
    for step in before_deletes.filter(is_new) {
        folders.entry(parent(&step.path)).or_default().0.push(step);
    }
    let mut asked = BTreeSet::new();
    for step in &tops {
        let folder = parent(&step.path);
        if let Some((_, going)) = folders.get_mut(folder) {
            going.push(step);
            asked.insert(folder);
        }
        // A directory above may have got another name, under which everything in it was sent.
        for above in std::iter::once(folder).chain(above(folder)) {
            let come = folders.get(parent(above)).map(|(come, _)| come);
            if come.is_some_and(|come| come.iter().any(|step| step.act == Action::MakeFolder)) {
                asked.insert(parent(above));
            }
        }
    }
    // A single name was checked with the server before it was given.
    let shortens = crew.first().capabilities().shortens_names;
    let mut recheck = Recheck { shortens, ..Recheck::default() };
    let may_be_one =
        |come: &[&Step]| come.len() > 1 && come.iter().any(|step| recheck.may_be_changed(step));
    let is_up = plan.heading.direction == Direction::Up;
    folders.retain(|folder, (come, _)| asked.contains(folder) || is_up && may_be_one(come));
    if folders.is_empty() {
        return Ok(recheck);
    }
    let names: Vec<_> = folders.keys().map(|folder| folder.to_vec()).collect();
    let listed = match plan.heading.direction {
        Direction::Up => there(crew, &plan.heading.remote, &names).await?,
        Direction::Down => names.iter().map(|folder| here(crew, root, folder)).collect(),
    };
    for ((folder, (come, going)), now) in folders.iter().zip(listed) {
        let before = plan.left.listed.get(*folder);
        match now {
            Ok(now) => recheck.judge((come, going), before, &now, plan.heading.direction),
            Err(fault) if fault.kind == ErrorKind::Interrupted => return Err(fault),
            Err(_) if going.is_empty() => {}
            Err(fault) => recheck.faults.push(fault),
        }
    }
    Ok(recheck)
}

/// Returns the deletes of `plan` that are not below another one.
fn tops(plan: &MirrorPlan) -> Vec<&Step> {
    let going: BTreeSet<_> =
        plan.steps.iter().filter(|step| step.act.is_delete()).map(|step| &step.path[..]).collect();
    let is_top = |step: &&Step| {
        step.act.is_delete() && !above(&step.path).any(|folder| going.contains(folder))
    };
    plan.steps.iter().filter(is_top).collect()
}

/// Returns the current listings of `folders` on the server, as far as they are reliable.
pub(super) async fn there(
    crew: &mut SessionPool<'_, impl RemoteFs>,
    top: &RemotePath,
    folders: &[Vec<u8>],
) -> Result<Vec<Result<Now>>> {
    let places: Result<Vec<_>> = folders.iter().map(|folder| place(top, folder)).collect();
    let places = places?;
    let listed = crew.first().list_many(&places, NextTransfer::None).await;
    let listed = listed.into_iter().zip(&places);
    let now = listed.map(|(listing, place)| {
        let listing = listing?;
        if !listing.is_conclusive || listing.refused_count > 0 {
            let message = "its listing is not complete: nothing is deleted in it";
            return Err(Error::protocol(message).at(place.to_string()));
        }
        let stamp = |size, modified| FileStat { size, modified };
        let entries = listing.entries.into_iter();
        // One that has no local name is none that is deleted.
        let name = |name: Vec<u8>| top.encoding().decode(&name).unwrap_or(name);
        Ok(entries.map(|entry| (name(entry.name), stamp(entry.size, entry.modified))).collect())
    });
    Ok(now.collect())
}

/// Returns the current contents of a local directory.
fn here(crew: &mut SessionPool<'_, impl RemoteFs>, root: &RootDir, folder: &[u8]) -> Result<Now> {
    let stop = crew.first().stop().clone();
    let entries = read_folder(root, Path::new(OsStr::from_bytes(folder)), &stop)?;
    let now = entries.into_iter().map(|entry| {
        let name = entry.path.file_name().unwrap_or_default().as_bytes().to_vec();
        let modified = Some(Modified::Utc(entry.modified, Precision::Millisecond));
        (name, FileStat { size: Some(entry.size), modified })
    });
    Ok(now.collect())
}

impl Recheck {
    /// Checks one directory: the steps that have `come` into it and those `going` from it, by its contents `before` and
    /// `now`.
    fn judge(
        &mut self,
        (come, going): (&[&Step], &[&Step]),
        before: Option<&BTreeSet<Vec<u8>>>,
        now: &Now,
        direction: Direction,
    ) {
        let (side, place) = match direction {
            Direction::Up => (Origin::Server, "server"),
            Direction::Down => (Origin::Here, "disk"),
        };
        let (found, lost): (Vec<&Step>, Vec<&Step>) =
            come.iter().partition(|step| now.contains_key(name_of(&step.path)));
        let are_renamed = before.is_some_and(|before| are_renamed(&lost, &found, before, now));
        if !lost.is_empty() && !are_renamed {
            // A name that no server changes is missing only from a truncated listing, which proves nothing about the
            // others.
            if going.is_empty() && lost.iter().any(|step| !self.may_be_changed(step)) {
                return;
            }
            for step in lost {
                let message = format!(
                    "the {place} has it under another name than it was given, which may be that of another file: nothing \
                     is deleted"
                );
                self.faults
                    .push(Error::new(ErrorKind::Refused, side, message).at(visible(&step.path)));
                self.lost.push(step.path.clone());
            }
            return;
        }
        for step in going {
            match now.get(name_of(&step.path)) {
                // Already gone, or spelled differently: then it is the file that was sent.
                None => drop(self.kept.insert(step.path.clone())),
                Some(now) if step.act == Action::DeleteFile && has_changed(step, now) => {
                    let message = "it has changed while this run went on: nothing is deleted";
                    let fault = Error::new(ErrorKind::Refused, side, message);
                    self.faults.push(fault.at(visible(&step.path)));
                }
                Some(_) => {}
            }
        }
    }
}

/// Returns true if each of `lost` may be one of the unexplained names in `now`: those that did not exist `before` and
/// are not among the `found`.
fn are_renamed(lost: &[&Step], found: &[&Step], before: &BTreeSet<Vec<u8>>, now: &Now) -> bool {
    let found: BTreeSet<_> = found.iter().map(|step| name_of(&step.path)).collect();
    let is_fresh =
        |name: &[u8]| !before.contains(name) && !found.contains(name) && !is_own_name(name);
    let mut fresh: Vec<_> = now.iter().filter(|(name, _)| is_fresh(name)).collect();
    lost.iter().all(|step| {
        let is_it = |stamp: &FileStat| match (step.act, step.size, stamp.size) {
            (Action::MakeFolder, ..) | (_, None, _) | (.., None) => true,
            (_, Some(sent), Some(size)) => sent == size,
        };
        let at = fresh.iter().position(|(_, stamp)| is_it(stamp));
        at.map(|at| fresh.swap_remove(at)).is_some()
    })
}

/// Returns true if a file to delete is a different one now.
fn has_changed(step: &Step, now: &FileStat) -> bool {
    let Some(before) = step.standing else { return false };
    let sizes = before.size.zip(now.size);
    let times = before.modified.zip(now.modified);
    sizes.is_some_and(|(one, two)| one != two)
        || times.is_some_and(|(one, two)| one.agrees(two) == Some(false))
}

/// Returns the first delete of `plan` that the server does not list: an entry that is deleted on the basis of the state
/// alone must exist under that very name.
pub(super) async fn unlisted(
    crew: &mut SessionPool<'_, impl RemoteFs>,
    plan: &MirrorPlan,
) -> Result<Option<Vec<u8>>> {
    let going = plan.steps.iter().filter(|step| step.act.is_delete());
    let mut folders: BTreeMap<&[u8], Vec<&Step>> = BTreeMap::new();
    for step in going {
        folders.entry(parent(&step.path)).or_default().push(step);
    }
    let names: Vec<_> = folders.keys().map(|folder| folder.to_vec()).collect();
    if names.is_empty() {
        return Ok(None);
    }
    let listed = there(crew, &plan.heading.remote, &names).await?;
    for ((folder, going), now) in folders.iter().zip(listed) {
        let now = match now {
            Ok(now) => now,
            Err(fault) if fault.kind == ErrorKind::Interrupted => return Err(fault),
            Err(_) => return Ok(Some(folder.to_vec())),
        };
        if let Some(step) = going.iter().find(|step| !now.contains_key(name_of(&step.path))) {
            return Ok(Some(step.path.clone()));
        }
    }
    Ok(None)
}

//! Names that the target treats as the same (class C6): `Logo.png` and `logo.png`, `a.` and `a`, `x:y` and `x_y`.
//!
//! A listing shows the names that a side has, but not which names it treats as the same. If the source has a name that
//! the target does not list, and there is evidence that it exists all the same, the target is asked for it by name: a
//! server by a command, a disk by a lookup. No rule decides which names are the same: the answer does. A name that is
//! found to be the same is spelled in the target's tree as in the source; of two names of the source that are the same
//! there, the second is refused, in every run.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ffi::OsStr,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use icu_normalizer::DecomposingNormalizerBorrowed;

use super::{
    batch_query::batches,
    endpoints::{Direction, Endpoints, place},
    merged::{self, UnlistedFiles},
    own_files::FileId,
    plan::Step,
    pool::SessionPool,
    sync_base::SyncBase,
    tree::{Node, NodeKind, ScanResult, Tree, join, name_of, parent},
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    observe::{EventEmitter, MessageLevel, visible::visible},
};
use portolan_fs::{LocalKind, RootDir, SymlinkPolicy, temporary_name};
use portolan_remote::{
    entry::{Modified, Precision},
    facts::PathFacts,
    fs::{Query, RemoteFs},
    path::RemotePath,
    pending::name_taken,
};

/// The maximum number of further rounds for names that may be the same to the server: each name is checked once those
/// before it exist.
const ROUNDS_MAX: usize = 4;

/// A path to ask for, and true if it is asked for as a directory.
type Doubt = (Vec<u8>, bool);

/// An entry that was found at a path that is not listed.
struct FoundAlias {
    answer: PathFacts,
    /// The identity of the entry under any name, on the local disk.
    identity: Option<FileId>,
}

/// Finds entries of the source that the target has under names other than those it lists, and spells them as the source
/// does. If the mirror `deletes`, nothing is deleted that may be such an entry.
pub(super) async fn resolve_aliases(
    crew: &mut SessionPool<'_, impl RemoteFs>,
    source: &mut ScanResult,
    target: &mut ScanResult,
    base: Option<&SyncBase>,
    heading: &Endpoints,
    deletes: bool,
) -> Result<()> {
    let observer = crew.first().observer().clone();
    let mut asked = BTreeSet::new();
    let mut left = BTreeMap::new();
    // Directories that exist but that no listing shows: their contents are unknown.
    let mut unlisted = BTreeSet::new();
    loop {
        let trees = (&source.tree, &target.tree);
        let mut doubts = doubts(trees, base, heading, &unlisted);
        doubts.retain(|(path, _)| !asked.contains(path));
        if doubts.is_empty() {
            break;
        }
        let (found, root) = match heading.direction {
            Direction::Up => {
                let answers = ask(crew.first(), &heading.remote, &doubts).await?;
                let plain = |answer| FoundAlias { answer, identity: None };
                (answers.into_iter().map(|answer| answer.map(plain)).collect::<Vec<_>>(), None)
            }
            Direction::Down => match RootDir::open_with(&heading.local, SymlinkPolicy::Refused) {
                Ok(root) => {
                    (doubts.iter().map(|(path, _)| look(&root, path)).collect(), Some(root))
                }
                // A missing directory has no names.
                Err(_) => return Ok(()),
            },
        };
        let folders = doubts.iter().map(|(path, _)| parent(path)).collect();
        let listed = Listed::all(&target.tree, &folders, root.as_ref());
        let (observer, taken) = (&observer, HashMap::new());
        let mut settling =
            Settling { source, target, heading, deletes, observer, listed, taken, left };
        let mut goes_on = false;
        for ((path, _), found) in doubts.iter().zip(found) {
            let Some(found) = found else { continue };
            let has_moved = settling.take(path, &found);
            let is_unlisted = !has_moved && found.answer.is_folder;
            goes_on |= has_moved || is_unlisted && unlisted.insert(path.clone());
        }
        left = settling.left;
        if !goes_on {
            break;
        }
        asked.extend(doubts.into_iter().map(|(path, _)| path));
    }
    if heading.direction == Direction::Up {
        merged::refuse_merged(crew.first(), source, heading, left).await?;
    }
    Ok(())
}

/// Returns the paths of the source to ask for: those not listed in a directory that the target has, with evidence that
/// they exist.
fn doubts(
    (source, target): (&Tree, &Tree),
    base: Option<&SyncBase>,
    heading: &Endpoints,
    unlisted: &BTreeSet<Vec<u8>>,
) -> Vec<Doubt> {
    let mut missing: BTreeMap<&[u8], Vec<(&[u8], bool)>> = BTreeMap::new();
    for (path, node) in source.nodes() {
        if target.get(path).is_some() || node.kind == NodeKind::Other {
            continue;
        }
        let Some(folder) = target.get(parent(path)).filter(|folder| folder.is_folder()) else {
            continue;
        };
        let is_shown = folder.shows_hidden || !name_of(path).starts_with(b".");
        if is_shown || unlisted.contains(parent(path)) {
            missing.entry(parent(path)).or_default().push((path, node.is_folder()));
        }
    }
    if missing.is_empty() {
        return Vec::new();
    }
    // For each such directory: the likenesses of the target's entries in it, and whether any of these is not in the
    // source.
    let mut known: HashMap<&[u8], (HashSet<u64>, bool)> = HashMap::new();
    for (path, _) in target.nodes() {
        if let Some((folder, _)) = missing.get_key_value(parent(path)) {
            let (likenesses, has_extra) = known.entry(folder).or_default();
            likenesses.insert(likeness(name_of(path)));
            *has_extra |= source.get(path).is_none();
        }
    }
    // A lookup on the local disk costs nothing; a server is asked only if it lists something that may be the entry.
    let looks = heading.direction == Direction::Down;
    let is_doubtful = |folder: &[u8], path: &[u8]| {
        let (likenesses, has_extra) = known.get(folder)?;
        (looks || *has_extra || likenesses.contains(&likeness(name_of(path)))).then_some(())
    };
    let mut doubts = Vec::new();
    for (folder, paths) in &missing {
        for (path, is_folder) in paths {
            let is_hidden = unlisted.contains(*folder);
            if is_hidden || is_doubtful(folder, path).is_some() || was_there(base, path) {
                doubts.push((path.to_vec(), *is_folder));
            }
        }
    }
    doubts
}

/// Returns true if the last run left something at `path` or below it.
fn was_there(base: Option<&SyncBase>, path: &[u8]) -> bool {
    let Some(base) = base else { return false };
    let below = [path, b"/"].concat();
    let from = (std::ops::Bound::Included(&below[..]), std::ops::Bound::Unbounded);
    let is_below =
        || base.range::<[u8], _>(from).next().is_some_and(|(found, _)| found.starts_with(&below));
    base.contains_key(path) || is_below()
}

/// Returns the answer of the server for each of `doubts`; `None` also if it claims to have a name that does not exist.
pub(super) async fn ask(
    session: &mut impl RemoteFs,
    top: &RemotePath,
    doubts: &[Doubt],
) -> Result<Vec<Option<PathFacts>>> {
    let folders: HashMap<_, _> =
        doubts.iter().map(|(path, is_folder)| (&path[..], *is_folder)).collect();
    let paths = doubts.iter().map(|(path, _)| path.clone()).collect();
    let mut answers = Vec::with_capacity(doubts.len());
    for packet in batches(session, Query::Facts, top, paths) {
        // Along with a name that cannot exist.
        let control = packet.first().map(|path| join(parent(path), temporary_name().as_bytes()));
        let asked =
            packet.iter().map(|path| (path, folders.get(&path[..]).copied().unwrap_or(false)));
        let asked = asked.chain(control.iter().map(|path| (path, false)));
        let asked: Result<Vec<_>> =
            asked.map(|(path, is_folder)| Ok((place(top, path)?, is_folder))).collect();
        let mut said = match session.path_facts(&asked?).await {
            Ok(said) => said,
            Err(fault) if matches!(fault.kind, ErrorKind::Protocol | ErrorKind::Refused) => {
                Vec::new()
            }
            Err(fault) => return Err(fault),
        };
        let means_nothing = said.pop().flatten().is_some();
        said.resize(packet.len(), None);
        answers.extend(said.into_iter().map(|answer| answer.filter(|_| !means_nothing)));
    }
    Ok(answers)
}

/// Returns the entry of the local disk at `path`.
fn look(root: &RootDir, path: &[u8]) -> Option<FoundAlias> {
    let found = root.metadata(Path::new(OsStr::from_bytes(path))).ok()?;
    let is_folder = found.kind == LocalKind::Folder;
    let modified = Some(Modified::Utc(found.modified, Precision::Millisecond));
    let answer = PathFacts { is_folder, size: Some(found.size).filter(|_| !is_folder), modified };
    Some(FoundAlias { answer, identity: Some(found.identity) })
}

/// The entries that a directory of the target lists.
#[derive(Default)]
struct Listed {
    all: Vec<Vec<u8>>,
    by_likeness: HashMap<u64, Vec<Vec<u8>>>,
    by_identity: HashMap<FileId, Vec<Vec<u8>>>,
}

impl Listed {
    /// Returns the entries that each of `folders` lists; with their identities on the local disk.
    fn all(
        tree: &Tree,
        folders: &BTreeSet<&[u8]>,
        root: Option<&RootDir>,
    ) -> HashMap<Vec<u8>, Self> {
        let mut all: HashMap<Vec<u8>, Self> = HashMap::new();
        for (path, _) in tree.nodes().filter(|(path, _)| folders.contains(parent(path))) {
            let listed = all.entry(parent(path).to_vec()).or_default();
            listed.by_likeness.entry(likeness(name_of(path))).or_default().push(path.to_vec());
            if let Some(identity) = root.and_then(|root| look(root, path)?.identity) {
                listed.by_identity.entry(identity).or_default().push(path.to_vec());
            }
            listed.all.push(path.to_vec());
        }
        all
    }
}

/// The state of the search for names of the source in the target.
struct Settling<'a> {
    source: &'a mut ScanResult,
    target: &'a mut ScanResult,
    heading: &'a Endpoints,
    /// True if entries of the target may be deleted.
    deletes: bool,
    observer: &'a EventEmitter,
    listed: HashMap<Vec<u8>, Listed>,
    /// The names of the target that were matched to a name of the source, with that name.
    taken: HashMap<Vec<u8>, Vec<u8>>,
    /// The entries that exist under unknown listed names, by directory.
    left: BTreeMap<Vec<u8>, UnlistedFiles>,
}

impl Settling<'_> {
    /// Records that the target has `path`, which it does not list. Returns true if an entry of the tree was respelled
    /// for it.
    fn take(&mut self, path: &[u8], found: &FoundAlias) -> bool {
        // It was removed with its directory, or has been found.
        if self.source.tree.get(path).is_none() || self.target.tree.get(path).is_some() {
            return false;
        }
        let candidates = self.candidates(path, found);
        let [(listed, kind)] = &candidates[..] else {
            self.leave(path, found);
            return false;
        };
        if *kind == NodeKind::Other {
            self.target.tree.set(path.to_vec(), Node::of(NodeKind::Other));
            return false;
        }
        let other = self.taken.get(listed).cloned();
        let other = other.or_else(|| self.source.tree.get(listed).map(|_| listed.clone()));
        if let Some(other) = other {
            self.refuse(path, &other);
            return false;
        }
        let text = format!("{}: the target has it as {}", visible(path), visible(listed));
        self.observer.message(MessageLevel::Info, text);
        self.target.tree.move_to(listed, path);
        self.taken.insert(listed.clone(), path.to_vec());
        true
    }

    /// Returns the listed names that `path` may have: by identity on a disk; on a server by likeness, else by size and
    /// time.
    fn candidates(&self, path: &[u8], found: &FoundAlias) -> Vec<(Vec<u8>, NodeKind)> {
        let Some(listed) = self.listed.get(parent(path)) else { return Vec::new() };
        if let Some(identity) = found.identity {
            return self.nodes(listed.by_identity.get(&identity), |_| true);
        }
        let is_kind = |node: &Node| {
            node.kind == NodeKind::Other || node.is_folder() == found.answer.is_folder
        };
        let is_same = |node: &Node| {
            let sizes = node.size.zip(found.answer.size);
            let times = node.modified.zip(found.answer.modified);
            is_kind(node)
                && sizes.is_some_and(|(one, two)| one == two)
                && times.is_none_or(|(one, two)| one.agrees(two) != Some(false))
        };
        let alike = listed.by_likeness.get(&likeness(name_of(path)));
        let both = self.nodes(alike, is_same);
        let alike = self.nodes(alike, is_kind);
        match alike.len() {
            0 => self.nodes(Some(&listed.all), is_same),
            1 => alike,
            _ if both.is_empty() => alike,
            _ => both,
        }
    }

    /// Returns those of the listed names `paths` whose nodes match, wherever they are in the tree now.
    fn nodes(
        &self,
        paths: Option<&Vec<Vec<u8>>>,
        is_it: impl Fn(&Node) -> bool,
    ) -> Vec<(Vec<u8>, NodeKind)> {
        let node =
            |path: &Vec<u8>| self.target.tree.get(self.taken.get(path).unwrap_or(path)).copied();
        let nodes = paths.into_iter().flatten().filter_map(|path| Some((path, node(path)?)));
        nodes
            .filter(|(_, node)| is_it(node))
            .map(|(path, node)| (path.clone(), node.kind))
            .collect()
    }

    /// Leaves open under which name the target lists `path`: it is compared by the answer, and every candidate is kept.
    fn leave(&mut self, path: &[u8], found: &FoundAlias) {
        let PathFacts { is_folder, size, modified } = found.answer;
        let node =
            if is_folder { Node::of(NodeKind::Folder) } else { Node::file(size, modified, None) };
        self.target.tree.set(path.to_vec(), node);
        let folder = parent(path);
        let extra = self.target.tree.below(folder).filter(|(other, node)| {
            parent(other) == folder
                && (node.is_folder() == is_folder || node.kind == NodeKind::Other)
                && self.source.tree.get(other).is_none()
        });
        let extra: Vec<_> = extra.map(|(other, _)| other.to_vec()).collect();
        let left = self.left.entry(folder.to_vec()).or_default();
        left.paths.push(path.to_vec());
        left.names.clone_from(&extra);
        if !self.deletes {
            return;
        }
        if extra.is_empty() {
            return;
        }
        for other in &extra {
            self.target.tree.cut(other);
            self.target.tree.set(other.clone(), Node::of(NodeKind::Other));
        }
        let message = "it is there though its folder does not list it, so one of the names listed may be its own: none is \
                       deleted";
        self.target
            .faults
            .push(Error::new(ErrorKind::Refused, self.side(), message).at(visible(path)));
    }

    /// Leaves out `path` of the source, since the target treats it as `other`.
    fn refuse(&mut self, path: &[u8], other: &[u8]) {
        self.source.faults.push(is_one_with(self.side(), other).at(visible(path)));
        self.source.tree.cut(path);
        self.source.tree.set(path.to_vec(), Node::of(NodeKind::Other));
    }

    const fn side(&self) -> Origin {
        match self.heading.direction {
            Direction::Up => Origin::Server,
            Direction::Down => Origin::Here,
        }
    }
}

/// Returns the fault for a name that is another one in the target.
fn is_one_with(side: Origin, other: &[u8]) -> Error {
    let place = if side == Origin::Server { "server" } else { "disk" };
    let message = format!(
        "on this {place} its name is that of `{}`: only that one is kept there",
        visible(other)
    );
    Error::new(ErrorKind::Refused, side, message)
}

/// Returns the fault for a name that already exists when its turn comes, though the target did not list it.
pub(super) fn is_taken(direction: Direction) -> Error {
    if direction == Direction::Up {
        return name_taken();
    }
    let message = "the disk has it already, though it did not list it, so its name is that of another file there: it is left out";
    Error::new(ErrorKind::Refused, Origin::Here, message)
}

/// Returns a number that is equal for names which some server or disk may treat as the same: those with the same
/// letters and digits, whatever their case, accents and other characters. Names that share it are checked; it decides
/// nothing else.
pub(super) fn likeness(path: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    match std::str::from_utf8(path) {
        Ok(text) if text.is_ascii() => {
            let kept = path.iter().filter(|byte| byte.is_ascii_alphanumeric() || **byte == b'/');
            kept.for_each(|byte| u32::from(byte.to_ascii_lowercase()).hash(&mut hasher));
        }
        Ok(text) => {
            // Uppercase first: some letters have two lowercase forms and one uppercase form.
            let plain = DecomposingNormalizerBorrowed::new_nfkd().normalize(text).to_uppercase();
            let kept = plain.chars().flat_map(char::to_lowercase);
            let kept = kept.filter(|c| c.is_alphanumeric() || *c == '/');
            kept.for_each(|c| u32::from(c).hash(&mut hasher));
        }
        Err(_) => path.to_ascii_lowercase().hash(&mut hasher),
    }
    hasher.finish()
}

/// Splits transfers and new directories into successive rounds, so that names which the target may treat as the same
/// are in different rounds: all are in the first round but those that resemble an earlier one.
pub(super) fn rounds<'p, T>(steps: Vec<T>, step: impl Fn(&T) -> &'p Step) -> Vec<Vec<T>> {
    let mut seen: HashMap<u64, usize> = HashMap::with_capacity(steps.len());
    let mut rounds: Vec<Vec<T>> = vec![Vec::new()];
    for one in steps {
        let rank = if step(&one).is_new() {
            let before = seen.entry(likeness(&step(&one).path)).or_insert(0);
            *before += 1;
            (*before - 1).min(ROUNDS_MAX)
        } else {
            0
        };
        if rounds.len() <= rank {
            rounds.resize_with(rank + 1, Vec::new);
        }
        if let Some(round) = rounds.get_mut(rank) {
            round.push(one);
        }
    }
    rounds
}

#[cfg(test)]
mod tests;

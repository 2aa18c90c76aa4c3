//! Scans: the tree below a directory of a server or of the local host, as a value.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use super::{
    endpoints::{Direction, place},
    filter::{Filter, FilterDecision},
    own_files::CLAIM_FOLDER,
    pool::{JobQueue, QueueHandle, SessionPool},
    stale_temps::StaleTemps,
    tree::{Node, NodeKind, ScanResult, Why, depth, join},
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{DEPTH_MAX, EXPECTED_ENTRIES_MAX, FOLDERS_AT_ONCE_MIN, PARALLEL_MAX},
    observe::visible::visible,
};
use portolan_fs::{LocalEntry, LocalKind, RootDir, Stray, is_temporary};
use portolan_remote::{
    entry::{Entry, EntryKind, Modified, Precision},
    fs::{Query, ROUND_TRIP_COST, RemoteFs},
    hints::NextTransfer,
    listing::DirectoryListing,
    path::{NameEncoding, RelativePath, RemotePath, component},
};

/// The side of a mirror that a directory is on. A source must exist; a target is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The side that is copied.
    Source,
    /// The side that is made like the source.
    Target,
}

/// The options of a scan of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct How<'a> {
    /// The owner tag by which files of killed runs are recognized.
    pub(super) leftovers: &'a StaleTemps,
    /// True if links of a source are followed.
    pub(super) follow_links: bool,
    /// The number of sessions that may soon have something to do; see [`expected`].
    pub(super) expected: usize,
}

/// Scans the directory `top` of the server.
pub(super) async fn remote<R: RemoteFs>(
    crew: &mut SessionPool<'_, R>,
    top: &RemotePath,
    filter: &Filter,
    role: Role,
    how: How<'_>,
) -> Result<ScanResult> {
    let How { leftovers, follow_links, expected } = how;
    let at_once = Cell::new(false);
    // Nothing in a target is done through a link.
    let follows = follow_links && role == Role::Source;
    let mut scan =
        RemoteScan { follows, expected, ..RemoteScan::new(top, filter, role, leftovers, &at_once) };
    let list = async |session: &mut R, folder: Vec<u8>, feed: QueueHandle<'_, '_, _>| {
        let (mut ends, mut folders, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let (mut next, mut room) = (Some(folder), ROUND_TRIP_COST);
        // As many directories as fit into one packet, if the server is asked for several at once.
        while let Some(folder) = next {
            match place(top, &folder) {
                Ok(place) => {
                    room = room.saturating_sub(session.cost(Query::Listing, &place));
                    places.push(place);
                    folders.push(folder);
                }
                Err(fault) => ends.push((folder, Err(fault))),
            }
            next = if session.capabilities().lists_many && room > 0 { feed.next() } else { None };
        }
        let listed = session.list_many(&places, NextTransfer::likely(feed.goes_on())).await;
        at_once.set(session.capabilities().lists_many);
        ends.extend(folders.into_iter().zip(listed));
        ends
    };
    scan.waiting.push(Vec::new());
    loop {
        crew.run(&mut scan, list).await?;
        if scan.links.is_empty() {
            return Ok(scan.survey);
        }
        scan.follow(crew.first()).await?;
    }
}

/// A scan of a server in progress.
pub(super) struct RemoteScan<'a> {
    pub(super) top: &'a RemotePath,
    pub(super) filter: &'a Filter,
    role: Role,
    leftovers: &'a StaleTemps,
    follows: bool,
    /// The links to follow, with their targets according to the listing.
    pub(super) links: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The directories that followed links lead to, by the paths of the links.
    pub(super) followed: BTreeMap<Vec<u8>, Option<RemotePath>>,
    pub(super) survey: ScanResult,
    /// The directories to list. The last one found is listed first: an endless tree then ends at the depth limit after
    /// as many listings, and not at the entry limit after a million (S11).
    waiting: Vec<Vec<u8>>,
    /// The number of directories that are likely to be queued soon: sessions for them can be opened while the top is
    /// listed.
    expected: usize,
    /// True if the server is asked for many directories in one packet.
    at_once: &'a Cell<bool>,
}

/// Returns the number of sessions that may soon have something to do, judged by the local directory `top`: if it is
/// empty, all that the server has is to be fetched into it; otherwise about as many directories are to be listed as
/// there are locally. If it cannot be read, it counts as empty: the scan reports the reason.
pub(super) fn expected(top: &Path, direction: Direction) -> usize {
    let is_first = direction == Direction::Down;
    let Ok(entries) = std::fs::read_dir(top) else {
        return if is_first { usize::from(PARALLEL_MAX) } else { 0 };
    };
    let mut entries = entries.take(EXPECTED_ENTRIES_MAX).flatten().peekable();
    if is_first && entries.peek().is_none() {
        return usize::from(PARALLEL_MAX);
    }
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).count()
}

impl<'a> RemoteScan<'a> {
    fn new(
        top: &'a RemotePath,
        filter: &'a Filter,
        role: Role,
        leftovers: &'a StaleTemps,
        at_once: &'a Cell<bool>,
    ) -> Self {
        Self {
            top,
            filter,
            role,
            leftovers,
            follows: false,
            links: Vec::new(),
            followed: BTreeMap::new(),
            survey: ScanResult::default(),
            waiting: Vec::new(),
            expected: 0,
            at_once,
        }
    }

    fn shown(&self, path: &[u8]) -> String {
        place(self.top, path).map_or_else(|_| visible(path), |place| place.to_string())
    }

    fn take(&mut self, folder: &[u8], listing: DirectoryListing) -> Result<()> {
        if folder.is_empty() {
            self.survey.tree.set(Vec::new(), Node::of(NodeKind::Folder));
        }
        self.survey.tree.set_listed(folder, listing.is_conclusive, listing.shows_hidden);
        if listing.refused_count > 0 {
            self.survey.faults.push(incomplete(&listing).at(self.shown(folder)));
        }
        let encoding = self.top.encoding();
        let mut entries = Vec::with_capacity(listing.entries.len());
        for entry in listing.entries {
            match encoding.decode(&entry.name) {
                Ok(name) => entries.push(Entry { name, ..entry }),
                Err(fault) => self.refuse(join(folder, &entry.name), fault)?,
            }
        }
        let twice = twice(&entries);
        for entry in entries {
            let path = join(folder, &entry.name);
            if twice.contains(&entry.name) {
                self.survey.leave_out(path, Why::Twice)?;
            } else {
                self.add(path, &entry)?;
            }
        }
        Ok(())
    }

    /// Leaves alone an entry whose name has no local one; in a source it is a failure.
    fn refuse(&mut self, path: Vec<u8>, fault: Error) -> Result<()> {
        if self.role == Role::Source {
            self.survey.faults.push(fault);
        }
        self.survey.tree.add(path, Node::of(NodeKind::Other)).map(drop)
    }

    pub(super) fn add(&mut self, path: Vec<u8>, entry: &Entry) -> Result<()> {
        let is_folder = entry.kind == EntryKind::Dir;
        self.survey.is_claimed |= is_folder && path == CLAIM_FOLDER;
        let is_ours = !is_folder && is_temporary(OsStr::from_bytes(&entry.name));
        let is_stale = entry.kind == EntryKind::File
            && (self.leftovers.is_stale(&entry.name)
                || self.leftovers.is_recorded(self.top, &path));
        if is_stale && self.role == Role::Target {
            self.survey.leftovers.push(path);
            return Ok(());
        }
        let is_set_aside =
            entry.kind == EntryKind::File && self.leftovers.is_set_aside(&entry.name);
        if is_set_aside && self.role == Role::Target {
            let node = Node::file(entry.size, entry.modified, entry.mode);
            self.survey.asides.push((path, node));
            return Ok(());
        }
        if self.follows && entry.kind == EntryKind::Link {
            // The target of the link decides whether it takes part.
            self.links.push((path, entry.target.clone()));
            return Ok(());
        }
        let part = if is_ours { FilterDecision::Out } else { self.filter.part(&path, is_folder) };
        match (part, entry.kind) {
            (FilterDecision::Out, _) => self.survey.tree.keep_folder_of(&path),
            (_, EntryKind::Link) => self.survey.leave_out(path, Why::Link)?,
            (_, EntryKind::Other) => self.survey.leave_out(path, Why::Device)?,
            (_, EntryKind::File) => {
                let node = Node::file(entry.size, entry.modified, entry.mode);
                self.survey.tree.add(path, node)?;
            }
            (part, EntryKind::Dir) => self.add_folder(path, part)?,
        }
        Ok(())
    }

    pub(super) fn add_folder(&mut self, path: Vec<u8>, part: FilterDecision) -> Result<()> {
        if depth(&path) > DEPTH_MAX {
            let message = format!("more than {DEPTH_MAX} folders below one another");
            let fault = Error::new(ErrorKind::Guard, Origin::Server, message);
            return Err(fault.at(self.shown(&path)));
        }
        self.survey.tree.add(path.clone(), folder(part))?;
        self.waiting.push(path);
        Ok(())
    }
}

impl JobQueue for RemoteScan<'_> {
    type Job = Vec<u8>;
    type Found = DirectoryListing;

    fn next(&mut self) -> Option<Vec<u8>> {
        self.waiting.pop()
    }

    fn waiting(&self) -> usize {
        let turns = if self.at_once.get() { FOLDERS_AT_ONCE_MIN } else { 1 };
        self.waiting.len().div_ceil(turns).max(self.expected)
    }

    fn give_back(&mut self, folder: Vec<u8>) {
        self.waiting.push(folder);
    }

    fn done(&mut self, folder: Vec<u8>, result: Result<DirectoryListing>) -> Result<()> {
        self.expected = 0;
        let fault = match result {
            Ok(listing) => return self.take(&folder, listing),
            Err(fault) => fault,
        };
        let is_top = folder.is_empty();
        match (fault.kind, self.role) {
            (ErrorKind::NotFound, Role::Target) if is_top => Ok(()),
            // A directory that accepts files but shows none, as servers have for deliveries.
            (ErrorKind::Refused, Role::Target) if is_top => {
                self.survey.faults.push(fault);
                Ok(())
            }
            _ if is_top => Err(fault),
            // These concern one directory; any other fault concerns all of them.
            (
                ErrorKind::Refused
                | ErrorKind::NotFound
                | ErrorKind::Busy
                | ErrorKind::Protocol
                | ErrorKind::Invalid,
                _,
            ) => {
                self.survey.faults.push(fault);
                Ok(())
            }
            _ => Err(fault),
        }
    }
}

const fn folder(part: FilterDecision) -> Node {
    Node::of(match part {
        FilterDecision::In => NodeKind::Folder,
        FilterDecision::Way | FilterDecision::Out => NodeKind::Way,
    })
}

/// Returns the names that occur more than once in a listing.
fn twice(entries: &[Entry]) -> BTreeSet<Vec<u8>> {
    let mut names: Vec<_> = entries.iter().map(|entry| &entry.name).collect();
    names.sort_unstable();
    let pairs = names.iter().zip(names.iter().skip(1));
    pairs.filter(|(one, two)| one == two).map(|(name, _)| (*name).clone()).collect()
}

fn incomplete(listing: &DirectoryListing) -> Error {
    let count = listing.refused_count;
    let first = listing.complaint.as_ref().map(|complaint| format!(": {complaint}"));
    let lines = if count == 1 { "line" } else { "lines" };
    let message = format!(
        "its listing has {count} {lines} that could not be taken{}",
        first.unwrap_or_default()
    );
    Error::protocol(message)
}

impl ScanResult {
    /// Leaves out the names that cannot be written in `encoding`, the encoding of the server's names.
    pub(super) fn keep_to(&mut self, encoding: NameEncoding, role: Role) {
        if encoding == NameEncoding::Same {
            return;
        }
        let refuse =
            |(path, _): (&[u8], &Node)| Some((path.to_vec(), encoding.encode(path).err()?));
        let refused: Vec<_> = self.tree.nodes().filter_map(refuse).collect();
        for (path, fault) in refused {
            // It was removed with its directory.
            if self.tree.get(&path).is_none() {
                continue;
            }
            self.tree.cut(&path);
            self.tree.set(path, Node::of(NodeKind::Other));
            if role == Role::Source {
                self.faults.push(fault);
            }
        }
    }

    pub(super) fn add(
        &mut self,
        entry: &LocalEntry,
        filter: &Filter,
        role: Role,
        root: &RootDir,
    ) -> Result<()> {
        let path = entry.path.as_os_str().as_bytes().to_vec();
        // No command can carry this path, nor one below it: it is neither sent nor, in a target, queried and removed.
        if RelativePath::parse(&path).is_err() {
            let name = entry.path.file_name().unwrap_or_default().as_bytes();
            if role == Role::Source && component(name).is_err() {
                let is_ended = name.iter().any(|byte| matches!(byte, b'\r' | b'\n'));
                let what = if is_ended { "a line end in it" } else { "`..` and a backslash in it" };
                let message = format!("a name with {what} cannot be sent");
                let shown = visible(root.path().join(&entry.path).as_os_str().as_bytes());
                self.faults.push(Error::new(ErrorKind::Invalid, Origin::Here, message).at(shown));
            }
            self.tree.keep_folder_of(&path);
            self.tree.set(path, Node::of(NodeKind::Other));
            return Ok(());
        }
        match entry.kind {
            LocalKind::Link => self.leave_out(path, Why::Link)?,
            LocalKind::Other => self.leave_out(path, Why::Device)?,
            LocalKind::Folder => {
                let mode = Some(entry.mode);
                let node = folder(filter.part(&path, true));
                let node = Node { listed: true, shows_hidden: true, mode, ..node };
                self.tree.add(path, node)?;
            }
            LocalKind::File => {
                let modified = Modified::Utc(entry.modified, Precision::Millisecond);
                let node = Node::file(Some(entry.size), Some(modified), Some(entry.mode));
                self.tree.add(path, node)?;
            }
        }
        Ok(())
    }

    /// Leaves out a link that was to be followed and cannot be. One that leads out of the directory is a failure, since
    /// following was requested.
    pub(super) fn add_stray(
        &mut self,
        entry: &LocalEntry,
        stray: Stray,
        root: &RootDir,
    ) -> Result<()> {
        let path = entry.path.as_os_str().as_bytes().to_vec();
        let why = match stray {
            Stray::Nowhere => Why::Nowhere,
            Stray::Circle => Why::Circle,
            Stray::Out => {
                let message = "this link leads out of the folder, and is not followed there";
                let shown = visible(root.path().join(&entry.path).as_os_str().as_bytes());
                self.faults.push(Error::new(ErrorKind::Refused, Origin::Here, message).at(shown));
                self.tree.add(path, Node::of(NodeKind::Other))?;
                return Ok(());
            }
        };
        self.leave_out(path, why)
    }

    pub(super) fn leave_out(&mut self, path: Vec<u8>, why: Why) -> Result<()> {
        self.tree.add(path.clone(), Node::of(NodeKind::Other))?;
        self.left_out.push((path, why));
        Ok(())
    }
}

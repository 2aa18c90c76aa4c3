//! Trees: the entries below a directory, local or on a server, and the extent to which they are known.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    ops::Bound,
};

use jiff::Timestamp;

use super::server_timezone::Times;
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::ENTRIES_MAX,
    observe::visible::visible,
};
use portolan_remote::entry::Modified;

/// The kind of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A directory that does not take part itself but leads to entries that may: never created for its own sake, never
    /// deleted.
    Way,
    /// A symbolic link, a device, or a name that is listed twice: never followed, sent, deleted or replaced.
    Other,
}

/// One file or folder of a tree.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is another thing that a scan may know or not"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// The kind of the node.
    pub kind: NodeKind,
    /// The size of a file in bytes, if known.
    pub size: Option<u64>,
    /// The modification time, as precisely as it is known.
    pub modified: Option<Modified>,
    /// The permission bits, if known.
    pub mode: Option<u32>,
    /// For a directory: true if entries that the tree does not have are known to be absent.
    pub listed: bool,
    /// For a directory: true if that also holds for names that begin with a dot.
    pub shows_hidden: bool,
    /// For a directory: true if it contains entries that do not take part, so that it cannot be deleted.
    pub holds_more: bool,
    /// For a file: true if its content is known to equal that of its counterpart.
    pub same_content: bool,
}

impl Node {
    /// Returns a file.
    pub const fn file(size: Option<u64>, modified: Option<Modified>, mode: Option<u32>) -> Self {
        Self { size, modified, mode, ..Self::of(NodeKind::File) }
    }

    /// Returns a node of which only the kind matters.
    pub const fn of(kind: NodeKind) -> Self {
        Self {
            kind,
            size: None,
            modified: None,
            mode: None,
            listed: false,
            shows_hidden: false,
            holds_more: false,
            same_content: false,
        }
    }

    /// Returns true if the node is a directory of either kind.
    pub const fn is_folder(&self) -> bool {
        matches!(self.kind, NodeKind::Folder | NodeKind::Way)
    }

    /// Returns true if one of this node and `target` is a file and the other a directory.
    pub(super) const fn clashes_with(&self, target: &Self) -> bool {
        match self.kind {
            NodeKind::File => matches!(target.kind, NodeKind::Folder),
            NodeKind::Folder => matches!(target.kind, NodeKind::File),
            NodeKind::Way | NodeKind::Other => false,
        }
    }

    /// Returns a noun for the node.
    pub(super) const fn as_str(&self) -> &'static str {
        match self.kind {
            NodeKind::File => "a file",
            NodeKind::Folder | NodeKind::Way => "a directory",
            NodeKind::Other => "a link or device",
        }
    }

    /// Compares its time with that of `other`: equal if they differ by less than `unit_ns` or the coarser of both
    /// precisions, whichever is larger. `None` if either is not known in UTC.
    pub fn order(&self, other: &Self, unit_ns: i128) -> Option<Ordering> {
        let (Some(Modified::Utc(one, one_precision)), Some(Modified::Utc(two, two_precision))) =
            (self.modified, other.modified)
        else {
            return None;
        };
        let unit_ns = unit_ns.max(one_precision.max(two_precision).nanoseconds());
        let apart_ns = one.as_nanosecond() - two.as_nanosecond();
        Some(if apart_ns.abs() < unit_ns { Ordering::Equal } else { apart_ns.cmp(&0) })
    }
}

impl Times {
    /// Returns `node`, which is at `path`, with that time.
    pub(super) fn seen(&self, path: &[u8], node: &Node) -> Node {
        Node { modified: self.of(path, node.modified), ..*node }
    }
}

/// The reason why an entry does not take part although no pattern excludes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is a symbolic link.
    Link,
    /// It is a dangling symbolic link.
    Nowhere,
    /// It is a link to a directory that contains it.
    Circle,
    /// It is a device, pipe or socket.
    Device,
    /// It is listed more than once in its folder.
    Twice,
    /// Its size or age is out of bounds, or unknown.
    Bounds,
}

impl Why {
    /// Returns a clause for users.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Link => "is a link, and links are not followed",
            Self::Nowhere => "is a link that leads nowhere",
            Self::Circle => "is a link that leads back to a folder in which it is",
            Self::Device => "is neither a file nor a folder",
            Self::Twice => "is listed twice in its folder",
            Self::Bounds => "is not of a size or age that was asked for",
        }
    }
}

/// The entries below one directory; empty if the directory does not exist or shows no entries. Paths are bytes relative
/// to it, separated by `/`; the directory itself is the empty path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<Vec<u8>, Node>,
}

/// The result of a scan: a tree, and the failures of the scan.
#[derive(Debug, Clone, Default)]
pub struct ScanResult {
    /// The tree.
    pub tree: Tree,
    /// The entries that were left out, with the reasons.
    pub left_out: Vec<(Vec<u8>, Why)>,
    /// The entries that were left out by a pattern that the user has not written.
    pub by_default: Vec<Vec<u8>>,
    /// The failures: directories that could not be read completely, and names that were refused.
    pub faults: Vec<Error>,
    /// The temporary files left by runs that are over.
    pub leftovers: Vec<Vec<u8>>,
    /// The information about times beyond those in the tree.
    pub times: Times,
    /// The paths of portolan's own files, which are excluded on the other side as well.
    pub own: Vec<Vec<u8>>,
    /// Of a target: the files that may be as a run that is over left them, so that differences in them do not count as
    /// changes by others.
    pub ours: BTreeSet<Vec<u8>>,
    /// The old files that such a run set aside and that have not got their names back.
    pub asides: Vec<(Vec<u8>, Node)>,
    /// True if another run has a claim on the directory.
    pub is_claimed: bool,
}

impl ScanResult {
    /// Returns true if `path` is known to be absent. A directory that accepts files but shows none may contain it, and
    /// so may one whose listing was truncated or omits names that begin with a dot.
    pub(super) fn is_seen_missing(&self, path: &[u8]) -> bool {
        let mut name = path;
        loop {
            let folder = parent(name);
            let last = name.get(folder.len()..).unwrap_or_default();
            let is_hidden = last.strip_prefix(b"/").unwrap_or(last).starts_with(b".");
            match self.tree.get(folder) {
                Some(node) => return node.listed && (node.shows_hidden || !is_hidden),
                // The top does not exist, rather than being unlisted.
                None if folder.is_empty() => return self.faults.is_empty(),
                None => name = folder,
            }
        }
    }
}

impl Tree {
    /// Returns the tree of an empty directory; that of a missing one is the default.
    pub fn empty() -> Self {
        let top = Node { listed: true, shows_hidden: true, ..Node::of(NodeKind::Folder) };
        Self { nodes: BTreeMap::from([(Vec::new(), top)]) }
    }

    /// Returns the node at `path`.
    pub fn get(&self, path: &[u8]) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Returns every node but the directory itself, directories before their contents.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = (&[u8], &Node)> {
        self.nodes.iter().filter(|(path, _)| !path.is_empty()).map(|(path, node)| (&path[..], node))
    }

    /// Marks the content of the file `path` as equal to that of its counterpart.
    pub fn set_same_content(&mut self, path: &[u8]) {
        if let Some(node) = self.nodes.get_mut(path) {
            node.same_content = true;
        }
    }

    /// Returns the number of files.
    pub fn files(&self) -> usize {
        self.nodes.values().filter(|node| node.kind == NodeKind::File).count()
    }

    /// Adds `node` at `path`. A second node of the same name turns both into one that is left alone, since it is
    /// unknown which of them the name would address (class C3, a link and a folder of one name). Returns false in that
    /// case.
    pub fn add(&mut self, path: Vec<u8>, node: Node) -> Result<bool> {
        if self.nodes.len() > ENTRIES_MAX {
            let message = format!("more than {ENTRIES_MAX} files and folders");
            return Err(Error::new(ErrorKind::Guard, Origin::Here, message).at(visible(&path)));
        }
        Ok(match self.nodes.entry(path) {
            Entry::Vacant(place) => {
                place.insert(node);
                true
            }
            Entry::Occupied(mut place) => {
                place.insert(Node::of(NodeKind::Other));
                false
            }
        })
    }

    /// Sets the node at `path`, replacing any other.
    pub fn set(&mut self, path: Vec<u8>, node: Node) {
        self.nodes.insert(path, node);
    }

    /// Removes the node at `path`.
    pub fn remove(&mut self, path: &[u8]) -> Option<Node> {
        self.nodes.remove(path)
    }

    /// Returns every node below the directory `path`.
    pub fn below(&self, path: &[u8]) -> impl Iterator<Item = (&[u8], &Node)> {
        let start = if path.is_empty() { Vec::new() } else { join(path, b"") };
        let range = (Bound::Excluded(&start[..]), Bound::Unbounded);
        let nodes = self.nodes.range::<[u8], _>(range);
        nodes
            .take_while(move |(path, _)| path.starts_with(&start))
            .map(|(path, node)| (&path[..], node))
    }

    /// Removes the node at `path`, with all below it.
    pub fn cut(&mut self, path: &[u8]) {
        let gone: Vec<_> = self.below(path).map(|(path, _)| path.to_vec()).collect();
        for path in gone {
            self.nodes.remove(&path);
        }
        self.nodes.remove(path);
    }

    /// Moves the node at `from` to `to`, with all below it.
    pub fn move_to(&mut self, from: &[u8], to: &[u8]) {
        let mut moved: Vec<_> =
            self.below(from).map(|(path, node)| (path.to_vec(), *node)).collect();
        moved.extend(self.get(from).map(|node| (from.to_vec(), *node)));
        self.cut(from);
        for (path, node) in moved {
            let rest = path.get(from.len()..).unwrap_or_default();
            self.nodes.insert([to, rest].concat(), node);
        }
    }

    /// Sets whether all entries of the directory `path` are known, and whether that includes those whose names begin
    /// with a dot.
    pub fn set_listed(&mut self, path: &[u8], listed: bool, shows_hidden: bool) {
        if let Some(node) = self.nodes.get_mut(path) {
            (node.listed, node.shows_hidden) = (listed, shows_hidden);
        }
    }

    /// Marks the parent directory of `path` as containing an entry that does not take part.
    pub fn keep_folder_of(&mut self, path: &[u8]) {
        if let Some(node) = self.nodes.get_mut(parent(path)) {
            node.holds_more = true;
        }
    }
}

/// Returns the time of a node if it is known in UTC.
pub(super) fn utc(node: &Node) -> Option<Timestamp> {
    match node.modified {
        Some(Modified::Utc(time, _)) => Some(time),
        _ => None,
    }
}

/// Returns the parent directory of `path`.
pub(super) fn parent(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    path.get(..end).unwrap_or_default()
}

/// Returns the last name of `path`; empty for the top itself.
pub(super) fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// Returns every directory above `path`, the nearest first, without the top.
pub(super) fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(parent(path)), |path| Some(parent(path)))
        .take_while(|path| !path.is_empty())
}

/// Returns the number of names in `path`; 0 for the top itself.
pub(super) fn depth(path: &[u8]) -> usize {
    if path.is_empty() { 0 } else { path.split(|byte| *byte == b'/').count() }
}

/// Returns the path of the entry `name` in the directory `path`.
pub(super) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

//! Trees: what stands below a folder, here or on a server, and how far that is known.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    ops::Bound,
};

use jiff::Timestamp;

use super::zone::Times;
use crate::{
    fault::{Fault, Kind, Outcome, Side},
    ftp::listing::Modified,
    limits::ENTRIES_MAX,
    observe::visible::visible,
};

/// What sort of thing a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A folder that takes no part itself, but is on the way to what may: never made for its own sake, never deleted.
    Way,
    /// A link, a device, or a name that is listed twice: never followed, sent or deleted, and nothing takes its place.
    Other,
}

/// One file or folder of a tree.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is another thing that a scan may know or not"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Bytes of a file, where they are known.
    pub size: Option<u64>,
    /// When it was changed, as well as that is known.
    pub modified: Option<Modified>,
    /// Permission bits, where they are known.
    pub mode: Option<u32>,
    /// For a folder: whether what the tree does not have in it is known not to be there.
    pub listed: bool,
    /// For a folder: whether that holds for names that begin with a dot as well.
    pub shows_hidden: bool,
    /// For a folder: whether it holds things that take no part, so that it cannot go.
    pub holds_more: bool,
    /// For a file: whether its bytes are known to be those of what it is compared with.
    pub same_content: bool,
}

impl Node {
    /// A file.
    pub const fn file(size: Option<u64>, modified: Option<Modified>, mode: Option<u32>) -> Self {
        Self { size, modified, mode, ..Self::of(NodeKind::File) }
    }

    /// Something of which only the kind matters.
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

    /// Whether it is a folder, of whatever sort.
    pub const fn is_folder(&self) -> bool {
        matches!(self.kind, NodeKind::Folder | NodeKind::Way)
    }

    /// Whether one is a file where the other, of the target, is a folder.
    pub(super) const fn clashes_with(&self, target: &Self) -> bool {
        match self.kind {
            NodeKind::File => matches!(target.kind, NodeKind::Folder),
            NodeKind::Folder => matches!(target.kind, NodeKind::File),
            NodeKind::Way | NodeKind::Other => false,
        }
    }

    /// A noun for it.
    pub(super) const fn word(&self) -> &'static str {
        match self.kind {
            NodeKind::File => "file",
            NodeKind::Folder | NodeKind::Way => "folder",
            NodeKind::Other => "a link or device",
        }
    }

    /// How its time stands to that of `other`: equal when they differ by less than the coarser of both precisions and
    /// than `unit_ns`. Nothing where either is not known in universal time.
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

/// Why something of a tree takes no part, though no pattern says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is a symbolic link.
    Link,
    /// It is a link that leads nowhere.
    Nowhere,
    /// It is a link that leads back to a folder in which it is.
    Circle,
    /// It is a device, pipe or socket.
    Device,
    /// It is listed more than once in its folder.
    Twice,
    /// Its size or age is not one that was asked for, or not known.
    Bounds,
}

impl Why {
    /// A clause for people.
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

/// What stands below one folder; nothing at all, where the folder is not there or shows nothing. Paths are bytes relative to it, parted by `/`; the folder itself is the empty path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<Vec<u8>, Node>,
}

/// A tree as a scan found it, with what went wrong.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// The tree.
    pub tree: Tree,
    /// What was left out of it, and why.
    pub left_out: Vec<(Vec<u8>, Why)>,
    /// Folders that could not be read, or not wholly, and names that were refused.
    pub faults: Vec<Fault>,
    /// Files that runs have left which are over.
    pub leftovers: Vec<Vec<u8>>,
    /// What is known of its times beyond what the tree says.
    pub times: Times,
    /// What is portolan's own, and so not on the other side either.
    pub own: Vec<Vec<u8>>,
    /// Of a target: files that may be as a run left them which is over, so that no difference in them is a change that
    /// somebody made.
    pub ours: BTreeSet<Vec<u8>>,
    /// Old files that such a run put aside and that have not got their names back.
    pub asides: Vec<(Vec<u8>, Node)>,
    /// Whether another run has a claim on it.
    pub is_claimed: bool,
}

impl Survey {
    /// Whether `path` is seen not to be there: a folder that takes files and shows none may have it, and so may one whose
    /// listing was cut, or leaves out names that begin with a dot.
    pub(super) fn is_seen_missing(&self, path: &[u8]) -> bool {
        let mut name = path;
        loop {
            let folder = parent(name);
            let last = name.get(folder.len()..).unwrap_or_default();
            let is_hidden = last.strip_prefix(b"/").unwrap_or(last).starts_with(b".");
            match self.tree.get(folder) {
                Some(node) => return node.listed && (node.shows_hidden || !is_hidden),
                // A folder that is not there, and not one that is not shown.
                None if folder.is_empty() => return self.faults.is_empty(),
                None => name = folder,
            }
        }
    }
}

impl Tree {
    /// The tree of an empty folder; that of one that is not there is the default.
    pub fn empty() -> Self {
        let top = Node { listed: true, shows_hidden: true, ..Node::of(NodeKind::Folder) };
        Self { nodes: BTreeMap::from([(Vec::new(), top)]) }
    }

    /// What stands at `path`.
    pub fn get(&self, path: &[u8]) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Every node but the folder itself, folders before what is in them.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = (&[u8], &Node)> {
        self.nodes.iter().filter(|(path, _)| !path.is_empty()).map(|(path, node)| (&path[..], node))
    }

    /// Says that the bytes of the file `path` are those of what it is compared with.
    pub fn set_same_content(&mut self, path: &[u8]) {
        if let Some(node) = self.nodes.get_mut(path) {
            node.same_content = true;
        }
    }

    /// How many files it has.
    pub fn files(&self) -> usize {
        self.nodes.values().filter(|node| node.kind == NodeKind::File).count()
    }

    /// Puts `node` at `path`. A second one of the same name makes both something that is left alone: which of them
    /// would answer to that name is not known (class C3, a link and a folder of one name). False if that happened.
    pub fn add(&mut self, path: Vec<u8>, node: Node) -> Outcome<bool> {
        if self.nodes.len() > ENTRIES_MAX {
            let message = format!("more than {ENTRIES_MAX} files and folders");
            return Err(Fault::new(Kind::Guard, Side::Here, message).at(visible(&path)));
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

    /// Puts `node` at `path`, whatever stood there.
    pub fn set(&mut self, path: Vec<u8>, node: Node) {
        self.nodes.insert(path, node);
    }

    /// Takes away what stands at `path`.
    pub fn remove(&mut self, path: &[u8]) -> Option<Node> {
        self.nodes.remove(path)
    }

    /// Every node below the folder `path`.
    pub fn below(&self, path: &[u8]) -> impl Iterator<Item = (&[u8], &Node)> {
        let start = if path.is_empty() { Vec::new() } else { join(path, b"") };
        let range = (Bound::Excluded(&start[..]), Bound::Unbounded);
        let nodes = self.nodes.range::<[u8], _>(range);
        nodes
            .take_while(move |(path, _)| path.starts_with(&start))
            .map(|(path, node)| (&path[..], node))
    }

    /// Takes away what stands at `path`, with all below it.
    pub fn cut(&mut self, path: &[u8]) {
        let gone: Vec<_> = self.below(path).map(|(path, _)| path.to_vec()).collect();
        for path in gone {
            self.nodes.remove(&path);
        }
        self.nodes.remove(path);
    }

    /// Puts what stands at `from` at `to`, with all below it.
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

    /// Says whether all entries of the folder `path` are known, and those whose names begin with a dot.
    pub fn set_listed(&mut self, path: &[u8], listed: bool, shows_hidden: bool) {
        if let Some(node) = self.nodes.get_mut(path) {
            (node.listed, node.shows_hidden) = (listed, shows_hidden);
        }
    }

    /// Says that the folder which holds `path` holds something that takes no part.
    pub fn keep_folder_of(&mut self, path: &[u8]) {
        if let Some(node) = self.nodes.get_mut(parent(path)) {
            node.holds_more = true;
        }
    }
}

/// The time of a node, where it is one that can be compared with ours.
pub(super) fn utc(node: &Node) -> Option<Timestamp> {
    match node.modified {
        Some(Modified::Utc(time, _)) => Some(time),
        _ => None,
    }
}

/// The folder that holds `path`.
pub(super) fn parent(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    path.get(..end).unwrap_or_default()
}

/// The last name of `path`; nothing for the top itself.
pub(super) fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// Every folder above `path`, the nearest first, without the top.
pub(super) fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(parent(path)), |path| Some(parent(path)))
        .take_while(|path| !path.is_empty())
}

/// How many names `path` has; 0 for the top itself.
pub(super) fn depth(path: &[u8]) -> usize {
    if path.is_empty() { 0 } else { path.split(|byte| *byte == b'/').count() }
}

/// The entry `name` of the folder `path`.
pub(super) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

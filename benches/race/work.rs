//! The pieces of work: the initial content of both sides, and the content required afterwards.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    peers::Peer,
    support::{
        server::RealServer,
        tree::{Manifest, set_modified},
    },
};

/// A piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    /// A login, and a listing of an empty directory.
    Login,
    /// A download of a tree of small files.
    Down,
    /// An upload of the same tree.
    Up,
    /// A second download, with all files present.
    Unchanged,
    /// A second upload, with all files present.
    UnchangedUp,
    /// A download of one large file.
    BigDown,
    /// An upload of the same file.
    BigUp,
}

impl Item {
    pub(crate) const ALL: [Self; 7] = [
        Self::Login,
        Self::Down,
        Self::Up,
        Self::Unchanged,
        Self::UnchangedUp,
        Self::BigDown,
        Self::BigUp,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Down => "down",
            Self::Up => "up",
            Self::Unchanged => "unchanged",
            Self::UnchangedUp => "unchanged-up",
            Self::BigDown => "big-down",
            Self::BigUp => "big-up",
        }
    }

    pub(crate) const fn is_tree(self) -> bool {
        !matches!(self, Self::Login) && !self.is_big()
    }

    pub(crate) const fn is_big(self) -> bool {
        matches!(self, Self::BigDown | Self::BigUp)
    }

    const fn is_up(self) -> bool {
        matches!(self, Self::Up | Self::UnchangedUp | Self::BigUp)
    }
}

/// The input of a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) item: Item,
    pub(crate) sessions: u16,
    /// The local path.
    pub(crate) here: &'a Path,
    /// The path on the server.
    pub(crate) there: &'a str,
    /// A home directory for the program's own files.
    pub(crate) home: &'a Path,
}

/// The source files, made once.
pub(crate) struct Sources {
    pub(crate) folder: PathBuf,
}

impl Sources {
    /// Makes `files` small files, 25 to a directory, and one large file.
    pub(crate) fn make(folder: &Path, files: usize, bytes: u64) -> Self {
        let tree = folder.join("tree");
        for number in 0..files {
            let path = tree.join(format!("d{:03}/file-{number:05}.dat", number / 25));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            // From 1 to 16 KiB, the same every time, and no two files alike.
            let length = 1024 + number * 7919 % (15 * 1024);
            let pattern = number.to_le_bytes();
            let content: Vec<u8> = (0..length)
                .map(|at| {
                    pattern.get(at % 8).copied().unwrap_or(0) ^ u8::try_from(at % 251).unwrap()
                })
                .collect();
            fs::write(&path, content).unwrap();
            set_modified(&path, 1_700_000_000 + number as u64 * 60);
        }
        fs::create_dir_all(folder.join("big")).unwrap();
        let big = folder.join("big/big.bin");
        fill(&big, bytes);
        set_modified(&big, 1_700_000_000);
        Self { folder: folder.to_owned() }
    }

    fn of(&self, item: Item) -> PathBuf {
        self.folder.join(if item.is_tree() { "tree" } else { "big" })
    }
}

/// A piece of work prepared for one program.
pub(crate) struct Bench {
    item: Item,
    /// The expected tree.
    wanted: Manifest,
    /// The path of the target.
    target: PathBuf,
    /// The files that were there before, with their inodes, for work that must leave everything alone.
    before: Vec<(PathBuf, u64)>,
    pub(crate) here: PathBuf,
    pub(crate) there: &'static str,
}

impl Bench {
    /// Prepares the work in `scratch` and on the server.
    pub(crate) fn lay(
        item: Item,
        peer: Peer,
        sources: &Sources,
        scratch: &Path,
        server: &RealServer,
    ) -> Self {
        let source = sources.of(item);
        let root = server.root();
        for old in [scratch.join("out"), root.join("out"), root.join("tree"), root.join("big")] {
            drop(fs::remove_dir_all(old));
        }
        if item == Item::Login {
            let target = root.join("out");
            fs::create_dir_all(&target).unwrap();
            server.own_all();
            let (wanted, here) = (Manifest::of(&target).without_times(), scratch.to_owned());
            return Self { item, wanted, target, before: Vec::new(), here, there: "/out" };
        }
        let kind = if item.is_tree() { "tree" } else { "big" };
        let (target, here, there) = if item.is_up() {
            let here = if item.is_tree() { source.clone() } else { source.join("big.bin") };
            (root.join("out"), here, if item.is_tree() { "/out" } else { "/out/big.bin" })
        } else {
            copy(&source, &root.join(kind));
            let out = scratch.join("out");
            let here = if item.is_tree() { out.clone() } else { out.join("big.bin") };
            (out, here, if item.is_tree() { "/tree" } else { "/big/big.bin" })
        };
        fs::create_dir_all(&target).unwrap();
        let target = if peer.nests(item) { target.join(kind) } else { target };
        let mut before = Vec::new();
        if matches!(item, Item::Unchanged | Item::UnchangedUp) {
            copy(&source, &target);
            before = inodes(&target);
        }
        server.own_all();
        let wanted = Manifest::of(&source).without_times();
        Self { item, wanted, target, before, here, there }
    }

    /// Checks the result, and panics with the differences.
    pub(crate) fn check(&self, who: &str) {
        let found = Manifest::of(&self.target).without_times();
        let difference = self.wanted.difference(&found);
        assert!(difference.is_empty(), "{who}, {}: {difference}", self.item.name());
        if !self.before.is_empty() {
            let after = inodes(&self.target);
            assert!(after == self.before, "{who} has touched what was the same");
        }
    }
}

fn inodes(folder: &Path) -> Vec<(PathBuf, u64)> {
    use std::os::unix::fs::MetadataExt;
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(inodes(&entry.path()));
        } else {
            found.push((entry.path(), entry.metadata().unwrap().ino()));
        }
    }
    found.sort();
    found
}

/// Copies a file with its times.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let status = std::process::Command::new("cp").args(["-a", "-T"]).args([from, to]).status();
    assert!(status.unwrap().success());
}

/// Makes an incompressible file.
fn fill(path: &Path, bytes: u64) {
    use std::io::{Read, Write};
    let mut block = vec![0; 1 << 20];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut block).unwrap();
    let mut file = fs::File::create(path).unwrap();
    let mut left = bytes;
    while left > 0 {
        let count = block.len().min(usize::try_from(left).unwrap());
        file.write_all(block.get(..count).unwrap()).unwrap();
        left -= count as u64;
    }
}

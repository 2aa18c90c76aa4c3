//! The rules by which a deployment differs from a mirror: what it may delete, what it leaves out, the order of files and
//! their permissions.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    filter::{Filter, FilterDecision},
    sync_base::SyncBase,
    tree::{Node, NodeKind, ScanResult, above},
};
use portolan_core::error::{Error, Result};

/// The patterns of entries that a deployment leaves out unless the user asks for them: histories, secrets and traces of
/// editors, which no web server should offer.
pub const DEFAULT_EXCLUDES: &[&str] = &[
    ".git*",
    ".env*",
    ".svn/",
    ".hg/",
    ".idea/",
    ".vscode/",
    "**/node_modules/.cache/",
    ".DS_Store",
    "Thumbs.db",
    "desktop.ini",
    "*.swp",
    "*~",
];

/// The patterns of files that are sent after all others, unless the user names other ones: pages name the files that
/// they need, and never the other way round.
pub const LAST_FILES: &[&str] = &["*.html", "*.htm"];

/// The rules of a deployment, beside the options of a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeployRules {
    /// True if files that no deployment put on the server are deleted as well.
    pub deletes_unknown: bool,
    /// True if [`DEFAULT_EXCLUDES`] are left out.
    pub default_excludes: bool,
    /// The patterns of files that are sent after all others.
    pub last: Vec<String>,
    /// The permissions that files and directories get on the server.
    pub modes: FileModes,
    /// The files of the source that take part; `None` means all of them.
    #[serde(skip)]
    pub tracked: Option<Arc<BTreeSet<Vec<u8>>>>,
}

impl Default for DeployRules {
    fn default() -> Self {
        let last = LAST_FILES.iter().map(ToString::to_string).collect();
        let (default_excludes, modes) = (true, FileModes::default());
        Self { deletes_unknown: false, default_excludes, last, modes, tracked: None }
    }
}

impl DeployRules {
    /// Returns the patterns that are excluded before those of the user.
    pub(super) const fn excludes(&self) -> &'static [&'static str] {
        if self.default_excludes { DEFAULT_EXCLUDES } else { &[] }
    }

    /// Compiles the patterns of the files that are sent after all others.
    pub(super) fn last_files(&self) -> Result<LastFiles> {
        let is_empty = self.last.is_empty();
        let filter = Filter::new(&self.last, &[], "")?;
        Ok(LastFiles((!is_empty).then_some(filter)))
    }

    /// Removes the files that are not tracked from the tree of the source, and the directories that have no others.
    pub(super) fn keep_tracked(&self, source: &mut ScanResult) {
        let Some(tracked) = &self.tracked else { return };
        let folders: BTreeSet<&[u8]> = tracked.iter().flat_map(|path| above(path)).collect();
        let is_out = |(path, node): &(&[u8], &Node)| match node.kind {
            NodeKind::File => !tracked.contains(*path),
            NodeKind::Folder | NodeKind::Way => !folders.contains(path),
            NodeKind::Other => false,
        };
        let out: Vec<_> =
            source.tree.nodes().filter(is_out).map(|(path, _)| path.to_vec()).collect();
        for path in out {
            source.tree.remove(&path);
        }
    }
}

/// The matcher of the files that are sent after all others.
#[derive(Debug, Clone, Default)]
pub(super) struct LastFiles(Option<Filter>);

impl LastFiles {
    /// Returns true if the file `path` is sent after all others.
    pub(super) fn contains(&self, path: &[u8]) -> bool {
        self.0.as_ref().is_some_and(|last| last.part(path, false) == FilterDecision::In)
    }
}

/// The permissions that files and directories get on the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileModes {
    /// Those that the server gives them.
    #[default]
    Server,
    /// Those that they have locally.
    Keep,
    /// Fixed ones for each kind.
    Fixed(FixedModes),
}

/// Fixed permissions; `None` leaves those of the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedModes {
    /// The permissions of files.
    pub files: Option<u32>,
    /// The permissions of directories.
    pub directories: Option<u32>,
    /// The permissions of files that their owner may execute locally; without them, those of files.
    pub executable: Option<u32>,
}

impl FileModes {
    /// Parses `keep`, or the permissions of `files`, `directories` and `executable` in octal.
    pub fn parse(pairs: &[(String, String)]) -> Result<Self> {
        if let [(word, value)] = pairs
            && value.is_empty()
        {
            match word.as_str() {
                "keep" => return Ok(Self::Keep),
                "server" => return Ok(Self::Server),
                _ => {}
            }
        }
        let mut fixed = FixedModes::default();
        for (kind, value) in pairs {
            let is_octal = (3..=4).contains(&value.len());
            let mode = u32::from_str_radix(value, 8).ok().filter(|_| is_octal);
            let place = match kind.as_str() {
                "files" => &mut fixed.files,
                "directories" => &mut fixed.directories,
                "executable" => &mut fixed.executable,
                _ => {
                    let message = format!(
                        "`modes` wants \"keep\", or the permissions of `files`, `directories` and `executable`, not `{kind}`"
                    );
                    return Err(Error::invalid(message));
                }
            };
            let wrong =
                || format!("the mode of `{kind}` wants octal digits such as 644, not `{value}`");
            *place = Some(mode.ok_or_else(|| Error::invalid(wrong()))?);
        }
        Ok(Self::Fixed(fixed))
    }

    /// Returns the permissions that `node` of the source gets on the server; `None` leaves those of the server.
    pub(super) fn of(self, node: &Node) -> Option<u32> {
        let local = node.mode.map(|mode| mode & 0o777);
        let is_executable = local.is_some_and(|mode| mode & 0o100 != 0);
        match (self, node.kind) {
            (Self::Server, _) | (_, NodeKind::Way | NodeKind::Other) => None,
            (Self::Keep, NodeKind::File | NodeKind::Folder) => local,
            (Self::Fixed(fixed), NodeKind::Folder) => fixed.directories,
            (Self::Fixed(fixed), NodeKind::File) if is_executable => {
                fixed.executable.or(fixed.files)
            }
            (Self::Fixed(fixed), NodeKind::File) => fixed.files,
        }
    }
}

/// A change of permissions that a plan makes after the transfers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeChange {
    /// The path of the file or directory.
    pub path: Vec<u8>,
    /// The permissions.
    pub mode: u32,
    /// True if the plan transfers the file or makes the directory.
    pub is_new: bool,
}

/// Returns true if `base` has a file below the directory `path`.
pub(super) fn has_below(base: &SyncBase, path: &[u8]) -> bool {
    let below = [path, b"/"].concat();
    let from = (std::ops::Bound::Included(&below[..]), std::ops::Bound::Unbounded);
    base.range::<[u8], _>(from).next().is_some_and(|(found, _)| found.starts_with(&below))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn modes_are_kept_fixed_or_left_to_the_server() {
        let file = |mode| Node::file(None, None, Some(mode));
        let folder = Node { mode: Some(0o40_775), ..Node::of(NodeKind::Folder) };
        let keep = FileModes::parse(&pairs(&[("keep", "")])).unwrap();
        assert_eq!([keep.of(&file(0o100_755)), keep.of(&folder)], [Some(0o755), Some(0o775)]);
        let fixed = [("files", "644"), ("directories", "0755"), ("executable", "700")];
        let fixed = FileModes::parse(&pairs(&fixed)).unwrap();
        assert_eq!(fixed.of(&file(0o664)), Some(0o644));
        assert_eq!(fixed.of(&file(0o775)), Some(0o700));
        assert_eq!(fixed.of(&folder), Some(0o755));
        let some = FileModes::parse(&pairs(&[("files", "640")])).unwrap();
        assert_eq!([some.of(&file(0o775)), some.of(&folder)], [Some(0o640), None]);
        assert_eq!(FileModes::default().of(&file(0o755)), None);
        for bad in
            [("files", "rwx"), ("files", "8"), ("files", "99999"), ("dirs", "755"), ("x", "")]
        {
            assert!(FileModes::parse(&pairs(&[bad])).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_tracked_files_and_the_folders_above_them_stay() {
        let mut source = ScanResult::default();
        for (path, kind) in [
            ("a", NodeKind::File),
            ("b", NodeKind::File),
            ("d", NodeKind::Folder),
            ("d/c", NodeKind::File),
            ("e", NodeKind::Folder),
            ("e/x", NodeKind::File),
        ] {
            source.tree.set(path.into(), Node::of(kind));
        }
        let tracked = BTreeSet::from([b"a".to_vec(), b"d/c".to_vec(), b"gone".to_vec()]);
        let rules = DeployRules { tracked: Some(Arc::new(tracked)), ..DeployRules::default() };
        rules.keep_tracked(&mut source);
        let left: Vec<_> = source.tree.nodes().map(|(path, _)| path).collect();
        assert_eq!(left, [&b"a"[..], b"d", b"d/c"]);
    }

    #[test]
    fn pages_come_last_unless_other_patterns_are_named() {
        let usual = DeployRules::default().last_files().unwrap();
        assert!(usual.contains(b"index.html") && usual.contains(b"a/b.htm"));
        assert!(!usual.contains(b"app.js"));
        let own = |last: &[&str]| {
            let last = last.iter().map(ToString::to_string).collect();
            DeployRules { last, ..DeployRules::default() }.last_files().unwrap()
        };
        assert!(own(&["sw.js"]).contains(b"sw.js") && !own(&["sw.js"]).contains(b"index.html"));
        assert!(!own(&[]).contains(b"index.html"));
    }
}

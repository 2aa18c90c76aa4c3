//! Filters: the patterns that decide which entries of a tree take part. As in `.gitignore`, the last match wins.

use std::{collections::BTreeSet, fmt, path::Path};

use super::{
    gitignore::{GitignoreFiles, PatternMatch, pattern_file},
    own_files::is_own_name,
    patterns::{PatternList, PatternListBuilder, check},
    tree::{above, depth},
};
use portolan_core::{
    error::{Error, Result},
    observe::visible::visible,
};

/// The file in the local folder whose lines come before the patterns of the options.
pub const IGNORE_FILE: &str = ".portolanignore";
/// The origin of patterns that the user has not written.
const BY_DEFAULT: &str = "a default of deployments";

/// The filter of a mirror. Entries that do not take part are neither sent nor deleted.
#[derive(Debug, Clone)]
pub struct Filter {
    include: Option<PatternList>,
    exclude: PatternList,
    /// The paths that take part, with all below them, and the directories on the way to them.
    files: Option<ListedPaths>,
    /// The paths that are reserved for portolan, with all below them.
    reserved: Vec<Vec<u8>>,
    /// The number of directory levels that take part.
    max_depth: Option<u16>,
}

/// The paths of an option, and the directories above them.
#[derive(Debug, Clone)]
struct ListedPaths {
    paths: BTreeSet<Vec<u8>>,
    folders: BTreeSet<Vec<u8>>,
}

impl ListedPaths {
    fn new(paths: &BTreeSet<String>) -> Self {
        let paths: BTreeSet<_> = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
        let folders = paths.iter().flat_map(|path| above(path)).map(<[u8]>::to_vec).collect();
        Self { paths, folders }
    }

    fn part(&self, path: &[u8]) -> FilterDecision {
        if self.paths.contains(path) || above(path).any(|folder| self.paths.contains(folder)) {
            FilterDecision::In
        } else if self.folders.contains(path) {
            FilterDecision::Way
        } else {
            FilterDecision::Out
        }
    }
}

/// The sources of the patterns of a filter.
#[derive(Debug, Default)]
pub(super) struct FilterSources<'s> {
    /// The patterns of `.gitignore` files.
    pub(super) gitignore: Option<GitignoreFiles>,
    /// The excluded patterns that no user has written.
    pub(super) defaults: &'s [&'s str],
    /// The text of [`IGNORE_FILE`].
    pub(super) ignored: &'s str,
    /// The patterns of the option `exclude`.
    pub(super) exclude: &'s [String],
    /// The patterns of the option `include`.
    pub(super) include: &'s [String],
    /// The paths of the option `files_from`.
    pub(super) files: Option<&'s BTreeSet<String>>,
}

/// The result of the filter for one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterDecision {
    /// It takes part.
    In,
    /// It is a directory that does not take part, though entries below it may.
    Way,
    /// It does not, nor does anything below it.
    Out,
}

/// The reason why a path takes part, or does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterReason {
    /// The path that the rule is about: the one asked for, or a folder above it.
    pub path: Vec<u8>,
    /// True if the path takes part.
    pub takes_part: bool,
    /// The pattern that decided, and its origin; `None` if none matches.
    pub rule: Option<(String, String)>,
    /// The explanation for users.
    pub words: String,
}

impl Filter {
    /// Compiles the ordered patterns of `include` and `exclude`; those of `ignored` (the text of the file
    /// `.portolanignore`) come before the latter.
    ///
    /// A pattern without a slash matches that name in any directory, one with a slash a path from the top; a trailing
    /// slash restricts it to directories, a leading `!` includes again what an earlier pattern excluded. Fails with
    /// `invalid` on a pattern that is empty or names the tree itself (class C2).
    pub fn new(include: &[String], exclude: &[String], ignored: &str) -> Result<Self> {
        Self::of(FilterSources { ignored, exclude, include, ..FilterSources::default() })
    }

    /// Does the same with all sources of patterns, in the order of their fields: the last match wins.
    pub(super) fn of(sources: FilterSources<'_>) -> Result<Self> {
        let wanted = sources.include;
        let included = || with_option(PatternListBuilder::default(), "--include", wanted);
        let include = (!wanted.is_empty()).then(included).transpose()?;
        let files = sources.files.map(ListedPaths::new);
        let reserved = vec![IGNORE_FILE.into()];
        Ok(Self { include, exclude: excluded(sources)?, files, reserved, max_depth: None })
    }

    /// Returns the same filter, which leaves entries deeper than `levels` alone.
    #[must_use]
    pub fn down_to(mut self, levels: Option<u16>) -> Self {
        self.max_depth = levels;
        self
    }

    /// Returns the same filter, which also leaves `path` and all below it alone.
    #[must_use]
    pub fn without(mut self, path: &[u8]) -> Self {
        self.reserved.push(path.to_vec());
        self
    }

    /// Returns the result for `path`, whose parent directory is not `Out`.
    pub fn part(&self, path: &[u8], is_folder: bool) -> FilterDecision {
        let is_left_out = self.is_reserved(path) || self.is_too_deep(path, is_folder);
        let listed = self.files.as_ref().map_or(FilterDecision::In, |files| files.part(path));
        let is_unlisted = match listed {
            FilterDecision::In => false,
            FilterDecision::Way => !is_folder,
            FilterDecision::Out => true,
        };
        if is_left_out || is_unlisted || self.is_excluded(path, is_folder) {
            return FilterDecision::Out;
        }
        let is_included = self.include.as_ref().is_none_or(|include| {
            include.matched_below(path, is_folder).is_some_and(|found| found.is_match)
        });
        match (listed, is_included) {
            (FilterDecision::In, true) => FilterDecision::In,
            _ if is_folder => FilterDecision::Way,
            _ => FilterDecision::Out,
        }
    }

    /// Returns true if the file `path` does not take part, by itself or with a directory above it.
    pub(super) fn leaves_out(&self, path: &[u8]) -> bool {
        above(path).any(|folder| self.part(folder, true) == FilterDecision::Out)
            || self.part(path, false) == FilterDecision::Out
    }

    fn is_excluded(&self, path: &[u8], is_folder: bool) -> bool {
        self.exclude.matched(path, is_folder).is_some_and(|found| found.is_match)
    }

    /// Returns true if `path` is left out by a pattern that the user has not written.
    pub(super) fn is_out_by_default(&self, path: &[u8], is_folder: bool) -> bool {
        let found = self.exclude.matched(path, is_folder);
        found.is_some_and(|found| found.is_match && found.from == Path::new(BY_DEFAULT))
    }

    /// Returns the rule that decides about `path`.
    pub fn explain(&self, path: &[u8], is_folder: bool) -> FilterReason {
        let mut folders: Vec<_> = above(path).collect();
        folders.reverse();
        for folder in folders {
            if self.part(folder, true) == FilterDecision::Out {
                return self.reason(folder, true);
            }
        }
        self.reason(path, is_folder)
    }

    fn reason(&self, path: &[u8], is_folder: bool) -> FilterReason {
        let takes_part = self.part(path, is_folder) == FilterDecision::In;
        let name = |found: Option<PatternMatch<'_>>| {
            found.map(|found| (found.text.to_owned(), found.from.display().to_string()))
        };
        let excluded = name(self.exclude.matched(path, is_folder));
        let include = self.include.as_ref();
        let included = include.map(|include| name(include.matched_below(path, is_folder)));
        let is_listed = self.files.as_ref().is_none_or(|files| {
            let part = files.part(path);
            part == FilterDecision::In || (is_folder && part == FilterDecision::Way)
        });
        let decided = |rule: &(String, String)| format!("`{}` ({})", rule.0, rule.1);
        let (rule, words) = match (takes_part, excluded, included) {
            _ if self.is_reserved(path) => (None, "left out: it is portolan's own".to_owned()),
            _ if self.is_too_deep(path, is_folder) => {
                (None, "left out: deeper than --max-depth".to_owned())
            }
            _ if !is_listed => (None, "left out: --files-from does not name it".to_owned()),
            (false, Some(rule), _) if !rule.0.starts_with('!') => {
                let words = format!("left out by {}", decided(&rule));
                (Some(rule), words)
            }
            (false, _, Some(Some(rule))) => {
                let words = format!("left out by {}", decided(&rule));
                (Some(rule), words)
            }
            (false, ..) => (None, "left out: no --include matches".to_owned()),
            (true, _, Some(Some(rule))) => {
                let words = format!("taken in by {}", decided(&rule));
                (Some(rule), words)
            }
            (true, Some(rule), _) => {
                let words = format!("taken in again by {}", decided(&rule));
                (Some(rule), words)
            }
            (true, ..) => (None, "takes part: no rule matches".to_owned()),
        };
        FilterReason { path: path.to_vec(), takes_part, rule, words }
    }

    /// Returns true if a file is below the last level, or a directory has only such entries.
    fn is_too_deep(&self, path: &[u8], is_folder: bool) -> bool {
        let lowest = depth(path) + usize::from(is_folder);
        self.max_depth.is_some_and(|levels| lowest > usize::from(levels))
    }

    fn is_reserved(&self, path: &[u8]) -> bool {
        let is_it = |path: &[u8]| self.reserved.iter().any(|reserved| reserved == path);
        let has_own_name = || path.split(|byte| *byte == b'/').any(is_own_name);
        is_it(path) || above(path).any(is_it) || has_own_name()
    }
}

impl fmt::Display for FilterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", visible(&self.path), self.words)
    }
}

/// Returns the text of the ignore file in the directory `local`; empty if there is none.
pub(super) fn ignore_file(local: &Path) -> Result<String> {
    pattern_file(&local.join(IGNORE_FILE))
}

/// Compiles the excluded patterns of all sources, in the order in which they count.
fn excluded(sources: FilterSources<'_>) -> Result<PatternList> {
    let mut builder = PatternListBuilder::default();
    // The last that matches counts: what `.gitignore` takes in again may be what is left out by default.
    if let Some(files) = sources.gitignore {
        builder.add_files(files)?;
    }
    for text in sources.defaults {
        builder.add(BY_DEFAULT, text, text)?;
    }
    for (number, line) in (1..).zip(sources.ignored.lines()) {
        let from = format!("line {number} of {IGNORE_FILE}");
        let line = line.trim_end_matches('\r');
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        check(line)
            .map_err(|fault| Error { message: format!("{from}: {}", fault.message), ..fault })?;
        builder.add(&from, line, line)?;
    }
    with_option(builder, "--exclude", sources.exclude)
}

/// Adds the patterns of the option `option`, and compiles the list.
fn with_option(
    mut builder: PatternListBuilder,
    option: &str,
    texts: &[String],
) -> Result<PatternList> {
    for text in texts {
        check(text)?;
        // There are no comments on a command line.
        let plain = if text.starts_with('#') { format!("\\{text}") } else { text.clone() };
        builder.add(option, &plain, text)?;
    }
    builder.build(&texts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_core::error::ErrorKind;

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    fn filter(include: &[&str], exclude: &[&str]) -> Filter {
        Filter::new(&owned(include), &owned(exclude), "").unwrap()
    }

    #[test]
    fn s05_a_pattern_that_names_the_tree_itself_is_refused() {
        for bad in
            ["", "/", ".", "..", "//", "a//b", "../x", "./x", "a/..", "a/./b", "[", "!", "!/", " "]
        {
            let one = [bad.to_owned()];
            let fault = Filter::new(&[], &one, "").unwrap_err();
            assert_eq!(fault.kind, ErrorKind::Invalid, "{bad}");
            assert!(Filter::new(&one, &[], "").is_err(), "{bad}");
            // A blank line in the file is no pattern, as for git.
            let is_refused = Filter::new(&[], &[], &format!("*.map\n{bad}\n")).is_err();
            assert_eq!(is_refused, !bad.trim().is_empty(), "{bad}");
        }
        let fault = Filter::new(&[], &[], "# ours\n*.map\n..\n").unwrap_err();
        let words = "line 3 of .portolanignore: the pattern `..` names no file or folder inside of the mirror";
        assert_eq!(fault.message, words);
    }

    #[test]
    fn patterns_mean_what_they_mean_to_git() {
        for (pattern, path, is_folder, is_out) in [
            ("*.map", "a.map", false, true),
            ("*.map", "x/y/a.map", false, true),
            ("*.map", "a.mapx", false, false),
            (".git/", ".git", true, true),
            (".git/", "x/.git", true, true),
            (".git/", ".git", false, false),
            ("/top", "top", false, true),
            ("/top", "x/top", false, false),
            ("x/*.txt", "x/a.txt", false, true),
            ("x/*.txt", "x/y/a.txt", false, false),
            ("x/*.txt", "z/x/a.txt", false, false),
            ("x/**/a", "x/a", false, true),
            ("x/**/a", "x/y/z/a", false, true),
            ("x/**", "x", true, false),
            ("x/**", "x/y", true, true),
            ("\\!a", "!a", false, true),
            ("#a", "#a", false, true),
        ] {
            let part = filter(&[], &[pattern]).part(path.as_bytes(), is_folder);
            assert_eq!(part == FilterDecision::Out, is_out, "{pattern} {path}");
        }
    }

    #[test]
    fn of_several_patterns_the_last_that_matches_wins() {
        let rules = filter(&[], &["*.map", "!keep.map", "x/keep.map"]);
        for (path, is_out) in [("a.map", true), ("keep.map", false), ("x/keep.map", true)] {
            assert_eq!(rules.part(path.as_bytes(), false) == FilterDecision::Out, is_out, "{path}");
        }
        // The patterns of the options come after those of the file.
        let exclude = owned(&["!b.log"]);
        let rules = Filter::new(&[], &exclude, "# logs\n\n*.log\r\n").unwrap();
        assert_eq!(rules.part(b"a.log", false), FilterDecision::Out);
        assert_eq!(rules.part(b"b.log", false), FilterDecision::In);
    }

    #[test]
    fn only_what_is_included_takes_part_and_exclusion_wins() {
        let filter = filter(&["*.html", "img/", "!img/raw/"], &["draft.html"]);
        assert_eq!(filter.part(b"a/b.html", false), FilterDecision::In);
        assert_eq!(filter.part(b"a/draft.html", false), FilterDecision::Out);
        assert_eq!(filter.part(b"a/b.css", false), FilterDecision::Out);
        assert_eq!(filter.part(b"a", true), FilterDecision::Way);
        assert_eq!(filter.part(b"img/x/y.png", false), FilterDecision::In);
        assert_eq!(filter.part(b"img/raw/y.png", false), FilterDecision::Out);
    }

    #[test]
    fn only_listed_files_and_what_is_below_listed_folders_take_part() {
        let files = ["a/b.txt", "c"].map(str::to_owned).into();
        let exclude = owned(&["*.map"]);
        let sources =
            FilterSources { files: Some(&files), exclude: &exclude, ..FilterSources::default() };
        let filter = Filter::of(sources).unwrap();
        for (path, is_folder, wanted) in [
            ("a", true, FilterDecision::Way),
            ("a", false, FilterDecision::Out),
            ("a/b.txt", false, FilterDecision::In),
            ("a/c.txt", false, FilterDecision::Out),
            ("c", true, FilterDecision::In),
            ("c/d/e", false, FilterDecision::In),
            ("c/d/e.map", false, FilterDecision::Out),
            ("cc", false, FilterDecision::Out),
        ] {
            assert_eq!(filter.part(path.as_bytes(), is_folder), wanted, "{path}");
        }
        let reason = filter.explain(b"x", false).to_string();
        assert_eq!(reason, "x: left out: --files-from does not name it");
    }

    #[test]
    fn names_that_are_no_text_are_matched_too() {
        assert_eq!(filter(&[], &["caf*"]).part(b"caf\xe9", false), FilterDecision::Out);
    }

    #[test]
    fn what_is_portolans_own_takes_no_part() {
        let filter = filter(&["*"], &["!.portolanignore"]).without(b"old/trash");
        for path in [".portolanignore", "old/trash", "old/trash/x/y"] {
            assert_eq!(filter.part(path.as_bytes(), false), FilterDecision::Out, "{path}");
        }
        assert_eq!(filter.part(b"sub/.portolanignore", false), FilterDecision::In);
        assert_eq!(filter.part(b"old/trash-not", false), FilterDecision::In);
    }

    #[test]
    fn entries_below_the_last_level_take_no_part() {
        for (levels, path, is_folder, is_in) in [
            (1, "a", false, true),
            (1, "d", true, false),
            (2, "d", true, true),
            (2, "d/a", false, true),
            (2, "d/e", true, false),
            (2, "d/e/a", false, false),
        ] {
            let filter = filter(&[], &[]).down_to(Some(levels));
            let part = filter.part(path.as_bytes(), is_folder);
            assert_eq!(part == FilterDecision::In, is_in, "{levels} {path}");
        }
        let reason = filter(&[], &[]).down_to(Some(1)).explain(b"d/e/a", false);
        assert_eq!(reason.to_string(), "d: left out: deeper than --max-depth");
    }

    #[test]
    fn each_path_has_a_rule_that_decides() {
        let excluded = owned(&["*.tmp", ".git/"]);
        let all = Filter::new(&[], &excluded, "*.map\n!keep.map\n").unwrap();
        let some = filter(&["*.html"], &["draft.html"]);
        for (filter, path, words) in [
            (&all, "x/a.map", "x/a.map: left out by `*.map` (line 1 of .portolanignore)"),
            (
                &all,
                "keep.map",
                "keep.map: taken in again by `!keep.map` (line 2 of .portolanignore)",
            ),
            (&all, "a.tmp", "a.tmp: left out by `*.tmp` (--exclude)"),
            (&all, ".git/config", ".git: left out by `.git/` (--exclude)"),
            (&all, "a.css", "a.css: takes part: no rule matches"),
            (&all, ".portolanignore", ".portolanignore: left out: it is portolan's own"),
            (&some, "a.html", "a.html: taken in by `*.html` (--include)"),
            (&some, "draft.html", "draft.html: left out by `draft.html` (--exclude)"),
            (&some, "a.css", "a.css: left out: no --include matches"),
        ] {
            let reason = filter.explain(path.as_bytes(), false);
            assert_eq!(reason.to_string(), words);
            let part = filter.part(&reason.path, reason.path != path.as_bytes());
            assert_eq!(reason.takes_part, part == FilterDecision::In, "{path}");
        }
    }
}

//! What of a tree takes part: patterns as `.gitignore` has them.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};

use crate::fault::{Fault, Outcome};

/// What takes part in a mirror. What does not is neither sent nor deleted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    include: Option<Patterns>,
    exclude: Patterns,
}

/// What becomes of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It takes part.
    In,
    /// A folder that does not, though what is below it may.
    Way,
    /// It does not, nor does anything below it.
    Out,
}

/// A set of patterns.
#[derive(Debug, Clone, Default)]
struct Patterns {
    /// Those for files and folders.
    any: GlobSet,
    /// Those that end in a slash.
    folders: GlobSet,
}

impl Filter {
    /// Makes a filter of patterns.
    ///
    /// One without a slash matches that name in any folder, one with a slash a path from the top; a slash at the end
    /// holds it to folders. Fails with `invalid` on a pattern that is empty or names the tree itself (class C2).
    pub fn new(include: &[String], exclude: &[String]) -> Outcome<Self> {
        let wanted = Patterns::new(include)?;
        let include = (!include.is_empty()).then_some(wanted);
        Ok(Self { include, exclude: Patterns::new(exclude)? })
    }

    /// What becomes of `path`, whose folder is not `Out`.
    pub fn part(&self, path: &[u8], is_folder: bool) -> Part {
        if self.exclude.is_match(path, is_folder) {
            return Part::Out;
        }
        match &self.include {
            None => Part::In,
            Some(include) if include.is_match_or_below(path, is_folder) => Part::In,
            Some(_) if is_folder => Part::Way,
            Some(_) => Part::Out,
        }
    }
}

impl Patterns {
    fn new(patterns: &[String]) -> Outcome<Self> {
        let (mut any, mut folders) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns {
            let plain = pattern.strip_suffix('/');
            let set = if plain.is_some() { &mut folders } else { &mut any };
            let text = whole(pattern, plain.unwrap_or(pattern))?;
            let glob = GlobBuilder::new(&text).literal_separator(true).build();
            set.add(glob.map_err(|error| unreadable(pattern, &error))?);
        }
        let build = |set: &GlobSetBuilder| {
            set.build().map_err(|error| unreadable(&patterns.join(" "), &error))
        };
        Ok(Self { any: build(&any)?, folders: build(&folders)? })
    }

    fn is_match(&self, path: &[u8], is_folder: bool) -> bool {
        let path = Candidate::new(OsStr::from_bytes(path));
        self.any.is_match_candidate(&path) || is_folder && self.folders.is_match_candidate(&path)
    }

    fn is_match_or_below(&self, path: &[u8], is_folder: bool) -> bool {
        let above = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut above = above.filter_map(|(end, _)| path.get(..end));
        above.any(|folder| self.is_match(folder, true)) || self.is_match(path, is_folder)
    }
}

/// The pattern `plain`, which the user wrote as `pattern`, for a path from the top.
fn whole(pattern: &str, plain: &str) -> Outcome<String> {
    let below = plain.strip_prefix('/').unwrap_or(plain);
    if below.split('/').any(|part| matches!(part, "" | "." | "..")) {
        let message =
            format!("the pattern `{pattern}` names no file or folder inside of the mirror");
        return Err(Fault::invalid(message));
    }
    if below.starts_with('!') {
        let message = format!(
            "the pattern `{pattern}` begins with `!`, which has no meaning here; a name that does is `\\{below}`"
        );
        return Err(Fault::invalid(message));
    }
    Ok(if plain.contains('/') { below.to_owned() } else { format!("**/{below}") })
}

fn unreadable(pattern: &str, error: &globset::Error) -> Fault {
    let message = format!("cannot read the pattern `{pattern}`: {}", error.kind());
    Fault::invalid(message).because(error.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Kind;

    fn filter(include: &[&str], exclude: &[&str]) -> Filter {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        Filter::new(&owned(include), &owned(exclude)).unwrap()
    }

    #[test]
    fn s05_a_pattern_that_names_the_tree_itself_is_refused() {
        for bad in ["", "/", ".", "..", "//", "a//b", "../x", "./x", "a/..", "a/./b", "[", "!a"] {
            let fault = Filter::new(&[], &[bad.to_owned()]).unwrap_err();
            assert_eq!(fault.kind, Kind::Invalid, "{bad}");
            assert!(Filter::new(&[bad.to_owned()], &[]).is_err(), "{bad}");
        }
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
        ] {
            let part = filter(&[], &[pattern]).part(path.as_bytes(), is_folder);
            assert_eq!(part == Part::Out, is_out, "{pattern} {path}");
        }
    }

    #[test]
    fn only_what_is_included_takes_part_and_exclusion_wins() {
        let filter = filter(&["*.html", "img/"], &["draft.html"]);
        assert_eq!(filter.part(b"a/b.html", false), Part::In);
        assert_eq!(filter.part(b"a/draft.html", false), Part::Out);
        assert_eq!(filter.part(b"a/b.css", false), Part::Out);
        assert_eq!(filter.part(b"a", true), Part::Way);
        assert_eq!(filter.part(b"img/x/y.png", false), Part::In);
    }

    #[test]
    fn names_that_are_no_text_are_matched_too() {
        assert_eq!(filter(&[], &["caf*"]).part(b"caf\xe9", false), Part::Out);
    }
}

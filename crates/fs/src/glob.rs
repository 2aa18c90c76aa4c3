//! Local paths that match a glob pattern, such as `logs/**/*.gz`.

use std::path::{Component, Path, PathBuf};

use globset::GlobBuilder;

use super::{RootDir, walk_where};
use portolan_core::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
};

/// Returns the files and directories whose path matches `pattern`, sorted: `*` and `?` stay within one name, `**`
/// spans directories, `[a-z]` and `{a,b}` choose. A directory that does not exist has no matches; one that cannot be
/// read is a failure.
pub fn glob(pattern: &str, stop: &CancelToken) -> Result<Vec<PathBuf>> {
    glob_where(pattern, stop, |base| Ok(base.to_owned()))
}

/// Works like [`glob`], but `place` maps the directory where the search begins.
pub fn glob_where(
    pattern: &str,
    stop: &CancelToken,
    place: impl FnOnce(&Path) -> Result<PathBuf>,
) -> Result<Vec<PathBuf>> {
    let (base, below) = split(pattern);
    let matcher = GlobBuilder::new(&below)
        .literal_separator(true)
        .build()
        .map_err(|error| {
            Error::invalid(format!("cannot read the pattern `{pattern}`: {}", error.kind()))
        })?
        .compile_matcher();
    let root = match RootDir::open(place(&base)?) {
        Err(fault) if fault.kind == ErrorKind::NotFound => return Ok(Vec::new()),
        root => root?,
    };
    let levels = levels(&below);
    let mut found = Vec::new();
    let walk = walk_where(&root, stop, |entry| {
        if matcher.is_match(&entry.path) {
            found.push(base.join(&entry.path));
        }
        levels.is_none_or(|levels| entry.path.components().count() < levels)
    })?;
    if let Some((_, fault)) = walk.unread.into_iter().next() {
        return Err(fault);
    }
    found.sort_unstable();
    Ok(found)
}

/// Splits `pattern` into the directory where the search begins, everything before the first wildcard, and the pattern
/// below it.
fn split(pattern: &str) -> (PathBuf, String) {
    let components: Vec<_> = Path::new(pattern).components().collect();
    let is_wild = |component: &Component<'_>| {
        component.as_os_str().to_string_lossy().contains(['*', '?', '[', '{', '\\'])
    };
    let last = components.len().saturating_sub(1);
    let plain = components.iter().position(is_wild).unwrap_or(last);
    let base = components.iter().take(plain).collect();
    let below: PathBuf = components.iter().skip(plain).collect();
    (base, below.to_string_lossy().into_owned())
}

/// Returns the maximum depth of a match; `None` if it is unbounded.
fn levels(pattern: &str) -> Option<usize> {
    let is_open = pattern.contains("**") || pattern.contains('{');
    (!is_open).then(|| Path::new(pattern).components().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_what_a_shell_would() {
        let scratch = tempfile::tempdir().unwrap();
        for name in ["a.txt", "b.txt", "c.gz", "in/d.txt", "in/deep/e.txt"] {
            let path = scratch.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let find = |pattern: &str| {
            let pattern = format!("{}/{pattern}", scratch.path().display());
            let mut names = String::new();
            for path in glob(&pattern, &CancelToken::new()).unwrap() {
                names += path.strip_prefix(scratch.path()).unwrap().to_str().unwrap();
                names += " ";
            }
            names
        };
        assert_eq!(find("*.txt"), "a.txt b.txt ");
        assert_eq!(find("**/*.txt"), "a.txt b.txt in/d.txt in/deep/e.txt ");
        assert_eq!(find("*/*.txt"), "in/d.txt ");
        assert_eq!(find("{a,c}.*"), "a.txt c.gz ");
        assert_eq!(find("in"), "in ");
        assert_eq!(find("none/*"), "");
    }

    #[test]
    fn a_pattern_that_cannot_be_read_is_named() {
        let fault = glob("a/[", &CancelToken::new()).unwrap_err();
        assert_eq!(fault.kind, ErrorKind::Invalid);
        assert!(fault.message.starts_with("cannot read the pattern `a/[`: "), "{fault}");
    }
}

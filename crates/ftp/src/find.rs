//! Searches below a directory of a server: everything, or the matches of a pattern such as `/pub/**/*.csv`.

use globset::GlobBuilder;

use super::{
    listing::{Entry, EntryKind},
    path::RemotePath,
    session::Session,
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{DEPTH_MAX, ENTRIES_MAX},
};

/// The characters that mark a name as a pattern.
const WILD: &[u8] = b"*?[{\\";

/// An entry below a directory.
#[derive(Debug, Clone)]
pub struct FoundEntry {
    /// Its path: that of the directory as requested, followed by the path below it.
    pub path: RemotePath,
    /// Its facts in the listing.
    pub entry: Entry,
}

impl Session {
    /// Returns everything below `folder`, at most `levels` directories deep; a directory precedes its content. Links
    /// are included and not followed. Fails if a listing is incomplete: what is not seen must not be taken for absent.
    pub async fn search(
        &mut self,
        folder: &RemotePath,
        levels: Option<usize>,
    ) -> Result<Vec<FoundEntry>> {
        let deepest = levels.unwrap_or(DEPTH_MAX).min(DEPTH_MAX);
        let mut found: Vec<FoundEntry> = Vec::new();
        let mut folders = vec![(folder.clone().in_encoding(self.site.encoding), 1)];
        while let Some((folder, depth)) = folders.pop() {
            let mut listing = self.list(&folder).await?;
            let is_too_large = found.len() + listing.entries.len() > ENTRIES_MAX;
            if !listing.complete || is_too_large || depth > DEPTH_MAX {
                let message = if listing.complete {
                    "it is too deep or too large to be searched".to_owned()
                } else {
                    let why = listing.complaints().into_iter().next();
                    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                    format!(
                        "its listing is not complete, so that nothing can be said of what is in it{why}"
                    )
                };
                return Err(
                    Error::new(ErrorKind::Guard, Origin::Server, message).at(folder.to_string())
                );
            }
            listing.entries.sort_by(|one, other| one.name.cmp(&other.name));
            let first_folder = folders.len();
            for entry in listing.entries {
                let path = below(&folder, &entry.name)?;
                if entry.kind == EntryKind::Dir && depth < deepest {
                    folders.push((path.clone(), depth + 1));
                }
                found.push(FoundEntry { path, entry });
            }
            // The last is processed first, so this order processes them by name.
            folders.get_mut(first_folder..).unwrap_or_default().reverse();
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    /// Returns the files and links whose path matches `pattern`, sorted: `*` and `?` stay within one name, `**` spans
    /// directories, `[a-z]` and `{a,b}` are alternatives. A missing directory has no matches.
    pub async fn glob(&mut self, pattern: &RemotePath) -> Result<Vec<RemotePath>> {
        let found = self.search_pattern(pattern).await?.into_iter();
        Ok(found.filter(|one| one.entry.kind != EntryKind::Dir).map(|one| one.path).collect())
    }

    /// Returns the entries of any kind whose path matches `pattern`, sorted, with the rules of [`Session::glob`].
    pub async fn search_pattern(&mut self, pattern: &RemotePath) -> Result<Vec<FoundEntry>> {
        let (base, wanted) = split(pattern)?;
        // Characters are compared: bytes of one may look like those of a pattern.
        let encoding = self.site.encoding;
        let text = encoding.text(wanted.as_bytes());
        let matcher = GlobBuilder::new(&text)
            .literal_separator(true)
            .build()
            .map_err(|error| {
                let message = format!("cannot read the pattern `{pattern}`: {}", error.kind());
                Error::invalid(message).with_source(error)
            })?
            .compile_matcher();
        let is_open = text.contains("**") || text.contains('{');
        let levels = (!is_open).then(|| text.split('/').count());
        let found = match self.search(&base, levels).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(Vec::new()),
            found => found?,
        };
        let skipped = match base.as_bytes() {
            b"." => 0,
            base if base.ends_with(b"/") => base.len(),
            base => base.len() + 1,
        };
        let is_wanted = |one: &FoundEntry| {
            let below = one.path.as_bytes().get(skipped..).unwrap_or_default();
            matcher.is_match(encoding.text(below))
        };
        Ok(found.into_iter().filter(is_wanted).collect())
    }
}

/// Returns true if `path` is a pattern and not a plain name.
pub fn is_pattern(path: &[u8]) -> bool {
    path.iter().any(|byte| WILD.contains(byte))
}

/// Returns the path of entry `name` of `folder`, without adding a `./`.
fn below(folder: &RemotePath, name: &[u8]) -> Result<RemotePath> {
    if folder.as_bytes() == b"." {
        super::path::component(name)?;
        return Ok(RemotePath::parse(name)?.in_encoding(folder.encoding()));
    }
    folder.join(name)
}

/// Splits a pattern into the directory where the search begins, and the pattern below it.
fn split(pattern: &RemotePath) -> Result<(RemotePath, RemotePath)> {
    let bytes = pattern.as_bytes();
    let wild = bytes.iter().position(|byte| WILD.contains(byte)).unwrap_or(bytes.len());
    let plain = bytes.get(..wild).unwrap_or_default();
    let Some(slash) = plain.iter().rposition(|byte| *byte == b'/') else {
        return Ok((RemotePath::parse(".")?, pattern.clone()));
    };
    let wanted = RemotePath::parse(bytes.get(slash + 1..).unwrap_or_default())?;
    let base = bytes.get(..slash).filter(|base| !base.is_empty());
    Ok((base.map_or_else(|| Ok(RemotePath::root()), RemotePath::parse)?, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_begins_in_the_last_folder_without_wildcards() {
        for (pattern, base, wanted) in [
            ("*.csv", ".", "*.csv"),
            ("pub/*.csv", "pub", "*.csv"),
            ("/pub/a/**/*.csv", "/pub/a", "**/*.csv"),
            ("/*.csv", "/", "*.csv"),
            ("/pub/plain.csv", "/pub", "plain.csv"),
            ("plain.csv", ".", "plain.csv"),
        ] {
            let (found_base, found_wanted) = split(&RemotePath::parse(pattern).unwrap()).unwrap();
            assert_eq!(
                (found_base.as_bytes(), found_wanted.as_bytes()),
                (base.as_bytes(), wanted.as_bytes()),
                "{pattern}"
            );
        }
        assert!(split(&RemotePath::parse("pub/").unwrap()).is_err());
    }
}

//! The files that jobs are read from: the jobs file, and those that it includes.

use std::{
    fs::File,
    io::Read,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    files::ops::{self, with_nearest_name},
    limits::{INCLUDED_FILES_MAX, JOBS_FILE_BYTES_MAX},
    observe::visible::visible,
    script::raise::ScriptLocation,
};

/// The characters that make a name a pattern.
const WILDCARDS: [char; 4] = ['*', '?', '[', '{'];

/// The text of a file. Positions in it are counted from `base`, so that values of several files can be in one table.
#[derive(Debug)]
pub(super) struct SourceText {
    /// The name of the file, as shown.
    pub(super) shown: String,
    /// Its path.
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) base: usize,
}

impl SourceText {
    /// Returns the place of a position, which is one among all files.
    pub(super) fn place(&self, at: usize) -> ScriptLocation {
        let before = self.text.get(..at - self.base).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        ScriptLocation { file: self.shown.clone(), line, column }
    }

    /// Returns the source at the end of `before`.
    pub(super) fn after(before: &[Self], path: &Path, text: String) -> Self {
        let base = before.last().map_or(0, |last| last.base + last.text.len() + 1);
        let shown = visible(path.as_os_str().as_encoded_bytes());
        Self { shown, path: path.to_owned(), text, base }
    }
}

/// The files, and what is wrong with those that are included: the position of the pattern, the message and a hint.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) files: Vec<SourceText>,
    pub(super) faults: Vec<(Range<usize>, String, Option<String>)>,
    /// The patterns whose directory does not exist, with that: there may be one later.
    pub(super) absent: Vec<(Range<usize>, String)>,
}

/// Reads the file at `path`, of at most [`JOBS_FILE_BYTES_MAX`] bytes.
pub(super) fn read_text(path: &Path) -> Result<String> {
    let cannot = |error| Error::local("read the jobs file", path, error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| missing(cannot(error), path))?;
    file.take(JOBS_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    let shown = visible(path.as_os_str().as_encoded_bytes());
    if bytes.len() as u64 > JOBS_FILE_BYTES_MAX {
        let message = format!("a jobs file of more than {JOBS_FILE_BYTES_MAX} bytes is not read");
        return Err(Error::invalid(message).at(shown));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::invalid(format!("the jobs file is not UTF-8 (byte {at})")).at(shown)
    })
}

/// Returns `fault`, if it is that there is no jobs file, with the nearest name or the command that makes one.
fn missing(fault: Error, path: &Path) -> Error {
    let before = fault.message.len();
    let fault = with_nearest_name(fault, path);
    if fault.kind != ErrorKind::NotFound || fault.message.len() > before {
        return fault;
    }
    Error { message: format!("{}; `portolan init` creates one", fault.message), ..fault }
}

/// Returns the jobs file with this text, and the files that it includes.
pub(super) fn load(text: String, path: &Path) -> Sources {
    let patterns = patterns(&text);
    let mut files = vec![SourceText::after(&[], path, text)];
    let (mut faults, mut absent) = (Vec::new(), Vec::new());
    for (pattern, span) in patterns {
        let found = match included(&pattern, path) {
            Ok(found) => found,
            Err(fault) => {
                faults.push((span, visible(fault.message), None));
                continue;
            }
        };
        absent.extend(absent_folder(&pattern, path).map(|folder| (span.clone(), folder)));
        for file in found {
            if files.iter().any(|known| known.path == file) {
                continue;
            }
            if files.len() > INCLUDED_FILES_MAX {
                let message = format!("more than {INCLUDED_FILES_MAX} files are included");
                faults.push((span, message, None));
                return Sources { files, faults, absent };
            }
            match read_text(&file) {
                Ok(text) => files.push(SourceText::after(&files, &file, text)),
                Err(fault) => faults.push((span.clone(), visible(fault.to_string()), None)),
            }
        }
    }
    Sources { files, faults, absent }
}

/// Returns the patterns of `include`, with their positions.
fn patterns(text: &str) -> Vec<(String, Range<usize>)> {
    // It stands before the first table: a large file is not read twice for it.
    let is_table = |line: &&str| line.trim_start().starts_with('[');
    let head: usize =
        text.split_inclusive('\n').take_while(|line| !is_table(line)).map(str::len).sum();
    let (document, _) = DeTable::parse_recoverable(text.get(..head).unwrap_or(text));
    let document = document.into_inner();
    let Some(value) = document.get("include") else { return Vec::new() };
    let values = match value.get_ref() {
        DeValue::Array(all) => all.iter().collect(),
        _ => vec![value],
    };
    let text = |value: &super::table::Value<'_>| {
        Some((value.get_ref().as_str()?.to_owned(), value.span()))
    };
    values.into_iter().filter_map(text).collect()
}

/// Returns the directory before the first wildcard of a pattern if it does not exist.
fn absent_folder(pattern: &str, file: &Path) -> Option<String> {
    let fixed = pattern.split(WILDCARDS).next()?.rsplit_once('/')?.0;
    let folder = file.parent().unwrap_or(Path::new("")).join(fixed);
    (!fixed.is_empty() && pattern.contains(WILDCARDS) && !folder.is_dir()).then(|| visible(fixed))
}

/// Returns the files that a pattern means, in order. A name without wildcards must exist.
fn included(pattern: &str, file: &Path) -> Result<Vec<PathBuf>> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let path = folder.map_or_else(|| PathBuf::from(pattern), |folder| folder.join(pattern));
    if !pattern.contains(WILDCARDS) {
        return if path.is_file() {
            Ok(vec![path])
        } else {
            Err(Error::invalid(format!("there is no file `{pattern}` to include")))
        };
    }
    let text = path.to_str().ok_or_else(|| Error::invalid("the path is not UTF-8"))?;
    let mut found = ops::glob(text, &CancelToken::new())?;
    found.retain(|path| path.is_file());
    Ok(found)
}

/// Returns every file and directory that a change of the jobs may come from, as far as the jobs file can be read: itself,
/// the files that it includes with the directories of their patterns, and the files of dates.
pub fn watched(path: &Path) -> Vec<PathBuf> {
    let mut watched = vec![path.to_owned()];
    let Ok(text) = read_text(path) else { return watched };
    let folder = path.parent().unwrap_or(Path::new(""));
    for (pattern, _) in patterns(&text) {
        watched.extend(folder.join(pattern).parent().map(Path::to_owned));
    }
    let Sources { files, .. } = load(text, path);
    for file in files.iter().filter(|file| file.text.contains("not_on")) {
        let (document, _) = DeTable::parse_recoverable(&file.text);
        dates(&DeValue::Table(document.into_inner()), folder, &mut watched);
    }
    watched.extend(files.into_iter().skip(1).map(|file| file.path));
    watched.sort_unstable();
    watched.dedup();
    watched
}

/// Adds the files that `not_on` names anywhere in `value`.
fn dates(value: &DeValue<'_>, folder: &Path, watched: &mut Vec<PathBuf>) {
    match value {
        DeValue::Array(all) => all.iter().for_each(|one| dates(one.get_ref(), folder, watched)),
        DeValue::Table(table) => {
            for (key, value) in table {
                match value.get_ref() {
                    DeValue::String(text) if key.get_ref() == "not_on" => {
                        watched.push(folder.join(&**text));
                    }
                    DeValue::Array(all) if key.get_ref() == "not_on" => {
                        let texts = all.iter().filter_map(|one| one.get_ref().as_str());
                        watched.extend(texts.map(|text| folder.join(text)));
                    }
                    other => dates(other, folder, watched),
                }
            }
        }
        _ => {}
    }
}

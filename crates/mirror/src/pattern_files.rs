//! Files with patterns or with names, which options of mirrors and deployments read: one pattern or name a line.

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use super::{gitignore::without_mark, options::MirrorOptions, patterns::check};
use portolan_core::{
    error::{Error, Result},
    limits::{ENTRIES_MAX, LIST_FILE_BYTES_MAX},
    option_table::{OptionKind, OptionRow},
};

/// The files that options name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatternFiles {
    /// Files of patterns of which a file must match one.
    pub include_from: Vec<String>,
    /// Files of patterns that are left out.
    pub exclude_from: Vec<String>,
    /// A file of the paths that take part.
    pub files_from: Option<String>,
}

impl PatternFiles {
    /// Reads the files, each once, into `options`: patterns come before those of the options themselves. `allow` returns
    /// the path under which a file may be read.
    pub fn read_into(
        self,
        options: &mut MirrorOptions,
        mut allow: impl FnMut(&str) -> Result<PathBuf>,
    ) -> Result<()> {
        let mut patterns = |files: Vec<String>, to: &mut Vec<String>| -> Result<()> {
            let mut all = Vec::new();
            for file in files {
                all.extend(pattern_lines(&read(&allow(&file)?)?, &file)?);
            }
            all.append(to);
            *to = all;
            Ok(())
        };
        patterns(self.include_from, &mut options.include)?;
        patterns(self.exclude_from, &mut options.exclude)?;
        if let Some(file) = self.files_from {
            options.files = Some(path_lines(&read(&allow(&file)?)?, &file)?);
        }
        Ok(())
    }
}

/// Returns the row of the option `include_from`, which mirrors and deployments share.
pub const fn include_from<T: 'static>(set: fn(&mut T, Vec<String>)) -> OptionRow<T> {
    OptionRow::new(
        "include_from",
        OptionKind::Texts(set),
        "files with such patterns, one a line, which come before those of `include`",
    )
    .flag("include-from", "Read patterns for --include from a file; may be repeated")
    .value_name("FILE")
}

/// Returns the row of the option `exclude_from`, which mirrors and deployments share.
pub const fn exclude_from<T: 'static>(set: fn(&mut T, Vec<String>)) -> OptionRow<T> {
    OptionRow::new(
        "exclude_from",
        OptionKind::Texts(set),
        "files with such patterns, one a line, which come before those of `exclude`; lines that begin with # are comments",
    )
    .flag("exclude-from", "Read patterns for --exclude from a file; may be repeated")
    .value_name("FILE")
}

/// Returns the text of the file at `path`.
fn read(path: &Path) -> Result<String> {
    let fault = |error| Error::local("read the list", path, error);
    let mut text = String::new();
    let file = fs::File::open(path).map_err(fault)?;
    file.take(LIST_FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(fault)?;
    if u64::try_from(text.len()).is_ok_and(|bytes| bytes > LIST_FILE_BYTES_MAX) {
        let message = format!("a list of more than {LIST_FILE_BYTES_MAX} bytes is not read");
        return Err(Error::invalid(message).at(path.to_string_lossy()));
    }
    Ok(without_mark(&text).to_owned())
}

/// Returns the lines of `text` with their numbers, without those that are blank or begin with `#`.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(text.lines().map(|line| line.trim_end_matches('\r')));
    lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
}

fn pattern_lines(text: &str, file: &str) -> Result<Vec<String>> {
    let pattern = |(number, line): (usize, &str)| {
        check(line).map_err(|fault| in_line(fault, number, file))?;
        Ok(line.to_owned())
    };
    lines(text).map(pattern).collect()
}

/// Returns the paths in `text`, each below the top. A list without any is a mistake: nothing would take part.
fn path_lines(text: &str, file: &str) -> Result<BTreeSet<String>> {
    let path = |(number, line): (usize, &str)| {
        let plain = line.strip_prefix("./").unwrap_or(line).trim_matches('/');
        let is_bad = plain.split('/').any(|part| matches!(part, "" | "." | ".."));
        if is_bad {
            let message = format!("`{line}` names no file or folder inside of the mirror");
            return Err(in_line(Error::invalid(message), number, file));
        }
        Ok(plain.to_owned())
    };
    let paths: BTreeSet<String> = lines(text).map(path).collect::<Result<_>>()?;
    if paths.is_empty() {
        let message = "the list of files names none: nothing would take part";
        return Err(Error::invalid(message).at(file));
    }
    if paths.len() > ENTRIES_MAX {
        let message = format!("the list has more than {ENTRIES_MAX} files");
        return Err(Error::invalid(message).at(file));
    }
    Ok(paths)
}

fn in_line(fault: Error, number: usize, file: &str) -> Error {
    Error { message: format!("line {number} of {file}: {}", fault.message), ..fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_files_has_a_path_a_line() {
        let paths = path_lines("# ours\n./a/b.txt\r\n\n/c/\nd e\n", "list").unwrap();
        assert_eq!(paths.into_iter().collect::<Vec<_>>(), ["a/b.txt", "c", "d e"]);
        for (text, why) in [
            ("a\n../b\n", "line 2 of list: `../b` names no file"),
            ("/\n", "line 1 of list: `/` names no file"),
            ("a//b\n", "line 1 of list: `a//b`"),
            ("# none\n", "names none"),
        ] {
            let fault = path_lines(text, "list").unwrap_err();
            assert!(fault.message.contains(why), "{text}: {fault}");
        }
    }

    #[test]
    fn patterns_of_files_come_before_those_of_options() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "*.map\n# no\n!b.map\n").unwrap();
        fs::write(folder.path().join("bad"), "*.map\n..\n").unwrap();
        let files = |names: &[&str]| PatternFiles {
            exclude_from: names.iter().map(ToString::to_string).collect(),
            ..PatternFiles::default()
        };
        let mut options =
            MirrorOptions { exclude: vec!["c.map".into()], ..MirrorOptions::default() };
        let allow = |name: &str| Ok(folder.path().join(name));
        files(&["a"]).read_into(&mut options, allow).unwrap();
        assert_eq!(options.exclude, ["*.map", "!b.map", "c.map"]);
        let fault = files(&["bad"]).read_into(&mut options, allow).unwrap_err();
        assert!(fault.message.starts_with("line 2 of bad: the pattern `..`"), "{fault}");
        assert!(files(&["gone"]).read_into(&mut options, allow).is_err());
    }
}

//! The files that a job names besides its script: programs around its work, and certificates.

use std::path::{Component, Path};

use super::Job;
use crate::secret::Secret;

/// The settings of a connection that name files.
const FILE_SETTINGS: [&str; 3] = ["ca_file", "client_cert", "client_key"];
/// The programs that run the file which is their first argument, without the number of a version.
const INTERPRETERS: [&str; 13] = [
    "sh", "bash", "dash", "ksh", "zsh", "python", "perl", "ruby", "node", "php", "awk", "gawk",
    "mawk",
];
/// The extensions by which a word without a directory is a program.
const PROGRAM_EXTENSIONS: [&str; 7] = ["sh", "bash", "py", "pl", "rb", "js", "awk"];

impl Job {
    /// Returns the paths of such files as the job names them, as far as they are relative.
    pub fn file_names(&self) -> impl Iterator<Item = &str> {
        let programs = self.programs.before.iter();
        let programs = programs.chain(&self.programs.after).chain(&self.programs.finally);
        let words =
            programs.flat_map(|words| own_words(words).into_iter().filter_map(|at| words.get(at)));
        let words = words.map(|word| &**word);
        let settings = self.connect.0.iter().filter(|(key, _)| FILE_SETTINGS.contains(&&**key));
        let settings = settings.map(|(_, value)| value.reveal()).filter(|name| is_relative(name));
        words.chain(settings)
    }

    /// Names those files by their paths in `folder`, the directory of a release, which is not the one in which runs work.
    pub fn place_in(&mut self, folder: &Path) {
        let placed = |name: &str| {
            let path = folder.join(name);
            path.is_file().then(|| path.to_string_lossy().into_owned())
        };
        let programs = self.programs.before.iter_mut();
        let programs = programs.chain(&mut self.programs.after).chain(&mut self.programs.finally);
        for words in programs {
            for at in own_words(words) {
                if let Some(word) = words.get_mut(at)
                    && let Some(path) = placed(word)
                {
                    *word = path;
                }
            }
        }
        for (key, value) in &mut self.connect.0 {
            if FILE_SETTINGS.contains(&&**key)
                && is_relative(value.reveal())
                && let Some(path) = placed(value.reveal())
            {
                *value = Secret::new(path);
            }
        }
    }
}

/// Returns the positions of the words of a program that are files beside the jobs file: the program itself, unless it has a
/// plain name, and the one that an interpreter runs. Other words may be files that it writes.
fn own_words(words: &[String]) -> Vec<usize> {
    let interpreter = words.iter().position(|word| is_interpreter(word));
    let run = interpreter.and_then(|at| {
        let after = words.iter().enumerate().skip(at + 1);
        after.filter(|(_, word)| !word.starts_with('-')).map(|(at, _)| at).next()
    });
    let is_own = |at: &usize| words.get(*at).is_some_and(|word| is_file_name(word));
    let all = [Some(0), run.filter(|at| *at > 0)];
    all.into_iter().flatten().filter(is_own).collect()
}

fn is_interpreter(word: &str) -> bool {
    let name = Path::new(word).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    INTERPRETERS.contains(&name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'))
}

fn is_file_name(word: &str) -> bool {
    let extension = Path::new(word).extension().and_then(|end| end.to_str()).unwrap_or_default();
    (word.contains('/') || PROGRAM_EXTENSIONS.contains(&extension)) && is_relative(word)
}

fn is_relative(name: &str) -> bool {
    let is_plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    !name.is_empty() && Path::new(name).components().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_and_that_of_an_interpreter_are_files_and_other_words_are_not() {
        for (words, wanted) in [
            ("hooks/a one.sh", &[0][..]),
            ("a.sh one.sh", &[0]),
            ("pg_dump one.sh", &[]),
            ("esbuild app.ts --out site.js", &[]),
            ("sh hooks/a one.sh", &[1]),
            ("/usr/bin/python3.11 -u a.py out.py", &[2]),
            ("timeout 60 bash hooks/a.sh", &[3]),
            ("awk -f a.awk data.awk", &[2]),
            ("sh /usr/lib/a.sh b.sh", &[]),
            ("sh ../a.sh", &[]),
            ("sh", &[]),
        ] {
            let all: Vec<_> = words.split(' ').map(str::to_owned).collect();
            assert_eq!(own_words(&all), wanted, "{words}");
        }
    }
}

//! The files that a job names besides its script: programs around its work, and certificates.

use std::path::{Component, Path};

use super::Job;
use crate::secret::Secret;

/// The settings of a connection that name files.
const FILE_SETTINGS: [&str; 3] = ["ca_file", "client_cert", "client_key"];
/// The extensions by which an argument of a program is a program as well, such as that of an interpreter.
const PROGRAM_EXTENSIONS: [&str; 7] = ["sh", "bash", "py", "pl", "rb", "js", "awk"];

impl Job {
    /// Returns the paths of such files as the job names them, as far as they are relative.
    pub fn file_names(&self) -> impl Iterator<Item = &str> {
        let programs = self.programs.before.iter();
        let programs = programs.chain(&self.programs.after).chain(&self.programs.finally);
        let words = programs.flat_map(|words| words.iter().enumerate());
        let words = words.filter(|(at, word)| is_file_name(*at, word)).map(|(_, word)| &**word);
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
            let named = words.iter_mut().enumerate().filter(|(at, word)| is_file_name(*at, word));
            for (_, word) in named {
                if let Some(path) = placed(word) {
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

/// Returns true for a word of a program that is a file beside the jobs file: the program itself, unless it has a plain name, or
/// a program for an interpreter.
fn is_file_name(at: usize, word: &str) -> bool {
    let extension = Path::new(word).extension().and_then(|end| end.to_str()).unwrap_or_default();
    let is_program = at == 0 && word.contains('/') || PROGRAM_EXTENSIONS.contains(&extension);
    is_program && is_relative(word)
}

fn is_relative(name: &str) -> bool {
    let is_plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    !name.is_empty() && Path::new(name).components().all(is_plain)
}

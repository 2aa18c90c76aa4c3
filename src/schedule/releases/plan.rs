//! The plan of a release: which files it has, and why it cannot be published.

use std::{
    collections::BTreeMap,
    env,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use crate::store::releases::{NewRelease, ReleaseFile};

use super::{BYTES_MAX, FILES_MAX, FORMAT, content_digest, release_digest, secret_files};
use crate::{
    clock::Clock,
    error::{
        Error, ErrorKind, Origin, Result,
        fleet_codes::{FLEET_SECRET_FILE, FLEET_TOO_LARGE},
    },
    files::ops,
    observe::visible::visible,
    schedule::{
        jobs::{self, Jobs, watched},
        notify::host_name,
        zone::Zones,
    },
    script::{
        check::{Severity, check_all, import_files},
        raise::ScriptLocation,
        redact::Veil,
        source::ScriptSource,
    },
};

/// The extensions of files whose text is looked through for passwords.
const TEXTS: [&str; 2] = ["rhai", "toml"];

/// The files of a release that is to be published.
#[derive(Debug)]
pub struct ReleasePlan {
    /// The name of the jobs file among them.
    pub jobs_file: String,
    /// The hash of all of them.
    pub digest: String,
    /// The files with their contents, sorted by path.
    pub files: Vec<(ReleaseFile, Vec<u8>)>,
    /// Warnings: files that are not part of it, and lines that look like passwords.
    pub warnings: Vec<String>,
    /// The files with absolute paths elsewhere, which are not part of it.
    pub outside: Vec<PathBuf>,
}

impl ReleasePlan {
    /// Reads the jobs file, what it includes and names, and the imports of its scripts. Fails if one of them is a secret,
    /// is outside of the directory of the jobs file, or if they are too many or too large.
    /// `passwords` are the places of those that stand in the jobs file.
    pub fn read(
        jobs: &Jobs,
        scripts: &[ScriptSource],
        passwords: &[ScriptLocation],
    ) -> Result<Self> {
        refuse_passwords(passwords)?;
        let folder = jobs.file.parent().unwrap_or(Path::new(""));
        let mut plan = Collector { folder, files: BTreeMap::new(), bytes: 0, outside: Vec::new() };
        plan.add(&jobs.file)?;
        for path in named_files(jobs) {
            plan.add(&path)?;
        }
        for script in scripts {
            for path in import_files(script) {
                plan.add(&path)?;
            }
        }
        let Collector { files, outside, .. } = plan;
        let mut warnings: Vec<_> = outside
            .iter()
            .map(|path| {
                let path = visible(path.as_os_str().as_encoded_bytes());
                format!("`{path}` is no part of the release: each machine needs it")
            })
            .collect();
        let files: Vec<_> = files.into_values().collect();
        warnings.extend(files.iter().filter_map(|(file, bytes)| password_in(file, bytes)));
        let name = jobs.file.file_name().unwrap_or_default();
        let jobs_file = name.to_string_lossy().into_owned();
        let digest = release_digest(&jobs_file, files.iter().map(|(file, _)| file));
        Ok(Self { jobs_file, digest, files, warnings, outside })
    }

    /// Checks the release by itself, as a machine will have it. Fails if it lacks a file, or if files were changed after the
    /// check of the jobs file.
    pub fn check(&self) -> Result<()> {
        let folder = tempfile::tempdir()
            .map_err(|error| Error::local("make a folder in", env::temp_dir(), error))?;
        self.check_in(folder.path())
    }

    fn check_in(&self, folder: &Path) -> Result<()> {
        for (file, bytes) in &self.files {
            super::folder::write(&folder.join(&file.path), file.is_program, bytes)?;
        }
        let incomplete = |fault: Error| {
            let shown = format!("{}/", folder.display());
            let message = format!("the release is not complete: {fault}").replace(&shown, "");
            Error::invalid(message)
        };
        let file = folder.join(&self.jobs_file);
        let reading = jobs::read(&file, &Zones::newest(), Clock::System.now())?;
        let scripts: Result<Vec<_>> = reading.scripts.iter().map(ScriptSource::read).collect();
        reading.into_jobs().map_err(incomplete)?;
        let findings = check_all(&scripts?);
        let wrong = findings.into_iter().find(|finding| finding.level == Severity::Error);
        wrong.map_or(Ok(()), |finding| {
            let at = format!("{}:{}", finding.place.file, finding.place.line);
            Err(incomplete(Error::invalid(finding.message).at(at)))
        })
    }

    /// Returns the release as the store takes it.
    pub fn release(&self, jobs: &Jobs, message: Option<String>, keep: u32) -> NewRelease {
        NewRelease {
            digest: self.digest.clone(),
            jobs_digest: jobs.release.clone(),
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            jobs_file: self.jobs_file.clone(),
            by: publisher(),
            message,
            files: self.files.clone(),
            keep,
        }
    }
}

/// Returns the user and the host of this process.
pub fn publisher() -> String {
    let name = |key: &str| env::var(key).ok().filter(|name| !name.is_empty());
    let user = name("USER").or_else(|| name("LOGNAME"));
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    format!("{}@{}", visible(user), host_name())
}

/// Returns every file that the jobs name, as seen from the current directory.
fn named_files(jobs: &Jobs) -> Vec<PathBuf> {
    let folder = jobs.file.parent().unwrap_or(Path::new(""));
    let mut found: Vec<_> = watched(&jobs.file).into_iter().filter(|path| path.is_file()).collect();
    let runner = &jobs.runner;
    let of_runner = [&runner.listen.cert, &runner.listen.key, &jobs.mail.ca_file];
    found.extend(of_runner.into_iter().flatten().cloned());
    // A program with a plain name is one of the system.
    let is_own = |path: &&PathBuf| path.starts_with(folder) && path.is_file();
    found.extend(jobs.mail.sendmail.iter().filter(is_own).cloned());
    for job in &jobs.all {
        if job.task.is_none() {
            found.push(job.script.clone());
        }
        let paths = job.file_names().map(|name| folder.join(name));
        found.extend(paths.filter(|path| path.is_file()));
    }
    found
}

/// The files that were collected so far.
struct Collector<'f> {
    folder: &'f Path,
    files: BTreeMap<String, (ReleaseFile, Vec<u8>)>,
    bytes: u64,
    /// The files with absolute paths elsewhere.
    outside: Vec<PathBuf>,
}

impl Collector<'_> {
    fn add(&mut self, path: &Path) -> Result<()> {
        let shown = visible(path.as_os_str().as_encoded_bytes());
        let relative = path.strip_prefix(self.folder).unwrap_or(path);
        let relative: PathBuf =
            relative.components().filter(|part| *part != Component::CurDir).collect();
        if relative.is_absolute() {
            if !self.outside.contains(&relative) {
                self.outside.push(relative);
            }
            return Ok(());
        }
        if relative.components().any(|part| part == Component::ParentDir) {
            let message = "it is outside of the directory of the jobs file: a release has the files in and below that";
            return Err(Error::invalid(message).at(shown));
        }
        let Some(name) = relative.to_str() else {
            return Err(Error::invalid("a release has files with names in UTF-8 only").at(shown));
        };
        if self.files.contains_key(name) {
            return Ok(());
        }
        let data = path.metadata().map_err(|error| Error::local("read", path, error))?;
        let mode = data.mode();
        self.bytes += data.len();
        if self.bytes > BYTES_MAX || self.files.len() >= FILES_MAX {
            let message = format!(
                "a release has at most {FILES_MAX} files with {} MiB together",
                BYTES_MAX / (1024 * 1024)
            );
            return Err(Error::invalid(message).at(shown).with_name(FLEET_TOO_LARGE));
        }
        // It may have grown.
        let bytes = ops::read(path, BYTES_MAX)?;
        refuse_secret(&relative, path, &bytes).map_err(|fault| fault.at(&*shown))?;
        let file = ReleaseFile {
            path: name.to_owned(),
            digest: content_digest(&bytes),
            bytes: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            is_program: mode & 0o111 != 0,
        };
        self.files.insert(name.to_owned(), (file, bytes));
        Ok(())
    }
}

/// Fails for a file that holds a secret, by its name or by that of the file to which it is a link.
fn refuse_secret(relative: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let of_link = (real.file_name() != path.file_name())
        .then(|| secret_files::reason(real.file_name().unwrap_or_default().as_ref(), &[]))
        .flatten();
    let Some(why) = secret_files::reason(relative, bytes).or(of_link) else { return Ok(()) };
    Err(secret(format!("{why}, and secrets are not published")))
}

fn secret(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Guard, Origin::Here, message).with_name(FLEET_SECRET_FILE)
}

/// Fails if a password stands in the jobs file, in place of the name of a secret.
fn refuse_passwords(passwords: &[ScriptLocation]) -> Result<()> {
    let Some(first) = passwords.first() else { return Ok(()) };
    let message = "a password stands in the jobs file, and secrets are not published: `secret:NAME` takes it from a \
                   secret of each machine";
    Err(secret(message).at(format!("{}:{}", visible(&first.file), first.line)))
}

/// Returns a warning if a line of a script or of a jobs file looks like one with a password.
fn password_in(file: &ReleaseFile, bytes: &[u8]) -> Option<String> {
    let extension = Path::new(&file.path).extension()?.to_str()?;
    if !TEXTS.contains(&extension) {
        return None;
    }
    let path = visible(&file.path);
    if bytes.len() > Veil::TEXT_BYTES_MAX {
        let limit = Veil::TEXT_BYTES_MAX / 1024;
        return Some(format!(
            "{path}: it is longer than {limit} KiB, so it was not looked through for passwords"
        ));
    }
    let text = str::from_utf8(bytes).ok()?;
    let line = Veil::of(&file.path, text).first_line(text)?;
    Some(format!(
        "{path}:{line}: this looks like a password, which everybody would see who has the login of the database: \
         secret(\"NAME\") takes it from each machine"
    ))
}

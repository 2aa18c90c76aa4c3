//! The program as a black box: a working directory, arguments, and the result.
//!
//! ```ignore
//! Portolan::new()
//!     .file("a.txt", "a longer new text")
//!     .server(&server)
//!     .script(
//!         r#"
//!         let site = ftp::connect(env("SITE"), #{ password: secret("SITE_PASSWORD") });
//!         site.put("a.txt", "in/a.txt");
//!         "#,
//!     )
//!     .run()
//!     .succeeds()
//!     .stdout("in/a.txt  17 bytes\n");
//! ```
//!
//! Results without a check must be empty: an exit code other than 0, output, errors, and changes in the directory
//! without a check fail the test when its [`Ran`] is dropped.

pub(crate) mod leaks;
mod ran;
mod running;

use std::{
    collections::BTreeSet,
    env,
    ffi::{OsStr, OsString},
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use tempfile::TempDir;

use self::{
    leaks::{FilesBefore, UsersSecrets},
    running::RunTraces,
};
pub(crate) use self::{ran::Ran, running::Running};
use super::{server::RealServer, tree::Manifest};

/// A run of the program that has not begun.
#[derive(Clone)]
pub(crate) struct Portolan {
    program: PathBuf,
    folders: Arc<Folders>,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    stdin: Option<Vec<u8>>,
    /// Further directories in which no secret may be left.
    watched: Vec<PathBuf>,
    /// The reason why it may print secrets.
    tells: Option<&'static str>,
}

/// The working directory, and an empty home directory; both removed with the last user.
struct Folders {
    work: TempDir,
    home: TempDir,
}

impl Portolan {
    /// Returns the program, in an empty directory, with no arguments and an environment of its own.
    pub(crate) fn new() -> Self {
        Self::played_by(env!("CARGO_BIN_EXE_portolan"))
    }

    /// Returns another program in its place.
    pub(crate) fn played_by(program: impl Into<PathBuf>) -> Self {
        let folder = || tempfile::Builder::new().prefix("portolan-test-").tempdir().unwrap();
        Self {
            program: program.into(),
            folders: Arc::new(Folders { work: folder(), home: folder() }),
            arguments: Vec::new(),
            environment: Vec::new(),
            stdin: None,
            watched: Vec::new(),
            tells: None,
        }
    }

    /// Returns the same program among the mounts of the process `pid`; later arguments are still the program's.
    pub(crate) fn played_in_mounts_of(self, pid: u32) -> Self {
        let (mounts, folder) = (format!("--mount=/proc/{pid}/ns/mnt"), self.folder().to_owned());
        let mut words: Vec<OsString> = vec![mounts.into()];
        words.push(format!("--wd={}", folder.display()).into());
        words.push(self.program.clone().into());
        words.extend(self.arguments.iter().cloned());
        Self { program: "nsenter".into(), arguments: words, ..self }
    }

    /// Returns its working directory.
    pub(crate) fn folder(&self) -> &Path {
        self.folders.work.path()
    }

    /// Writes a file into its directory, and creates the parent directories.
    pub(crate) fn file(self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Self {
        let path = self.folder().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    /// Runs this text: `portolan run script.rhai`; further arguments are the script's.
    pub(crate) fn script(self, text: &str) -> Self {
        self.file("script.rhai", text).args(["run", "script.rhai"])
    }

    pub(crate) fn args<T: Into<OsString>>(mut self, all: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(all.into_iter().map(Into::into));
        self
    }

    /// Returns the same program in the same directory, with further arguments.
    pub(crate) fn clone_with<T: Into<OsString>>(&self, all: impl IntoIterator<Item = T>) -> Self {
        self.clone().args(all)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().into()));
        self
    }

    /// Looks for secrets in `folder` as well, after each run.
    pub(crate) fn watched(mut self, folder: &Path) -> Self {
        self.watched.push(folder.to_owned());
        self
    }

    /// Lets it print secrets and write them into files of the test, for the reason `why`. Its state has none all the same.
    pub(crate) fn tells_secrets(mut self, why: &'static str) -> Self {
        self.tells = Some(why);
        self
    }

    /// Sets `SITE`, `SITE_PASSWORD` and `SITE_CA` in its environment to those of a server.
    pub(crate) fn server(self, server: &RealServer) -> Self {
        self.env("SITE", server.url())
            .env("SITE_PASSWORD", RealServer::PASSWORD)
            .env("SITE_CA", server.ca())
    }

    /// Sets its standard input, which is empty otherwise.
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Runs it to its end. It can be run again in the same directory.
    ///
    /// # Panics
    /// If it does not end within three minutes.
    pub(crate) fn run(&self) -> Ran {
        self.spawn().wait()
    }

    /// Starts it, for tests that observe it or send signals.
    pub(crate) fn spawn(&self) -> Running {
        let secrets = self.secrets();
        // Temporary files are looked through afterwards, too; a program of another user may write elsewhere.
        let temporary = (!secrets.is_empty()).then(|| {
            let temporary = self.folders.home.path().join("tmp");
            fs::create_dir_all(&temporary).unwrap();
            ("TMPDIR", temporary)
        });
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .current_dir(self.folder())
            .env_clear()
            .envs(env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", self.folders.home.path())
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .envs(temporary)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let before = Manifest::of(self.folder());
        let traces = RunTraces {
            secrets,
            before: FilesBefore::of(self.folder()),
            folders: self.places(),
            work: self.folder().to_owned(),
            tells: self.tells.is_some(),
        };
        let child = command.spawn().unwrap();
        Running::watch(child, self.stdin.clone(), Arc::clone(&self.folders), before, traces)
    }

    /// Returns the secrets that it is given: in variables that are named as such or that a script or jobs file names, in
    /// URLs, and in files.
    fn secrets(&self) -> BTreeSet<String> {
        let places = self.places();
        let mut names: BTreeSet<String> = BTreeSet::new();
        let mut secrets: BTreeSet<String> = BTreeSet::new();
        for folder in &places {
            let found = UsersSecrets::below(folder);
            names.extend(found.names);
            secrets.extend(found.values);
        }
        for (name, value) in &self.environment {
            let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
            if ["PASSWORD", "SECRET", "TOKEN"].iter().any(|end| name.ends_with(end))
                || names.contains(&*name)
            {
                secrets.insert(value.clone().into_owned());
            }
            secrets.extend(leaks::secrets_in(&value));
        }
        let arguments: Vec<_> = self.arguments.iter().map(|text| text.to_string_lossy()).collect();
        secrets.extend(arguments.iter().flat_map(|text| leaks::secrets_in(text)));
        for pair in arguments.windows(2) {
            let [flag, file] = pair else { continue };
            if flag == "--password-file" {
                let text = fs::read_to_string(self.folder().join(&**file)).unwrap_or_default();
                secrets.extend(text.lines().next().map(str::to_owned));
            }
        }
        secrets.retain(|text| leaks::is_searchable(text));
        secrets
    }

    /// Returns the directories in which no secret may be left: its home with its state, its working directory, and those
    /// that its environment and the test name.
    fn places(&self) -> Vec<PathBuf> {
        let named = |(name, value): &(OsString, OsString)| {
            let names = ["HOME", "PORTOLAN_STATE", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "TMPDIR"];
            let is_place = names.iter().any(|place| *name == **place);
            is_place.then(|| PathBuf::from(value)).filter(|path| path.is_absolute())
        };
        let mut places = vec![self.folders.home.path().to_owned(), self.folder().to_owned()];
        places.extend(self.environment.iter().filter_map(named));
        places.extend(self.watched.iter().cloned());
        places
    }
}

#[cfg(test)]
mod tests;

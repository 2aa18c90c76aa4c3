//! The recording of a run: the file, its header, and its end.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest, Sha256};

use super::common::Common;
use crate::{
    encoding::to_hex,
    error::{Error, Result},
    exit_code::Exit,
    ftp::{recorder::RunRecorder, replayed::RecordedServerStore, session::RunContext, site::Site},
    observe::account::Accounts,
    recording::{
        RecordedEvent, RecordedFailure, RecordedLine, RecordedScript, Recording, RecordingHeader,
        VERSION, anonymized,
    },
    script::{run::Settings, source::ScriptSource},
};

/// A recording in progress.
pub(super) struct RunRecording(Arc<RunRecorder>);

/// Creates the file of a recording, which only this user may read.
///
/// # Errors
///
/// `invalid` if there is a file already, `local` if it cannot be made.
pub(super) fn create(path: &Path) -> Result<File> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let message = "there is a file already: a recording overwrites none, name another";
            Error::invalid(message).at(path.to_string_lossy())
        }
        _ => Error::local("make the recording", path, error),
    })
}

impl RunRecording {
    /// Begins the recording of a run of `source` in `file`, and lets `context` record what passes.
    pub(super) fn begin(
        file: File,
        common: &Common,
        source: &ScriptSource,
        settings: &Settings,
        context: &mut RunContext,
    ) -> Self {
        let header = RecordingHeader {
            version: VERSION,
            portolan: env!("CARGO_PKG_VERSION").to_owned(),
            command: "run".to_owned(),
            started: context.clock.now().as_second(),
            script: Some(RecordedScript {
                path: source.shown().to_owned(),
                sha256: script_hash(source),
            }),
            args: settings.args.iter().map(|arg| without_login(arg)).collect(),
            job: settings.job.name.clone(),
            job_args: settings.job.args.clone(),
            options: common.shown_options(),
        };
        let secrets = settings.password.iter();
        let recorder =
            RunRecorder::begin(Box::new(file), context.observer.clone(), header, secrets);
        if let Some(memory) = context.memory.take() {
            let store = RecordedServerStore::new(memory, Arc::clone(&recorder));
            context.memory = Some(Arc::new(store));
        }
        context.recorder = Some(Arc::clone(&recorder));
        Self(recorder)
    }

    /// Records the end of the run.
    pub(super) fn end(self, exit: Exit, accounts: &Accounts) {
        let failure = accounts.account().fault.map(|fault| RecordedFailure {
            kind: fault.kind,
            code: fault.name,
            message: fault.words,
            ..RecordedFailure::default()
        });
        self.0.end(exit.code(), failure);
    }
}

/// A recording that may be published. It is kept in memory until its end, when all names in it are known.
pub(super) struct PublicRecording {
    file: File,
    recorder: Arc<RunRecorder>,
    lines: SharedLines,
}

/// The lines of a recording in memory.
#[derive(Debug, Clone, Default)]
struct SharedLines(Arc<Mutex<Vec<u8>>>);

impl Write for SharedLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PublicRecording {
    /// Begins the recording of a diagnosis of `site`, which goes to `file` at its end.
    pub(super) fn begin(file: File, site: &Site, context: &mut RunContext) -> Self {
        let header = RecordingHeader {
            version: VERSION,
            portolan: env!("CARGO_PKG_VERSION").to_owned(),
            command: "doctor".to_owned(),
            started: context.clock.now().as_second(),
            ..RecordingHeader::default()
        };
        let lines = SharedLines::default();
        let sink = Box::new(lines.clone());
        let secrets = site.password.iter();
        let recorder = RunRecorder::begin(sink, context.observer.clone(), header, secrets);
        context.recorder = Some(Arc::clone(&recorder));
        Self { file, recorder, lines }
    }

    /// Writes the recording of a diagnosis that has ended with `exit`.
    pub(super) fn end(mut self, exit: Exit) -> Result<()> {
        self.recorder.end(exit.code(), None);
        let bytes =
            std::mem::take(&mut *self.lines.0.lock().unwrap_or_else(PoisonError::into_inner));
        let Recording { header, lines, .. } = Recording::read(bytes.as_slice())?;
        let event = RecordedEvent::Recording(header);
        let head = RecordedLine { session: 0, ms: 0, event };
        let mut text = Vec::new();
        for line in anonymized(std::iter::once(head).chain(lines).collect()) {
            text.extend(serde_json::to_vec(&line).unwrap_or_default());
            text.push(b'\n');
        }
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // A part of it is nothing to publish.
            self.file.set_len(0).ok();
        }
        written.map_err(|error| Error::local("write", "the recording", error))
    }
}

/// Returns the hash by which a script is recognized.
pub(super) fn script_hash(source: &ScriptSource) -> String {
    to_hex(Sha256::digest(source.text().as_bytes()))
}

/// Returns an argument with the password of a URL masked.
fn without_login(arg: &str) -> String {
    let Some((scheme, rest)) = arg.split_once("://") else { return arg.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@').map(|(login, host)| (login.split_once(':'), host)) {
        Some((Some((user, _)), host)) => format!("{scheme}://{user}:***@{host}{path}"),
        _ => arg.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_a_url_is_masked_in_arguments() {
        for (arg, shown) in [
            ("ftp://me:hunter2@h/x@y", "ftp://me:***@h/x@y"),
            ("ftp://me:p@ss@h", "ftp://me:***@h"),
            ("ftp://me@h/a:b@c", "ftp://me@h/a:b@c"),
            ("a:b@c", "a:b@c"),
        ] {
            assert_eq!(without_login(arg), shown);
        }
    }
}

//! A real mail server, as `tests/servers/install` has it: aiosmtpd, with TLS and a login.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    certificates::{self, Certificate, Files},
    server::skip,
    wait,
};

const PROGRAM: &str = include_str!("smtp_server.py");

/// The maximum time for a mail to arrive.
const TIME_MAX: Duration = Duration::from_secs(50);

/// A mail server. Its login is `portolan` with [`MailServer::PASSWORD`]; it refuses mail for `unknown@…`.
pub(crate) struct MailServer {
    folder: TempDir,
    files: Files,
    process: Child,
    pub(crate) port: u16,
}

impl MailServer {
    pub(crate) const PASSWORD: &str = "canary-mail-9z";

    /// Starts a server whose TLS is `plain`, `starttls` or `implicit`. `None` if it cannot run here, which has then been
    /// reported.
    pub(crate) fn start(tls: &str) -> Option<Self> {
        let packages = env::var_os("PORTOLAN_TEST_SERVERS").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-servers"),
            PathBuf::from,
        );
        let packages = packages.join("usr/lib/python3/dist-packages");
        if !packages.join("aiosmtpd").is_dir() {
            skip("no aiosmtpd here: run tests/servers/install");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let files = certificates::write(Certificate::Good, folder.path());
        let mut process = Command::new("python3")
            .args(["-c", PROGRAM, tls])
            .args([&files.certificate, &files.key])
            .arg(folder.path())
            .env("PYTHONPATH", packages)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let said = process.stdout.take().unwrap();
        BufReader::new(said).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap();
        Some(Self { folder, files, process, port })
    }

    /// Returns the certificate of its authority.
    pub(crate) fn ca(&self) -> &Path {
        &self.files.ca
    }

    /// Returns the mails so far.
    pub(crate) fn mails(&self) -> Vec<Value> {
        let mut paths: Vec<_> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .collect();
        paths.sort();
        paths.iter().map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect()
    }

    /// Waits for a mail that matches `wanted`.
    #[track_caller]
    pub(crate) fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = wait::until(TIME_MAX, || self.mails().into_iter().find(|mail| wanted(mail)));
        found.unwrap_or_else(|| panic!("no such mail among {:#?}", self.mails()))
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

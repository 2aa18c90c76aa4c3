//! The commands that a user runs around a deployment: a build before it, a purge of caches or a message after it.

use std::{
    io::{self, Write as _},
    os::fd::AsFd,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    deploy::DeployReport,
    error::{Error, ErrorKind, Origin, Result},
};

/// The variable whose value never reaches a command.
const PASSWORD: &str = "PORTOLAN_PASSWORD";

/// The flags for commands around a deployment.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct DeployHooks {
    /// Command to run before the deployment; if it fails, nothing is deployed
    #[arg(long, value_name = "COMMAND")]
    before: Vec<String>,
    /// Command to run after a successful deployment, such as the purge of a cache
    #[arg(long, value_name = "COMMAND")]
    after: Vec<String>,
    /// Command to run after a failed deployment
    #[arg(long, value_name = "COMMAND")]
    on_failure: Vec<String>,
}

impl DeployHooks {
    /// Runs the commands before the deployment of `folder` to `url`.
    pub(super) fn before(&self, folder: &Path, url: &str) -> Result<()> {
        let facts = [("FOLDER", folder.to_string_lossy().into_owned()), ("URL", url.to_owned())];
        self.before.iter().try_for_each(|command| run(command, &facts))
    }

    /// Runs the commands after a deployment to `url` that ended with `report`, or with an error unless it `is_done`.
    pub(super) fn after(&self, url: &str, is_done: bool, report: &DeployReport) -> Result<()> {
        let is_done = is_done && report.report.failed == 0;
        let facts = [
            ("URL", url.to_owned()),
            ("OUTCOME", if is_done { "done" } else { "failed" }.to_owned()),
            ("UPLOADED", report.report.uploaded.to_string()),
            ("DELETED", report.report.deleted.to_string()),
            ("FAILED", report.report.failed.to_string()),
            ("RELEASE", report.release.clone()),
        ];
        let commands = if is_done { &self.after } else { &self.on_failure };
        commands.iter().try_for_each(|command| run(command, &facts))
    }
}

/// Runs `command` in a shell, with the facts in its environment. What it prints goes to standard error, since standard
/// output is for results.
fn run(command: &str, facts: &[(&str, String)]) -> Result<()> {
    let fault = |why: String| {
        let message = format!("the command `{command}` {why}");
        Error::new(ErrorKind::Local, Origin::Here, message)
    };
    io::stderr().flush().ok();
    let output = io::stderr().as_fd().try_clone_to_owned();
    let output = output.map_err(|error| fault(format!("cannot be run: {error}")))?;
    let status = Command::new("/bin/sh")
        .args(["-c", command])
        .envs(facts.iter().map(|(name, value)| (format!("PORTOLAN_DEPLOY_{name}"), value)))
        .env_remove(PASSWORD)
        .stdin(Stdio::null())
        .stdout(output)
        .status()
        .map_err(|error| fault(format!("cannot be run: {error}")))?;
    if status.success() { Ok(()) } else { Err(fault(format!("failed: {status}"))) }
}

//! The output for CI systems: annotations, a summary of the step, and values for the steps that follow.

use std::{
    env,
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

use clap::ValueEnum;

use super::report;
use crate::{
    deploy::DeployReport,
    error::{Error, Result},
    observe::{format_size, visible::visible},
};

/// The maximum number of failures that get an annotation each: GitHub shows ten for a step.
const ANNOTATIONS_MAX: usize = 10;
/// The file with values for later jobs of GitLab.
const DOTENV: &str = "portolan.env";

/// A CI system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CiSystem {
    /// GitHub Actions, and those that understand its commands (Gitea, Forgejo).
    #[value(name = "github")]
    GitHub,
    /// GitLab CI/CD.
    #[value(name = "gitlab")]
    GitLab,
}

/// The results of a deployment, as CI systems show them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DeployOutcome {
    line: String,
    errors: Vec<String>,
    /// The values for later steps.
    values: Vec<(&'static str, String)>,
    table: String,
    is_dry_run: bool,
}

impl DeployOutcome {
    /// Returns the outcome of a deployment.
    pub(super) fn of(deployed: &DeployReport) -> Self {
        let report = &deployed.report;
        let changed = if deployed.dry_run {
            deployed.planned.transfers + deployed.planned.deletes
        } else {
            report.uploaded + report.deleted
        };
        let values = vec![
            ("changed", changed.to_string()),
            ("uploaded", report.uploaded.to_string()),
            ("deleted", report.deleted.to_string()),
            ("unchanged", report.unchanged.to_string()),
            ("failed", report.failed.to_string()),
            ("bytes", report.bytes.to_string()),
            ("release", deployed.release.clone()),
        ];
        let planned = deployed.planned;
        let (sent, bytes, deleted) = if deployed.dry_run {
            (planned.transfers, planned.bytes, planned.deletes)
        } else {
            (report.uploaded, report.bytes, report.deleted)
        };
        let table = format!(
            "| sent | size | deleted | unchanged | failed |\n|---|---|---|---|---|\n| {sent} | {} | {deleted} | {} | {} |\n",
            format_size(bytes),
            report.unchanged,
            report.failed,
        );
        let errors = report.errors.iter().map(ToString::to_string).collect();
        let is_dry_run = deployed.dry_run;
        Self { line: deployed.to_string(), errors, values, table, is_dry_run }
    }

    /// Returns the lines on standard output.
    fn lines(&self, system: CiSystem) -> String {
        let errors = self.errors.iter().take(ANNOTATIONS_MAX);
        match system {
            CiSystem::GitHub => {
                let title = match (self.is_dry_run, self.errors.is_empty()) {
                    (true, _) => "Dry run",
                    (false, true) => "Deployed",
                    (false, false) => "Deployed in part",
                };
                let notice = format!("::notice title={title}::{}\n", escaped(&self.line));
                errors.map(|text| error_line(text)).chain([notice]).collect()
            }
            // What failed has been printed, and GitLab has no annotations of lines.
            CiSystem::GitLab => String::new(),
        }
    }
}

/// Returns the annotation of a failure.
fn error_line(text: &str) -> String {
    format!("::error title=Not deployed::{}\n", escaped(text))
}

/// Returns `text` as the data of a workflow command.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

impl CiSystem {
    /// Writes the annotation of an error that ended the command.
    pub(super) fn annotate(self, fault: &Error) {
        if self == Self::GitHub {
            report::output(&error_line(&fault.to_string()));
        }
    }

    /// Writes everything about the end of a deployment.
    pub(super) fn tell(self, outcome: &DeployOutcome) -> Result<()> {
        report::output(&outcome.lines(self));
        self.keep(outcome, &outcome.table)
    }

    /// Writes what later steps get of a deployment that failed as a whole; its annotation has been written.
    pub(super) fn tell_failure(self, outcome: &DeployOutcome, fault: &Error) -> Result<()> {
        let reason = visible(fault.to_string()).replace('<', "&lt;");
        self.keep(outcome, &format!("**Not deployed**: {reason}\n"))
    }

    /// Writes the values and the summary to the files that the CI system names.
    fn keep(self, outcome: &DeployOutcome, summary: &str) -> Result<()> {
        let named = |variable| env::var_os(variable).map(PathBuf::from);
        match self {
            Self::GitHub => {
                let values = outcome.values.iter().map(|(name, value)| format!("{name}={value}\n"));
                if let Some(file) = named("GITHUB_OUTPUT") {
                    append(&file, &values.collect::<String>())?;
                }
                if let Some(file) = named("GITHUB_STEP_SUMMARY") {
                    append(&file, summary)?;
                }
            }
            Self::GitLab => {
                let line = |(name, value): &(&str, String)| {
                    format!("PORTOLAN_{}={value}\n", name.to_ascii_uppercase())
                };
                append(Path::new(DOTENV), &outcome.values.iter().map(line).collect::<String>())?;
            }
        }
        Ok(())
    }
}

fn append(file: &Path, text: &str) -> Result<()> {
    let opened = OpenOptions::new().append(true).create(true).open(file);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Error::local("write for the CI system", file, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, Origin};

    #[test]
    fn github_gets_an_annotation_for_each_failure_and_one_line_for_the_whole() {
        let mut deployed = DeployReport::default();
        deployed.report.uploaded = 2;
        let fault = Error::new(ErrorKind::Refused, Origin::Server, "50% of it\nis refused");
        deployed.report.failed = 1;
        deployed.report.errors.push(fault);
        let lines = DeployOutcome::of(&deployed).lines(CiSystem::GitHub);
        assert_eq!(
            lines,
            "::error title=Not deployed::50%25 of it%0Ais refused\n\
             ::notice title=Deployed in part::2 files sent (0 B), 0 deleted, 0 unchanged, 1 failed\n"
        );
        let outcome = DeployOutcome::of(&deployed);
        assert_eq!(outcome.values[0], ("changed", "2".to_owned()));
        assert!(outcome.table.ends_with("| 2 | 0 B | 0 | 0 | 1 |\n"));
        assert_eq!(outcome.lines(CiSystem::GitLab), "");
    }
}

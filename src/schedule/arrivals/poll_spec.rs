//! The instructions to the process that looks at a server, and the lines that it writes.

use std::{fmt, io::BufRead};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind, Origin, Result},
    permissions::PermissionOptions,
};

/// The instructions to the process that looks at a server: one line of JSON through a pipe, since it may contain a
/// password.
#[derive(Clone, Serialize, Deserialize)]
pub struct PollSpec {
    /// The job.
    pub job: String,
    /// The URL or saved site, as `ftp::connect` takes it. It may contain a password.
    pub site: String,
    /// The directory.
    pub directory: String,
    /// The milliseconds between two looks.
    pub every_ms: u64,
    /// The connect options of the job, as `KEY=VALUE`. They may contain a password.
    pub connect: Vec<String>,
    /// The table `[job.permissions]`, which confines this process as it does the runs.
    pub permissions: Option<PermissionOptions>,
    /// The process id of the scheduler.
    pub parent: u32,
}

impl fmt::Debug for PollSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PollSpec(`{}` of `{}`)", self.directory, self.job)
    }
}

impl PollSpec {
    /// Returns the instructions as a line.
    pub fn line(&self) -> String {
        // Only strings and numbers: serialization cannot fail.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// Reads the line.
    pub fn read(mut from: impl BufRead) -> Result<Self> {
        let mut line = String::new();
        from.read_line(&mut line)
            .map_err(|error| Error::local("read the order", "standard input", error))?;
        serde_json::from_str(&line).map_err(|error| {
            let message = format!("cannot parse the order from the scheduler: {error}");
            Error::new(ErrorKind::Invalid, Origin::Here, message)
        })
    }
}

/// A line of the process that looks at a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PollLine {
    /// A file of the directory.
    File {
        /// The name, as a script has it.
        name: String,
        /// The size in bytes, if the listing shows it.
        size: Option<u64>,
        /// The modification time as text; empty if the listing shows none.
        modified: String,
    },
    /// The end of a listing.
    End {
        /// True if it is complete.
        whole: bool,
    },
    /// The directory is as it was.
    Same,
    /// The directory could not be listed.
    Fault {
        /// The error.
        text: String,
    },
}

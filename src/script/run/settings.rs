//! Settings of a run.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    ftp::secret::Secret,
    mirror::sync_base::MirrorStateStore,
    script::{netrc::Netrc, rules::NatSettings, site::Overrides},
};

/// The settings with which a run is started.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The script's `args`.
    pub args: Vec<String>,
    /// The connect options that override the script's (`--set`).
    pub overrides: Overrides,
    /// The password used if neither script nor URL has one.
    pub password: Option<Secret>,
    /// The logins used if neither script nor URL is complete (`--netrc`).
    pub netrc: Netrc,
    /// The replacement of the real servers and files in a rehearsal.
    pub rehearsal: Option<Rehearsal>,
    /// The store of the state of mirrors; without it both sides are compared by size and time.
    pub states: Option<Arc<dyn MirrorStateStore>>,
    /// The facts of the job that the script can read.
    pub job: JobFacts,
    /// The NAT settings of the script.
    pub nat: NatSettings,
    /// The folder for temporary folders, if it is not that of the system.
    pub temp: Option<PathBuf>,
}

/// A server and a scratch folder in place of the real ones.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// The address of the embedded server.
    pub address: SocketAddr,
    /// The CA that signed its certificate, PEM.
    pub ca_pem: String,
    /// The folder that receives local writes.
    pub scratch: PathBuf,
    /// The recorded run that is played again, if it is one.
    pub replay: Option<Replay>,
}

/// The part of a rehearsal that plays a recorded run again.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// The local paths whose recorded state is in the scratch folder.
    pub taken: BTreeSet<PathBuf>,
    /// The limit for every wait, if the recorded run waited in vain.
    pub timeout: Option<Duration>,
}

/// The values that a script reads as `job::…`.
#[derive(Debug, Clone)]
pub struct JobFacts {
    /// The name of the job; that of the script outside the scheduler.
    pub name: String,
    /// The number of the attempt, from 1.
    pub attempt: i64,
    /// The slot of the run; empty outside the scheduler.
    pub scheduled_for: String,
    /// The trigger of the run.
    pub trigger: String,
    /// The time zone of the job's schedule; `local` outside the scheduler.
    pub timezone: String,
    /// The time of the job's last successful run.
    pub last_success: Option<Timestamp>,
    /// The paths of the files that have arrived and that this run is given.
    pub files: Vec<String>,
    /// The value of `args` in place of [`Settings::args`]: a job's table or array; `null` outside the scheduler.
    pub args: serde_json::Value,
    /// True if the scheduler runs it unattended.
    pub is_scheduled: bool,
}

impl Default for JobFacts {
    fn default() -> Self {
        Self {
            name: String::new(),
            attempt: 1,
            scheduled_for: String::new(),
            trigger: "manual".into(),
            timezone: "local".into(),
            last_success: None,
            files: Vec::new(),
            args: serde_json::Value::Null,
            is_scheduled: false,
        }
    }
}

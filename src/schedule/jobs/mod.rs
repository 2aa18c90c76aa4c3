//! Jobs as the jobs file defines them.
//!
//! Each key of the file is a row of a table, here or in `options.rs`; `docs/jobs.md` is written from them.

pub mod args;
mod around;
mod circles;
mod expand;
mod files;
mod fleet;
mod glance;
mod job;
mod listen;
mod locks;
mod options;
mod own_files;
mod rates;
mod read;
mod rows;
mod rules;
mod secrets;
mod sources;
mod table;
mod targets;
mod task;
mod tell;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod when;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

pub use self::files::{FileTrigger, TriggerSite};
pub use self::fleet::label as parse_label;
pub use self::glance::{Glance, glance};
pub use self::listen::Listen;
pub(in crate::schedule) use self::locks::sessions;
pub use self::locks::{JobLock, LockPlaces, LoginLimit};
pub use self::options::{ExpectBy, Job, JobLimits};
use self::options::{JOB, POSITIVE};
pub use self::rates::RateRule;
pub use self::read::{JobsReading, parse, read};
use self::rules::BACKOFF;
pub use self::rules::{Allowed, CatchUp, Misfire, Overlap, RUN_TIMEOUT, Retry, RetryOn, Timeouts};
pub use self::secrets::NamedSecret;
pub use self::sources::watched;
pub use self::targets::{
    ChatService, ChatTarget, Digest, MailSettings, MailTls, Notify, SlowAfter, Tell, WebhookTarget,
};
#[cfg(test)]
use self::targets::{DIGEST, MAIL, TELL};
pub use self::task::{Task, TaskKind};
pub use self::template::{Templates, fill as fill_template};
use crate::{
    error::Error,
    limits::{RETENTION_AGE, RETENTION_LOG_BYTES, RETENTION_RUNS, RETENTION_TOTAL},
    option_table::{
        OptionKind::{Count, DurationIn, Flag, Number, Own, Size, Text},
        OptionRow, OptionTable,
    },
    secret::Secret,
};

/// A complete jobs file without errors.
#[derive(Debug, Clone)]
pub struct Jobs {
    /// The path of the file.
    pub file: PathBuf,
    /// The settings for all jobs together.
    pub runner: Runner,
    /// The way of mail.
    pub mail: MailSettings,
    /// The digest of each day.
    pub digest: Option<Digest>,
    /// The jobs, in the order of the file; their names are unique.
    pub all: Vec<Arc<Job>>,
    /// The files that it includes.
    pub included: Vec<PathBuf>,
    /// The digits of a hash of the file and of those that it includes: machines with the same have the same jobs.
    pub release: String,
    /// The number of the published release that they are; `None` if they come from a file of this host.
    pub published: Option<i64>,
    /// The secrets that they name and that this machine does not have, as far as it was asked.
    pub missing: Vec<String>,
    /// The place of each job in `all`.
    places: HashMap<Arc<str>, usize>,
}

impl Jobs {
    /// Creates the jobs of a file.
    pub fn new(file: PathBuf, runner: Runner, all: Vec<Arc<Job>>) -> Self {
        let places = (0..).zip(&all).map(|(at, job)| (Arc::clone(&job.name), at)).collect();
        let (mail, digest) = (MailSettings::default(), None);
        let (included, release) = (Vec::new(), String::new());
        let (published, missing) = (None, Vec::new());
        Self { file, runner, mail, digest, all, included, release, published, missing, places }
    }

    /// Returns the job of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Job>> {
        self.all.get(self.place(name)?)
    }

    /// Returns the place of a job in `all`.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }
}

/// The table `[runner]`.
#[derive(Debug, Clone)]
pub struct Runner {
    /// The folder of the database and of the runs' logs. `--state` takes precedence.
    pub state: Option<PathBuf>,
    /// The directory in which the runs of a published release work.
    pub work: Option<PathBuf>,
    /// The address of a store that machines share; it may contain a password. `--store` takes precedence.
    pub store: Option<Secret>,
    /// The password of that store, or `secret:NAME`.
    pub store_password: Option<Secret>,
    /// The time without a heartbeat after which another machine takes over.
    pub lease: Duration,
    /// The maximum number of concurrent runs, of all jobs; of each machine, if several share the store.
    pub max_running: u32,
    /// The address for Prometheus metrics. `--metrics` takes precedence.
    pub metrics: Option<SocketAddr>,
    /// True if NAT rulesets are made to hold, as by `portolan nat watch`.
    pub nat_watch: bool,
    /// The settings of the page.
    pub listen: Listen,
    /// The URL by which people reach the page, for links.
    pub page_url: Option<String>,
    /// The limits of history.
    pub retention: Retention,
    /// The rate limit of all runs together.
    pub rate_limit: Option<RateRule>,
    /// The rate limits of all runs together for hosts, by their names in lower case.
    pub host_rate_limits: BTreeMap<String, RateRule>,
    /// The number of places of locks that have more than one, by names and patterns.
    pub locks: BTreeMap<String, u32>,
}

impl Default for Runner {
    fn default() -> Self {
        let retention = Retention::default();
        Self {
            state: None,
            work: None,
            store: None,
            store_password: None,
            lease: fleet::LEASE,
            max_running: 4,
            metrics: None,
            nat_watch: false,
            listen: Listen::default(),
            page_url: None,
            retention,
            rate_limit: None,
            host_rate_limits: BTreeMap::new(),
            locks: BTreeMap::new(),
        }
    }
}

/// The keys of `[runner]`.
const RUNNER: OptionTable<Runner> = OptionTable {
    rows: &[
        OptionRow::<Runner>::new(
            "state",
            Own,
            "the folder of the database and of the runs' logs, relative to that of the jobs file; `--state` takes \
             precedence",
        ),
        OptionRow::<Runner>::new(
            "work",
            Own,
            "the absolute path of the directory in which the runs of a published release work: relative local paths count \
             from it; `work` in the state directory without it. See `portolan publish`",
        ),
        OptionRow::<Runner>::new(
            "store",
            Own,
            "the address of a PostgreSQL database that several machines share, such as \
             \"postgres://portolan@db.example.com/portolan\", in place of a database in `state`; `--store` takes precedence. \
             See docs/fleet.md",
        ),
        OptionRow::<Runner>::new(
            "store_password",
            Own,
            "its password as a secret, such as \"secret:portolan-db\"; PGPASSWORD and the password file of libpq work as well",
        ),
        OptionRow::<Runner>::new(
            "lease",
            DurationIn(fleet::LEASES, |it, time| it.lease = time),
            "the time without a sign of life after which another machine takes over what a machine has, if several share \
             the store; a change needs a restart",
        )
        .usual("15s"),
        OptionRow::<Runner>::new(
            "max_running",
            Count(1..=1000, |it, most| it.max_running = most.into()),
            "the maximum number of concurrent runs, of all jobs; of each machine, if several share the store",
        )
        .usual("4"),
        OptionRow::<Runner>::new(
            "metrics",
            Own,
            "the address for Prometheus metrics, such as \"127.0.0.1:9464\"; `--metrics` takes precedence",
        ),
        OptionRow::<Runner>::new(
            "nat_watch",
            Flag(|it, on| it.nat_watch = on),
            "whether the scheduler makes the NAT rulesets of this host hold as well, as `portolan nat watch` does; a \
             change needs a restart",
        ),
        OptionRow::<Runner>::new(
            "listen",
            Own,
            "the address of the page and its API, such as \"127.0.0.1:8080\"; `--listen` takes precedence. An address \
             that other hosts can reach needs `listen_cert`",
        ),
        OptionRow::<Runner>::new(
            "listen_cert",
            Own,
            "the file with the certificate of the page and its chain, in PEM; the page is then served by HTTPS",
        ),
        OptionRow::<Runner>::new(
            "listen_key",
            Own,
            "the file with its private key, in PEM; without it the key is in the file of the certificate",
        ),
        OptionRow::<Runner>::new(
            "listen_hosts",
            Own,
            "the host names by which browsers reach the page, such as [\"jobs.example.com\"]; `localhost` and the \
             address itself need no mention",
        ),
        OptionRow::<Runner>::new(
            "page_url",
            Text(|it, text| {
                let is_url = text.starts_with("https://") || text.starts_with("http://");
                if !is_url || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
                    return Err(Error::invalid("`page_url` begins with `https://` or `http://`"));
                }
                it.page_url = Some(text.trim_end_matches('/').to_owned());
                Ok(())
            }),
            "the URL by which people reach the page, such as \"https://jobs.example.com\", for the links in notifications; \
             made of `listen` and `listen_hosts` without it",
        ),
        OptionRow::<Runner>::new(
            "anonymous_read",
            Flag(|it, on| it.listen.anonymous_read = on),
            "everybody who reaches the page may read it without a token, on a loopback address only; to run, pause or \
             stop anything always needs one",
        )
        .usual("false"),
        OptionRow::<Runner>::new(
            "retention",
            Own,
            "the limits of history, such as `{ runs = 1000, age = \"90d\", log = \"10MiB\" }`; what is beyond them is \
             removed, the oldest first",
        ),
        OptionRow::<Runner>::new(
            "rate_limit",
            Own,
            "the bytes per second of all runs together: a rate, or times of the week with a rate each and commas between \
             them, of which the first that fits applies; \"off\" is no limit",
        ),
        OptionRow::<Runner>::new(
            "host_rate_limits",
            Own,
            "the bytes per second of all runs together from and to a host, in the same form",
        ),
        OptionRow::<Runner>::new(
            "timezone",
            Own,
            "the time zone of these limits; that of the host without it",
        ),
        OptionRow::<Runner>::new(
            "locks",
            Own,
            "the number of places of a lock, if it has more than one: `{ \"host:ftp.example.com\" = 2 }`. A `*` in the name is \
             any text: with `\"host:*\" = 4` each host has four; the name itself, then the longest pattern counts. A run takes \
             one place; of a lock whose name begins with `host:` as many as it makes logins, and makes no more than it takes",
        ),
    ],
    usual: Runner::default,
};

/// The limits of history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The rows of history per job.
    pub runs: u32,
    /// The rows of history of all jobs together.
    pub total: u32,
    /// The time for which rows and logs are kept.
    pub age: Duration,
    /// The maximum bytes of one run's log.
    pub log_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            runs: RETENTION_RUNS,
            total: RETENTION_TOTAL,
            age: RETENTION_AGE,
            log_bytes: RETENTION_LOG_BYTES,
        }
    }
}

/// The longest time for which history can be kept: ten years.
const AGE_MAX: Duration = Duration::from_hours(3650 * 24);

/// The keys of `retention`.
const RETENTION: OptionTable<Retention> = OptionTable {
    rows: &[
        OptionRow::<Retention>::new(
            "runs",
            Number(1..=1_000_000, |it, runs| it.runs = u32::try_from(runs).unwrap_or(u32::MAX)),
            "the number of runs per job",
        )
        .usual("1000"),
        OptionRow::<Retention>::new(
            "total",
            Number(1..=1_000_000_000, |it, runs| {
                it.total = u32::try_from(runs).unwrap_or(u32::MAX);
            }),
            "the number of runs of all jobs together; the oldest are removed first",
        )
        .usual("1000000"),
        OptionRow::<Retention>::new(
            "age",
            DurationIn(Duration::ZERO..=AGE_MAX, |it, time| it.age = time),
            "the time for which runs and their logs are kept",
        )
        .usual("90d"),
        OptionRow::<Retention>::new(
            "log",
            Size(|it, bytes| it.log_bytes = bytes),
            "the maximum size of one run's log",
        )
        .usual("10MiB"),
    ],
    usual: Retention::default,
};

/// The settings of `[job.connect]`, each in the form of `--set`. They may contain a password: none is ever printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Connect(pub(super) Vec<(String, Secret)>);

impl Connect {
    /// Returns the settings as `KEY=VALUE`, for [`crate::script::site::Overrides::read`]. They may contain a password:
    /// they must not appear in any command line, log or file.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(|(key, value)| format!("{key}={}", value.reveal())).collect()
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

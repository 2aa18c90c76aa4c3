//! `portolan serve`: runs the scheduler.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, mpsc::channel},
    time::Duration,
};

use super::{
    ExitResult,
    common::Common,
    nat_watch::BackgroundWatch,
    place::{failed, state_or_usual},
    report::{self, UsageError},
    store::JobsStore,
};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    exit_code::Exit,
    files::owned,
    nat::ruleset_store::RulesetStore,
    observe::{EventEmitter, MessageLevel, metrics::Metrics},
    schedule::{
        daemon::{Daemon, DaemonSetup, FleetSetup, ReadJobs, follow_signals, raise_descriptors},
        jobs::{self, Listen, parse_label},
        notify::host_name,
        releases::{ReadFault, ReleaseFolder},
        zone::Zones,
    },
    state_adapter::nat::NatLedger,
    store::{StorePlace, make_folder},
    web::{MetricsServer, WebServer, WebSetup},
};

/// The arguments of `portolan serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    jobs: JobsStore,
    /// With a shared store: run what `portolan publish` publishes there, without a jobs file of this machine
    #[arg(long, conflicts_with = "file")]
    published: bool,
    /// With a shared store: number of runs at a time on this machine; 0 to lead only [default: that of the jobs file]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1000))]
    workers: Option<u32>,
    /// With a shared store: label of this machine, for jobs that need it; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// With a shared store: name of this machine, unique among all [default: the host name]
    #[arg(long, value_name = "NAME", value_parser = machine_name)]
    name: Option<String>,
    /// With a shared store: run what others plan, and never plan
    #[arg(long)]
    never_lead: bool,
    /// Serve Prometheus metrics at this address, such as 127.0.0.1:9464
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
    /// Serve the page and its API at this address, such as 127.0.0.1:8080
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

/// The time between two looks for a first release.
const RELEASE_LOOK: Duration = Duration::from_secs(1);
/// The maximum length of the name of a machine: that of a host.
const NAME_CHARS_MAX: usize = 253;

fn machine_name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > NAME_CHARS_MAX || !text.chars().all(is_plain) {
        return Err("a name is letters, digits, `-`, `_` and `.`".to_owned());
    }
    Ok(text.to_owned())
}

impl Args {
    /// Returns the settings of this machine, if it shares a store with others.
    fn fleet(
        &self,
        jobs: &jobs::Jobs,
        releases: Option<&ReleaseFolder>,
    ) -> Result<Option<FleetSetup>> {
        let place = match releases {
            Some(releases) => Some(releases.place.clone()),
            None => self.jobs.shared(jobs)?,
        };
        let Some(place) = place else {
            let flags = [
                ("--workers", self.workers.is_some()),
                ("--label", !self.labels.is_empty()),
                ("--name", self.name.is_some()),
                ("--never-lead", self.never_lead),
            ];
            return match flags.iter().find(|(_, is_given)| *is_given) {
                Some((flag, _)) => Err(Error::invalid(format!(
                    "`{flag}` is for machines that share a store: --store, PORTOLAN_STORE or `store` in [runner] names it"
                ))),
                None => Ok(None),
            };
        };
        let mut labels = self.labels.clone();
        labels.sort();
        let mut pairs = labels.iter().zip(labels.iter().skip(1));
        if let Some(((key, _), _)) = pairs.find(|(one, next)| one.0 == next.0) {
            return Err(Error::invalid(format!("the label `{key}` is given twice")));
        }
        let name = self.name.clone().unwrap_or_else(host_name);
        let (room, may_lead) = (self.workers, !self.never_lead);
        if room == Some(0) && !may_lead {
            return Err(Error::invalid("with --workers 0 and --never-lead there is nothing to do"));
        }
        let follows_releases = releases.is_some();
        Ok(Some(FleetSetup { place, name, labels, room, may_lead, follows_releases }))
    }

    /// Returns the directory of releases, if this machine runs what is published: it is told to, or it has no jobs file and
    /// the user names a store.
    fn releases(&self, common: &Common) -> Result<Option<ReleaseFolder>> {
        let has_file = self.jobs.names_file() || self.jobs.path().exists();
        if !self.published && (has_file || !self.jobs.names_store()) {
            return Ok(None);
        }
        let place = self.jobs.named_server()?.ok_or_else(|| {
            Error::invalid(
                "`--published` needs the store of the fleet: --store or PORTOLAN_STORE names it",
            )
        })?;
        let state = state_or_usual(common.named_state_folder())?;
        let state = std::path::absolute(&state)
            .map_err(|error| Error::local("find the state folder", &state, error))?;
        make_folder(&state)?;
        Ok(Some(ReleaseFolder { place, state }))
    }
}

/// Reads the release that is current, or that was in force here last if that one cannot be used; waits for one if none is
/// published yet.
fn published(releases: &ReleaseFolder, observer: &EventEmitter) -> Result<jobs::Jobs> {
    let (_sender, timer) = channel::<()>();
    loop {
        let now = Clock::System.now();
        let ReadFault { release, fault } = match releases.read(now) {
            Ok(jobs) => return Ok(jobs),
            Err(found) => found,
        };
        if release.is_none() && fault.kind == ErrorKind::NotFound && fault.path.is_none() {
            observer.warn_once(format!("{fault}; waiting for one"));
        } else {
            // The scheduler reads the current one again, and tells the fleet of its fault.
            let last = if release.is_some() { releases.read_last(now)? } else { None };
            let Some(jobs) = last else { return Err(*fault) };
            observer
                .warn(format!("{fault}; this machine begins with the release that it had last"));
            return Ok(jobs);
        }
        timer.recv_timeout(RELEASE_LOOK).ok();
    }
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    if let Some(releases) = args.releases(common).map_err(failed)? {
        let observer = common.service_observer()?;
        let jobs = published(&releases, &observer)?;
        let listen = listen_of(args, &jobs).map_err(UsageError)?;
        let fleet = args.fleet(&jobs, Some(&releases)).map_err(failed)?;
        serve(args, (common, observer), listen, jobs, fleet, Some(releases))?;
        return Ok(Exit::Done);
    }
    if args.jobs.path().exists() {
        owned::guard(args.jobs.path())?;
    }
    // An error in the jobs file or in a flag is a usage error; a state directory in use is not.
    let reading = jobs::read(args.jobs.path(), &Zones::newest(), Clock::System.now());
    let reading = reading.map_err(UsageError)?;
    // Without the source lines: this goes into a log, and a line may contain a password.
    report::findings(&reading.findings, &|_| None);
    if reading.jobs.is_none() {
        report::print("the jobs file cannot be used\n");
        return Ok(Exit::Usage);
    }
    let jobs = reading.into_jobs()?;
    jobs.included.iter().try_for_each(|file| owned::guard(file))?;
    let listen = listen_of(args, &jobs).map_err(UsageError)?;
    let fleet = args.fleet(&jobs, None).map_err(failed)?;
    serve(args, (common, common.service_observer()?), listen, jobs, fleet, None)?;
    Ok(Exit::Done)
}

/// Returns the settings of the page. Fails if they would expose it.
fn listen_of(args: &Args, jobs: &jobs::Jobs) -> Result<Listen> {
    let of_file = &jobs.runner.listen;
    let listen = Listen { address: args.listen.or(of_file.address), ..of_file.clone() };
    listen.problem().map_or(Ok(listen), |(_, fault)| Err(fault))
}

/// Serves the page, if it has an address.
fn serve_page(
    listen: Listen,
    (state, place): (&Path, StorePlace),
    daemon: &mut Daemon,
    metrics: Arc<Metrics>,
    observer: &EventEmitter,
) -> Result<()> {
    let Some(address) = listen.address else { return Ok(()) };
    let everywhere = Some(host_name()).filter(|_| address.ip().is_unspecified());
    let host = listen.hosts.first().cloned().or(everywhere);
    let scheme = if listen.cert.is_some() { "https" } else { "http" };
    let page = WebServer::serve(
        address,
        WebSetup {
            listen,
            state: state.to_owned(),
            place,
            view: daemon.view(),
            mailbox: daemon.mailbox(),
            metrics,
            clock: daemon.clock(),
            observer: observer.clone(),
        },
    )?;
    observer.message(MessageLevel::Info, format!("page at {}", page.url));
    let url = page.url.trim_end_matches('/').to_owned();
    let port = url.rsplit(':').next().unwrap_or_default();
    daemon.set_page(host.map_or_else(|| url.clone(), |host| format!("{scheme}://{host}:{port}")));
    Ok(())
}

fn serve(
    args: &Args,
    (common, observer): (&Common, EventEmitter),
    listen: Listen,
    jobs: jobs::Jobs,
    fleet: Option<FleetSetup>,
    releases: Option<ReleaseFolder>,
) -> Result<()> {
    raise_descriptors();
    let state = match (&releases, common.named_state_folder()) {
        (Some(releases), _) => releases.state.clone(),
        (None, Some(folder)) => folder,
        (None, None) => state_or_usual(jobs.runner.state.clone())?,
    };
    // Children run in another directory.
    let state = std::path::absolute(&state)
        .map_err(|error| Error::local("find the state folder", &state, error))?;
    let program = std::env::current_exe()
        .map_err(|error| Error::local("find the program", "portolan", error))?;
    let metrics = Arc::new(Metrics::default());
    let address = args.metrics.or(jobs.runner.metrics);
    let (count, watches_nat) = (jobs.all.len(), jobs.runner.nat_watch);
    let place = fleet.as_ref().map(|fleet| fleet.place.clone());
    let place = place.unwrap_or_else(|| StorePlace::Folder(state.clone()));
    let of = jobs.published.map(|number| format!(", with release {number}")).unwrap_or_default();
    let joined = fleet.as_ref().map(|fleet| {
        format!("machine `{}` shares the schedule of {}{of}", fleet.name, fleet.place)
    });
    let work = releases.as_ref().map(|releases| releases.work(&jobs)).transpose()?;
    let setup = DaemonSetup {
        program,
        read: reader(&jobs, releases),
        jobs,
        state: state.clone(),
        work,
        clock: Clock::System,
        observer: observer.clone(),
        metrics: Arc::clone(&metrics),
    };
    let mut daemon = match fleet {
        Some(fleet) => Daemon::join(setup, fleet)?,
        None => Daemon::open(setup)?,
    };
    // Before anything says that it is ready: a program that waits for that may stop it.
    follow_signals(daemon.mailbox())?;
    if let Some(address) = address {
        let page = MetricsServer::serve(address, Arc::clone(&metrics))?;
        observer.message(MessageLevel::Info, format!("metrics at http://{}/metrics", page.address));
    }
    serve_page(listen, (&state, place), &mut daemon, metrics, &observer)?;
    let watch = if watches_nat { Some(watch_nat(&state, common, &observer)?) } else { None };
    observer.message(MessageLevel::Info, format!("{count} jobs, state in {}", state.display()));
    if let Some(joined) = joined {
        observer.message(MessageLevel::Info, joined);
    }
    let ended = daemon.run();
    drop(watch);
    ended
}

/// Returns the function that reads the jobs again: the current release, or the jobs file.
fn reader(jobs: &jobs::Jobs, releases: Option<ReleaseFolder>) -> ReadJobs {
    if let Some(releases) = releases {
        return Box::new(move |now| releases.read(now).map_err(|found| *found.fault));
    }
    let file = jobs.file.clone();
    Box::new(move |now| {
        owned::guard(&file)?;
        let jobs = jobs::read(&file, &Zones::newest(), now)?.into_jobs()?;
        jobs.included.iter().try_for_each(|file| owned::guard(file))?;
        Ok(jobs)
    })
}

/// Watches the rulesets of the jobs, whose records are in the state directory of the scheduler, and those that were applied
/// by hand.
fn watch_nat(state: &Path, common: &Common, observer: &EventEmitter) -> Result<BackgroundWatch> {
    let own: Arc<dyn RulesetStore> = Arc::new(NatLedger::new(state, Clock::System));
    let usual = common.ledger().filter(|usual| usual.place() != own.place());
    BackgroundWatch::start([own].into_iter().chain(usual).collect(), observer)
}

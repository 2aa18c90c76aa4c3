//! One run: the state that its functions share, its thread, and its end.

mod permits;
mod settings;

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{Sender, channel},
    },
    time::Instant,
};

use rhai::{Map, NativeCallContext};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub use self::settings::{JobFacts, Rehearsal, Replay, Settings};
use super::{
    attend::{ScriptNote, attend},
    budget::{Meter, limit},
    engine,
    overlay::Overlay,
    path_recorder::PathRecorder,
    raise::{RhaiResultOf, ScriptFailure, raised},
    redact::Veil,
    site::complete,
    source::ScriptSource,
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    ftp::{
        secret::Secret,
        session::RunContext,
        site::{Site, TlsMode, Trust},
    },
    limits::{SCRIPT_OUTPUT_BYTES_MAX, SCRIPT_STACK_BYTES},
    mirror::sync_base::MirrorStates,
    nat::{
        NatError,
        portmap::{self, Leases},
        ruleset_store::RulesetStore,
        undo::no_ledger,
    },
    observe::{Event, MessageLevel},
    permissions::RunPermissions,
    port_provider::{RulesetPorts, RunPortProvider},
};

/// The number of steps of a script between two checks of the clock and the stop signal.
const STEPS_BETWEEN_LOOKS: u64 = 256;

/// The message for a script that does something else than to describe rulesets.
const ONLY_RULESETS: &str = "`portolan nat` carries out nothing of a script but its rulesets: they stand before its first \
transfer, or in a script of their own";

/// The state that the functions of one run share.
pub struct ScriptRun {
    /// The stop signal, events, and the clock.
    pub context: RunContext,
    /// The settings with which it was started.
    pub settings: Settings,
    /// The port mappings of a router to this run.
    pub leases: Arc<Leases>,
    runtime: Arc<Runtime>,
    overlay: Option<Overlay>,
    /// The recorder of the local paths that it uses, if it is recorded.
    recorded: Option<PathRecorder>,
    printed: AtomicUsize,
    pub(super) meter: Meter,
    /// The steps so far, including those in callbacks, which the engine counts separately.
    steps: AtomicU64,
    /// The reason why it must end, other than the stop signal.
    over: OnceLock<Error>,
    /// The job or script whose values it keeps.
    pub(super) owner: OnceLock<String>,
    /// The values that a rehearsal has set, which are kept nowhere else.
    pub(super) rehearsed: Mutex<BTreeMap<String, Option<String>>>,
    /// The exit code with which the script ended itself.
    exit_code: OnceLock<u8>,
    partial: AtomicBool,
    folders: Arc<Mutex<Vec<TempDir>>>,
}

impl std::fmt::Debug for ScriptRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Run")
    }
}

impl ScriptRun {
    /// Creates a run that has not begun, on the thread that will execute it.
    pub fn new(settings: Settings, context: &RunContext) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            let message = format!("cannot start the async runtime: {error}");
            Error::new(ErrorKind::Local, Origin::Here, message)
        })?;
        // A rehearsal changes nothing outside.
        let is_real = settings.rehearsal.is_none() && settings.nat.described.is_none();
        if let Some(book) = settings.nat.book.as_ref().filter(|_| is_real) {
            portmap::reap(book, &context.clock);
        }
        let mut context = context.clone();
        let (observer, clock) = (context.observer.clone(), context.clock.clone());
        let leases = Arc::new(Leases::new(settings.nat.book.clone(), observer, clock));
        let (ledger, may_change) = (settings.nat.ledger.clone(), context.permissions.has_nat());
        let (observer, clock) = (context.observer.clone(), context.clock.clone());
        let openings = RulesetPorts::new(ledger, may_change, observer, clock);
        context.port_provider =
            is_real.then(|| RunPortProvider::shared(Arc::clone(&leases), openings));
        let is_describing = settings.nat.described.is_some();
        let mut run = Self::of_parts(settings, context, leases, Arc::new(runtime), Arc::default());
        if is_describing {
            let scratch = run.temporary_folder()?;
            run.overlay = Some(Overlay::new(&scratch));
        }
        Ok(run)
    }

    /// Creates the following run, with limits of its own: connections, ports and folders are kept.
    #[must_use]
    pub fn next(&self) -> Self {
        let (settings, context) = (self.settings.clone(), self.context.clone());
        let (leases, runtime) = (Arc::clone(&self.leases), Arc::clone(&self.runtime));
        Self::of_parts(settings, context, leases, runtime, Arc::clone(&self.folders))
    }

    fn of_parts(
        settings: Settings,
        context: RunContext,
        leases: Arc<Leases>,
        runtime: Arc<Runtime>,
        folders: Arc<Mutex<Vec<TempDir>>>,
    ) -> Self {
        let overlay = settings.rehearsal.as_ref().map(|rehearsal| {
            let taken = rehearsal.replay.as_ref().map(|replay| replay.taken.clone());
            Overlay::with(&rehearsal.scratch, taken.unwrap_or_default())
        });
        let recorded = context.recorder.clone().map(PathRecorder::new);
        Self {
            context,
            settings,
            leases,
            runtime,
            overlay,
            recorded,
            printed: AtomicUsize::new(0),
            meter: Meter::new(),
            steps: AtomicU64::new(0),
            over: OnceLock::new(),
            owner: OnceLock::new(),
            rehearsed: Mutex::default(),
            exit_code: OnceLock::new(),
            partial: AtomicBool::new(false),
            folders,
        }
    }

    /// Returns the store of the state of its mirrors.
    pub fn states(&self) -> MirrorStates<'_> {
        self.settings.states.as_ref()
    }

    /// Returns the run to which a call belongs.
    pub fn of(ctx: &NativeCallContext<'_>) -> RhaiResultOf<Arc<Self>> {
        let run = ctx.tag().and_then(|tag| tag.clone().try_cast::<Arc<Self>>());
        run.ok_or_else(|| {
            let fault = Error::invalid("this function works only in a run");
            raised(fault, ctx.call_position())
        })
    }

    /// Returns the permissions of the run, which each function asks before it acts.
    pub fn permissions(&self) -> &RunPermissions {
        &self.context.permissions
    }

    /// Returns the store of the undo records of NAT rules; fails if there is none.
    pub fn nat_ledger(&self) -> Result<Arc<dyn RulesetStore>> {
        self.settings.nat.ledger.clone().ok_or_else(no_ledger)
    }

    /// Returns true if NAT rules must not be changed, although a script requests it: in a rehearsal, or if it only
    /// describes them.
    pub const fn is_nat_inert(&self) -> bool {
        self.settings.rehearsal.is_some() || self.settings.nat.described.is_some()
    }

    /// Ends a script that only describes rulesets, at its first other effect. Fails with `nat.only_rulesets`.
    pub fn only_rulesets(&self) -> Result<()> {
        if self.settings.nat.described.is_none() {
            return Ok(());
        }
        let fault = NatError::OnlyRulesets.fault(ONLY_RULESETS);
        self.end(fault.clone());
        Err(fault)
    }

    /// Waits for `work` on the script's own thread.
    pub fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.uncounted(|| self.runtime.block_on(work))
    }

    /// Runs `work` without counting its time: it was requested, and takes as long as it takes.
    pub fn uncounted<T>(&self, work: impl FnOnce() -> T) -> T {
        self.meter.uncounted(work)
    }

    /// Returns the path to read in place of `path`: itself, or its copy in a rehearsal. Fails with `denied_by_policy`
    /// unless the script may read it.
    pub fn readable(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        self.permissions().allow_read(path.as_ref())?;
        self.seen(path)
    }

    /// Returns the path to look at in place of `path`, for a function that asks for its permission itself.
    pub fn seen(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        self.record(path.as_ref());
        match &self.overlay {
            None => Ok(path.as_ref().to_owned()),
            Some(overlay) => overlay.readable(path.as_ref(), &self.context.stop),
        }
    }

    fn record(&self, path: &Path) {
        if let Some(recorded) = &self.recorded {
            recorded.record(path, &self.context.stop);
        }
    }

    /// Returns the path to write in place of `path`: itself, or a copy in a rehearsal. Fails with `denied_by_policy`
    /// unless the script may write it.
    pub fn writable(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        self.permissions().allow_write(path.as_ref())?;
        self.replaced(path)
    }

    /// Returns the path to remove in place of `path`: itself, or a copy in a rehearsal. Fails with `denied_by_policy`
    /// unless the script may remove it.
    pub fn deletable(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        self.permissions().allow_delete(path.as_ref())?;
        self.replaced(path)
    }

    fn replaced(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        self.record(path.as_ref());
        match &self.overlay {
            None => Ok(path.as_ref().to_owned()),
            Some(overlay) => overlay.writable(path.as_ref(), &self.context.stop),
        }
    }

    /// Completes the login of `site`, and redirects it to the embedded server in a rehearsal.
    ///
    /// Fails with `denied_by_policy` unless the script may connect with it and read the files that its `options` name.
    /// What the user has set, or saved with the site, is not asked for again.
    pub fn aim(&self, mut site: Site, options: &Map) -> Result<Site> {
        self.may_reach(&site, options)?;
        let is_rehearsal = self.settings.rehearsal.is_some();
        let Settings { netrc, password, .. } = &self.settings;
        complete(&mut site, netrc, password.as_ref(), is_rehearsal)?;
        if let Some(rehearsal) = &self.settings.rehearsal {
            site.detour = Some(rehearsal.address);
            site.trust = Trust { ca_pem: Some(rehearsal.ca_pem.clone()), ..Trust::default() };
            // The embedded server offers TLS by AUTH only, which is no difference for a script that uses implicit TLS.
            if site.tls == TlsMode::Implicit && rehearsal.replay.is_none() {
                site.tls = TlsMode::Explicit;
            }
            if let Some(time) = rehearsal.replay.as_ref().and_then(|replay| replay.timeout) {
                for wait in
                    [&mut site.connect_timeout, &mut site.reply_timeout, &mut site.data_timeout]
                {
                    *wait = time.min(*wait);
                }
            }
            site.external_address = None;
            site.map_ports = false;
            site.source_address = None;
            site.proxy = None;
            if site.password.is_none() {
                site.password = Some(Secret::new("rehearsal"));
            }
        }
        Ok(site)
    }

    /// Prints a line of the script's output, within its limit.
    pub fn print(&self, text: &str) {
        if self.has_room_for(text) {
            self.context.observer.emit(&Event::Printed { text: text.to_owned() });
        }
    }

    /// Logs a message of the script; it counts toward the limit on output.
    pub fn say(&self, level: MessageLevel, text: String) {
        if self.has_room_for(&text) {
            self.context.observer.message(level, text);
        }
    }

    fn has_room_for(&self, text: &str) -> bool {
        let before = self.printed.fetch_add(text.len() + 1, Ordering::Relaxed);
        let has_room = before.saturating_add(text.len()) < SCRIPT_OUTPUT_BYTES_MAX;
        if !has_room {
            let mib = SCRIPT_OUTPUT_BYTES_MAX / (1024 * 1024);
            // Printing cannot fail: the next step does instead.
            self.end(limit(&format!("it printed more than {mib} MiB")));
        }
        has_room
    }

    /// Ends the script at its next step; the script cannot catch this.
    pub fn end(&self, fault: Error) {
        self.over.get_or_init(|| fault);
    }

    /// Gives a run on another thread the owner of `whole`, of which it is a part.
    pub(super) fn shares(&self, whole: &Self) {
        if let Some(owner) = whole.owner.get() {
            self.owner.get_or_init(|| owner.clone());
        }
    }

    /// Takes over what a part of this run on another thread has to say at the end.
    pub(super) fn takes_over(&self, part: &Self) {
        if part.is_partial() {
            self.note_partial();
        }
        if let Some(code) = part.exit_code.get() {
            self.ended_with(*code);
        }
        if let Some(fault) = part.over.get() {
            self.end(fault.clone());
        }
    }

    /// Records the exit code with which the script ends itself: it takes no further step, whatever it catches.
    pub fn ended_with(&self, code: u8) {
        self.exit_code.get_or_init(|| code);
        self.end(Error::invalid(format!("the script ended itself with exit({code})")));
    }

    /// Returns the reason why the script must not take its next step.
    pub fn must_end(&self) -> Option<Error> {
        // Only one thread counts.
        let step = self.steps.load(Ordering::Relaxed);
        self.steps.store(step.wrapping_add(1), Ordering::Relaxed);
        // Reading the clocks at each step would be most of the cost of a loop.
        if step.is_multiple_of(STEPS_BETWEEN_LOOKS) {
            if let Err(fault) = self.context.stop.check() {
                return Some(fault);
            }
            if let Some(fault) = self.meter.excess() {
                self.end(fault);
            }
        }
        self.over.get().cloned()
    }

    /// Abandons a script that does not reach its next step: its port mappings and temporary folders are removed.
    pub(super) fn abandon(&self) {
        self.leases.release();
        let folders =
            std::mem::take(&mut *self.folders.lock().unwrap_or_else(PoisonError::into_inner));
        drop(folders);
    }

    /// Records that a mirror left files undone, although the script continues.
    pub fn note_partial(&self) {
        self.partial.store(true, Ordering::Relaxed);
    }

    /// Returns true if a mirror left files undone.
    pub fn is_partial(&self) -> bool {
        self.partial.load(Ordering::Relaxed)
    }

    /// Creates a folder that is removed at the end of the run.
    pub fn temporary_folder(&self) -> Result<PathBuf> {
        let place = self.settings.temp.clone().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new().prefix("portolan-").tempdir_in(&place);
        let folder = folder.map_err(|error| Error::local("make a folder", &place, error))?;
        let path = folder.path().to_owned();
        self.permissions().add_scratch(&path);
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
        Ok(path)
    }
}

/// The outcome of a run without errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptEnd {
    /// Everything was done.
    Whole,
    /// A mirror left files undone; its report has the list.
    InPart,
    /// The script ended itself with this exit code, which is not 0.
    Code(u8),
}

/// Runs `source` on a thread of its own and waits for its end. A script that exceeds a limit and does not reach its
/// next step is abandoned with its thread: the process is about to end.
pub fn run(
    source: &ScriptSource,
    settings: Settings,
    context: &RunContext,
) -> Result<ScriptEnd, Box<ScriptFailure>> {
    let started = Instant::now();
    context.observer.emit(&Event::RunStarted { script: source.shown().to_owned() });
    let (notes, inbox) = channel();
    let (owned, shared) = (source.clone(), context.clone());
    let thread = std::thread::Builder::new()
        .name("script".into())
        .stack_size(SCRIPT_STACK_BYTES)
        .spawn(move || {
            let result = on_this_thread(&owned, settings, &shared, &notes);
            // The receiver is gone if the script was abandoned.
            notes.send(ScriptNote::Ended(result)).ok();
        });
    let result = match thread {
        Ok(_) => attend(&inbox),
        Err(error) => {
            let message = format!("cannot start a thread for the script: {error}");
            Err(Box::new(ScriptFailure::from(Error::new(ErrorKind::Local, Origin::Here, message))))
        }
    };
    // Before the error is passed on: a literal of the script may be a password.
    let result = result.map_err(|failure| {
        let file = failure.place.as_ref().map_or(source.shown(), |place| &place.file);
        let veil = source.text_of(file).map(|text| Veil::of(file, &text));
        Box::new(veil.unwrap_or_default().failure(*failure))
    });
    let fault = result.as_ref().err().map(|failure| failure.fault.clone());
    context.observer.emit(&Event::RunDone { fault, took: started.elapsed() });
    result
}

fn on_this_thread(
    source: &ScriptSource,
    settings: Settings,
    context: &RunContext,
    notes: &Sender<ScriptNote>,
) -> Result<ScriptEnd, Box<ScriptFailure>> {
    let run =
        ScriptRun::new(settings, context).map_err(|fault| Box::new(ScriptFailure::from(fault)))?;
    let run = Arc::new(run);
    let awake = notes.clone();
    run.meter.on_wake(move || drop(awake.send(ScriptNote::Awake)));
    notes.send(ScriptNote::Begun(Arc::clone(&run))).ok();
    // A panic in one of our functions must end this run and nothing else.
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let engine = engine::for_run(&run, source);
        let ast = super::compile(&engine, source)?;
        let ended = engine.run_ast_with_scope(&mut engine::scope(&run.settings), &ast);
        let code = run.exit_code.get().copied();
        if code.is_none() {
            ended.map_err(|error| Box::new(ScriptFailure::read(*error, source.shown())))?;
        }
        Ok(match code {
            Some(code) if code != 0 => ScriptEnd::Code(code),
            _ if run.is_partial() => ScriptEnd::InPart,
            _ => ScriptEnd::Whole,
        })
    }));
    run.leases.release();
    result.unwrap_or_else(|_| Err(crashed()))
}

/// Returns the fault of a run that hit a bug in portolan.
pub(super) fn crashed() -> Box<ScriptFailure> {
    let message = "portolan itself failed (a bug): please report what it printed above";
    Box::new(ScriptFailure::from(Error::new(ErrorKind::Local, Origin::Here, message)).as_bug())
}

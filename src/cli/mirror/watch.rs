//! `portolan mirror --watch`: mirrors to a server, and again after each local change, until it is interrupted.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{MirrorSides, print_report};
use crate::{
    cli::{
        ExitResult,
        common::{KeptRun, runtime},
    },
    error::{Error, Result},
    exit_code::Exit,
    ftp::{
        path::RemotePath,
        session::{RunContext, Session},
        site::Site,
    },
    mirror::{self, Filter, MirrorOptions, report::Report, sync_base::MirrorStates},
    observe::{Event as RunEvent, MessageLevel, visible::visible},
    remote::fs::RemoteFs as _,
};

/// The time without a further change after which the mirror begins: editors and builds write in several steps.
const SETTLE: Duration = Duration::from_secs(1);
/// The maximum time for which further changes are waited for.
const SETTLE_MAX: Duration = Duration::from_secs(10);
/// The time between two mirrors without news: news may be lost, and the server may have changed.
const RESCAN: Duration = Duration::from_mins(10);
/// The time for which the session is kept without work: servers close it after some minutes.
const KEEP: Duration = Duration::from_mins(1);
/// The first wait after a failure, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));

/// The news of changes below the local side.
struct LocalChanges {
    inbox: UnboundedReceiver<()>,
    /// Kept: it ends the news when it is dropped.
    _native: RecommendedWatcher,
}

impl LocalChanges {
    /// Begins to listen. Changes of paths that take no part in the mirror, and of the state directory, are no news.
    fn listen(local: &Path, filter: Filter, state: Option<PathBuf>) -> Result<Self> {
        let root = local.canonicalize().map_err(|error| Error::local("open", local, error))?;
        let state = state.and_then(|state| state.canonicalize().ok());
        let (outbox, inbox) = unbounded_channel();
        let own = ChangeFilter { root: root.clone(), filter, state };
        let native = notify::recommended_watcher(move |event| tell(&event, &own, &outbox));
        let cannot = |error: notify::Error| {
            let advice = if matches!(error.kind, notify::ErrorKind::MaxFilesWatch) {
                "; raise the limit with `sysctl fs.inotify.max_user_watches`"
            } else {
                ""
            };
            Error::local("watch", local, io::Error::other(format!("{error}{advice}")))
        };
        let mut native = native.map_err(cannot)?;
        native.watch(&root, RecursiveMode::Recursive).map_err(cannot)?;
        Ok(Self { inbox, _native: native })
    }

    /// Waits for a change and for the end of those that follow at once. Returns false if there is none for `time`.
    async fn wait(&mut self, time: Duration) -> bool {
        if !matches!(tokio::time::timeout(time, self.inbox.recv()).await, Ok(Some(()))) {
            return false;
        }
        let begun = Instant::now();
        while begun.elapsed() < SETTLE_MAX
            && matches!(tokio::time::timeout(SETTLE, self.inbox.recv()).await, Ok(Some(())))
        {
        }
        true
    }
}

/// The paths whose changes are news.
struct ChangeFilter {
    root: PathBuf,
    filter: Filter,
    state: Option<PathBuf>,
}

impl ChangeFilter {
    fn is_news(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(&self.root) else { return true };
        let is_ours = below.iter().any(|name| name.as_encoded_bytes().starts_with(b".portolan-"))
            || self.state.as_ref().is_some_and(|state| path.starts_with(state));
        let takes_part = below.as_os_str().is_empty()
            || self.filter.explain(below.as_os_str().as_encoded_bytes(), path.is_dir()).takes_part;
        !is_ours && takes_part
    }
}

fn tell(event: &notify::Result<Event>, own: &ChangeFilter, outbox: &UnboundedSender<()>) {
    let is_news = match event {
        // The mirror itself reads.
        Ok(Event { kind: EventKind::Access(kind), .. })
            if *kind != AccessKind::Close(AccessMode::Write) =>
        {
            false
        }
        Ok(event) if !event.need_rescan() => event.paths.iter().any(|path| own.is_news(path)),
        // News were lost.
        _ => true,
    };
    if is_news {
        outbox.send(()).ok();
    }
}

/// A mirror that is made again and again.
pub(super) struct WatchedMirror {
    pub(super) sides: MirrorSides,
    pub(super) site: Site,
    pub(super) rules: MirrorOptions,
    pub(super) filter: Filter,
    pub(super) state: Option<PathBuf>,
    pub(super) json: bool,
}

impl WatchedMirror {
    /// Mirrors until the run is interrupted. Fails if the first mirror does.
    pub(super) fn run(self, (context, states): &KeptRun) -> ExitResult {
        let Self { sides, filter, state, .. } = &self;
        let started = Instant::now();
        let mut changes = LocalChanges::listen(&sides.local, filter.clone(), state.clone())?;
        let mirrored = runtime()?.block_on(self.repeat(&mut changes, context, states.as_ref()));
        context.observer.emit(&RunEvent::RunDone {
            fault: mirrored.as_ref().err().cloned(),
            took: started.elapsed(),
        });
        mirrored?;
        Ok(Exit::Interrupted)
    }

    async fn repeat(
        &self,
        changes: &mut LocalChanges,
        context: &RunContext,
        states: MirrorStates<'_>,
    ) -> Result<()> {
        let (mut session, mut is_first, mut wait) = (None, true, WAITS.0);
        loop {
            let mirrored = self.mirror_once(&mut session, context, states).await;
            if context.stop.is_set() {
                return Ok(());
            }
            let pause = match mirrored {
                Ok(report) => {
                    let has_done = report.uploaded + report.deleted + report.failed > 0;
                    if is_first || has_done {
                        print_report(&report, self.json);
                    }
                    if is_first {
                        let shown = visible(self.sides.local.as_os_str().as_encoded_bytes());
                        let text = format!("watching {shown}; Ctrl-C ends it");
                        context.observer.message(MessageLevel::Info, text);
                    }
                    is_first = false;
                    let has_failed = report.failed > 0;
                    let pause = if has_failed { wait } else { RESCAN };
                    wait = if has_failed { (wait * 2).min(WAITS.1) } else { WAITS.0 };
                    pause
                }
                Err(fault) if is_first => return Err(fault),
                Err(fault) => {
                    session = None;
                    let again = "trying again, and after the next change";
                    context.observer.warn(format!("{fault}; {again}"));
                    let pause = wait;
                    wait = (wait * 2).min(WAITS.1);
                    pause
                }
            };
            let stopped = context.stop.wait();
            tokio::select! {
                () = self.pause(&mut session, changes, pause) => {}
                () = stopped => return Ok(()),
            }
        }
    }

    /// Waits for the next change, `pause` at most. A session without work is ended before the server does it.
    async fn pause(
        &self,
        session: &mut Option<Session>,
        changes: &mut LocalChanges,
        pause: Duration,
    ) {
        if changes.wait(pause.min(KEEP)).await || pause <= KEEP {
            return;
        }
        if let Some(idle) = session.take() {
            idle.leave();
        }
        changes.wait(pause.saturating_sub(KEEP)).await;
    }

    /// Mirrors once. A session that the server has closed meanwhile is opened again.
    async fn mirror_once(
        &self,
        session: &mut Option<Session>,
        context: &RunContext,
        states: MirrorStates<'_>,
    ) -> Result<Report> {
        let MirrorSides { local, url, .. } = &self.sides;
        let remote = url.path.clone().map_or_else(|| RemotePath::parse("."), Ok)?;
        let open = match session {
            Some(open) => open,
            None => session.insert(Session::open(self.site.clone(), context.clone()).await?),
        };
        mirror::up(open, states, local, &remote, &self.rules, false).await
    }
}

//! `portolan nat watch`: makes rulesets hold that the host has changed under.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
    sync::Arc,
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::json;

use super::{common::runtime, report};
use crate::{
    cancel::CancelToken,
    error::{Error, Result},
    exit_code::Exit,
    nat::{
        NatError,
        machine::{Choice, NatHost},
        mend::{MendReport, Mended},
        notice::NetworkNotices,
        ruleset_store::RulesetStore,
    },
    observe::{EventEmitter, MessageLevel},
    schedule::daemon::{tell_ready, tell_stopping},
};

/// The time after which everything is looked at without a notice: of some settings the kernel gives none, and legacy
/// iptables gives none at all.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// The time after which a look that failed is repeated.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The number of looks that may mend something within [`LOOK_EVERY`]. With more, another program changes things as fast
/// as they are mended, and the watcher waits until that time is over.
const MENDING_LOOKS_MAX: usize = 10;

/// The arguments of `portolan nat watch`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct WatchArgs {
    /// Mend what has changed, and end
    #[arg(long)]
    pub(super) once: bool,
    /// Script that describes the rulesets to watch; without one, all that are applied
    pub(super) script: Option<PathBuf>,
    /// Arguments of the script (`args`)
    #[arg(value_name = "ARGS")]
    pub(super) rest: Vec<String>,
    /// Name of the ruleset, instead of a script
    #[arg(long, value_name = "NAME", conflicts_with = "script")]
    pub(super) ruleset: Option<String>,
}

/// The watcher.
pub(super) struct Watcher<'w> {
    pub(super) ledger: &'w dyn RulesetStore,
    /// The names of the rulesets; all that are applied if it is empty.
    pub(super) names: Vec<String>,
    pub(super) observer: &'w EventEmitter,
    pub(super) voice: WatchVoice,
}

/// The way in which a watcher tells of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WatchVoice {
    /// Lines on standard output.
    Text,
    /// One JSON object each on standard output.
    Json,
    /// Messages, beside those of a service that it is a part of.
    Log,
}

/// The memory of the watcher.
#[derive(Default)]
struct WatchMemory {
    /// The missing interfaces of each ruleset.
    absent: BTreeMap<String, BTreeSet<String>>,
    /// The last fault of each ruleset.
    faults: BTreeMap<String, String>,
    /// The times of the last looks that mended something.
    mending: VecDeque<Instant>,
}

impl Watcher<'_> {
    /// Looks once; fails with the first fault, after all rulesets have been looked at.
    pub(super) fn once(&self) -> Result<Exit> {
        let mut seen = WatchMemory::default();
        let mut first = None;
        for name in self.names()? {
            match self.look(&name) {
                Ok(found) => drop(self.tell(&name, &found, &mut seen)),
                Err(fault) => drop(first.get_or_insert(fault)),
            }
        }
        first.map_or(Ok(Exit::Done), Err)
    }

    /// Watches until `stop` is set.
    pub(super) fn watch(&self, stop: &CancelToken) -> Result<Exit> {
        runtime()?.block_on(async {
            // Before the first look: nothing that happens in between is missed.
            let notices = NetworkNotices::open()
                .map_err(|error| Error::local("watch", "the network of this host", error))?;
            let mut seen = WatchMemory::default();
            if self.voice != WatchVoice::Log {
                tell_ready("watching");
            }
            loop {
                let is_settled = self.round(&mut seen)?;
                let is_struggling = seen.is_struggling(Instant::now());
                let time = if is_settled { LOOK_EVERY } else { RETRY_AFTER };
                let wait = async {
                    if is_struggling {
                        self.observer.warn(
                            "another program changes the same again and again: the next look is in 30 s",
                        );
                        tokio::time::sleep(LOOK_EVERY).await;
                        return Ok(());
                    }
                    tokio::time::timeout(time, notices.changed()).await.unwrap_or(Ok(()))
                };
                let Ok(done) = stop.run_until_cancelled(wait).await else {
                    if self.voice != WatchVoice::Log {
                        tell_stopping(Duration::ZERO);
                    }
                    return Ok(Exit::Done);
                };
                done.map_err(|error| Error::local("watch", "the network of this host", error))?;
            }
        })
    }

    /// Looks at all rulesets; returns false if that failed for one of them.
    fn round(&self, seen: &mut WatchMemory) -> Result<bool> {
        let mut is_settled = true;
        let mut is_mending = false;
        for name in self.names()? {
            match self.look(&name) {
                Ok(found) => {
                    if found.mended.iter().all(|one| one.about != "foreign") {
                        seen.faults.remove(&name);
                    }
                    is_mending |= self.tell(&name, &found, seen);
                }
                Err(fault) => {
                    is_settled = false;
                    if fault.name == Some(NatError::Busy.name()) {
                        continue;
                    }
                    let text = fault.message.clone();
                    if seen.faults.insert(name.clone(), text.clone()) != Some(text.clone()) {
                        self.observer.warn(format!("ruleset {name}: {text}"));
                    }
                }
            }
        }
        if is_mending {
            seen.mending.push_back(Instant::now());
        }
        Ok(is_settled)
    }

    fn names(&self) -> Result<Vec<String>> {
        if !self.names.is_empty() {
            return Ok(self.names.clone());
        }
        Ok(self.ledger.all()?.into_iter().map(|record| record.ruleset).collect())
    }

    fn look(&self, name: &str) -> Result<MendReport> {
        let record = self.ledger.load(name)?;
        NatHost::this(Choice::Auto, record.as_ref())?.mend(name, self.ledger)
    }

    /// Prints what was mended, one line each, and which interfaces have come or gone. Returns true if something was mended.
    fn tell(&self, name: &str, found: &MendReport, seen: &mut WatchMemory) -> bool {
        let known = seen.absent.entry(name.to_owned()).or_default();
        let gone = found.absent.difference(known);
        let gone = gone.map(|device| format!("{device} is not there; its rules wait for it"));
        let come = known.difference(&found.absent).map(|device| format!("{device} is there"));
        for text in come.chain(gone) {
            self.say(name, "interface", &text);
        }
        known.clone_from(&found.absent);
        let mut is_mending = false;
        for Mended { about, text } in &found.mended {
            // What cannot be mended is told once.
            let is_done = *about != "foreign";
            let is_new = is_done || seen.faults.get(name) != Some(text);
            if is_new {
                self.say(name, about, text);
            }
            is_mending |= is_done;
            if !is_done {
                seen.faults.insert(name.to_owned(), text.clone());
            }
        }
        is_mending
    }

    fn say(&self, name: &str, about: &str, text: &str) {
        match self.voice {
            WatchVoice::Text => report::output(&format!("{name}: {text}\n")),
            WatchVoice::Json => {
                report::json(&json!({ "ruleset": name, "about": about, "text": text }));
            }
            WatchVoice::Log => {
                self.observer.message(MessageLevel::Info, format!("ruleset {name}: {text}"));
            }
        }
    }
}

/// The watchers of a service, each on a thread of its own; they end with it.
pub(super) struct BackgroundWatch {
    stop: CancelToken,
    threads: Vec<JoinHandle<()>>,
}

impl BackgroundWatch {
    /// Starts a watcher for each of these stores of records.
    pub(super) fn start(
        ledgers: Vec<Arc<dyn RulesetStore>>,
        observer: &EventEmitter,
    ) -> Result<Self> {
        let stop = CancelToken::new();
        let mut threads = Vec::new();
        for ledger in ledgers {
            let (stop, observer) = (stop.clone(), observer.clone());
            let watch = move || {
                let (names, voice) = (Vec::new(), WatchVoice::Log);
                let watcher = Watcher { ledger: &*ledger, names, observer: &observer, voice };
                if let Err(fault) = watcher.watch(&stop) {
                    observer.warn(format!("NAT rulesets are not watched: {}", fault.message));
                }
            };
            let thread = Builder::new().name("nat-watch".into()).spawn(watch);
            threads.push(thread.map_err(|error| Error::local("start", "a thread", error))?);
        }
        Ok(Self { stop, threads })
    }
}

impl Drop for BackgroundWatch {
    fn drop(&mut self) {
        self.stop.set();
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

impl WatchMemory {
    fn is_struggling(&mut self, now: Instant) -> bool {
        while self.mending.front().is_some_and(|first| now.duration_since(*first) > LOOK_EVERY) {
            self.mending.pop_front();
        }
        self.mending.len() > MENDING_LOOKS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_undoes_everything_is_not_raced() {
        let mut seen = WatchMemory::default();
        let start = Instant::now();
        for second in 0..=MENDING_LOOKS_MAX {
            assert!(!seen.is_struggling(start), "{second}");
            seen.mending.push_back(start);
        }
        assert!(seen.is_struggling(start));
        assert!(!seen.is_struggling(start + LOOK_EVERY + Duration::from_secs(1)));
    }
}

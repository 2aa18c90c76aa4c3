//! Supervises the thread of a script: one that exceeds a limit is asked to end, and abandoned if it does not.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    time::Duration,
};

use super::{
    budget::{Look, Watchdog},
    raise::ScriptFailure,
    run::{ScriptEnd, ScriptRun, crashed},
};
use crate::error::Error;

/// The interval at which messages of a thread are polled whose script has not begun.
const BEGIN_INTERVAL: Duration = Duration::from_secs(10);

/// A message from the thread of a script to its supervisor.
pub(super) enum ScriptNote {
    /// The script has begun.
    Begun(Arc<ScriptRun>),
    /// The script continues after uncounted work.
    Awake,
    /// The script has ended.
    Ended(Result<ScriptEnd, Box<ScriptFailure>>),
}

/// Supervises a script until it has ended or is abandoned.
pub(super) fn attend(inbox: &Receiver<ScriptNote>) -> Result<ScriptEnd, Box<ScriptFailure>> {
    let mut watched: Option<(Arc<ScriptRun>, Watchdog)> = None;
    loop {
        let pause = watched.as_ref().map_or(BEGIN_INTERVAL, |(run, _)| Watchdog::pause(&run.meter));
        match inbox.recv_timeout(pause) {
            Ok(ScriptNote::Begun(run)) => {
                let watch = Watchdog::new(&run.meter);
                watched = Some((run, watch));
            }
            Ok(ScriptNote::Ended(result)) => return result,
            Ok(ScriptNote::Awake) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(crashed()),
        }
        let Some((run, watch)) = &mut watched else { continue };
        match watch.look(&run.meter) {
            Look::Fine => {}
            Look::Over(fault) => run.end(fault),
            Look::Lost(fault) => {
                run.abandon();
                return Err(Box::new(ScriptFailure::from(fault)));
            }
        }
    }
}

/// Runs `work` of `run` on this thread, supervised by another one. The thread cannot be abandoned, since it keeps the
/// session: `lost` ends the process if the script does not reach its next step.
pub(super) fn watched<T>(run: &Arc<ScriptRun>, lost: fn(&Error), work: impl FnOnce() -> T) -> T {
    let (notes, inbox) = channel();
    let awake = notes.clone();
    run.meter.on_wake(move || drop(awake.send(ScriptNote::Awake)));
    notes.send(ScriptNote::Begun(Arc::clone(run))).ok();
    let watcher = std::thread::Builder::new().name("watch".into()).spawn(move || {
        if let Err(failure) = attend(&inbox) {
            lost(&failure.fault);
        }
    });
    let result = work();
    notes.send(ScriptNote::Ended(Ok(ScriptEnd::Whole))).ok();
    if let Ok(watcher) = watcher {
        watcher.join().ok();
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ftp::session::RunContext,
        script::{
            run::{self, Settings},
            source::ScriptSource,
        },
    };

    fn end_of(text: &str) -> String {
        let source = ScriptSource::from_text(text, "test.rhai", ".");
        let ended = run::run(&source, Settings::default(), &RunContext::default());
        ended.map_or_else(|failure| failure.fault.message, |_| "done".into())
    }

    const TOO_LONG: &str = "the script was stopped: it used more than 1 seconds of processor time: is there an infinite loop?";

    #[test]
    fn time_counts_whatever_it_is_spent_in() {
        for text in [
            "let row = || { let b = []; b.pad(300000, 1); b.filter(|y| y > 0).len() }; let a = []; a.pad(300000, 0); a.map(|x| row.call());",
            "let a = []; a.pad(450000, \"some words\"); let b = a; loop { if a != b { print(1); } }",
            "let a = []; a.pad(490000, 'c'); let n = 0; while n >= 0 { n = a.index_of('d') + 1; }",
            "let f = || loop { }; for i in 0..1000000 { try { [2, 1].sort(|x, y| f.call()); } catch { } }",
            "let a = []; a.pad(400000, 3); loop { a.reduce(|sum, x| sum + x, 0); }",
            "let s = \"\"; s.pad(4000000, 'x'); loop { s.to_upper().split('Y').len(); }",
            "let m = #{}; for i in 0..100000 { m[`k${i}`] = i; } loop { m.values().len(); }",
            "loop { try { retry(2, || loop { }); } catch { } }",
        ] {
            let end = end_of(&format!("try {{ {text} }} catch (err) {{ throw \"caught\"; }}"));
            assert!(end == TOO_LONG || end.contains("it took too many steps"), "{text}: {end}");
        }
    }

    #[test]
    fn waits_do_not_count() {
        assert_eq!(end_of("for i in 0..30 { sleep(0.1); }"), "done");
    }

    #[test]
    fn a_script_that_does_not_come_to_its_next_step_is_left() {
        let (notes, inbox) = channel();
        std::thread::spawn(move || {
            let run = ScriptRun::new(Settings::default(), &RunContext::default()).unwrap();
            let folder = run.temporary_folder().unwrap();
            notes.send(ScriptNote::Begun(Arc::new(run))).unwrap();
            // It takes no step, and computes until it is abandoned.
            while folder.exists() {}
        });
        let failure = attend(&inbox).unwrap_err();
        assert_eq!(failure.fault.message, TOO_LONG);
    }
}

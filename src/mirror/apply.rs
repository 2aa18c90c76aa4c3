//! Plans, done: several sessions at one heap of steps, deletes last and only when nothing failed.

use std::{
    collections::{BTreeSet, VecDeque},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
    time::Instant,
};

use super::{
    crew::{Crew, Work},
    hashed::Hashed,
    ledger::Ledger,
    plan::{Act, Direction, Heading, Plan, Step},
    report::Report,
    scan::place,
    tree::{above, depth},
};
use crate::{
    fault::{Fault, Kind, Outcome},
    files::{Landing, Reading, Root},
    ftp::{
        base::Pair,
        path::RemotePath,
        session::Session,
        transfer::{Known, Moved, utc},
    },
    limits::MIRROR_FAILURES_IN_A_ROW_MAX,
    observe::{Event, Verb, visible::visible},
};

/// Does `plan`. A fault on one file stands in the report, and the rest goes on; fails as a whole when it is stopped,
/// or when the folder of this machine cannot be opened.
pub async fn apply(session: &mut Session, plan: &Plan) -> Outcome<Report> {
    let mut ledger = Ledger::of(session, &plan.heading, &plan.rules);
    let mut crew = Crew::new(session, plan.rules.parallel);
    let report = apply_with(&mut crew, plan, &mut ledger).await;
    crew.dismiss().await;
    report
}

pub(super) async fn apply_with(
    crew: &mut Crew<'_>,
    plan: &Plan,
    ledger: &mut Ledger,
) -> Outcome<Report> {
    let started = Instant::now();
    ledger.learn(plan, crew.first()).await?;
    let mut run = Run::new(plan, ledger);
    let done = do_all(crew, plan, &mut run).await;
    let Run { mut report, .. } = run;
    // What was done stays known, however the run ended.
    ledger.flush();
    done?;
    crew.first().route().clone_into(&mut report.route);
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

async fn do_all<'p>(crew: &mut Crew<'_>, plan: &'p Plan, run: &mut Run<'p, '_>) -> Outcome<()> {
    if !plan.is_empty() {
        let tools = Tools { root: open(&plan.heading)?, plan, keeps_pairs: run.ledger.is_kept() };
        for wave in waves(&plan.steps) {
            run.take(wave, crew);
            let is_up = plan.heading.direction == Direction::Up;
            let is_for_sessions = is_up || matches!(wave, [Step { act: Act::Get(_), .. }, ..]);
            if is_for_sessions {
                crew.grow(run.waiting.len()).await?;
            }
            // What a session that the server threw out gave back is left to the others.
            while !run.waiting.is_empty() {
                crew.run(run, async |session: &mut Session, step: &&Step| {
                    tools.act(session, step).await
                })
                .await?;
            }
        }
    }
    Ok(())
}

/// The folder of this machine; that of a download is made, since the user named it.
fn open(heading: &Heading) -> Outcome<Root> {
    if heading.direction == Direction::Down {
        std::fs::create_dir_all(&heading.local)
            .map_err(|error| Fault::local("make the folder", &heading.local, error))?;
    }
    Root::open(&heading.local)
}

/// Steps that may be done in any order among themselves: folders of one depth, or all files next to each other.
fn waves(steps: &[Step]) -> impl Iterator<Item = &[Step]> {
    let rank = |step: &Step| match step.act {
        Act::MakeFolder => (0, depth(&step.path)),
        Act::Put(_) | Act::Get(_) => (1, 0),
        Act::DeleteFile => (2, 0),
        Act::DeleteFolder => (3, depth(&step.path)),
    };
    steps.chunk_by(move |one, other| rank(one) == rank(other))
}

/// What a step is done with.
struct Tools<'p> {
    root: Root,
    plan: &'p Plan,
    /// Whether what both sides are now is of use to anybody.
    keeps_pairs: bool,
}

/// What a step led to: a transfer, and what both sides of the file are now.
type Found = Option<(Moved, Option<Pair>)>;

impl Tools<'_> {
    async fn act(&self, session: &mut Session, step: &Step) -> Outcome<Found> {
        let here = Path::new(OsStr::from_bytes(&step.path));
        let there = place(&self.plan.heading.remote, &step.path)?;
        let is_up = self.plan.heading.direction == Direction::Up;
        let keeps_times = self.plan.rules.preserve_times;
        let verb = match step.act {
            Act::Put(_) => {
                let reading = Reading::open_in(&self.root, here)?;
                return self.put(session, reading, &there).await.map(Some);
            }
            Act::Get(_) => {
                let landing = Landing::begin_in(&self.root, here)?;
                let known = Known { size: step.size, modified: utc(step.modified) };
                let moved = session.download(&there, landing, known, keeps_times).await?;
                return Ok(Some((moved, self.pair_here(step, here))));
            }
            Act::MakeFolder if is_up => session.mkdir(&there).await.map(|()| Verb::Mkdir)?,
            Act::MakeFolder => self.root.make_folder(here).map(|()| Verb::Mkdir)?,
            Act::DeleteFile if is_up => gone(session.delete(&there).await)?,
            Act::DeleteFile => gone(self.root.remove_file(here))?,
            Act::DeleteFolder if is_up => gone(session.rmdir(&there).await)?,
            Act::DeleteFolder => gone(self.root.remove_folder(here))?,
        };
        let path = if is_up { there.to_string() } else { self.root.path().join(here).shown() };
        session.context().observer.tell(&Event::Done { verb, path });
        Ok(None)
    }

    async fn put(
        &self,
        session: &mut Session,
        reading: Reading,
        there: &RemotePath,
    ) -> Outcome<(Moved, Option<Pair>)> {
        let keeps_times = self.plan.rules.preserve_times;
        if !self.keeps_pairs {
            let moved = session.upload_file(reading, there, keeps_times).await?;
            return Ok((moved, None));
        }
        let (size, modified) = (reading.size(), reading.modified());
        let mut source = Hashed::new(reading);
        let time = keeps_times.then_some(modified);
        let moved = session.upload(&mut source, size, time, there).await?;
        let pair = Pair {
            hash: Some(source.hash()),
            local_size: size,
            local_us: Some(modified.as_microsecond()),
            remote_size: moved.verified.then_some(size),
            remote_time: moved.modified,
        };
        Ok((moved, Some(pair)))
    }

    /// What both sides of a file are that was fetched; nothing where it is gone again.
    fn pair_here(&self, step: &Step, here: &Path) -> Option<Pair> {
        let found = self.root.metadata(here).ok().filter(|_| self.keeps_pairs)?;
        Some(Pair {
            hash: None,
            local_size: found.size,
            local_us: Some(found.modified.as_microsecond()),
            remote_size: step.size,
            remote_time: step.modified,
        })
    }
}

/// A path of this machine as shown to people.
trait Shown {
    fn shown(&self) -> String;
}

impl Shown for Path {
    fn shown(&self) -> String {
        visible(self.as_os_str().as_bytes())
    }
}

/// What is gone already is gone: a second try after a reply that was lost finds nothing.
fn gone(result: Outcome<()>) -> Outcome<Verb> {
    match result {
        Err(fault) if fault.kind != Kind::NotFound => Err(fault),
        _ => Ok(Verb::Delete),
    }
}

/// A plan on its way.
struct Run<'p, 'l> {
    report: Report,
    ledger: &'l mut Ledger,
    waiting: VecDeque<&'p Step>,
    /// Whether deletes have begun.
    is_late: bool,
    /// Folders that could not be made: nothing below them can be.
    blocked: BTreeSet<&'p [u8]>,
    /// Whether there is no room for more files.
    is_full: bool,
    /// Whether nothing more can succeed.
    is_over: bool,
    /// Failures of the connection since the last success.
    failures: u32,
}

impl<'p, 'l> Run<'p, 'l> {
    fn new(plan: &Plan, ledger: &'l mut Ledger) -> Self {
        Self {
            report: plan.report(),
            ledger,
            waiting: VecDeque::new(),
            is_late: false,
            blocked: BTreeSet::new(),
            is_full: false,
            is_over: false,
            failures: 0,
        }
    }

    /// Takes in the next steps, unless they are deletes, or come after deletes, and something has failed (S55).
    fn take(&mut self, wave: &'p [Step], crew: &mut Crew<'_>) {
        self.is_late |= wave.iter().any(|step| step.act.is_delete());
        if self.report.failed == 0 || !self.is_late {
            self.waiting.extend(wave);
            return;
        }
        self.report.skipped += wave.len() as u64;
        let text = "nothing is deleted, since something failed before";
        crew.first().context().observer.warn_once(text);
    }

    /// Whether `step` can still be done; counts it, if not.
    fn can(&mut self, step: &Step) -> bool {
        let is_transfer = matches!(step.act, Act::Put(_) | Act::Get(_));
        if self.is_over || above(&step.path).any(|folder| self.blocked.contains(folder)) {
            self.report.failed += u64::from(is_transfer);
            self.report.skipped += u64::from(step.act.is_delete());
            return false;
        }
        if self.is_full && is_transfer {
            self.report.skipped += 1;
            return false;
        }
        true
    }

    fn fail(&mut self, step: &'p Step, fault: Fault) {
        if step.act == Act::MakeFolder {
            self.blocked.insert(&step.path);
        }
        self.failures = if fault.may_retry() { self.failures + 1 } else { 0 };
        self.is_full |= fault.kind == Kind::Full;
        // Without a login nothing works; a connection that fails again and again is not asked for ever.
        self.is_over |= matches!(fault.kind, Kind::Denied | Kind::Unreachable)
            || self.failures >= MIRROR_FAILURES_IN_A_ROW_MAX
            || step.act == Act::MakeFolder && step.path.is_empty();
        self.report.failed += 1;
        self.report.errors.push(fault.at(visible(&step.path)));
    }
}

impl<'p> Work for Run<'p, '_> {
    type Job = &'p Step;
    type Found = Found;

    fn next(&mut self) -> Option<&'p Step> {
        while let Some(step) = self.waiting.pop_front() {
            if self.can(step) {
                return Some(step);
            }
        }
        None
    }

    fn give_back(&mut self, step: &'p Step) {
        self.waiting.push_front(step);
    }

    fn done(&mut self, step: &'p Step, result: Outcome<Found>) -> Outcome<()> {
        match (result, step.act) {
            (Err(fault), _) if fault.kind == Kind::Interrupted => return Err(fault),
            (Err(fault), _) => {
                self.fail(step, fault);
                return Ok(());
            }
            (Ok(Some((moved, pair))), act) => {
                self.report.add(moved);
                self.ledger.note(&step.path, pair);
                match act {
                    Act::Get(_) => self.report.downloaded += 1,
                    _ => self.report.uploaded += 1,
                }
            }
            (Ok(None), Act::DeleteFile | Act::DeleteFolder) => {
                self.report.deleted += 1;
                self.ledger.note(&step.path, None);
            }
            (Ok(None), _) => {}
        }
        self.failures = 0;
        Ok(())
    }
}

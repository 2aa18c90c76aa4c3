//! Plans, done: several sessions at one heap of steps, deletes last and only when nothing failed.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
    time::Instant,
};

use jiff::Timestamp;

use super::{
    crew::{Crew, Ends, Feed, Work},
    draft::draft,
    hashed::Hashed,
    ledger::Ledger,
    plan::{Act, Direction, Heading, Plan, Step},
    report::Report,
    rules::Rules,
    scan::place,
    times,
    trash::Trash,
    tree::{above, depth},
};
use crate::{
    fault::{Fault, Kind, Outcome, Side},
    files::{Reading, Root},
    ftp::{
        base::Pair,
        pace::Pace,
        session::Session,
        transfer::{Aside, Moved},
    },
    limits::{ASIDE_BYTES_MAX, ASIDE_FILES_MAX, ASIDE_TIME_MAX, MIRROR_FAILURES_IN_A_ROW_MAX},
    observe::{Event, Verb, visible::visible},
};

/// Does `plan`, unless either side has changed since it was made: then nothing is done, and it fails with `refused`. A
/// fault on one file stands in the report, and the rest goes on; fails as a whole when it is stopped, or when the folder
/// of this machine cannot be opened.
pub async fn apply(session: &mut Session, plan: &Plan) -> Outcome<Report> {
    let mut ledger = Ledger::of(session, &plan.heading, &plan.rules)?;
    plan.check_server(session)?;
    let mut crew = Crew::new(session, plan.rules.parallel);
    let work = async {
        let now = draft(&mut crew, plan.heading.clone(), &plan.rules, &mut ledger).await?;
        plan.check_unmoved(&now)?;
        apply_with(&mut crew, &now, &mut ledger).await
    };
    let report = work.await;
    crew.dismiss();
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
    crew.keep_pace(plan.rules.rate_limit.map(Pace::new));
    let done = do_all(crew, plan, &mut run).await;
    crew.keep_pace(None);
    let Run { mut report, .. } = run;
    // What was done stays known, however the run ended.
    let kept = ledger.flush(crew.first()).await;
    done?;
    if let Err(fault) = kept {
        report.fail(fault);
    }
    crew.first().route().clone_into(&mut report.route);
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

async fn do_all<'p>(crew: &mut Crew<'_>, plan: &'p Plan, run: &mut Run<'p, '_>) -> Outcome<()> {
    if !plan.is_empty() {
        let root = open(&plan.heading)?;
        let trash = Trash::of(&plan.heading, &plan.rules)?;
        let times = times::of_downloads(crew, plan).await?;
        let (files, bytes) = (plan.counts.transfers, plan.counts.bytes);
        crew.first().context().observer.tell(&Event::Planned { files, bytes });
        let tools = Tools { root, plan, trash, times, keeps_pairs: run.ledger.is_kept() };
        for wave in waves(&plan.steps) {
            run.take(wave, crew);
            // What a session that the server threw out gave back is left to the others.
            while !run.waiting.is_empty() {
                run.keep_state(crew).await?;
                crew.run(run, async |session: &mut Session, step, feed: Feed<'_, '_, _>| {
                    tools.turn(session, step, feed).await
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
pub(super) struct Tools<'p> {
    pub(super) root: Root,
    pub(super) plan: &'p Plan,
    trash: Option<Trash>,
    /// Times of files to fetch that their listings do not tell.
    pub(super) times: BTreeMap<Vec<u8>, Timestamp>,
    /// Whether what both sides are now is of use to anybody.
    pub(super) keeps_pairs: bool,
}

/// What a step led to: a transfer, and what both sides of the file are now.
pub(super) type Found = Option<(Moved, Option<Pair>)>;

/// A file under its temporary name on the server, and what is known of it here.
type Sent = (Aside, Option<Pair>);

impl<'p> Tools<'p> {
    /// One step, or with it the uploads that follow: what is left to do for them goes together in the end.
    async fn turn<'l>(
        &self,
        session: &mut Session,
        step: &'p Step,
        feed: Feed<'_, '_, Run<'p, 'l>>,
    ) -> Ends<Run<'p, 'l>> {
        // What may be left half on purpose is seen to by itself.
        if !matches!(step.act, Act::Put(_)) || self.plan.rules.resume {
            session.go_on(feed.goes_on());
            return vec![(step, self.act(session, step).await)];
        }
        let started = Instant::now();
        let (mut steps, mut sent, mut bytes) = (Vec::new(), Vec::new(), 0);
        let (mut next, mut failed) = (Some(step), None);
        while let Some(step) = next {
            session.go_on(feed.goes_on() && sent.len() + 1 < ASIDE_FILES_MAX);
            match self.put_aside(session, step).await {
                Ok(file) => {
                    steps.push(step);
                    sent.push(file);
                }
                Err(fault) => {
                    failed = Some((step, Err(fault)));
                    break;
                }
            }
            bytes += step.size.unwrap_or(0);
            let is_enough = sent.len() >= ASIDE_FILES_MAX
                || bytes >= ASIDE_BYTES_MAX
                || started.elapsed() >= ASIDE_TIME_MAX;
            next = if is_enough { None } else { feed.next() };
        }
        steps.into_iter().zip(put_in_place(session, sent).await).chain(failed).collect()
    }

    /// Sends a file to a temporary name on the server.
    async fn put_aside(&self, session: &mut Session, step: &Step) -> Outcome<Sent> {
        let here = Path::new(OsStr::from_bytes(&step.path));
        let there = place(&self.plan.heading.remote, &step.path)?;
        let mut reading = Reading::open_in(&self.root, here)?;
        let (size, modified) = (reading.size(), reading.modified());
        let time = self.plan.rules.preserve_times.then_some(modified);
        if !self.keeps_pairs {
            return Ok((session.put_aside(&mut reading, size, time, &there).await?, None));
        }
        let mut source = Hashed::new(reading);
        let file = session.put_aside(&mut source, size, time, &there).await?;
        let pair = Pair {
            hash: Some(source.hash()),
            local_size: size,
            local_us: Some(modified.as_microsecond()),
            remote_size: None,
            remote_time: None,
        };
        Ok((file, Some(pair)))
    }

    async fn act(&self, session: &mut Session, step: &Step) -> Outcome<Found> {
        let here = Path::new(OsStr::from_bytes(&step.path));
        let there = place(&self.plan.heading.remote, &step.path)?;
        let is_up = self.plan.heading.direction == Direction::Up;
        let verb = match step.act {
            Act::Put(_) => return self.put_on(session, step).await,
            Act::Get(_) => return self.get(session, step).await,
            Act::MakeFolder if is_up => session.mkdir(&there).await.map(|()| Verb::Mkdir)?,
            Act::MakeFolder => self.root.make_folder(here).map(|()| Verb::Mkdir)?,
            Act::DeleteFile if let Some(trash) = &self.trash => {
                let top = &self.plan.heading.remote;
                gone(trash.take(session, &self.root, top, &step.path).await)?
            }
            Act::DeleteFile if is_up => gone(session.delete(&there).await)?,
            Act::DeleteFile => gone(self.root.remove_file(here))?,
            Act::DeleteFolder if is_up => gone(session.rmdir(&there).await)?,
            Act::DeleteFolder => gone(self.root.remove_folder(here))?,
        };
        let path = if is_up { there.to_string() } else { self.root.path().join(here).shown() };
        session.context().observer.tell(&Event::Done { verb, path });
        Ok(None)
    }
}

/// Gives files that were sent their final names, and says what both sides of each are now.
async fn put_in_place(session: &mut Session, sent: Vec<Sent>) -> Vec<Outcome<Found>> {
    let (files, pairs): (Vec<_>, Vec<_>) = sent.into_iter().unzip();
    let placed = session.put_in_place(files).await.into_iter().zip(pairs);
    let found = placed.map(|(moved, pair)| {
        moved.map(|moved| Some((moved, pair.map(|pair| completed(pair, &moved)))))
    });
    found.collect()
}

/// What is known of a file here, with what the server has of it now.
pub(super) fn completed(pair: Pair, moved: &Moved) -> Pair {
    let remote_size = moved.verified.then_some(pair.local_size);
    Pair { remote_size, remote_time: moved.modified, ..pair }
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
    direction: Direction,
    ledger: &'l mut Ledger,
    rules: &'p Rules,
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
    fn new(plan: &'p Plan, ledger: &'l mut Ledger) -> Self {
        Self {
            report: plan.report(),
            direction: plan.heading.direction,
            ledger,
            rules: &plan.rules,
            waiting: VecDeque::new(),
            is_late: false,
            blocked: BTreeSet::new(),
            is_full: false,
            is_over: false,
            failures: 0,
        }
    }

    /// Brings to its place what is due of the state.
    async fn keep_state(&mut self, crew: &mut Crew<'_>) -> Outcome<()> {
        if !self.ledger.is_due() {
            return Ok(());
        }
        match self.ledger.flush(crew.first()).await {
            Err(fault) if fault.kind == Kind::Interrupted => Err(fault),
            Err(fault) => {
                self.report.fail(fault);
                Ok(())
            }
            Ok(()) => Ok(()),
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
        self.report.fail(fault.at(visible(&step.path)));
    }
}

impl<'p> Work for Run<'p, '_> {
    type Job = &'p Step;
    type Found = Found;

    fn next(&mut self) -> Option<&'p Step> {
        if self.ledger.is_due() {
            return None;
        }
        while let Some(step) = self.waiting.pop_front() {
            if self.can(step) {
                return Some(step);
            }
        }
        None
    }

    fn waiting(&self) -> usize {
        if self.ledger.is_due() {
            return 0;
        }
        // What is done on this machine needs no session.
        let is_local =
            |step: &&Step| self.direction == Direction::Down && !matches!(step.act, Act::Get(_));
        if self.waiting.front().is_some_and(is_local) { 0 } else { self.waiting.len() }
    }

    fn weight(found: &Found) -> u64 {
        found.as_ref().map_or(0, |(moved, _)| moved.bytes)
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
                if !moved.verified && self.rules.wants_proof() {
                    let message =
                        "the server tells no size: whether all of it arrived cannot be seen";
                    let fault = Fault::new(Kind::Unsupported, Side::Server, message);
                    self.report.fail(fault.at(visible(&step.path)));
                }
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

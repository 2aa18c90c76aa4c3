//! Transfers in the background of the prompt: each on its own thread, with a session of its own.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::lost;
use crate::{
    cancel::CancelToken,
    cli::{common::runtime, report},
    error::{Error, ErrorKind, Origin, Result},
    exit_code::Exit,
    ftp::{session::RunContext, url::Url},
    limits::{BACKGROUND_JOBS_MAX, SCRIPT_STACK_BYTES},
    observe::{Event, EventEmitter, MessageLevel, Sink, format_duration, format_size},
    script::{
        prompt::{Prompt, Trouble, literal},
        run::Settings,
    },
};

/// The maximum number of warnings of one job that are kept.
const WARNINGS_MAX: usize = 20;
/// The interval at which a job is looked at while it is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The transfers in the background.
#[derive(Default)]
pub(super) struct BackgroundJobs {
    jobs: Vec<BackgroundJob>,
    last: usize,
    /// The exit code of the first that failed.
    failed: Option<Exit>,
}

/// A line that runs in the background.
struct BackgroundJob {
    number: usize,
    line: String,
    stop: CancelToken,
    progress: Arc<JobProgress>,
    thread: JoinHandle<Result<(), (Exit, String)>>,
}

/// The place where a job runs.
#[derive(Clone)]
pub(super) struct JobPlace {
    pub(super) url: Url,
    pub(super) settings: Settings,
    pub(super) context: RunContext,
    /// The folder of the session.
    pub(super) folder: Option<String>,
}

/// The progress of a job, as its events tell it.
struct JobProgress {
    began: Instant,
    counts: Mutex<JobCounts>,
}

#[derive(Default)]
struct JobCounts {
    files: u64,
    bytes: u64,
    /// The bytes to transfer, as far as they are known.
    total: u64,
    is_planned: bool,
    warnings: VecDeque<String>,
}

impl JobProgress {
    fn new() -> Self {
        Self { began: Instant::now(), counts: Mutex::default() }
    }

    fn counts(&self) -> MutexGuard<'_, JobCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the progress in words: percent and the time left if the total is known, else the bytes so far.
    fn shown(&self) -> String {
        let counts = self.counts();
        progress_words(counts.bytes, counts.total, self.began.elapsed())
    }
}

/// Returns the progress of `bytes` of `total` after some `time`, in words.
fn progress_words(bytes: u64, total: u64, time: Duration) -> String {
    if total == 0 || bytes > total {
        return format_size(bytes);
    }
    let percent = u128::from(bytes) * 100 / u128::from(total);
    if bytes == 0 {
        return format!("{percent}%");
    }
    let left = u128::from(total - bytes) * time.as_millis() / u128::from(bytes);
    format!("{percent}%, {} left", time_words(left / 1000))
}

/// Returns a time to come in words: an estimate is not exact to the tenth of a second.
fn time_words(seconds: u128) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

impl Sink for JobProgress {
    fn event(&self, event: &Event) {
        let mut counts = self.counts();
        match event {
            Event::Planned { bytes, .. } => {
                counts.total = counts.total.saturating_add(*bytes);
                counts.is_planned = true;
            }
            Event::TransferStarted { bytes: Some(bytes), .. } if !counts.is_planned => {
                counts.total = counts.total.saturating_add(*bytes);
            }
            Event::Moved { bytes, .. } => counts.bytes = counts.bytes.saturating_add(*bytes),
            Event::TransferDone { .. } => counts.files += 1,
            Event::Said { level: MessageLevel::Warn | MessageLevel::Error, text }
                if counts.warnings.len() < WARNINGS_MAX =>
            {
                counts.warnings.push_back(text.clone());
            }
            _ => {}
        }
    }
}

impl BackgroundJobs {
    /// Begins `line` with a session of its own at `place`.
    pub(super) fn begin(&mut self, line: String, place: JobPlace) -> Result<()> {
        if self.jobs.len() >= BACKGROUND_JOBS_MAX {
            let message =
                format!("{BACKGROUND_JOBS_MAX} run in the background already: `wait` for them");
            return Err(Error::invalid(message));
        }
        let progress = Arc::new(JobProgress::new());
        let stop = CancelToken::new();
        let observer = EventEmitter::new(vec![Box::new(Arc::clone(&progress))]);
        let context = RunContext { stop: stop.clone(), observer, ..place.context.clone() };
        let text = line.clone();
        let thread = std::thread::Builder::new().stack_size(SCRIPT_STACK_BYTES);
        let thread = thread.name("background".into());
        let thread = thread.spawn(move || work(&text, &place, &context)).map_err(|error| {
            let message = "cannot start a thread";
            Error::new(ErrorKind::Local, Origin::Here, message).with_source(error)
        })?;
        self.last += 1;
        let number = self.last;
        report::print(&format!("[{number}] {line}\n"));
        self.jobs.push(BackgroundJob { number, line, stop, progress, thread });
        Ok(())
    }

    /// Returns true if any is still running.
    pub(super) fn are_running(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Reports those that have ended.
    pub(super) fn report_ended(&mut self) {
        let (ended, running) =
            std::mem::take(&mut self.jobs).into_iter().partition(|job| job.thread.is_finished());
        self.jobs = running;
        for job in ended {
            self.report(job);
        }
    }

    fn report(&mut self, job: BackgroundJob) {
        let BackgroundJob { number, line, progress, thread, .. } = job;
        let counts = progress.counts();
        let warnings = counts.warnings.iter().map(|text| format!("[{number}] warning: {text}\n"));
        let warnings: String = warnings.collect();
        let ended = thread.join().unwrap_or_else(|_| Err((Exit::Bug, "it crashed".to_owned())));
        let words = match ended {
            Ok(()) => {
                let took = format_duration(progress.began.elapsed());
                let noun = if counts.files == 1 { "file" } else { "files" };
                let size = format_size(counts.bytes);
                format!("[{number}] done: {line} ({} {noun}, {size}, {took})\n", counts.files)
            }
            Err((code, why)) => {
                self.failed.get_or_insert(code);
                format!("[{number}] failed: {line}: {why}\n")
            }
        };
        report::print(&format!("{warnings}{words}"));
    }

    /// Prints all that are running.
    pub(super) fn list(&mut self) {
        self.report_ended();
        let line = |job: &BackgroundJob| {
            format!("[{}] {}  {}\n", job.number, job.progress.shown(), job.line)
        };
        report::output(&self.jobs.iter().map(line).collect::<String>());
    }

    /// Waits until job `number` has ended, or all have; fails if the user does not want to wait any longer.
    pub(super) fn wait(&mut self, number: Option<usize>, stop: &CancelToken) -> Result<()> {
        if let Some(number) = number {
            self.known(number)?;
        }
        let is_meant = |job: &BackgroundJob| number.is_none_or(|number| job.number == number);
        let is_over = |jobs: &[BackgroundJob]| {
            jobs.iter().filter(|job| is_meant(job)).all(|job| job.thread.is_finished())
        };
        let waited = runtime()?.block_on(stop.run_until_cancelled(async {
            while !is_over(&self.jobs) {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        }));
        self.report_ended();
        waited
    }

    /// Stops job `number`.
    pub(super) fn kill(&self, number: usize) -> Result<()> {
        self.known(number).map(|job| job.stop.set())
    }

    fn known(&self, number: usize) -> Result<&BackgroundJob> {
        self.jobs.iter().find(|job| job.number == number).ok_or_else(|| {
            Error::invalid(format!("nothing of number {number} runs in the background; see `jobs`"))
        })
    }

    /// Waits for all at the end of the prompt; a user who does not want to wait stops them. Returns the exit code of the
    /// first that failed.
    pub(super) fn finish(mut self, stop: &CancelToken) -> Option<Exit> {
        self.report_ended();
        if self.are_running() {
            let count = self.jobs.len();
            report::print(&format!("waiting for {count} in the background; Ctrl-C stops them\n"));
        }
        if self.wait(None, stop).is_err() {
            self.jobs.iter().for_each(|job| job.stop.set());
            let patience = CancelToken::new().within(crate::limits::STOP_TIME_MAX);
            if let Err(fault) = self.wait(None, &patience) {
                tracing::debug!(target: "portolan", "left behind in the background: {fault}");
            }
            self.failed.get_or_insert(Exit::Interrupted);
        }
        self.failed
    }
}

/// Does `line` with a session of its own.
fn work(line: &str, place: &JobPlace, context: &RunContext) -> Result<(), (Exit, String)> {
    let of_fault = |fault: &Error| (Exit::of_failure(fault), fault.to_string());
    let of_trouble = |trouble: Trouble| match trouble {
        Trouble::Failed(failure) => of_fault(&failure.fault),
        Trouble::Wrong(findings) => {
            let why = findings.first().map(|finding| finding.message.clone());
            (Exit::Script, why.unwrap_or_default())
        }
        Trouble::Unknown { word, .. } => (Exit::Script, format!("there is no command `{word}`")),
    };
    let opened = Prompt::open(&place.url, place.settings.clone(), context, lost);
    let mut prompt = opened.map_err(|fault| of_fault(&fault))?;
    let folder = place.folder.as_ref().filter(|folder| prompt.folder().as_ref() != Some(folder));
    let moved = folder
        .map_or(Ok(()), |folder| prompt.perform(&format!("site.cd({}); ()", literal(folder))));
    let done = moved.and_then(|()| prompt.answer(line)).map(drop).map_err(of_trouble);
    let is_partial = prompt.is_partial();
    if let Err(fault) = prompt.close() {
        tracing::debug!(target: "portolan", "the session did not end well: {fault}");
    }
    match done {
        Ok(()) if is_partial => Err((Exit::InPart, "not all of it is done".to_owned())),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_has_percent_and_the_time_left() {
        for (bytes, total, seconds, wanted) in [
            (0, 100, 1, "0%"),
            (25, 100, 10, "25%, 30 s left"),
            (100, 100, 10, "100%, 0 s left"),
            (1, 100, 10, "1%, 16 min 30 s left"),
            (2048, 0, 10, "2.0 KiB"),
            (u64::MAX, u64::MAX, 10, "100%, 0 s left"),
        ] {
            let words = progress_words(bytes, total, Duration::from_secs(seconds));
            assert_eq!(words, wanted, "{bytes} of {total}");
        }
    }
}

//! Progress bars on a terminal: one for each file that takes a while, and a total.

use std::{
    collections::HashMap,
    io::{self, Write},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::{
    Event, Sink, TransferId,
    course::Course,
    format_rate, format_size,
    held::PendingLine,
    progress::{coloured, write_line},
    running::{RunningTransfers, Transfer},
    tally::Tally,
    visible::{visible, visible_lines},
    words::{LineWeight, column, words},
};

/// The maximum number of bars for files; further files count in the total only.
const LINES_MAX: usize = 8;
/// The time a file runs before it gets a bar: thousands of small files would only flicker.
const PATIENCE: Duration = Duration::from_millis(200);
/// The maximum number of characters of a path, which leaves room for the numbers on a terminal of 80 columns.
const PATH_CHARS_MAX: usize = 40;
/// The interval at which the total is redrawn, as a sign of life.
const TICK: Duration = Duration::from_millis(250);

/// A sink that draws on standard error; script output goes to `out`, above the bars.
#[derive(Debug)]
pub(super) struct Bars<O> {
    tally: Tally,
    is_coloured: bool,
    screen: MultiProgress,
    state: Mutex<BarsState<O>>,
}

#[derive(Debug)]
struct BarsState<O> {
    out: O,
    running: RunningTransfers,
    began: HashMap<TransferId, Instant>,
    lines: HashMap<TransferId, ProgressBar>,
    sum: Option<ProgressBar>,
    course: Option<Course>,
    held: PendingLine,
}

impl<O: Write> Bars<O> {
    /// Creates a sink that draws on standard error and writes script output to `out`.
    pub(super) fn new(out: O, is_coloured: bool) -> Self {
        Self::on(MultiProgress::new(), out, is_coloured)
    }

    fn on(screen: MultiProgress, out: O, is_coloured: bool) -> Self {
        let state = BarsState {
            out,
            running: RunningTransfers::default(),
            began: HashMap::new(),
            lines: HashMap::new(),
            sum: None,
            course: None,
            held: PendingLine::default(),
        };
        Self { tally: Tally::new(), is_coloured, screen, state: Mutex::new(state) }
    }

    /// Prints a line above the bars.
    fn say(&self, weight: LineWeight, line: String, is_quiet: bool) {
        let line = if self.is_coloured { coloured(weight, line) } else { line };
        if is_quiet {
            // `println` ends lines only above bars; here the line needs its own line end, since a prompt may come next.
            self.screen.suspend(|| write_line(&mut io::stderr(), &line));
        } else {
            // A terminal that has gone away must not end the run.
            self.screen.println(line).ok();
        }
    }
}

impl<O: Write + Send> Sink for Bars<O> {
    fn event(&self, event: &Event) {
        self.tally.event(event);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let transfer = state.running.follow(event);
        Course::follow(&mut state.course, event, transfer.as_ref(), Instant::now());
        if let Some(line) = state.held.before(event) {
            self.say(LineWeight::Failure, line, state.sum.is_none());
        }
        match event {
            Event::TransferStarted { id, .. } => state.begin(*id, &self.screen),
            Event::Moved { id, .. } => {
                if let Some(transfer) = transfer {
                    state.moved(*id, &transfer, (&self.screen, &self.tally));
                }
            }
            Event::TransferDone { id, .. } | Event::TransferFailed { id, .. } => {
                state.end(*id, &self.tally);
                // Completed files are counted, not listed: a mirror has many.
                if let Some((LineWeight::Failure, line)) = words(event, transfer.as_ref()) {
                    state.held.hold(event, line);
                }
            }
            Event::Done { .. } => state.tell(&self.tally),
            Event::Printed { text } => {
                let text = visible_lines(text);
                self.screen.suspend(|| write_line(&mut state.out, &text));
            }
            Event::RunDone { took, .. } => {
                state.clear();
                let summary = self.tally.summary(*took);
                if !summary.is_empty() {
                    self.say(LineWeight::Notice, summary, true);
                }
            }
            _ => {
                if let Some((weight, line)) = words(event, transfer.as_ref()) {
                    self.say(weight, line, state.sum.is_none());
                }
            }
        }
    }
}

impl<O> BarsState<O> {
    fn begin(&mut self, id: TransferId, screen: &MultiProgress) {
        self.began.insert(id, Instant::now());
        self.sum.get_or_insert_with(|| {
            let sum = screen
                .add(ProgressBar::no_length().with_style(style("{spinner} {wide_msg} {elapsed}")));
            sum.enable_steady_tick(TICK);
            sum
        });
    }

    fn moved(
        &mut self,
        id: TransferId,
        transfer: &Transfer,
        (screen, tally): (&MultiProgress, &Tally),
    ) {
        if let Some(line) = self.lines.get(&id) {
            line.set_position(transfer.moved);
            if self.course.is_some() {
                self.tell(tally);
            }
            return;
        }
        let waited = self.began.get(&id).map_or(Duration::ZERO, Instant::elapsed);
        if waited >= PATIENCE && self.lines.len() < LINES_MAX {
            let line = ProgressBar::new(transfer.bytes.unwrap_or(0))
                .with_style(style("{prefix:4} {wide_msg} {amount:>19} {rate:>12}"))
                .with_prefix(column(transfer.verb))
                .with_message(end_of(&visible(&transfer.path)))
                .with_elapsed(waited);
            let line = screen.insert(0, line);
            line.set_position(transfer.moved);
            self.lines.insert(id, line);
        }
    }

    fn end(&mut self, id: TransferId, tally: &Tally) {
        self.began.remove(&id);
        if let Some(line) = self.lines.remove(&id) {
            line.finish_and_clear();
        }
        self.tell(tally);
    }

    fn tell(&self, tally: &Tally) {
        if let Some(sum) = &self.sum {
            let text = match (&self.course, tally.numbers().failed) {
                (None, _) => tally.text(),
                (Some(course), 0) => course.text(Instant::now()),
                (Some(course), failed) => {
                    format!("{failed} failed, {}", course.text(Instant::now()))
                }
            };
            sum.set_message(text);
        }
    }

    fn clear(&mut self) {
        self.began.clear();
        for line in self.lines.drain().map(|(_, line)| line).chain(self.sum.take()) {
            line.finish_and_clear();
        }
    }
}

/// Returns the last characters of a path: the file name matters more than the directories before it.
fn end_of(path: &str) -> String {
    let skipped = path.chars().count().saturating_sub(PATH_CHARS_MAX);
    if skipped == 0 {
        return path.to_owned();
    }
    std::iter::once('…').chain(path.chars().skip(skipped + 1)).collect()
}

/// Returns the style of a bar, with sizes and rates in this crate's format.
fn style(template: &str) -> ProgressStyle {
    let amount = |state: &ProgressState, text: &mut dyn std::fmt::Write| {
        let moved = format_size(state.pos());
        match state.len() {
            None | Some(0) => text.write_str(&moved),
            Some(total) => write!(text, "{moved} of {}", format_size(total)),
        }
        .ok();
    };
    let rate = |state: &ProgressState, text: &mut dyn std::fmt::Write| {
        text.write_str(&format_rate(state.pos(), state.elapsed()).unwrap_or_default()).ok();
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("amount", amount)
        .with_key("rate", rate)
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::*;
    use crate::observe::Operation;

    #[test]
    fn only_files_that_take_their_time_get_a_line_and_only_so_many() {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let bars = Bars::on(screen, Vec::new(), false);
        let lines = || bars.state.lock().unwrap().lines.len();
        for id in 0..20 {
            let path = format!("f{id}");
            bars.event(&Event::TransferStarted { id, verb: Operation::Upload, path, bytes: None });
            bars.event(&Event::Moved { id, bytes: 1 });
        }
        assert_eq!(lines(), 0);
        for began in bars.state.lock().unwrap().began.values_mut() {
            *began = began.checked_sub(PATIENCE).unwrap();
        }
        for id in 0..20 {
            bars.event(&Event::Moved { id, bytes: 1 });
        }
        assert_eq!(lines(), LINES_MAX);
        bars.event(&Event::Printed { text: "a line".into() });
        bars.event(&Event::RunDone { fault: None, took: Duration::ZERO });
        assert_eq!(lines(), 0);
        assert_eq!(bars.state.into_inner().unwrap().out, b"a line\n");
    }

    #[test]
    fn a_long_path_shows_its_end() {
        assert_eq!(end_of("short"), "short");
        let shown = end_of("a/very/long/path/that/does/not/fit/in/a/line/file.txt");
        assert_eq!(shown, "…th/that/does/not/fit/in/a/line/file.txt");
        assert_eq!(shown.chars().count(), PATH_CHARS_MAX);
    }
}

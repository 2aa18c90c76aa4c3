//! The progress of a mirror against its plan, with an estimate of the time left.

use std::time::{Duration, Instant};

use super::{Event, Operation, format_duration, format_rate, format_size, running::Transfer};
use crate::limits::TIDE_FILE_BYTES;

/// The time from the start before which neither rate nor time left is shown.
const TELLING_TIME: Duration = Duration::from_secs(2);

/// The totals of a plan, and the part of it that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Course {
    begun: Instant,
    files: u64,
    bytes: u64,
    files_done: u64,
    bytes_done: u64,
}

impl Course {
    /// Updates the progress with `event`, which concerns `transfer` and happens `now`. `course` is `Some` from the
    /// mirror's plan to the last of its files.
    pub(super) fn follow(
        course: &mut Option<Self>,
        event: &Event,
        transfer: Option<&Transfer>,
        now: Instant,
    ) {
        if let Event::Planned { files, bytes } = *event {
            let planned = Self { begun: now, files, bytes, files_done: 0, bytes_done: 0 };
            *course = (files > 0).then_some(planned);
        }
        let Some(on_way) = course else { return };
        let is_file = transfer.is_some_and(|transfer| {
            matches!(transfer.verb, Operation::Upload | Operation::Download)
        });
        match event {
            Event::Moved { bytes, .. } if is_file => on_way.bytes_done += bytes,
            Event::TransferDone { .. } if is_file => on_way.files_done += 1,
            // It may be retried from the beginning.
            Event::TransferFailed { .. } => {
                let moved = transfer.map_or(0, |transfer| transfer.moved);
                on_way.bytes_done = on_way.bytes_done.saturating_sub(moved);
            }
            Event::RunDone { .. } => on_way.files_done = on_way.files,
            _ => {}
        }
        if on_way.files_done >= on_way.files {
            *course = None;
        }
    }

    /// Formats the progress: `715 of 10000 files, 140 KiB of 1.9 MiB, 10.0 KiB/s, 3 min 2 s left`.
    pub(super) fn text(&self, now: Instant) -> String {
        let amount = self.amount();
        let took = now.saturating_duration_since(self.begun);
        if took < TELLING_TIME {
            return amount;
        }
        let rate = format_rate(self.bytes_done, took);
        let left = self.left(took).map(|left| format!("{left} left"));
        [Some(amount), rate, left].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Estimates the time left at the rate so far. Each file has a fixed cost besides its bytes.
    fn left(&self, took: Duration) -> Option<String> {
        let weight = |files: u64, bytes: u64| {
            u128::from(files) * u128::from(TIDE_FILE_BYTES) + u128::from(bytes)
        };
        let done = weight(self.files_done, self.bytes_done);
        let rest = weight(self.files, self.bytes).checked_sub(done)?;
        let seconds = (took.as_millis() * rest).checked_div(done)?.div_ceil(1000);
        let seconds = u64::try_from(seconds).ok()?;
        Some(if seconds < 60 {
            format!("{seconds} s")
        } else {
            format_duration(Duration::from_secs(seconds))
        })
    }

    fn amount(&self) -> String {
        let Self { files, bytes, files_done, bytes_done, .. } = self;
        let (done, all) = (format_size(*bytes_done), format_size(*bytes));
        let noun = if *files == 1 { "file" } else { "files" };
        // Files may have grown since the plan was made.
        if bytes_done > bytes {
            return format!("{files_done} of {files} {noun}, {done}");
        }
        format!("{files_done} of {files} {noun}, {done} of {all}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{error::Error, observe::running::RunningTransfers};

    #[test]
    fn a_mirror_is_followed_from_its_plan_to_its_last_file() {
        let (mut running, mut course) = (RunningTransfers::default(), None);
        let now = Instant::now();
        let mut follow = |event: &Event| {
            let transfer = running.follow(event);
            Course::follow(&mut course, event, transfer.as_ref(), now);
            course.map(|course| course.text(now))
        };
        let started = |id| {
            let path = format!("{id}");
            Event::TransferStarted { id, verb: Operation::Upload, path, bytes: None }
        };
        let took = Duration::ZERO;
        let done = |id| Event::TransferDone { id, bytes: 1000, verified: true, took };
        assert_eq!(follow(&started(0)), None);
        assert_eq!(follow(&done(0)), None, "no plan");
        let planned = Event::Planned { files: 2, bytes: 2000 };
        assert_eq!(follow(&planned).as_deref(), Some("0 of 2 files, 0 B of 2.0 KiB"));
        follow(&started(1));
        let moved = Event::Moved { id: 1, bytes: 1000 };
        assert_eq!(follow(&moved).as_deref(), Some("0 of 2 files, 1000 B of 2.0 KiB"));
        let failed = Event::TransferFailed { id: 1, fault: Error::protocol("no") };
        assert_eq!(follow(&failed).as_deref(), Some("0 of 2 files, 0 B of 2.0 KiB"));
        follow(&started(2));
        follow(&Event::Moved { id: 2, bytes: 1000 });
        assert_eq!(follow(&done(2)).as_deref(), Some("1 of 2 files, 1000 B of 2.0 KiB"));
        follow(&started(3));
        assert_eq!(follow(&done(3)), None, "the last");
        assert_eq!(follow(&Event::Planned { files: 0, bytes: 0 }), None);
    }

    #[test]
    fn the_rate_and_the_time_left_are_told_when_they_are_known() {
        let begun = Instant::now();
        let text = |files_done, bytes_done, seconds| {
            let course = Course { begun, files: 10, bytes: 10 << 20, files_done, bytes_done };
            course.text(begun + Duration::from_secs(seconds))
        };
        assert_eq!(text(1, 1 << 20, 1), "1 of 10 files, 1.0 MiB of 10.0 MiB");
        assert_eq!(text(1, 1 << 20, 4), "1 of 10 files, 1.0 MiB of 10.0 MiB, 256 KiB/s, 36 s left");
        assert_eq!(
            text(1, 1 << 20, 40),
            "1 of 10 files, 1.0 MiB of 10.0 MiB, 25.6 KiB/s, 6 min 0 s left"
        );
        assert_eq!(text(0, 0, 9), "0 of 10 files, 0 B of 10.0 MiB, 0 B/s");
        assert_eq!(text(9, 20 << 20, 10), "9 of 10 files, 20.0 MiB, 2.0 MiB/s");
    }
}

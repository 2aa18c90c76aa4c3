//! How far a mirror is on its way: what is done of what was planned.

use super::{Event, Verb, running::Transfer, size_text};

/// A plan, and what is done of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Course {
    files: u64,
    bytes: u64,
    files_done: u64,
    bytes_done: u64,
}

impl Course {
    /// Follows `event`, which speaks of `transfer`; from the plan of a mirror to the last of its files.
    pub(super) fn follow(course: &mut Option<Self>, event: &Event, transfer: Option<&Transfer>) {
        if let Event::Planned { files, bytes } = event {
            let begun = Self { files: *files, bytes: *bytes, files_done: 0, bytes_done: 0 };
            *course = (*files > 0).then_some(begun);
        }
        let Some(on_way) = course else { return };
        let is_file =
            transfer.is_some_and(|transfer| matches!(transfer.verb, Verb::Upload | Verb::Download));
        match event {
            Event::Moved { bytes, .. } if is_file => on_way.bytes_done += bytes,
            Event::TransferDone { .. } if is_file => on_way.files_done += 1,
            // It may be tried again, from its beginning.
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

    /// `715 of 10000 files, 140 KiB of 1.9 MiB`.
    pub(super) fn text(&self) -> String {
        let Self { files, bytes, files_done, bytes_done } = self;
        let (done, all) = (size_text(*bytes_done), size_text(*bytes));
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
    use crate::{fault::Fault, observe::running::Running};

    #[test]
    fn a_mirror_is_followed_from_its_plan_to_its_last_file() {
        let (mut running, mut course) = (Running::default(), None);
        let mut follow = |event: &Event| {
            let transfer = running.follow(event);
            Course::follow(&mut course, event, transfer.as_ref());
            course.map(|course| course.text())
        };
        let started = |id| {
            let path = format!("{id}");
            Event::TransferStarted { id, verb: Verb::Upload, path, bytes: None }
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
        let failed = Event::TransferFailed { id: 1, fault: Fault::protocol("no") };
        assert_eq!(follow(&failed).as_deref(), Some("0 of 2 files, 0 B of 2.0 KiB"));
        follow(&started(2));
        follow(&Event::Moved { id: 2, bytes: 1000 });
        assert_eq!(follow(&done(2)).as_deref(), Some("1 of 2 files, 1000 B of 2.0 KiB"));
        follow(&started(3));
        assert_eq!(follow(&done(3)), None, "the last");
        assert_eq!(follow(&Event::Planned { files: 0, bytes: 0 }), None);
    }
}

//! Waiting for a condition, with a time limit.

use std::{
    thread,
    time::{Duration, Instant},
};

/// The pause between two checks: short, since most waits of a test take a few milliseconds.
const PAUSE: Duration = Duration::from_millis(4);

/// Calls `ask` until it returns a value; `None` if there was none within `time`.
#[expect(clippy::disallowed_methods, reason = "a test has no `Stop` to wait on")]
pub(crate) fn until<T>(time: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + time;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(PAUSE);
    }
}

#[test]
fn a_wait_ends_with_the_answer_or_with_its_time() {
    let mut looks = 0;
    let third = until(Duration::from_secs(10), || {
        looks += 1;
        (looks == 3).then_some(looks)
    });
    assert_eq!(third, Some(3));
    assert_eq!(until(Duration::from_millis(1), || None::<()>), None);
}

//! Waiting for something to happen, for so long and no longer.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Between two looks. Short, since most of what a test waits for takes a few milliseconds.
const PAUSE: Duration = Duration::from_millis(4);

/// Asks until there is an answer; `None` when `time` is over and there was none.
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

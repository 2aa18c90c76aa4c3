//! The result of an attempt, and the decision whether to retry. Pure.

use std::time::Duration;

use super::EndedAttempt;
use crate::{
    error::codes::PROGRAM_FAILED,
    exit_code::Exit,
    observe::{account::FailureSummary, format_duration, visible},
    schedule::jobs::{Retry, RetryOn},
    store::history::RunState,
};

/// The cause of an attempt's early termination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TerminationCause {
    /// `attempt_timeout`.
    Attempt(Duration),
    /// `run_timeout`.
    Run(Duration),
    /// `stall_timeout`.
    Stall(Duration),
    /// The scheduler is stopping.
    Stopped,
    /// A user stopped it, with the token of this name.
    Requested(String),
    /// Another slot of the job replaces it, for this reason.
    Replaced(String),
    /// Its worker has it no longer.
    Lost,
    /// The lease of its machine has lapsed.
    Lapsed,
}

/// The result of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptResult {
    /// `Done`, `Partial`, `Failed` or `Interrupted`.
    pub state: RunState,
    /// The kind of failure.
    pub kind: Option<String>,
    /// The error message.
    pub error: Option<String>,
    /// True if another attempt may succeed.
    pub is_worth_another: bool,
}

/// The maximum bytes of an error in history: a script may throw a string of megabytes, which runs, attempts and notices
/// would each store, a thousand times for each job.
pub const ERROR_BYTES_MAX: usize = 4 * 1024;

/// Judges an attempt.
pub fn verdict(
    ended: &EndedAttempt,
    cut: Option<&TerminationCause>,
    retry: &Retry,
) -> AttemptResult {
    let mut verdict = judged(ended, cut, retry);
    let short = |error: String| visible::cut(&error, ERROR_BYTES_MAX, "; the log has all");
    verdict.error = verdict.error.map(short);
    verdict
}

fn judged(ended: &EndedAttempt, cut: Option<&TerminationCause>, retry: &Retry) -> AttemptResult {
    let EndedAttempt { code, signal, account, tail, .. } = ended;
    let fault = account.fault.as_ref();
    let failed = |kind: &str, error: String, is_worth_another: bool| AttemptResult {
        state: RunState::Failed,
        kind: Some(kind.into()),
        error: Some(error),
        is_worth_another,
    };
    match (code.map(i64::from).and_then(Exit::of_run), cut) {
        (Some(Exit::Done), _) => AttemptResult {
            state: RunState::Done,
            kind: None,
            error: None,
            is_worth_another: false,
        },
        (Some(Exit::InPart), _) => {
            let first = account.failed.values().next();
            let count = account.failed.len();
            let words = first.map_or_else(String::new, |first| format!(": {}", first.words));
            let plural = if count == 1 { "file" } else { "files" };
            let error = match count {
                // The script said so itself: `exit(6)`.
                0 => last_words(tail, "exit code 6"),
                _ => format!("{count} {plural} failed{words}"),
            };
            AttemptResult {
                state: RunState::Partial,
                kind: first.map(|first| first.kind.clone()),
                error: Some(error),
                is_worth_another: account.failed.values().any(|failed| passes(failed, retry)),
            }
        }
        (_, Some(cut)) => cut_short(cut, retry),
        (Some(Exit::Interrupted), None) => AttemptResult {
            state: RunState::Interrupted,
            kind: Some("interrupted".into()),
            error: Some("interrupted by a signal".into()),
            is_worth_another: false,
        },
        (Some(exit), None) => match fault {
            Some(fault) => {
                failed(&fault.kind, fault.words.clone(), exit != Exit::Bug && passes(fault, retry))
            }
            // `exit(4)` of the script: it may succeed later.
            None if exit == Exit::Later => {
                let error = last_words(tail, "exit code 4");
                failed("busy", error, retry.on.contains(&RetryOn::Busy))
            }
            None => {
                failed("invalid", last_words(tail, &format!("exit code {}", exit.code())), false)
            }
        },
        (None, None) => {
            let signal = signal.unwrap_or(0);
            let what =
                format!("its process was ended by signal {signal} ({})", signal_name(signal));
            failed("crashed", last_words(tail, &what), false)
        }
    }
}

fn cut_short(cut: &TerminationCause, retry: &Retry) -> AttemptResult {
    let on_timeout = retry.on.contains(&RetryOn::Timeout);
    let (state, kind, error, is_worth_another) = match cut {
        TerminationCause::Attempt(time) => {
            let error = format!("the attempt took more than {} (`attempt_timeout`)", words(*time));
            (RunState::Failed, "timeout", error, on_timeout)
        }
        TerminationCause::Run(time) => {
            let error = format!("the run took more than {} (`run_timeout`)", words(*time));
            (RunState::Failed, "timeout", error, false)
        }
        TerminationCause::Stall(time) => {
            let error = format!("no byte moved for {} (`stall_timeout`)", words(*time));
            (RunState::Failed, "timeout", error, on_timeout)
        }
        TerminationCause::Stopped => {
            let error = "the scheduler was stopped".to_owned();
            (RunState::Interrupted, "interrupted", error, false)
        }
        TerminationCause::Requested(by) => {
            (RunState::Interrupted, "interrupted", format!("stopped by `{by}`"), false)
        }
        TerminationCause::Replaced(why) => (RunState::Interrupted, "replaced", why.clone(), false),
        TerminationCause::Lost => {
            (RunState::Interrupted, "interrupted", "its worker has it no longer".into(), false)
        }
        TerminationCause::Lapsed => {
            let error = "the database was out of reach for longer than the lease".to_owned();
            (RunState::Interrupted, "interrupted", error, false)
        }
    };
    AttemptResult { state, kind: Some(kind.into()), error: Some(error), is_worth_another }
}

fn words(time: Duration) -> String {
    format_duration(time)
}

/// Returns true if a failure may be temporary, and the job retries that class of failures.
fn passes(fault: &FailureSummary, retry: &Retry) -> bool {
    if fault.name.as_deref() == Some(PROGRAM_FAILED) {
        return retry.on.contains(&RetryOn::Program);
    }
    let class = match fault.kind.as_str() {
        "unreachable" | "protocol" => RetryOn::Connect,
        "data_connection" => RetryOn::Data,
        "timeout" => RetryOn::Timeout,
        "busy" => RetryOn::Busy,
        _ => return false,
    };
    fault.may_retry && retry.on.contains(&class)
}

/// Returns the error that the child itself printed, if any.
fn last_words(tail: &[String], otherwise: &str) -> String {
    let error = tail.iter().find_map(|line| line.strip_prefix("error: "));
    let panic = tail.iter().position(|line| line.contains("panicked at"));
    let panic = panic.and_then(|at| tail.get(at + 1)).map(String::as_str);
    let overflow = tail.iter().find(|line| line.contains("overflowed its stack"));
    let words = error.or(panic).or(overflow.map(String::as_str));
    words.map_or_else(|| otherwise.to_owned(), |words| format!("{words} ({otherwise})"))
}

const fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        25 => "SIGXFSZ",
        _ => "another",
    }
}

/// Returns the wait before attempt `number` + 1. `draw` is any number: with `jitter` it selects a fraction of the full
/// wait, so that many jobs that failed together do not retry together.
pub fn wait_after(number: u32, retry: &Retry, draw: u64) -> Duration {
    let power = i32::try_from(number.saturating_sub(1)).unwrap_or(i32::MAX);
    let full = retry.initial.as_secs_f64() * retry.factor.powi(power);
    let full = full.min(retry.longest.as_secs_f64()).max(0.0);
    let part = if retry.jitter { share(draw) } else { 1.0 };
    Duration::try_from_secs_f64(full * part).unwrap_or(retry.longest)
}

/// Maps `draw` to a number between 0 and 1.
fn share(draw: u64) -> f64 {
    let high = u32::try_from(draw >> 32).unwrap_or(0);
    f64::from(high) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Clock, observe::account::RunSummary, schedule::child::log::RunLog};

    fn retry(on: &[RetryOn]) -> Retry {
        Retry {
            retries: 3,
            initial: Duration::from_secs(10),
            factor: 2.0,
            longest: Duration::from_mins(1),
            jitter: false,
            on: on.to_vec(),
        }
    }

    const ALL: [RetryOn; 5] =
        [RetryOn::Connect, RetryOn::Data, RetryOn::Timeout, RetryOn::Busy, RetryOn::Program];

    fn ended(code: Option<i32>, signal: Option<i32>, kind: &str, tail: &[&str]) -> EndedAttempt {
        let fault = (!kind.is_empty()).then(|| FailureSummary {
            kind: kind.into(),
            words: format!("a {kind}"),
            may_retry: !matches!(kind, "denied" | "refused"),
            name: None,
        });
        EndedAttempt {
            code,
            signal,
            account: RunSummary { fault, ..RunSummary::default() },
            tail: tail.iter().map(|line| (*line).to_owned()).collect(),
            log: RunLog::none(Clock::System),
        }
    }

    #[test]
    fn only_what_may_pass_and_is_wanted_is_worth_another_attempt() {
        for (code, kind, on, worth) in [
            (4, "unreachable", &ALL[..], true),
            (4, "data_connection", &ALL[..], true),
            (4, "timeout", &ALL[..], true),
            (4, "busy", &ALL[..], true),
            (4, "busy", &[RetryOn::Connect][..], false),
            (5, "denied", &ALL[..], false),
            (5, "refused", &ALL[..], false),
            (3, "invalid", &ALL[..], false),
            (1, "local", &ALL[..], false),
        ] {
            let found = verdict(&ended(Some(code), None, kind, &[]), None, &retry(on));
            assert_eq!((found.state, found.is_worth_another), (RunState::Failed, worth), "{kind}");
            assert_eq!(found.error, Some(format!("a {kind}")));
        }
    }

    #[test]
    fn a_program_that_failed_is_worth_another_attempt_if_that_is_wanted() {
        let mut end = ended(Some(5), None, "local", &[]);
        end.account.fault.as_mut().unwrap().name = Some(PROGRAM_FAILED.to_owned());
        assert!(verdict(&end, None, &retry(&[RetryOn::Program])).is_worth_another);
        assert!(!verdict(&end, None, &retry(&[RetryOn::Connect])).is_worth_another);
    }

    #[test]
    fn who_cuts_a_run_short_decides_what_it_is() {
        let second = Duration::from_secs(1);
        for (cut, state, worth, words) in [
            (TerminationCause::Attempt(second), RunState::Failed, true, "`attempt_timeout`"),
            (TerminationCause::Run(second), RunState::Failed, false, "`run_timeout`"),
            (TerminationCause::Stall(second), RunState::Failed, true, "no byte moved for 1.0 s"),
            (TerminationCause::Stopped, RunState::Interrupted, false, "stopped"),
            (
                TerminationCause::Requested("alice".into()),
                RunState::Interrupted,
                false,
                "stopped by `alice`",
            ),
            (TerminationCause::Replaced("later".into()), RunState::Interrupted, false, "later"),
        ] {
            for end in [ended(None, Some(9), "", &[]), ended(Some(130), None, "interrupted", &[])] {
                let found = verdict(&end, Some(&cut), &retry(&ALL));
                assert_eq!((found.state, found.is_worth_another), (state, worth), "{cut:?}");
                assert!(found.error.unwrap().contains(words), "{cut:?}");
            }
            // An attempt that succeeded all the same stays a success.
            let done = verdict(&ended(Some(0), None, "", &[]), Some(&cut), &retry(&ALL));
            assert_eq!(done.state, RunState::Done);
        }
    }

    #[test]
    fn a_crash_says_by_what_and_with_which_last_words() {
        let tail = ["thread 'script' has overflowed its stack"];
        for (end, words) in [
            (ended(None, Some(9), "", &[]), "its process was ended by signal 9 (SIGKILL)"),
            (
                ended(None, Some(6), "", &tail),
                "thread 'script' has overflowed its stack (its process was ended by signal 6 (SIGABRT))",
            ),
            (
                ended(Some(3), None, "", &["error: there is no function `f`", "  --> a:1:1"]),
                "there is no function `f` (exit code 3)",
            ),
        ] {
            let found = verdict(&end, None, &retry(&ALL));
            assert_eq!(found.error.as_deref(), Some(words));
            assert!(!found.is_worth_another);
        }
    }

    #[test]
    fn files_that_failed_by_the_connection_are_worth_another_attempt() {
        for (kind, worth) in [("data_connection", true), ("refused", false)] {
            let mut end = ended(Some(6), None, "", &[]);
            let failed = FailureSummary {
                kind: kind.into(),
                words: "b: gone".into(),
                may_retry: kind == "data_connection",
                name: None,
            };
            end.account.failed.insert("b".into(), failed);
            let found = verdict(&end, None, &retry(&ALL));
            assert_eq!((found.state, found.is_worth_another), (RunState::Partial, worth));
            assert_eq!(found.error.as_deref(), Some("1 file failed: b: gone"));
        }
    }

    #[test]
    fn waits_grow_up_to_the_longest_and_jitter_takes_a_part() {
        let retry = retry(&ALL);
        let waits: Vec<_> = (1..6).map(|at| wait_after(at, &retry, 0).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 60, 60]);
        let drawn = Retry { jitter: true, ..retry };
        assert_eq!(wait_after(1, &drawn, 0), Duration::ZERO);
        assert_eq!(wait_after(1, &drawn, u64::MAX), Duration::from_secs(10));
        assert!(wait_after(1000, &drawn, u64::MAX) <= Duration::from_mins(1));
    }
}

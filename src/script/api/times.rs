//! Times: `now()`, and the times of files.

use std::cmp::Ordering;

use jiff::SignedDuration;
use rhai::{Dynamic, ImmutableString, NativeCallContext, export_module};

use crate::{
    error::{Error, Result},
    script::{
        raise::{Raise, RhaiResultOf},
        run::ScriptRun,
        show,
        value::Time as Value,
    },
};

/// Returns `time` moved by a number of seconds, which may be negative.
fn moved(time: Value, seconds: Option<SignedDuration>) -> Result<Value> {
    let moved = seconds.and_then(|seconds| time.0.checked_add(seconds).ok());
    moved.map(Value).ok_or_else(|| Error::invalid("that is beyond the times that can be told"))
}

/// Returns a number of seconds with a fraction as a duration, if it is in range.
fn part(seconds: f64) -> Option<SignedDuration> {
    SignedDuration::try_from_secs_f64(seconds).ok()
}

/// Raises the error for a comparison with another type; the language itself would return `false` for any two values.
fn not_comparable(ctx: &NativeCallContext<'_>, other: &Dynamic) -> RhaiResultOf<bool> {
    let message = format!("a time is compared with a time only, not with {}", show::text(other));
    Err(Error::invalid(message)).or_raise(ctx)
}

/// Points in time.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// A point in time; prints as `2026-02-11T14:22:07Z`.
    pub type Time = Value;

    /// Returns the current time.
    ///
    /// ```rhai
    /// print(`started at ${now()}`);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn now(ctx: NativeCallContext<'_>) -> RhaiResultOf<Time> {
        Ok(Value(ScriptRun::of(&ctx)?.context.clock.now()))
    }

    /// The seconds since 1970.
    ///
    /// ```rhai
    /// print(now().unix);
    /// ```
    #[rhai_fn(get = "unix", pure)]
    pub fn unix(time: &mut Time) -> i64 {
        time.0.as_second()
    }

    /// Returns the number of seconds between two times.
    ///
    /// ```rhai
    /// let age = now() - local::modified("order.csv");
    /// if age > 60.0 { print("nobody writes to it any more"); }
    /// ```
    #[rhai_fn(name = "-")]
    pub fn between(later: Time, earlier: Time) -> f64 {
        later.0.duration_since(earlier.0).as_secs_f64()
    }

    /// Returns the time a number of seconds earlier.
    ///
    /// ```rhai
    /// let yesterday = now() - 86400;
    /// ```
    #[rhai_fn(name = "-", return_raw)]
    pub fn before(ctx: NativeCallContext<'_>, time: Time, seconds: i64) -> RhaiResultOf<Time> {
        moved(time, SignedDuration::from_secs(seconds).checked_neg()).or_raise(&ctx)
    }

    /// Returns the time a number of seconds earlier, with a fraction.
    #[rhai_fn(name = "-", return_raw)]
    pub fn before_part(ctx: NativeCallContext<'_>, time: Time, seconds: f64) -> RhaiResultOf<Time> {
        moved(time, part(-seconds)).or_raise(&ctx)
    }

    /// Returns the time a number of seconds later.
    #[rhai_fn(name = "+", return_raw)]
    pub fn after(ctx: NativeCallContext<'_>, time: Time, seconds: i64) -> RhaiResultOf<Time> {
        moved(time, Some(SignedDuration::from_secs(seconds))).or_raise(&ctx)
    }

    /// Returns the time a number of seconds later, with a fraction.
    #[rhai_fn(name = "+", return_raw)]
    pub fn after_part(ctx: NativeCallContext<'_>, time: Time, seconds: f64) -> RhaiResultOf<Time> {
        moved(time, part(seconds)).or_raise(&ctx)
    }

    /// Returns the time in its usual form.
    #[rhai_fn(name = "to_string", name = "print", name = "debug", name = "to_debug", pure)]
    pub fn text(time: &mut Time) -> ImmutableString {
        time.to_string().into()
    }

    /// Returns true if two times are equal.
    #[rhai_fn(name = "==")]
    pub fn equal(a: Time, b: Time) -> bool {
        a == b
    }

    /// Returns true if two times differ.
    #[rhai_fn(name = "!=")]
    pub fn unequal(a: Time, b: Time) -> bool {
        a != b
    }

    /// Returns true if the first time is earlier.
    #[rhai_fn(name = "<")]
    pub fn earlier(a: Time, b: Time) -> bool {
        a.order(b) == Ordering::Less
    }

    /// Returns true if the first time is later.
    #[rhai_fn(name = ">")]
    pub fn later(a: Time, b: Time) -> bool {
        a.order(b) == Ordering::Greater
    }

    /// Returns true if the first time is not later.
    #[rhai_fn(name = "<=")]
    pub fn not_later(a: Time, b: Time) -> bool {
        a.order(b) != Ordering::Greater
    }

    /// Returns true if the first time is not earlier.
    #[rhai_fn(name = ">=")]
    pub fn not_earlier(a: Time, b: Time) -> bool {
        a.order(b) != Ordering::Less
    }

    /// Raises an error: a time and another value have no order.
    #[rhai_fn(name = "<", name = ">", name = "<=", name = ">=", return_raw)]
    pub fn before_other(ctx: NativeCallContext<'_>, a: Time, b: Dynamic) -> RhaiResultOf<bool> {
        let _ = a;
        not_comparable(&ctx, &b)
    }

    /// Raises an error: another value and a time have no order.
    #[rhai_fn(name = "<", name = ">", name = "<=", name = ">=", return_raw)]
    pub fn other_before(ctx: NativeCallContext<'_>, a: Dynamic, b: Time) -> RhaiResultOf<bool> {
        let _ = b;
        not_comparable(&ctx, &a)
    }
}

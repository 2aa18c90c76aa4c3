//! Moments: `now()`, and the times of files.

use std::cmp::Ordering;

use jiff::SignedDuration;
use rhai::{Dynamic, ImmutableString, NativeCallContext, export_module};

use crate::{
    fault::{Fault, Outcome},
    script::{
        raise::{Raise, RhaiResultOf},
        run::Run,
        show,
        value::Time as Value,
    },
};

/// The moment so many seconds after `time`, or before it.
fn moved(time: Value, seconds: Option<SignedDuration>) -> Outcome<Value> {
    let moved = seconds.and_then(|seconds| time.0.checked_add(seconds).ok());
    moved.map(Value).ok_or_else(|| Fault::invalid("that is beyond the times that can be told"))
}

/// A number of seconds with a fraction, if it is one that a time can be moved by.
fn part(seconds: f64) -> Option<SignedDuration> {
    SignedDuration::try_from_secs_f64(seconds).ok()
}

/// The language itself would say `false` whatever the two are.
fn not_comparable(ctx: &NativeCallContext<'_>, other: &Dynamic) -> RhaiResultOf<bool> {
    let message = format!("a time is compared with a time only, not with {}", show::text(other));
    Err(Fault::invalid(message)).or_raise(ctx)
}

/// Moments in time.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// A moment; prints as `2026-02-11T14:22:07Z`.
    pub type Time = Value;

    /// The time it is.
    ///
    /// ```rhai
    /// print(`started at ${now()}`);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn now(ctx: NativeCallContext<'_>) -> RhaiResultOf<Time> {
        Ok(Value(Run::of(&ctx)?.context.clock.now()))
    }

    /// Seconds since 1970.
    ///
    /// ```rhai
    /// print(now().unix);
    /// ```
    #[rhai_fn(get = "unix", pure)]
    pub fn unix(time: &mut Time) -> i64 {
        time.0.as_second()
    }

    /// How many seconds lie between two moments.
    ///
    /// ```rhai
    /// let age = now() - local::modified("order.csv");
    /// if age > 60.0 { print("nobody writes to it any more"); }
    /// ```
    #[rhai_fn(name = "-")]
    pub fn between(later: Time, earlier: Time) -> f64 {
        later.0.duration_since(earlier.0).as_secs_f64()
    }

    /// The moment so many seconds earlier.
    ///
    /// ```rhai
    /// let yesterday = now() - 86400;
    /// ```
    #[rhai_fn(name = "-", return_raw)]
    pub fn before(ctx: NativeCallContext<'_>, time: Time, seconds: i64) -> RhaiResultOf<Time> {
        moved(time, SignedDuration::from_secs(seconds).checked_neg()).or_raise(&ctx)
    }

    /// The same with a fraction.
    #[rhai_fn(name = "-", return_raw)]
    pub fn before_part(ctx: NativeCallContext<'_>, time: Time, seconds: f64) -> RhaiResultOf<Time> {
        moved(time, part(-seconds)).or_raise(&ctx)
    }

    /// The moment so many seconds later.
    #[rhai_fn(name = "+", return_raw)]
    pub fn after(ctx: NativeCallContext<'_>, time: Time, seconds: i64) -> RhaiResultOf<Time> {
        moved(time, Some(SignedDuration::from_secs(seconds))).or_raise(&ctx)
    }

    /// The same with a fraction.
    #[rhai_fn(name = "+", return_raw)]
    pub fn after_part(ctx: NativeCallContext<'_>, time: Time, seconds: f64) -> RhaiResultOf<Time> {
        moved(time, part(seconds)).or_raise(&ctx)
    }

    /// The time of day in its usual form.
    #[rhai_fn(name = "to_string", name = "print", name = "debug", name = "to_debug", pure)]
    pub fn text(time: &mut Time) -> ImmutableString {
        time.to_string().into()
    }

    /// Whether two moments are the same.
    #[rhai_fn(name = "==")]
    pub fn equal(a: Time, b: Time) -> bool {
        a == b
    }

    /// Whether two moments differ.
    #[rhai_fn(name = "!=")]
    pub fn unequal(a: Time, b: Time) -> bool {
        a != b
    }

    /// Whether the first moment is earlier.
    #[rhai_fn(name = "<")]
    pub fn earlier(a: Time, b: Time) -> bool {
        a.order(b) == Ordering::Less
    }

    /// Whether the first moment is later.
    #[rhai_fn(name = ">")]
    pub fn later(a: Time, b: Time) -> bool {
        a.order(b) == Ordering::Greater
    }

    /// Whether the first moment is not later.
    #[rhai_fn(name = "<=")]
    pub fn not_later(a: Time, b: Time) -> bool {
        a.order(b) != Ordering::Greater
    }

    /// Whether the first moment is not earlier.
    #[rhai_fn(name = ">=")]
    pub fn not_earlier(a: Time, b: Time) -> bool {
        a.order(b) != Ordering::Less
    }

    /// A moment and something else have no order.
    #[rhai_fn(name = "<", name = ">", name = "<=", name = ">=", return_raw)]
    pub fn before_other(ctx: NativeCallContext<'_>, a: Time, b: Dynamic) -> RhaiResultOf<bool> {
        let _ = a;
        not_comparable(&ctx, &b)
    }

    /// Something else and a moment have no order.
    #[rhai_fn(name = "<", name = ">", name = "<=", name = ">=", return_raw)]
    pub fn other_before(ctx: NativeCallContext<'_>, a: Dynamic, b: Time) -> RhaiResultOf<bool> {
        let _ = b;
        not_comparable(&ctx, &a)
    }
}

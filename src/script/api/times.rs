//! Moments: `now()`, and the times of files.

use std::cmp::Ordering;

use rhai::{ImmutableString, NativeCallContext, export_module};

use crate::script::{raise::RhaiResultOf, run::Run, value::Time as Value};

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
}

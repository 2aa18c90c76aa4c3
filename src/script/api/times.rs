//! Times: `now()`, dates as text, and the times of files.

use std::cmp::Ordering;

use jiff::{SignedDuration, tz::TimeZone};
use rhai::{Array, Dynamic, ImmutableString, NativeCallContext, export_module};

use crate::{
    error::{Error, Result},
    script::{
        raise::{Raise, RhaiResultOf},
        run::ScriptRun,
        show,
        time::{self, Time as Value},
    },
};

/// Returns a number of seconds with a fraction as a duration.
fn part(seconds: f64) -> Result<SignedDuration> {
    SignedDuration::try_from_secs_f64(seconds)
        .map_err(|_| Error::invalid("that is beyond the times that can be told"))
}

/// Returns the field of a local date or time.
fn field(time: &Value, of: impl Fn(&jiff::Zoned) -> i16) -> i64 {
    of(time.zoned()).into()
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
    /// A point in time with a time zone; prints as `2026-02-11T14:22:07Z`, or with the offset of its zone.
    pub type Time = Value;

    /// Returns the current time in UTC.
    ///
    /// ```rhai
    /// print(`started at ${now()}`);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn now(ctx: NativeCallContext<'_>) -> RhaiResultOf<Time> {
        Ok(Value::utc(ScriptRun::of(&ctx)?.context.clock.now()))
    }

    /// Returns the current time in a time zone: its name, such as "Europe/Berlin", or "local" for that of this machine
    /// (`TZ`, else the system's).
    ///
    /// ```rhai
    /// let today = now("Europe/Berlin").format("%Y%m%d");
    /// ```
    #[rhai_fn(name = "now", return_raw, volatile)]
    pub fn now_in(ctx: NativeCallContext<'_>, zone: &str) -> RhaiResultOf<Time> {
        let now = ScriptRun::of(&ctx)?.context.clock.now();
        time::zone(zone).map(|zone| Value::utc(now).in_zone(zone)).or_raise(&ctx)
    }

    /// Returns the time that a text says: "2026-02-11", "2026-02-11 14:22" or "2026-02-11T14:22:07+01:00" (RFC 3339). Without
    /// an offset it is UTC. Raises `invalid`.
    ///
    /// ```rhai
    /// if now() > time("2027-01-01") { fail("the contract has ended"); }
    /// ```
    #[rhai_fn(return_raw)]
    pub fn time(ctx: NativeCallContext<'_>, text: &str) -> RhaiResultOf<Time> {
        Value::parse(text, &TimeZone::UTC).or_raise(&ctx)
    }

    /// Returns the time that a text says; without an offset it is local time in `zone`. A local time that the clock skips
    /// is as much later; of one that it repeats, the first is meant.
    ///
    /// ```rhai
    /// let opening = time("2026-02-11 08:00", "Europe/Berlin");
    /// ```
    #[rhai_fn(name = "time", return_raw)]
    pub fn time_in(ctx: NativeCallContext<'_>, text: &str, zone: &str) -> RhaiResultOf<Time> {
        time::zone(zone).and_then(|zone| Value::parse(text, &zone)).or_raise(&ctx)
    }

    /// Returns the time that a text says in another form: `format` as of strptime, such as "%d.%m.%Y %H:%M". What it leaves
    /// out is the beginning of the day, the month or the year. Without an offset (`%z`) it is UTC. Raises `invalid`.
    ///
    /// ```rhai
    /// let day = parse_time("orders-20260211.csv", "orders-%Y%m%d.csv");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn parse_time(ctx: NativeCallContext<'_>, text: &str, format: &str) -> RhaiResultOf<Time> {
        Value::parse_by(text, format, &TimeZone::UTC).or_raise(&ctx)
    }

    /// Returns the time that a text says in another form, as local time in `zone`.
    ///
    /// ```rhai
    /// let due = parse_time("11.02.2026 14:22", "%d.%m.%Y %H:%M", "Europe/Berlin");
    /// ```
    #[rhai_fn(name = "parse_time", return_raw)]
    pub fn parse_time_in(
        ctx: NativeCallContext<'_>,
        text: &str,
        format: &str,
        zone: &str,
    ) -> RhaiResultOf<Time> {
        time::zone(zone).and_then(|zone| Value::parse_by(text, format, &zone)).or_raise(&ctx)
    }

    /// Returns the time as text: `format` as of strftime, with `%Y` year, `%m` month, `%d` day, `%H` hour, `%M` minute, `%S`
    /// second, `%j` day of the year, `%V` week (ISO 8601), `%A` weekday, `%B` month's name, `%z` offset, `%s` seconds since
    /// 1970. Raises `invalid` for a directive that does not exist.
    ///
    /// ```rhai
    /// let yesterday = (now("Europe/Berlin") - "1d").format("%Y-%m-%d");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn format(
        ctx: NativeCallContext<'_>,
        time: &mut Time,
        format: &str,
    ) -> RhaiResultOf<String> {
        time.format(format).or_raise(&ctx)
    }

    /// Returns the same moment in another time zone: its name, "UTC", or "local".
    ///
    /// ```rhai
    /// print(now().in_zone("America/New_York").hour);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn in_zone(ctx: NativeCallContext<'_>, time: &mut Time, zone: &str) -> RhaiResultOf<Time> {
        time::zone(zone).map(|zone| time.in_zone(zone)).or_raise(&ctx)
    }

    /// Returns the beginning of its "minute", "hour", "day", "week" (Monday), "month" or "year", in its time zone.
    ///
    /// ```rhai
    /// let last_month = (now().start_of("month") - "1d").format("%Y-%m");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn start_of(ctx: NativeCallContext<'_>, time: &mut Time, unit: &str) -> RhaiResultOf<Time> {
        time.start_of(unit).or_raise(&ctx)
    }

    /// The seconds since 1970.
    ///
    /// ```rhai
    /// print(now().unix);
    /// ```
    #[rhai_fn(get = "unix", pure)]
    pub fn unix(time: &mut Time) -> i64 {
        time.at().as_second()
    }

    /// The year, in its time zone.
    ///
    /// ```rhai
    /// print(now().year);
    /// ```
    #[rhai_fn(get = "year", pure)]
    pub fn year(time: &mut Time) -> i64 {
        field(time, jiff::Zoned::year)
    }

    /// The month, from 1, in its time zone.
    ///
    /// ```rhai
    /// print(now().month);
    /// ```
    #[rhai_fn(get = "month", pure)]
    pub fn month(time: &mut Time) -> i64 {
        field(time, |local| local.month().into())
    }

    /// The day of the month, from 1, in its time zone.
    ///
    /// ```rhai
    /// if now("local").day == 1 { print("first of the month"); }
    /// ```
    #[rhai_fn(get = "day", pure)]
    pub fn day(time: &mut Time) -> i64 {
        field(time, |local| local.day().into())
    }

    /// The hour, from 0 to 23, in its time zone.
    ///
    /// ```rhai
    /// print(now("local").hour);
    /// ```
    #[rhai_fn(get = "hour", pure)]
    pub fn hour(time: &mut Time) -> i64 {
        field(time, |local| local.hour().into())
    }

    /// The minute, from 0 to 59.
    ///
    /// ```rhai
    /// print(now().minute);
    /// ```
    #[rhai_fn(get = "minute", pure)]
    pub fn minute(time: &mut Time) -> i64 {
        field(time, |local| local.minute().into())
    }

    /// The second, from 0 to 59.
    ///
    /// ```rhai
    /// print(now().second);
    /// ```
    #[rhai_fn(get = "second", pure)]
    pub fn second(time: &mut Time) -> i64 {
        field(time, |local| local.second().into())
    }

    /// The day of the week, from 1 for Monday to 7 for Sunday (ISO 8601), in its time zone.
    ///
    /// ```rhai
    /// if now("local").weekday > 5 { print("weekend"); }
    /// ```
    #[rhai_fn(get = "weekday", pure)]
    pub fn weekday(time: &mut Time) -> i64 {
        field(time, |local| local.weekday().to_monday_one_offset().into())
    }

    /// The day of the year, from 1.
    ///
    /// ```rhai
    /// print(now().day_of_year);
    /// ```
    #[rhai_fn(get = "day_of_year", pure)]
    pub fn day_of_year(time: &mut Time) -> i64 {
        field(time, jiff::Zoned::day_of_year)
    }

    /// The name of its time zone, such as "Europe/Berlin", or its offset, such as "+02".
    ///
    /// ```rhai
    /// print(now("local").zone);
    /// ```
    #[rhai_fn(get = "zone", pure)]
    pub fn zone(time: &mut Time) -> String {
        let local = time.zoned();
        let name = local.time_zone().iana_name().map(ToOwned::to_owned);
        name.unwrap_or_else(|| local.offset().to_string())
    }

    /// Returns the number of seconds between two times.
    ///
    /// ```rhai
    /// let age = now() - local::modified("order.csv");
    /// if age > 60.0 { print("it is not being written any more"); }
    /// ```
    #[rhai_fn(name = "-")]
    pub fn between(later: Time, earlier: Time) -> f64 {
        later.at().duration_since(earlier.at()).as_secs_f64()
    }

    /// Returns the time a number of seconds earlier.
    ///
    /// ```rhai
    /// let yesterday = now() - 86400;
    /// ```
    #[rhai_fn(name = "-", return_raw)]
    pub fn before(ctx: NativeCallContext<'_>, time: Time, seconds: i64) -> RhaiResultOf<Time> {
        time.after(SignedDuration::from_secs(seconds.saturating_neg())).or_raise(&ctx)
    }

    /// Returns the time a number of seconds earlier, with a fraction.
    #[rhai_fn(name = "-", return_raw)]
    pub fn before_part(ctx: NativeCallContext<'_>, time: Time, seconds: f64) -> RhaiResultOf<Time> {
        part(-seconds).and_then(|part| time.after(part)).or_raise(&ctx)
    }

    /// Returns the time a span earlier: "90s", "2h 30m", "1d", "2w", "1mo", "1y". Days, weeks, months and years are those of
    /// the calendar in its time zone: a day earlier is the same time of day, also when clocks change.
    ///
    /// ```rhai
    /// let file = (now("local") - "1d").format("report-%Y%m%d.csv");
    /// ```
    #[rhai_fn(name = "-", return_raw)]
    pub fn before_span(ctx: NativeCallContext<'_>, time: Time, span: &str) -> RhaiResultOf<Time> {
        time.moved(span, true).or_raise(&ctx)
    }

    /// Returns the time a number of seconds later.
    #[rhai_fn(name = "+", return_raw)]
    pub fn after(ctx: NativeCallContext<'_>, time: Time, seconds: i64) -> RhaiResultOf<Time> {
        time.after(SignedDuration::from_secs(seconds)).or_raise(&ctx)
    }

    /// Returns the time a number of seconds later, with a fraction.
    #[rhai_fn(name = "+", return_raw)]
    pub fn after_part(ctx: NativeCallContext<'_>, time: Time, seconds: f64) -> RhaiResultOf<Time> {
        part(seconds).and_then(|part| time.after(part)).or_raise(&ctx)
    }

    /// Returns the time a span later: "90s", "2h 30m", "1d", "2w", "1mo", "1y".
    ///
    /// ```rhai
    /// let due = time("2026-01-31") + "1mo";
    /// ```
    #[rhai_fn(name = "+", return_raw)]
    pub fn after_span(ctx: NativeCallContext<'_>, time: Time, span: &str) -> RhaiResultOf<Time> {
        time.moved(span, false).or_raise(&ctx)
    }

    /// Returns the time in its usual form.
    #[rhai_fn(name = "to_string", name = "print", name = "debug", name = "to_debug", pure)]
    pub fn text(time: &mut Time) -> ImmutableString {
        time.to_string().into()
    }

    /// Returns the length of the text that it prints. Functions of strings take a time as its text.
    ///
    /// ```rhai
    /// print(now().len());
    /// ```
    #[rhai_fn(pure)]
    pub fn len(time: &mut Time) -> i64 {
        i64::try_from(time.to_string().len()).unwrap_or(i64::MAX)
    }

    /// Returns a part of the text that it prints, from character `start` on.
    ///
    /// ```rhai
    /// print(now().sub_string(11));
    /// ```
    #[rhai_fn(pure)]
    pub fn sub_string(time: &mut Time, start: i64) -> String {
        sub_string_of(time, start, i64::MAX)
    }

    /// Returns `count` characters of the text that it prints, from character `start` on.
    #[rhai_fn(name = "sub_string", pure)]
    pub fn sub_string_of(time: &mut Time, start: i64, count: i64) -> String {
        let at = |number: i64| usize::try_from(number).unwrap_or(0);
        time.to_string().chars().skip(at(start)).take(at(count)).collect()
    }

    /// Returns true if the text that it prints contains `part`.
    ///
    /// ```rhai
    /// if now().contains("-12-24") { print("Christmas Eve"); }
    /// ```
    #[rhai_fn(pure)]
    pub fn contains(time: &mut Time, part: &str) -> bool {
        time.to_string().contains(part)
    }

    /// Returns true if the text that it prints begins with `part`.
    ///
    /// ```rhai
    /// if now().starts_with("2026") { print("this year"); }
    /// ```
    #[rhai_fn(pure)]
    pub fn starts_with(time: &mut Time, part: &str) -> bool {
        time.to_string().starts_with(part)
    }

    /// Returns the parts of the text that it prints, cut at each `separator`.
    ///
    /// ```rhai
    /// let day = now().split("T")[0];
    /// ```
    #[rhai_fn(pure)]
    pub fn split(time: &mut Time, separator: &str) -> Array {
        time.to_string().split(separator).map(|part| part.to_owned().into()).collect()
    }

    /// Returns true if a time prints as `text`.
    #[rhai_fn(name = "==")]
    pub fn prints_as(time: Time, text: &str) -> bool {
        time.to_string() == text
    }

    /// Returns true if a time does not print as `text`.
    #[rhai_fn(name = "!=")]
    pub fn does_not_print_as(time: Time, text: &str) -> bool {
        time.to_string() != text
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
        a.order(&b) == Ordering::Less
    }

    /// Returns true if the first time is later.
    #[rhai_fn(name = ">")]
    pub fn later(a: Time, b: Time) -> bool {
        a.order(&b) == Ordering::Greater
    }

    /// Returns true if the first time is not later.
    #[rhai_fn(name = "<=")]
    pub fn not_later(a: Time, b: Time) -> bool {
        a.order(&b) != Ordering::Greater
    }

    /// Returns true if the first time is not earlier.
    #[rhai_fn(name = ">=")]
    pub fn not_earlier(a: Time, b: Time) -> bool {
        a.order(&b) != Ordering::Less
    }

    /// Raises an error: a time and another value have no order.
    #[rhai_fn(name = "<", name = ">", name = "<=", name = ">=", return_raw)]
    pub fn before_other(ctx: NativeCallContext<'_>, a: Time, b: Dynamic) -> RhaiResultOf<bool> {
        drop(a);
        not_comparable(&ctx, &b)
    }

    /// Raises an error: another value and a time have no order.
    #[rhai_fn(name = "<", name = ">", name = "<=", name = ">=", return_raw)]
    pub fn other_before(ctx: NativeCallContext<'_>, a: Dynamic, b: Time) -> RhaiResultOf<bool> {
        drop(b);
        not_comparable(&ctx, &a)
    }
}

//! The messages for expressions that are wrong or surprising.

use super::Expression;

/// Returns the part of the expression with the mistake, the message and the hint.
fn told(text: &str) -> String {
    let mistake = match Expression::parse(text, "job") {
        Ok(expression) => {
            expression.warnings.into_iter().next().unwrap_or_else(|| panic!("{text} is fine"))
        }
        Err(mistake) => mistake,
    };
    let part = &text[mistake.at.clone()];
    format!("{part} | {} | {}", mistake.message, mistake.hint.unwrap_or_default())
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_wrong_is_shown_in_its_place_with_what_to_do() {
    for (text, words) in [
        ("", " | the expression is empty | such as `15 3 * * *`"),
        (
            "15 3 * *",
            "15 3 * * | the expression has 4 fields | it wants 5 (minute hour day month weekday), 6 (seconds first) or 7 (a year last)",
        ),
        ("75 3 * * *", "75 | 75 is no minute: those are 0 to 59 | "),
        ("15 24 * * *", "24 | 24 is no hour: those are 0 to 23 | "),
        ("0 0 0 * *", "0 | 0 is no day of the month: those are 1 to 31 | "),
        ("0 0 * 13 *", "13 | 13 is no month: those are 1 to 12 | "),
        ("0 0 * * 8", "8 | 8 is no day of the week: those are 0 to 7 | "),
        ("0 0 * * FRU", "FRU | `FRU` is no day of the week | did you mean `FRI`?"),
        ("0 0 * Febuary *", "Febuary | `Febuary` is no month | did you mean `FEB`?"),
        (
            "0 0 * * FRI-MON",
            "FRI-MON | the range `FRI-MON` ends before it begins | write `5-6,0-1`",
        ),
        ("0 22-2 * * *", "22-2 | the range `22-2` ends before it begins | write `22-23,0-2`"),
        (
            "*/100 * * * *",
            "*/100 | no minute is 100 after another | steps go up to 59; `0` alone is the first",
        ),
        ("*/0 * * * *", "*/0 | `/0` is no step: it wants a number from 1 on | "),
        (
            "1,,2 * * * *",
            " | the minute has nothing between two commas, or after one | a list has no blanks: write `1,2`, not `1, 2`",
        ),
        (
            "1, 2 3 * * *",
            " | the second has nothing between two commas, or after one | a list has no blanks: write `1,2`, not `1, 2`",
        ),
        (
            "0 3 * * * 2027",
            "2027 | 2027 is no day of the week; did you mean a year? | a year is the last of seven fields: write a `0` for the seconds in front",
        ),
        (
            "0 0 * * L",
            "L | `L` alone is no day of the week | `5L` is the last Friday of a month, `6` every Saturday",
        ),
        (
            "0 0 L-31 * *",
            "L-31 | `L-31` cannot be read as a day of the month | `L` is the last day, `L-2` the last but two, `LW` the last from Monday to Friday",
        ),
        (
            "0 0 * * FRI#6",
            "FRI#6 | `FRI#6` cannot be read as a day of the week | `FRI#2` is the second Friday of a month; there are up to five",
        ),
        (
            "@reboot",
            "@reboot | portolan has no `@reboot` | a run that was missed while the machine was down is made good: see `misfire`",
        ),
        ("@dayly", "@dayly | there is no `@dayly` | did you mean `@daily`?"),
        ("@daily 3", "3 | nothing stands behind `@daily` | "),
        ("@every", "@every | `@every` lacks its time | such as `@every 90m`"),
        (
            "@every 1.5s",
            "1.5s | `@every` wants whole seconds up to 30 days, got `1.5s` | such as `90s`, `5m` or `1h 30m`",
        ),
        (
            "@every 0s",
            "0s | `@every` wants whole seconds up to 30 days, got `0s` | such as `90s`, `5m` or `1h 30m`",
        ),
        (
            "0~30 3 * * *",
            "0~30 | `0~30` is no minute | `H` is a value of the job's own, `H(0-29)` one in a range",
        ),
        (
            "H(5) 3 * * *",
            "H(5) | `H(5)` cannot be read | write `H`, `H/15`, `H(0-29)` or `H(0-29)/10`",
        ),
        ("CRON_TZ= 0 3 * * *", "CRON_TZ= | no zone is named | such as `CRON_TZ=Europe/Berlin`"),
        ("x 3 * * *", "x | `x` is no minute | a minute is 0 to 59"),
        ("0 0 * * -1", "-1 | the day of the week lacks a number | "),
        ("0 0 * * ü", "ü | `ü` is no day of the week | a day of the week is 0 to 7, or SUN to SAT"),
    ] {
        assert_eq!(told(text), words, "{text}");
        assert!(Expression::parse(text, "job").is_err(), "{text}");
    }
}

#[test]
fn what_may_not_be_meant_is_warned_of() {
    for (text, words) in [
        (
            "0 0 13 * 5",
            "5 | both day fields are set: it runs on the days of either, as in crontab | if one is enough, write `*` for the other; `5#1` is the first of a month",
        ),
        (
            "0 0 1-7 * MON",
            "MON | both day fields are set: it runs on the days of either, as in crontab | for the first of a month write `* MON#1`",
        ),
        (
            "* 3 * * *",
            "* | it runs every minute of the hour that is named, not once | for once write `0` for the minute",
        ),
        (
            "* 0 3 * * *",
            "* | it runs every second of the minute that is named, not once | for once write `0` for the second",
        ),
        (
            "5/15 * * * *",
            "5/15 | `5/15` means from there to the end by that step | crontab has no such form: write a range, as in `5-59/15`",
        ),
    ] {
        assert_eq!(told(text), words, "{text}");
        assert!(Expression::parse(text, "job").is_ok(), "{text}");
    }
    for text in ["* * * * *", "*/5 3 * * *", "0 0 */2 * MON", "0 0 1 * *", "@hourly", "H H * * *"] {
        assert_eq!(Expression::parse(text, "job").unwrap().warnings, [], "{text}");
    }
}

#[test]
fn a_zone_in_the_expression_is_taken_from_it() {
    for (text, zone) in [
        ("CRON_TZ=Europe/Berlin 0 3 * * *", Some("Europe/Berlin")),
        ("TZ=UTC @daily", Some("UTC")),
        ("0 3 * * *", None),
    ] {
        assert_eq!(Expression::parse(text, "").unwrap().zone.as_deref(), zone);
    }
}

/// The fields by their position in an expression of seven, with the range of values of each.
const FIELDS: [(usize, u16, u16); 7] =
    [(0, 0, 59), (1, 0, 59), (2, 0, 23), (3, 1, 31), (4, 1, 12), (5, 0, 7), (6, 1970, 9999)];

/// Returns an expression with `item` in the field at `place`, and defaults in the others.
fn around(place: usize, item: &str) -> String {
    let mut fields = ["0", "0", "0", "*", "*", "*", "*"].map(ToOwned::to_owned);
    item.clone_into(&mut fields[place]);
    fields.join(" ")
}

/// Returns the values of the field at `place` for which an expression names a time.
fn values(text: &str, place: usize, least: u16, most: u16) -> Vec<u16> {
    let zone = crate::zone::Zones::newest().find("UTC").unwrap();
    let schedule = Expression::parse(text, "").unwrap().in_zone(zone);
    // 2023-10-01 is a Sunday; January has every day of a month.
    let at = |value: u16| {
        let number = i8::try_from(value % 128).unwrap();
        match place {
            0 => jiff::civil::date(2023, 1, 1).at(0, 0, number, 0),
            1 => jiff::civil::date(2023, 1, 1).at(0, number, 0, 0),
            2 => jiff::civil::date(2023, 1, 1).at(number, 0, 0, 0),
            3 => jiff::civil::date(2023, 1, number).at(0, 0, 0, 0),
            4 => jiff::civil::date(2023, number, 1).at(0, 0, 0, 0),
            5 => jiff::civil::date(2023, 10, 1 + number).at(0, 0, 0, 0),
            _ => jiff::civil::date(i16::try_from(value).unwrap(), 1, 1).at(0, 0, 0, 0),
        }
    };
    let most = if place == 5 { 6 } else { most };
    (least..=most).filter(|value| schedule.names(at(*value))).collect()
}

/// Returns the expression with each suggestion of a hint in place of the mistake.
fn mended(text: &str, mistake: &super::super::Mistake) -> Vec<String> {
    let hint = mistake.hint.clone().unwrap_or_default();
    let offers: Vec<_> = hint.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect();
    let put =
        |offer: String| format!("{}{offer}{}", &text[..mistake.at.start], &text[mistake.at.end..]);
    offers.into_iter().map(put).collect()
}

proptest::proptest! {
    #[test]
    fn a_range_that_goes_over_the_end_has_a_hint_that_means_the_same(
        place in 0..7_usize,
        (first, last) in (0..60_u16, 0..60_u16),
        step in proptest::option::of(1..9_u16),
    ) {
        let (place, least, most) = FIELDS[place];
        let [first, last] = [first, last].map(|number| least + number % (most - least + 1).min(100));
        proptest::prop_assume!(first > last && step.is_none_or(|step| step <= most - least));
        let every = step.map(|step| format!("/{step}")).unwrap_or_default();
        let text = around(place, &format!("{first}-{last}{every}"));
        let mistake = Expression::parse(&text, "").unwrap_err();
        let all = mended(&text, &mistake);
        proptest::prop_assert_eq!(all.len(), 1, "{:?}", mistake);
        if place == 6 {
            proptest::prop_assert!(Expression::parse(&all[0], "").is_ok(), "{:?}", mistake);
            return Ok(());
        }
        // Wraps around from the first value on.
        let stop = if place == 5 { 6 } else { most };
        let span = stop - least + 1;
        let first = if first > stop { least } else { first };
        let length = (last + span - first) % span;
        let steps = (0..=length).step_by(step.unwrap_or(1).into());
        let mut wanted: Vec<_> = steps.map(|more| least + (first - least + more) % span).collect();
        wanted.sort_unstable();
        proptest::prop_assert_eq!(values(&all[0], place, least, most), wanted, "{:?}", mistake);
    }

    #[test]
    fn a_step_without_a_range_has_a_hint_that_means_the_same(
        place in 0..6_usize, from in 0..60_u16, step in 1..9_u16,
    ) {
        let (place, least, most) = FIELDS[place];
        let from = least + from % (most - least + 1);
        proptest::prop_assume!(step <= most - least);
        let text = around(place, &format!("{from}/{step}"));
        let warnings = Expression::parse(&text, "").unwrap().warnings;
        let all = mended(&text, warnings.last().unwrap());
        proptest::prop_assert_eq!(all.len(), 1);
        let [there, instead] = [&text, &all[0]].map(|text| values(text, place, least, most));
        proptest::prop_assert_eq!(there, instead, "{}", all[0]);
        let again = Expression::parse(&all[0], "").unwrap().warnings;
        proptest::prop_assert!(again.len() < warnings.len(), "{:?}", again);
    }

    #[test]
    fn a_range_of_h_that_goes_over_the_end_has_hints_that_can_be_read(
        place in 0..6_usize, (first, last) in (0..60_u16, 0..60_u16), step in proptest::option::of(1..5_u16),
    ) {
        let (place, least, most) = FIELDS[place];
        let [first, last] = [first, last].map(|number| least + number % (most - least + 1));
        proptest::prop_assume!(first > last);
        let every = step.map(|step| format!("/{step}")).unwrap_or_default();
        let text = around(place, &format!("H({first}-{last}){every}"));
        let mistake = Expression::parse(&text, "").unwrap_err();
        for instead in mended(&text, &mistake) {
            proptest::prop_assert!(Expression::parse(&instead, "job").is_ok(), "{}: {:?}", instead, mistake);
        }
    }

    #[test]
    fn what_is_said_of_two_day_fields_can_be_written(
        day in proptest::sample::select(vec!["1-7", "8-14", "15-21", "22-28", "13", "L", "1,15"]),
        weekday in proptest::sample::select(vec!["MON", "7", "5L", "H", "FRI#2", "1-5", "SUN,TUE", "H(1-5)", "saturday"]),
    ) {
        let text = format!("0 0 {day} * {weekday}");
        let warnings = Expression::parse(&text, "job").unwrap().warnings;
        let hint = warnings[0].hint.clone().unwrap();
        let offers: Vec<_> = hint.split('`').skip(1).step_by(2).collect();
        for offer in offers {
            let fields: Vec<_> = offer.split(' ').collect();
            let instead = match fields[..] {
                [day, weekday] => format!("0 0 {day} * {weekday}"),
                [one] if one.contains('#') => format!("0 0 * * {one}"),
                [one] => format!("0 0 {one} * {weekday}"),
                _ => hint.clone(),
            };
            proptest::prop_assert!(Expression::parse(&instead, "job").is_ok(), "{}: {}", instead, hint);
        }
    }

    #[test]
    fn whatever_is_written_is_read_or_refused_in_its_place(text in ".{0,60}") {
        if let Err(mistake) = Expression::parse(&text, "job") {
            proptest::prop_assert!(text.get(mistake.at).is_some());
        }
    }

    #[test]
    fn what_looks_like_an_expression_is_read_or_refused(text in "[0-9*,/LWH#()?a-z-]{1,8}( [0-9*,/LWHMONFRI#()?-]{1,8}){4,6}") {
        if let Err(mistake) = Expression::parse(&text, "job") {
            proptest::prop_assert!(text.get(mistake.at).is_some());
        }
    }
}

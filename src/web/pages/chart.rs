//! The bytes of a run over time, as a picture that needs neither script nor style within it.

use std::fmt::Write;

use maud::{Markup, html};

use super::layout::took;
use super::runs::size;
use crate::store::history::{AttemptRecord, ProgressPoint};

/// The width and the height of the picture, in its own units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 160.0;

/// Returns the picture; nothing if no bytes were moved.
pub(super) fn picture(attempts: &[AttemptRecord], points: &[ProgressPoint]) -> Markup {
    let lines = lines(attempts, points);
    let all = || lines.iter().flatten();
    let (last, most) =
        all().fold((0.0_f64, 0.0_f64), |(x, y), (at, bytes)| (x.max(*at), y.max(*bytes)));
    if most <= 0.0 {
        return html! {};
    }
    let total = i64_of(most);
    let words = format!("{} in {}", size(total), took(Some(last / 1000.0)));
    let paths = lines.iter().map(|line| area(line, last.max(1.0), most));
    html! {
        h2 #bytes-title { "Bytes over time" }
        figure {
            svg viewBox="0 0 720 160" role="img" aria-label={ "Bytes over time: " (words) } preserveAspectRatio="none" {
                @for path in paths { path.bytes d=(path) {} }
            }
            figcaption { (words) }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it was a number of bytes")]
const fn i64_of(number: f64) -> i64 {
    number as i64
}

#[expect(clippy::cast_precision_loss, reason = "a picture has a few hundred columns")]
const fn f64_of(number: i64) -> f64 {
    number as f64
}

/// Returns for each attempt its milliseconds since the run began, and its bytes.
fn lines(attempts: &[AttemptRecord], points: &[ProgressPoint]) -> Vec<Vec<(f64, f64)>> {
    let Some(first) = attempts.first() else { return Vec::new() };
    let line = |attempt: &AttemptRecord| {
        let offset = attempt.started_at.as_millisecond() - first.started_at.as_millisecond();
        let own = points.iter().filter(|point| point.attempt == attempt.number);
        let own = own.map(|point| {
            (f64_of(offset.saturating_add(point.elapsed_ms).max(0)), f64_of(point.bytes))
        });
        [(f64_of(offset.max(0)), 0.0)].into_iter().chain(own).collect()
    };
    attempts.iter().map(line).collect()
}

/// Returns the path around the area below a line.
fn area(line: &[(f64, f64)], last: f64, most: f64) -> String {
    let place =
        |(at, bytes): &(f64, f64)| (at / last * WIDTH, HEIGHT - bytes / most * (HEIGHT - 8.0));
    let mut path = String::new();
    for (number, point) in line.iter().map(place).enumerate() {
        let letter = if number == 0 { 'M' } else { 'L' };
        write!(path, "{letter}{:.1} {:.1}", point.0, point.1).ok();
    }
    let end = line.last().map(place).map_or(0.0, |(x, _)| x);
    write!(path, "L{end:.1} {HEIGHT:.1}Z").ok();
    path
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::history::{RunState, Sum};

    fn attempt(number: i64, second: i64) -> AttemptRecord {
        AttemptRecord {
            number,
            started_at: Timestamp::from_second(second).unwrap(),
            ended_at: None,
            state: RunState::Done,
            sum: Sum::default(),
        }
    }

    #[test]
    fn each_attempt_has_its_area_at_its_time() {
        let point = |attempt, elapsed_ms, bytes| ProgressPoint { attempt, elapsed_ms, bytes };
        let points = [point(1, 1_000, 50), point(2, 1_000, 100)];
        let text = picture(&[attempt(1, 100), attempt(2, 109)], &points).into_string();
        assert!(text.contains("d=\"M0.0 160.0L72.0 84.0L72.0 160.0Z\""), "{text}");
        assert!(text.contains("d=\"M648.0 160.0L720.0 8.0L720.0 160.0Z\""), "{text}");
        assert!(text.contains("100 bytes in 10.0 s") || text.contains("100 B in 10.0 s"), "{text}");
        assert_eq!(picture(&[attempt(1, 100)], &[]).into_string(), "");
        assert_eq!(picture(&[], &points).into_string(), "");
    }
}

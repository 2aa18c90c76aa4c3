//! Randomly drawn fault plans, reproducible by seed: campaigns of thousands of faults need no list.

use super::{
    named::{FaultRow, Make, ROWS},
    plan::FaultPlan,
};
use portolan_core::random::SeededRng;
use portolan_proto::Verb;

/// The reply codes that may be drawn as an answer to any command.
const CODES: [u16; 20] = [
    110, 125, 150, 200, 202, 226, 250, 331, 350, 421, 425, 426, 450, 451, 452, 500, 502, 530, 550,
    552,
];
/// The upper bound of numbers drawn, as a power of two: larger ones lie beyond the files of a test and have no effect.
const NUMBER_BITS: u64 = 20;
/// The lowest rate in bytes per second, so that a campaign ends in reasonable time.
const RATE_MIN: u64 = 64 * 1024;
/// The maximum number of times a fault happens: a client that retries succeeds in the end.
const TIMES_MAX: u64 = 3;

impl FaultPlan {
    /// Returns the text of a random plan, valid for `parse`. The same seed returns the same text.
    pub fn draw(seed: u64) -> String {
        let mut lots = SeededRng::new(seed);
        let rows: Vec<_> = ROWS.iter().filter(|row| is_lot(row)).collect();
        let Some(row) = lots.one_of(&rows) else { return String::new() };
        let argument = match row.make {
            Make::Plain(_) | Make::Text(_) | Make::Names(_) | Make::NamesBy(_) => String::new(),
            Make::Number(_) => format!("={}", number(&mut lots)),
            Make::Rate(_) => format!("={}", RATE_MIN + number(&mut lots)),
            Make::Command(_) => format!("={}", verb(&mut lots)),
            Make::Reply(_) => {
                let code = lots.one_of(&CODES).copied().unwrap_or_default();
                format!("={}:{code} Drawn by lot.", verb(&mut lots))
            }
        };
        format!("{}{argument}*{}", row.name, 1 + lots.below(TIMES_MAX))
    }
}

/// Returns true if a plan may be drawn. Plans that need a text from the user, or that change the kind of server, may
/// not.
const fn is_lot(row: &FaultRow) -> bool {
    !matches!(row.make, Make::Text(_) | Make::Names(_) | Make::NamesBy(_))
}

/// Returns small numbers as often as large ones: faults show at the edges of files.
fn number(lots: &mut SeededRng) -> u64 {
    let bits = lots.below(NUMBER_BITS);
    lots.below(1 << (bits + 1))
}

fn verb(lots: &mut SeededRng) -> &'static str {
    lots.one_of(Verb::ALL).map_or("", |verb| verb.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_is_drawn_can_be_parsed_and_is_the_same_again() {
        let mut names = HashSet::new();
        for seed in 0..2000 {
            let text = FaultPlan::draw(seed);
            assert_eq!(text, FaultPlan::draw(seed));
            assert_eq!(FaultPlan::parse(&text).unwrap().to_string(), text);
            names.insert(text.split(['=', '*']).next().unwrap().to_owned());
        }
        let lots = ROWS.iter().filter(|row| is_lot(row)).count();
        assert_eq!(names.len(), lots, "every name is drawn");
    }
}

//! Randomly drawn fault plans, reproducible by seed: campaigns of thousands of faults need no list.

use super::{
    command::Verb,
    named::{FaultRow, Make, ROWS},
    plan::FaultPlan,
};

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
        let mut lots = Lots(seed);
        let rows: Vec<_> = ROWS.iter().filter(|row| is_lot(row)).collect();
        let Some(row) = lots.one_of(&rows) else { return String::new() };
        let argument = match row.make {
            Make::Plain(_) | Make::Text(_) | Make::Names(_) | Make::NamesBy(_) => String::new(),
            Make::Number(_) => format!("={}", lots.number()),
            Make::Rate(_) => format!("={}", RATE_MIN + lots.number()),
            Make::Command(_) => format!("={}", lots.verb()),
            Make::Reply(_) => {
                let code = lots.one_of(&CODES).copied().unwrap_or_default();
                format!("={}:{code} Drawn by lot.", lots.verb())
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

/// A random number generator: Vigna's splitmix64, which is small and good enough.
struct Lots(u64);

impl Lots {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Returns small numbers as often as large ones: faults show at the edges of files.
    fn number(&mut self) -> u64 {
        let bits = self.below(NUMBER_BITS);
        self.below(1 << (bits + 1))
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        usize::try_from(self.below(all.len() as u64)).ok().and_then(|at| all.get(at))
    }

    fn verb(&mut self) -> &'static str {
        self.one_of(Verb::ALL).map_or("", |verb| verb.word())
    }
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

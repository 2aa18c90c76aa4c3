//! The nearest known name for one that is not known.

/// The maximum number of names that are compared: each takes a microsecond.
pub const NAMES_MAX: usize = 5_000;

/// The minimum number of characters of a word in which one slip makes it similar to another.
const SLIP_LENGTH_MIN: usize = 3;
/// The similarity of two words with one letter added, missing, changed, or swapped with the next.
const SLIP_LIKENESS: f64 = 0.85;

/// Returns the name most similar to `name`, if any is similar; of very many names only some are compared.
pub fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let lower = name.to_lowercase();
    let likeness = |other: &str| {
        let other = other.to_lowercase();
        let likeness = strsim::jaro_winkler(&lower, &other);
        // Of short words, Jaro finds no two letters that are swapped.
        // Few slip in the first letter: `5xx` is no `4xx`.
        let is_slip = lower.chars().count() >= SLIP_LENGTH_MIN
            && lower.chars().next() == other.chars().next()
            && strsim::osa_distance(&lower, &other) <= 1;
        if is_slip { likeness.max(SLIP_LIKENESS) } else { likeness }
    };
    let best = known
        .iter()
        .take(NAMES_MAX)
        .map(|other| (likeness(other), *other))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness > 0.8).map(|(_, other)| other)
}

/// Returns true if two names of files differ in their digits only, or not at all: the file of another day or number is not
/// the one that is meant.
pub fn is_numbered_alike(one: &str, other: &str) -> bool {
    let letters = |name: &str| -> String { name.chars().filter(|c| !c.is_ascii_digit()).collect() };
    letters(one) == letters(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_days_and_numbers_are_numbered_alike() {
        for (one, other, wanted) in [
            ("orders-2026-11-30.csv", "orders-2026-11-29.csv", true),
            ("part9.zip", "part10.zip", true),
            ("same", "same", true),
            ("orders-2026-11-30.csv", "order-2026-11-30.csv", false),
            ("b.csv", "a.csv", false),
        ] {
            assert_eq!(is_numbered_alike(one, other), wanted, "{one} {other}");
        }
    }

    #[test]
    fn a_slip_is_found_and_another_word_is_not() {
        let known = ["get", "put", "ls", "mirror", "chmod", "rm"];
        for (typed, near) in [
            ("gte", Some("get")),
            ("ptu", Some("put")),
            ("mirorr", Some("mirror")),
            ("chmdo", Some("chmod")),
            ("cat", None),
            ("jet", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, &known), near, "{typed}");
        }
    }
}

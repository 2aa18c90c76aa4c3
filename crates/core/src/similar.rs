//! The nearest known name for one that is not known.

/// The maximum number of names that are compared: each takes a microsecond.
const NAMES_MAX: usize = 5_000;

/// Returns the name most similar to `name`, if any is similar; of very many names only some are compared.
pub fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let lower = name.to_lowercase();
    let likeness = |other: &str| strsim::jaro_winkler(&lower, &other.to_lowercase());
    let best = known
        .iter()
        .take(NAMES_MAX)
        .map(|other| (likeness(other), *other))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness > 0.8).map(|(_, other)| other)
}

//! The nearest known name for one that is not known.

/// Returns the name most similar to `name`, if any is similar.
pub fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let lower = name.to_lowercase();
    let likeness = |other: &str| strsim::jaro_winkler(&lower, &other.to_lowercase());
    let best =
        known.iter().map(|other| (likeness(other), *other)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness > 0.8).map(|(_, other)| other)
}

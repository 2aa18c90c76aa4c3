//! Retention: which files of a directory are old enough to go.
//!
//! Decided as a value first. Nothing is removed on doubt: a file whose time is not known stays, and a listing of which
//! a part was not understood removes nothing.

use std::time::Duration;

use globset::{GlobBuilder, GlobMatcher};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{
    entry::{Entry, EntryKind, Modified},
    fs::RemoteFs,
    listing::DirectoryListing,
    path::RemotePath,
};
use portolan_core::{
    duration::parse_time,
    error::{Error, ErrorKind, Origin, Result},
    option_table::{NUMBER_MAX, OptionKind, OptionRow, OptionTable},
};

/// The number of files above which more than half of them are not removed unless `max_delete` says so, as in mirrors.
const FEW_FILES: usize = 10;
/// The distance between a listed time without a zone and UTC, at most.
const ZONE_MAX: SignedDuration = SignedDuration::from_hours(14);

/// The rules of a retention.
#[derive(Debug, Clone, Default)]
pub struct PruneRules {
    /// The number of newest files that always stay.
    pub keep_last: Option<u64>,
    /// The age from which files go.
    pub older_than: Option<Duration>,
    /// The pattern of the names that take part; empty for all.
    pub pattern: String,
    /// The maximum number of files to remove.
    pub max_delete: Option<u64>,
    /// True if nothing is to be removed.
    pub is_dry_run: bool,
}

/// Every option of a retention.
pub const OPTIONS: OptionTable<PruneRules> = OptionTable {
    rows: &[
        OptionRow::<PruneRules>::new(
            "keep_last",
            OptionKind::Number(0..=NUMBER_MAX, |it, count| it.keep_last = Some(count)),
            "the newest files that stay, whatever their age",
        )
        .flag("keep-last", "Keep the newest COUNT files, whatever their age")
        .value_name("COUNT"),
        OptionRow::<PruneRules>::new(
            "older_than",
            OptionKind::Text(|it, text| {
                let age = parse_time(text).ok_or_else(|| {
                    let message = format!("`older_than` wants an age such as \"30d\" or \"12h\", got \"{text}\"");
                    Error::invalid(message)
                })?;
                it.older_than = Some(age);
                Ok(())
            }),
            "the age from which files go, such as \"30d\"; with `keep_last` both have to be true",
        )
        .flag("older-than", "Delete only files older than AGE, such as 30d")
        .value_name("AGE"),
        OptionRow::<PruneRules>::new(
            "match",
            OptionKind::Text(|it, text| {
                text.clone_into(&mut it.pattern);
                it.matcher().map(drop)
            }),
            "the pattern of the names that take part, such as \"backup-*.tar.gz\"",
        )
        .usual("*")
        .flag("match", "Take only names that match PATTERN, such as '*.gz'")
        .value_name("PATTERN"),
        OptionRow::<PruneRules>::new(
            "max_delete",
            OptionKind::Number(0..=NUMBER_MAX, |it, count| it.max_delete = Some(count)),
            "the most files to delete: above it nothing is; without it, no more than half of more than ten files",
        )
        .flag("max-delete", "Delete nothing if it would be more than COUNT files")
        .value_name("COUNT"),
        OptionRow::<PruneRules>::new(
            "dry_run",
            OptionKind::Flag(|it, flag| it.is_dry_run = flag),
            "return what would be deleted, and delete nothing",
        )
        .usual("false")
        .flag("dry-run", "Show what would be deleted, and delete nothing"),
    ],
    usual: PruneRules::default,
};

impl PruneRules {
    /// Returns the matcher of the names that take part.
    fn matcher(&self) -> Result<GlobMatcher> {
        let pattern = if self.pattern.is_empty() { "*" } else { &self.pattern };
        let glob = GlobBuilder::new(pattern).literal_separator(true).build();
        let glob = glob.map_err(|error| {
            Error::invalid(format!("`{pattern}` is no pattern: {}", error.kind()))
        })?;
        Ok(glob.compile_matcher())
    }
}

/// The files that go, and how many stay.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PrunePlan {
    /// The files to remove, the oldest first.
    pub deletes: Vec<Entry>,
    /// The number of files that take part and stay.
    pub kept: usize,
    /// The number of files that take part and whose time is not known: they stay.
    pub timeless: usize,
    /// The reason why so many files are not removed.
    pub refusal: Option<String>,
}

impl PrunePlan {
    /// Returns the number of bytes of the files to remove.
    pub fn bytes(&self) -> u64 {
        self.deletes.iter().filter_map(|entry| entry.size).sum()
    }
}

/// Returns the latest moment in UTC that a listed time can mean.
fn latest(modified: Modified) -> Option<Timestamp> {
    match modified {
        Modified::Utc(at, _) => Some(at),
        Modified::Server(at, _) => TimeZone::UTC.to_timestamp(at).ok()?.checked_add(ZONE_MAX).ok(),
    }
}

/// Decides which of the files of a listing go at `now`.
pub fn plan(listing: &DirectoryListing, rules: &PruneRules, now: Timestamp) -> Result<PrunePlan> {
    if rules.keep_last.is_none() && rules.older_than.is_none() {
        let message = "say what stays: `keep_last`, `older_than`, or both";
        return Err(Error::invalid(message));
    }
    // An entry that is missing in the listing stays anyway; one that was not understood may be read wrong.
    if listing.refused_count > 0 {
        let message = "a part of the listing was not understood, so nothing is deleted";
        return Err(Error::new(ErrorKind::Guard, Origin::Server, message));
    }
    let matcher = rules.matcher()?;
    let is_part = |entry: &&Entry| {
        entry.kind == EntryKind::File
            && matcher.is_match(String::from_utf8_lossy(&entry.name).as_ref())
    };
    let files: Vec<&Entry> = listing.entries.iter().filter(is_part).collect();
    let mut timed: Vec<(Timestamp, &Entry)> =
        files.iter().filter_map(|entry| Some((latest(entry.modified?)?, *entry))).collect();
    // The newest first; of one time, the name that sorts last, which is most often the newest as well.
    timed.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| b.1.name.cmp(&a.1.name)));
    let timeless = files.len() - timed.len();
    // Files without a time may be the newest: they take no place of those that are kept.
    let kept = usize::try_from(rules.keep_last.unwrap_or(0)).unwrap_or(usize::MAX);
    let age =
        rules.older_than.map(|age| SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX));
    let is_old = |at: Timestamp| age.is_none_or(|age| now.duration_since(at) > age);
    let mut deletes: Vec<Entry> = timed
        .into_iter()
        .skip(kept)
        .filter(|(at, _)| is_old(*at))
        .map(|(_, it)| it.clone())
        .collect();
    deletes.reverse();
    let refusal = refusal(deletes.len(), files.len(), rules);
    let kept = files.len() - deletes.len();
    Ok(PrunePlan { deletes, kept, timeless, refusal })
}

/// Returns the objection to so many deletes that they are more likely a mistake than intended.
fn refusal(deletes: usize, files: usize, rules: &PruneRules) -> Option<String> {
    let message = match rules.max_delete {
        Some(max) if deletes as u64 > max => {
            format!("{deletes} deletes would be needed, and `max_delete` is {max}")
        }
        None if files > FEW_FILES && deletes > files / 2 => format!(
            "{deletes} of the {files} files would be deleted, more than half: `max_delete` allows it"
        ),
        _ => return None,
    };
    Some(message)
}

/// Plans the retention of `folder`, and removes what goes unless it is a dry run; `removed` is called after each file.
pub async fn prune(
    session: &mut impl RemoteFs,
    folder: &RemotePath,
    rules: &PruneRules,
    now: Timestamp,
    mut removed: impl FnMut(&RemotePath),
) -> Result<PrunePlan> {
    let listing = session.list(folder).await?;
    let plan = plan(&listing, rules, now)?;
    if rules.is_dry_run {
        return Ok(plan);
    }
    if let Some(refusal) = plan.refusal {
        let message = format!("{refusal}; nothing was deleted");
        return Err(Error::new(ErrorKind::Guard, Origin::Here, message));
    }
    for entry in &plan.deletes {
        let path = folder.join(&entry.name)?;
        match session.remove(&path).await {
            Err(error) if error.kind == ErrorKind::NotFound => {}
            done => done?,
        }
        removed(&path);
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Precision;

    fn now() -> Timestamp {
        "2026-03-01T00:00:00Z".parse().unwrap()
    }

    fn file(name: &str, days: i64) -> Entry {
        let at = now() - SignedDuration::from_hours(24 * days);
        let modified = Some(Modified::Utc(at, Precision::Second));
        Entry { modified, size: Some(10), ..Entry::new(name.as_bytes(), EntryKind::File) }
    }

    fn listing(entries: Vec<Entry>) -> DirectoryListing {
        DirectoryListing {
            entries,
            is_conclusive: true,
            shows_hidden: true,
            refused_count: 0,
            complaint: None,
        }
    }

    fn names(plan: &PrunePlan) -> Vec<String> {
        plan.deletes.iter().map(|entry| String::from_utf8_lossy(&entry.name).into_owned()).collect()
    }

    fn day(count: u64) -> Duration {
        Duration::from_secs(count * 86_400)
    }

    #[test]
    fn the_newest_and_the_young_stay() {
        let mut all =
            vec![file("b", 2), file("a", 1), file("d", 40), file("c", 30), file("x.txt", 50)];
        all.push(Entry::new(b"old-folder", EntryKind::Dir));
        all.push(Entry::new(b"e", EntryKind::File));
        let listing = listing(all);
        let of = |rules: &PruneRules| names(&plan(&listing, rules, now()).unwrap());
        let rules = |keep_last, older_than, pattern: &str| PruneRules {
            keep_last,
            older_than,
            pattern: pattern.into(),
            ..PruneRules::default()
        };
        assert_eq!(of(&rules(Some(2), None, "")), ["x.txt", "d", "c"]);
        assert_eq!(of(&rules(None, Some(day(29)), "?")), ["d", "c"]);
        assert_eq!(of(&rules(Some(3), Some(day(29)), "?")), ["d"]);
        assert_eq!(of(&rules(Some(0), None, "*.txt")), ["x.txt"]);
        assert_eq!(of(&rules(Some(99), None, "")), Vec::<String>::new());
        assert_eq!(plan(&listing, &rules(Some(2), None, ""), now()).unwrap().timeless, 1);
        assert!(plan(&listing, &PruneRules::default(), now()).is_err());
        assert!(plan(&listing, &rules(Some(1), None, "[a"), now()).is_err());
    }

    #[test]
    fn a_time_without_a_zone_is_taken_for_the_latest_that_it_can_be() {
        let at = TimeZone::UTC.to_datetime(now() - SignedDuration::from_hours(30));
        let modified = Some(Modified::Server(at, Precision::Minute));
        let listing = listing(vec![Entry { modified, ..Entry::new(b"a", EntryKind::File) }]);
        let rules = |hours: u64| PruneRules {
            older_than: Some(Duration::from_secs(hours * 3600)),
            ..PruneRules::default()
        };
        assert_eq!(names(&plan(&listing, &rules(15), now()).unwrap()), ["a"]);
        assert_eq!(names(&plan(&listing, &rules(17), now()).unwrap()), Vec::<String>::new());
    }

    #[test]
    fn doubt_and_too_many_deletes_remove_nothing() {
        let all: Vec<_> = (0..20).map(|day| file(&format!("f{day:02}"), day)).collect();
        let keep = |count| PruneRules { keep_last: Some(count), ..PruneRules::default() };
        let whole = listing(all.clone());
        let stopped = plan(&whole, &keep(5), now()).unwrap();
        let refusal = stopped.refusal.unwrap_or_default();
        assert!(refusal.starts_with("15 of the 20 files would be deleted"), "{refusal}");
        assert_eq!(stopped.deletes.len(), 15);
        let allowed = PruneRules { max_delete: Some(15), ..keep(5) };
        assert_eq!(plan(&whole, &allowed, now()).unwrap().refusal, None);
        let fewer = PruneRules { max_delete: Some(14), ..keep(5) };
        assert!(plan(&whole, &fewer, now()).unwrap().refusal.is_some());
        let broken = DirectoryListing { refused_count: 1, ..listing(all) };
        assert_eq!(plan(&broken, &keep(15), now()).unwrap_err().kind, ErrorKind::Guard);
    }
}

//! The decision which files of a directory are complete and new. Pure: it takes listings and times.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::{
    error::{Error, Result},
    remote::entry::Modified,
    schedule::jobs::FileTrigger,
    store::history::{ArrivedFile, SeenFile},
};

/// Size and time of a file, as a listing shows them: `None` is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileVersion {
    /// The size in bytes.
    pub(super) size: Option<u64>,
    /// The modification time as text: that of a server as [`Modified::text`] writes it. Empty if it is not known.
    pub(super) modified: String,
}

impl FileVersion {
    /// Returns true if both can be the same content. A server may show a time less exactly when the file is older.
    fn is_same(&self, other: &Self) -> bool {
        let agrees = || {
            let [one, two] = [&self.modified, &other.modified].map(|text| Modified::read(text));
            one?.agrees(two?)
        };
        self.size == other.size && (self.modified == other.modified || agrees() == Some(true))
    }
}

/// The files of a directory at one time.
#[derive(Debug, Default)]
pub(super) struct DirectoryFiles {
    /// The files by name.
    pub(super) files: BTreeMap<String, FileVersion>,
    /// True if a file that is not in it may be taken to be gone.
    pub(super) is_conclusive: bool,
}

/// The result of a look at the directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Observation {
    /// The files that are complete and new. Each is in one observation only.
    pub(super) ready: Vec<ArrivedFile>,
    /// Files that were handed out and are no longer in the directory.
    pub(super) gone: Vec<ArrivedFile>,
    /// Those that are there again.
    pub(super) back: Vec<ArrivedFile>,
    /// The time at which a file that is not complete yet may be.
    pub(super) due: Option<Duration>,
}

/// A version of a file that was handed out, or offered.
#[derive(Debug)]
struct KnownVersion {
    version: FileVersion,
    is_gone: bool,
}

/// The knowledge of the files of one directory.
#[derive(Debug)]
pub(super) struct Tracker {
    site: String,
    directory: String,
    patterns: GlobSet,
    shows_hidden: bool,
    settle: Duration,
    marker: Option<String>,
    known: HashMap<String, Vec<KnownVersion>>,
    /// The files that are not complete yet, each with the time since which it is as it is.
    settling: HashMap<String, (FileVersion, Duration)>,
}

impl Tracker {
    /// Creates a tracker that knows the files that were handed out.
    pub(super) fn new(trigger: &FileTrigger, seen: Vec<SeenFile>) -> Result<Self> {
        let mut patterns = GlobSetBuilder::new();
        for text in &trigger.patterns {
            let glob = GlobBuilder::new(text).literal_separator(true).build();
            patterns.add(glob.map_err(|error| Error::invalid(error.to_string()))?);
        }
        let patterns = patterns.build().map_err(|error| Error::invalid(error.to_string()))?;
        let mut tracker = Self {
            site: trigger.site_name().to_owned(),
            directory: trigger.directory.clone(),
            patterns,
            shows_hidden: trigger.patterns.iter().any(|text| text.starts_with('.')),
            settle: trigger.settle,
            marker: trigger.marker.clone(),
            known: HashMap::new(),
            settling: HashMap::new(),
        };
        for SeenFile { file, is_gone } in seen {
            if file.site == tracker.site && file.directory == tracker.directory {
                let version =
                    FileVersion { size: u64::try_from(file.size).ok(), modified: file.modified };
                tracker.known.entry(file.name).or_default().push(KnownVersion { version, is_gone });
            }
        }
        Ok(tracker)
    }

    /// Looks at the directory as it is at `now`, which is a time of a clock that is never set.
    pub(super) fn observe(&mut self, listing: &DirectoryFiles, now: Duration) -> Observation {
        let mut found = Observation::default();
        for (name, version) in &listing.files {
            if !self.takes_part(name) {
                continue;
            }
            if let Some(known) = self.known_version(name, version) {
                let was_gone = std::mem::replace(&mut known.is_gone, false);
                let version = known.version.clone();
                if was_gone {
                    found.back.push(self.file(name, &version));
                }
                self.settling.remove(name);
                continue;
            }
            let since = match self.settling.get(name) {
                Some((before, since)) if before == version => *since,
                _ => now,
            };
            let complete_at = since.saturating_add(self.settle);
            let is_marked =
                self.marker_of(name).is_none_or(|marker| listing.files.contains_key(&marker));
            if complete_at <= now && is_marked {
                self.settling.remove(name);
                let known = KnownVersion { version: version.clone(), is_gone: false };
                self.known.entry(name.clone()).or_default().push(known);
                found.ready.push(self.file(name, version));
                continue;
            }
            if complete_at > now {
                found.due = Some(found.due.map_or(complete_at, |due| due.min(complete_at)));
            }
            self.settling.insert(name.clone(), (version.clone(), since));
        }
        self.settling.retain(|name, _| listing.files.contains_key(name));
        if listing.is_conclusive {
            found.gone = self.missing(listing);
        }
        found
    }

    fn known_version(&mut self, name: &str, version: &FileVersion) -> Option<&mut KnownVersion> {
        self.known.get_mut(name)?.iter_mut().find(|known| known.version.is_same(version))
    }

    /// Marks known files that are not in the listing as gone, and returns them.
    fn missing(&mut self, listing: &DirectoryFiles) -> Vec<ArrivedFile> {
        let mut gone = Vec::new();
        for (name, versions) in &mut self.known {
            let there = listing.files.get(name);
            let is_missing = |known: &&mut KnownVersion| {
                !known.is_gone && there.is_none_or(|there| !known.version.is_same(there))
            };
            for known in versions.iter_mut().filter(is_missing) {
                known.is_gone = true;
                gone.push((name.clone(), known.version.clone()));
            }
        }
        let mut gone: Vec<_> =
            gone.iter().map(|(name, version)| self.file(name, version)).collect();
        gone.sort_unstable();
        gone
    }

    pub(super) fn takes_part(&self, name: &str) -> bool {
        (self.shows_hidden || !name.starts_with('.'))
            && self.patterns.is_match(name)
            && !self.is_marker(name)
    }

    /// Returns the name of the file that says that `name` is complete.
    fn marker_of(&self, name: &str) -> Option<String> {
        self.marker.as_ref().map(|marker| marker.replace('%', name))
    }

    fn is_marker(&self, name: &str) -> bool {
        let Some(marker) = &self.marker else { return false };
        match marker.split_once('%') {
            Some((start, end)) => {
                name.len() > start.len() + end.len()
                    && name.starts_with(start)
                    && name.ends_with(end)
            }
            None => name == marker,
        }
    }

    fn file(&self, name: &str, version: &FileVersion) -> ArrivedFile {
        ArrivedFile {
            site: self.site.clone(),
            directory: self.directory.clone(),
            name: name.to_owned(),
            size: version.size.map_or(-1, |size| i64::try_from(size).unwrap_or(i64::MAX)),
            modified: version.modified.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(patterns: &[&str], settle: u64, marker: Option<&str>) -> FileTrigger {
        FileTrigger {
            directory: "out".into(),
            patterns: patterns.iter().map(|text| (*text).to_owned()).collect(),
            settle: Duration::from_secs(settle),
            marker: marker.map(str::to_owned),
            ..FileTrigger::default()
        }
    }

    fn tracker(settle: u64, marker: Option<&str>) -> Tracker {
        Tracker::new(&trigger(&["*"], settle, marker), Vec::new()).unwrap()
    }

    /// Returns a listing of files, each as `NAME SIZE TIME`.
    fn listing(text: &str) -> DirectoryFiles {
        let lines = text.split(',').map(str::trim).filter(|line| !line.is_empty());
        let file = |line: &str| {
            let mut words = line.split(' ');
            let name = words.next().unwrap().to_owned();
            let size = words.next().and_then(|size| size.parse().ok());
            (name, FileVersion { size, modified: words.next().unwrap_or_default().to_owned() })
        };
        DirectoryFiles { files: lines.map(file).collect(), is_conclusive: true }
    }

    fn ready(tracker: &mut Tracker, text: &str, now: u64) -> String {
        let found = tracker.observe(&listing(text), Duration::from_secs(now));
        found
            .ready
            .iter()
            .map(|file| format!("{}:{}", file.name, file.size))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_file_is_ready_once_when_it_has_not_changed_for_a_while() {
        let mut tracker = tracker(5, None);
        let found = tracker.observe(&listing("a 1 t1"), Duration::from_secs(1));
        assert_eq!((found.ready.len(), found.due), (0, Some(Duration::from_secs(6))));
        assert_eq!(ready(&mut tracker, "a 2 t2", 4), "", "it grows");
        assert_eq!(ready(&mut tracker, "a 2 t2", 8), "");
        assert_eq!(ready(&mut tracker, "a 2 t2, b 7 t3", 9), "a:2");
        assert_eq!(ready(&mut tracker, "a 2 t2, b 7 t3", 14), "b:7");
        assert_eq!(ready(&mut tracker, "a 2 t2, b 7 t3", 99), "");
        assert_eq!(ready(&mut tracker, "a 2 t4, b 7 t3", 100), "", "other content");
        assert_eq!(ready(&mut tracker, "a 2 t4, b 7 t3", 105), "a:2");
    }

    #[test]
    fn a_file_that_is_gone_before_it_is_complete_begins_anew() {
        let mut tracker = tracker(5, None);
        assert_eq!(ready(&mut tracker, "a 1 t", 1), "");
        assert_eq!(ready(&mut tracker, "", 3), "");
        assert_eq!(ready(&mut tracker, "a 1 t", 7), "");
        assert_eq!(ready(&mut tracker, "a 1 t", 12), "a:1");
    }

    #[test]
    fn what_was_handed_out_is_known_after_a_restart_and_goes_and_comes_back_without_a_run() {
        let mut before = tracker(0, None);
        let handed = before.observe(&listing("a 1 t, b 2 t"), Duration::ZERO).ready;
        let seen = handed.iter().map(|file| SeenFile { file: file.clone(), is_gone: false });
        let mut tracker = Tracker::new(&trigger(&["*"], 0, None), seen.collect()).unwrap();
        assert_eq!(ready(&mut tracker, "a 1 t, b 2 t", 1), "");
        let gone = tracker.observe(&listing("b 2 t"), Duration::from_secs(2)).gone;
        assert_eq!(gone, handed[..1]);
        assert_eq!(tracker.observe(&listing("b 2 t"), Duration::from_secs(3)).gone, []);
        let found = tracker.observe(&listing("a 1 t, b 2 t"), Duration::from_secs(4));
        assert_eq!((found.back.as_slice(), found.ready.as_slice()), (&handed[..1], &[][..]));
        // What a listing lacks that is not conclusive is not gone.
        let partial = DirectoryFiles { is_conclusive: false, ..DirectoryFiles::default() };
        assert_eq!(tracker.observe(&partial, Duration::from_secs(5)), Observation::default());
    }

    #[test]
    fn a_marker_says_that_a_file_is_complete_and_is_none_itself() {
        let mut each = tracker(0, Some("%.ok"));
        assert_eq!(ready(&mut each, "a 1 t, b 1 t, b.ok 0 t", 0), "b:1");
        assert_eq!(ready(&mut each, "a 1 t, a.ok 0 t, b 1 t, b.ok 0 t", 1), "a:1");
        let mut all = tracker(2, Some("done"));
        assert_eq!(ready(&mut all, "a 1 t, b 1 t", 0), "");
        assert_eq!(ready(&mut all, "a 1 t, b 1 t", 5), "");
        assert_eq!(ready(&mut all, "a 1 t, b 1 t, c 1 t, done 0 t", 6), "a:1 b:1");
    }

    #[test]
    fn patterns_are_of_names_and_hidden_files_need_their_own() {
        let names = ["a.csv", "b.txt", ".c.csv", "A.CSV", "d.csv.part"];
        for (patterns, wanted) in [
            (&["*"][..], &["A.CSV", "a.csv", "b.txt", "d.csv.part"][..]),
            (&["*.csv"], &["a.csv"]),
            (&["*.{csv,txt}"], &["a.csv", "b.txt"]),
            (&["*.csv", ".*"], &[".c.csv", "a.csv"]),
        ] {
            let tracker = Tracker::new(&trigger(patterns, 0, None), Vec::new()).unwrap();
            let mut found: Vec<_> =
                names.into_iter().filter(|name| tracker.takes_part(name)).collect();
            found.sort_unstable();
            assert_eq!(found, wanted, "{patterns:?}");
        }
    }

    #[test]
    fn a_time_that_a_server_shows_less_exactly_when_it_is_old_is_the_same() {
        let mut tracker = tracker(0, None);
        assert_eq!(ready(&mut tracker, "a 1 2026-02-11T14:22", 0), "a:1");
        assert_eq!(ready(&mut tracker, "a 1 2026-02-11", 1), "");
        assert_eq!(ready(&mut tracker, "a 1 2026-02-13", 2), "a:1");
        assert_eq!(ready(&mut tracker, "b", 3), "b:-1");
        assert_eq!(ready(&mut tracker, "b", 4), "");
    }

    proptest::proptest! {
        /// Whatever a directory looks like over time, no version of a file is ready twice.
        #[test]
        fn no_version_is_ready_twice(
            looks in proptest::collection::vec(
                proptest::collection::btree_map("[ab]", (0_u64..3, "[tu]"), 0..3), 1..40),
            settle in 0_u64..3,
        ) {
            let mut tracker = tracker(settle, None);
            let mut all = Vec::new();
            for (now, look) in (0..).zip(looks) {
                let files = look.into_iter().map(|(name, (size, modified))| {
                    (name, FileVersion { size: Some(size), modified })
                });
                let listing = DirectoryFiles { files: files.collect(), is_conclusive: now % 2 == 0 };
                all.extend(tracker.observe(&listing, Duration::from_secs(now)).ready);
            }
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            proptest::prop_assert_eq!(all.len(), count);
        }
    }
}

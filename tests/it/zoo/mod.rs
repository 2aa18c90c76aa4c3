//! One conformance run over every personality of the embedded server: whatever a server does to names, renames and
//! listings, a mirror loses nothing, reports all failures, and exits with 0 only if both sides agree.
//!
//! `PORTOLAN_ZOO=windows-names cargo test --test it -- zoo` runs one personality only; `PORTOLAN_ZOO_LOG=1` shows the
//! dialogues of those that failed.

mod hosts;
mod merged;
mod short;
mod stand;

use std::{env, fs, path::Path, sync::Mutex, thread};

use portolan::rehearse::Personality;

use self::stand::{Bytes, Came, Stand, files, lacking};

/// A scenario with a personality, which returns its failures.
type Run = Box<dyn Fn() -> Vec<String> + Send>;

/// The number of concurrent personalities.
const WORKERS: usize = 4;

/// The hosts whose names are no paths, which have scenarios of their own.
const HOSTS: [&str; 3] = ["zos", "vms", "as400"];

/// The personalities that hide files silently, so that a hidden file cannot be missed.
const HIDE: [&str; 2] = ["truncating-silently", "truncating-no-mlst"];

/// The personalities that cannot store all of the tree, or cannot list it.
const MAY_FAIL: [&str; 10] = [
    "no-dot-names",
    "no-rename",
    "rename-denied",
    "write-only",
    "write-only-no-rename",
    "read-only",
    "stat-only",
    "no-type",
    "short-names",
    "dos-names",
];

/// The personalities that list no files, so that all of them are sent each time.
const BLIND: [&str; 2] = ["write-only", "write-only-no-rename"];

/// The arguments of the mirror, and the personalities that it is run on with them; all if none is named.
const WAYS: [(&[&str], &[&str]); 4] = [
    (&[], &[]),
    (
        &["--state-remote", "--no-memory"],
        &[
            "case-insensitive",
            "lower-case",
            "windows-names",
            "iis",
            "no-rename",
            "no-dot-names",
            "list-only",
            "object-store-gateway",
            "dos-names",
        ],
    ),
    (&["--no-memory"], &["case-insensitive", "windows-names", "lower-case", "nfd", "list-only"]),
    (&["--staged"], &["case-insensitive", "windows-names", "short-names", "rename-no-overwrite"]),
];

/// The tree that is mirrored. Each file has bytes of its own, by which it is recognized under any name.
const TREE: [(&str, &str); 14] = [
    ("index.html", "page one"),
    ("Read Me.txt", "a blank"),
    (".htaccess", "deny from all"),
    ("caf\u{e9}.txt", "an accent"),
    ("a+b#c%d.txt", "signs"),
    ("empty.txt", ""),
    ("UPPER.TXT", "capitals"),
    ("a-name-of-more-than-thirty-two-bytes-one.txt", "long one"),
    ("CON-like.txt", "nearly a device"),
    ("Img/Logo.PNG", "a picture"),
    ("Img/back.png", "another picture"),
    ("sub/data.bin", "\u{0}\r\n\u{1}bytes"),
    ("sub/deep/x.txt", "deep"),
    ("sub/deep/y.txt", "deeper"),
];

struct Scenario {
    stand: Stand,
    way: &'static [&'static str],
    hides: bool,
}

impl Scenario {
    fn new(personality: &'static str, way: &'static [&'static str]) -> Self {
        let stand = Stand::new(personality, &[]);
        for (path, bytes) in TREE {
            stand.write(&format!("site/{path}"), bytes);
        }
        fs::create_dir(stand.here("site/Empty")).unwrap();
        Self { stand, way, hides: HIDE.contains(&personality) }
    }

    fn up(&self, further: &[&str]) -> Came {
        let url = self.stand.url("");
        let end = ["site", url.as_str()];
        self.stand.run(&[&["mirror", "--retries", "1"], self.way, further, &end].concat())
    }

    fn down(&self, further: &[&str]) -> Came {
        let url = self.stand.url("");
        let end = [url.as_str(), "copy"];
        // The state that portolan keeps on the server is not part of a copy.
        let start = ["mirror", "--retries", "1", "--exclude", ".portolan-state"];
        self.stand.run(&[&start, further, &end].concat())
    }

    /// Checks an upload: no byte of the source that was on the server is gone from it, and none is missing unless the
    /// run reported by its code that it failed, and for which file. With 0, and a run that deletes, both sides are
    /// equal.
    fn is_whole(&mut self, step: &str, before: &Bytes, came: &Came, with_delete: bool) {
        let source = files(&self.stand.here("site"));
        let after = self.stand.server_files();
        let lost: Vec<_> = lacking(&source, &after);
        let deleted: Vec<_> =
            lost.iter().filter(|path| holds(before, &source, path)).cloned().collect();
        self.stand
            .demand(deleted.is_empty(), step, || format!("deleted {deleted:?}\n{}", came.said));
        let unnamed: Vec<_> = lost.iter().filter(|path| !is_named(path, came)).collect();
        let is_told = came.code != 0 && unnamed.is_empty();
        self.stand.demand(lost.is_empty() || is_told, step, || {
            format!("exit {}, missing {lost:?}, not named {unnamed:?}\n{}", came.code, came.said)
        });
        let strange = lacking(&after, &source);
        let parts: Vec<_> = strange.iter().filter(|path| is_part(path)).collect();
        self.stand.demand(came.code != 0 || parts.is_empty(), step, || {
            format!("exit 0, and left {parts:?}\n{}", came.said)
        });
        let is_even = came.code != 0 || !with_delete || self.hides || strange.is_empty();
        self.stand.demand(is_even, step, || {
            format!("exit 0, and still there {strange:?}\n{}", came.said)
        });
        let says_why = |line: &str| line.starts_with("error: ") || line.starts_with("failed to ");
        let is_said = came.said.lines().any(says_why);
        self.stand.demand(came.code == 0 || is_said, step, || {
            format!("exit {} without a reason\n{}", came.code, came.said)
        });
    }

    /// Checks a download: no local file that the server has is gone, and with 0 both sides are equal.
    fn is_copied(&mut self, step: &str, before: &Bytes, came: &Came) {
        // The file of pending changes of a failed run is not part of the tree.
        let mut server = self.stand.server_files();
        server.retain(|_, path| !path.ends_with(".portolan-intents.part"));
        let after = files(&self.stand.here("copy"));
        let lost: Vec<_> = lacking(&server, &after);
        let deleted: Vec<_> =
            lost.iter().filter(|path| holds(before, &server, path)).cloned().collect();
        self.stand
            .demand(deleted.is_empty(), step, || format!("deleted {deleted:?}\n{}", came.said));
        self.stand.demand(came.code != 0 || self.hides || lost.is_empty(), step, || {
            format!("exit 0, missing {lost:?}\n{}", came.said)
        });
        let strange: Vec<_> = lacking(&after, &server)
            .into_iter()
            .filter(|path| !path.ends_with(".ftpquota"))
            .collect();
        self.stand.demand(came.code != 0 || self.hides || strange.is_empty(), step, || {
            format!("exit 0, and still here {strange:?}\n{}", came.said)
        });
    }

    fn uploads(&mut self) {
        let came = self.up(&[]);
        self.is_whole("first", &Bytes::new(), &came, false);
        let gets_through = came.code == 0 || MAY_FAIL.contains(&self.stand.personality());
        self.stand.demand(gets_through, "first", || format!("exit {}\n{}", came.code, came.said));
        let first_code = came.code;
        let before = self.stand.server_files();
        let came = self.up(&[]);
        self.is_whole("second", &before, &came, false);
        let is_blind = BLIND.contains(&self.stand.personality());
        self.stand.demand(is_blind || came.is_quiet() || came.code != 0, "second", || {
            format!("exit {} and not quiet\n{}", came.code, came.said)
        });
        self.stand.demand(first_code != 0 || came.code == 0, "second", || {
            format!("the first had exit 0, this has {}\n{}", came.code, came.said)
        });
        let before = self.stand.server_files();
        let came = self.up(&["--delete"]);
        self.is_whole("delete nothing", &before, &came, true);
        self.stand.demand(came.is_quiet() || came.code != 0, "delete nothing", || {
            format!("exit {} and not quiet\n{}", came.code, came.said)
        });
    }

    fn changes(&mut self) {
        let at = |path: &str| self.stand.here("site").join(path);
        fs::write(at("index.html"), "page two, longer").unwrap();
        fs::rename(at("Img/Logo.PNG"), at("Img/logo.png")).unwrap();
        fs::rename(at("Read Me.txt"), at("Read Me 2.txt")).unwrap();
        fs::remove_file(at("sub/data.bin")).unwrap();
        fs::rename(at("sub/deep"), at("sub/Deep")).unwrap();
        fs::write(at("Img/new.png"), "a third picture").unwrap();
        // The next run may do what a run left undone and reported.
        let mut was_whole = false;
        for step in ["change", "change again"] {
            let before = self.stand.server_files();
            let came = self.up(&["--delete", "--max-delete", "100"]);
            self.is_whole(step, &before, &came, true);
            self.stand.demand(!was_whole || came.is_quiet(), step, || {
                format!("exit {} and not quiet\n{}", came.code, came.said)
            });
            was_whole = came.code == 0;
        }
    }

    fn downloads(&mut self) {
        let came = self.down(&[]);
        self.is_copied("copy", &Bytes::new(), &came);
        let before = files(&self.stand.here("copy"));
        let came = self.down(&["--delete"]);
        self.is_copied("copy again", &before, &came);
        let is_quiet = came.is_quiet() || came.code != 0;
        self.stand.demand(is_quiet, "copy again", || format!("not quiet\n{}", came.said));
        let there = self.stand.server_files();
        if let Some(path) = there.get(&b"deep"[..]) {
            fs::remove_file(self.stand.there("").join(path)).unwrap();
        }
        if let Some(path) = there.get(&b"deeper"[..]) {
            fs::write(self.stand.there("").join(path), "deeper than before").unwrap();
        }
        for step in ["copy changes", "copy changes again"] {
            let before = files(&self.stand.here("copy"));
            let came = self.down(&["--delete", "--max-delete", "100"]);
            self.is_copied(step, &before, &came);
        }
    }
}

/// Returns true if `path` in `all` has bytes that `before` had too.
fn holds(before: &Bytes, all: &Bytes, path: &Path) -> bool {
    all.iter().any(|(bytes, at)| at == path && before.contains_key(bytes))
}

/// Returns true if the output of a run names a file, or a directory above it.
fn is_named(path: &Path, came: &Came) -> bool {
    let names = path.ancestors().filter_map(|part| part.file_name());
    names.into_iter().any(|name| came.said.contains(&*name.to_string_lossy()))
        // A failure of the whole run names no file.
        || !came.said.contains(" unchanged")
        || came.said.contains("\nerror: ")
}

/// Returns true if it is the name of a temporary file.
fn is_part(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy().to_lowercase();
    name.contains("portolan") || name.contains(".part") || name.contains("_part")
}

fn scenario(personality: &'static str, way: &'static [&'static str]) -> Vec<String> {
    let mut scenario = Scenario::new(personality, way);
    scenario.uploads();
    scenario.changes();
    scenario.downloads();
    let way = way.join(" ");
    scenario.stand.complaints().into_iter().map(|text| format!("[{way}] {text}")).collect()
}

/// Runs all of them concurrently; returns their failures in the order of the table.
fn all(runs: Vec<Run>) -> Vec<String> {
    let next = Mutex::new(runs.into_iter().enumerate());
    let complaints = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some((at, run)) = next.lock().unwrap().next() else { return };
                    let found = run();
                    complaints.lock().unwrap().push((at, found));
                }
            });
        }
    });
    let mut found = complaints.into_inner().unwrap();
    found.sort();
    found.into_iter().flat_map(|(_, texts)| texts).collect()
}

#[test]
fn no_server_makes_a_mirror_lose_a_file_or_say_a_false_word() {
    let only = env::var("PORTOLAN_ZOO").ok();
    let mut runs: Vec<Run> = Vec::new();
    for (way, some) in WAYS {
        for (name, ..) in Personality::ALL {
            let is_meant = some.is_empty() || some.contains(name);
            let is_wanted = only.as_ref().is_none_or(|only| only == name);
            if is_meant && is_wanted && !HOSTS.contains(name) {
                runs.push(Box::new(move || scenario(name, way)));
            }
        }
    }
    let complaints = all(runs);
    assert!(complaints.is_empty(), "{} of them:\n{complaints:#?}", complaints.len());
}

//! Cuts at random bytes, and kills at random moments: whatever happens, a final name holds the old bytes or the new.
//!
//! Each campaign prints its seed; `PORTOLAN_SEED` replays it, and `PORTOLAN_CAMPAIGN` is its number of rounds.

use std::{
    env, fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use portolan::{
    mirror::{self, MirrorOptions},
    random::SeededRng,
};
use rustix::process::Signal;

use crate::support::{
    program::Portolan,
    rehearsal::{Rehearsal, path, run},
    rounds::rounds,
    server::{Kind, Options, RealServer},
    wait::until,
};

pub(super) const OLD: &[u8] = b"old bytes";

/// The number of concurrent rounds, most of which wait for something.
const WORKERS: usize = 16;

/// The draws of a campaign, determined by its seed.
pub(super) struct Draw(SeededRng);

impl Draw {
    fn new(seed: u64) -> Self {
        Self(SeededRng::new(seed))
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0.below(end)
    }

    pub(super) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        *self.0.one_of(all).unwrap()
    }
}

/// Returns the seed that the environment names, or one that differs between runs.
fn seed() -> u64 {
    let seed = env::var("PORTOLAN_SEED").ok().and_then(|seed| seed.parse().ok());
    seed.unwrap_or_else(|| u64::from(std::process::id()))
}

/// Calls `act` for each of `all`, several at a time; the first failure ends all.
pub(super) fn each<T: Send>(all: impl Iterator<Item = T> + Send, act: impl Fn(T) + Sync) {
    let all = Mutex::new(all);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some(one) = all.lock().unwrap().next() else { return };
                    act(one);
                }
            });
        }
    });
}

/// Runs the rounds of the campaign `name`, each with a generator of its own, seeded by its number and the seed.
#[expect(clippy::print_stdout, reason = "a developer who sees a round fail wants to repeat it")]
pub(super) fn play(name: &str, rounds: usize, round: impl Fn(&mut Draw, usize) + Sync) {
    let seed = seed();
    println!("{name}: {rounds} rounds, PORTOLAN_SEED={seed}");
    each(0..rounds, |number| {
        let mut draw = Draw::new(seed.wrapping_add((number as u64) << 32));
        round(&mut draw, number);
    });
}

pub(super) fn new_bytes(number: usize, size: u64) -> Vec<u8> {
    (0..size).map(|at| u8::try_from((at + number as u64) % 251).unwrap()).collect()
}

/// Returns the number of temporary files in `folder` and below it.
pub(super) fn parts(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let count = |path: std::path::PathBuf| {
        let is_part = path.extension().is_some_and(|ending| ending == "part");
        if path.is_dir() { parts(&path) } else { usize::from(is_part) }
    };
    entries.map(count).sum()
}

#[test]
fn r1_a_download_that_is_cut_anywhere_leaves_the_old_bytes_or_all_of_the_new() {
    play("R1", rounds(500), |draw, number| {
        let size = draw.below(100_000) + 10;
        let cut = draw.below(size + 1);
        let times = draw.one_of(&[1, 2]);
        let fault = format!("{}={cut}*{times}", draw.one_of(&["drop-after", "short"]));
        let resume = draw.below(3) == 0;
        let stage = Rehearsal::start(&[&fault], false);
        let new = new_bytes(number, size);
        stage.file("in/a", &new);
        let here = tempfile::tempdir().unwrap();
        let old = (draw.below(4) > 0).then_some(OLD);
        if let Some(old) = old {
            fs::write(here.path().join("a"), old).unwrap();
        }
        let report = run(async {
            let mut session = stage.open().await.unwrap();
            let rules = MirrorOptions { retries: 1, resume, ..MirrorOptions::default() };
            mirror::down(&mut session, None, &path("/in"), here.path(), &rules, false)
                .await
                .unwrap()
        });
        let about = format!("round {number}, {fault}, resume {resume}: {report}");
        let found = fs::read(here.path().join("a")).ok();
        let is_done = report.downloaded == 1;
        assert!(found.as_deref() == if is_done { Some(&new[..]) } else { old }, "{about}");
        assert_eq!(is_done, report.failed == 0, "{about}");
        assert!(resume && !is_done || parts(here.path()) == 0, "{about}");
    });
}

/// Reads `path` as a second client would, repeatedly until `over`: it must hold `old` or `new`.
pub(super) fn look_on(path: &Path, old: &[u8], new: &[u8], over: &AtomicBool) -> Result<(), usize> {
    let mut seen = Ok(());
    until(Duration::from_mins(2), || {
        let found = fs::read(path).unwrap_or_default();
        if found != old && found != new {
            seen = Err(found.len());
        }
        (seen.is_err() || over.load(Ordering::Relaxed)).then_some(())
    });
    seen
}

#[test]
fn r2_an_upload_that_is_cut_anywhere_leaves_the_old_bytes_or_all_of_the_new() {
    play("R2", rounds(300), |draw, number| {
        let size = draw.below(100_000) + 10;
        let (cut, at) = (draw.below(size + 1), draw.below(12) + 6);
        let fault = match draw.below(8) {
            0 => "stor-short".to_owned(),
            1 => "stor-451".to_owned(),
            2 => format!("hang-up-at={at}"),
            3 => format!("control-cut={}", draw.below(900)),
            4 => "lost-reply=RNTO".to_owned(),
            5 => "hang-up-after=STOR".to_owned(),
            _ => format!("stor-drop={cut}"),
        };
        let fault = format!("{fault}*{}", draw.one_of(&[1, 2]));
        let mut stage = Rehearsal::start(&[&fault], false);
        stage.site.reply_timeout = Duration::from_millis(300);
        let new = new_bytes(number, size);
        stage.file("in/a", OLD);
        let here = tempfile::tempdir().unwrap();
        fs::write(here.path().join("a"), &new).unwrap();
        let (there, over) = (stage.root().join("in/a"), AtomicBool::new(false));
        let (report, seen) = thread::scope(|scope| {
            let looking = scope.spawn(|| look_on(&there, OLD, &new, &over));
            let report = run(async {
                let mut session = stage.open().await?;
                let resume = number % 3 == 0;
                let rules = MirrorOptions { retries: 1, resume, ..MirrorOptions::default() };
                mirror::up(&mut session, None, here.path(), &path("/in"), &rules, false).await
            });
            over.store(true, Ordering::Relaxed);
            (report, looking.join().unwrap())
        });
        let about = format!("round {number}, {fault}: {report:?}");
        assert_eq!(seen, Ok(()), "a second client saw other bytes: {about}");
        let found = fs::read(&there).ok();
        let is_new = found.as_deref() == Some(&new[..]);
        assert!(is_new || found.as_deref() == Some(OLD), "{about}");
        if let Ok(report) = report {
            assert!(is_new || report.failed > 0, "{about}");
        }
    });
}

/// The entries of a directory, and its listing in four formats.
type Listed = (&'static [&'static str], [&'static str; 4]);

const LISTED: [Listed; 3] = [
    (
        &["a", "b", "c"],
        [
            "type=cdir; .\r\ntype=file;size=1;modify=20200101000000; a\r\n\
             type=file;size=1;modify=20200101000000; b\r\ntype=file;size=1;modify=20200101000000; c\r\n",
            "-rw-r--r-- 1 u g 1 Jan 01  2020 a\r\n-rw-r--r-- 1 u g 1 Jan 01  2020 b\r\n\
             -rw-r--r-- 1 u g 1 Jan 01  2020 c\r\n",
            "01-01-20  12:00AM  1 a\r\n01-01-20  12:00AM  1 b\r\n01-01-20  12:00AM  1 c\r\n",
            "+m1577836800,r,s1,\ta\r\n+m1577836800,r,s1,\tb\r\n+m1577836800,r,s1,\tc\r\n",
        ],
    ),
    (
        &["a", "d/x", "z"],
        [
            "type=file;size=1;modify=20200101000000; a\r\ntype=dir; d\r\ntype=cdir; .\r\n\
             type=file;size=1;modify=20200101000000; z\r\n",
            "total 3\r\n-rw-r--r-- 1 u g 1 Jan 01  2020 a\r\ndrwxr-xr-x 2 u g 9 Jan 01  2020 d\r\n\
             -rw-r--r-- 1 u g 1 Jan 01  2020 z\r\n",
            "01-01-20  12:00AM  1 a\r\n01-01-20  12:00AM  <DIR>  d\r\n01-01-20  12:00AM  1 z\r\n",
            "+m1577836800,r,s1,\ta\r\n+/,\td\r\n+m1577836800,r,s1,\tz\r\n",
        ],
    ),
    (
        &[".hidden", "a b", "ab", "e/x", "e/y"],
        [
            "type=cdir; .\r\ntype=file;size=1;modify=20200101000000; .hidden\r\n\
             type=file;size=1;modify=20200101000000; a b\r\n\
             type=file;size=1;modify=20200101000000; ab\r\ntype=dir; e\r\n",
            "drwxr-xr-x 2 u g 9 Jan 01  2020 .\r\n-rw-r--r-- 1 u g 1 Jan 01  2020 .hidden\r\n\
             -rw-r--r-- 1 u g 1 Jan 01  2020 a b\r\n-rw-r--r-- 1 u g 1 Jan 01  2020 ab\r\n\
             drwxr-xr-x 2 u g 9 Jan 01  2020 e\r\n",
            "01-01-20  12:00AM  1 .hidden\r\n01-01-20  12:00AM  1 a b\r\n01-01-20  12:00AM  1 ab\r\n\
             01-01-20  12:00AM  <DIR>  e\r\n",
            "+m1577836800,r,s1,\t.hidden\r\n+m1577836800,r,s1,\ta b\r\n+m1577836800,r,s1,\tab\r\n+/,\te\r\n",
        ],
    ),
];

#[test]
fn r4_no_file_goes_on_the_word_of_a_listing_that_was_cut_at_any_byte() {
    let mut cuts = Vec::new();
    for (files, formats) in LISTED {
        for (number, listing) in formats.into_iter().enumerate() {
            // The whole listing first: it must be accepted, except for the format that never is.
            cuts.extend(
                (0..=listing.len())
                    .map(|end| (files, number, listing.get(..end).unwrap(), end < listing.len())),
            );
        }
    }
    println!("R4: {} listings", cuts.len());
    each(cuts.into_iter(), |(files, format, listing, is_cut)| {
        let text = listing.replace('\r', "\\r").replace('\n', "\\n").replace('\t', "\\t");
        let fault = format!("listing={text}\\c@/in*1");
        let plans = if format == 0 { vec![&*fault] } else { vec!["no-mlsd", "no-mlst", &fault] };
        let stage = Rehearsal::start(&plans, false);
        let here = tempfile::tempdir().unwrap();
        for file in files {
            stage.file(&format!("in/{file}"), "x");
            let path = here.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        fs::write(here.path().join("gone"), "x").unwrap();
        let report = run(async {
            let mut session = stage.open().await.unwrap();
            let rules = MirrorOptions { delete: true, retries: 0, ..MirrorOptions::default() };
            mirror::down(&mut session, None, &path("/in"), here.path(), &rules, false).await
        });
        for file in files {
            let about = format!("{file}, format {format}, {listing:?}: {report:?}");
            assert!(here.path().join(file).exists(), "{about}");
        }
        if !is_cut && format < 3 {
            assert!(!here.path().join("gone").exists(), "{format} {listing:?}: {report:?}");
        }
    });
}

/// The options of a mirror, each of which leaves other files when it is killed. (A first run with its state on the
/// server deletes nothing, so deletions would take one run more.)
const WAYS: [&[&str]; 4] = [&[], &["--staged"], &["--resume"], &["--staged", "--parallel", "4"]];

/// Runs `portolan mirror` and kills it after a random time; then runs it to its end.
fn killed(draw: &mut Draw, url: &str, password: &str, here: &Path, is_up: bool) {
    let way = WAYS.get(usize::try_from(draw.below(4)).unwrap()).unwrap();
    let sides = if is_up { ["tree", url] } else { [url, "tree"] };
    let program = Portolan::new().env("PORTOLAN_PASSWORD", password);
    let work = program.folder().join("tree");
    std::os::unix::fs::symlink(here, &work).unwrap();
    let program =
        program.args(["mirror", "--no-progress", "--delete"]).args(way.iter()).args(sides);
    let running = program.spawn();
    let pause = Duration::from_millis(draw.below(120));
    assert_eq!(until(pause, || None::<()>), None);
    running.signal(Signal::KILL);
    drop(running.wait().any_end().any_stdout().any_stderr().any_files());
    // As long as there is no state on the server yet, nothing is deleted.
    let runs = if way.contains(&"--state-remote") { 2 } else { 1 };
    for _ in 0..runs {
        drop(program.run().succeeds().any_stdout().any_stderr().any_files());
    }
}

fn texts(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for number in 0..100 {
        let name = format!("{}/{number}", number % 5);
        all.extend(fs::read(folder.join(&name)).ok().map(|bytes| (name, bytes)));
    }
    all
}

fn grow(folder: &Path, round: usize) {
    for number in 0..100 {
        // In each round some files change, some are gone, and the rest stays.
        let path = folder.join(format!("{}/{number}", number % 5));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match (number + round) % 10 {
            0 => drop(fs::remove_file(&path)),
            // Of another size each time: rounds follow within the second by which servers give times, and each run
            // begins with a state of its own, so the same size would look like the same file (S59).
            1..4 => fs::write(&path, format!("{number} ").repeat(200 + round)).unwrap(),
            _ if !path.exists() => fs::write(&path, format!("{number}")).unwrap(),
            _ => {}
        }
    }
}

#[test]
fn r5_a_mirror_that_is_killed_at_any_moment_is_made_good_by_the_next() {
    let seed = seed();
    println!("R5: PORTOLAN_SEED={seed}");
    let mut draw = Draw::new(seed);
    for is_up in [true, false] {
        let stage = Rehearsal::start(&[], false);
        let here = tempfile::tempdir().unwrap();
        let there = stage.root().join("in");
        fs::create_dir(&there).unwrap();
        let url = format!("ftp://tester@127.0.0.1:{}/in", stage.site.port);
        let (source, target) = if is_up { (here.path(), &*there) } else { (&*there, here.path()) };
        for round in 0..rounds(10) {
            grow(source, round);
            killed(&mut draw, &url, "open+sesame-21", here.path(), is_up);
            assert!(texts(source) == texts(target), "round {round}, up {is_up}");
            assert_eq!(parts(target) + parts(source), 0, "round {round}, up {is_up}");
        }
    }
}

#[test]
fn r5_the_same_with_vsftpd() {
    let seed = seed();
    println!("R5 with vsftpd: PORTOLAN_SEED={seed}");
    let mut draw = Draw::new(seed);
    for is_up in [true, false] {
        let Some(server) = RealServer::start(Kind::Vsftpd, &Options::default()) else { return };
        let here = tempfile::tempdir().unwrap();
        let there = server.root().join("in");
        fs::create_dir(&there).unwrap();
        server.own_all();
        let url = format!("{}/in", server.url().trim_end_matches('/'));
        let (source, target) = if is_up { (here.path(), &*there) } else { (&*there, here.path()) };
        for round in 0..rounds(5) {
            grow(source, round);
            server.own_all();
            killed(&mut draw, &url, RealServer::PASSWORD, here.path(), is_up);
            assert!(texts(source) == texts(target), "round {round}, up {is_up}");
            assert_eq!(parts(target) + parts(source), 0, "round {round}, up {is_up}");
        }
    }
}

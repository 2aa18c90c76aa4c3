//! Cuts at random bytes, and ends at random moments: whatever happens, a final name holds the old bytes or the new.
//!
//! Each campaign prints its seed; `PORTOLAN_SEED` replays it, and `PORTOLAN_CAMPAIGN=full` makes it twelve times as long.

use std::{env, fs, path::Path, time::Duration};

use portolan::mirror::{self, Rules};
use rustix::process::Signal;

use crate::support::{
    program::Portolan,
    rehearsal::{Rehearsal, path, run},
    server::{Kind, Options, RealServer},
    wait::until,
};

const OLD: &[u8] = b"old bytes";
const SIZE: u64 = 20_000;

/// Numbers that are the same for the same seed (the generator of `splitmix64`).
struct Draw(u64);

impl Draw {
    fn new() -> Self {
        let seed = env::var("PORTOLAN_SEED").ok().and_then(|seed| seed.parse().ok());
        Self(seed.unwrap_or_else(|| u64::from(std::process::id())))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

fn rounds(usual: usize) -> usize {
    let is_full = env::var("PORTOLAN_CAMPAIGN").is_ok_and(|size| size == "full");
    if is_full { 12 * usual } else { usual }
}

fn new_bytes(number: usize) -> Vec<u8> {
    (0..SIZE).map(|at| u8::try_from((at + number as u64) % 251).unwrap()).collect()
}

/// What is left under temporary names in `folder` and below it.
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
    let mut draw = Draw::new();
    println!("R1: PORTOLAN_SEED={}", draw.0);
    for number in 0..rounds(24) {
        let cut = draw.below(SIZE + 1);
        let fault = match draw.below(4) {
            0 => format!("drop-after={cut}*3"),
            1 => format!("short={cut}*3"),
            2 => format!("drop-after={cut}*1"),
            _ => format!("short={cut}*1"),
        };
        let stage = Rehearsal::start(&[&fault], false);
        let new = new_bytes(number);
        stage.file("in/a", &new);
        let here = tempfile::tempdir().unwrap();
        fs::write(here.path().join("a"), OLD).unwrap();
        let report = run(async {
            let mut session = stage.open().await.unwrap();
            let rules = Rules::default();
            mirror::down(&mut session, &path("/in"), here.path(), &rules, false).await.unwrap()
        });
        let found = fs::read(here.path().join("a")).unwrap();
        let is_done = report.downloaded == 1;
        assert!(found == if is_done { &new[..] } else { OLD }, "{fault}: {report}");
        assert_eq!((is_done, parts(here.path())), (report.failed == 0, 0), "{fault}: {report}");
    }
}

#[test]
fn r2_an_upload_that_is_cut_anywhere_leaves_the_old_bytes_or_all_of_the_new() {
    let mut draw = Draw::new();
    println!("R2: PORTOLAN_SEED={}", draw.0);
    for number in 0..rounds(24) {
        let at = draw.below(12) + 6;
        let times = [1, 3][usize::from(draw.below(2) == 0)];
        let fault = match draw.below(5) {
            0 => format!("stor-short*{times}"),
            1 => format!("stor-451*{times}"),
            2 => format!("hang-up-at={at}*{times}"),
            3 => format!("control-cut={}*{times}", draw.below(900)),
            _ => format!("lost-reply=RNTO*{times}"),
        };
        let mut stage = Rehearsal::start(&[&fault], false);
        stage.site.reply_timeout = Duration::from_millis(200);
        let new = new_bytes(number);
        stage.file("in/a", OLD);
        let here = tempfile::tempdir().unwrap();
        fs::write(here.path().join("a"), &new).unwrap();
        let report = run(async {
            let mut session = stage.open().await?;
            let rules = Rules::default();
            mirror::up(&mut session, here.path(), &path("/in"), &rules, false).await
        });
        let found = stage.bytes("in/a");
        let is_new = found.as_deref() == Some(&new[..]);
        assert!(is_new || found.as_deref() == Some(OLD), "{fault}: {report:?}");
        if let Ok(report) = report {
            assert!(is_new || report.failed > 0, "{fault}: {report}");
        }
    }
}

/// Ways to run a mirror, each of which leaves other things when it is killed.
const WAYS: [&[&str]; 5] =
    [&[], &["--staged"], &["--resume"], &["--state-remote"], &["--staged", "--parallel", "4"]];

/// Runs `portolan mirror` and kills it after a while; then runs it to its end.
fn killed(draw: &mut Draw, url: &str, password: &str, here: &Path, is_up: bool) {
    let way = WAYS.get(usize::try_from(draw.below(5)).unwrap()).unwrap();
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
    drop(program.run().succeeds().any_stdout().any_stderr().any_files());
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
        // In each round some files are others, some are gone, and the rest stays.
        let path = folder.join(format!("{}/{number}", number % 5));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match (number + round) % 10 {
            0 => drop(fs::remove_file(&path)),
            // Of another size each time: rounds follow within the second by which servers tell times, and each run
            // begins with a memory of its own, so the same size would look like the same file (S59).
            1..4 => fs::write(&path, format!("{number} ").repeat(200 + round)).unwrap(),
            _ if !path.exists() => fs::write(&path, format!("{number}")).unwrap(),
            _ => {}
        }
    }
}

#[test]
fn r5_a_mirror_that_is_killed_at_any_moment_is_made_good_by_the_next() {
    let mut draw = Draw::new();
    println!("R5: PORTOLAN_SEED={}", draw.0);
    for is_up in [true, false] {
        let stage = Rehearsal::start(&[], false);
        let here = tempfile::tempdir().unwrap();
        let there = stage.root().join("in");
        fs::create_dir(&there).unwrap();
        let url = format!("ftp://tester@127.0.0.1:{}/in", stage.site.port);
        let (source, target) = if is_up { (here.path(), &*there) } else { (&*there, here.path()) };
        for round in 0..rounds(10) {
            grow(source, round);
            killed(&mut draw, &url, "secret", here.path(), is_up);
            assert!(texts(source) == texts(target), "round {round}, up {is_up}");
            assert_eq!(parts(target) + parts(source), 0, "round {round}, up {is_up}");
        }
    }
}

#[test]
fn r5_the_same_with_vsftpd() {
    let mut draw = Draw::new();
    println!("R5 with vsftpd: PORTOLAN_SEED={}", draw.0);
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

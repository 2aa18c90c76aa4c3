//! The files that `kill -9` leaves, and their treatment in the next run.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;

use super::{campaign::parts, mirror, url};
use crate::support::{program::Portolan, rehearsal::Rehearsal, wait::until};

/// The size of a file, so that a partial one is longer than the part that is compared before it is resumed.
const SIZE: usize = 300_000;
const TIME_MAX: Duration = Duration::from_mins(1);
/// Names of other programs, other hosts and old files.
const FOREIGN: [&str; 4] = [
    ".portolan-0123456789abcdef.part",
    ".portolan-0123456789abcdef0123456789abcdef.part",
    ".portolan-0123456789abcdef-ffffffff00000000.part",
    ".in.film.part",
];

fn bytes(seed: usize) -> Vec<u8> {
    (0..SIZE).map(|at| u8::try_from((at * 7 + seed) % 251).unwrap()).collect()
}

/// Returns a temporary file below `folder` that is not among the foreign ones and has at least `size` bytes.
fn part(folder: &Path, size: u64) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.map(|entry| entry.unwrap().path());
    entries.into_iter().find_map(|path| {
        let about = fs::symlink_metadata(&path).ok()?;
        let name = path.file_name()?.to_str()?;
        if about.is_dir() {
            return part(&path, size);
        }
        let is_it = name.starts_with(".portolan-") && path.extension()? == "part";
        (is_it && !FOREIGN.contains(&name) && about.len() >= size).then_some(path)
    })
}

/// Runs `program` until there is a partial file of at least `size` bytes below `target`, and kills it.
fn kill_at(program: &Portolan, target: &Path, size: u64) {
    let running = program.spawn();
    assert!(until(TIME_MAX, || part(target, size)).is_some(), "no part came");
    running.signal(Signal::KILL);
    let ran = running.wait().any_end().any_stdout().any_stderr().any_files();
    assert!(ran.was_killed());
    drop(ran);
    assert!(part(target, size).is_some());
}

struct Scene {
    stage: Rehearsal,
    program: Portolan,
    source: PathBuf,
    target: PathBuf,
}

/// Prepares three files to send or fetch, at a rate limit by which they take a second and a half each.
fn scene(is_up: bool, options: &[&str]) -> Scene {
    let stage = Rehearsal::start(&["slow=200000"], false);
    let program = mirror(&stage);
    let here = program.folder().join("tree");
    fs::create_dir_all(&here).unwrap();
    let there = stage.root().join("in");
    let (source, target) = if is_up { (here, there) } else { (there, here) };
    for (seed, name) in ["a", "sub/b", "sub/c"].iter().enumerate() {
        fs::create_dir_all(source.join("sub")).unwrap();
        fs::write(source.join(name), bytes(seed)).unwrap();
    }
    let address = url(&stage);
    let sides = if is_up { ["tree", &address] } else { [&address, "tree"] };
    let program = program.args(options.iter().copied()).args(sides);
    Scene { stage, program, source, target }
}

fn assert_whole(scene: &Scene) {
    for (seed, name) in ["a", "sub/b", "sub/c"].iter().enumerate() {
        assert!(fs::read(scene.target.join(name)).unwrap() == bytes(seed), "{name}");
    }
}

#[test]
fn what_a_killed_run_leaves_is_gone_after_the_next_and_what_others_left_stays() {
    for is_up in [true, false] {
        for options in [&["--delete"][..], &["--staged"], &["--state-remote"], &["--parallel", "2"]]
        {
            let scene = scene(is_up, options);
            for name in FOREIGN {
                fs::write(scene.target.join(name), "foreign").unwrap();
            }
            // A foreign file that ends with `.part` is a file like any other to `--delete`.
            let kept = if options == ["--delete"] { &FOREIGN[..3] } else { &FOREIGN[..] };
            kill_at(&scene.program, &scene.target, 1000);
            let dry = scene.program.clone_with(["--dry-run"]);
            drop(dry.run().succeeds().any_stderr().stdout_has("(left by a run that was cut off)"));
            assert!(part(&scene.target, 1000).is_some());
            drop(scene.program.run().succeeds().any_stdout().any_stderr().any_files());
            assert_whole(&scene);
            assert_eq!(part(&scene.target, 0), None, "{is_up} {options:?}");
            for name in kept {
                assert_eq!(fs::read(scene.target.join(name)).unwrap(), b"foreign", "{name}");
            }
            assert_eq!(parts(&scene.target), kept.len());
            assert_eq!(parts(&scene.source), 0);
        }
    }
}

#[test]
fn a_part_that_can_be_taken_up_is_and_one_of_an_older_state_of_the_file_goes() {
    for is_up in [true, false] {
        for is_changed in [false, true] {
            let scene = scene(is_up, &["--resume", "--parallel", "1"]);
            kill_at(&scene.program, &scene.target, 100_000);
            if is_changed {
                let path = scene.source.join("a");
                let time = fs::metadata(&path).unwrap().modified().unwrap();
                let file = fs::File::options().write(true).open(&path).unwrap();
                file.set_modified(time - Duration::from_mins(1)).unwrap();
            }
            drop(scene.program.run().succeeds().any_stdout().any_stderr().any_files());
            assert_whole(&scene);
            let verb = if is_up { " > APPE " } else { " > REST " };
            let is_resumed = scene.stage.server.log().iter().any(|line| line.contains(verb));
            assert_eq!(is_resumed, !is_changed, "{is_up} {is_changed}");
            assert_eq!(parts(&scene.target), 0, "{is_up} {is_changed}");
        }
    }
}

#[test]
fn what_a_live_run_needs_is_left_to_it() {
    let scene = scene(true, &[]);
    let running = scene.program.spawn();
    assert!(until(TIME_MAX, || part(&scene.target, 1000)).is_some(), "no part came");
    // The same mirror from the same directory a second time, which finds partial files of the first.
    drop(scene.program.run().succeeds().any_stdout().any_stderr().any_files());
    drop(running.wait().succeeds().any_stdout().any_stderr().any_files());
    assert_whole(&scene);
    assert_eq!(parts(&scene.target), 0);
}

//! Large trees: their memory usage. `PORTOLAN_SCALE` is the number of files, twenty to a directory; 200,000 is the size
//! for which 256 MiB are promised.

use std::{env, fs, time::Duration};

use super::{mirror, url};
use crate::support::{program::Running, rehearsal::Rehearsal, wait::until};

const FILES: usize = 10_000;
const FILES_A_FOLDER: usize = 20;
/// The memory of the program itself, and other memory that does not grow with the tree: two thirds are the code of an
/// unoptimized build.
const FLAT_BYTES: usize = 56 << 20;
/// The memory for each file: both trees, the state of the last run, and the plan.
const FILE_BYTES: usize = ((256 << 20) - FLAT_BYTES) / 200_000;

/// Returns the peak memory of the program, once it has ended.
fn peak(running: &Running) -> usize {
    let path = format!("/proc/{}/status", running.id());
    let mut peak = 0;
    until(Duration::from_mins(10), || {
        let status = fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let Some(line) = line else { return Some(()) };
        let kibibytes: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
        peak = kibibytes * 1024;
        None
    });
    peak
}

#[test]
fn a_tree_is_planned_and_found_unchanged_within_its_memory() {
    let files = env::var("PORTOLAN_SCALE").map_or(FILES, |files| files.parse().unwrap());
    let stage = Rehearsal::start(&[], false);
    let here = tempfile::tempdir().unwrap();
    for number in 0..files {
        let folder = number / FILES_A_FOLDER;
        let name =
            format!("group {:03}/folder {folder:06}/file number {number:07}.txt", folder % 100);
        stage.file(&format!("in/{name}"), "");
        let path = here.path().join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // The same size and time on both sides.
        fs::hard_link(stage.root().join("in").join(&name), path).unwrap();
    }
    let most = FLAT_BYTES + files * FILE_BYTES;
    let (local, there) = (here.path().to_str().unwrap(), url(&stage));
    for (name, sides) in [("down", [&*there, local]), ("up", [local, &*there])] {
        let program = mirror(&stage).args(["--delete", "--parallel", "2"]).args(sides);
        for memory in ["none yet", "of the last run"] {
            let running = program.spawn();
            let peak = peak(&running);
            let unchanged = format!("0 up, 0 down, 0 deleted, {files} unchanged, 0 failed\n");
            drop(running.wait().succeeds().any_stderr().any_files().stdout(&unchanged));
            let about = format!("{files} files {name}, memory {memory}: {} MiB", peak >> 20);
            println!("{about}");
            assert!(peak > 0 && peak <= most, "{about}, more than {} MiB", most >> 20);
        }
    }
}

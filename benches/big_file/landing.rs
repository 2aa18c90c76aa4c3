//! The cost of flushing a downloaded file to disk, and not only to memory, before it gets its final name.

use std::{
    fs,
    io::Write,
    time::{Duration, Instant},
};

use portolan::files::AtomicFile;
use tempfile::TempDir;

const SMALL_FILES: usize = 1000;
const SMALL_BYTES: usize = 4096;

/// Compares one large file and many small ones, saved as downloads are, with plain writes and renames.
pub(crate) fn compare(scratch: &TempDir, bytes: u64) {
    println!("{:<28} {:>10} {:>12}", "on the disk", "landed", "renamed only");
    let (block, small) = (vec![7; 256 * 1024], vec![7; SMALL_BYTES]);
    let blocks = usize::try_from(bytes).unwrap() / block.len();
    for (words, files, blocks, block) in [
        (format!("one of {} MiB, s", bytes >> 20), 1, blocks, &block),
        (format!("{SMALL_FILES} of {SMALL_BYTES} bytes, s"), SMALL_FILES, 1, &small),
    ] {
        let landed = time(scratch, files, |path| {
            let mut landing = AtomicFile::begin(path).unwrap();
            (0..blocks).for_each(|_| landing.write_all(block).unwrap());
            landing.commit(None).unwrap();
        });
        let renamed = time(scratch, files, |path| {
            let beside = path.with_extension("part");
            let mut file = fs::File::create(&beside).unwrap();
            (0..blocks).for_each(|_| file.write_all(block).unwrap());
            fs::rename(beside, path).unwrap();
        });
        println!("{words:<28} {:>10.2} {:>12.2}", landed.as_secs_f64(), renamed.as_secs_f64());
    }
}

fn time(scratch: &TempDir, files: usize, write: impl Fn(&std::path::Path)) -> Duration {
    let folder = scratch.path().join("landing");
    fs::create_dir(&folder).unwrap();
    let started = Instant::now();
    for number in 0..files {
        write(&folder.join(number.to_string()));
    }
    let took = started.elapsed();
    fs::remove_dir_all(folder).unwrap();
    took
}

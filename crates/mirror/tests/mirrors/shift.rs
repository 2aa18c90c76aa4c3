//! Servers that list their local time, and whose clock was set between two runs: no file changed by that.

use std::{path::Path, time::Duration};

use futures_util::future::join_all;

use super::{MirrorFixture, MirrorOptions, age, assert_same, fs, write};

/// LIST only, and no times of single files.
const LISTS: [&str; 3] = ["no-mlsd", "no-mlst", "reply=MDTM:502 No."];
const FILES: usize = 20;

fn name(number: usize) -> String {
    format!("{}/file {number}", number % 3)
}

/// Creates files of different ages and sizes.
fn furnish(folder: &Path) {
    for number in 0..FILES {
        write(folder, name(number), vec![b'x'; number]);
        age(&folder.join(name(number)), 3600 + 7 * 60 * i64::try_from(number).unwrap());
    }
}

/// Moves all times of `folder` by `minutes`, as a listing in another zone would show them.
fn set(folder: &Path, minutes: i64) {
    for number in 0..FILES {
        let file = fs::File::open(folder.join(name(number))).unwrap();
        let time = file.metadata().unwrap().modified().unwrap();
        let by = Duration::from_secs(minutes.unsigned_abs() * 60);
        file.set_modified(if minutes < 0 { time - by } else { time + by }).unwrap();
    }
}

async fn run(bench: &MirrorFixture, is_up: bool) -> (u64, u64, u64) {
    let rules = MirrorOptions::default();
    let report = if is_up { bench.up(&rules).await } else { bench.down(&rules).await }.unwrap();
    assert_eq!(report.drift, [""; 0]);
    (report.uploaded + report.downloaded, report.unchanged, report.failed)
}

#[tokio::test]
async fn times_that_all_moved_by_the_same_change_no_file() {
    let shifts = [60, -60, 30, -30, 45, 120, 14 * 60];
    join_all(shifts.into_iter().flat_map(|minutes| [(minutes, true), (minutes, false)]).map(
        async |(minutes, is_up)| {
            let bench = MirrorFixture::new(&LISTS).remembering();
            furnish(&if is_up { bench.here() } else { bench.there() });
            run(&bench, is_up).await;
            run(&bench, is_up).await;
            set(&bench.there(), minutes);
            let about = format!("{minutes} {is_up}");
            assert_eq!(run(&bench, is_up).await, (0, FILES as u64, 0), "{about}");
            // The state has the new times, so no content is read for them.
            let read = bench.count("RETR");
            assert_eq!(run(&bench, is_up).await, (0, FILES as u64, 0), "{about}");
            assert_eq!(bench.count("RETR"), read, "{about}");
        },
    ))
    .await;
}

#[tokio::test]
async fn files_that_changed_besides_are_fetched_and_no_others() {
    let bench = MirrorFixture::new(&LISTS).remembering();
    furnish(&bench.there());
    run(&bench, false).await;
    set(&bench.there(), -60);
    for number in [3, 8] {
        fs::write(bench.there().join(name(number)), vec![b'y'; number]).unwrap();
        age(&bench.there().join(name(number)), 17);
    }
    fs::write(bench.there().join(name(5)), "of another size").unwrap();
    write(&bench.there(), "new", "new");
    assert_eq!(run(&bench, false).await, (4, FILES as u64 - 3, 0));
    assert_same(&bench.there(), &bench.here());
}

#[tokio::test]
async fn times_that_moved_otherwise_are_those_of_changes() {
    for (minutes, is_all) in [(17, true), (60, false)] {
        let bench = MirrorFixture::new(&LISTS).remembering();
        furnish(&bench.there());
        run(&bench, false).await;
        let first = bench.there().join(name(0));
        let time = fs::metadata(&first).unwrap().modified().unwrap();
        set(&bench.there(), minutes);
        if !is_all {
            // One that kept its time shows that the clock did too.
            fs::File::open(&first).unwrap().set_modified(time).unwrap();
        }
        let fetched = FILES as u64 - u64::from(!is_all);
        assert_eq!(run(&bench, false).await.0, fetched, "{minutes}");
    }
}

#[tokio::test]
async fn files_that_are_written_anew_each_hour_are_fetched_each_hour() {
    for count in [1, FILES] {
        let bench = MirrorFixture::new(&LISTS).remembering();
        let all = |letter: u8, ago_s: i64| {
            for number in 0..count {
                write(&bench.there(), name(number), vec![letter; 100]);
                age(&bench.there().join(name(number)), ago_s);
            }
        };
        all(b'a', 2 * 3600);
        run(&bench, false).await;
        all(b'a', 3600);
        // Only one of them has other bytes.
        fs::write(bench.there().join(name(count / 2)), [b'b'; 100]).unwrap();
        age(&bench.there().join(name(count / 2)), 3600);
        run(&bench, false).await;
        let text = fs::read(bench.here().join(name(count / 2))).unwrap();
        assert_eq!(text, [b'b'; 100], "{count}");
    }
}

//! Limits on the transferred bytes, whatever sizes the server reports.

use std::fs;

use super::{portolan, script, url};
use crate::support::rehearsal::Rehearsal;

/// The faults of servers that report no size: neither in listings nor by SIZE.
const SIZELESS: &[&str] = &[
    "no-size",
    "no-mlst",
    "listing=type=file;modify=20260101000000; a\\r\\ntype=file;modify=20260101000000; b\\r\\n\
     type=file;modify=20260101000000; c\\r\\n",
];

fn sizeless() -> Rehearsal {
    let stage = Rehearsal::start(SIZELESS, false);
    for name in ["a", "b", "c"] {
        stage.file(name, vec![7; 700_000]);
    }
    stage
}

fn bytes_in(folder: &std::path::Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn max_total_holds_where_no_size_is_told() {
    for extra in [&[][..], &["--parallel", "3"], &["--staged"], &["--resume"]] {
        let stage = sizeless();
        let program = portolan().file("out/x", "").args(["mirror", "--max-total", "1MiB"]);
        let ran = program.args(extra).args([&url(&stage, ""), "out"]).run().any_stdout();
        let ran = ran.fails_with(6).any_files().stderr_has("`max_total`, which is 1048576");
        assert!(bytes_in(&ran.folder().join("out")) <= 1_048_576, "{extra:?}");
    }
}

#[test]
fn what_fits_comes_and_what_is_tried_again_counts_once() {
    let mut faults = SIZELESS.to_vec();
    faults.push("retr-426*2");
    let stage = Rehearsal::start(&faults, false);
    for name in ["a", "b", "c"] {
        stage.file(name, vec![7; 300_000]);
    }
    let program = portolan().file("out/x", "").args(["mirror", "--max-total", "900000"]);
    let ran = program.args([&url(&stage, ""), "out"]).run().any_stderr().any_stdout().any_files();
    assert_eq!(bytes_in(&ran.folder().join("out")), 900_000);
}

#[test]
fn sizes_whose_sum_is_no_number_are_more_than_may_move() {
    for sizes in [
        ["9223372036854775808", "9223372036854775808"],
        ["18446744073709551615", "2"],
        ["18446744073709551615", "18446744073709551615"],
    ] {
        let lines = sizes.iter().zip(["a", "b"]).map(|(size, name)| {
            format!("type=file;size={size};modify=20260101000000; {name}\\r\\n")
        });
        let listing = format!("listing={}", lines.collect::<String>());
        let stage = Rehearsal::start(&[&listing], false);
        for limit in [&["--max-total", "1MiB"][..], &["--min-free", "1"]] {
            let program = portolan().file("out/x", "").args(["mirror"]).args(limit);
            let ran = program.args([&url(&stage, ""), "out"]).run().fails_with(7).any_stdout();
            drop(ran.stderr_has("nothing was changed"));
        }
        let program = portolan().file("out/x", "").args(["mirror", "--dry-run"]);
        drop(program.args([&url(&stage, ""), "out"]).run().any_stdout().any_stderr());
    }
}

#[test]
fn min_free_holds_where_no_size_is_told() {
    let stage = sizeless();
    let program = portolan().file("out/x", "").args(["mirror", "--min-free", "1000TiB"]);
    let ran = program.args([&url(&stage, ""), "out"]).run().any_end().any_stdout().any_files();
    let ran = ran.stderr_has("`min_free` is");
    assert_eq!(bytes_in(&ran.folder().join("out")), 0);
}

#[test]
fn an_option_that_cannot_be_meant_is_refused() {
    let stage = Rehearsal::start(&[], false);
    for (text, why) in [
        ("site.get(\"/f\", \"f\", #{ inplace: true });", "`inplace` is for uploads"),
        ("site.put(\"f\", \"/f\", #{ inplace: \"often\" });", "`inplace` wants true, false or"),
        ("site.put(\"f\", \"/f\", #{ retries: 99 });", "`retries` wants a whole number"),
        ("site.put(\"f\", \"/f\", #{ verify: 1 });", "`verify` wants true or false"),
        ("ftp::connect(\"ftp://h\", #{ min_rate: \"fast\" });", "`min_rate` wants a size"),
        ("ftp::connect(\"ftp://h\", #{ inplace: 1 });", "`inplace` wants true, false or"),
    ] {
        let ran = portolan().file("f", "x").script(&script(&stage, text)).run().any_end();
        drop(ran.any_stdout().stderr_has(why));
    }
}

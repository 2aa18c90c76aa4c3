//! Files that change on the server during a download: a final name never holds a mixture after a success.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use super::{portolan, script, url};
use crate::support::rehearsal::Rehearsal;

/// Returns bytes in which no two parts are alike.
fn content(length: usize) -> Vec<u8> {
    let numbers = (0_u32..).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes());
    numbers.take(length).collect()
}

fn turned(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

/// The commands that download the file `f` of the directory `in` into the directory `out`.
const WAYS: [&[&str]; 6] = [
    &["get", "{file}", "out/f"],
    &["get", "--resume", "{file}", "out/f"],
    &["get", "--parallel", "2", "{file}", "out/f"],
    &["mirror", "{folder}", "out"],
    &["mirror", "--staged", "{folder}", "out"],
    &["mirror", "--resume", "{folder}", "out"],
];

fn filled(stage: &Rehearsal, way: &[&str]) -> Vec<String> {
    let (file, folder) = (url(stage, "in/f"), url(stage, "in"));
    way.iter().map(|word| word.replace("{file}", &file).replace("{folder}", &folder)).collect()
}

#[test]
fn a_file_rewritten_under_a_download_comes_whole_in_the_end() {
    for faults in [&["rewritten*1"][..], &["rewritten*1", "no-mlsd", "no-mlst"]] {
        for (size, is_old) in [(9, true), (70_000, true), (3_000_000, false)] {
            for way in WAYS {
                let stage = Rehearsal::start(faults, false);
                stage.file("in/f", content(size));
                if is_old {
                    // Listings without seconds do not show changes within one minute.
                    let file = fs::File::open(stage.root().join("in/f")).unwrap();
                    file.set_modified(
                        SystemTime::from(jiff::Timestamp::now()) - Duration::from_hours(30),
                    )
                    .unwrap();
                }
                let program = portolan().file("out/x", "").args(filled(&stage, way));
                let ran = program.run().any_stderr().any_stdout().any_files();
                let got = fs::read(ran.folder().join("out/f")).unwrap();
                assert!(got == turned(&content(size)), "{faults:?} {size} {way:?}");
                assert_eq!(fs::read_dir(ran.folder().join("out")).unwrap().count(), 2);
            }
        }
    }
}

#[test]
fn a_file_that_is_rewritten_again_and_again_is_no_success() {
    for way in WAYS {
        let stage = Rehearsal::start(&["rewritten"], false);
        stage.file("in/f", content(2_500_000));
        let program = portolan().file("out/f", "old").file("out/x", "").args(filled(&stage, way));
        let code = if way[0] == "get" { 4 } else { 6 };
        let ran = program.run().fails_with(code).any_stdout().any_files();
        let mut ran = ran.stderr_has("it was changed on the server while it was fetched");
        if way[0] == "get" {
            ran = ran.stderr_has("hint: something writes to this file");
        }
        assert_eq!(fs::read(ran.folder().join("out/f")).unwrap(), b"old", "{way:?}");
    }
}

#[test]
fn a_script_reads_one_version_of_a_file() {
    for (text, size) in [
        ("print(site.read_blob(\"/f\").len()); site.read_blob(\"/f\")", 50_000),
        ("site.get(\"/f\", \"f\"); local::read_blob(\"f\")", 50_000),
        ("site.mirror_down(\"/\", \"out\"); local::read_blob(\"out/f\")", 300_000),
    ] {
        let stage = Rehearsal::start(&["rewritten*1"], false);
        stage.file("f", vec![0; size]);
        let text = format!(
            "let bytes = {{ {text} }}; for b in bytes {{ if b.to_int() != 255 {{ fail(\"a mixture\"); }} }}"
        );
        let text = text.replace("for b in bytes", "for b in bytes.extract(0, 2000)");
        let program = portolan().script(&script(&stage, &text));
        drop(program.run().any_stderr().any_stdout().any_files());
    }
}

//! Local names that are the same name on the server: no file is lost silently, and each such name is reported in every
//! run. A name that the server changes, and that belongs to no other file there, is no failure.

use std::collections::BTreeSet;

use super::stand::{Stand, files};

/// A server, and names that it merges.
const MERGED: [(&str, &[&str], &[&str]); 7] = [
    (
        "short-names",
        &[],
        &[
            "a-name-of-more-than-thirty-two-bytes-one.txt",
            "a-name-of-more-than-thirty-two-bytes-two.txt",
        ],
    ),
    ("dos-names", &[], &["quarterly-1.txt", "quarterly-2.txt", "quarterly-3.text"]),
    ("list-only", &["cut-names=10"], &["photo-2026-01.jpg", "photo-2026-02.jpg"]),
    ("replaces-characters", &[], &["\u{4f60}.txt", "\u{597d}.txt"]),
    ("case-insensitive", &["drop-query"], &["page.php?a=1", "page.php?b=22"]),
    ("lower-case", &["drop-query"], &["page.php", "page.php?b"]),
    ("list-only", &["cut-names=12"], &["a folder of that/x.txt", "a folder of this/y.txt"]),
];

/// A server, and a name that it changes.
const CHANGED: [(&str, &[&str], &str); 5] = [
    ("short-names", &[], "a-name-of-more-than-thirty-two-bytes-one.txt"),
    ("dos-names", &[], "quarterly report.html"),
    ("replaces-characters", &[], "\u{4f60}\u{597d} #1.txt"),
    ("case-insensitive", &["drop-query"], "page.php?a=1"),
    ("windows-names", &[], "what: when?.txt"),
];

const WAYS: [&[&str]; 4] = [&[], &["--staged"], &["--parallel", "1"], &["--no-memory"]];

#[test]
fn names_that_are_one_on_the_server_are_refused_by_name_in_every_run() {
    for (server, faults, names) in MERGED {
        for way in WAYS {
            for further in [&[][..], &["--delete"]] {
                let stand = Stand::new(server, faults);
                for (number, name) in names.iter().enumerate() {
                    stand.write(&format!("site/{name}"), format!("number {number}"));
                }
                stand.write("site/other.txt", "plain");
                for run in 0..3 {
                    let url = stand.url("");
                    let args = [&["mirror", "--retries", "2"], way, further, &["site", &url]];
                    let came = stand.run(&args.concat());
                    let what =
                        format!("{server} {args:?} run {run}: exit {}\n{}", came.code, came.said);
                    assert_eq!(came.code, 6, "{what}");
                    let there: BTreeSet<_> = stand.server_files().into_keys().collect();
                    for (number, name) in names.iter().enumerate() {
                        let top = name.split('/').next().unwrap();
                        let error = came
                            .said
                            .lines()
                            .any(|line| line.contains(top) && line.contains(" name"));
                        let is_there = there.contains(format!("number {number}").as_bytes());
                        assert!(is_there || error, "{name}: {what}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_name_that_the_server_changes_is_sent_once_and_stays() {
    for (server, faults, name) in CHANGED {
        for way in WAYS {
            let stand = Stand::new(server, faults);
            stand.write(&format!("site/{name}"), "bytes of it");
            stand.write("site/dir/other.txt", "more bytes");
            for run in 0..3 {
                let url = stand.url("");
                let args = [&["mirror", "--delete", "--retries", "2"], way, &["site", &url]];
                let came = stand.run(&args.concat());
                let what =
                    format!("{server} {args:?} run {run}: exit {}\n{}", came.code, came.said);
                assert_eq!(came.code, 0, "{what}");
                assert!(run == 0 || came.is_quiet(), "{what}");
                assert!(files(&stand.there("")).contains_key(&b"bytes of it"[..]), "{what}");
            }
        }
    }
}

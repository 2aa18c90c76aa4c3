//! Servers that shorten names: files that are sent at the same time, and that all have the same size, each have their
//! own bytes in the end, and no temporary file is left.

use super::stand::Stand;

/// A server, and its further faults.
const SERVERS: [(&str, &[&str]); 6] = [
    ("dos-names", &[]),
    ("dos-names", &["reply=size:502"]),
    ("dos-names", &["reply=size:502", "reply=mlsd:502", "reply=mlst:502", "reply=mdtm:502"]),
    ("short-names", &[]),
    ("short-names", &["reply=size:550"]),
    ("list-only", &["cut-names=24"]),
];

/// The commands, each of which sends all files.
const WAYS: [&[&str]; 3] =
    [&["--parallel", "6"], &["--parallel", "2", "--staged"], &["--no-memory", "--parallel", "4"]];

#[test]
fn files_that_are_sent_together_keep_their_own_bytes_where_names_are_shortened() {
    for (server, faults) in SERVERS {
        for way in WAYS {
            let stand = Stand::new(server, faults);
            let name = |number: u32| format!("F{number}.TXT");
            let bytes = |number: u32| format!("bytes of file {number:04}").into_bytes();
            for number in 0..40 {
                stand.write(&format!("site/{}", name(number)), bytes(number));
            }
            let url = stand.url("");
            let came = stand.run(&[&["mirror"], way, &["site", &url]].concat());
            let what = format!("{server} {faults:?} {way:?}: exit {}\n{}", came.code, came.said);
            assert_eq!(came.code, 0, "{what}");
            let there = stand.server_files();
            assert_eq!(there.len(), 40, "{what}");
            for number in 0..40 {
                let path = there.get(&bytes(number)).unwrap_or_else(|| panic!("{number}: {what}"));
                assert_eq!(path.to_str().unwrap(), name(number), "{what}");
            }
            let left = std::fs::read_dir(stand.there("")).unwrap().count();
            assert_eq!(left, 40, "{what}");
        }
    }
}

#[test]
fn one_file_after_the_other_is_put_where_names_are_shortened() {
    for (server, faults) in SERVERS {
        let stand = Stand::new(server, faults);
        for (round, bytes) in ["one", "two"].into_iter().enumerate() {
            stand.write("up", bytes);
            let before = stand.commands("STOR ");
            let came = stand.run(&["put", "up", &stand.url("NAME.TXT")]);
            // Once that is known of a server, no file is sent twice.
            let sent = stand.commands("STOR ") - before;
            assert_eq!(sent, 2 - round, "{server} {faults:?} {round}: {}", came.said);
            assert_eq!(came.code, 0, "{server} {faults:?} {round}: {}", came.said);
            let there = std::fs::read(stand.there("NAME.TXT")).unwrap();
            assert_eq!(there, bytes.as_bytes());
            assert_eq!(std::fs::read_dir(stand.there("")).unwrap().count(), 1, "{}", came.said);
        }
    }
}

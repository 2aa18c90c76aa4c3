//! Listings that cannot be parsed, or only in part: on the command line and in scripts.

use crate::support::{
    program::{Portolan, Ran},
    rehearsal::Rehearsal,
};

const GOOD: &str = "-rw-r--r--   1 u g 3 Jan 02  2025 a.txt";

/// Runs `script` against a server without MLSD and MLST whose listings are `lines`.
fn rehearse(script: &str, lines: &[&str], faults: &[&str]) -> Ran {
    let listing: String = lines.iter().flat_map(|line| [*line, "\\r\\n"]).collect();
    let listing = format!("listing={listing}");
    let mut program = Portolan::new()
        .file("tree/a.txt", "abc")
        .file("script.rhai", format!("let s = ftp::connect(\"ftp://ftp.example.org/\");\n{script}"))
        .args(["rehearse", "--tree", "tree", "--fault", "no-mlsd", "--fault", "no-mlst"])
        .args(["--fault", "reply=STAT:502 No", "--fault", &listing]);
    for fault in faults {
        program = program.args(["--fault", fault]);
    }
    program.args(["script.rhai"]).run()
}

#[test]
fn a_line_that_cannot_be_read_is_told_by_every_function_that_lists() {
    for line in ["nonsense in three", "?? \\x1b[2J ??", "total: some files, and others"] {
        for (script, printed) in [
            ("print(s.names(\"/\"));", "[\"a.txt\"]\n"),
            ("print(s.list(\"/\").map(|e| e.name));", "[\"a.txt\"]\n"),
        ] {
            let ran = rehearse(script, &[GOOD, line], &[]).succeeds().stdout(printed);
            ran.stderr_has("/: a line of its listing is not a line of this format: \"")
                .any_stderr();
        }
        for script in ["s.find(\"/\");", "s.glob(\"/*\");"] {
            let ran = rehearse(script, &[GOOD, line], &[]).fails_with(7);
            ran.stderr_has("not complete").stderr_has("is not a line of this format").any_stderr();
        }
    }
}

#[test]
fn a_listing_of_which_nothing_can_be_read_is_no_empty_folder() {
    for line in ["word", "PROGRAM NOT FOUND: LS", "<html>", "Ʌ"] {
        for script in ["print(s.names(\"/\"));", "print(s.list(\"/\"));", "s.find(\"/\");"] {
            let ran = rehearse(script, &[line, line], &[]).any_code().stderr_has("error: ");
            ran.stderr_has(line).any_stdout().any_stderr();
        }
    }
}

#[test]
fn ls_tells_lines_that_it_cannot_read_to_people_and_to_programs() {
    let plan = format!("listing={GOOD}\\r\\n??? 2 \\x07\\r\\n");
    let stage = Rehearsal::start(&[&plan], false);
    let url = format!("ftp://tester@127.0.0.1:{}/", stage.site.port);
    let program = || Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21").args(["ls"]);
    let warning =
        "warning: /: a line of its listing is not a line of this format: \"??? 2 \\u{7}\"\n";
    program().args([&url]).run().succeeds().stderr(warning).any_stdout();
    let ran = program().args(["--json", &url]).run().succeeds().stderr(warning);
    let all: serde_json::Value = serde_json::from_str(ran.stdout_text()).unwrap();
    assert_eq!(
        (all[0]["name"].as_str(), all[0]["unread_lines"].as_u64()),
        (Some("a.txt"), Some(1))
    );
    ran.any_stdout();
    let stage = Rehearsal::start(&["listing=word\\r\\nanother\\r\\n"], false);
    let url = format!("ftp://tester@127.0.0.1:{}/", stage.site.port);
    for arguments in [&["--json", &url][..], &[&url]] {
        let ran = program().args(arguments.iter().copied()).run().fails_with(4);
        ran.stderr_has("nothing in its listing of 2 lines could be read").any_stderr();
    }
}

#[test]
fn a_size_that_a_listing_has_wrong_is_asked_for_again() {
    let down = "let r = s.mirror_down(\"/\", \"copy\", #{ retries: 0 });\nprint(`${r.downloaded} ${r.failed}`);";
    for size in ["1", "2", "4", "99999", "4294967299"] {
        let line = format!("-rw-r--r--   1 u g {size} Jan 02  2025 a.txt");
        for faults in [&[][..], &["reply=MDTM:502 No"]] {
            rehearse(down, &[&line], faults).succeeds().stdout("1 0\n").any_stderr();
        }
    }
}

#[test]
fn a_cut_listing_deletes_no_local_file_whatever_mlst_says() {
    let script = r#"
for name in ["a", "b", "c", "d"] { local::write(`copy/${name}`, "x"); s.write(`/${name}`, "x"); }
let r = s.mirror_down("/", "copy", #{ delete: true, max_delete: 100 });
print(`${r.deleted} deleted, ${r.failed > 0}`);
"#;
    let listing =
        "listing=type=file;size=1; a\\r\\ntype=file;size=1; b\\r\\ntype=file;size=1; c\\r\\n";
    for refusal in ["502 not implemented", "500 What?", "501 No", "550 Not here", "504 Never"] {
        let refusal = format!("reply=mlst:{refusal}");
        Portolan::new()
            .file("script.rhai", format!("let s = ftp::connect(\"ftp://x.example\");{script}"))
            .file("tree/z", "")
            .args(["rehearse", "--tree", "tree", "--fault", listing, "--fault", &refusal])
            .args(["script.rhai"])
            .run()
            .fails_with(6)
            .stdout("0 deleted, true\n")
            .any_stderr();
    }
}

//! `portolan functions`: the committed manual must equal the program's output.

use std::{fs, path::Path};

use crate::support::program::Portolan;

fn functions(arguments: &[&str]) -> Portolan {
    Portolan::new().args(["functions"]).args(arguments.iter().copied())
}

/// Returns the examples of the manual.
fn examples(manual: &str) -> Vec<&str> {
    let blocks = manual.split("```rhai\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap()).collect()
}

#[test]
fn the_committed_manual_is_what_the_program_prints() {
    let ran = functions(&["--markdown"]).run();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/functions.md");
    if std::env::var_os("PORTOLAN_UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, ran.stdout_text()).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(
        ran.stdout_text() == committed,
        "docs/functions.md is not what `portolan functions --markdown` prints: PORTOLAN_UPDATE=1 writes it anew"
    );
    ran.any_stdout();
}

#[test]
fn every_example_of_the_manual_passes_the_check() {
    let manual = functions(&["--markdown"]).run();
    let examples = examples(manual.stdout_text());
    assert!(examples.len() > 50, "{} examples", examples.len());
    let folder = examples.iter().enumerate().fold(Portolan::new(), |folder, (number, example)| {
        folder.file(format!("examples/{number:03}.rhai"), example)
    });
    let said = format!("{} scripts, nothing wrong\n", examples.len());
    folder.args(["check", "examples"]).run().succeeds().stderr(&said);
    drop(manual.any_stdout());
}

#[test]
fn one_function_is_told_whole() {
    functions(&["site.get"]).run().stdout(
        "site.get(remote: string, local: string) -> Report
  Fetches file `remote` to `local`, a file or a folder. The local name has the old bytes until all of the new
  ones are here and their number agrees. Raises `not_found`, `data_connection` and others.

    let site = ftp::connect(\"ftp://ftp.example.org\");
    site.get(\"/pub/catalogue.csv\", \"catalogue.csv\");

site.get(remote: string, local: string, options: map) -> Report
  Fetches a file with options.

  - `preserve_times` (true): the file gets the time that it has at its source, if the server can tell it or set it
  - `resume` (false): continue where an earlier attempt broke off, if it is still the same file
  - `rate_limit`: bytes per second, such as `\"500KiB\"`
  - `segments` (1; 1 to 32): downloads only: the number of sessions that each fetch a part of a large file; not with
    `resume`
  - `verify` (false): fail if the server reports no size to compare with
  - `inplace` (true, false, \"auto\"): uploads only: upload directly under the final name, as to drop boxes that refuse
    temporary names or renames. \"auto\" does so if the server refuses the usual method and no file is seen under that
    name; true always, and the previous content is lost when the upload begins; false never. By default it is that of
    `ftp::connect`. `report.in_place` counts such files
  - `retries` (4; 0 to 20): the number of retries after a temporary error (a broken connection, 421, 425, 426, 450,
    451), each after a longer wait
  - `on_exists` (\"overwrite\"; \"skip\", \"fail\", \"rename\"): the rule for a target that exists: \"overwrite\" replaces it,
    \"skip\" transfers nothing (`report.skipped` counts it), \"fail\" is an error, \"rename\" gives the new file a name with a
    number, such as `a.1.csv`
  - `move` (false): remove the source once the transfer is verified: the size at the target agrees. It stays if the
    server reports no size
  - `type` (\"binary\"; \"ascii\"): \"ascii\" transfers a text, with the line ends of each side, as z/OS and IBM i want it;
    sizes cannot be compared then
  - `site`: SITE commands that are sent before the transfer, such as `\"RECFM=FB LRECL=80\"`; a string or an array

    let site = ftp::connect(\"ftp://ftp.example.org\");
    let report = site.get(\"/pub/a.zip\", \"in/\", #{ preserve_times: false });
    print(`${report.bytes} bytes`);

options: preserve_times, resume, rate_limit, segments, verify, inplace, retries, on_exists, move, type, site
",
    );
    // Several families have a function of that name.
    let both = functions(&["exists"]).run();
    both.stdout_has("site.exists(file: string) -> bool\n")
        .stdout_has("local::exists(path: string) -> bool\n");
}

#[test]
fn an_unknown_function_is_told_the_nearest() {
    let said = "error: there is no function `ftp::conect`; did you mean `ftp::connect`?\n";
    functions(&["ftp::conect"]).run().fails_with(2).stderr(said);
    let said = "error: there is no function `xyzzy`: `portolan functions` lists all\n";
    functions(&["xyzzy"]).run().fails_with(2).stderr(said);
}

#[test]
fn the_list_has_one_line_for_each_function_and_none_for_operators() {
    let ran = functions(&[]).run();
    for line in ran.stdout_text().lines() {
        assert!(line.is_empty() || !line.starts_with("   "), "{line}");
        assert!(!line.contains("to_debug") && !line.contains("=="), "{line}");
    }
    let lines: Vec<String> = ran
        .stdout_text()
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for wanted in [
        "ftp::",
        "site.get(remote, local[, options]) Fetches file `remote` to `local`, a file or a folder",
        "log::debug(message) Logs a message for troubleshooting",
        "site.route The command by which data connections are opened now",
    ] {
        assert!(lines.iter().any(|line| line == wanted), "{wanted} is not in {lines:#?}");
    }
    drop(ran.any_stdout());
}

#[test]
fn json_and_definitions_are_for_programs() {
    let mut ran = functions(&["retry", "--json"]).run();
    let all = ran.json();
    assert_eq!(all[0]["name"], "retry");
    assert_eq!(all[0]["family"], "run");
    assert_eq!(all[0]["options"], serde_json::json!(["attempts", "backoff"]));
    assert_eq!(all[0]["overloads"].as_array().map(Vec::len), Some(2));
    let definitions = functions(&["--definitions"]).run();
    assert!(!definitions.stdout_text().contains("Remote"), "scripts know it as Session");
    definitions
        .stdout_has("module static;\n")
        .stdout_has("fn connect(url: string, options: map) -> Session;\n");
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        Portolan::new().args(["completions", shell]).run().stdout_has("rehearse");
    }
    Portolan::new().args(["completions", "cmd"]).run().fails_with(2).any_stderr();
}

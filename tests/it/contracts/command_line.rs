//! Commands, flags, and exit codes.

use std::collections::BTreeSet;

use portolan::exit_code::Exit;

use super::holds;
use crate::support::program::Portolan;

/// Returns the words of a line of help that are flags: `-h, --help`, `--set <KEY=VALUE>`.
fn flags(line: &str) -> impl Iterator<Item = &str> {
    let is_flags = line.starts_with("  ") && line.trim_start().starts_with('-');
    let words = if is_flags { line.trim_start() } else { "" };
    // Two spaces separate the flags from their description.
    let words = words.split("  ").next().unwrap_or_default();
    words.split([' ', ',', '=', '[', ']']).filter(|word| word.starts_with('-'))
}

/// Returns the second names of flags: `[alias: --a]` or `[aliases: --a, --b]`, which may be wrapped.
fn aliases(help: &str) -> impl Iterator<Item = &str> {
    let lists = help.split("[alias").skip(1);
    let words =
        lists.flat_map(|rest| rest.split(']').next().unwrap_or_default().split([',', ' ', '\n']));
    words.filter(|word| word.starts_with("--"))
}

/// Adds the flags of the command `path`, and those of the commands below it.
fn add_command(path: &[String], lines: &mut BTreeSet<String>) {
    let ran = Portolan::new().args(path.iter().map(String::as_str)).args(["--help"]).run();
    let help = ran.succeeds();
    let text = help.stdout_text().to_owned();
    drop(help.any_stdout());
    let name = path.join(" ");
    lines.insert(name.clone());
    let mut is_command_list = false;
    for line in text.lines() {
        if !line.starts_with(' ') {
            is_command_list = line == "Commands:";
        }
        for flag in flags(line) {
            lines.insert(format!("{name} {flag}").trim().to_owned());
        }
        let word = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '));
        let word = word.and_then(|rest| rest.split_whitespace().next());
        if let Some(word) = word.filter(|word| is_command_list && *word != "help") {
            add_command(&[path, &[word.to_owned()]].concat(), lines);
        }
    }
    for alias in aliases(&text) {
        lines.insert(format!("{name} {alias}"));
    }
    // `Usage: portolan get [OPTIONS] <URL> [LOCAL]`: the number of operands of a command.
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap_or_default();
    let operands = usage.split_whitespace().filter(|word| word.starts_with(['<', '[']));
    let required = operands.filter(|word| word.starts_with('<') && !word.ends_with("...")).count();
    lines.insert(format!("{name} takes {required} operands at least").trim().to_owned());
}

#[test]
fn every_command_and_flag_is_still_there() {
    let mut lines = BTreeSet::new();
    add_command(&[], &mut lines);
    lines.remove("");
    assert!(lines.contains("get --resume") && lines.contains("nat apply"), "{lines:#?}");
    holds("command-line.txt", &lines);
}

#[test]
fn flags_are_read_from_the_lines_of_help() {
    let of = |line| flags(line).collect::<Vec<_>>();
    assert_eq!(of("  -h, --help     Print help"), ["-h", "--help"]);
    assert_eq!(of("      --netrc[=<FILE>]        Looks up logins"), ["--netrc"]);
    assert_eq!(of("      --set <KEY=VALUE>       Sets an option, such as --x"), ["--set"]);
    assert_eq!(of("Options:"), Vec::<&str>::new());
    let help = "Sessions [aliases:\n      --segments, --parts] Size\n  [alias: --bytes]";
    assert_eq!(aliases(help).collect::<Vec<_>>(), ["--segments", "--parts", "--bytes"]);
}

#[test]
fn exit_codes_keep_their_meaning() {
    let codes = [
        (Exit::Done, 0),
        (Exit::Bug, 1),
        (Exit::Usage, 2),
        (Exit::Script, 3),
        (Exit::Later, 4),
        (Exit::Never, 5),
        (Exit::InPart, 6),
        (Exit::Guard, 7),
        (Exit::Interrupted, 130),
        (Exit::NatChanges, 2),
        (Exit::NatError, 1),
    ];
    for (exit, number) in codes {
        assert_eq!(exit.code(), number);
    }
}

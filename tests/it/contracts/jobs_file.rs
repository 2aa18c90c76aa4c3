//! Keys of the jobs file.

use std::collections::BTreeSet;

use super::holds;
use crate::support::program::Portolan;

/// A jobs file with every key, in the form that version 0.1 reads.
const EVERY_KEY: &str = include_str!("../../data/contracts/portolan.toml");

#[test]
fn a_jobs_file_with_every_key_is_still_read() {
    let program = Portolan::new().file("portolan.toml", EVERY_KEY);
    let program = program.file("scripts/nightly.rhai", "").file("s.rhai", "");
    program.args(["check", "portolan.toml"]).run().succeeds().any_stdout().any_stderr();
}

/// Checks that `check` lists its known keys when it finds an unknown one.
#[test]
fn every_key_is_still_known() {
    let mut lines = BTreeSet::new();
    for (table, text) in [
        ("runner", "[runner]\nzzzzzzzz = 1\n"),
        ("job", "[[job]]\nname = \"a\"\nscript = \"s.rhai\"\ncron = \"@daily\"\nzzzzzzzz = 1\n"),
        ("retention", "[runner]\nretention = { zzzzzzzz = 1 }\n"),
        (
            "backoff",
            "[[job]]\nname = \"a\"\nscript = \"s.rhai\"\ncron = \"@daily\"\nbackoff = { zzzzzzzz = 1 }\n",
        ),
        (
            "permissions",
            "[[job]]\nname = \"a\"\nscript = \"s.rhai\"\ncron = \"@daily\"\npermissions = { zzzzzzzz = 1 }\n",
        ),
        (
            "notice",
            "[[job]]\nname = \"a\"\nscript = \"s.rhai\"\ncron = \"@daily\"\non_failure = { zzzzzzzz = 1 }\n",
        ),
        ("mail", "[mail]\nzzzzzzzz = 1\n"),
        ("digest", "[digest]\nat = \"07:00\"\nzzzzzzzz = 1\n"),
        ("defaults", "[defaults]\nzzzzzzzz = 1\n"),
        (
            "mirror",
            "[[job]]\nname = \"a\"\ncron = \"@daily\"\n[job.mirror]\nfrom = \"a\"\nto = \"ftp://h/\"\nzzzzzzzz = 1\n",
        ),
        (
            "deploy",
            "[[job]]\nname = \"a\"\ncron = \"@daily\"\n[job.deploy]\nfrom = \"a\"\nto = \"ftp://h/\"\nzzzzzzzz = 1\n",
        ),
        (
            "prune",
            "[[job]]\nname = \"a\"\ncron = \"@daily\"\n[job.prune]\nsite = \"ftp://h/\"\nkeep_last = 1\nzzzzzzzz = 1\n",
        ),
        (
            "get",
            "[[job]]\nname = \"a\"\ncron = \"@daily\"\n[job.get]\nfrom = \"ftp://h/a\"\nzzzzzzzz = 1\n",
        ),
        (
            "put",
            "[[job]]\nname = \"a\"\ncron = \"@daily\"\n[job.put]\nfrom = \"a\"\nto = \"ftp://h/\"\nzzzzzzzz = 1\n",
        ),
    ] {
        let program = Portolan::new().file("portolan.toml", text).file("s.rhai", "");
        let ran =
            program.args(["check", "portolan.toml"]).run().any_code().any_stderr().any_stdout();
        let said = format!("{}{}", ran.stdout_text(), ran.stderr_text());
        let keys = said.split("it has ").nth(1).unwrap_or_else(|| panic!("{table}: {said}"));
        let keys = keys.lines().next().unwrap_or_default();
        lines.extend(keys.split(", ").map(|key| format!("{table}.{}", key.trim())));
    }
    holds("jobs-file.txt", &lines);
}

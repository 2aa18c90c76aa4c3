//! The page about the keys of the jobs file, and the defaults that it tells.

use std::{fmt::Debug, fs, path::Path};

use super::super::{
    BACKOFF, JOB, RETENTION, RUNNER, TELL,
    table::{JobsDocument, JobsTable},
};
use crate::{option_table::OptionTable, permissions::PERMISSIONS, script::docs::folded};

const HEAD: &str = "\
# The keys of the jobs file

`portolan serve` runs the jobs of a file in TOML, `portolan.toml`; `portolan check` finds mistakes in it. These are all
its keys, each with its default and the other values that it can have. [Schedules](cron.md) explains `cron` and what
becomes of missed slots, [operations](operations.md) the rest, both with examples.

Durations are texts such as `\"90s\"` or `\"5m\"`, sizes are bytes or texts such as `\"10MiB\"`.
";

/// Returns the lines about the keys of one table.
fn section(heading: &str, paragraphs: &[String]) -> String {
    let mut lines = vec![format!("\n## {heading}\n")];
    for paragraph in paragraphs {
        for (number, part) in folded(paragraph, 116).into_iter().enumerate() {
            lines.push(format!("{}{part}", if number == 0 { "- " } else { "  " }));
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_committed_page_has_every_key() {
    let page = [
        HEAD.to_owned(),
        section("`[runner]`", &RUNNER.paragraphs()),
        section("`retention` of `[runner]`", &RETENTION.paragraphs()),
        section("`[[job]]`", &JOB.paragraphs()),
        section("`backoff` of a job", &BACKOFF.paragraphs()),
        section("`permissions` of a job", &PERMISSIONS.paragraphs()),
        section("Notifications of a job", &TELL.paragraphs()),
    ];
    let page = page.concat();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/jobs-file.md");
    if std::env::var_os("PORTOLAN_UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(page == committed, "docs/jobs-file.md is not current: PORTOLAN_UPDATE=1 writes it");
}

/// Checks that the default of each key changes nothing.
fn has_defaults<T: Debug>(keys: &OptionTable<T>) {
    let usual = format!("{:?}", (keys.usual)());
    for row in keys.rows.iter().filter(|row| !row.usual.is_empty()) {
        let is_bare = row.usual.parse::<bool>().is_ok() || row.usual.parse::<u64>().is_ok();
        let value = if is_bare { row.usual.to_owned() } else { format!("\"{}\"", row.usual) };
        let text = format!("{} = {value}", row.key);
        let mut page = JobsDocument::new("portolan.toml", &text);
        let document = page.document();
        let mut table = JobsTable::new(&document, "a table", &keys.keys(), &mut page);
        let mut target = (keys.usual)();
        table.fill(keys, &mut target, &mut page);
        assert!(page.is_right(), "{text}");
        assert_eq!(format!("{target:?}"), usual, "{text}");
    }
}

#[test]
fn the_defaults_of_the_page_are_those_of_jobs() {
    has_defaults(&RUNNER);
    has_defaults(&RETENTION);
    has_defaults(&JOB);
    has_defaults(&BACKOFF);
    has_defaults(&PERMISSIONS);
    has_defaults(&TELL);
}

//! The page about the keys of the jobs file, and the defaults that it tells.

use std::{collections::BTreeMap, fmt::Debug, fs, path::Path};

use super::super::{
    BACKOFF, DIGEST, JOB, MAIL, RETENTION, RUNNER, TELL, TaskKind,
    files::{ARRIVAL, WATCH},
    sources::SourceText,
    table::{JobsDocument, JobsTable},
};
use super::{folder, read};
use crate::{
    option_table::{OptionKind, OptionRow, OptionTable},
    permissions::PERMISSIONS,
    script::docs::folded,
};

const HEAD: &str = "\
# The jobs file

`portolan serve` runs the jobs of a file in TOML, `portolan.toml`; `portolan check` finds mistakes in it, and `portolan
init` writes one to start from. These are all its keys, each with its type, its default, the other values that it can
have, and an example. [Schedules](cron.md) explains `cron` and what becomes of missed slots, [operations](operations.md)
the rest.

A job needs no script: a mirror, a deployment, a download, an upload, or the removal of old files is a table of its own,
with the options of the command.

```toml
[[job]]
name = \"catalogue\"
cron = \"15 3 * * *\"
retries = 3
[job.mirror]
from = \"ftpes://reader@ftp.example.com/catalogue\"
to = \"catalogue\"
delete = true
[job.connect]
password = \"secret:CATALOGUE_PASSWORD\"
```

`portolan run --job catalogue` runs it once in the foreground, with its arguments, options, permissions and folder, but
without its schedule, locks, retries, limits and notifications. `portolan trigger catalogue` asks the scheduler for a
run, `--arg day=2026-11-28` gives a value of its own to the run, and `--slot T` or `--from A --to B` run past slots.

`include = \"jobs.d/*.toml\"` at the top of the file adds the jobs of other files, in the order of their names; paths in
them count from the directory of the jobs file. `[defaults]` has any key of a job but `name` and `each`: a job that does
not have the key itself takes it from there, and the tables `args`, `connect` and `backoff`, and those of jobs without a
script such as `mirror`, are merged key by key. `each = { site = [\"a\", \"b\"] }` makes the jobs `NAME[a]` and `NAME[b]`, with `{site}` in their values
replaced; `after = [\"NAME\"]` waits for all of them. A mistake in any of these files is refused with its place, and a
running scheduler, which watches all of them, keeps the jobs that it has.

A slot outside `window`, or on a date of `not_on`, is none: it is neither missed nor caught up. A window has its first
minute and not its last; one over midnight belongs to the day on which it begins. What catches up on a missed slot, or
follows other jobs, waits for the window to open; runs in progress may go beyond its end, and a request
(`portolan trigger`) is run at once. A file of dates has a date in each line, `#` begins a comment.

`watch` and `arrival` start a job when files arrive, in a directory of this host and on a server. A file is complete
when its size and time have not changed for `settle`, or when its `marker` is there, and each file is given to one run:
the script has the paths in `job::FILES`, `[job.put]` and `[job.get]` transfer exactly those, `[job.mirror]` mirrors as
always. A file is known by its name, size and time: with another size or time it is a new one. Files that are there when
the job is new are given to its first run, and what arrives while no scheduler runs to the first one after its start. A
run is given up to 1,000 files; those that arrive while it is in progress wait for its end, as they do for that of a
pause or for a `window`, however long it takes. If the run fails, its retries have the same files; after the last one
they are given to no other run until they change (`touch` changes the time), and `portolan show` lists them. If the
scheduler ends meanwhile, the next one resumes the run with its files. Links, directories and names that are not UTF-8
start nothing. `arrival` needs one login, which it keeps; a server that cannot be reached is reported once and tried
again. A job may have `cron` as well: its slots, and runs that are triggered, have no files.

The programs of `before`, `after` and `finally` run in the attempt, in the folder of the jobs file: their output is in
its log, and its limits hold for them. `after` runs only if the work has succeeded, like `&&` in a shell; `finally` runs
in any case, like `ExecStopPost=` of systemd, and has `kill_grace` to end when the attempt is stopped. An attempt whose
`before` or `after` has failed is retried like any other, unless `retry_on` lacks \"program\". With `[job.permissions]`
they read, write and reach only what that allows. To name a program here allows it here, and not to the script, which
needs `run` for it. They see PORTOLAN_JOB, PORTOLAN_RUN, PORTOLAN_ATTEMPT, PORTOLAN_SCHEDULED_FOR, PORTOLAN_TRIGGER and,
after the work, PORTOLAN_OUTCOME.

[Notifications](operations.md#notifications) explains `on_failure` and the like, `[mail]` and `[digest]`; `portolan notify
test JOB` sends a test message. Each address, URL, token and password of a notification may be \"secret:NAME\" or `{ secret
= \"NAME\" }`.

Durations are texts such as `\"90s\"` or `\"5m\"`, sizes are bytes or texts such as `\"10MiB\"`.
";

/// A jobs file with every key, which the examples are taken from.
const EVERY_KEY: &str = include_str!("every-key.toml");

/// Returns an example of each key of a table, as the file with every key has it.
fn examples(table: &str) -> BTreeMap<String, toml::Value> {
    let file: toml::Table = EVERY_KEY.parse().unwrap();
    let mut found = BTreeMap::new();
    collect(table, "", &toml::Value::Table(file), &mut found);
    found
}

/// Adds the keys of tables that are called `wanted`.
fn collect(
    wanted: &str,
    name: &str,
    value: &toml::Value,
    found: &mut BTreeMap<String, toml::Value>,
) {
    match value {
        toml::Value::Array(all) => all.iter().for_each(|value| collect(wanted, name, value, found)),
        toml::Value::Table(table) => {
            let name = if name.starts_with("on_") { "on" } else { name };
            for (key, value) in table {
                if name == wanted {
                    found.entry(key.clone()).or_insert_with(|| value.clone());
                }
                collect(wanted, key, value, found);
            }
        }
        _ => {}
    }
}

/// Returns the type of the values of a key.
fn kind<T>(row: &OptionRow<T>, example: Option<&toml::Value>) -> &'static str {
    match &row.kind {
        OptionKind::Flag(_) => "true or false",
        OptionKind::Count(..) | OptionKind::Number(..) => "number",
        OptionKind::Size(_) => "size",
        OptionKind::Duration(_) | OptionKind::DurationIn(..) => "duration",
        OptionKind::Choice(_) => "word",
        OptionKind::Text(_) => "string",
        _ => match example {
            Some(toml::Value::Array(_)) => "array",
            Some(toml::Value::Table(_)) => "table",
            Some(toml::Value::Float(_) | toml::Value::Integer(_)) => "number",
            _ => "string",
        },
    }
}

/// Returns the lines about the keys of the tables that are called `name` in the file.
fn section<T>(heading: &str, name: &str, table: &OptionTable<T>) -> String {
    let examples = examples(name);
    let paragraph = |row: &OptionRow<T>| {
        let example = examples.get(row.key);
        let kind = kind(row, example);
        let text = row.paragraph();
        let head = format!("`{}`", row.key);
        let rest = text.strip_prefix(&head).unwrap();
        let rest = match rest.strip_prefix(" (") {
            Some(rest) => format!(" ({kind}; {rest}"),
            None => format!(" ({kind}){rest}"),
        };
        let is_scalar = !matches!(example, Some(toml::Value::Table(table)) if table.len() > 3);
        let example = example.filter(|_| is_scalar);
        let example = example.map(|value| format!(". Example: `{} = {value}`", row.key));
        assert!(example.is_some() || !is_scalar, "no example of `{}` of {heading}", row.key);
        format!("{head}{rest}{}", example.unwrap_or_default())
    };
    listed(heading, &table.rows.iter().map(paragraph).collect::<Vec<_>>())
}

fn listed(heading: &str, paragraphs: &[String]) -> String {
    let mut lines = vec![format!("\n## {heading}\n")];
    for paragraph in paragraphs {
        for (number, part) in folded(paragraph, 116).into_iter().enumerate() {
            lines.push(format!("{}{part}", if number == 0 { "- " } else { "  " }));
        }
    }
    lines.join("\n") + "\n"
}

/// Returns the sections about jobs without a script.
fn tasks() -> String {
    let section =
        |kind: TaskKind| listed(&format!("`[job.{}]`", kind.as_str()), &kind.paragraphs());
    TaskKind::ALL.map(section).concat()
}

#[test]
fn the_file_with_the_examples_is_valid() {
    let folder = folder();
    let reading = read(EVERY_KEY, folder.path());
    assert!(reading.jobs.is_some(), "{:#?}", reading.findings);
}

#[test]
fn the_committed_page_has_every_key() {
    let page = [
        HEAD.to_owned(),
        section("`[runner]`", "runner", &RUNNER),
        section("`retention` of `[runner]`", "retention", &RETENTION),
        section("`[[job]]`", "job", &JOB),
        tasks(),
        section("`watch` of a job", "watch", &WATCH),
        section("`arrival` of a job", "arrival", &ARRIVAL),
        section("`backoff` of a job", "backoff", &BACKOFF),
        section("`permissions` of a job", "permissions", &PERMISSIONS),
        section("Notifications of a job", "on", &TELL),
        section("`[mail]`", "mail", &MAIL),
        section("`[digest]`", "digest", &DIGEST),
    ];
    let page = page.concat();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/jobs.md");
    if std::env::var_os("PORTOLAN_UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(page == committed, "docs/jobs.md is not current: PORTOLAN_UPDATE=1 writes it");
}

/// Checks that the default of each key changes nothing.
fn has_defaults<T: Debug>(keys: &OptionTable<T>) {
    let usual = format!("{:?}", (keys.usual)());
    for row in keys.rows.iter().filter(|row| !row.usual.is_empty()) {
        let is_bare = row.usual.parse::<bool>().is_ok() || row.usual.parse::<u64>().is_ok();
        let value = if is_bare { row.usual.to_owned() } else { format!("\"{}\"", row.usual) };
        let text = format!("{} = {value}", row.key);
        let files = [SourceText::after(&[], Path::new("portolan.toml"), text.clone())];
        let mut page = JobsDocument::new(&files);
        let document = page.document(&files[0]);
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
    has_defaults(&WATCH);
    has_defaults(&ARRIVAL);
    has_defaults(&PERMISSIONS);
    has_defaults(&TELL);
    has_defaults(&MAIL);
}

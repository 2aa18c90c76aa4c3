//! Jobs without a script: `[job.deploy]` and `[job.prune]`, and what is wrong with them.

use serde_json::{Value, json};

use super::{folder, read};
use crate::schedule::jobs::Task;

const JOB: &str = "[[job]]\nname = \"a\"\ncron = \"@daily\"\n";

/// Returns the work of the only job.
fn task(table: &str) -> Task {
    let folder = folder();
    let reading = read(&format!("{JOB}{table}"), folder.path());
    let jobs = reading.jobs.unwrap_or_else(|| panic!("{table}: {:#?}", reading.findings));
    jobs.all[0].task.clone().unwrap()
}

/// Returns the findings as `LINE: message | hint`.
fn found(table: &str) -> Vec<String> {
    let folder = folder();
    let findings = read(&format!("{JOB}{table}"), folder.path()).findings.into_iter();
    let shown = findings.map(|one| {
        format!("{}: {} | {}", one.place.line, one.message, one.hint.unwrap_or_default())
    });
    shown.collect()
}

#[test]
fn the_places_of_a_retention_are_a_server_and_a_directory() {
    for (places, url, folder) in [
        ("site = \"ftp://me@h/backup/db\"", "ftp://me@h", "backup/db"),
        ("site = \"ftp://me@h/\"\npath = \"/backup\"", "ftp://me@h", "/backup"),
        ("site = \"ftp://me@h\"\npath = \"backup\"", "ftp://me@h", "backup"),
        ("site = \"ftp://me@h/backup/\"\npath = \"db\"", "ftp://me@h", "backup/db"),
        ("site = \"ftp://me@h//srv\"", "ftp://me@h", "/srv"),
        ("site = \"@backup\"\npath = \"db\"", "@backup", "db"),
        ("site = \"@backup/db\"", "@backup", "db"),
        ("site = \"@backup\"", "@backup", "."),
    ] {
        let args = task(&format!("[job.prune]\n{places}\nkeep_last = 7\n")).args(&Value::Null);
        let wanted = json!({ "url": url, "folder": folder, "options": { "keep_last": 7 } });
        assert_eq!(args, wanted, "{places}");
    }
}

#[test]
fn an_argument_of_a_run_is_in_the_values_of_a_deployment() {
    let table = "[job.deploy]\nfrom = \"dist/{build}\"\nto = \"@www/htdocs\"\nkeep = 5\ncheck_url = \"https://{host}:444/\"\ngit = true\n";
    let task = task(table);
    let args = json!({ "build": 7, "host": "www.example.com" });
    let values = task.args(&args);
    assert_eq!(
        (&values["url"], &values["local"], &values["remote"]),
        (&"@www".into(), &"dist/7".into(), &"htdocs".into())
    );
    // To name the address and the program here allows both.
    let needed = task.permissions(&args);
    assert_eq!(
        (needed.http, needed.run),
        (vec!["www.example.com:444".to_owned()], vec!["git".to_owned()])
    );
}

#[test]
fn a_mistake_in_a_deployment_or_a_retention_is_told_with_its_line() {
    for (table, wanted) in [
        ("[job.deploy]\nto = \"ftp://h/\"\n", "4: it has no `from` | "),
        ("[job.deploy]\nfrom = \"dist\"\n", "4: it has no `to` | "),
        (
            "[job.deploy]\nfrom = \"dist\"\nto = \"htdocs\"\n",
            "6: `to` is a URL | such as `to = \"ftpes://deploy@www.example.com/htdocs\"`",
        ),
        ("[job.deploy]\nfrom = \"@www\"\nto = \"ftp://h/\"\n", "5: `from` is a local directory | "),
        (
            "[job.deploy]\nfrom = \"dist\"\nto = \"ftp://h/\"\nstagd = true\n",
            "7: `[job.deploy]` has no key `stagd` | did you mean `staged`?",
        ),
        (
            "[job.deploy]\nfrom = \"dist\"\nto = \"ftp://h/\"\nkeep = 1001\n",
            "7: `keep` wants a whole number from 0 to 1000, got 1001 | ",
        ),
        (
            "[job.prune]\nsite = \"ftp://h/\"\n",
            "4: it does not say what stays | such as `keep_last = 7`, `older_than = \"30d\"`, or both",
        ),
        ("[job.prune]\nkeep_last = 7\n", "4: it has no `site` | "),
        (
            "[job.prune]\nsite = \"backup\"\nkeep_last = 7\n",
            "5: `site` is a URL or a saved site | such as `site = \"ftpes://me@ftp.example.org\"`, or `\"@backup\"` for a saved site",
        ),
        (
            "[job.prune]\nsite = \"ftp://h/a\"\npath = \"/b\"\nkeep_last = 7\n",
            "6: the URL of `site` has a path already | leave out one of them, or the slash at the beginning of `path`",
        ),
        (
            "[job.prune]\nsite = \"ftp://h/\"\npath = \"a/*.gz\"\nkeep_last = 7\n",
            "6: the directory has wildcards | `match` chooses files by their names: `match = \"*.gz\"`",
        ),
        (
            "[job.prune]\nsite = \"ftp://h/a\"\nolder_than = \"soon\"\n",
            "6: `older_than` wants an age such as \"30d\" or \"12h\", got \"soon\" | ",
        ),
        (
            "[job.prune]\nsite = \"ftp://h/a\"\nkeep_lst = 7\nolder_than = \"1d\"\n",
            "6: `[job.prune]` has no key `keep_lst` | did you mean `keep_last`?",
        ),
        (
            "[job.prune]\nsite = \"ftp://h/a\"\nkeep_last = 7\n[job.mirror]\nfrom = \"a\"\nto = \"ftp://h/\"\n",
            "4: a job has one work, and this one has `mirror` and `prune` | make two jobs of it; `after` puts them in order",
        ),
    ] {
        assert_eq!(found(table), [wanted], "{table}");
    }
}

#[test]
fn a_name_in_braces_that_nothing_has_is_a_warning() {
    let each = "each = { site = [\"a\"] }\n";
    let put = "[job.put]\nfrom = \"out/{shop}/*.{csv,txt}\"\nto = \"ftp://{site}/in/\"\n";
    assert_eq!(
        found(&format!("{each}{put}")),
        [
            "6: `each` has no `shop`: `{shop}` stays as it is | it has `{site}`; `--arg shop=…` gives a value to a single run"
        ]
    );
    assert_eq!(found(&format!("{each}args = {{ shop = \"x\" }}\n{put}")), Vec::<String>::new());
    // Braces of a program's own language are no names.
    assert_eq!(
        found(&format!(
            "{each}before = [[\"awk\", \"{{print}}\", \"in\"]]\n{}",
            put.replace("{shop}", "x")
        )),
        Vec::<String>::new()
    );
}

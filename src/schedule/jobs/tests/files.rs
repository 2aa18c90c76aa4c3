//! The keys `watch` and `arrival`.

use std::time::Duration;

use super::{super::FileTrigger, folder, read};
use crate::store::history::Trigger;

/// Returns the findings of a job with these lines, as `LEVEL: MESSAGE`.
fn findings(lines: &str) -> Vec<String> {
    let folder = folder();
    std::fs::create_dir(folder.path().join("out")).unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let script = if lines.contains("[job.") { "" } else { "script = \"s.rhai\"\n" };
    let reading = read(&format!("[[job]]\nname = \"a\"\n{script}{lines}\n"), folder.path());
    let line =
        |one: &crate::script::check::ScriptFinding| format!("{:?}: {}", one.level, one.message);
    reading.findings.iter().map(line).collect()
}

/// Returns the files that start a job with these lines.
fn files(lines: &str) -> FileTrigger {
    let folder = folder();
    std::fs::create_dir(folder.path().join("out")).unwrap();
    let reading =
        read(&format!("[[job]]\nname = \"a\"\nscript = \"s.rhai\"\n{lines}\n"), folder.path());
    let jobs = reading.jobs.unwrap_or_else(|| panic!("{:?}", reading.findings));
    jobs.all[0].files.clone().unwrap()
}

#[test]
fn watch_and_arrival_have_their_values_and_defaults() {
    let watch = files("watch = { directory = \"out\" }");
    assert_eq!(watch, FileTrigger { directory: "out".into(), ..FileTrigger::default() });
    assert_eq!((watch.trigger(), watch.settle), (Trigger::Watch, Duration::from_secs(5)));
    assert_eq!(watch.words(), "when a file arrives in out");
    let watch =
        files("watch = { directory = \"out\", match = [\"*.csv\", \"*.txt\"], settle = \"0s\" }");
    assert_eq!((watch.patterns.len(), watch.settle), (2, Duration::ZERO));
    assert_eq!(watch.words(), "when a file arrives in out (*.csv, *.txt)");
    for site in ["partner", "@partner"] {
        let arrival = files(&format!("arrival = {{ site = \"{site}\", directory = \"in\" }}"));
        assert_eq!((arrival.trigger(), arrival.site_name()), (Trigger::Arrival, "partner"));
        assert_eq!(arrival.site.as_ref().unwrap().url.reveal(), "@partner");
        assert_eq!(
            (arrival.every, arrival.settle),
            (Duration::from_secs(30), Duration::from_secs(30))
        );
        assert_eq!(arrival.words(), "when a file arrives in in at partner");
    }
    let marked = files("arrival = { site = \"p\", directory = \"in\", marker = \"%.ok\" }");
    assert_eq!((marked.settle, marked.marker.as_deref()), (Duration::ZERO, Some("%.ok")));
    let url =
        files("arrival = { site = \"ftp://me@h.example\", directory = \"/in\", every = \"1s\" }");
    assert_eq!((url.site_name(), url.every), ("h.example", Duration::from_secs(1)));
}

#[test]
fn a_mistake_in_watch_or_arrival_is_named() {
    for (lines, wanted) in [
        ("watch = { directory = \"out\" }", &[][..]),
        ("cron = \"0 3 * * *\"\nwatch = { directory = \"out\" }", &[]),
        ("watch = { }", &["Error: `watch` has no `directory`"]),
        ("watch = \"out\"", &["Error: `watch` wants a table, got \"out\""]),
        ("watch = { directory = \"\" }", &["Error: `directory` cannot be \"\""]),
        ("watch = { directory = \"none\" }", &["Warning: there is no directory `none` yet"]),
        ("watch = { directory = \"file\" }", &["Warning: `file` is not a directory"]),
        (
            "watch = { directory = \"ftp://h/x\" }",
            &["Error: `directory` of `watch` is on this host"],
        ),
        ("watch = { directory = \"out\", mach = \"*\" }", &["Error: `watch` has no key `mach`"]),
        ("watch = { directory = \"out\", every = \"5s\" }", &["Error: `watch` has no key `every`"]),
        (
            "watch = { directory = \"out\", match = \"a/*.csv\" }",
            &["Error: `match` is a pattern of names, not \"a/*.csv\""],
        ),
        ("watch = { directory = \"out\", match = [] }", &["Error: `match` names no files"]),
        ("arrival = { directory = \"out\" }", &["Error: `arrival` has no `site`"]),
        ("arrival = { site = \"p\" }", &["Error: `arrival` has no `directory`"]),
        (
            "arrival = { site = \"p\", directory = \"o\", every = \"0s\" }",
            &["Error: `every` is 1s at least"],
        ),
        (
            "arrival = { site = \"p\", directory = \"o\", marker = \"%\" }",
            &["Error: `marker` cannot be \"%\""],
        ),
        (
            "arrival = { site = \"ftp://me:pw@h\", directory = \"o\" }",
            &["Warning: a password stands in the URL"],
        ),
        (
            "watch = { directory = \"out\" }\narrival = { site = \"p\", directory = \"o\" }",
            &["Error: a job has one of `watch` and `arrival`, and this one has both"],
        ),
        ("watch = { directory = \"out\" }\n[job.put]\nto = \"ftp://h/in/\"", &[]),
        (
            "watch = { directory = \"out\" }\n[job.put]\nto = \"ftp://h/in\"",
            &["Error: several files need a directory: end the URL with a slash"],
        ),
        (
            "arrival = { site = \"p\", directory = \"o\" }\n[job.put]\nto = \"ftp://h/in/\"",
            &[
                "Error: `[job.put]` sends files of this host, and `arrival` is about files on a server",
            ],
        ),
        (
            "watch = { directory = \"out\" }\n[job.get]\nto = \"in/\"",
            &[
                "Error: `[job.get]` fetches files of a server, and `watch` is about files of this host",
            ],
        ),
        ("arrival = { site = \"p\", directory = \"o\" }\n[job.get]\nto = \"in/\"", &[]),
        ("watch = { directory = \"out\" }\n[job.mirror]\nfrom = \"out\"\nto = \"ftp://h/x\"", &[]),
    ] {
        assert_eq!(findings(lines), wanted, "{lines}");
    }
    let [wrong] = &findings("watch = { directory = \"out\", match = \"[\" }")[..] else { panic!() };
    assert!(wrong.starts_with("Error: cannot read the pattern \"[\": "), "{wrong}");
    let [wrong] = &findings("arrival = { site = \"a b\", directory = \"o\" }")[..] else {
        panic!()
    };
    assert!(wrong.starts_with("Error: a site cannot be called \"a b\""), "{wrong}");
}

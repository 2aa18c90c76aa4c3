//! Keys of the JSON that commands print: documents and events.

use std::collections::BTreeSet;

use serde_json::Value;

use super::holds;
use crate::{
    serve::scheduler::Scheduler,
    support::{program::Portolan, rehearsal::Rehearsal},
};

/// Adds the path of each key of `value`: `runs[].job`.
fn add_keys(prefix: &str, value: &Value, lines: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = format!("{prefix}.{key}");
                lines.insert(path.clone());
                add_keys(&path, value, lines);
            }
        }
        Value::Array(items) => {
            for item in items {
                add_keys(&format!("{prefix}[]"), item, lines);
            }
        }
        _ => {}
    }
}

/// Adds the keys of everything that `ran` printed, a document or a line of JSON for each event.
fn add_output(name: &str, text: &str, lines: &mut BTreeSet<String>) {
    for document in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let document = document.unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
        let name = match document.get("event").and_then(Value::as_str) {
            Some(event) => format!("event {event}"),
            None => name.to_owned(),
        };
        add_keys(&name, &document, lines);
    }
}

fn run(name: &str, program: &Portolan, lines: &mut BTreeSet<String>) {
    let ran = program.run().any_code().any_files().any_stderr();
    add_output(name, ran.stdout_text(), lines);
    drop(ran.any_stdout());
}

#[test]
fn documents_and_events_of_transfers_keep_their_keys() {
    let server = Rehearsal::start(&["active-425"], false);
    server.file("in/a.txt", "bytes");
    server.file("in/sub/b.txt", "more bytes");
    let url = format!("ftp://tester@127.0.0.1:{}", server.server.address().port());
    let site = |path: &str| format!("{url}/{path}");
    let program = Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21").file("new.txt", "new");
    let program = program.file("up/c.txt", "c").args(["--json", "--set", "mode=active"]);
    let mut lines = BTreeSet::new();
    let mut try_one = |name: &str, args: &[&str]| {
        run(name, &program.clone_with(args.iter().copied()), &mut lines);
    };
    try_one("ls", &["ls", &site("in/")]);
    try_one("get", &["get", &site("in/a.txt"), "a.txt"]);
    try_one("get", &["get", &site("in/not-there"), "a.txt"]);
    try_one("put", &["put", "new.txt", &site("in/")]);
    try_one("mirror dry run", &["mirror", "--dry-run", "--delete", "up", &site("in")]);
    try_one("mirror", &["mirror", "--delete", "--max-delete", "9", "up", &site("in")]);
    try_one("mirror", &["mirror", &site("in"), "down"]);
    try_one("rm", &["rm", &site("in/c.txt")]);
    try_one("doctor", &["doctor", &site("in")]);
    try_one("doctor here", &["doctor"]);
    let program =
        Portolan::new().file("wrong.rhai", "let a = ftp::conect(\"x\");").args(["--json"]);
    run("check", &program.clone_with(["check", "wrong.rhai"]), &mut lines);
    run("functions", &program.clone_with(["functions", "get"]), &mut lines);
    run("next", &program.clone_with(["next", "--cron", "15 3 * * *"]), &mut lines);
    let script = format!(
        "let s = ftp::connect(\"{url}/in\", #{{ password: secret(\"PORTOLAN_PASSWORD\"), mode: \"active\" }});\n\
         s.get(\"a.txt\", \"b.txt\"); s.put(\"b.txt\", \"e.txt\"); s.delete(\"e.txt\"); log::warn(\"x\"); print(\"x\");\n\
         s.mirror_up(\".\", \"m\"); s.get(\"not-there\", \"c.txt\");"
    );
    let program = Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21").file("a.rhai", script);
    run("run", &program.args(["--json", "run", "a.rhai"]), &mut lines);
    let script = "print(\"x\"); let s = ftp::connect(\"ftp://ftp.example.org/\"); s.mkdir(\"/d\");";
    let program = Portolan::new().file("script.rhai", script).args(["--json", "rehearse"]);
    run("rehearse", &program.clone_with(["script.rhai"]), &mut lines);
    assert!(lines.contains("event fell_back.reason"), "{lines:#?}");
    holds("documents.txt", &lines);
}

#[test]
fn documents_about_jobs_keep_their_keys() {
    let mut scheduler = Scheduler::new(
        "[[job]]\nname = \"tick\"\nscript = \"tick.rhai\"\ncron = \"* * * * * *\"\non_failure = { command = [\"false\"] }\n\
         [[job]]\nname = \"broken\"\nscript = \"broken.rhai\"\ncron = \"* * * * * *\"\n",
    );
    scheduler.file("tick.rhai", "print(\"tick\");");
    scheduler.file("broken.rhai", "throw \"no\";");
    scheduler.start();
    let done = scheduler.until_outcome("tick", "done");
    scheduler.until_outcome("broken", "failed");
    scheduler.stop();
    let mut lines = BTreeSet::new();
    let mut ask = |name: &str, words: &[&str]| {
        let ran = scheduler.command(words).any_code().any_files().any_stderr();
        add_output(name, ran.stdout_text(), &mut lines);
        drop(ran.any_stdout());
    };
    ask("runs", &["--json", "runs"]);
    ask("show", &["--json", "show", "1"]);
    ask("show", &["--json", "show", "2"]);
    ask("next", &["--json", "next"]);
    let due = done["scheduled_for"].as_str().unwrap();
    ask("why", &["--json", "why", "tick", "--at", due]);
    let span = ["--from", "2026-03-01T00:00:00Z", "--to", "2026-03-01T00:00:03Z"];
    ask("simulate", &[&["--json", "simulate"][..], &span].concat());
    ask("notify", &["--json", "notify", "test", "tick"]);
    ask("digest", &["--json", "notify", "digest", "--dry-run"]);
    ask("pause", &["--json", "pause", "tick"]);
    ask("resume", &["--json", "resume", "tick"]);
    ask("trigger", &["--json", "trigger", "tick"]);
    holds("documents-of-jobs.txt", &lines);
}

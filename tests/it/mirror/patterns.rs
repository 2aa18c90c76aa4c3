//! The choice of files: patterns, regular expressions, files of them, lists of files, `.gitignore`; each version once.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{
    serve::scheduler::Scheduler,
    support::{program::Portolan, rehearsal::Rehearsal},
};

fn mirror() -> Portolan {
    Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21").args(["mirror", "--no-progress"])
}

fn url(server: &Rehearsal, path: &str) -> String {
    format!("ftp://tester@127.0.0.1:{}/{path}", server.site.port)
}

const FILES: &[&str] = &[
    "a.html",
    "a.map",
    "img/1.jpg",
    "img/raw/2.jpeg",
    "node_modules/x/i.js",
    "src/keep.log",
    "src/other.log",
];

fn grown(program: Portolan) -> Portolan {
    FILES.iter().fold(program, |program, file| program.file(format!("dist/{file}"), "1"))
}

/// Returns the files below a directory, temporary and own ones left out.
fn below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries.map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            found.extend(below(&entry.path()).into_iter().map(|path| format!("{name}/{path}")));
        } else if !name.starts_with(".portolan") {
            found.insert(name);
        }
    }
    found
}

fn without(out: &[&str]) -> BTreeSet<String> {
    FILES.iter().filter(|file| !out.contains(file)).map(ToString::to_string).collect()
}

/// Each way to choose files: the flags, the options of a script, the keys of a job, and what is left out.
const WAYS: &[(&[&str], &str, &str, &[&str])] = &[
    (
        &["--exclude", "re:\\.(map|log)$", "--exclude", "!re:^src/keep"],
        r#"exclude: ["re:\\.(map|log)$", "!re:^src/keep"]"#,
        r#"exclude = ["re:\\.(map|log)$", "!re:^src/keep"]"#,
        &["a.map", "src/other.log"],
    ),
    (
        &["--include", "re:^img/.*\\.jpe?g$", "--include", "*.html"],
        r#"include: ["re:^img/.*\\.jpe?g$", "*.html"]"#,
        r#"include = ["re:^img/.*\\.jpe?g$", "*.html"]"#,
        &["a.map", "node_modules/x/i.js", "src/keep.log", "src/other.log"],
    ),
    (
        &["--exclude-from", "out.txt", "--exclude", "!keep.log"],
        r#"exclude_from: "out.txt", exclude: "!keep.log""#,
        r#"exclude_from = "out.txt"
exclude = ["!keep.log"]"#,
        &["src/other.log", "node_modules/x/i.js"],
    ),
    (
        &["--files-from", "list.txt", "--exclude", "*.jpeg"],
        r#"files_from: "list.txt", exclude: ["*.jpeg"]"#,
        r#"files_from = "list.txt"
exclude = ["*.jpeg"]"#,
        &["a.html", "img/raw/2.jpeg", "node_modules/x/i.js", "src/keep.log", "src/other.log"],
    ),
    (
        &["--gitignore"],
        "gitignore: true",
        "gitignore = true",
        &["node_modules/x/i.js", "src/other.log"],
    ),
];

fn with_lists(program: Portolan) -> Portolan {
    grown(program)
        .file("out.txt", "# logs\n*.log\n\nnode_modules/\n")
        .file("list.txt", "./a.map\nimg\n")
        .file("dist/.gitignore", "node_modules\n*.log\n")
        .file("dist/src/.gitignore", "!keep.log\n")
        .file("dist/.portolanignore", ".gitignore\n")
}

#[test]
fn files_are_chosen_alike_on_the_command_line_in_scripts_and_in_jobs() {
    for (flags, options, keys, out) in WAYS {
        let wanted = without(out);
        let server = Rehearsal::start(&[], false);
        let program = with_lists(Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21"));
        let program = program.args(["mirror"]).args(flags.iter().copied());
        program.args(["dist", &url(&server, "cli")]).run().any_stderr().any_stdout();
        assert_eq!(below(&server.root().join("cli")), wanted, "{flags:?}");

        let text = format!(
            "let site = ftp::connect(args[0], #{{ password: secret(\"FTP\") }});\n\
             let r = site.mirror_up(\"dist\", \"/script\", #{{ {options} }});\nprint(r.uploaded);"
        );
        let script = with_lists(Portolan::new().env("FTP", "open+sesame-21")).file("a.rhai", text);
        let ran = script.args(["run", "a.rhai", &url(&server, "")]).run().any_stderr();
        ran.stdout(&format!("{}\n", wanted.len()));
        assert_eq!(below(&server.root().join("script")), wanted, "{options}");

        let job = format!(
            "\n[[job]]\nname = \"up\"\ncron = \"0 0 29 2 *\"\n[job.mirror]\nfrom = \"dist\"\nto = \"{}\"\n{keys}\n\
             [job.connect]\npassword = \"secret:FTP\"\n",
            url(&server, "job")
        );
        let scheduler = Scheduler::new(&job).env("FTP", "open+sesame-21");
        for file in FILES {
            scheduler.file(&format!("dist/{file}"), "1");
        }
        scheduler.file("out.txt", "# logs\n*.log\n\nnode_modules/\n");
        scheduler.file("list.txt", "./a.map\nimg\n");
        scheduler.file("dist/.gitignore", "node_modules\n*.log\n");
        scheduler.file("dist/src/.gitignore", "!keep.log\n");
        scheduler.file("dist/.portolanignore", ".gitignore\n");
        scheduler.command(&["run", "--job", "up"]).succeeds().any_stderr().any_stdout();
        assert_eq!(below(&server.root().join("job")), wanted, "{keys}");
    }
}

#[test]
fn what_takes_no_part_stays_in_the_target_of_a_mirror_that_deletes() {
    let server = Rehearsal::start(&[], false);
    for file in ["site/a.map", "site/img/old.jpg", "site/visitor.txt", "site/a.html"] {
        server.file(file, "old");
    }
    let program = with_lists(mirror());
    let program =
        program.args(["--delete", "--files-from", "list.txt", "dist", &url(&server, "site")]);
    program.run().any_stderr().any_stdout();
    let wanted = ["a.html", "a.map", "img/1.jpg", "img/raw/2.jpeg", "visitor.txt"];
    assert_eq!(below(&server.root().join("site")), wanted.map(str::to_owned).into());
    assert_eq!(server.bytes("site/a.html").as_deref(), Some(&b"old"[..]));
}

#[test]
fn lists_that_cannot_be_meant_are_refused_before_any_connection() {
    let nowhere = "ftp://127.0.0.1:1/in";
    for (flags, why) in [
        (&["--exclude-from", "gone.txt"][..], "gone.txt: cannot read the list: no such file"),
        (&["--exclude-from", "dist"], "dist: cannot read the list: "),
        (&["--exclude-from", "bad.txt"], "line 2 of bad.txt: the pattern `..` names no file"),
        (&["--files-from", "bad.txt"], "line 2 of bad.txt: `..` names no file or folder"),
        (&["--files-from", "none.txt"], "none.txt: the list of files names none"),
        (&["--files-from", "/dev/null"], "the list of files names none"),
        (&["--exclude", "re:(a"], "cannot read the pattern `re:(a`"),
        (&["--include", "re:"], "the pattern `re:` names no file"),
        (&["--once", "--compare", "size"], "`once` goes with `compare = \"auto\"` only"),
    ] {
        let program =
            with_lists(mirror()).file("bad.txt", "*.map\n..\n").file("none.txt", "# no\n");
        let ran = program.args(flags.iter().copied()).args(["dist", nowhere]).run();
        ran.fails_with(2).stderr_has(why);
    }
}

#[test]
fn a_list_may_come_through_a_pipe() {
    let server = Rehearsal::start(&[], false);
    let program = with_lists(mirror()).stdin("a.html\n");
    let ran = program.args(["--files-from", "/dev/stdin", "dist", &url(&server, "in")]).run();
    ran.any_stderr().stdout_has("1 up");
    assert_eq!(below(&server.root().join("in")), ["a.html".to_owned()].into());
}

#[test]
fn a_file_is_fetched_once_whatever_becomes_of_it_here() {
    let server = Rehearsal::start(&[], false);
    server.file("out/a.csv", "1");
    server.file("out/b.csv", "2");
    let program = mirror().args(["--once", &url(&server, "out"), "in"]);
    let state = program.folder().join("state");
    let program = program.env("PORTOLAN_STATE", state);
    let run = |words: &str| program.run().any_stderr().any_files().stdout_has(words);
    drop(run("2 down"));
    let folder = program.folder().join("in");
    fs::remove_file(folder.join("a.csv")).unwrap();
    fs::write(folder.join("b.csv"), "worked on").unwrap();
    for _ in 0..2 {
        drop(run("0 up, 0 down, 0 deleted, 2 unchanged, 0 failed"));
    }
    assert_eq!(below(&folder), ["b.csv".to_owned()].into());
    assert_eq!(fs::read(folder.join("b.csv")).unwrap(), b"worked on");
    // A new version is another file.
    server.file("out/a.csv", "a longer one");
    server.file("out/c.csv", "3");
    drop(run("2 down"));
    assert_eq!(fs::read(folder.join("a.csv")).unwrap(), b"a longer one");
}

#[test]
fn a_history_or_secrets_that_a_mirror_sends_are_named() {
    let server = Rehearsal::start(&[], false);
    let program = mirror().file("dist/.git/config", "x").file("dist/.env", "x").file("dist/a", "x");
    let ran = program.args(["dist", &url(&server, "in")]).run();
    ran.stdout_has("3 up").stderr_has("warning: .env, .git will be on the server");
    let program = mirror().file("dist/.git/config", "x").file("dist/a", "x");
    let ran = program.args(["--gitignore", "dist", &url(&server, "two")]).run();
    ran.stdout_has("1 up").never_says("will be on the server").any_stderr();
}

//! Paths that overlap, lead back, or lead elsewhere: what is named is allowed, and nothing beside it.

use std::{fs, os::unix::fs::symlink};

use crate::support::{program::Portolan, rehearsal::Rehearsal};

/// Tries each of its arguments, such as `read=in/a`.
const TRIES: &str = r#"
    for tried in args {
        let parts = tried.split("=");
        try {
            switch parts[0] {
                "read" => local::read(parts[1]),
                "write" => local::write(parts[1], "x"),
                "delete" => local::delete(parts[1]),
                "list" => local::list(parts[1]),
                "rename" => local::rename(parts[1], parts[2]),
                _ => fail("what?"),
            }
            print("yes");
        } catch (err) {
            print(if err.kind == "denied_by_policy" { "no" } else { err.kind });
        }
    }
"#;

fn folder() -> Portolan {
    let program = Portolan::new().file("in/a", "a").file("in/deep/x", "x").file("in2/a", "a");
    let program = program.file("out/secret", "s").file("in.txt", "t").script(TRIES);
    symlink("../out", program.folder().join("in/link")).unwrap();
    symlink("../out/new", program.folder().join("in/dangling")).unwrap();
    symlink("deep/x", program.folder().join("in/inner")).unwrap();
    program
}

#[test]
fn paths_that_overlap_allow_what_one_of_them_allows() {
    for (flags, tries) in [
        (
            &["--allow-read=in", "--allow-read=in/deep"][..],
            &[("read=in/a", "yes"), ("read=in/deep/x", "yes"), ("read=in2/a", "no")][..],
        ),
        (
            &["--allow-read=in/deep"],
            &[
                ("read=in/deep/x", "yes"),
                ("read=in//deep/./x", "yes"),
                ("read=in/inner", "yes"),
                ("read=in/a", "no"),
                ("read=in/deep/../a", "no"),
                ("read=in/deep/../../in/deep/x", "yes"),
                ("list=in", "no"),
            ],
        ),
        (
            &["--allow-read=in", "--allow-write=in/deep", "--allow-delete=in/deep/x"],
            &[
                ("read=in/deep/x", "yes"),
                ("write=in/deep/y", "yes"),
                ("write=in/a", "no"),
                ("write=in/deep/../a", "no"),
                ("delete=in/deep/y", "no"),
                ("rename=in/deep/y=in/y", "no"),
                ("rename=in/a=in/deep/a", "no"),
                ("delete=in/deep/x", "yes"),
            ],
        ),
        (
            &["--allow-read=./in/../in/"],
            &[
                ("read=in/a", "yes"),
                ("read=in2/a", "no"),
                ("read=in.txt", "no"),
                ("read=IN/a", "no"),
            ],
        ),
        (
            &["--allow-read=in/link"],
            &[("read=in/link/secret", "yes"), ("read=out/secret", "yes"), ("read=in/a", "no")],
        ),
        (
            &["--allow-read=in", "--allow-write=in"],
            &[
                ("read=in/link/secret", "no"),
                ("list=in/link", "no"),
                ("write=in/link/new", "no"),
                ("write=in/dangling", "no"),
                ("write=in/none/../../out/secret", "no"),
                ("read=/proc/self/root/etc/passwd", "no"),
                ("read=/proc/self/fd/0", "no"),
                ("read=/dev/stdin", "no"),
                ("read=/etc/passwd", "no"),
                ("read=.", "no"),
                ("read=", "no"),
                ("read=in/gone", "not_found"),
            ],
        ),
    ] {
        let words = tries.iter().map(|(tried, _)| *tried);
        let program = folder().args(flags.iter().copied()).args(["--"]).args(words);
        let ran = program.run().succeeds().any_stderr().any_files();
        let said = ran.stdout_text().to_owned();
        ran.any_stdout().forget();
        let found: Vec<_> = tries.iter().map(|(tried, _)| *tried).zip(said.lines()).collect();
        assert_eq!(found, tries, "{flags:?}");
    }
}

#[test]
fn a_path_that_leads_nowhere_and_back_is_no_permission() {
    for path in ["in/none/../../out", ""] {
        let program = Portolan::new().script("print(1);");
        let ran = program.args([format!("--allow-write={path}")]).run();
        ran.fails_with(2).stderr_has("error: ").any_stderr().forget();
    }
}

#[test]
fn a_confined_run_and_its_programs_have_a_place_for_temporary_files() {
    let server = Rehearsal::start(&[], false);
    server.file("site/index.html", "old");
    let address = server.server.address();
    let script = r#"
        let own = local::temp_dir();
        local::write(own + "/a", "x");
        let made = run::command(["sh", "-c", "mktemp && echo x >$TMPDIR/b && cat $TMPDIR/b"]);
        print(`${made.code} ${made.stdout.ends_with("x\n")} ${own.contains("portolan-run-")}`);
        let site = ftp::connect(args[0]);
        for turn in 0..2 { site.deploy("dist", #{ keep: 2 }); }
        print(site.rollback().restored);
    "#;
    let program = Portolan::new().file("dist/index.html", "new").script(script).args([
        "--allow-run=sh".to_owned(),
        format!("--allow-net={address}"),
        "--allow-read=dist".to_owned(),
        "--allow-remote-delete".to_owned(),
        format!("ftp://tester@{address}/site"),
    ]);
    let temporary = tempfile::tempdir().unwrap();
    let program = program.env("TMPDIR", temporary.path());
    let ran = program.env("PORTOLAN_PASSWORD", "open+sesame-21").run().succeeds().any_stderr();
    drop(ran.stdout("0 true true\n1\n"));
    // The directory of the user stays, and nothing is left in it.
    let places: Vec<_> = fs::read_dir(temporary.path()).unwrap().map(|it| it.unwrap()).collect();
    assert_eq!(places.len(), 1);
    assert_eq!(fs::read_dir(places[0].path()).unwrap().count(), 0);
    assert_eq!(server.bytes("site/index.html").unwrap(), b"old");
}

//! `portolan run`: scripts against real servers, the facts of their run, their failures.

use std::os::unix::fs::symlink;

use jiff::{SignedDuration, Timestamp};
use portolan::store::{
    Store,
    history::{AttemptRecord, NewRun, RunState, Sum, Trigger},
};
use serde_json::Value;

use crate::support::{
    program::Portolan,
    server::{Kind, Options, RealServer, Tls},
};

const CONNECT: &str = r#"
    let site = ftp::connect(env("SITE"), #{ password: secret("SITE_PASSWORD"), ca_file: env("SITE_CA") });
"#;

/// The same script for every server: each line of its output is the same everywhere.
const EVERYTHING: &str = r#"
    site.mkdir("/in/deep");
    let report = site.put("a.txt", "/in/a.txt");
    print(`${report.uploaded} ${report.bytes} ${report.verified}`);
    site.put("a.txt", "/in/deep/");
    site.write("/in/text", "one\ntwo\n");
    site.append("a.txt", "/in/text");
    print(site.read("/in/text"));
    print(site.read_blob("/in/a.txt").len());
    print(site.size("/in/text"));
    print(site.exists("/in/a.txt"));
    print(site.exists("/in/none"));
    let entries = site.list("/in");
    entries.sort(|a, b| if a.name < b.name { -1 } else { 1 });
    for entry in entries { print(`${entry.name} ${entry.kind} ${if entry.kind == "file" { entry.size } else { "" }}`); }
    print(site.stat("/in/a.txt").size);
    site.rename("/in/a.txt", "/in/b.txt");
    let names = site.names("/in");
    names.sort();
    print(names);
    print(site.get("/in/b.txt", "back.txt").downloaded);
    site.get("/in/b.txt", "folder/");
    site.set_modified("/in/b.txt", "2020-02-03T04:05:06Z");
    print(site.modified("/in/b.txt"));
    site.chmod("/in/b.txt", "600");
    site.cd("/in");
    print(site.pwd());
    site.delete("b.txt");
    site.delete_tree("deep");
    site.rmdir("empty");
    site.delete("/in/text");
    print(site.names("/in"));
    try { site.get("/in/none", "none"); }
    catch (err) {
        print(`${err.kind} ${err.side} ${err.code} ${err.path} ${err.may_retry} ${err.host == site.host}`);
    }
    site.close();
    try { site.pwd(); } catch (err) { print(err.message); }
"#;

#[test]
fn one_script_prints_the_same_with_every_server() {
    for kind in Kind::ALL {
        for tls in [Tls::Off, Tls::Explicit] {
            let Some(server) = RealServer::start(kind, &Options { tls, ..Options::default() })
            else {
                return;
            };
            server.file("in/empty/.keep", "");
            std::fs::remove_file(server.root().join("in/empty/.keep")).unwrap();
            let portolan =
                Portolan::new().server(&server).file("a.txt", "12345").file("folder/x", "");
            portolan
                .script(&format!("{CONNECT}{EVERYTHING}"))
                .run()
                .succeeds()
                .stdout(concat!(
                    "1 5 1\none\ntwo\n12345\n5\n13\ntrue\nfalse\n",
                    "a.txt file 5\ndeep dir \nempty dir \ntext file 13\n5\n",
                    "[\"b.txt\", \"deep\", \"empty\", \"text\"]\n1\n2020-02-03T04:05:06Z\n/in\n[]\n",
                    "not_found server 550 /in/none false true\nthis session is closed\n",
                ))
                .any_stderr()
                .wrote("back.txt", "12345")
                .wrote("folder/b.txt", "12345");
            assert_eq!(std::fs::read_dir(server.root().join("in")).unwrap().count(), 0);
        }
    }
}

#[test]
fn a_script_knows_its_arguments_and_its_job() {
    Portolan::new()
        .env("BRANCH", "main")
        .script(
            r#"
            fn inside() { args.len() }
            print(args);
            print(inside());
            print(`${job::NAME} ${job::ATTEMPT} ${job::TRIGGER} [${job::SCHEDULED_FOR}]`);
            print(env("BRANCH"));
            print(env("NOT_SET") ?? "nothing");
            let before = now();
            sleep("20ms");
            sleep(0);
            sleep(0.01);
            let gone = now() - before;
            print(gone >= 0.03 && gone < 20.0);
            print(now().unix > 1700000000);
            "#,
        )
        .args(["one", "--", "--two", "-3"])
        .run()
        .succeeds()
        .stdout("[\"one\", \"--two\", \"-3\"]\n3\nscript 1 manual []\nmain\nnothing\ntrue\ntrue\n");
}

#[test]
fn every_caught_value_becomes_a_fault() {
    Portolan::new()
        .script(
            r#"
            fn tell(err) {
                let f = fault(err);
                print(`${f.kind}|${f.side}|${f.message}|${f.code}|${f.host}|${f.path}|${f.may_retry}`);
            }
            try { throw "words"; } catch (err) { tell(err); }
            try { fail("mine"); } catch (err) { tell(err); }
            try { let x = 1 / 0; } catch (err) { tell(err); }
            try { throw #{ message: "in a map" }; } catch (err) { tell(err); }
            try { throw; } catch (err) { tell(err); }
            try { local::read("gone"); } catch (err) { tell(err); }
            try { ftp::connect("ftp://127.0.0.1:1"); } catch (err) { tell(err); }
            try { ftp::connect("ftp://127.0.0.1:1", #{ mod: "x" }); } catch (err) { tell(err); }
            try { try { fail("inner"); } catch (err) { throw err; } } catch (err) { tell(err); }
            "#,
        )
        .run()
        .succeeds()
        .stdout(concat!(
            "invalid|script|words|0|||false\n",
            "invalid|script|mine|0|||false\n",
            "invalid|script|division by zero: 1 / 0|0|||false\n",
            "invalid|script|in a map|0|||false\n",
            "invalid|script|the script threw an error without words|0|||false\n",
            "not_found|here|cannot open: no such file or directory|0||gone|false\n",
            "unreachable|network|cannot connect to 127.0.0.1:1: connection refused|0|127.0.0.1||true\n",
            "invalid|script|ftp::connect has no option `mod`; did you mean `mode`?|0|||false\n",
            "invalid|script|inner|0|||false\n",
        ));
}

#[test]
fn an_error_shows_its_line_and_the_calls_on_the_way_there() {
    Portolan::new()
        .script("fn inner(path) {\n    local::read(path)\n}\nfn outer(path) {\n    inner(path)\n}\nouter(\"gone\");\n")
        .run()
        .fails_with(5)
        .stderr(concat!(
            "error: gone: cannot open: no such file or directory\n",
            "  --> script.rhai:2:12\n  |\n2 |     local::read(path)\n  |            ^\n",
            "  in inner at script.rhai:5:5\n  in outer at script.rhai:7:1\n",
        ));
}

#[test]
fn an_error_in_a_closure_says_so() {
    Portolan::new()
        .script("retry(2, ||\n  local::read(\"gone\")\n);\n")
        .run()
        .fails_with(5)
        .stderr(concat!(
            "error: gone: cannot open: no such file or directory\n",
            "  --> script.rhai:2:10\n  |\n2 |   local::read(\"gone\")\n  |          ^\n",
            "  in a closure at script.rhai:1:1\n",
        ));
}

#[test]
fn an_error_in_an_imported_file_shows_the_line_of_that_file() {
    let portolan = || {
        Portolan::new()
            .file("lib/tools.rhai", "// reads\nfn load(path) {\n    local::read(path)\n}\n")
            .file("lib/bad.rhai", "let x = 1;\nlet y = ;\n")
    };
    portolan()
        .script("import \"lib/tools\" as tools;\ntools::load(\"gone\");\n")
        .run()
        .fails_with(5)
        .stderr(concat!(
            "error: gone: cannot open: no such file or directory\n",
            "  --> lib/tools.rhai:3:12\n  |\n3 |     local::read(path)\n  |            ^\n",
            "  in load at script.rhai:2:8\n",
        ));
    portolan().script("import \"lib/bad\" as bad;\n").run().fails_with(3).stderr(concat!(
        "error: unexpected ';'\n",
        "  --> lib/bad.rhai:2:9\n  |\n2 | let y = ;\n  |         ^\n\n",
        "1 error, nothing was run\n",
    ));
}

#[test]
fn imports_stay_below_the_folder_of_the_script() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("x.rhai"), "print(\"outside\");").unwrap();
    let absolute = outside.path().join("x");
    for (text, why) in [
        (
            "import \"../x\" as x;",
            "cannot import \"../x\": an import names a file below the script's own folder",
        ),
        ("import \"a/../../x\" as x;", "an import names a file below the script's own folder"),
        ("import \"link\" as x;", "cannot import \"link\": it leads out of the script's folder"),
        (
            "import \"folder/x\" as x;",
            "cannot import \"folder/x\": it leads out of the script's folder",
        ),
        ("import \"gone\" as x;", "gone.rhai: cannot import \"gone\": no such file or directory"),
        ("import \"\" as x;", "cannot import \"\": an import names a file"),
        ("import \"one\" as x;", "the import of \"one\" goes in a circle"),
        (
            &format!("import \"{}\" as x;", absolute.display()),
            "an import names a file below the script's own folder",
        ),
    ] {
        let portolan = Portolan::new()
            .file("work/one.rhai", "import \"two\" as two;")
            .file("work/two.rhai", "import \"one\" as one;")
            .file("x.rhai", "print(\"above\");")
            .file("work/script.rhai", text)
            .args(["run", "work/script.rhai"]);
        symlink(outside.path().join("x.rhai"), portolan.folder().join("work/link.rhai")).unwrap();
        symlink(outside.path(), portolan.folder().join("work/folder")).unwrap();
        portolan.run().fails_with(3).stdout("").stderr_has(why);
    }
}

#[test]
fn each_end_has_its_exit_code() {
    let run = |text: &str| Portolan::new().script(text).run();
    run("print(1);").stdout("1\n");
    run("exit(0); print(1);").succeeds();
    run("let x = ;").fails_with(3).stderr_has("error: unexpected ';'\n");
    run("fail(\"enough\");").fails_with(3).stderr_has("error: enough\n");
    run("throw 42;").fails_with(3).stderr_has("error: 42\n");
    run("try { exit(9); } catch (err) {}").fails_with(9).stderr("");
    run("prnt(1);").fails_with(3).stderr_has("error: there is no function `prnt`\n");
    run("ftp::connect(\"ftp://127.0.0.1:1\");").fails_with(4).stderr_has("connection refused\n");
    run("local::read(\"gone\");").fails_with(5).stderr_has("error: gone: cannot open");
    Portolan::new()
        .args(["run", "gone.rhai"])
        .run()
        .fails_with(2)
        .stderr("error: gone.rhai: cannot read the script: no such file or directory\n");
    Portolan::new().args(["run"]).run().fails_with(2).stderr_has("<SCRIPT>");
    Portolan::new().args(["run", "."]).run().fails_with(2).stderr_has("is a directory");
}

#[test]
fn options_of_the_command_line_win_over_the_script() {
    let Some(server) = RealServer::start(Kind::Vsftpd, &Options::default()) else { return };
    let script = r#"
        let options = #{ password: secret("SITE_PASSWORD"), mode: "active" };
        let site = ftp::connect(env("SITE"), options);
        site.list("/");
        print(`${site.mode} ${site.route}`);
    "#;
    for (set, expected) in [(None, "active eprt\n"), (Some("mode=passive"), "passive epsv\n")] {
        let portolan = Portolan::new().server(&server).script(script);
        let set = set.map(|set| format!("--set={set}"));
        // The script's own arguments follow its name.
        let portolan = match set {
            Some(set) => Portolan::new().server(&server).args([set.as_str()]).script(script),
            None => portolan,
        };
        portolan.run().stdout(expected).any_stderr();
    }
}

#[test]
fn a_wrong_override_is_told_before_anything_runs() {
    for (set, why) in [
        ("mod=passive", "error: --set has no option `mod`; did you mean `mode`?\n"),
        (
            "mode=pasive",
            "error: `mode` wants one of \"auto\", \"active\", \"passive\", \"race\", got \"pasive\"; did you mean \"passive\"?\n",
        ),
        ("mode", "error: --set wants KEY=VALUE, such as mode=passive, got `mode`\n"),
        (
            "connect_timeout=5x",
            "error: `connect_timeout` wants a duration such as \"90s\" or \"5m\", got \"5x\"\n",
        ),
        (
            "parallel=99",
            "error: `parallel` wants a whole number from 1 to 32, or \"auto\", got 99\n",
        ),
        (
            "port_range=1-2",
            "error: `port_range` wants ports from 1024 to 65535, the lower first, such as \"50000-50010\", got \"1-2\"\n",
        ),
        ("insecure=maybe", "error: `insecure` wants true or false, got \"maybe\"\n"),
    ] {
        Portolan::new()
            .args(["--set", set])
            .script("print(\"ran\");")
            .run()
            .fails_with(2)
            .stdout("")
            .stderr(why);
    }
    Portolan::new().args(["--set", "password=123"]).script("print(1);").run().stdout("1\n");
}

#[test]
fn each_event_is_a_line_of_json_as_the_documentation_says() {
    let ran = Portolan::new()
        .file("tree/a.txt", "hello")
        .file(
            "script.rhai",
            r#"
            let site = ftp::connect("ftpes://ftp.example.org", #{ mode: "active" });
            print("one\ntwo");
            log::warn("careful");
            site.get("a.txt", "b.txt");
            site.delete("a.txt");
            site.get("a.txt", "c.txt");
            "#,
        )
        .args(["rehearse", "--json", "--tree", "tree", "--fault", "active-refused", "script.rhai"])
        .run()
        .fails_with(5)
        .any_stdout()
        .stderr_has("error: /a.txt: ");
    let lines: Vec<Value> =
        ran.stdout_text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let fields = |event: &str| -> Vec<String> {
        let line = lines.iter().find(|line| line["event"] == event);
        let line = line.unwrap_or_else(|| panic!("no {event} in {}", ran.stdout_text()));
        line.as_object().unwrap().keys().skip(3).cloned().collect()
    };
    for (event, wanted) in [
        ("run_started", &["script"][..]),
        ("connected", &["host", "address", "tls", "ms"]),
        ("attempted", &["host", "step", "address", "worked", "ms", "words"]),
        ("fell_back", &["host", "from", "to", "reason"]),
        ("transfer_started", &["id", "verb", "path", "bytes"]),
        ("transfer_done", &["id", "verb", "path", "bytes", "verified", "ms"]),
        ("transfer_failed", &["id", "verb", "path", "fault"]),
        ("done", &["verb", "path"]),
        ("said", &["level", "text"]),
        ("printed", &["text"]),
        ("run_done", &["fault", "ms"]),
        ("rehearsed", &["changes"]),
    ] {
        assert_eq!(fields(event), wanted, "{event}");
    }
    for line in &lines {
        assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
        assert_eq!(line["run"], lines[0]["run"], "{line}");
    }
    let done = lines.iter().find(|line| line["event"] == "run_done").unwrap();
    let fault: Vec<_> = done["fault"].as_object().unwrap().keys().collect();
    assert_eq!(fault, ["kind", "side", "message", "code", "host", "path", "may_retry"]);
}

#[test]
fn what_fails_once_is_tried_again_and_what_always_fails_is_not_for_ever() {
    let script = r#"
        let tries = 0;
        let text = retry(#{ attempts: 3, backoff: "10ms" }, || {
            tries += 1;
            ftp::connect("ftp://ftp.example.org").read("a.txt")
        });
        print(`${text} after ${tries}`);
    "#;
    let rehearse = |fault: &str| {
        Portolan::new()
            .file("tree/a.txt", "hello")
            .file("script.rhai", script)
            .args(["rehearse", "--tree", "tree", "--fault", fault, "script.rhai"])
            .run()
    };
    let ran = rehearse("retr-426*1").succeeds().stdout("hello after 2\n");
    let ran = ran.stderr_has(concat!(
        "warning: /a.txt: the server said \"426 Connection closed; transfer aborted.\"; trying again (1 of 2)\n",
        "down  /a.txt  5 B\n1 down, 5 B in ",
    ));
    assert_eq!(ran.stderr_text().matches("426").count(), 1, "told once");
    let ran = rehearse("retr-426").fails_with(4).stdout("");
    let ran = ran.stderr_has("trying again (2 of 2)\nerror: /a.txt: ");
    assert_eq!(ran.stderr_text().matches("426").count(), 3, "each failure is told once");
    // A permanent failure is not retried.
    rehearse("login-530").fails_with(5).stdout("").stderr_has("error: ftp.example.org: the login");
    rehearse("login-530").fails_with(5).stdout("").never_says("trying again").any_stderr();
}

/// Runs of two scripts in turn, so that the numbers of one are all odd.
#[test]
fn a_run_by_hand_removes_the_old_runs_of_its_script_and_of_no_other() {
    let program = Portolan::new().args(["--state", "state"]).script("print(1);");
    let folder = program.folder().join("state");
    let mut store = Store::open(&folder).unwrap();
    let at = Timestamp::now() - SignedDuration::from_hours(200 * 24);
    let sum = Sum { exit_code: Some(0), ..Sum::default() };
    let state = RunState::Done;
    let attempt = AttemptRecord { number: 1, started_at: at, ended_at: Some(at), state, sum };
    for job in ["script", "other"].repeat(30) {
        let run = NewRun {
            job: job.into(),
            revision: String::new(),
            slot: None,
            script: format!("{job}.rhai"),
            cause: Trigger::Manual,
            scheduled_for: None,
            up_to: None,
            moved_from: None,
            wait: None,
            state: RunState::Running,
            reason: None,
            reason_code: None,
            covered_by: None,
            covers: 1,
        };
        let id = store.begin_by_hand(&run, at).unwrap();
        store.end_by_hand(id, &attempt, &[], &[]).unwrap();
    }
    drop(store);
    drop(program.run().stdout("1\n").any_files());
    let store = Store::open(&folder).unwrap();
    let runs = |job| store.runs(Some(job), 100).unwrap().len();
    assert_eq!((runs("script"), runs("other")), (1, 30));
}

#[test]
fn dates_are_read_written_and_moved() {
    let script = r#"
        let day = time("2026-03-28 12:00", "Europe/Berlin");
        print(day);
        print((day + "1d").format("%Y%m%d %H:%M %z"));
        print((day - "1mo").format("report-%Y-%m.csv"));
        print(`${day.year} ${day.month} ${day.day} ${day.hour} ${day.weekday} ${day.day_of_year} ${day.zone}`);
        print(day.in_zone("America/New_York").hour);
        print(parse_time("orders-20260211.csv", "orders-%Y%m%d.csv"));
        print(parse_time("11.02.2026 14:22", "%d.%m.%Y %H:%M", "Europe/Berlin"));
        print(time("2026-02-11T14:22:07Z").start_of("month") - "1d");
        print(time("2026-02-12") - time("2026-02-11"));
        print(time("2026-02-11T00:00:00+01:00") == time("2026-02-10T23:00:00Z"));
        print(now("local").unix - now().unix < 5);
        print(time("2026-02-11").sub_string(0, 10));
        print(`${job::TIMEZONE} ${job::LAST_SUCCESS == ()} [${job::SCHEDULED_FOR}]`);
        for wrong in [
            || time("yesterday"), || now("Europe/Berlim"), || day + "1 fortnight", || day.format("%"),
            || parse_time("x", "%Y"), || day.start_of("decade"),
        ] {
            try { wrong.call(); print("fine"); } catch (err) { print(`${err.kind}: ${err.message}`); }
        }
    "#;
    let ended = Portolan::new().script(script).run().succeeds().any_stdout();
    let lines: Vec<&str> = ended.stdout_text().lines().collect();
    let expected = [
        "2026-03-28T12:00:00+01:00",
        "20260329 12:00 +0200",
        "report-2026-02.csv",
        "2026 3 28 12 6 87 Europe/Berlin",
        "7",
        "2026-02-11T00:00:00Z",
        "2026-02-11T14:22:00+01:00",
        "2026-01-31T00:00:00Z",
        "86400.0",
        "true",
        "true",
        "2026-02-11",
        "local true []",
    ];
    assert_eq!(lines[..expected.len()], expected);
    let wrong = [
        "is no time: \"yesterday\"",
        "did you mean `Europe/Berlin`?",
        "is no span of time",
        "is no format of a time",
        "is not of the form \"%Y\"",
        "is none of \"minute\"",
    ];
    for (line, part) in lines[expected.len()..].iter().zip(wrong) {
        assert!(line.starts_with("invalid: ") && line.contains(part), "{line}");
    }
    assert_eq!(lines.len(), expected.len() + wrong.len());
}

#[test]
fn a_script_may_be_a_text_or_come_through_a_pipe() {
    let text = "print(args); print(1 + 1);";
    let ran = Portolan::new().args(["run", "-e", text, "a", "b"]).run();
    ran.stdout("[\"a\", \"b\"]\n2\n").any_stderr();
    let ran = Portolan::new().stdin(text).args(["run", "-", "a"]).run();
    ran.stdout("[\"a\"]\n2\n").any_stderr();
    let wrong = Portolan::new().args(["run", "-e", "print(nosuch);"]).run().fails_with(3);
    wrong.stderr_has("--> -e:1:7").stderr_has("nothing was run");
    let none = Portolan::new().args(["run"]).run().fails_with(2);
    none.stderr_has("<SCRIPT>");
    let both = Portolan::new().args(["run", "-e", "print(1)", "--job", "a"]).run();
    both.fails_with(2).stderr_has("cannot be used with");
    let confined = Portolan::new().args(["run", "--deny-all", "-e", "local::write(\"x\", \"y\");"]);
    confined.run().any_code().stderr_has("--allow-write").any_files();
}

//! `portolan rehearse`: all effects are on the embedded server, and none elsewhere.

use crate::support::program::{Portolan, Ran};

fn rehearse(script: &str, options: &[&str]) -> Ran {
    Portolan::new()
        .file("tree/a.txt", "hello")
        .file("tree/sub/b.txt", "b")
        .file("here.txt", "here")
        .file("script.rhai", script)
        .args(["rehearse", "--tree", "tree"])
        .args(options.iter().copied())
        .args(["script.rhai"])
        .run()
}

const HEAD: &str = "rehearsal: nothing real was touched; on the server this would have changed:\n";

#[test]
fn nothing_real_is_touched_here_or_there() {
    // Files without a check must be unchanged: the builder compares the directory of the run.
    let ran = rehearse(
        r#"
        let site = ftp::connect("ftpes://deploy@www.example.com", #{ password: secret("NOT_SET") });
        print(site.read("a.txt"));
        site.get("a.txt", "got.txt");
        site.get("a.txt", "here.txt");
        local::write("new.txt", "new");
        local::append("here.txt", "+");
        local::mkdir("folder/deep");
        local::copy("here.txt", "folder/copy.txt");
        local::rename("folder/copy.txt", "folder/moved.txt");
        print(`${local::read("got.txt")} ${local::read("here.txt")} ${local::read("folder/moved.txt")}`);
        print(local::exists("new.txt"));
        local::delete("script.rhai");
        print(local::exists("script.rhai"));
        site.put("here.txt", "up.txt");
        site.write("a.txt", "changed");
        site.delete_tree("sub");
        site.rename("up.txt", "down.txt");
        "#,
        &[],
    );
    ran.succeeds()
        .stdout("hello\nhello hello+ hello+\ntrue\nfalse\n")
        .stderr_has(HEAD)
        .stderr_has("  changed  a.txt  7 bytes\n")
        .stderr_has("  added    down.txt  6 bytes\n")
        .stderr_has("  removed  sub");
}

#[test]
fn a_rehearsal_does_without_the_proxy() {
    let script = r#"
        let site = ftp::connect("ftp://ftp.example.org", #{ proxy: "socks5://gate.invalid" });
        print(site.read("a.txt"));
    "#;
    rehearse(script, &[]).succeeds().stdout("hello\n").stderr_has("rehearsal: nothing real");
}

#[test]
fn what_a_rehearsal_wrote_is_listed_beside_what_was_there() {
    let script = r#"
        local::write("tree/new.txt", "new");
        local::delete("tree/a.txt");
        print(local::list("tree").map(|entry| entry.name));
        print(local::glob("tree/**/*.txt"));
        print(local::glob("*.txt"));
        local::write("here.txt", "changed");
        local::rename("tree", "moved");
        print(local::read("moved/new.txt"));
        print(local::read("here.txt"));
    "#;
    rehearse(script, &[]).any_stderr().stdout("[\"new.txt\", \"sub\"]\n[\"tree/new.txt\", \"tree/sub/b.txt\"]\n[\"here.txt\"]\nnew\nchanged\n");
}

#[test]
fn whatever_the_host_and_the_scheme_the_stage_answers() {
    for url in [
        "ftp://ftp.example.org",
        "ftpes://u@nowhere.invalid",
        "ftps://u:p@nowhere.invalid:2990",
        "ftp://[::1]:2121/sub",
        "ftps://192.0.2.1",
    ] {
        let script = format!(
            "let site = ftp::connect(\"{url}\"); print(site.names(\"/sub\")); print(site.host);"
        );
        let host = url.rsplit(['/', '@']).find(|part| part.len() > 3).unwrap();
        let host =
            host.trim_end_matches(":2990").trim_start_matches('[').split("]:").next().unwrap();
        rehearse(&script, &[]).succeeds().stdout(&format!("[\"b.txt\"]\n{host}\n")).any_stderr();
    }
}

#[test]
fn a_fault_happens_so_often_as_it_says() {
    let script = r#"
        let site = ftp::connect("ftp://ftp.example.org");
        for i in 0..3 {
            try { site.read("a.txt"); print("read"); } catch (err) { print(err.code); }
        }
    "#;
    rehearse(script, &["--fault", "retr-426*1"]).stdout("426\nread\nread\n").any_stderr();
    rehearse(script, &["--fault", "retr-426*2"]).stdout("426\n426\nread\n").any_stderr();
    rehearse(script, &["--fault", "retr-426"]).stdout("426\n426\n426\n").any_stderr();
    rehearse(script, &["--fault", "retr-426@/sub"]).stdout("read\nread\nread\n").any_stderr();
    rehearse(script, &["--fault", "retr-426*1", "--fault", "reply=RETR:550 gone*2"])
        .stdout("550\n550\n426\n")
        .any_stderr();
}

#[test]
fn an_unknown_fault_is_reported_with_the_nearest() {
    for (fault, why) in [
        ("drop-aftr=10", "error: there is no fault `drop-aftr`; did you mean `drop-after`?\n"),
        ("drop-after", "error: the fault `drop-after` wants a number, as in `drop-after=100`\n"),
        ("drop-after=x", "error: the fault `drop-after` wants a number, as in `drop-after=100`\n"),
        ("retr-425=1", "error: the fault `retr-425` wants nothing behind its name\n"),
    ] {
        rehearse("print(1);", &["--fault", fault]).fails_with(2).stdout("").stderr(why);
    }
}

#[test]
fn the_faults_are_listed_by_name() {
    let ran = Portolan::new().args(["rehearse", "--list-faults"]).run().succeeds();
    for name in
        ["pasv-refused ", "active-silent ", "short-226 ", "drop-after ", "slow ", "login-530 "]
    {
        assert!(ran.stdout_text().lines().any(|line| line.starts_with(name)), "{name}");
    }
    drop(ran.any_stdout());
}

#[test]
fn the_servers_are_listed_by_name_with_what_does_so_in_the_world() {
    let ran = Portolan::new().args(["rehearse", "--list-servers"]).run().succeeds();
    for line in ["windows-names ", "zos ", "embedded-device ", "shared-host "] {
        let found = ran.stdout_text().lines().find(|listed| listed.starts_with(line));
        assert!(found.is_some_and(|listed| listed.ends_with(')')), "{line}");
    }
    drop(ran.any_stdout());
}

#[test]
fn a_server_behaves_as_the_one_that_is_named_and_a_fault_comes_on_top() {
    let script = r#"
        let site = ftp::connect("ftpes://ftp.example.org");
        print(site.read("A.TXT"));
        try { site.rename("a.txt", "b.txt"); } catch (err) { print(err.code); }
    "#;
    let folds = ["--server", "windows-names"];
    rehearse(script, &folds).succeeds().stdout("hello\n").stderr_has("  added    b.txt");
    let both = [&folds[..], &["--fault", "reply=RNFR:550 No."]].concat();
    rehearse(script, &both).succeeds().stdout("hello\n550\n").stderr_has("  nothing\n");
    let ran = rehearse("print(1);", &["--server", "windows-name"]).fails_with(2).stdout("");
    ran.stderr("error: there is no server `windows-name`; did you mean `windows-names`?\n");
}

#[test]
fn a_tree_that_is_not_there_or_a_script_that_is_not_named_is_a_wrong_command() {
    Portolan::new()
        .file("script.rhai", "print(1);")
        .args(["rehearse", "--tree", "gone", "script.rhai"])
        .run()
        .fails_with(2)
        .stderr_has("error: gone: ");
    Portolan::new().args(["rehearse"]).run().fails_with(2).stderr_has("<SCRIPT>");
}

#[test]
fn a_rehearsal_ends_with_the_code_of_the_run_and_still_says_what_changed() {
    let script = r#"
        let site = ftp::connect("ftpes://ftp.example.org");
        site.write("done.txt", "1");
        site.put("here.txt", "full.txt");
    "#;
    rehearse(script, &["--fault", "stor-552@/full.txt"]).succeeds().any_stderr();
    let ran = rehearse(script, &["--fault", "stor-552"]).fails_with(5).any_stderr();
    assert!(ran.stderr_text().contains(&format!("{HEAD}  nothing\n")), "{}", ran.stderr_text());
    let ran = rehearse(script, &["--fault", "login-421"]).fails_with(4);
    ran.stderr_has("421 Too many users").stderr_has("  nothing\n");
}

#[test]
fn a_program_reads_what_would_have_changed() {
    let script = "ftp::connect(\"ftpes://h\").delete(\"a.txt\");";
    let ran = rehearse(script, &["--json"]).succeeds();
    let last = ran.stdout_text().lines().last().unwrap();
    let last: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["event"], "rehearsed");
    assert_eq!(last["changes"], serde_json::json!(["removed  a.txt  5 bytes"]));
    drop(ran.any_stdout());
}

/// A mirror each way, with all operations that pipeline several commands.
const MIRRORS: &str = r#"
    let site = ftp::connect("SCHEME://deploy@ftp.example.org/", #{ password: secret("NOT_SET"), parallel: 3 });
    for number in 0..9 {
        local::mkdir(`site/d${number % 3}`);
        local::write(`site/d${number % 3}/f${number}`, `bytes of ${number}`);
    }
    let up = site.mirror_up("site", "/in", #{ retries: 0 });
    print(`${up.uploaded} up, ${up.failed} failed, ${up.deleted} deleted`);
    local::delete("site/d1/f1");
    local::write("site/d2/f2", "other bytes");
    let up = site.mirror_up("site", "/in", #{ delete: true, retries: 0 });
    print(`${up.uploaded} up, ${up.failed} failed, ${up.deleted} deleted`);
    let down = site.mirror_down("/in", "copy", #{ retries: 0 });
    print(`${down.downloaded} down, ${down.failed} failed`);
    print(local::read("copy/d2/f2"));
"#;

#[test]
fn mirrors_get_through_where_one_command_goes_in_a_packet() {
    for scheme in ["ftp", "ftpes"] {
        let script = MIRRORS.replace("SCHEME", scheme);
        let wanted = {
            let ran = rehearse(&script, &[]).succeeds().any_stderr();
            let text = ran.stdout_text().to_owned();
            drop(ran.stdout(&text));
            text
        };
        assert!(
            wanted.starts_with("9 up, 0 failed, 0 deleted\n1 up, 0 failed, 1 deleted\n"),
            "{wanted}"
        );
        for listed in [&[][..], &["--fault", "no-mlsd"]] {
            for verb in [
                "TYPE", "FEAT", "PWD", "CWD", "USER", "SIZE", "MFMT", "MDTM", "MKD", "RNFR",
                "DELE", "MLST",
            ] {
                let fault = format!("alone={verb}");
                let options = [listed, &["--fault", &fault]].concat();
                drop(rehearse(&script, &options).succeeds().stdout(&wanted).any_stderr());
            }
        }
    }
}

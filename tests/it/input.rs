//! Foreign text that could attack a terminal: names, greetings and replies with control characters.

use crate::support::program::{Portolan, Ran};

/// Terminal escapes, a title, a carriage return, a C1 control, a mark that changes the direction of writing, invalid
/// UTF-8.
const NASTY: &str = "\\x1b[2J\\x1b]0;title\\x07\\r\\n331 fake\\x9b31m\\xe2\\x80\\xae\\xff";

/// Checks that the output has no characters that a terminal would obey.
#[track_caller]
fn is_tame(ran: Ran) -> Ran {
    for text in [ran.stdout_text(), ran.stderr_text()] {
        let wild = text.chars().find(|c| {
            (c.is_control() && *c != '\n')
                || ('\u{202a}'..='\u{202e}').contains(c)
                || *c == '\u{2066}'
        });
        assert_eq!(wild, None, "{text:?}");
    }
    ran
}

fn rehearse(options: &[&str], fault: &str, script: &str) -> Ran {
    Portolan::new()
        .file("tree/a.txt", "hello")
        .file("script.rhai", script)
        .args(options.iter().copied())
        .args(["rehearse", "--tree", "tree", "--fault", fault, "script.rhai"])
        .run()
}

const WAYS: [&[&str]; 4] = [
    &[],
    &["--json"],
    &["--log-level", "debug"],
    &["--log-level", "debug", "--log-format", "json"],
];

#[test]
fn s15_a_greeting_cannot_touch_the_terminal() {
    for way in WAYS {
        let fault =
            "greeting=220-\\x1b[2J\\x1b]0;t\\x07\\x9b31m\\r\\n220 \\xe2\\x80\\xae\\xff\\r\\n";
        let script = "let site = ftp::connect(\"ftp://h\"); print(site.pwd());";
        drop(is_tame(rehearse(way, fault, script).any_stdout().any_stderr()));
    }
}

#[test]
fn s15_an_error_in_the_words_of_the_server_stays_in_its_line() {
    for way in WAYS {
        let fault = "reply=DELE:550 \\x1b[2J\\x1b]0;t\\x07\\x9b31m\\xe2\\x80\\xae\\xff\\r\\n";
        let script = r#"
            let site = ftp::connect("ftpes://h");
            try { site.delete("a.txt"); }
            catch (err) { print(err); print(err.message); log::warn(err.message); }
            site.delete("a.txt");
        "#;
        let ran = is_tame(rehearse(way, fault, script).fails_with(5).any_stdout().any_stderr());
        let error = ran.stderr_text().lines().find(|line| line.starts_with("error: ")).unwrap();
        assert!(error.contains("\\u{1b}[2J"), "{error}");
    }
}

#[test]
fn s15_a_name_in_a_listing_cannot_touch_the_terminal() {
    let fault = format!(
        "listing=type=file;size=1; {}\\r\\ntype=file;size=2; fine\\r\\n",
        NASTY.replace("\\r\\n331 fake", "")
    );
    for way in WAYS {
        let script = r#"
            let site = ftp::connect("ftpes://h");
            for entry in site.list("/") { print(entry.name); log::info(entry.name); }
        "#;
        let ran = rehearse(way, &fault, script).any_stdout().any_stderr();
        drop(is_tame(ran).stdout_has("fine"));
    }
}

#[test]
fn s15_one_record_of_the_log_is_one_line() {
    let script = "log::info(\"one\\ntwo\\u001b[2J\"); print(\"three\\nfour\");";
    let ran = Portolan::new()
        .args(["--log-level", "info", "--log-format", "json"])
        .script(script)
        .run()
        .stdout("three\nfour\n")
        .any_stderr();
    let records = ran.stderr_text().lines().filter(|line| line.starts_with('{'));
    let mut said = 0;
    for line in records {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        said += usize::from(record.to_string().contains("two"));
    }
    assert_eq!(said, 1, "{}", ran.stderr_text());
    drop(is_tame(ran));
}

#[test]
fn s15_what_a_user_typed_is_shown_tame() {
    for arguments in [
        &["run", "\x1b[2J.rhai"][..],
        &["ls", "ftp://\x1b[2J/"],
        &["--set", "\x1b[2J=x", "ls", "ftp://h/"],
        &["--set", "mode=\x1b[2J", "ls", "ftp://h/"],
        &["rehearse", "--fault", "\x1b[2J", "script.rhai"],
        &["put", "\x1b[2J", "ftp://h/x"],
    ] {
        let ran = Portolan::new().file("script.rhai", "").args(arguments.iter().copied()).run();
        let code = if arguments.first() == Some(&"put") { 5 } else { 2 };
        drop(is_tame(ran.fails_with(code).any_stderr()));
    }
    let script = "import \"\\u001b[2J\" as x;";
    drop(is_tame(Portolan::new().script(script).run().fails_with(3).any_stderr()));
    let script = "ftp::connect(\"ftp://h\", #{ \"\\u001b[2J\": 1 });";
    drop(is_tame(Portolan::new().script(script).run().fails_with(3).any_stderr()));
}

#[test]
fn a_script_that_is_no_text_or_too_long_is_told_so() {
    let run = |bytes: &[u8]| {
        Portolan::new().file("script.rhai", bytes).args(["run", "script.rhai"]).run().fails_with(2)
    };
    run(b"let x = \xff;").stderr("error: script.rhai: the script is not UTF-8 (byte 8)\n");
    run(&b"// x\n".repeat(300_000)).stderr_has("a script of more than 1048576 bytes is not read\n");
}

#[test]
fn a_mistake_in_the_command_says_what_is_wrong_and_what_would_be_right() {
    for (arguments, why) in [
        (&["runn", "x.rhai"][..], "unrecognized subcommand 'runn'"),
        (&["run", "--jsn", "x.rhai"], "a similar argument exists: '--json'"),
        (&["ls"], "<URL>"),
        (&["ls"], "for example: portolan ls ftp://ftp.example.org/pub"),
        (&["get"], "for example: portolan get ftpes://me@ftp.example.org/pub/catalogue.csv"),
        (
            &["rm", "--recursive"],
            "a saved site does for a URL: @NAME/path, see `portolan site list`",
        ),
        (&["mirror", "dist"], "<TARGET>"),
        (&["mirror", "dist"], "for example: portolan mirror ftpes://me@ftp.example.org/pub copy"),
        (&["mv", "ftp://h/a"], "for example: portolan mv ftpes://me@ftp.example.org/in/order.part"),
        (&["put", "a.txt"], "no server is named: portolan put a.txt <URL>"),
        (
            &["put", "a.txt"],
            "such as ftpes://me@ftp.example.org/in/ or a saved site such as @acme/in/",
        ),
        (
            &["put", "ftp://me:word@h/in/"],
            "no file is named: portolan put <LOCAL> ftp://me:***@h/in/",
        ),
        (&["mkdir"], "for example: portolan mkdir ftpes://me@ftp.example.org/in/2026"),
        (&["chmod", "644"], "for example: portolan chmod 644 'ftpes://me@ftp.example.org/"),
        (&["put"], "for example: portolan put order.csv ftpes://me@ftp.example.org/in/"),
        (&["--log-level", "all", "ls", "ftp://h/"], "[possible values: debug, info, warn, error]"),
        (&["get", "ftp://h/folder/"], "the URL names a folder, folder/: -r fetches it"),
        (&["get", "ftp://h/a", "ftp://h/b/", "in/"], "the URL names a folder, b/: -r fetches it"),
        (&["rm", "ftp://h/"], "the URL names no file"),
    ] {
        let ran = Portolan::new().args(arguments.iter().copied()).run();
        ran.fails_with(2).stdout("").stderr_has(why);
    }
}

#[test]
fn the_help_of_every_command_fits_a_terminal_and_names_the_exit_codes() {
    for command in ["", "run", "rehearse", "ls", "get", "put", "rm"] {
        let arguments = [command, "--help"].into_iter().filter(|word| !word.is_empty());
        let ran = Portolan::new().env("COLUMNS", "80").args(arguments).run().succeeds();
        let ran = ran.stdout_has("Usage: portolan").stdout_has("Options of every command:");
        let wide = ran.stdout_text().lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "{command}");
    }
    Portolan::new().args(["--help"]).run().stdout_has("Exit codes: 0 done");
}

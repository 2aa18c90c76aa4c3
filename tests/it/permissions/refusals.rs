//! Refusals of what is not named, with the line, and with the flag and the key that would allow it.

use std::os::unix::fs::symlink;

use crate::support::{
    program::{Portolan, Ran},
    rehearsal::Rehearsal,
};

/// Checks that a run was refused at `line`, and that its message names `flag` and `key`.
fn refused(ran: Ran, line: u32, flag: &str, key: &str) {
    ran.fails_with(5)
        .stderr_has(&format!("script.rhai:{line}:"))
        .stderr_has(&format!("`{flag}`"))
        .stderr_has(&format!("`{key}` in `[job.permissions]`"))
        .any_stdout()
        .any_stderr()
        .any_files()
        .forget();
}

#[test]
fn each_refusal_names_its_line_the_flag_and_the_key() {
    for (call, flag, key) in [
        (
            "ftp::connect(\"ftp://127.0.0.1:1\")",
            "--allow-net=127.0.0.1:1",
            "net = [\"127.0.0.1:1\"]",
        ),
        ("local::read(\"a\")", "--allow-read=a", "read = [\"a\"]"),
        ("local::write(\"a\", \"\")", "--allow-write=a", "write = [\"a\"]"),
        ("local::delete(\"a\")", "--allow-delete=a", "delete = [\"a\"]"),
        ("env(\"USER\")", "--allow-env=USER", "env = [\"USER\"]"),
        ("secret(\"ACME\")", "--allow-secret=ACME", "secret = [\"ACME\"]"),
        ("nat::ruleset(\"a\").plan()", "--allow-nat", "nat = true"),
    ] {
        let text = format!("print(1);\n{call};\n");
        refused(Portolan::new().script(&text).args(["--deny-all"]).run(), 2, flag, key);
    }
}

#[test]
fn without_permissions_a_run_may_do_what_it_did_but_change_nat() {
    let script = "local::write(\"a\", local::read(\"script.rhai\").len().to_string());\n\
         local::delete(\"a\");\nprint(env(\"HOME\") != ());\n";
    Portolan::new().script(script).run().succeeds().stdout("true\n");
    let script = "nat::ruleset(\"a\").apply();\n";
    let ran = Portolan::new().script(script).run();
    ran.fails_with(5).stderr_has("--allow-nat").stderr_has("nat.not_allowed").any_stderr().forget();
}

#[test]
fn a_permission_is_for_what_it_names_and_nothing_else() {
    let script = r#"
        fn tried(name, work) {
            try { work.call(); print(`${name}: allowed`); }
            catch (err) { print(`${name}: ${err.kind}`); }
        }
        tried("inside", || local::write("in/a", "x"));
        tried("below", || local::write("in/deep/a", "x"));
        tried("read", || local::read("in/a"));
        tried("outside", || local::write("out/a", "x"));
        tried("dots", || local::write("in/../out/a", "x"));
        tried("absolute", || local::write(args[0] + "/out/a", "x"));
        tried("link", || local::write("in/link/a", "x"));
        tried("file link", || local::write("in/file", "x"));
        tried("proc", || local::write("/proc/self/cwd/out/a", "x"));
        tried("absolute inside", || local::write(args[0] + "/in/b", "x"));
        tried("scratch", || local::write(local::temp_dir() + "/a", "x"));
        tried("copy", || local::copy("in/a", "in/c"));
        tried("delete", || local::delete("in/a"));
        tried("env", || env("HOME"));
    "#;
    let program = Portolan::new().file("out/secret", "").file("in/deep/x", "").script(script);
    symlink("../out", program.folder().join("in/link")).unwrap();
    symlink("../out/secret", program.folder().join("in/file")).unwrap();
    let folder = program.folder().to_str().unwrap().to_owned();
    let refused = "denied_by_policy";
    program
        .args(["--allow-write=in", "--", &folder])
        .run()
        .succeeds()
        .stdout(&format!(
            "inside: allowed\nbelow: allowed\nread: {refused}\noutside: {refused}\ndots: {refused}\n\
             absolute: {refused}\nlink: {refused}\nfile link: {refused}\nproc: {refused}\n\
             absolute inside: allowed\nscratch: allowed\ncopy: {refused}\ndelete: {refused}\n\
             env: {refused}\n"
        ))
        .any_stderr()
        .wrote("in/a", "x")
        .wrote("in/deep/a", "x")
        .wrote("in/b", "x");
}

#[test]
fn a_host_is_compared_by_name_port_and_wildcard() {
    let server = Rehearsal::start(&[], false);
    let port = server.server.address().port();
    let url = format!("ftp://127.0.0.1:{port}");
    let script =
        "try { ftp::connect(args[0]); print(\"allowed\"); } catch (err) { print(err.kind); }";
    for (grant, said) in [
        (format!("127.0.0.1:{port}"), "allowed\n"),
        ("127.0.0.1".to_owned(), "allowed\n"),
        (format!("[::1]:{port},127.0.0.1:{port}"), "allowed\n"),
        (format!("127.0.0.1:{}", port - 1), "denied_by_policy\n"),
        ("127.0.0.2".to_owned(), "denied_by_policy\n"),
        ("localhost".to_owned(), "denied_by_policy\n"),
        ("*.0.0.1".to_owned(), ""),
        // A wildcard does not lead back into this host.
        ("*".to_owned(), "denied_by_policy\n"),
    ] {
        let program =
            Portolan::new().script(script).args([format!("--allow-net={grant}"), url.clone()]);
        let ran = program.run();
        if said.is_empty() {
            ran.fails_with(2).stderr_has("is no host").any_stderr().forget();
        } else {
            ran.succeeds().stdout(said).any_stderr().forget();
        }
    }
}

#[test]
fn wrong_flags_are_refused_before_anything_runs() {
    for (flags, said) in [
        (&["--allow-net=ftp://a"][..], "is no host, but a URL or a path"),
        (&["--allow-net=a:99999"], "has no port that can be one"),
        (&["--allow-read="], "a path is wanted"),
        (&["--allow-env=A B"], "`env` wants names"),
        (&["--deny-all", "--allow-nat"], "`--deny-all` allows nothing"),
        (&["--require-sandbox"], "`--require-sandbox` has nothing to enforce"),
        (&["--allow-raed=a"], "--allow-read"),
    ] {
        let program = Portolan::new().script("print(1);").args(flags.iter().copied());
        program.run().fails_with(2).stderr_has(said).any_stderr().forget();
    }
}

#[test]
fn a_block_in_the_jobs_file_is_checked_key_by_key() {
    for (line, said) in [
        ("permissions = { raed = \"a\" }", "did you mean `read`?"),
        ("permissions = { net = \"ftp://a\" }", "is no host"),
        ("permissions = { nat = \"yes\" }", "`nat` wants true or false"),
        ("permissions = [\"net\"]", "`permissions` wants a table"),
        ("permissions = { secret = [\"A B\"] }", "`secret` wants names"),
    ] {
        let text =
            format!("[[job]]\nname = \"a\"\nscript = \"a.rhai\"\ncron = \"@daily\"\n{line}\n");
        let program = Portolan::new().file("portolan.toml", text).file("a.rhai", "");
        let ran = program.args(["check", "portolan.toml"]).run();
        ran.fails_with(3).stderr_has(said).any_stderr().forget();
    }
}

/// Returns the flag that a refusal names, as a shell would pass it on.
fn named_flag(said: &str) -> String {
    let flag = said.split("run it with `").nth(1).unwrap().split("`, or").next().unwrap();
    match flag.split_once("='") {
        Some((name, quoted)) => {
            let text = quoted.strip_suffix('\'').unwrap().replace(r"'\''", "'");
            format!("{name}={text}")
        }
        None => flag.to_owned(),
    }
}

#[test]
fn the_flag_that_a_refusal_names_allows_what_was_refused() {
    let dotted = "in/../in/a";
    for call in [
        "local::read(\"in/a\")",
        "local::read(\"in/a b's, c\")",
        &format!("local::read(\"{dotted}\")"),
        "local::read(args[0] + \"/in/a\")",
        "local::list(\"in\")",
        "local::write(\"new/deep\", \"\")",
        "local::delete(\"in/a\")",
        "local::check_sums(\"in/sums\")",
        "env(\"USER\")",
        "secret(\"ACME\")",
        "run::command([\"./in/gone\"])",
        "run::command([\"true\"])",
        "ftp::connect(\"ftp://[::1]:1\")",
        "ftp::connect(\"ftp://127.0.0.1:1\")",
        "ftp::connect(\"ftp://[::ffff:127.0.0.1]:1\")",
        "ftp::connect(\"ftp://LocalHost.:1\")",
        "http::get(\"http://127.0.0.1:1/\")",
        "http::get(\"http://[::1]:1/\")",
        "nat::ruleset(\"a\").plan()",
    ] {
        let program = Portolan::new().file("in/a", "a").file("in/a b's, c", "a");
        let program = program.file("in/sums", "").script(&format!("{call};"));
        let folder = program.folder().to_str().unwrap().to_owned();
        let refused = program.clone_with(["--deny-all".to_owned(), folder.clone()]).run();
        let said = refused.stderr_text().to_owned();
        refused.fails_with(5).any_stderr().any_stdout().forget();
        let flag = named_flag(&said);
        let ran = program.clone_with([flag.clone(), folder]).run();
        let now = ran.stderr_text().to_owned();
        ran.any_code().any_stdout().any_stderr().any_files().forget();
        assert!(!now.contains("this script may not"), "{call} with {flag}: {now}");
    }
}

#[test]
fn a_number_that_stands_for_an_address_is_refused_without_a_flag() {
    for host in ["127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1"] {
        let text = format!("ftp::connect(\"ftp://{host}:1\");");
        let ran = Portolan::new().script(&text).args(["--allow-net=127.0.0.1"]).run();
        let ran = ran.fails_with(5).stderr_has("or an address as in 192.0.2.1");
        assert!(!ran.stderr_text().contains("--allow-net"), "{}", ran.stderr_text());
    }
}

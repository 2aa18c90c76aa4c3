//! The README: its commands run, and print the output that it shows.

use std::{fs, path::PathBuf};

use crate::support::{
    program::Portolan,
    server::{Kind, Options, RealServer, Tls},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the code blocks of the README, each with its language.
fn blocks() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, block))) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is never closed");
    blocks
}

fn block(language: &str, start: &str) -> String {
    let found = blocks().into_iter().find(|(of, block)| of == language && block.starts_with(start));
    found.unwrap_or_else(|| panic!("no {language} block starts with {start}")).1
}

/// Returns the line without its numbers, which differ from run to run.
fn without_time(line: &str) -> String {
    line.split(" in ").next().unwrap_or(line).to_owned()
}

#[test]
fn the_first_command_prints_what_the_readme_shows() {
    let command = block("sh", "cargo run -- rehearse");
    let words: Vec<&str> = command.split_whitespace().skip(3).collect();
    let mut program = Portolan::new().args(words);
    for entry in fs::read_dir(root().join("scripts")).unwrap() {
        let path = entry.unwrap().path();
        let name = PathBuf::from("scripts").join(path.file_name().unwrap());
        program = program.file(name, fs::read(&path).unwrap());
    }
    let ran = program.run().succeeds().any_stdout().any_stderr();
    let said = format!("{}{}", ran.stdout_text(), ran.stderr_text());
    let said: Vec<_> = said.lines().map(without_time).collect();
    for line in block("text", "fell back").lines().filter(|line| !line.is_empty()) {
        assert!(said.contains(&without_time(line)), "never said: {line}\nbut: {said:#?}");
    }
}

#[test]
fn the_script_of_the_first_screen_runs() {
    Portolan::new()
        .file("deploy.rhai", block("rhai", "// deploy.rhai"))
        .file("dist/index.html", "<p>hello")
        .file("dist/app.js.map", "{}")
        .file("tree/htdocs/old.html", "gone")
        .args(["rehearse", "deploy.rhai", "--tree", "tree"])
        .run()
        .succeeds()
        .stdout("1 up, 1 gone, by eprt\n")
        .any_stderr();
}

#[test]
fn the_test_command_of_the_readme_is_the_one_of_the_gate() {
    let gate = fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(gate.contains(block("sh", "cargo test").trim()), "the gate runs other tests");
}

/// Returns the block for a shell, with the test's server in place of the example's.
fn on_a_server(server: &RealServer, block: &str) -> Portolan {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_portolan"));
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let address = server.address().to_string();
    let block = ["ftp.example.org", "www.example.com"]
        .iter()
        .fold(block.to_owned(), |text, name| text.replace(name, &address))
        .replace("PORTOLAN_PASSWORD=…", &format!("PORTOLAN_PASSWORD={}", RealServer::PASSWORD));
    let users = ["me@", "reader@", "deploy@"];
    let user = format!("{}@", RealServer::USER);
    let block = users
        .iter()
        .fold(block, |text, name| text.replace(&format!("//{name}"), &format!("//{user}")));
    Portolan::played_by("/bin/sh")
        .env("PATH", path)
        .env("SSL_CERT_FILE", server.ca())
        .env("PORTOLAN_PASSWORD", RealServer::PASSWORD)
        .args(["-ec", &block])
}

#[test]
fn the_commands_for_one_file_for_a_mirror_and_for_a_deployment_run() {
    let options = Options { tls: Tls::Explicit, require_tls: true, ..Options::default() };
    let Some(server) = RealServer::start(Kind::Proftpd, &options) else { return };
    server.file("in/kept", "");
    server.file("out/reply.csv", "yes");
    server.file("catalogue/a.csv", "1");
    server.file("catalogue/b.tmp", "no");
    server.file("htdocs/index.html", "old");
    on_a_server(&server, &block("sh", "export PORTOLAN_PASSWORD"))
        .file("order.csv", "1,2")
        .run()
        .stdout_has("  reply.csv\n")
        .any_stderr()
        .wrote("reply.csv", "yes");
    assert_eq!(server.bytes("in/order.csv"), b"1,2");
    on_a_server(&server, &block("sh", "portolan mirror --delete --exclude"))
        .run()
        .stdout_has("1 down, 0 deleted")
        .any_stderr()
        .wrote("catalogue/a.csv", "1");
    on_a_server(&server, &block("sh", "portolan deploy --dry-run"))
        .file("dist/index.html", "new and longer")
        .file("dist/new.css", "p {}")
        .run()
        .stdout_has("2 files to send (18 B), 0 to delete, 0 unchanged\n")
        .stdout_has("2 files sent (18 B), 0 deleted, 0 unchanged\n")
        .stdout_has("1 deployment undone: 1 restored, 1 deleted\n")
        .any_stderr();
    assert_eq!(server.bytes("htdocs/index.html"), b"old");
    assert!(!server.root().join("htdocs/new.css").exists());
}

#[test]
fn every_block_of_the_readme_is_run_by_a_test() {
    let here = include_str!("readme.rs");
    for (language, block) in blocks() {
        let is_known = |start: &str| block.starts_with(start);
        let known = [
            "// deploy.rhai",
            "cargo run -- rehearse",
            "fell back",
            "cargo test",
            "export PORTOLAN_PASSWORD",
            "portolan mirror --delete --exclude",
            "portolan deploy --dry-run",
            // Builds that take minutes: the figures are in benches/README.md, the installation is checked by the gate's
            // build.
            "cargo install --path . --locked",
            "cargo bench --bench big_file",
        ];
        assert!(
            known.iter().any(|start| is_known(start) && here.contains(start)),
            "{language}: {block}"
        );
    }
}

#[test]
fn every_command_of_the_program_stands_in_the_table() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let help = Portolan::new().args(["--help"]).run();
    let commands = help.stdout_text().lines().skip_while(|line| *line != "Commands:").skip(1);
    let names: Vec<_> = commands
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(names.len() > 10, "{names:?}");
    let missing: Vec<_> = names
        .iter()
        .filter(|name| {
            !text.contains(&format!("`portolan {name}")) && !text.contains(&format!("`{name}`"))
        })
        .collect();
    assert!(missing.is_empty(), "the README says nothing of {missing:?}");
    drop(help.any_stdout());
}

//! The stable codes of errors: `portolan explain` and docs/errors.md.

use std::{collections::BTreeSet, fs, path::Path};

use crate::support::program::Portolan;

fn explain(arguments: &[&str]) -> Portolan {
    Portolan::new().args(["explain"]).args(arguments.iter().copied())
}

fn source(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_default()
}

/// Returns the codes that the program lists.
fn codes() -> BTreeSet<String> {
    let ran = explain(&["--json"]).run().succeeds();
    let rows: Vec<serde_json::Value> = serde_json::from_str(ran.stdout_text()).unwrap();
    let codes = rows.iter().map(|row| row["code"].as_str().unwrap().to_owned()).collect();
    ran.any_stdout();
    codes
}

#[test]
fn the_committed_page_is_what_the_program_prints() {
    let ran = explain(&["--markdown"]).run();
    if std::env::var_os("PORTOLAN_UPDATE").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
        fs::write(path, ran.stdout_text()).unwrap();
    }
    assert!(
        ran.stdout_text() == source("docs/errors.md"),
        "docs/errors.md is not what `portolan explain --markdown` prints: PORTOLAN_UPDATE=1 writes it anew"
    );
    ran.any_stdout();
}

#[test]
fn every_code_of_nat_is_explained_and_no_other() {
    let text = source("crates/nat/src/reason.rs");
    let used: BTreeSet<_> =
        text.split('"').filter(|part| part.starts_with("nat.")).map(str::to_owned).collect();
    let explained: BTreeSet<_> =
        codes().into_iter().filter(|code| code.starts_with("nat.")).collect();
    assert!(used.len() > 20);
    assert_eq!(used, explained);
}

#[test]
fn a_code_is_explained_as_messages_show_it_and_a_misspelt_one_has_its_nearest() {
    for code in ["login.denied", "(login.denied)", "LOGIN.DENIED"] {
        explain(&[code])
            .run()
            .succeeds()
            .stdout_has("login.denied: The server refused the login")
            .stdout_has("Cause:  ")
            .stdout_has("Remedy: check user and password")
            .any_stdout();
    }
    explain(&["tls.certificat"])
        .run()
        .fails_with(2)
        .stderr_has("did you mean `tls.certificate`?")
        .any_stderr();
    explain(&["zzz"]).run().fails_with(2).stderr_has("`portolan explain` lists all").any_stderr();
}

#[test]
fn scripts_and_json_have_the_code_that_messages_name() {
    let script = "try { ftp::connect(\"ftp://127.0.0.1:1\"); } catch (err) { print(`${err.name} ${err.code}`); }
        try { local::read(\"gone\"); } catch (err) { print(err.name); }
        ftp::connect(\"ftp://127.0.0.1:1\");";
    let program = || Portolan::new().file("a.rhai", script);
    let ran = program().args(["run", "a.rhai"]).run().fails_with(4);
    ran.stdout_has("connect.refused 0\nnot_found\n")
        .stderr_has("connection refused\n")
        .stderr_has("hint: nothing listens at that port")
        .stderr_has("ftp://host:2121\nmore: portolan explain connect.refused\n")
        .any_stderr();
    let ran = program().args(["run", "a.rhai", "--json"]).run().fails_with(4);
    assert!(ran.stdout_text().contains("\"name\":\"connect.refused\""), "{}", ran.stdout_text());
    ran.any_stdout().any_stderr();
}

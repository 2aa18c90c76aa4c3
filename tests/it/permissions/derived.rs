//! `check --permissions` and `run --audit`.

use crate::support::{program::Portolan, rehearsal::Rehearsal};

const SCRIPT: &str = r#"
    let site = ftp::connect(args[0], #{ user: "tester", password: secret("WORD") });
    site.get("/a.txt", "in/a.txt");
    local::write("out/" + now().unix, "x");
    site.delete("/a.txt");
"#;

#[test]
fn the_text_shows_what_it_can_and_tells_the_rest() {
    Portolan::new()
        .file("a.rhai", SCRIPT)
        .args(["check", "--permissions", "a.rhai"])
        .run()
        .succeeds()
        .stdout(
            "# portolan run --allow-write=in/a.txt --allow-write=out --allow-remote-delete \
             --allow-secret=WORD a.rhai\n\
             [job.permissions]\nwrite = [\"in/a.txt\", \"out\"]\nremote_delete = true\nsecret = [\"WORD\"]\n\
             # known only in a run, which `portolan run --audit` records:\n\
             #   a.rhai:2:33: `ftp::connect` needs `net`, and the host is known only in a run\n",
        );
}

#[test]
fn a_run_records_what_it_used_and_the_block_allows_it_again() {
    let server = Rehearsal::start(&[], false);
    let address = server.server.address();
    let url = format!("ftp://{address}");
    server.file("a.txt", "text");
    let program = Portolan::new().file("in/x", "").file("out/x", "").env("WORD", "open+sesame-21");
    let program = program.script(SCRIPT);
    let ran = program.clone_with(["--audit".to_owned(), url.clone()]).run();
    let ran = ran.succeeds().any_stderr().any_files();
    let said = ran.stdout_text().to_owned();
    ran.any_stdout().forget();
    for line in [
        "[job.permissions]".to_owned(),
        format!("net = [\"{address}\"]"),
        "remote_delete = true".to_owned(),
        "secret = [\"WORD\"]".to_owned(),
    ] {
        assert!(said.lines().any(|found| found == line), "{line} is not in {said}");
    }
    assert!(said.contains("\"in/a.txt\"") && said.contains("\"out/"), "{said}");
    server.file("a.txt", "text");
    let flags = [
        format!("--allow-net={address}"),
        "--allow-write=in,out".to_owned(),
        "--allow-remote-delete".to_owned(),
        "--allow-secret=WORD".to_owned(),
        url,
    ];
    program.clone_with(flags).run().succeeds().any_stdout().any_stderr().any_files().forget();
    assert_eq!(server.bytes("a.txt"), None);
}

//! Jobs with `[job.permissions]`: refused and allowed as by flags, and confined as well.

use portolan::permissions::sandbox::KernelSupport;

use crate::{
    serve::scheduler::{Scheduler, on_request},
    support::{rehearsal::Rehearsal, server::say_skipped},
};

const SCRIPT: &str = r#"
    local::write("out/kept.txt", secret("WORD").to_string());
    let site = ftp::connect(args[0]);
    site.put("in/a.txt", "/a.txt");
    for path in ["secret.txt", "in/../secret.txt"] {
        try { local::read(path); fail("it was read"); } catch (err) {
            if err.kind != "denied_by_policy" { throw err; }
        }
    }
    site.delete("/a.txt");
"#;

#[test]
fn a_job_does_what_its_block_names_and_nothing_else() {
    let server = Rehearsal::start(&[], false);
    let address = server.server.address();
    let lacks = KernelSupport::detect().lacks();
    if !lacks.is_empty() {
        say_skipped("a_job_does_what_its_block_names_and_nothing_else", &lacks.join("; "));
        return;
    }
    let block = format!(
        "args = [\"ftp://tester:secret@{address}\"]\n[job.permissions]\nnet = [\"{address}\"]\nread = [\"in\"]\n\
         write = \"out\"\nsecret = [\"WORD\"]\nrequire_sandbox = true\n"
    );
    let mut scheduler = Scheduler::new(&on_request("confined", &block)).env("WORD", "word");
    scheduler.file("confined.rhai", SCRIPT);
    scheduler.file("in/a.txt", "a");
    scheduler.file("out/old.txt", "");
    scheduler.file("secret.txt", "canary");
    scheduler.start();
    let ran = scheduler.command(&["trigger", "confined", "--wait"]);
    ran.fails_with(5).any_stdout().any_stderr().forget();
    scheduler.until_outcome("confined", "failed");
    let shown = scheduler.show(&1.into()).to_string();
    assert!(shown.contains("--allow-remote-delete"), "{shown}");
    assert!(shown.contains("remote_delete = true"), "{shown}");
    assert_eq!(
        (scheduler.read("out/kept.txt").as_str(), server.bytes("a.txt").as_deref()),
        ("***", Some(&b"a"[..]))
    );
    scheduler.jobs(&on_request("confined", &format!("{block}remote_delete = true\n")));
    scheduler.stop().forget();
    scheduler.start();
    scheduler
        .command(&["trigger", "confined", "--wait"])
        .succeeds()
        .any_stdout()
        .any_stderr()
        .forget();
    assert_eq!(server.bytes("a.txt"), None);
    scheduler.stop().forget();
}

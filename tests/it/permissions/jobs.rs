//! Jobs with `[job.permissions]`: refused and allowed as by flags, and confined as well.

use std::{fs::Permissions, os::unix::fs::PermissionsExt};

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
        "args = [\"ftp://tester:open+sesame-21@{address}\"]\n[job.permissions]\nnet = [\"{address}\"]\nread = [\"in\"]\n\
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

#[test]
fn programs_around_a_confined_job_start_and_its_script_starts_none() {
    let lacks = KernelSupport::detect().lacks();
    if !lacks.is_empty() {
        say_skipped(
            "programs_around_a_confined_job_start_and_its_script_starts_none",
            &lacks.join("; "),
        );
        return;
    }
    let sh = |script: &str| format!("[\"sh\", \"-c\", \"{script}\"]");
    let block = format!(
        "before = [[\"./dump\"], {}]\nafter = [{}]\nfinally = [{}]\n\
         [job.permissions]\nwrite = [\"out\"]\nrequire_sandbox = true\n",
        sh("cat secret.txt && cp secret.txt out/; echo x >outside; echo second >>out/order"),
        sh("echo after >>out/order"),
        sh("echo finally $PORTOLAN_OUTCOME >>out/order"),
    );
    let mut scheduler = Scheduler::new(&on_request("confined", &block));
    // `sh` is a program of this job, and the script may start it no more than any other.
    scheduler.file(
        "confined.rhai",
        "local::append(\"out/order\", \"work\\n\");\n\
         for name in [\"sh\", \"./dump\", \"ls\"] {\n\
             try { run::command([name]); fail(\"it ran\"); }\n\
             catch (err) { if err.kind != \"denied_by_policy\" { throw err; } }\n\
         }\n",
    );
    scheduler.file("dump", "#!/bin/sh\necho first >>out/order\n");
    std::fs::set_permissions(scheduler.path("dump"), Permissions::from_mode(0o755)).unwrap();
    scheduler.file("out/order", "");
    scheduler.file("secret.txt", "canary");
    scheduler.start();
    let wanted = "first\nsecond\nwork\nafter\nfinally done\n";
    scheduler.command(&["trigger", "confined", "--wait"]).succeeds().any_stdout().forget();
    assert_eq!(scheduler.read("out/order"), wanted);
    let ran = scheduler.command(&["run", "--job", "confined"]);
    ran.succeeds().any_stdout().any_stderr().forget();
    assert_eq!(scheduler.read("out/order"), wanted.repeat(2));
    // The permissions of the job hold for its programs, too.
    assert!(!scheduler.path("outside").exists() && !scheduler.path("out/secret.txt").exists());
    scheduler.stop().forget();
}

//! Refusals of a machine, each one clear error without a secret, and its warnings.

use super::machines::{Fleet, LEASE, ON_REQUEST, TIME_MAX, job};
use crate::support::{postgres::PostgresServer, program::Portolan, wait};

#[test]
fn a_store_that_cannot_be_used_is_one_clear_error_without_the_password() {
    let Some(server) = PostgresServer::start() else { return };
    let port = server.port();
    let ca = server.authority();
    let run = |address: &str| {
        let program = Portolan::new().env("PGPASSWORD", PostgresServer::PASSWORD);
        program.args(["runs", "--store", address]).run()
    };
    for (address, code, words) in [
        ("mysql://h/d".to_owned(), 2, "the address of a store begins with `postgres://`"),
        ("postgres://h:port/d".to_owned(), 2, "the address of the store cannot be used"),
        (
            format!("postgres://portolan@127.0.0.1:{port}/d?sslmode=require"),
            2,
            "does not check which server answers",
        ),
        ("postgres://portolan@127.0.0.1:1/d".to_owned(), 4, "Connection refused"),
        (format!("postgres://portolan@127.0.0.1:{port}/elsewhere"), 5, "`createdb` makes it"),
        (format!("postgres://nobody@127.0.0.1:{port}/postgres"), 5, "the password is that of"),
        // Its certificate is of an authority that nobody knows here.
        (
            format!("postgres://portolan@127.0.0.1:{port}/postgres?sslmode=verify-full"),
            5,
            "`?sslrootcert=FILE` names the authority",
        ),
    ] {
        let ran = run(&address).any_code().any_stdout();
        assert_eq!(ran.stderr_text().lines().count(), 1, "{address}: {}", ran.stderr_text());
        assert!(ran.stderr_text().contains(words), "{address}: {}", ran.stderr_text());
        assert_eq!(ran.code(), code, "{address}: {}", ran.stderr_text());
        ran.any_stderr();
    }
    let secured = format!("{}?sslmode=verify-full&sslrootcert={}", server.address(), ca.display());
    run(&secured).succeeds().stderr("no runs yet\n");
    // Without a password, with one in a file, and with one that everybody sees.
    let without = Portolan::new().args(["runs", "--store", &server.address()]);
    without
        .run()
        .fails_with(5)
        .stderr_has("PGPASSWORD, or of the password file (~/.pgpass)")
        .any_stderr();
    let line =
        format!("127.0.0.1:{port}:*:portolan:{}\n", PostgresServer::PASSWORD.replace(':', "\\:"));
    let with_file =
        without.clone().file("pass", &line).env("PGPASSFILE", without.folder().join("pass"));
    with_file.run().any_code().any_stdout().stderr_has("`chmod 600` it").any_stderr();
    std::os::unix::fs::chown(with_file.folder().join("pass"), None, None).unwrap();
    std::fs::set_permissions(
        with_file.folder().join("pass"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    with_file.run().succeeds().stderr("no runs yet\n");
    let shown =
        server.address().replace("portolan@", &format!("portolan:{}@", PostgresServer::PASSWORD));
    let ran = Portolan::new().args(["runs", "--store", &shown]).run();
    ran.succeeds()
        .stderr_has("other users of this host can read the password in --store")
        .any_stderr();
}

#[test]
fn the_password_of_the_jobs_file_is_a_secret() {
    let Some(server) = PostgresServer::start() else { return };
    let toml = format!(
        "[runner]\nstore = \"{}\"\nstore_password = \"secret:db\"\n{}",
        server.address(),
        job("a", ON_REQUEST, "")
    );
    let program = Portolan::new()
        .file("portolan.toml", &toml)
        .file("a.rhai", "")
        .env("db", PostgresServer::PASSWORD);
    program.clone_with(["runs"]).run().succeeds().stderr("no runs yet\n");
    program
        .clone_with(["check", "portolan.toml"])
        .run()
        .any_code()
        .any_stdout()
        .never_says(PostgresServer::PASSWORD)
        .any_stderr();
    let plain = Portolan::new()
        .file("portolan.toml", toml.replace("secret:db", "plain-words-7"))
        .file("a.rhai", "");
    plain
        .clone_with(["check", "portolan.toml"])
        .run()
        .any_code()
        .any_stdout()
        .stderr_has("the password of the store stands in the jobs file")
        .never_says("plain-words-7")
        .any_stderr();
}

#[test]
fn two_machines_of_one_name_are_refused_and_one_that_comes_back_is_not() {
    let Some(mut fleet) = Fleet::new(&job("a", ON_REQUEST, "")) else { return };
    fleet.file("a.rhai", "");
    fleet.start("one", &[]);
    let second = fleet.serve_in("one", "elsewhere", &[]).run();
    second.any_code().any_stdout().stderr_has("another machine of the fleet has the name `one` and is alive: give this one another with --name").any_stderr();
    assert_eq!(fleet.leader(), "one");
    fleet.until_known("a");
    // Killed and started again, it needs no lease to know itself.
    fleet.kill("one");
    let started = std::time::Instant::now();
    fleet.start("one", &[]);
    fleet.machine("one").until_stderr_has("machine `one` leads: term 2");
    assert!(started.elapsed().as_secs() < 10 * LEASE);
    fleet.stop_all();
}

#[test]
fn flags_of_a_fleet_without_a_store_that_is_shared_are_refused() {
    let program =
        Portolan::new().file("portolan.toml", job("a", ON_REQUEST, "")).file("a.rhai", "");
    for words in [
        &["--workers", "2"][..],
        &["--label", "network=dmz"],
        &["--name", "one"],
        &["--never-lead"],
    ] {
        let ran = program.clone_with([&["serve", "--state", "state"], words].concat()).run();
        ran.fails_with(2)
            .stderr_has(&format!("`{}` is for machines that share a store", words[0]))
            .any_stderr();
    }
    let ran = program.clone_with(["machines"]).run();
    ran.fails_with(2).stderr_has("no store is named that machines share").any_stderr();
    for (label, words) in [("network", "a label is `KEY=VALUE`"), ("a=b c", "cannot be in a label")]
    {
        let ran =
            program.clone_with(["serve", "--store", "postgres://h/d", "--label", label]).run();
        ran.fails_with(2).stderr_has(words).any_stderr();
    }
}

#[test]
fn a_machine_with_another_jobs_file_gets_no_runs_and_is_told_of() {
    let Some(mut fleet) = Fleet::new(&job("a", ON_REQUEST, "")) else { return };
    fleet.file("a.rhai", "local::append(\"acts\", \"x\");");
    fleet.start("leads", &["--workers", "0"]);
    assert_eq!(fleet.leader(), "leads");
    fleet.until_known("a");
    let jobs = fleet.read("portolan.toml");
    fleet.file("other.toml", &format!("# another\n{jobs}"));
    let other = fleet.path("other.toml").display().to_string();
    let program =
        fleet.program().args(["serve", "--name", "other", "--never-lead", "--jobs", &other]);
    let running = program.args(["--state"]).args([fleet.path("state-other")]).spawn();
    running.until_stderr_has("shares the schedule of");
    fleet.machine("leads").until_stderr_has("machine `other` has another jobs file");
    let asked = fleet.json(&["trigger", "a"]);
    assert_eq!(asked["outcome"], "waiting", "{asked}");
    assert_eq!(fleet.row("other").unwrap()["has_leaders_jobs"], false);
    fleet.file("other.toml", &jobs);
    fleet.until(|run| run["job"] == "a" && run["outcome"] == "done" && run["machine"] == "other");
    running.signal(rustix::process::Signal::TERM);
    running.wait().succeeds().any_stdout().any_stderr();
    wait::until(TIME_MAX, || fleet.row("other").is_none().then_some(())).unwrap();
    fleet.stop_all();
}

/// Copies a folder with the files in it.
fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn a_machine_with_a_copied_state_folder_is_refused_while_the_original_is_alive() {
    let Some(mut fleet) = Fleet::new(&job("a", ON_REQUEST, "")) else { return };
    fleet.file("a.rhai", "");
    fleet.start("one", &[]);
    assert_eq!(fleet.leader(), "one");
    fleet.until_known("a");
    copy_folder(&fleet.path("state-one"), &fleet.path("state-copy"));
    let second = fleet.serve_in("one", "state-copy", &[]).run();
    second
        .any_code()
        .any_stdout()
        .stderr_has("its state folder is a copy of that one's")
        .any_stderr();
    // The original has not noticed, and goes on.
    fleet.command(&["trigger", "a", "--wait"]).succeeds().any_stdout().any_stderr();
    assert_eq!(fleet.leader(), "one");
    // Of a machine that is gone the copy is the successor.
    fleet.kill("one");
    copy_folder(&fleet.path("state-one"), &fleet.path("state-moved"));
    let moved = fleet.serve_in("one", "state-moved", &[]).spawn();
    moved.until_stderr_has("machine `one` leads: term 2");
    moved.signal(rustix::process::Signal::TERM);
    moved.wait().succeeds().any_stdout().any_stderr();
}

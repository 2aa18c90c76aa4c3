//! The example setups: each runs as its README says, against a real server.

use std::{fs, path::Path, thread, time::Duration};

use crate::support::{
    postgres,
    program::Portolan,
    server::{Kind, Options, RealServer, Tls},
    wait,
};

fn text(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns a shell with the program in its `PATH`, in a directory with the files of an example.
fn shell(example: &str, commands: &str) -> Portolan {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
    let program = Path::new(env!("CARGO_BIN_EXE_portolan")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", program.display());
    let mut shell = Portolan::played_by("/bin/sh").env("PATH", path).args(["-ec", commands]);
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(&root).unwrap().to_owned();
                shell = shell.file(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    shell
}

/// Returns the commands in the README of an example.
fn commands(example: &str) -> String {
    let text = text(&format!("examples/{example}/README.md"));
    let blocks = text.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap()).collect()
}

fn server(kind: Kind) -> Option<RealServer> {
    RealServer::start(
        kind,
        &Options { tls: Tls::Explicit, require_tls: true, ..Options::default() },
    )
}

#[test]
fn the_nightly_mirror_keeps_a_copy() {
    let Some(server) = server(Kind::Proftpd) else { return };
    for name in ["a.csv", "b.csv", "deep/c.csv", "half.part"] {
        server.file(&format!("catalogue/{name}"), name);
    }
    let shell = shell("nightly-mirror", &commands("nightly-mirror"))
        .env("SUPPLIER_URL", server.url() + "catalogue")
        .env("SUPPLIER_PASSWORD", RealServer::PASSWORD)
        .env("SUPPLIER_CA", server.ca());
    shell
        .run()
        .stdout("3 new, 0 gone, 0 unchanged, 0 failed\n")
        .stderr_has("1 script, nothing wrong\n")
        .wrote("catalogue/a.csv", "a.csv")
        .wrote("catalogue/b.csv", "b.csv")
        .wrote("catalogue/deep/c.csv", "deep/c.csv");
    fs::remove_file(server.root().join("catalogue/a.csv")).unwrap();
    server.file("catalogue/b.csv", "another b");
    shell
        .run()
        .stdout("1 new, 1 gone, 1 unchanged, 0 failed\n")
        .any_stderr()
        .removed("catalogue/a.csv")
        .wrote("catalogue/b.csv", "another b");
}

#[test]
fn the_fleet_loses_no_slot_when_its_leader_is_killed() {
    let Some(programs) = postgres::programs_or_skip() else { return };
    let shell = shell("fleet", &commands("fleet")).env("POSTGRES", programs);
    let ran = shell.run().succeeds().any_stderr().any_files();
    ran.stdout_has("seconds: none lost, none doubled").stdout_has("which leads").any_stdout();
}

/// Returns the line of the file for GitLab that deploys.
fn gitlab_command() -> String {
    let text = text("examples/ci-deploy/gitlab-ci.yml");
    let mut lines = text.lines().map(|line| line.trim().trim_start_matches("- "));
    lines.find(|line| line.starts_with("portolan ")).unwrap().to_owned()
}

#[test]
fn the_deployment_from_a_fresh_checkout_sends_only_what_has_changed() {
    let Some(server) = server(Kind::Vsftpd) else { return };
    server.file("htdocs/uploads/photo.jpg", "a visitor's");
    server.own_all();
    let script = "portolan check deploy.rhai; portolan run deploy.rhai dist \"$FTP_URL\"";
    let checkout = |commands: &str, index: &str| {
        shell("ci-deploy", commands)
            .file("dist/index.html", index)
            .file("dist/css/site.css", "p {}")
            .file("dist/app.js.map", "{}")
            .env("FTP_URL", server.url() + "htdocs")
            .env("FTP_PASSWORD", RealServer::PASSWORD)
            .env("PORTOLAN_PASSWORD", RealServer::PASSWORD)
            .env("FTP_CA", server.ca())
            .env("SSL_CERT_FILE", server.ca())
    };
    let deploys = |index: &str, sent: u8, same: u8| {
        let ran = checkout(script, index).run().any_stderr();
        let report = fs::read_to_string(ran.folder().join("deploy-report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!((&report["uploaded"], &report["failed"]), (&sent.into(), &0.into()));
        let line = format!("{sent} sent, 0 removed, {same} unchanged, 0 failed\n");
        ran.stdout(&line).any_files();
    };
    deploys("<p>one", 2, 0);
    assert_eq!(server.bytes("htdocs/index.html"), b"<p>one");
    assert!(!server.root().join("htdocs/app.js.map").exists());
    // Another directory, another home, new times: as on the next runner.
    wait::until(Duration::from_millis(1100), || None::<()>);
    deploys("<p>one", 0, 2);
    deploys("<p>two", 1, 1);
    assert_eq!(server.bytes("htdocs/index.html"), b"<p>two");
    // The command line knows what the script deployed.
    let ran = checkout(&gitlab_command(), "<p>three").run().any_stderr();
    ran.stdout("1 file sent (8 B), 0 deleted, 1 unchanged\n").any_files();
    assert_eq!(server.bytes("htdocs/index.html"), b"<p>three");
    assert_eq!(server.bytes("htdocs/uploads/photo.jpg"), b"a visitor's");
}

#[test]
fn the_action_deploys_with_the_inputs_of_the_example() {
    let Some(server) = server(Kind::Proftpd) else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let action = text("action.yml");
    let example = text("examples/ci-deploy/github-actions.yml");
    let step = text("packaging/deploy-action");
    // Each input of the example is one of the action, and each of the action's reaches the step.
    for line in example.lines().skip_while(|line| *line != "        with:").skip(1) {
        let name = line.trim().split(':').next().unwrap();
        assert!(action.contains(&format!("\n  {name}:\n")), "{name}");
    }
    for variable in step.split("INPUT_").skip(1) {
        let name: String =
            variable.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
        assert!(action.contains(&format!("        INPUT_{name}: ${{{{ inputs.")), "{name}");
    }
    let run = |password: &str| {
        shell("ci-deploy", &format!("bash {}/packaging/deploy-action", root.display()))
            .file("dist/index.html", "<p>")
            .file("dist/caf\u{e9} & co.txt", "x")
            .file("dist/app.js.map", "{}")
            .file("dist/a.tmp", "x")
            .file("out.txt", "")
            .env("SSL_CERT_FILE", server.ca())
            .env("PORTOLAN_PASSWORD", password)
            .env("INPUT_SERVER", server.address().ip().to_string())
            .env("INPUT_PORT", server.address().port().to_string())
            .env("INPUT_USERNAME", RealServer::USER)
            .env("INPUT_PROTOCOL", "ftps")
            .env("INPUT_LOCAL_DIR", "dist")
            .env("INPUT_SERVER_DIR", "/new site/caf\u{e9}/")
            .env("INPUT_EXCLUDE", "*.map\n*.tmp\n")
            .env("INPUT_STAGED", "true")
            .env("INPUT_KEEP", "5")
            .env("INPUT_ARGS", "--retries 1 --last '*.html'")
            .env("GITHUB_OUTPUT", "out.txt")
            .run()
    };
    let ran = run(RealServer::PASSWORD).any_stderr();
    let line = "2 files sent (4 B), 0 deleted, 0 unchanged\n";
    let ran = ran.stdout(&format!("{line}::notice title=Deployed::{line}"));
    let values = fs::read_to_string(ran.folder().join("out.txt")).unwrap();
    assert!(values.starts_with("changed=2\n") && values.contains("\nrelease=2"), "{values}");
    drop(ran.any_files());
    assert_eq!(server.bytes("new site/caf\u{e9}/index.html"), b"<p>");
    let line = "::error title=Not deployed::the input password is empty: is the secret set?\n";
    drop(run("").fails_with(2).any_stderr().stdout(line));
}

#[test]
fn the_files_for_ci_systems_have_no_tabs_and_name_what_is_tested() {
    for file in ["github-actions.yml", "gitlab-ci.yml"] {
        let text = text(&format!("examples/ci-deploy/{file}"));
        assert!(!text.contains('\t'), "{file}: YAML has no tabs");
    }
    assert!(gitlab_command().starts_with("portolan deploy --ci gitlab "));
}

#[test]
fn the_look_before_a_deployment_changes_nothing() {
    let Some(server) = server(Kind::Proftpd) else { return };
    server.file("htdocs/old.html", "old");
    shell("ci-deploy", &commands("ci-deploy"))
        .file("dist/index.html", "<p>")
        .file("dist/old.html", "old")
        .env("FTP_URL", server.url() + "htdocs")
        .env("PORTOLAN_PASSWORD", RealServer::PASSWORD)
        .env("SSL_CERT_FILE", server.ca())
        .run()
        .stdout_has("2 files to send (6 B), 0 to delete, 0 unchanged\n")
        .any_stderr();
    assert!(!server.root().join("htdocs/index.html").exists());
}

fn pickup(server: &RealServer) -> Portolan {
    shell("pickup-and-process", &commands("pickup-and-process"))
        .env("PARTNER_URL", server.url())
        .env("PARTNER_PASSWORD", RealServer::PASSWORD)
        .env("PARTNER_CA", server.ca())
}

/// Returns the names in a directory of the server.
fn names(server: &RealServer, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(server.root().join(folder)).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn finished_files_are_taken_and_archived_and_growing_ones_stay() {
    let Some(server) = server(Kind::Proftpd) else { return };
    server.file("outbox/a.csv", "1\n2\n");
    server.file("outbox/b.csv", "3\n");
    server.file("outbox/growing.csv", "");
    thread::scope(|scope| {
        let running = pickup(&server).spawn();
        let writer = scope.spawn(|| {
            let path = server.root().join("outbox/growing.csv");
            for count in 1..60 {
                fs::write(&path, "x\n".repeat(count)).unwrap();
                wait::until(Duration::from_millis(50), || None::<()>);
            }
        });
        let ran = running.wait();
        writer.join().unwrap();
        ran.stdout("2 taken, 1 still being written, 0 put back\n")
            .any_stderr()
            .wrote("inbox/a.csv", "1\n2\n")
            .wrote("inbox/b.csv", "3\n")
            .wrote("inbox/ledger.txt", "inbox/a.csv: 2 lines\ninbox/b.csv: 1 lines\n");
    });
    assert_eq!(names(&server, "outbox"), ["growing.csv"]);
    assert_eq!(names(&server, "claimed"), [""; 0]);
    let archived = names(&server, "archive");
    assert!(archived[0].ends_with("-a.csv") && archived[1].ends_with("-b.csv"), "{archived:?}");
}

#[test]
fn a_file_that_cannot_be_worked_on_comes_back() {
    let Some(server) = server(Kind::Vsftpd) else { return };
    server.file("outbox/empty.csv", "");
    server.file("outbox/good.csv", "1\n");
    pickup(&server)
        .run()
        .fails_with(3)
        .stdout("1 taken, 0 still being written, 1 put back\n")
        .stderr_has("empty.csv: inbox/empty.csv is empty\n")
        .any_files();
    assert_eq!(names(&server, "outbox"), ["empty.csv"]);
    assert_eq!(names(&server, "claimed"), [""; 0]);
}

#[test]
fn two_collectors_never_take_one_file() {
    let Some(server) = server(Kind::Proftpd) else { return };
    for number in 0..12 {
        server.file(&format!("outbox/{number:02}.csv"), format!("{number}\n"));
    }
    let collectors = [pickup(&server).spawn(), pickup(&server).spawn()];
    let mut taken = Vec::new();
    for running in collectors {
        let ran = running.wait().any_stdout().any_stderr().any_files();
        taken.extend(fs::read_dir(ran.folder().join("inbox")).unwrap().filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            (name != "ledger.txt").then_some(name)
        }));
        drop(ran.succeeds());
    }
    taken.sort();
    let wanted: Vec<_> = (0..12).map(|number| format!("{number:02}.csv")).collect();
    assert_eq!(taken, wanted);
    assert_eq!(names(&server, "archive").len(), 12);
}

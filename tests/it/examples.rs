//! The example setups: each runs as its README says, against a real server.

use std::{fs, path::Path, thread, time::Duration};

use crate::support::{
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
fn the_deployment_from_a_fresh_checkout_sends_only_what_has_changed() {
    let Some(server) = server(Kind::Vsftpd) else { return };
    fs::create_dir(server.root().join("htdocs")).unwrap();
    server.own_all();
    let checkout = |index: &str| {
        shell("ci-deploy", "portolan check deploy.rhai; portolan run deploy.rhai dist \"$FTP_URL\"")
            .file("dist/index.html", index)
            .file("dist/css/site.css", "p {}")
            .file("dist/app.js.map", "{}")
            .file("summary.md", "")
            .env("FTP_URL", server.url() + "htdocs")
            .env("FTP_PASSWORD", RealServer::PASSWORD)
            .env("FTP_CA", server.ca())
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_OUTPUT", "output.txt")
            .env("GITHUB_STEP_SUMMARY", "summary.md")
    };
    let row = |sent: u8, same: u8| format!("| {sent} | 0 | {same} | 0 |\n");
    let head = "| sent | removed | unchanged | failed |\n|---|---|---|---|\n";
    let deploys = |index: &str, sent: u8, same: u8| {
        let line = format!("{sent} sent, 0 removed, {same} unchanged, 0 failed\n");
        let ran = checkout(index).run();
        let report = fs::read_to_string(ran.folder().join("deploy-report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!((&report["uploaded"], &report["failed"]), (&sent.into(), &0.into()));
        ran.stdout(&format!("{line}::notice title=Deployed::{line}"))
            .any_stderr()
            .wrote("summary.md", format!("{head}{}", row(sent, same)))
            .wrote("output.txt", format!("changed={sent}\n"))
            .any_files();
    };
    deploys("<p>one", 2, 0);
    assert_eq!(server.bytes("htdocs/index.html"), b"<p>one");
    assert!(!server.root().join("htdocs/app.js.map").exists());
    // Another directory, another home, new times: as on the next runner.
    wait::until(Duration::from_millis(1100), || None::<()>);
    deploys("<p>one", 0, 2);
    deploys("<p>two", 1, 1);
    assert_eq!(server.bytes("htdocs/index.html"), b"<p>two");
}

#[test]
fn the_files_for_ci_systems_run_the_commands_that_are_tested() {
    for file in ["github-actions.yml", "gitlab-ci.yml"] {
        let text = text(&format!("examples/ci-deploy/{file}"));
        let lines = text.lines().map(|line| line.trim().trim_start_matches("- "));
        let lines = lines.map(|line| line.trim_start_matches("run: "));
        let ours: Vec<_> = lines.filter(|line| line.starts_with("portolan ")).collect();
        let wanted = ["portolan check deploy.rhai", "portolan run deploy.rhai dist \"$FTP_URL\""];
        assert_eq!(ours, wanted, "{file}");
        assert!(!text.contains('\t'), "{file}: YAML has no tabs");
    }
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
        .any_stdout()
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

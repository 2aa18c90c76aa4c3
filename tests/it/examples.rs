//! The set-ups to copy: each runs as its README says, against a real server.

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

/// The shell with the program on its path, in a folder with the files of an example.
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

/// The commands in the README of an example.
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

fn pickup(server: &RealServer) -> Portolan {
    shell("pickup-and-process", &commands("pickup-and-process"))
        .env("PARTNER_URL", server.url())
        .env("PARTNER_PASSWORD", RealServer::PASSWORD)
        .env("PARTNER_CA", server.ca())
}

/// The names in a folder of the server.
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

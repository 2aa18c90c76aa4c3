//! `portolan mirror --move`: whatever ends a run, each file is whole on one side at least.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use rustix::process::Signal;

use super::{campaign::play, mirror, url};
use crate::support::{
    program::Portolan,
    rehearsal::Rehearsal,
    rounds::rounds,
    server::{Kind, Options, RealServer},
};

/// Returns the files of a directory and of those in it that are not temporary, each with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            let inside = files(&entry.path());
            found.extend(inside.into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else if !name.starts_with(".portolan") {
            // A file may go while this looks.
            found.extend(fs::read(entry.path()).ok().map(|bytes| (name, bytes)));
        }
    }
    found
}

#[test]
fn files_move_to_and_from_real_servers() {
    for kind in Kind::ALL {
        let Some(server) = RealServer::start(kind, &Options::default()) else { continue };
        let there = server.url() + "in";
        let up = Portolan::new()
            .env("PORTOLAN_PASSWORD", RealServer::PASSWORD)
            .file("out/a.csv", "1")
            .file("out/deep/b.csv", "22")
            .args(["mirror", "--no-progress", "--move", "out", &there]);
        let words = "2 up, 0 down, 0 deleted, 0 unchanged, 0 failed, 2 removed from the source\n";
        let ran = up.run().succeeds().stdout(words).any_stderr();
        drop(ran.removed("out/a.csv").removed("out/deep/b.csv"));
        assert_eq!(files(&server.root().join("in")).len(), 2);
        let down = Portolan::new().env("PORTOLAN_PASSWORD", RealServer::PASSWORD).args([
            "mirror",
            "--no-progress",
            "--move",
            "--parallel",
            "2",
            &there,
            "back",
        ]);
        let words = "0 up, 2 down, 0 deleted, 0 unchanged, 0 failed, 2 removed from the source\n";
        let ran = down.run().succeeds().stdout(words).any_stderr();
        drop(ran.wrote("back/a.csv", "1").wrote("back/deep/b.csv", "22"));
        assert_eq!(files(&server.root().join("in")).len(), 0);
    }
}

#[test]
fn options_that_contradict_a_move_are_refused_before_a_connection_is_made() {
    for flags in [["--delete", "--move"], ["--follow-links", "--move"]] {
        let program = Portolan::new()
            .file("out/a", "a")
            .args(["mirror"])
            .args(flags)
            .args(["out", "ftp://127.0.0.1:1/in"]);
        drop(program.run().fails_with(2).stderr_has("move"));
    }
    let sized = ["mirror", "--move", "--compare", "size", "out", "ftp://127.0.0.1:1/in"];
    let program = Portolan::new().file("out/a", "a").args(sized);
    drop(program.run().fails_with(2).stderr_has("`compare = \"checksum\"`"));
}

#[test]
fn a_move_that_is_killed_loses_nothing_and_the_next_one_finishes() {
    play("moves that are killed", rounds(12), |draw, number| {
        let stage = Rehearsal::start(&[], false);
        let is_up = number % 2 == 0;
        let parallel = draw.one_of(&["1", "3"]);
        let program = mirror(&stage).args(["--move", "--parallel", parallel]);
        let program =
            program.clone_with([""; 0]).env("PORTOLAN_STATE", program.folder().join("state"));
        let here = program.folder().join("tree");
        let (there, address) = (stage.root().join("in"), url(&stage));
        fs::create_dir_all(&here).unwrap();
        let (source, target) = if is_up { (&here, &there) } else { (&there, &here) };
        for file in 0..120 {
            let path = source.join(format!("{}/{file}", file % 4));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{file} ").repeat(1 + file * 7)).unwrap();
        }
        let wanted = files(source);
        let sides = if is_up { ["tree", &address] } else { [&address, "tree"] };
        let program = program.args(sides);
        for _ in 0..3 {
            let running = program.spawn();
            std::thread::park_timeout(Duration::from_millis(20 + draw.below(400)));
            running.signal(Signal::KILL);
            drop(running.wait().any_end().any_stdout().any_stderr().any_files());
            let (left, come) = (files(source), files(target));
            for (path, bytes) in &wanted {
                let is_whole = left.get(path) == Some(bytes) || come.get(path) == Some(bytes);
                assert!(is_whole, "{path}, up {is_up}");
            }
        }
        drop(program.run().succeeds().any_stdout().any_stderr().any_files());
        assert!(files(target) == wanted, "up {is_up}");
        assert_eq!(files(source).len(), 0, "up {is_up}");
    });
}

#[test]
fn a_check_does_nothing_and_its_exit_code_says_whether_the_sides_differ() {
    let stage = Rehearsal::start(&[], false);
    stage.file("in/a", "a");
    let program = mirror(&stage).file("copy/other", "");
    let program = program.args(["--check", &url(&stage), "copy"]);
    drop(program.run().fails_with(6).stdout_has("get  a  (new, 1 B)").any_stderr());
    let program = mirror(&stage).file("copy/a", "a");
    let same = ["--check", "--compare", "checksum", &url(&stage), "copy"];
    drop(program.clone_with(same).run().succeeds().any_stdout().any_stderr());
    let program = mirror(&stage).file("copy/a", "b");
    drop(program.clone_with(same).run().fails_with(6).stdout_has("content differs").any_stderr());
}

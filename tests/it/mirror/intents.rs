//! Runs that are killed, and the treatment of their files in the next ones: whatever the conflict rule of the mirror,
//! none of them is ever taken for a foreign change.

use std::{fs, path::Path, time::Duration};

use jiff::{SignedDuration, Timestamp};
use portolan::files::{OwnerTag, TEMPORARY_PREFIX};
use rustix::process::Signal;

use super::{
    campaign::{Draw, parts, play},
    mirror, url,
};
use crate::support::{program::Portolan, rehearsal::Rehearsal, rounds::rounds, wait::until};

/// The phrases by which a run reports a foreign change.
const BLAMES: [&str; 4] = [
    "changed in the target since",
    "added to the target since",
    "removed from the target since",
    "of the target changed since",
];

const POLICIES: [&str; 4] = ["keep", "fail", "newer", "source"];

/// A mirror with a conflict rule, up to a server or down from one.
struct Scene {
    stage: Rehearsal,
    program: Portolan,
    source: std::path::PathBuf,
    target: std::path::PathBuf,
    about: String,
}

impl Scene {
    fn new(faults: &[&str], is_up: bool, options: &[&str]) -> Self {
        let stage = Rehearsal::start(faults, false);
        let program =
            mirror(&stage).args(["--delete", "--max-delete", "1000"]).args(options.iter().copied());
        let program =
            program.clone_with([""; 0]).env("PORTOLAN_STATE", program.folder().join("state"));
        let here = program.folder().join("tree");
        fs::create_dir_all(&here).unwrap();
        let there = stage.root().join("in");
        let address = url(&stage);
        let sides = if is_up { ["tree", &address] } else { [&address, "tree"] };
        let (source, target) = if is_up { (here, there) } else { (there, here) };
        let about = format!("{faults:?}, up {is_up}, {options:?}");
        Self { stage, program: program.args(sides), source, target, about }
    }

    /// Kills a run after `pause`, or when the server has seen `count` more commands `verb`.
    fn kill(&self, pause: Duration, wait: Option<(&str, usize)>) {
        let seen =
            |verb: &str| self.stage.server.log().iter().filter(|line| line.contains(verb)).count();
        let before = wait.map_or(0, |(verb, _)| seen(verb));
        let running = self.program.spawn();
        let is_time = || {
            let (verb, count) = wait?;
            (seen(verb) >= before + count).then_some(())
        };
        until(pause, is_time);
        running.signal(Signal::KILL);
        drop(running.wait().any_end().any_stdout().any_stderr().any_files());
    }

    /// Runs the mirror to its end; it must report no foreign change, and make the target equal to the source.
    fn run(&self, when: &str) {
        let ran = self.program.run().any_stdout().any_stderr().any_files();
        let about = format!("{when}, {}: {}", self.about, ran.stderr_text());
        for blame in BLAMES {
            assert!(!ran.stderr_text().contains(blame), "{about}");
        }
        drop(ran.succeeds());
        assert!(texts(&self.source) == texts(&self.target), "{about}");
    }

    /// Returns the owner tag of the mirror, as stored in its state directory.
    fn mark(&self) -> OwnerTag {
        let mut marks = fs::read_dir(self.program.folder().join("state/marks")).unwrap();
        let text = fs::read_to_string(marks.next().unwrap().unwrap().path()).unwrap();
        OwnerTag::read(text.lines().next().unwrap()).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.target).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with(TEMPORARY_PREFIX) && name != ".portolan-state")
            .collect()
    }
}

/// Returns the files of a directory that are not temporary, each with its bytes.
fn texts(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for name in ["", "0", "1", "2"] {
        let Ok(entries) = fs::read_dir(folder.join(name)) else { continue };
        for entry in entries.map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            let file = entry.file_name().into_string().unwrap();
            let is_ours = file.starts_with(TEMPORARY_PREFIX);
            all.extend(
                (!is_ours).then(|| (format!("{name}/{file}"), fs::read(entry.path()).unwrap())),
            );
        }
    }
    all.sort();
    all
}

/// Changes the source: some files get other bytes, of the same size or of another, some are added and some removed.
fn change(draw: &mut Draw, source: &Path, step: usize) {
    for number in 0..36 {
        let path = source.join(format!("{}/{number}", number % 3));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match draw.below(8) {
            0 => drop(fs::remove_file(&path)),
            1 | 2 => fs::write(&path, format!("{number} ").repeat(200 + step)).unwrap(),
            3 if path.exists() => {
                // The same size, and a time that differs at the resolution of the server, one second.
                let size = fs::metadata(&path).unwrap().len();
                let bytes =
                    vec![b'a' + u8::try_from(step % 26).unwrap(); usize::try_from(size).unwrap()];
                fs::write(&path, bytes).unwrap();
                let time = std::time::SystemTime::from(Timestamp::now())
                    - Duration::from_secs(86_400 - 7 * step as u64);
                fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            }
            _ if !path.exists() => fs::write(&path, format!("{number}")).unwrap(),
            _ => {}
        }
    }
}

#[test]
fn r5_what_killed_runs_left_is_never_taken_for_a_foreign_change() {
    play("R5 with rules for changes", rounds(6), |draw, number| {
        let policy = POLICIES[number % 4];
        let is_up = draw.below(4) > 0;
        let faults: &[&str] = draw.one_of(&[&[], &["rename-onto-refused"]]);
        let mut options = vec!["--on-conflict", policy];
        options.extend(draw.one_of::<&[&str]>(&[&[], &["--state-remote"]]));
        options.extend(draw.one_of::<&[&str]>(&[
            &[],
            &[],
            &["--staged"],
            &["--resume"],
            &["--parallel", "2"],
        ]));
        let scene = Scene::new(faults, is_up, &options);
        change(draw, &scene.source, 0);
        // Without a state nothing is deleted, and nothing is known to have been there.
        scene.run("first");
        for step in 1..=3 {
            change(draw, &scene.source, 3 * step);
            let verb = draw.one_of(&[" > RNTO ", " > RNTO ", " > DELE ", " > STOR ", " > RETR "]);
            let count = usize::try_from(draw.below(12)).unwrap() + 1;
            let wait = (draw.below(3) > 0).then_some((verb, count));
            scene.kill(Duration::from_millis(draw.below(250)), wait);
            change(draw, &scene.source, 3 * step + 1);
            let about = format!("round {number}, step {step}, {wait:?}");
            scene.run(&about);
            scene.run(&format!("{about}, once more"));
            assert_eq!(parts(&scene.target), 0, "{about} {}", scene.about);
            assert_eq!(scene.names(), [""; 0], "{about} {}", scene.about);
        }
    });
}

#[test]
fn a_run_whose_state_cannot_be_kept_changes_nothing_where_changes_are_kept() {
    for (policy, is_strict) in [("keep", true), ("fail", true), ("newer", false), ("source", false)]
    {
        let scene = Scene::new(&[], true, &["--on-conflict", policy]);
        // The database cannot be created.
        fs::create_dir_all(scene.program.folder().join("state/portolan.db")).unwrap();
        fs::write(scene.source.join("a"), "bytes").unwrap();
        let ran = scene.program.run().any_stdout().any_stderr().any_files();
        if is_strict {
            drop(ran.fails_with(5).stderr_has("nothing is changed that cannot be noted before"));
            assert!(!scene.target.join("a").exists());
        } else {
            drop(ran.succeeds());
            assert_eq!(fs::read(scene.target.join("a")).unwrap(), b"bytes");
        }
    }
}

#[test]
fn a_run_whose_intents_the_server_does_not_keep_changes_nothing_where_changes_are_kept() {
    let fault = "reply=stor:552 Quota exceeded.*1";
    for (policy, is_strict) in [("keep", true), ("fail", true), ("newer", false), ("source", false)]
    {
        let scene = Scene::new(&[fault], true, &["--on-conflict", policy, "--state-remote"]);
        fs::write(scene.source.join("a"), "bytes").unwrap();
        let ran = scene.program.run().any_stdout().any_stderr().any_files();
        assert_eq!(!scene.target.join("a").exists(), is_strict, "{policy}: {}", ran.stderr_text());
        if is_strict {
            drop(ran.any_code().stderr_has("nothing was changed"));
        } else {
            drop(ran.succeeds());
        }
        scene.run("later");
    }
}

/// Sessions that write the journal at the same time hinder each other where renames replace nothing, and the last one to
/// finish would lack what the others have noted.
#[test]
fn several_sessions_note_their_intents_on_the_server_one_after_the_other() {
    for is_up in [false, true] {
        let options = ["--on-conflict", "keep", "--state-remote", "--parallel", "6"];
        let scene = Scene::new(&["rename-onto-refused"], is_up, &options);
        for round in 0..4 {
            for number in 0..90 {
                let path = scene.source.join(format!("{}/{number}", number % 3));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, vec![b'a' + round; 30_000 + usize::from(round)]).unwrap();
            }
            scene.run(&format!("round {round}, up {is_up}"));
            assert_eq!(scene.names(), [""; 0], "round {round}, up {is_up}");
        }
    }
}

/// Renames the file `name` of the target to a backup, as a run does that is killed before the new file has its name.
fn put_aside(folder: &Path, mark: &OwnerTag, at: Timestamp, name: &str) {
    fs::rename(folder.join(name), folder.join(mark.set_aside_name(at, name.as_bytes()))).unwrap();
}

#[test]
fn an_old_file_that_was_put_aside_gets_its_name_back_in_the_next_run() {
    for policy in POLICIES {
        for options in [&[][..], &["--state-remote"], &["--resume"], &["--staged"]] {
            let options = [&["--on-conflict", policy][..], options].concat();
            let scene = Scene::new(&["rename-onto-refused"], true, &options);
            for name in ["a", "b", "c d"] {
                fs::write(scene.source.join(name), "old bytes").unwrap();
            }
            scene.run("first");
            for name in ["a", "b", "c d"] {
                put_aside(&scene.target, &scene.mark(), Timestamp::now(), name);
            }
            // One file changes, one stays as it was, and one is removed.
            fs::write(scene.source.join("a"), "other bytes, and more").unwrap();
            fs::remove_file(scene.source.join("c d")).unwrap();
            scene.run("after");
            assert_eq!(parts(&scene.target), 0, "{}", scene.about);
        }
    }
}

#[test]
fn an_old_file_that_another_put_aside_is_left_for_an_hour_and_then_put_in_order() {
    let scene = Scene::new(&[], true, &[]);
    fs::write(scene.source.join("a"), "bytes").unwrap();
    fs::write(scene.source.join("b"), "bytes").unwrap();
    scene.run("first");
    let (other, now) = (OwnerTag::random(), Timestamp::now());
    put_aside(&scene.target, &other, now, "a");
    fs::write(scene.target.join(other.set_aside_name(now, b"b")), "of an old b").unwrap();
    fs::write(scene.target.join(other.set_aside_name(now, b"unknown")), "kept").unwrap();
    drop(scene.program.run().succeeds().any_stdout().any_stderr().any_files());
    assert_eq!(parts(&scene.target), 3);
    fs::remove_file(scene.target.join(other.set_aside_name(now, b"a"))).unwrap();
    fs::remove_file(scene.target.join(other.set_aside_name(now, b"b"))).unwrap();
    let before = now - SignedDuration::from_hours(2);
    put_aside(&scene.target, &other, before, "a");
    fs::write(scene.target.join(other.set_aside_name(before, b"b")), "of an old b").unwrap();
    scene.run("later");
    // A backup with an unknown original name stays.
    assert_eq!(parts(&scene.target), 1);
}

#[test]
fn a_put_that_was_killed_between_the_names_is_made_good_by_the_next() {
    for next in ["put", "mirror"] {
        for name in ["a", "b c", "caf\u{e9}"] {
            let stage = Rehearsal::start(&["rename-onto-refused"], false);
            stage.file(&format!("in/{name}"), "old bytes");
            let folder = stage.root().join("in");
            let single = format!("single\n127.0.0.1\n{}\ntester", stage.site.port);
            put_aside(&folder, &OwnerTag::of(single.as_bytes()), Timestamp::UNIX_EPOCH, name);
            let base = Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21");
            let base = base.file(format!("tree/{name}"), "new bytes, and more");
            let local = format!("tree/{name}");
            let program = match next {
                "put" => base.args(["put", "--no-progress", &local, &(url(&stage) + "/")]),
                _ => base.args(["mirror", "--no-progress", "tree", &url(&stage)]),
            };
            drop(program.run().succeeds().any_stdout().any_stderr().any_files());
            assert_eq!(fs::read(folder.join(name)).unwrap(), b"new bytes, and more");
            // The leftovers cost a `put` no query: the next one that has to make a backup removes them.
            if next == "put" {
                assert_eq!(parts(&folder), 1, "{name}");
                fs::write(program.folder().join(&local), "newer").unwrap();
                drop(program.run().succeeds().any_stdout().any_stderr().any_files());
                assert_eq!(fs::read(folder.join(name)).unwrap(), b"newer");
            }
            assert_eq!(parts(&folder), 0, "{next} {name}");
        }
    }
}

#[test]
fn of_two_deployments_at_once_one_goes_and_the_other_is_told() {
    for way in ["--staged", "--state-remote"] {
        let stage = Rehearsal::start(&["slow=30000"], false);
        let site = |text: &str| {
            let mut program = mirror(&stage);
            for number in 0..40 {
                program = program.file(format!("tree/{number}"), text.repeat(3000 + number));
            }
            program.args([way, "tree", &url(&stage)])
        };
        // Of other sizes: times are the same within the second of servers.
        let (one, two) = (site("A"), site("BB"));
        let claim = stage.root().join("in/.portolan-lock");
        let running = one.spawn();
        assert!(until(Duration::from_secs(20), || claim.exists().then_some(())).is_some());
        // It is stopped, and not only slow, so that the other one runs in the middle of it.
        running.signal(Signal::STOP);
        let ran = two.run().any_files().any_stdout();
        drop(
            ran.fails_with(4)
                .stderr_has("another run is at work in this folder since")
                .any_stderr(),
        );
        running.signal(Signal::CONT);
        drop(running.wait().succeeds().any_stdout().any_stderr().any_files());
        for number in 0..40 {
            let bytes = stage.bytes(&format!("in/{number}")).unwrap();
            assert!(bytes.iter().all(|byte| *byte == b'A'), "{way} {number}");
        }
        assert!(!claim.exists());
        // When it is done, the other one may run.
        drop(two.run().succeeds().any_stdout().any_stderr().any_files());
        assert!(stage.bytes("in/0").unwrap().starts_with(b"B") && !claim.exists());
    }
}

#[test]
fn a_claim_goes_with_its_run_however_that_ends() {
    for (faults, options, code) in [
        (&["reply=stor:553 Not allowed."][..], &["--staged"][..], 6),
        (&[], &["--staged", "--max-total", "1"], 7),
        (&["reply=mkd:550 Permission denied."], &["--staged"], 0),
        (&["reply=mkd:550 Permission denied."], &["--state-remote"], 0),
    ] {
        let stage = Rehearsal::start(faults, false);
        let program = mirror(&stage).file("tree/a", "bytes").args(options.iter().copied());
        let ran = program.args(["tree", &url(&stage)]).run().any_stdout().any_stderr().any_files();
        let text = ran.stderr_text().to_owned();
        drop(if code == 0 { ran.succeeds() } else { ran.fails_with(code) });
        assert!(!stage.root().join("in/.portolan-lock").exists(), "{faults:?}: {text}");
    }
    let stage = Rehearsal::start(&["slow=2000"], false);
    let program =
        mirror(&stage).file("tree/a", "x".repeat(100_000)).args(["--staged", "tree", &url(&stage)]);
    let running = program.spawn();
    let claim = stage.root().join("in/.portolan-lock");
    assert!(
        until(Duration::from_secs(20), || (parts(&stage.root().join("in")) > 0).then_some(()))
            .is_some()
    );
    assert!(claim.exists());
    running.signal(Signal::INT);
    drop(running.wait().any_end().any_stdout().any_stderr().any_files());
    // If the server did not answer in time, the next run finds that this one is over.
    let program = program.file("tree/a", "short");
    drop(program.run().succeeds().any_stdout().any_stderr().any_files());
    assert!(!claim.exists());
}

#[test]
fn a_claim_whose_run_is_over_is_taken_over_and_one_of_another_machine_is_not() {
    let old = "20200101T000000Z";
    for (machine, renewed, is_over) in [
        // Another host; its directory here was made just now.
        ("0123456789abcdef", old, false),
        ("fedcba9876543210", "29991231T235959Z", false),
    ] {
        for options in [&["--staged"][..], &["--state-remote"], &[]] {
            let stage = Rehearsal::start(&[], false);
            let program = mirror(&stage).file("tree/a", "bytes");
            let program = program.args(options.iter().copied()).args(["tree", &url(&stage)]);
            let name = format!("build7.{machine}.4711.0123456789abcdef.{old}.{renewed}");
            let claim = stage.root().join("in/.portolan-lock");
            fs::create_dir_all(claim.join(&name)).unwrap();
            let ran = program.run().any_stdout().any_stderr().any_files();
            assert!(!is_over);
            drop(ran.fails_with(4).stderr_has("(process 4711 on build7)"));
            assert!(stage.bytes("in/a").is_none());
            // It has not been renewed for a long time.
            let time = std::time::SystemTime::from(Timestamp::now()) - Duration::from_mins(20);
            fs::File::open(claim.join(&name)).unwrap().set_modified(time).unwrap();
            let ran = program.run().succeeds().any_stdout().any_files();
            drop(ran.stderr_has("taken over from a run on build7 that is over").any_stderr());
            assert_eq!(stage.bytes("in/a").unwrap(), b"bytes");
            assert!(!claim.exists(), "{options:?}");
        }
    }
    // An empty one is left by a run that was killed right after its start.
    let stage = Rehearsal::start(&[], false);
    let program = mirror(&stage).file("tree/a", "bytes").args(["--staged", "tree", &url(&stage)]);
    fs::create_dir_all(stage.root().join("in/.portolan-lock")).unwrap();
    drop(program.run().succeeds().any_stdout().any_stderr().any_files());
    assert!(!stage.root().join("in/.portolan-lock").exists());
}

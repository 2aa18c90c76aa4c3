//! A state directory on a disk that is full to the last byte: the work continues or is refused, the message names the disk,
//! nothing is lost, and everything is in order once there is room again.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use crate::{
    serve::scheduler::TIME_MAX,
    support::{mounts::SmallDisk, program::Portolan, rehearsal::Rehearsal, wait},
};

/// Room for a database with its log, and for some files of the test.
const KIB: u32 = 4096;
/// The sentence for every file that cannot grow.
const FULL: &str = "the disk is full";

struct Scene {
    stage: Rehearsal,
    disk: SmallDisk,
    state: PathBuf,
    _folder: TempDir,
}

impl Scene {
    fn new() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let disk = SmallDisk::at(folder.path(), KIB)?;
        let state = folder.path().join("state");
        let server = Rehearsal::start(&[], false);
        fs::create_dir_all(server.root().join("in")).unwrap();
        Some(Self { stage: server, disk, state, _folder: folder })
    }

    fn program(&self) -> Portolan {
        Portolan::new()
            .env("PORTOLAN_PASSWORD", "open+sesame-21")
            .env("SITE", format!("ftp://tester@127.0.0.1:{}", self.stage.site.port))
            .env("PORTOLAN_STATE", &self.state)
    }

    /// Returns a path on the disk.
    fn disk_path(&self, name: &str) -> PathBuf {
        self.state.with_file_name(name)
    }

    fn mirror(&self, policy: &str) -> Portolan {
        let url = format!("ftp://tester@127.0.0.1:{}/in", self.stage.site.port);
        self.program()
            .args(["mirror", "--no-progress", "--on-conflict", policy, "tree", &url])
            .file("tree/a", "one")
            .file("tree/b", "one")
    }
}

/// Returns the number of runs in the history.
fn runs(scene: &Scene) -> usize {
    let program = scene.disk.enter(scene.program().args(["--json", "runs"]));
    let mut ran = program.run().succeeds();
    ran.json().as_array().unwrap().len()
}

#[test]
fn a_run_works_without_a_record_and_the_next_one_has_one() {
    for is_new in [true, false] {
        let Some(scene) = Scene::new() else { return };
        let script = r#"
            let site = ftp::connect(env("SITE"), #{ password: secret("PORTOLAN_PASSWORD") });
            site.write("in/a", args[0]);
            print(site.read("in/a"));
        "#;
        let script = script.replace("secret(\"PORTOLAN_PASSWORD\")", "env(\"PORTOLAN_PASSWORD\")");
        let run = |text: &str| {
            scene.disk.enter(scene.program().script(&script).args([text])).run().any_stderr()
        };
        if !is_new {
            drop(run("first").succeeds().stdout("first\n"));
        }
        scene.disk.fill();
        let ran = run("full").succeeds().stdout("full\n");
        assert!(ran.stderr_text().contains(FULL), "new {is_new}: {}", ran.stderr_text());
        drop(ran);
        assert_eq!(scene.stage.bytes("in/a").unwrap(), b"full");
        scene.disk.clear();
        let ran = run("later").succeeds().stdout("later\n");
        assert!(!ran.stderr_text().contains(FULL), "new {is_new}: {}", ran.stderr_text());
        drop(ran);
        assert_eq!(runs(&scene), if is_new { 1 } else { 2 });
    }
}

#[test]
fn a_mirror_goes_on_or_is_refused_and_the_next_one_is_right() {
    for policy in ["source", "newer", "keep", "fail"] {
        for is_new in [true, false] {
            let Some(scene) = Scene::new() else { return };
            let program = scene.disk.enter(scene.mirror(policy));
            if !is_new {
                drop(program.run().succeeds().any_stdout().any_stderr());
            }
            let about = format!("{policy}, new {is_new}");
            fs::write(program.folder().join("tree/a"), "two and more").unwrap();
            fs::write(program.folder().join("tree/c"), "new").unwrap();
            let before = ["a", "b", "c"].map(|name| scene.stage.bytes(&format!("in/{name}")));
            scene.disk.fill();
            let ran = program.run().any_end().any_stdout().any_stderr();
            assert!(ran.stderr_text().contains(FULL), "{about}: {}", ran.stderr_text());
            let after = ["a", "b", "c"].map(|name| scene.stage.bytes(&format!("in/{name}")));
            if matches!(policy, "source" | "newer") {
                assert_eq!(ran.code(), 0, "{about}: {}", ran.stderr_text());
                assert_eq!(after[0].as_deref(), Some(&b"two and more"[..]), "{about}");
            } else {
                assert_ne!(ran.code(), 0, "{about}: {}", ran.stderr_text());
                assert_eq!(after, before, "{about}");
            }
            drop(ran);
            scene.disk.clear();
            fs::write(program.folder().join("tree/b"), "three").unwrap();
            for _ in 0..2 {
                let ran = program.run().any_stdout().any_stderr().succeeds();
                assert!(
                    !ran.stderr_text().contains("since the last run"),
                    "{about}: {}",
                    ran.stderr_text()
                );
                assert!(!ran.stderr_text().contains(FULL), "{about}: {}", ran.stderr_text());
            }
            let wanted = [&b"two and more"[..], b"three", b"new"];
            let found =
                ["a", "b", "c"].map(|name| scene.stage.bytes(&format!("in/{name}")).unwrap());
            assert_eq!(found, wanted, "{about}");
        }
    }
}

#[test]
fn a_scheduler_says_it_once_and_goes_on_where_it_was_when_there_is_room() {
    let Some(scene) = Scene::new() else { return };
    let jobs = "[runner]\nretention = { runs = 100 }\n[[job]]\nname = \"a\"\nscript = \"a.rhai\"\ncron = \"* * * * * *\"\n\
                misfire = \"all\"\nmax_catchup = 100\nlate_after = \"1s\"\ncatchup_spread = \"0s\"\noverlap = \"queue\"\n";
    let program =
        scene.program().file("portolan.toml", jobs).file("a.rhai", "print(job::SCHEDULED_FOR);");
    let runs = || {
        let program = scene.disk.enter(program.clone_with([
            "--json",
            "runs",
            "--limit",
            "1000",
            "--jobs",
            "portolan.toml",
        ]));
        let mut ran = program.run().succeeds().any_stderr().any_files();
        ran.json().as_array().unwrap().clone()
    };
    let running =
        scene.disk.enter(program.clone_with(["serve", "--jobs", "portolan.toml"])).spawn();
    running.until_stderr_has("jobs, state in");
    let done = || runs().iter().filter(|run| run["outcome"] == "done").count();
    assert!(wait::until(TIME_MAX, || (done() > 1).then_some(())).is_some(), "nothing ran");
    scene.disk.fill();
    running.until_stderr_has(FULL);
    running.until_stderr_has("trying again");
    let before = done();
    scene.disk.clear();
    assert!(
        wait::until(TIME_MAX, || (done() > before + 2).then_some(())).is_some(),
        "it stays still"
    );
    running.signal(rustix::process::Signal::TERM);
    let ran = running.wait().succeeds().any_stdout().any_stderr().any_files();
    assert!(ran.stderr_text().matches("trying again").count() < 4, "{}", ran.stderr_text());
    drop(ran);
    // Each second has one row, and an end or a reason.
    let mut seconds: Vec<i64> = Vec::new();
    for run in runs() {
        let due: jiff::Timestamp = run["scheduled_for"].as_str().unwrap().parse().unwrap();
        let outcome = run["outcome"].as_str().unwrap();
        assert!(
            outcome == "done" || run["reason"].is_string() || run["error"].is_string(),
            "{run}"
        );
        seconds.push(due.as_second());
    }
    seconds.sort_unstable();
    let all: Vec<_> = (seconds[0]..=*seconds.last().unwrap()).collect();
    assert_eq!(seconds, all, "a second is missing, or there twice");
}

/// A script whose recording is as long as its listings.
const LISTS: &str = r#"
    let site = ftp::connect(env("SITE"), #{ password: secret("PORTOLAN_PASSWORD") });
    for turn in 0..4 { site.list("/in"); }
    site.get("/in/a", "got");
    print("done");
"#;

#[test]
fn a_recording_ends_where_the_disk_is_full_and_a_replay_says_so() {
    let mut sizes = Vec::new();
    for free in [0, 4, 8, 16, 48, 2048] {
        let Some(scene) = Scene::new() else { return };
        scene.stage.file("in/a", "text");
        for number in 0..150 {
            scene.stage.file(&format!("in/{number:0>100}"), "");
        }
        let file = scene.disk_path("r.jsonl");
        scene.disk.fill_but(free);
        let program = Portolan::new()
            .env("PORTOLAN_PASSWORD", "open+sesame-21")
            .env("SITE", format!("ftp://tester@127.0.0.1:{}", scene.stage.site.port))
            .file("script.rhai", LISTS)
            .args(["run", "--record"])
            .args([&file])
            .args(["script.rhai"]);
        let ran = scene.disk.enter(program).run().succeeds().stdout("done\n").wrote("got", "text");
        let is_whole = free == 2048;
        let told = "the recording of this run ends here, and the run continues: cannot write it: no space left";
        let times = ran.stderr_text().matches(told).count();
        assert_eq!(times, usize::from(!is_whole), "{free}: {}", ran.stderr_text());
        drop(ran.any_stderr());
        let bytes = fs::read(scene.disk.path(&file)).unwrap();
        let played = Portolan::new()
            .env("PORTOLAN_PASSWORD", "open+sesame-21")
            .env("SITE", format!("ftp://tester@127.0.0.1:{}", scene.stage.site.port))
            .file("r.jsonl", &bytes)
            .file("script.rhai", LISTS)
            .args(["--json", "replay", "r.jsonl", "script.rhai"]);
        sizes.push(bytes.len());
        if bytes.is_empty() {
            played.run().fails_with(2).stderr_has("this is no recording").forget();
            continue;
        }
        let mut ran = played.run().any_code().any_stderr();
        let report = ran.json();
        let says = report["remarks"].to_string().contains("the recording has no end");
        assert_eq!(report["recording_is_whole"], is_whole, "{free}: {report:#}");
        assert_eq!((says, ran.code() == 0), (!is_whole, is_whole), "{free}: {report:#}");
    }
    assert!(sizes.is_sorted() && sizes[0] == 0 && sizes[4] < sizes[5], "{sizes:?}");
}

#[test]
fn a_recording_to_publish_is_whole_or_empty_on_a_full_disk() {
    let Some(scene) = Scene::new() else { return };
    let file = scene.disk_path("d.jsonl");
    scene.disk.fill();
    let url = format!("ftp://tester@127.0.0.1:{}", scene.stage.site.port);
    let program = Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21");
    let program = program.args(["doctor", &url, "--record"]).args([&file]);
    let ran = scene.disk.enter(program).run().succeeds().any_stdout();
    drop(ran.stderr_has("there is no recording: ").stderr_has("no space left"));
    assert_eq!(fs::read(scene.disk.path(&file)).unwrap(), b"");
}

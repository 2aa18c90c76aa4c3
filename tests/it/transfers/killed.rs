//! Single transfers that are killed: the next one to the same target, or the next mirror of the directory, removes what
//! they have left, and nothing that a live process or anybody else needs.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use portolan::files::OwnerTag;
use rustix::process::Signal;
use tempfile::TempDir;

use super::url;
use crate::support::{program::Portolan, rehearsal::Rehearsal, wait::until};

const SIZE: usize = 300_000;
const TIME_MAX: Duration = Duration::from_mins(1);

/// A fault of the first transfer only: it is slow, so that it is killed with a part of the file there, or its final reply
/// is late, so that it is killed with all of it there. With each the size at which it is killed.
const MOMENTS: [(&str, usize); 2] = [("slow=100000*1", 1), ("late-226*1", SIZE)];

/// The next program, which removes what the killed one has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Single,
    Mirror,
}

/// A server, a local directory, and the state that all programs share.
struct Scene {
    stage: Rehearsal,
    state: TempDir,
    here: TempDir,
    foreign: Vec<String>,
}

impl Scene {
    fn new(faults: &[&str]) -> Self {
        let server = Rehearsal::start(faults, false);
        let (state, here) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        fs::create_dir_all(server.root().join("in")).unwrap();
        // Of another host, of a mirror, of the first version, and of a user.
        let other = OwnerTag::random();
        let foreign = vec![
            other.resumable_name(&[7; 32]),
            other.name(jiff::Timestamp::now()),
            ".portolan-0123456789abcdef.part".to_owned(),
            ".portolan-notes.txt".to_owned(),
            "PTREPORT".to_owned(),
        ];
        let scene = Self { stage: server, state, here, foreign };
        for name in &scene.foreign {
            fs::write(scene.here.path().join(name), "foreign").unwrap();
            fs::write(scene.there().join(name), "foreign").unwrap();
        }
        scene
    }

    fn there(&self) -> PathBuf {
        self.stage.root().join("in")
    }

    fn program(&self, words: &[&str]) -> Portolan {
        Portolan::new()
            .env("PORTOLAN_PASSWORD", "open+sesame-21")
            .env("PORTOLAN_STATE", self.state.path())
            .args(words.iter().copied())
    }

    fn get(&self) -> Portolan {
        let target = self.here.path().join("a");
        self.program(&["get", "--no-progress", &url(&self.stage, "in/a"), target.to_str().unwrap()])
    }

    fn put(&self) -> Portolan {
        let source = self.here.path().join("source");
        self.program(&["put", "--no-progress", source.to_str().unwrap(), &url(&self.stage, "in/a")])
    }

    fn mirror(&self, is_up: bool) -> Portolan {
        let (here, there) = (self.here.path().to_str().unwrap(), url(&self.stage, "in"));
        let sides = if is_up { [here, &there] } else { [&there, here] };
        self.program(&["mirror", "--no-progress", "--exclude", "PTREPORT", "--exclude", "*.txt"])
            .args(sides)
    }

    /// Returns the temporary files in `folder` that are not foreign.
    fn temps(&self, folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let is_temp = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_short = name.len() == 8 && name.starts_with("PT");
            (name.starts_with(".portolan-") || is_short)
                && !self.foreign.iter().any(|foreign| foreign == name)
        };
        entries.filter(is_temp).collect()
    }

    /// Returns true if a temporary file in `folder` has at least `size` bytes.
    fn has_temp(&self, folder: &Path, size: usize) -> bool {
        let has = |path: &PathBuf| fs::metadata(path).is_ok_and(|found| found.len() >= size as u64);
        self.temps(folder).iter().any(has)
    }

    /// Runs `program` until it has a temporary file of at least `size` bytes, and kills it.
    fn kill(&self, program: &Portolan, folder: &Path, size: usize) {
        let running = program.spawn();
        let found = until(TIME_MAX, || self.has_temp(folder, size).then_some(()));
        assert!(found.is_some(), "no temporary file came");
        running.signal(Signal::KILL);
        drop(running.wait().killed_by(9).any_stdout().any_stderr());
        assert_eq!(self.temps(folder).len(), 1, "{:?}", self.temps(folder));
    }

    fn assert_swept(&self, folder: &Path, about: &str) {
        assert_eq!(self.temps(folder), Vec::<PathBuf>::new(), "{about}");
        for name in &self.foreign {
            assert_eq!(fs::read(folder.join(name)).unwrap(), b"foreign", "{about}: {name}");
        }
        let records = fs::read_dir(self.state.path().join("temps")).into_iter().flatten();
        assert_eq!(records.count(), 0, "{about}: a record is left");
    }
}

fn text(letter: u8, size: usize) -> Vec<u8> {
    vec![letter; size]
}

#[test]
fn what_a_killed_get_leaves_goes_with_the_next_get_or_mirror() {
    for (fault, size) in MOMENTS {
        for next in [Next::Single, Next::Mirror] {
            let scene = Scene::new(&[fault]);
            let about = format!("{fault}, {next:?}");
            fs::write(scene.there().join("a"), text(b'a', SIZE)).unwrap();
            scene.kill(&scene.get(), scene.here.path(), size);
            // The file on the server is another one by now.
            fs::write(scene.there().join("a"), text(b'b', SIZE / 2)).unwrap();
            let program = if next == Next::Single { scene.get() } else { scene.mirror(false) };
            drop(program.run().succeeds().any_stdout().any_stderr());
            assert!(fs::read(scene.here.path().join("a")).unwrap() == text(b'b', SIZE / 2));
            scene.assert_swept(scene.here.path(), &about);
        }
    }
}

#[test]
fn what_a_killed_put_leaves_goes_with_the_next_put_or_mirror() {
    for (fault, size) in MOMENTS {
        for next in [Next::Single, Next::Mirror] {
            let scene = Scene::new(&[fault]);
            let about = format!("{fault}, {next:?}");
            let source = scene.here.path().join("source");
            fs::write(&source, text(b'a', SIZE)).unwrap();
            scene.kill(&scene.put(), &scene.there(), size);
            fs::write(&source, text(b'b', SIZE / 2)).unwrap();
            let program = if next == Next::Single { scene.put() } else { scene.mirror(true) };
            drop(program.run().succeeds().any_stdout().any_stderr());
            let name = if next == Next::Single { "a" } else { "source" };
            assert!(fs::read(scene.there().join(name)).unwrap() == text(b'b', SIZE / 2));
            scene.assert_swept(&scene.there(), &about);
        }
    }
}

/// A server with names of at most eight bytes gets temporary names that tell nothing of their owner.
#[test]
fn short_names_of_killed_uploads_are_swept_as_well() {
    for (is_mirror, next) in
        [(false, Next::Single), (false, Next::Mirror), (true, Next::Mirror), (true, Next::Single)]
    {
        let scene = Scene::new(&["cut-names=8", "slow=150000"]);
        for name in &scene.foreign {
            fs::remove_file(scene.there().join(name)).unwrap();
            fs::remove_file(scene.here.path().join(name)).unwrap();
        }
        let scene = Scene { foreign: vec!["PTREPORT".into()], ..scene };
        fs::write(scene.there().join("PTREPORT"), "foreign").unwrap();
        let source = scene.here.path().join("source");
        // The first upload finds out what the server does to names.
        fs::write(&source, "short").unwrap();
        drop(scene.put().run().succeeds().any_stdout().any_stderr());
        drop(scene.mirror(true).run().succeeds().any_stdout().any_stderr());
        fs::write(&source, text(b'a', SIZE)).unwrap();
        let program = if is_mirror { scene.mirror(true) } else { scene.put() };
        scene.kill(&program, &scene.there(), 1);
        let left = scene.temps(&scene.there());
        assert!(left[0].file_name().unwrap().to_str().unwrap().starts_with("PT"), "{left:?}");
        fs::write(&source, text(b'b', SIZE / 2)).unwrap();
        let about = format!("mirror {is_mirror}, {next:?}");
        // A put has another target than the mirror had, unless it is to the name of the mirrored file.
        let put = scene.program(&[
            "put",
            "--no-progress",
            source.to_str().unwrap(),
            &url(&scene.stage, if is_mirror { "in/source" } else { "in/a" }),
        ]);
        let program = if next == Next::Single { put } else { scene.mirror(true) };
        drop(program.run().succeeds().any_stdout().any_stderr());
        scene.assert_swept(&scene.there(), &about);
    }
}

#[test]
fn what_a_live_transfer_needs_is_left_to_it() {
    for is_up in [true, false] {
        let scene = Scene::new(&["slow=100000*1"]);
        let source = scene.here.path().join("source");
        let (program, folder) = if is_up {
            fs::write(&source, text(b'a', SIZE)).unwrap();
            (scene.put(), scene.there())
        } else {
            fs::write(scene.there().join("a"), text(b'a', SIZE)).unwrap();
            (scene.get(), scene.here.path().to_owned())
        };
        let running = program.spawn();
        assert!(until(TIME_MAX, || scene.has_temp(&folder, 1).then_some(())).is_some());
        // It is stopped, and not only slow, so that the others run in the middle of it.
        running.signal(Signal::STOP);
        drop(scene.mirror(is_up).run().succeeds().any_stdout().any_stderr());
        assert_eq!(scene.temps(&folder).len(), 1, "up {is_up}");
        // The same transfer a second time.
        drop(program.run().succeeds().any_stdout().any_stderr());
        assert_eq!(scene.temps(&folder).len(), 1, "up {is_up}");
        running.signal(Signal::CONT);
        drop(running.wait().succeeds().any_stdout().any_stderr());
        assert!(fs::read(folder.join("a")).unwrap() == text(b'a', SIZE), "up {is_up}");
        scene.assert_swept(&folder, &format!("up {is_up}"));
    }
}

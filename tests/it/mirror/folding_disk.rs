//! Mirrors to a local disk that takes `Logo.png` and `logo.png` for one file (adversarial cases A3).

use std::fs;

use tempfile::TempDir;

use super::url;
use crate::support::{fold_disk, mounts::Mounts, program::Portolan, rehearsal::Rehearsal};

struct Scene {
    stage: Rehearsal,
    mounts: Mounts,
    program: Portolan,
    top: TempDir,
}

impl Scene {
    fn new(options: &[&str]) -> Option<Self> {
        let top = TempDir::new().unwrap();
        let mounts = fold_disk::at(top.path())?;
        let stage = Rehearsal::start(&[], false);
        fs::create_dir_all(stage.root().join("in")).unwrap();
        let program = Portolan::new()
            .env("PORTOLAN_PASSWORD", "open+sesame-21")
            .args(["mirror", "--no-progress", "--delete", "--max-delete", "100"])
            .args(options.iter().copied())
            .args([&url(&stage), top.path().to_str().unwrap()]);
        let program = mounts.enter(program);
        Some(Self { stage, mounts, program, top })
    }

    fn there(&self, name: &str, text: &str) {
        self.stage.file(&format!("in/{name}"), text);
    }

    fn gone(&self, name: &str) {
        fs::remove_file(self.stage.root().join("in").join(name)).unwrap();
    }

    /// Returns the files in a directory of the disk, each with its text.
    fn here(&self, folder: &str) -> Vec<(String, String)> {
        let entries = fs::read_dir(self.mounts.path(&self.top.path().join(folder))).unwrap();
        let mut files = Vec::new();
        for entry in entries.map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            let name = entry.file_name().into_string().unwrap();
            files.push((name, fs::read_to_string(entry.path()).unwrap()));
        }
        files.sort();
        files
    }
}

fn file(name: &str, text: &str) -> (String, String) {
    (name.into(), text.into())
}

const OPTIONS: [&[&str]; 3] = [&[], &["--staged"], &["--compare", "checksum"]];

#[test]
fn a_file_renamed_in_its_case_stays_with_its_bytes_and_the_second_run_is_quiet() {
    for options in OPTIONS {
        let Some(scene) = Scene::new(options) else { return };
        scene.there("Logo.png", "one");
        scene.there("Img/a", "in a folder");
        scene.there("other", "stays");
        drop(scene.program.run().succeeds().any_stdout().any_stderr());
        assert_eq!(scene.here(""), [file("Logo.png", "one"), file("other", "stays")]);
        scene.gone("Logo.png");
        scene.there("logo.PNG", "two and more");
        fs::rename(scene.stage.root().join("in/Img"), scene.stage.root().join("in/img")).unwrap();
        for run in 1..=3 {
            let ran = scene.program.run().succeeds().any_stdout().any_stderr();
            let about = format!("run {run}, {options:?}: {}", ran.stderr_text());
            let found: Vec<_> = scene.here("").into_iter().map(|(_, text)| text).collect();
            assert_eq!(found, ["two and more", "stays"], "{about}");
            assert_eq!(scene.here("img"), [file("a", "in a folder")], "{about}");
            if run > 1 {
                assert!(
                    ran.stdout_text().is_empty() || ran.stdout_text().contains("0 down, 0 deleted"),
                    "{about} {}",
                    ran.stdout_text()
                );
            }
        }
        // A disk that folds names still loses what is gone from the server.
        scene.gone("other");
        drop(scene.program.run().succeeds().any_stdout().any_stderr());
        let found: Vec<_> = scene.here("").into_iter().map(|(_, text)| text).collect();
        assert_eq!(found, ["two and more"], "{options:?}");
    }
}

#[test]
fn of_two_names_that_are_one_on_the_disk_one_is_refused_by_name_in_every_run() {
    for options in OPTIONS {
        let Some(scene) = Scene::new(options) else { return };
        scene.there("README", "capital");
        scene.there("readme", "small letters");
        scene.there("x", "x");
        for run in 1..=3 {
            let ran = scene.program.run().any_end().any_stdout().any_stderr();
            let about = format!("run {run}, {options:?}: {}", ran.stderr_text());
            assert_ne!(ran.code(), 0, "{about}");
            assert!(ran.stderr_text().to_lowercase().contains("readme: "), "{about}");
            let found = scene.here("");
            if options.contains(&"--staged") {
                // It is all or nothing.
                assert_eq!(found, [], "{about}");
                continue;
            }
            assert_eq!(found.len(), 2, "{about} {found:?}");
            // One of the two, whole.
            let text =
                &found.iter().find(|(name, _)| name.eq_ignore_ascii_case("readme")).unwrap().1;
            assert!(["capital", "small letters"].contains(&&**text), "{about}");
            assert!(found.contains(&file("x", "x")), "{about}");
        }
    }
}

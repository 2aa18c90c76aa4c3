//! Valid and invalid jobs files.

mod files;
mod keys;
mod mistakes;
mod repeat;
mod tasks;
mod whole;

use std::path::Path;

use jiff::Timestamp;

use super::{JobsReading, parse};
use crate::schedule::zone::Zones;

/// Creates a folder with the scripts `s.rhai` and `scripts/nightly.rhai`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("scripts")).unwrap();
    for script in ["s.rhai", "scripts/nightly.rhai"] {
        std::fs::write(folder.path().join(script), "print(1);").unwrap();
    }
    folder
}

fn read(text: &str, folder: &Path) -> JobsReading {
    let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
    parse(text.to_owned(), &folder.join("portolan.toml"), &Zones::bundled(), now)
}

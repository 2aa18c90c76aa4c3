//! The content of packages: manual pages and completions, and the files that their metadata name.

use std::{fs, path::Path, process::Command};

use crate::support::program::Portolan;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_command_has_a_manual_page() {
    let ran = Portolan::new().args(["man", "man"]).run();
    let page = |name: &str| fs::read_to_string(ran.folder().join("man").join(name)).unwrap();
    assert!(page("portolan.1").contains("Exit codes: 0 done"));
    for command in
        ["run", "check", "rehearse", "doctor", "ls", "get", "put", "mirror", "rm", "shell"]
    {
        assert!(page(&format!("portolan-{command}.1")).contains(".SH SYNOPSIS"), "{command}");
    }
    drop(ran.any_files());
}

#[test]
fn the_folder_for_packages_has_what_the_debian_package_takes() {
    let folder = tempfile::tempdir().unwrap();
    let build = Command::new(root().join("packaging/build"))
        .args([folder.path(), Path::new(env!("CARGO_BIN_EXE_portolan"))])
        .output()
        .unwrap();
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    let manifest: toml::Table =
        fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"].as_array().unwrap();
    assert!(assets.len() >= 5);
    for asset in assets {
        let source = asset[0].as_str().unwrap();
        let path = match source.strip_prefix("target/package/") {
            Some(made) => folder.path().join(made),
            None if source.starts_with("target/") => continue,
            None => root().join(source),
        };
        let name = path.file_name().unwrap().to_str().unwrap();
        let found = match name.strip_prefix('*') {
            Some(end) => fs::read_dir(path.parent().unwrap())
                .unwrap()
                .any(|entry| entry.unwrap().file_name().to_str().unwrap().ends_with(end)),
            None => path.exists(),
        };
        assert!(found, "{source} is not there");
    }
}

#[test]
fn the_debian_package_names_the_authors_as_the_licence_does() {
    let text = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    let maintainer = manifest["package"]["metadata"]["deb"]["maintainer"].as_str().unwrap();
    assert!(text("LICENSE-MIT").contains(&format!(" {maintainer}\n")), "{maintainer}");
}

#[test]
fn the_container_and_the_action_build_as_the_readme_says() {
    let text = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let version = text("Cargo.toml");
    let version = version.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    let image = format!("FROM rust:{}-bookworm", version.trim_matches('"'));
    assert!(text("Dockerfile").contains(&image), "the container has another Rust");
    for file in ["Dockerfile", "action.yml"] {
        assert!(text(file).contains("cargo install --path"), "{file}");
        assert!(text(file).contains("--locked"), "{file}");
    }
}

//! The content of packages: manual pages and completions, and the files that their metadata name.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    process::Command,
};

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

/// Serves the files of `folder` below any path, by their names; returns the address.
fn web(folder: std::path::PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            let path = line.split(' ').nth(1).unwrap();
            let name = path.rsplit('/').next().unwrap();
            let answer = match fs::read(folder.join(name)) {
                Ok(bytes) => {
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                        bytes.len()
                    );
                    [head.as_bytes(), &bytes].concat()
                }
                Err(_) => {
                    b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                        .to_vec()
                }
            };
            stream.write_all(&answer).unwrap();
        }
    });
    address
}

#[test]
fn the_action_takes_the_binary_of_a_release_only_if_its_checksum_holds() {
    let folder = tempfile::tempdir().unwrap();
    let release = folder.path().join("release");
    fs::create_dir(&release).unwrap();
    let address = web(release.clone());
    let download = |to: &str| {
        let (to, output) = (folder.path().join(to), folder.path().join("output"));
        fs::write(&output, "").unwrap();
        let done = Command::new("bash")
            .args([root().join("packaging/download"), to.clone()])
            .env("REPOSITORY", "me/portolan")
            .env("REF", "v1")
            .env("SERVER_URL", &address)
            .env("GITHUB_OUTPUT", &output)
            .env_remove("all_proxy")
            .env_remove("http_proxy")
            .output()
            .unwrap();
        (done.status.success(), fs::read_to_string(output).unwrap(), to.join("portolan"))
    };
    // No release: the source is built.
    let (is_done, output, program) = download("none");
    assert_eq!((is_done, &output[..], program.exists()), (true, "found=false\n", false));
    let machine = Command::new("uname").arg("-m").output().unwrap().stdout;
    let machine = String::from_utf8(machine).unwrap();
    let name = format!("portolan-{}-unknown-linux-musl.tar.gz", machine.trim());
    fs::write(folder.path().join("portolan"), "#!/bin/sh\necho portolan 1\n").unwrap();
    let packed = Command::new("tar")
        .arg("-czf")
        .args([&release.join(&name)])
        .arg("-C")
        .args([folder.path()])
        .arg("portolan")
        .status();
    assert!(packed.unwrap().success());
    let sums = Command::new("sha256sum").arg(&name).current_dir(&release).output().unwrap().stdout;
    fs::write(release.join("SHA256SUMS"), &sums).unwrap();
    let (is_done, output, program) = download("good");
    assert_eq!((is_done, &output[..], program.exists()), (true, "found=true\n", true));
    // Another binary than the one that was released is no reason to build: it is a reason to stop.
    fs::write(release.join("SHA256SUMS"), format!("{}  {name}\n", "0".repeat(64))).unwrap();
    let (is_done, output, program) = download("bad");
    assert_eq!((is_done, &output[..], program.exists()), (false, "", false));
}

#[test]
fn a_release_refuses_a_program_that_is_not_static() {
    let folder = tempfile::tempdir().unwrap();
    let packed = Command::new("bash")
        .args([root().join("packaging/pack"), env!("CARGO_BIN_EXE_portolan").into()])
        .args(["x86_64-unknown-linux-musl".into(), folder.path().to_owned()])
        .output()
        .unwrap();
    let words = String::from_utf8(packed.stderr).unwrap();
    assert!(!packed.status.success() && words.contains("is not static"), "{words}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

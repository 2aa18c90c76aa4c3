//! Tests of atomic files, on a disk.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

fn names(folder: &Path) -> Vec<OsString> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

fn land(target: &Path, text: &str) {
    let mut landing = AtomicFile::begin(target).unwrap();
    landing.write_all(text.as_bytes()).unwrap();
    assert_eq!(landing.bytes(), text.len() as u64);
    landing.commit(None).unwrap();
}

#[test]
fn the_final_name_holds_the_old_bytes_until_the_new_ones_are_all_there() {
    let scratch = tempfile::tempdir().unwrap();
    let target = scratch.path().join("a.txt");
    std::fs::write(&target, "old").unwrap();
    let mut landing = AtomicFile::begin(&target).unwrap();
    landing.write_all(b"the new").unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), b"old");
    assert_eq!(landing.file().metadata().unwrap().mode() & 0o777, 0o600);
    assert!(names(scratch.path()).iter().any(|name| super::super::is_temporary(name)));

    let modified = Timestamp::new(1_000_000, 250_000_000).unwrap();
    landing.commit(Some(modified)).unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), b"the new");
    let found = std::fs::metadata(&target).unwrap();
    assert_eq!((found.mtime(), found.mtime_nsec()), (1_000_000, 250_000_000));
    assert_eq!(names(scratch.path()), ["a.txt"]);
}

#[test]
fn a_failure_leaves_the_old_file_and_no_other() {
    let scratch = tempfile::tempdir().unwrap();
    let target = scratch.path().join("a.txt");
    std::fs::write(&target, "old").unwrap();
    let mut landing = AtomicFile::begin(&target).unwrap();
    landing.write_all(b"half of the n").unwrap();
    drop(landing);
    assert_eq!(std::fs::read(&target).unwrap(), b"old");
    assert_eq!(names(scratch.path()), ["a.txt"]);
}

#[test]
fn a_file_that_took_the_temporary_name_is_not_removed() {
    let scratch = tempfile::tempdir().unwrap();
    let landing = AtomicFile::begin(scratch.path().join("a.txt")).unwrap();
    let name = scratch.path().join(&landing.temporary);
    std::fs::rename(&name, scratch.path().join("moved")).unwrap();
    std::fs::write(&name, "somebody else's").unwrap();
    drop(landing);
    assert_eq!(std::fs::read(&name).unwrap(), b"somebody else's");
}

#[test]
fn a_private_file_stays_private_and_special_bits_are_never_set() {
    let scratch = tempfile::tempdir().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
    for (before, after) in [(0o600, 0o600), (0o644, 0o644), (0o4755, 0o755)] {
        let target = scratch.path().join(format!("{before:o}"));
        std::fs::write(&target, "old").unwrap();
        std::fs::set_permissions(&target, PermissionsExt::from_mode(before)).unwrap();
        land(&target, "new");
        assert_eq!(mode(&target), after, "{before:o}");
    }
    let fresh = scratch.path().join("fresh");
    land(&fresh, "new");
    assert_eq!(mode(&fresh), 0o666 & !umask());
    let asked = scratch.path().join("asked");
    let mut landing = AtomicFile::begin(&asked).unwrap();
    landing.ask_mode(0o4777);
    landing.commit(None).unwrap();
    assert_eq!(mode(&asked), 0o777 & !umask());
}

#[test]
fn a_link_under_the_final_name_stays_and_what_it_leads_to_is_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    std::fs::write(at("behind"), "untouched").unwrap();
    for (name, target) in [("link", "behind"), ("dangling", "nowhere"), ("circle", "circle")] {
        symlink(target, at(name)).unwrap();
        let fault = AtomicFile::begin(at(name)).unwrap_err();
        assert!(fault.message.starts_with("the target is a link"), "{name}: {fault}");
        assert_eq!(std::fs::read_link(at(name)).unwrap(), Path::new(target));
    }
    assert_eq!(std::fs::read(at("behind")).unwrap(), b"untouched");
    assert_eq!(names(scratch.path()), ["behind", "circle", "dangling", "link"]);
}

#[test]
fn folders_and_devices_are_not_written_over_nor_through_a_link() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    std::fs::create_dir(at("folder")).unwrap();
    symlink("folder", at("to folder")).unwrap();
    symlink("/dev/null", at("to device")).unwrap();
    std::fs::write(at("file"), "").unwrap();
    let open = File::open(at("file")).unwrap();
    let magic = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&open));
    symlink(&magic, at("to open file")).unwrap();
    symlink("to open file", at("to it")).unwrap();
    for (name, found) in [
        ("folder", "a directory"),
        ("to folder", "a directory"),
        ("to device", "a device"),
        ("to open file", "a link of the system"),
        ("to it", "a link of the system"),
        (magic.as_str(), "a link of the system"),
        ("/dev/stdout", "a link of the system"),
        ("/dev/fd", "a link of the system"),
        ("/dev/fd/1", "a link of the system"),
        ("/proc/self/exe", "a link of the system"),
    ] {
        let fault = AtomicFile::begin(at(name)).unwrap_err();
        assert!(fault.message.contains(&format!("the target is {found}")), "{name}: {fault}");
    }
    for name in ["new/", "folder/.."] {
        assert_eq!(AtomicFile::begin(at(name)).unwrap_err().kind, ErrorKind::Invalid, "{name}");
    }
    let all = ["file", "folder", "to device", "to folder", "to it", "to open file"];
    assert_eq!(names(scratch.path()), all);
}

#[test]
fn a_folder_that_appears_meanwhile_stays() {
    let scratch = tempfile::tempdir().unwrap();
    let target = scratch.path().join("a");
    let landing = AtomicFile::begin(&target).unwrap();
    std::fs::create_dir(&target).unwrap();
    landing.commit(None).unwrap_err();
    assert_eq!(names(scratch.path()), ["a"]);
    assert!(target.is_dir());
}

#[test]
fn a_full_disk_is_told_apart() {
    let scratch = tempfile::tempdir().unwrap();
    let mut landing = AtomicFile::begin(scratch.path().join("a")).unwrap();
    landing.file = File::options().write(true).open("/dev/full").unwrap();
    let fault = landing.write_all(b"x").unwrap_err();
    assert_eq!((fault.kind, fault.side), (ErrorKind::Full, Origin::Here));
    assert_eq!(landing.bytes(), 0);
}

#[test]
fn s10_a_temporary_name_that_is_taken_is_never_opened() {
    let scratch = tempfile::tempdir().unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    let at = |name: &str| scratch.path().join(name);
    symlink(outside.path(), at("link")).unwrap();
    fs::mknodat(fs::CWD, at("pipe"), fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
    std::fs::write(at("file"), "before").unwrap();

    let begin = |names: &[&str]| {
        let names = names.iter().map(ToString::to_string).collect::<Vec<_>>().into_iter();
        let folder = open_folder(scratch.path()).unwrap();
        AtomicFile::in_folder(folder, OsStr::new("a"), at("a"), names)
    };
    begin(&["link", "pipe", "file"]).unwrap_err();
    let mut landing = begin(&["link", "pipe", "file", "free"]).unwrap();
    landing.write_all(b"new").unwrap();
    landing.commit(None).unwrap();
    assert_eq!(std::fs::read(at("a")).unwrap(), b"new");
    assert_eq!(std::fs::read(at("file")).unwrap(), b"before");
    assert_eq!(std::fs::read(outside.path()).unwrap(), b"");
}

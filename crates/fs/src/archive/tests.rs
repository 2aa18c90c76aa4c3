use std::{fs, os::unix::fs::symlink};

use super::*;

const LIMITS: UnpackLimits = UnpackLimits { bytes_max: 1 << 30, entries_max: 1000 };

fn tree() -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    fs::create_dir_all(at("site/css")).unwrap();
    fs::create_dir(at("site/empty")).unwrap();
    fs::write(at("site/index.html"), "<p>hällo").unwrap();
    fs::write(at("site/css/a.css"), "a".repeat(10_000)).unwrap();
    symlink("/etc/passwd", at("site/link")).unwrap();
    scratch
}

/// Returns the names below a directory, sorted.
fn names(folder: &Path) -> Vec<String> {
    let root = crate::RootDir::open(folder).unwrap();
    let found = crate::walk(&root, &CancelToken::new()).unwrap();
    assert_eq!(found.leftovers, Vec::<PathBuf>::new());
    found.entries.iter().map(|entry| entry.path.display().to_string()).collect()
}

#[test]
fn what_is_packed_comes_out_again() {
    let scratch = tree();
    let at = |name: &str| scratch.path().join(name);
    let stop = CancelToken::new();
    zip(&[at("site")], &at("a.zip"), &stop).unwrap();
    tar(&[at("site")], &at("a.tar"), &stop).unwrap();
    tar(&[at("site")], &at("a.tar.gz"), &stop).unwrap();
    assert!(fs::metadata(at("a.tar.gz")).unwrap().len() < 1000);
    for (name, is_zip) in [("a.zip", true), ("a.tar", false), ("a.tar.gz", false)] {
        let to = at(&format!("out-{name}"));
        let unpack = if is_zip { unzip } else { untar };
        let mut found = unpack(&at(name), &to, LIMITS, &stop).unwrap();
        found.files.sort();
        assert_eq!(found.files, [Path::new("css/a.css"), Path::new("index.html")], "{name}");
        assert_eq!(names(&to), ["css", "css/a.css", "empty", "index.html"], "{name}");
        assert_eq!(fs::read_to_string(to.join("index.html")).unwrap(), "<p>hällo");
    }
    tar(&[at("site"), at("a.zip")], &at("b.tar"), &stop).unwrap();
    let found = untar(&at("b.tar"), &at("b"), LIMITS, &stop).unwrap();
    assert!(found.files.contains(&PathBuf::from("site/css/a.css")), "{found:?}");
    gzip(&at("site/css/a.css"), &at("a.css.gz"), &stop).unwrap();
    assert_eq!(gunzip(&at("a.css.gz"), &at("a.css"), LIMITS, &stop).unwrap(), 10_000);
    assert_eq!(fs::read(at("a.css")).unwrap(), fs::read(at("site/css/a.css")).unwrap());
}

#[test]
fn a_bomb_ends_with_an_error_and_leaves_no_file() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let stop = CancelToken::new();
    let large = File::create(at("zeros")).unwrap();
    large.set_len(100 << 20).unwrap();
    gzip(&at("zeros"), &at("zeros.gz"), &stop).unwrap();
    zip(&[at("zeros")], &at("zeros.zip"), &stop).unwrap();
    tar(&[at("zeros")], &at("zeros.tgz"), &stop).unwrap();
    let small = UnpackLimits { bytes_max: 1 << 20, ..LIMITS };
    for (limits, said) in
        [(LIMITS, "more than 250 times its size"), (small, "more than 1048576 bytes")]
    {
        let error = gunzip(&at("zeros.gz"), &at("out"), limits, &stop).unwrap_err();
        assert!(error.message.contains(said), "{error}");
        assert!(!at("out").exists());
        for (name, is_zip) in [("zeros.zip", true), ("zeros.tgz", false)] {
            let unpack = if is_zip { unzip } else { untar };
            let error = unpack(&at(name), &at("folder"), limits, &stop).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Guard);
            assert!(error.message.contains(said), "{name}: {error}");
            assert_eq!(fs::read_dir(at("folder")).unwrap().count(), 0, "{name}");
        }
    }
    let few = UnpackLimits { entries_max: 0, ..LIMITS };
    assert!(unzip(&at("zeros.zip"), &at("folder"), few, &stop).is_err());
}

/// Returns an archive with one entry of that name and kind.
fn tar_with(name: &[u8], kind: tar::EntryType) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(u64::from(kind.is_file()));
    if kind.is_symlink() {
        header.set_link_name("/etc").unwrap();
    }
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    if kind.is_file() {
        bytes.extend([b'x'; 512]);
    }
    bytes.extend([0; 1024]);
    bytes
}

#[test]
fn names_that_lead_out_are_refused_and_links_left_out() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let stop = CancelToken::new();
    for name in ["../evil", "/evil", "a/../../evil", "a\\..\\evil", "\u{7f}/../x"] {
        fs::write(at("a.tar"), tar_with(name.as_bytes(), tar::EntryType::Regular)).unwrap();
        let error = untar(&at("a.tar"), &at("out"), LIMITS, &stop).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Guard, "{name}: {error}");
        assert_eq!(names(&at("out")), Vec::<String>::new(), "{name}");
    }
    fs::write(at("a.tar"), tar_with(b"link", tar::EntryType::Symlink)).unwrap();
    let found = untar(&at("a.tar"), &at("out"), LIMITS, &stop).unwrap();
    assert_eq!((found.files.len(), found.left_out), (0, vec!["link".to_owned()]));
    // A link that is there already leads nowhere.
    symlink("/tmp", at("out/there")).unwrap();
    fs::write(at("a.tar"), tar_with(b"there/evil", tar::EntryType::Regular)).unwrap();
    untar(&at("a.tar"), &at("out"), LIMITS, &stop).unwrap_err();
    assert!(!Path::new("/tmp/evil").exists());
    for broken in [&b"PK\x03\x04"[..], b"no archive at all", b""] {
        fs::write(at("b"), broken).unwrap();
        assert!(unzip(&at("b"), &at("out2"), LIMITS, &stop).is_err());
    }
}

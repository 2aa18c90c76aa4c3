//! Attacks by another local user while portolan writes: planted links, and directories replaced by links.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{AtomicFile, RootDir, SourceFile, root_dir::Missing, walk};
use portolan_core::{cancel::CancelToken, error::Result};

fn download(root: &RootDir, relative: &str) -> Result<()> {
    let mut landing = AtomicFile::begin_in(root, relative)?;
    landing.write_all(b"from the server")?;
    landing.commit(None).map(drop)
}

/// The content of a file outside the root; its size differs from that of every file inside.
const SECRET: &[u8] = b"not to be read";

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

/// A guard that ends the swapping thread, also when a check fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_folder_that_is_a_link_to_elsewhere_receives_nothing() {
    let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(outside.path(), inside.path().join("d")).unwrap();
    let root = RootDir::open(inside.path()).unwrap();
    let refused = "cannot reach its folder: a link stands in the way, and it is not followed";
    assert_eq!(download(&root, "d/f").unwrap_err().message, refused);
    assert_eq!(download(&root, "d/deeper/f").unwrap_err().message, refused);
    root.make_folder("d/new").unwrap_err();
    assert!(is_empty(outside.path()));

    // The same for kernels without openat2.
    let refused = root.climb(&["d".as_ref()], Missing::Make).unwrap_err();
    assert_eq!(refused, rustix::io::Errno::LOOP);
}

#[test]
fn folders_on_the_way_are_made() {
    let inside = tempfile::tempdir().unwrap();
    let root = RootDir::open(inside.path()).unwrap();
    download(&root, "a/b/f").unwrap();
    assert_eq!(fs::read(inside.path().join("a/b/f")).unwrap(), b"from the server");
}

#[test]
fn a_folder_that_is_swapped_for_a_link_again_and_again_leads_nothing_outside() {
    let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (sub, link) = (inside.path().join("sub"), inside.path().join("link"));
    symlink(outside.path(), &link).unwrap();
    fs::create_dir(&sub).unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, SECRET).unwrap();
    let before = fs::metadata(&secret).unwrap().modified().unwrap();
    let root = RootDir::open(inside.path()).unwrap();
    let over = AtomicBool::new(false);

    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                renameat_with(CWD, &sub, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                std::thread::yield_now();
            }
        });
        // A round that fails must end the other thread too, or the test would never end.
        let end = Over(&over);
        for round in 0..200 {
            // Each call may fail, since the directory is a link half of the time; none may reach outside.
            download(&root, &format!("sub/f{round}")).ok();
            download(&root, "sub/secret").ok();
            root.make_folder("sub/new").ok();
            root.set_modified("sub/secret", jiff::Timestamp::UNIX_EPOCH).ok();
            root.remove_file("sub/secret").ok();
            if let Ok(mut reading) = SourceFile::open_in(&root, "sub/secret") {
                let mut bytes = [0; 64];
                let read = reading.read(&mut bytes).unwrap();
                assert_ne!(&bytes[..read], SECRET);
            }
            let found = walk(&root, &CancelToken::new()).unwrap();
            assert!(found.entries.iter().all(|entry| entry.size != SECRET.len() as u64));
        }
        drop(end);
    });
    assert_eq!(fs::read(&secret).unwrap(), SECRET);
    assert_eq!(fs::metadata(&secret).unwrap().modified().unwrap(), before);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

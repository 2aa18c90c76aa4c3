//! Directories: made, listed, entered through links, removed.

use portolan::remote::fs::RemoteFs as _;
use std::os::unix::fs::symlink;

use portolan::{
    error::{Error, ErrorKind as Sort},
    ftp::listing::EntryKind,
};

use super::{Stand, path};

pub(super) async fn are_made_with_those_above(stand: &mut Stand<'_>) -> Result<(), Error> {
    assert!(stand.session.mkdir(&path("/work/one/two/three")).await?);
    assert!(stand.server.root().join("work/one/two/three").is_dir());
    // Making a directory that exists is no error.
    stand.session.mkdir(&path("/work/one/two/three")).await?;
    assert!(!stand.session.mkdir(&path("/work/one/two/three")).await?);
    assert_eq!(stand.names("/work/one/two/three").await?, [""; 0]);
    assert_eq!(stand.names("/work/one").await?, ["two"]);
    stand.session.cd(&path("work/one")).await?;
    assert_eq!(stand.session.folder(), &path("/work/one"));
    assert_eq!(stand.names("two").await?, ["three"]);
    stand.session.cd(&path("/")).await?;
    let entry = stand.session.stat(&path("/work/one")).await?;
    assert_eq!((entry.name.as_slice(), entry.kind), (b"one".as_slice(), EntryKind::Dir));
    stand.session.rmdir(&path("/work/one/two/three")).await?;
    assert!(!stand.session.exists(&path("/work/one/two/three")).await?);
    Ok(())
}

/// Checks that a listing does not follow a link, but that a path through one is followed, as the user's own choice.
pub(super) async fn reached_by_a_link_are_folders(stand: &mut Stand<'_>) -> Result<(), Error> {
    stand.server.file("work/real/inside", "x");
    let link = stand.server.root().join("work/link");
    symlink("real", &link).unwrap();
    assert_eq!(stand.names("/work/link").await?, ["inside"]);
    stand.session.cd(&path("/work/link")).await?;
    assert_eq!(stand.bytes("inside").await?, b"x");
    stand.put("other", b"y").await?;
    assert_eq!(stand.server.bytes("work/real/other"), b"y");
    stand.session.cd(&path("/")).await?;
    let listing = stand.session.list(&path("/work")).await?;
    let entry = listing.entries.iter().find(|entry| entry.name == b"link").unwrap();
    // ProFTPD gives the target of a link, unless `ShowSymlinks` is off; it never gives its type as file.
    assert_eq!(entry.kind, EntryKind::Link, "{entry:?}");
    Ok(())
}

pub(super) async fn go_with_all_in_them(stand: &mut Stand<'_>) -> Result<(), Error> {
    stand.server.file("outside/kept", "kept");
    symlink("../outside", stand.server.root().join("work/away")).unwrap();
    stand.server.own_all();
    let fault = stand.session.rmdir(&path("/work")).await.unwrap_err();
    assert_eq!(fault.kind, Sort::Refused, "a folder that is not empty: {fault:?}");
    stand.session.delete_tree(&path("/work")).await?;
    assert!(!stand.server.root().join("work").exists());
    assert_eq!(stand.server.bytes("outside/kept"), b"kept");
    Ok(())
}

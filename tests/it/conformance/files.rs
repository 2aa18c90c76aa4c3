//! Files: their bytes, size, time, name and permissions.

use portolan::remote::fs::RemoteFs as _;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, UNIX_EPOCH},
};

use jiff::Timestamp;
use portolan::{
    error::{Error, ErrorKind as Sort},
    files::{AtomicFile, SourceFile},
    ftp::{
        listing::{EntryKind, Modified},
        transfer::{MemorySource, RemoteMeta, utc},
    },
};
use sha2::{Digest, Sha256};

use super::{Stand, path, sample};
use crate::support::server::Kind;

pub(super) async fn go_there_and_come_back(stand: &mut Stand<'_>) -> Result<(), Error> {
    let here = tempfile::tempdir().unwrap();
    for size in [0, 1, 300_000] {
        let (name, bytes) = (format!("{size}.bin"), sample(size));
        let (from, to) = (here.path().join("from"), here.path().join("to"));
        fs::write(&from, &bytes).unwrap();
        let there = path(&format!("/work/{name}"));
        let sent = stand.session.upload_file(SourceFile::open(&from)?, &there, false).await?;
        assert_eq!((sent.bytes, sent.verified), (size as u64, true), "{name}");
        assert!(stand.server.bytes(&format!("work/{name}")) == bytes, "{name} is other there");
        let landing = AtomicFile::begin(&to)?;
        let came = stand.session.download(&there, landing, RemoteMeta::default(), true).await?;
        assert_eq!((came.bytes, came.verified), (size as u64, true), "{name}");
        assert!(fs::read(&to).unwrap() == bytes, "{name} is other here");
    }
    // No temporary name is left.
    assert_eq!(stand.names("/work").await?, ["0.bin", "1.bin", "300000.bin", "one"]);
    Ok(())
}

pub(super) async fn have_size_and_time(stand: &mut Stand<'_>) -> Result<(), Error> {
    let there = path("/work/300000.bin");
    assert_eq!(stand.session.size(&there).await?, 300_000);
    let entry = stand.session.stat(&there).await?;
    assert_eq!((entry.kind, entry.size), (EntryKind::File, Some(300_000)));
    assert_eq!(entry.name, b"300000.bin");
    assert!(stand.session.exists(&there).await?);
    assert!(!stand.session.exists(&path("/work/nothing")).await?);
    assert!(!stand.session.exists(&path("/nowhere/at/all")).await?);

    let time: Timestamp = "2019-03-31T01:30:07Z".parse().unwrap();
    stand.session.set_modified(&there, time).await?;
    let file = stand.server.root().join("work/300000.bin");
    let set = fs::metadata(&file).unwrap().modified().unwrap();
    assert_eq!(set, UNIX_EPOCH + Duration::from_secs(1_553_995_807));
    let told = stand.session.modified(&there).await?;
    assert_eq!(utc(Some(told)), Some(time), "{told:?}");
    let listed = stand.session.stat(&there).await?.modified.unwrap();
    match listed {
        Modified::Utc(listed, _) => assert_eq!(listed, time),
        // Too old for LIST to include the hour.
        Modified::Server(listed, _) => assert_eq!(listed.date().to_string(), "2019-03-31"),
    }
    Ok(())
}

pub(super) async fn are_renamed_also_over_others(stand: &mut Stand<'_>) -> Result<(), Error> {
    stand.put("/work/old", b"old").await?;
    stand.put("/work/new", b"new").await?;
    stand.session.rename(&path("/work/new"), &path("/work/moved")).await?;
    assert!(!stand.session.exists(&path("/work/new")).await?);
    stand.session.rename(&path("/work/moved"), &path("/work/old")).await?;
    assert_eq!(stand.bytes("/work/old").await?, b"new");
    assert_eq!(stand.server.bytes("work/old"), b"new");
    // An upload replaces an existing file, and leaves the others alone.
    stand.put("/work/old", b"newer").await?;
    assert_eq!(stand.server.bytes("work/old"), b"newer");
    // An upload sets the time that it is given, and a download adopts it.
    let time: Timestamp = "2020-02-29T12:00:01Z".parse().unwrap();
    let mut text = MemorySource::new(b"dated");
    stand.session.upload(&mut text, 5, Some(time), &path("/work/old")).await?;
    let there = fs::metadata(stand.server.root().join("work/old")).unwrap().modified().unwrap();
    assert_eq!(there, UNIX_EPOCH + Duration::from_secs(1_582_977_601));
    let here = tempfile::tempdir().unwrap();
    let landing = AtomicFile::begin(here.path().join("old"))?;
    stand.session.download(&path("/work/old"), landing, RemoteMeta::default(), true).await?;
    assert_eq!(fs::metadata(here.path().join("old")).unwrap().modified().unwrap(), there);
    Ok(())
}

pub(super) async fn grow_at_their_end(stand: &mut Stand<'_>) -> Result<(), Error> {
    let there = path("/work/log");
    for (text, verified) in [("one\n", true), ("two\n", true)] {
        let moved = stand.session.append(&mut MemorySource::new(text.as_bytes()), &there).await?;
        assert_eq!((moved.bytes, moved.verified), (4, verified));
    }
    assert_eq!(stand.server.bytes("work/log"), b"one\ntwo\n");
    Ok(())
}

pub(super) async fn have_permissions_and_sums(stand: &mut Stand<'_>) -> Result<(), Error> {
    let there = path("/work/log");
    for mode in [0o600, 0o644] {
        stand.session.chmod(&there, mode).await?;
        let found = fs::metadata(stand.server.root().join("work/log")).unwrap();
        assert_eq!(found.permissions().mode() & 0o7777, mode);
        let listed = stand.session.stat(&there).await?.mode;
        // ProFTPD gives the permission bits in LIST only, not among its facts.
        assert!(listed.is_none_or(|listed| listed == mode), "{listed:?}");
    }
    match stand.session.checksum(&there, "sha256").await {
        Ok(sum) => {
            let digest = Sha256::digest(stand.server.bytes("work/log"));
            let hex = digest
                .iter()
                .fold(String::new(), |text, byte| text + format!("{byte:02x}").as_str());
            assert_eq!(sum, hex);
        }
        Err(fault) => {
            assert_eq!(fault.kind, Sort::Unsupported, "{fault:?}");
            assert_ne!(stand.cell.kind, Kind::Proftpd, "it has mod_digest: {fault}");
        }
    }
    Ok(())
}

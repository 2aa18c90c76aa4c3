//! Files and trees on the server, as releases need them.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
};

use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::DEPTH_MAX,
};
use portolan_mirror::FileStat;
use portolan_remote::{
    entry::EntryKind,
    fs::RemoteFs,
    hints::{NextTransfer, TransferHints},
    path::RemotePath,
    source_sink::{ByteSink, ByteSource, MemorySource},
    transfer::{RemoteMeta, utc},
};

/// A temporary local file, through which a file of the server passes on its way to another name.
#[derive(Debug)]
struct SpoolFile(File);

fn local(doing: &str, error: std::io::Error) -> Error {
    Error::local(doing, std::env::temp_dir(), error)
}

impl ByteSink for SpoolFile {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).map_err(|error| local("write a temporary file", error))
    }

    fn restart(&mut self) -> Result<()> {
        let cleared = self.0.set_len(0).and_then(|()| self.0.seek(SeekFrom::Start(0)));
        cleared.map(drop).map_err(|error| local("write a temporary file", error))
    }
}

impl ByteSource for SpoolFile {
    fn give(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.0.read(buffer).map_err(|error| local("read a temporary file", error))
    }

    fn restart(&mut self) -> Result<()> {
        let begun = self.0.seek(SeekFrom::Start(0));
        begun.map(drop).map_err(|error| local("read a temporary file", error))
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// Copies the file `from` to `to`, whose directory exists.
pub(super) async fn copy(
    session: &mut impl RemoteFs,
    from: &RemotePath,
    to: &RemotePath,
    known: FileStat,
) -> Result<()> {
    let file = tempfile::tempfile().map_err(|error| local("make a temporary file", error))?;
    let mut spool = SpoolFile(file);
    let meta = RemoteMeta { size: known.size, modified: known.modified, ..RemoteMeta::default() };
    let hints = TransferHints::before(NextTransfer::likely(true));
    session.download_into(from, &mut spool, meta, hints).await?;
    let size = spool.0.metadata().map_err(|error| local("read a temporary file", error))?.len();
    ByteSource::restart(&mut spool)?;
    session.upload(&mut spool, size, utc(known.modified), to).await.map(drop)
}

/// Gives the file `from` the name `to`, whatever file has it. A server that replaces no file by a rename gets a copy.
pub(super) async fn move_over(
    session: &mut impl RemoteFs,
    from: &RemotePath,
    to: &RemotePath,
) -> Result<()> {
    match session.rename(from, to).await {
        Err(fault) if is_plain(&fault) => {}
        renamed => return renamed,
    }
    copy(session, from, to, FileStat::default()).await?;
    session.remove(from).await
}

/// Writes a small file.
pub(super) async fn write(
    session: &mut impl RemoteFs,
    path: &RemotePath,
    bytes: &[u8],
) -> Result<()> {
    let size = bytes.len() as u64;
    session.upload(&mut MemorySource::new(bytes), size, None, path).await.map(drop)
}

/// Returns the content of a small file; `None` if it does not exist.
pub(super) async fn read(
    session: &mut impl RemoteFs,
    path: &RemotePath,
    limit: u64,
) -> Result<Option<Vec<u8>>> {
    Ok(session.read_if_there_and(path, path, limit).await?.0)
}

/// Returns the names of the directories in `folder`, sorted; none if it does not exist.
pub(super) async fn folders(
    session: &mut impl RemoteFs,
    folder: &RemotePath,
) -> Result<Vec<Vec<u8>>> {
    let listing = match session.list(folder).await {
        Err(fault) if is_plain(&fault) => return Ok(Vec::new()),
        listing => listing?,
    };
    let folders = listing.entries.into_iter().filter(|entry| entry.kind == EntryKind::Dir);
    let mut names: Vec<_> = folders.map(|entry| entry.name).collect();
    names.sort();
    Ok(names)
}

/// Removes the directory `top` of portolan's own, with all in it.
pub(super) async fn remove_tree(session: &mut impl RemoteFs, top: &RemotePath) -> Result<()> {
    let (mut waiting, mut found) = (vec![(top.clone(), 0)], Vec::new());
    while let Some((folder, depth)) = waiting.pop() {
        if depth > DEPTH_MAX {
            let message = format!("more than {DEPTH_MAX} folders below one another");
            return Err(
                Error::new(ErrorKind::Guard, Origin::Server, message).at(folder.to_string())
            );
        }
        let listing = match session.list(&folder).await {
            Err(fault) if is_plain(&fault) => continue,
            listing => listing?,
        };
        for entry in listing.entries {
            let path = folder.join(&entry.name)?;
            match entry.kind {
                EntryKind::Dir => waiting.push((path, depth + 1)),
                _ => gone(session.remove(&path).await)?,
            }
        }
        found.push(folder);
    }
    for folder in found.iter().rev() {
        gone(session.rmdir(folder).await)?;
    }
    Ok(())
}

/// Accepts that an entry is gone already.
pub(super) fn gone(removed: Result<()>) -> Result<()> {
    match removed {
        Err(fault) if fault.kind == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Returns true for the refusal of one command, after which another way may work.
pub(super) fn is_plain(fault: &Error) -> bool {
    matches!(fault.kind, ErrorKind::NotFound | ErrorKind::Refused | ErrorKind::Unsupported)
}

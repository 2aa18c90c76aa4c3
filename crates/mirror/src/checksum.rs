//! Comparison by content: by the server's own hash if it has one, otherwise by the bytes, read back.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use super::{
    batch_query::BatchQuery,
    endpoints::{Endpoints, place},
    local_hash::Hasher,
    pool::SessionPool,
    sync_base::SyncedFile,
    tree::{NodeKind, Tree, utc},
};
use portolan_core::{
    buffer,
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    limits::COPY_BYTES,
    observe::MessageLevel,
};
use portolan_fs::{RootDir, SourceFile, SymlinkPolicy};
use portolan_remote::{
    fs::RemoteFs,
    hash::HashAlgorithm,
    hints::{NextTransfer, TransferHints},
    source_sink::ByteSink,
    transfer::RemoteMeta,
};

/// Finds the files that have the same bytes on both sides, and marks them in `here`. Only those of the same size are
/// compared: the others differ.
pub(super) async fn compare_by_hash<R: RemoteFs>(
    crew: &mut SessionPool<'_, R>,
    here: &mut Tree,
    there: &Tree,
    heading: &Endpoints,
    links: SymlinkPolicy,
) -> Result<()> {
    let files = here.nodes().filter(|(_, node)| node.kind == NodeKind::File);
    let same_size = files.filter(|(path, node)| {
        let other = there.get(path).filter(|other| other.kind == NodeKind::File);
        other.is_some_and(|other| other.size.is_none() || other.size == node.size)
    });
    let waiting: Vec<_> = same_size.map(|(path, node)| (path.to_vec(), node.size)).collect();
    if waiting.is_empty() {
        return Ok(());
    }
    let offered = crew.first().capabilities().hash;
    if offered.is_none() {
        let text = "the server has no hashes: files of the same size are read back to compare them";
        crew.first().observer().message_once(MessageLevel::Info, text);
    }
    let stop = crew.first().stop().clone();
    let root = RootDir::open_with(&heading.local, links)?;
    let top = heading.remote.clone();
    let is_same = async |session: &mut R, (path, size): &(Vec<u8>, Option<u64>), goes_on: bool| {
        let algorithm = offered.unwrap_or(HashAlgorithm::Sha256);
        let ours = local_hash(&root, path, algorithm, &stop)?;
        let place = place(&top, path)?;
        if offered.is_some() {
            match session.hash(&place, algorithm).await {
                Ok(theirs) => return Ok(ours == theirs),
                // Some servers hash no file above a certain size; its bytes can still be fetched.
                Err(fault) if matches!(fault.kind, ErrorKind::Refused | ErrorKind::Unsupported) => {
                }
                Err(fault) => return Err(fault),
            }
        }
        let mut through = Through(algorithm, Hasher::new(algorithm));
        let known = RemoteMeta { size: *size, ..RemoteMeta::default() };
        let next = NextTransfer::likely(offered.is_none() && goes_on);
        let hints = TransferHints::before(next);
        session.download_into(&place, &mut through, known, hints).await?;
        Ok(ours == through.1.text())
    };
    let is_fatal = |fault: &Error| fault.kind == ErrorKind::Interrupted;
    let BatchQuery { answers, failed, .. } =
        BatchQuery::ask(crew, waiting, is_fatal, is_same).await?;
    // A file that could not be compared counts as different, and is sent.
    if let Some((_, fault)) = failed.first() {
        let text = format!("some files could not be compared, and count as different: {fault}");
        crew.first().observer().message(MessageLevel::Warn, text);
    }
    for ((path, _), _) in answers.iter().filter(|(_, is_same)| *is_same) {
        here.set_same_content(path);
    }
    Ok(())
}

/// Returns the base entries of the files that were found to have the same bytes on both sides.
pub(super) fn proven(here: &Tree, there: &Tree) -> Vec<(Vec<u8>, Option<SyncedFile>)> {
    let same = here.nodes().filter(|(_, node)| node.kind == NodeKind::File && node.same_content);
    let pairs = same.filter_map(|(path, local)| {
        let remote = there.get(path)?;
        let pair = SyncedFile {
            hash: None,
            local_size: local.size?,
            local_us: Some(utc(local)?.as_microsecond()),
            remote_size: remote.size,
            remote_time: remote.modified,
        };
        Some((path.to_vec(), Some(pair)))
    });
    pairs.collect()
}

fn local_hash(
    root: &RootDir,
    path: &[u8],
    algorithm: HashAlgorithm,
    stop: &CancelToken,
) -> Result<String> {
    let mut reading = SourceFile::open_in(root, Path::new(OsStr::from_bytes(path)))?;
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        stop.check()?;
        let count = reading.read(&mut buffer)?;
        if count == 0 {
            reading.unchanged()?;
            return Ok(hasher.text());
        }
        hasher.update(buffer::filled(&buffer, count)?);
    }
}

/// A sink that hashes bytes and does not keep them.
struct Through(HashAlgorithm, Hasher);

impl ByteSink for Through {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.1.update(bytes);
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        self.1 = Hasher::new(self.0);
        Ok(())
    }
}

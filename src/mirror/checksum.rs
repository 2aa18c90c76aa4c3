//! Comparison by content: by the server's own hash if it has one, otherwise by the bytes, read back.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use super::{
    endpoints::{Endpoints, place},
    local_hash::{Algorithm, Hasher},
    pool::{JobQueue, QueueHandle, SessionPool},
    sync_base::SyncedFile,
    tree::{NodeKind, Tree, utc},
};
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    files::{RootDir, SourceFile, SymlinkPolicy},
    ftp::{
        session::Session,
        transfer::{ByteSink, NextTransfer, RemoteMeta, TransferHints},
    },
    limits::COPY_BYTES,
    observe::MessageLevel,
};

/// Finds the files that have the same bytes on both sides, and marks them in `here`. Only those of the same size are
/// compared: the others differ.
pub(super) async fn compare_by_hash(
    crew: &mut SessionPool<'_>,
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
    let offered = crew.first().hashes();
    let offered = Algorithm::best(&offered);
    if offered.is_none() {
        let text = "the server has no hashes: files of the same size are read back to compare them";
        crew.first().context().observer.message_once(MessageLevel::Info, text);
    }
    let stop = crew.first().context().stop.clone();
    let root = RootDir::open_with(&heading.local, links)?;
    let top = heading.remote.clone();
    let mut questions = HashBatch { waiting, same: Vec::new(), first_fault: None };
    let is_same = async |session: &mut Session,
                         (path, size): &(Vec<u8>, Option<u64>),
                         next: NextTransfer<'_>| {
        let algorithm = offered.unwrap_or(Algorithm::Sha256);
        let ours = local_hash(&root, path, algorithm, &stop)?;
        let place = place(&top, path)?;
        if offered.is_some() {
            match session.checksum(&place, algorithm.word()).await {
                Ok(theirs) => return Ok(ours == theirs),
                // Some servers hash no file above a certain size; its bytes can still be fetched.
                Err(fault) if matches!(fault.kind, ErrorKind::Refused | ErrorKind::Unsupported) => {
                }
                Err(fault) => return Err(fault),
            }
        }
        let mut through = Through(algorithm, Hasher::new(algorithm));
        let known = RemoteMeta { size: *size, ..RemoteMeta::default() };
        session.read_through(&place, &mut through, known, TransferHints::before(next)).await?;
        Ok(ours == through.1.text())
    };
    let ask = async |session: &mut Session,
                     file: (Vec<u8>, Option<u64>),
                     feed: QueueHandle<'_, '_, _>| {
        let next = NextTransfer::likely(offered.is_none() && feed.goes_on());
        let answer = is_same(session, &file, next).await;
        vec![(file, answer)]
    };
    crew.run(&mut questions, ask).await?;
    if let Some(fault) = questions.first_fault {
        let text = format!("some files could not be compared, and count as different: {fault}");
        crew.first().context().observer.message(MessageLevel::Warn, text);
    }
    for path in questions.same {
        here.set_same_content(&path);
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
    algorithm: Algorithm,
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
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
}

/// A sink that hashes bytes and does not keep them.
struct Through(Algorithm, Hasher);

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

/// The files to compare, and those found to be the same.
struct HashBatch {
    waiting: Vec<(Vec<u8>, Option<u64>)>,
    same: Vec<Vec<u8>>,
    first_fault: Option<Error>,
}

impl JobQueue for HashBatch {
    type Job = (Vec<u8>, Option<u64>);
    type Found = bool;

    fn next(&mut self) -> Option<Self::Job> {
        self.waiting.pop()
    }

    fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn give_back(&mut self, job: Self::Job) {
        self.waiting.push(job);
    }

    fn done(&mut self, (path, _): Self::Job, is_same: Result<bool>) -> Result<()> {
        match is_same {
            Ok(true) => self.same.push(path),
            Ok(false) => {}
            Err(fault) if fault.kind == ErrorKind::Interrupted => return Err(fault),
            // A file that could not be compared counts as different, and is sent.
            Err(fault) => drop(self.first_fault.get_or_insert(fault)),
        }
        Ok(())
    }
}

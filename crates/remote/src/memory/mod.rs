//! A remote file system in memory: for tests that need no server, and as an example for new protocols.
//!
//! It keeps files with exact times, lists everything, tells the truth about every path, and renames at once.

mod session;

use std::{
    collections::{BTreeMap, btree_map::Entry as Place},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use jiff::Timestamp;

use super::{
    entry::{Entry, EntryKind, Modified, Precision},
    fs::RemoteFs,
    listing::DirectoryListing,
    path::RemotePath,
    pending::{TempUpload, TransferStart, UploadName, name_taken},
    source_sink::{ByteSink, ByteSource},
    transfer::{InPlace, TransferStats},
};
use portolan_core::{
    cancel::CancelToken,
    clock::Clock,
    error::{Error, ErrorKind, Origin, Result},
    limits::COPY_BYTES,
    observe::{Event, EventEmitter, Operation, TransferId},
};
use portolan_fs::OwnerTag;

/// A session with a server in memory. [`open_sibling`](RemoteFs::open_sibling) opens another one with the same server.
#[derive(Debug, Clone, Default)]
pub struct MemoryFs {
    tree: Arc<Mutex<MemoryTree>>,
    stop: CancelToken,
    observer: EventEmitter,
    clock: Clock,
    tag: Option<OwnerTag>,
    in_place: InPlace,
}

/// The entries of a server, by their absolute paths without a slash at the end; the root is empty and always there.
type MemoryTree = BTreeMap<Vec<u8>, MemoryEntry>;

/// One entry.
#[derive(Debug, Clone)]
enum MemoryEntry {
    Folder,
    File(MemoryFile),
}

/// The content of a file.
#[derive(Debug, Clone)]
struct MemoryFile {
    bytes: Vec<u8>,
    modified: Timestamp,
    mode: Option<u32>,
}

impl MemoryFile {
    const fn time(&self) -> Modified {
        Modified::Utc(self.modified, Precision::Second)
    }

    const fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// Returns the key of `path` in the tree.
fn key(path: &RemotePath) -> &[u8] {
    let bytes = path.as_bytes();
    bytes.strip_suffix(b"/").unwrap_or(bytes)
}

fn parent(key: &[u8]) -> &[u8] {
    let end = key.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    key.get(..end).unwrap_or_default()
}

fn missing(path: &RemotePath) -> Error {
    let text = "there is no such file or folder on the server";
    Error::new(ErrorKind::NotFound, Origin::Server, text).at(path.to_string())
}

fn refused(path: &RemotePath, why: &str) -> Error {
    Error::new(ErrorKind::Refused, Origin::Server, why).at(path.to_string())
}

impl MemoryFs {
    fn tree(&self) -> MutexGuard<'_, MemoryTree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the entry at `path`, if there is one.
    fn entry(&self, path: &RemotePath) -> Result<Option<MemoryEntry>> {
        let path = self.absolute(path)?;
        if path.is_root() {
            return Ok(Some(MemoryEntry::Folder));
        }
        Ok(self.tree().get(key(&path)).cloned())
    }

    fn file(&self, path: &RemotePath) -> Result<MemoryFile> {
        match self.entry(path)? {
            Some(MemoryEntry::File(file)) => Ok(file),
            Some(MemoryEntry::Folder) => Err(refused(path, "it is a folder")),
            None => Err(missing(path)),
        }
    }

    fn has_folder(&self, path: &RemotePath) -> Result<bool> {
        Ok(matches!(self.entry(path)?, Some(MemoryEntry::Folder)))
    }

    /// Puts `entry` at `path`, whose directory must exist; fails if something of the other kind is there.
    fn put(&self, path: &RemotePath, entry: MemoryEntry) -> Result<()> {
        let path = self.absolute(path)?;
        if !self.has_folder(&path.parent())? {
            return Err(missing(&path.parent()));
        }
        match (self.tree().entry(key(&path).to_vec()), entry) {
            (Place::Vacant(place), entry) => {
                place.insert(entry);
            }
            (Place::Occupied(mut place), entry @ MemoryEntry::File(_)) => {
                if matches!(place.get(), MemoryEntry::Folder) {
                    return Err(refused(&path, "it is a folder"));
                }
                place.insert(entry);
            }
            (Place::Occupied(_), MemoryEntry::Folder) => {
                return Err(refused(&path, "it exists already"));
            }
        }
        Ok(())
    }

    fn listing(&self, folder: &RemotePath) -> Result<DirectoryListing> {
        if !self.has_folder(folder)? {
            return Err(missing(folder));
        }
        let folder = self.absolute(folder)?;
        let inside = [key(&folder), b"/"].concat();
        let tree = self.tree();
        let named = tree.iter().filter_map(|(path, entry)| {
            let name = path.strip_prefix(&inside[..]).filter(|name| !name.contains(&b'/'))?;
            Some(match entry {
                MemoryEntry::Folder => Entry::new(name, EntryKind::Dir),
                MemoryEntry::File(file) => Entry {
                    size: Some(file.size()),
                    modified: Some(file.time()),
                    mode: file.mode,
                    ..Entry::new(name, EntryKind::File)
                },
            })
        });
        Ok(DirectoryListing {
            entries: named.collect(),
            is_conclusive: true,
            shows_hidden: true,
            refused_count: 0,
            complaint: None,
        })
    }

    /// Starts a transfer, unless no new work may start.
    fn begin(
        &self,
        verb: Operation,
        path: &RemotePath,
        bytes: Option<u64>,
    ) -> Result<TransferStart> {
        self.stop.accepts_new_work()?;
        let id = self.observer.next_transfer();
        let path = path.to_string();
        self.observer.emit(&Event::TransferStarted { id, verb, path, bytes });
        Ok(TransferStart { id, at: Instant::now() })
    }

    /// Reports the end of a transfer of `bytes`.
    fn end(&self, start: TransferStart, bytes: u64, modified: Option<Modified>) -> TransferStats {
        let (id, took, verified) = (start.id, start.at.elapsed(), true);
        self.observer.emit(&Event::TransferDone { id, bytes, verified, took });
        TransferStats { bytes, verified, took, modified, in_place: false }
    }

    fn failed(&self, id: TransferId, path: &RemotePath, fault: Error) -> Error {
        let mut fault = fault.at(path.to_string());
        fault.is_told = true;
        self.observer.emit(&Event::TransferFailed { id, fault: fault.clone() });
        fault
    }

    /// Sends `file` to `sink`, which may begin within it.
    fn give(&self, file: &MemoryFile, sink: &mut impl ByteSink) -> Result<()> {
        let from = usize::try_from(sink.offset()).unwrap_or(usize::MAX);
        for piece in file.bytes.get(from..).unwrap_or_default().chunks(COPY_BYTES) {
            self.stop.check()?;
            sink.take(piece)?;
        }
        Ok(())
    }

    /// Stores all of `source` at `path`.
    fn store(&self, source: &mut impl ByteSource, size: u64, path: &RemotePath) -> Result<()> {
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; COPY_BYTES]);
        loop {
            self.stop.check()?;
            let count = source.give(&mut buffer)?;
            if count == 0 {
                break;
            }
            bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
        source.check()?;
        if bytes.len() as u64 != size {
            let message = format!("{} bytes were read where {size} were expected", bytes.len());
            return Err(Error::new(ErrorKind::Local, Origin::Here, message));
        }
        self.put(path, MemoryEntry::File(MemoryFile { bytes, modified: self.now(), mode: None }))
    }

    fn commit_one(&self, upload: &TempUpload) -> Result<Modified> {
        if upload.is_new && self.entry(&upload.remote)?.is_some() {
            return Err(name_taken());
        }
        let mut file = self.file(&upload.temporary)?;
        file.modified = upload.modified.unwrap_or(file.modified);
        let time = file.time();
        self.put(&upload.remote, MemoryEntry::File(file))?;
        if upload.name == UploadName::Temporary {
            self.tree().remove(key(&upload.temporary));
        }
        Ok(time)
    }

    fn commit_all(&self, files: Vec<TempUpload>) -> Vec<Result<TransferStats>> {
        let ended = files.into_iter().map(|file| match self.commit_one(&file) {
            Ok(time) => Ok(self.end(file.start, file.size, Some(time))),
            Err(fault) => {
                self.tree().remove(key(&file.temporary));
                Err(self.failed(file.start.id, &file.remote, fault))
            }
        });
        ended.collect()
    }
}

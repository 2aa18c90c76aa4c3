//! Releases of jobs: the jobs file with the files that it names, published in the store that machines share.
//!
//! [`ReleasePlan`] collects and refuses, without a store; [`ReleaseFolder`] writes a release of the store into the state
//! directory of a machine, and reads it from there.

mod folder;
mod plan;
mod secret_files;
mod secrets_here;

use crate::{error::Error, store::releases::ReleaseFile};

pub use self::{
    folder::ReleaseFolder,
    plan::{ReleasePlan, publisher},
};

/// An error in reading the jobs anew.
#[derive(Debug)]
pub struct ReadFault {
    /// The hash of the release that was read; `None` if it was not known yet, or the jobs are those of a file.
    pub release: Option<String>,
    /// The error.
    pub fault: Box<Error>,
}

impl From<Error> for ReadFault {
    fn from(fault: Error) -> Self {
        Self { release: None, fault: Box::new(fault) }
    }
}

/// The form of releases that this version writes, and the highest that it reads.
pub const FORMAT: i64 = 1;
/// The number of earlier releases that are kept if no other number is given.
pub const KEEP: u32 = 20;
/// The maximum number of files of a release: a script for each of some thousand jobs.
pub const FILES_MAX: usize = 5_000;
/// The maximum size of a release in bytes: all of it is sent in one transaction, and each machine has several.
pub const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Returns the hash of a content in hexadecimal digits.
fn content_digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Returns the hash of a release: of the paths, the contents and the kinds of its files, which are sorted by path.
fn release_digest<'f>(jobs_file: &str, files: impl Iterator<Item = &'f ReleaseFile>) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        // Their lengths, so that no two lists of files are the same bytes.
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    };
    add(jobs_file);
    for ReleaseFile { path, digest, is_program, .. } in files {
        add(path);
        add(digest);
        add(if *is_program { "program" } else { "file" });
    }
    hasher.finalize().to_hex().to_string()
}

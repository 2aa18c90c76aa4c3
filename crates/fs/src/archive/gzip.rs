//! gzip: one file in one file.

use std::path::Path;

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};

use super::{AtomicFile, PackedFile, UnpackCount, UnpackLimits, behind, opened};
use crate::{SourceFile, ops::each_piece};
use portolan_core::{
    cancel::CancelToken,
    error::{Error, Result},
};
use std::io::Write;

/// Compresses the file `from` into `to`, and returns the size of `to`.
pub fn gzip(from: &Path, to: &Path, stop: &CancelToken) -> Result<u64> {
    let mut source = SourceFile::open(from)?;
    let mut target = AtomicFile::begin(to)?;
    target.ask_mode(source.mode());
    let modified = source.modified();
    let mut encoder = GzEncoder::new(PackedFile(target), Compression::default());
    each_piece(&mut source, stop, |piece| {
        encoder.write_all(piece).map_err(|error| behind(error, "compress", from))
    })?;
    source.unchanged()?;
    let PackedFile(target) = encoder.finish().map_err(|error| behind(error, "write", to))?;
    let size = target.bytes();
    target.commit(Some(modified))?;
    Ok(size)
}

/// Decompresses the file `from` into `to`, and returns the size of `to`. After an error there is no new file.
pub fn gunzip(from: &Path, to: &Path, limits: UnpackLimits, stop: &CancelToken) -> Result<u64> {
    let named = |error: Error| error.at(from.to_string_lossy());
    let (file, size) = opened(from)?;
    let mut target = AtomicFile::begin(to)?;
    let mut meter = UnpackCount::new(limits, size, stop);
    meter.copy(&mut MultiGzDecoder::new(file), &mut target).map_err(named)?;
    let size = target.bytes();
    target.commit(None)?;
    Ok(size)
}

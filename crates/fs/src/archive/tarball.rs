//! tar: files one after another, often compressed as a whole.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use jiff::Timestamp;
use tar::{Archive, Builder, EntryType, Header};

use super::{
    AtomicFile, PackedFile, UnpackCount, UnpackLimits, Unpacked, behind, damaged, entry_path,
    is_gzip, opened,
    pack::{PackEntry, entries},
    unpack::Unpacking,
};
use crate::RootDir;
use portolan_core::{
    cancel::CancelToken,
    error::{Error, Result},
};

/// The names of archives that are compressed.
const COMPRESSED: [&str; 2] = [".gz", ".tgz"];

/// The target of an archive, compressed or not.
enum TarSink {
    Plain(PackedFile),
    Compressed(GzEncoder<PackedFile>),
}

impl Write for TarSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(sink) => sink.write(bytes),
            Self::Compressed(sink) => sink.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(sink) => sink.flush(),
            Self::Compressed(sink) => sink.flush(),
        }
    }
}

/// Packs files and directories into the archive `to`, and returns its size; a name that ends with `.gz` or `.tgz`
/// means a compressed one. Links are left out.
pub fn tar(sources: &[PathBuf], to: &Path, stop: &CancelToken) -> Result<u64> {
    let all = entries(sources, stop)?;
    let sink = PackedFile(AtomicFile::begin(to)?);
    let name = to.to_string_lossy();
    let is_compressed = COMPRESSED.iter().any(|end| name.ends_with(end));
    let sink = if is_compressed {
        TarSink::Compressed(GzEncoder::new(sink, Compression::default()))
    } else {
        TarSink::Plain(sink)
    };
    let mut builder = Builder::new(sink);
    for entry in &all {
        stop.check()?;
        pack(&mut builder, entry, to)?;
    }
    let sink = builder.into_inner().map_err(|error| behind(error, "write", to))?;
    let PackedFile(target) = match sink {
        TarSink::Plain(sink) => sink,
        TarSink::Compressed(sink) => sink.finish().map_err(|error| behind(error, "write", to))?,
    };
    let size = target.bytes();
    target.commit(None)?;
    Ok(size)
}

fn pack(builder: &mut Builder<TarSink>, entry: &PackEntry, to: &Path) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode & 0o777);
    header.set_mtime(u64::try_from(entry.modified.as_second()).unwrap_or(0));
    let failed = |error| behind(error, "write", to);
    let Some(place) = &entry.place else {
        header.set_entry_type(EntryType::Directory);
        header.set_size(0);
        return builder.append_data(&mut header, &entry.name, io::empty()).map_err(failed);
    };
    let (file, size) = place.open()?;
    header.set_size(size);
    let mut counted = file.take(size);
    builder.append_data(&mut header, &entry.name, &mut counted).map_err(failed)?;
    if counted.limit() > 0 {
        let message = "it became shorter while it was packed";
        return Err(Error::invalid(message).at(entry.name.to_string_lossy()));
    }
    Ok(())
}

/// Unpacks the archive `from`, compressed or not, into the directory `to`, which is created. After an error no file is
/// there.
pub fn untar(from: &Path, to: &Path, limits: UnpackLimits, stop: &CancelToken) -> Result<Unpacked> {
    let (mut file, size) = opened(from)?;
    let is_compressed = is_gzip(&mut file, from)?;
    let mut meter = UnpackCount::new(limits, size, stop);
    let result = if is_compressed {
        unpacked(MultiGzDecoder::new(file), to, &mut meter)
    } else {
        unpacked(file, to, &mut meter)
    };
    result.map_err(|error| match error.path {
        Some(_) => error,
        None => error.at(from.to_string_lossy()),
    })
}

fn unpacked(source: impl Read, to: &Path, meter: &mut UnpackCount<'_>) -> Result<Unpacked> {
    crate::ops::make_folder(to)?;
    let root = RootDir::open(to)?;
    let mut unpacking = Unpacking::new(&root);
    let mut archive = Archive::new(source);
    let entries = archive.entries().map_err(|error| damaged(&error))?;
    for entry in entries {
        let mut entry = entry.map_err(|error| damaged(&error))?;
        meter.entry()?;
        let kind = entry.header().entry_type();
        let path = entry_path(&entry.path_bytes())?;
        if kind.is_dir() {
            unpacking.folder(path);
        } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            let mode = entry.header().mode().ok().map(|mode| mode & 0o777);
            let seconds = entry.header().mtime().ok().and_then(|time| i64::try_from(time).ok());
            let modified = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
            unpacking.file(path, &mut entry, (mode, modified), meter)?;
        } else {
            unpacking.left_out.push(path.display().to_string());
        }
    }
    unpacking.place()
}

//! zip: files compressed one by one, with a table at the end.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
};

use jiff::{Timestamp, civil, tz::TimeZone};
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::{
    AtomicFile, PackedFile, UnpackCount, UnpackLimits, Unpacked, behind, bomb, damaged, entry_path,
    opened,
    pack::{PackEntry, entries},
    unpack::Unpacking,
};
use crate::RootDir;
use portolan_core::{
    buffer,
    cancel::CancelToken,
    error::{Error, Result},
    limits::COPY_BYTES,
};

/// The bits of a mode that say what kind of file it is, and those of a regular file and a directory.
const KIND: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
/// The size from which a file needs the larger numbers of zip64.
const LARGE_BYTES: u64 = 4_000_000_000;

/// Packs files and directories into the archive `to`, and returns its size. Links are left out.
pub fn zip(sources: &[PathBuf], to: &Path, stop: &CancelToken) -> Result<u64> {
    let all = entries(sources, stop)?;
    let mut writer = ZipWriter::new_stream(PackedFile(AtomicFile::begin(to)?));
    for entry in &all {
        stop.check()?;
        pack(&mut writer, entry, to, stop)?;
    }
    let done = writer.finish().map_err(|error| failed(error, to))?;
    let PackedFile(target) = done.into_inner();
    let size = target.bytes();
    target.commit(None)?;
    Ok(size)
}

type Writer = ZipWriter<zip::write::StreamWriter<PackedFile>>;

fn pack(writer: &mut Writer, entry: &PackEntry, to: &Path, stop: &CancelToken) -> Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .unix_permissions(entry.mode & 0o777)
        .last_modified_time(local(entry.modified));
    let name = entry.name.to_str().ok_or_else(|| {
        let name = entry.name.display();
        Error::invalid(format!("the name `{name}` is not UTF-8, which archives want"))
    })?;
    let Some(place) = &entry.place else {
        return writer.add_directory(name, options).map_err(|error| failed(error, to));
    };
    let (mut file, size) = place.open()?;
    let options = options.large_file(size > LARGE_BYTES);
    writer.start_file(name, options).map_err(|error| failed(error, to))?;
    let mut piece = vec![0; COPY_BYTES];
    loop {
        stop.check()?;
        let count =
            file.read(&mut piece).map_err(|error| Error::local("read", &entry.name, error))?;
        if count == 0 {
            return Ok(());
        }
        let part = buffer::filled(&piece, count)?;
        writer.write_all(part).map_err(|error| behind(error, "write", to))?;
    }
}

fn failed(error: zip::result::ZipError, to: &Path) -> Error {
    match error {
        zip::result::ZipError::Io(error) => behind(error, "write", to),
        other => Error::invalid(format!("cannot pack it: {other}")).at(to.to_string_lossy()),
    }
}

/// Returns a time as zip has it: without a zone and without odd seconds. UTC, so that archives are the same everywhere.
fn local(at: Timestamp) -> DateTime {
    let at = TimeZone::UTC.to_datetime(at);
    let part = |number: i8| u8::try_from(number).unwrap_or(0);
    let year = u16::try_from(at.year()).unwrap_or(1980);
    let (hour, minute, second) = (part(at.hour()), part(at.minute()), part(at.second()));
    let made =
        DateTime::from_date_and_time(year, part(at.month()), part(at.day()), hour, minute, second);
    made.unwrap_or_default()
}

fn modified(at: DateTime) -> Option<Timestamp> {
    let part = |number: u8| i8::try_from(number).ok();
    let (year, month, day) = (i16::try_from(at.year()).ok()?, part(at.month())?, part(at.day())?);
    let (hour, minute, second) = (part(at.hour())?, part(at.minute())?, part(at.second())?);
    let civil = civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    TimeZone::UTC.to_timestamp(civil).ok()
}

/// Unpacks the archive `from` into the directory `to`, which is created. After an error no file is there.
pub fn unzip(from: &Path, to: &Path, limits: UnpackLimits, stop: &CancelToken) -> Result<Unpacked> {
    unpacked(from, to, limits, stop).map_err(|error| match error.path {
        Some(_) => error,
        None => error.at(from.to_string_lossy()),
    })
}

fn unpacked(from: &Path, to: &Path, limits: UnpackLimits, stop: &CancelToken) -> Result<Unpacked> {
    let (file, size) = opened(from)?;
    let mut archive = ZipArchive::new(file).map_err(|error| damaged(&error))?;
    if archive.len() as u64 > limits.entries_max {
        return Err(bomb(&format!("more than {} files", limits.entries_max)));
    }
    let mut meter = UnpackCount::new(limits, size, stop);
    super::super::ops::make_folder(to)?;
    let root = RootDir::open(to)?;
    let mut unpacking = Unpacking::new(&root);
    for index in 0..archive.len() {
        stop.check()?;
        let mut entry = archive.by_index(index).map_err(|error| damaged(&error))?;
        meter.entry()?;
        let path = entry_path(entry.name_raw())?;
        let mode = entry.unix_mode();
        let kind = mode.map_or(0, |mode| mode & KIND);
        if entry.is_dir() {
            unpacking.folder(path);
        } else if matches!(kind, 0 | REGULAR) {
            let modified = entry.last_modified().and_then(modified);
            let mode = mode.map(|mode| mode & 0o777).filter(|mode| *mode != 0);
            unpacking.file(path, &mut entry, (mode, modified), &mut meter)?;
        } else if kind != FOLDER {
            unpacking.left_out.push(path.display().to_string());
        }
    }
    unpacking.place()
}

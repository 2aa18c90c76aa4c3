//! Files that only their owner may read: those with secrets.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::{fs::OFlags, process::geteuid};

use portolan_core::error::{Error, ErrorKind, Origin, Result};

/// Reads a file that only its owner may read: it must be owned by the current user or root, be no symbolic link, and be
/// closed to others. Returns `None` if there is no such file.
pub fn read_private(path: &Path, bytes_max: u64) -> Result<Option<String>> {
    let cannot = |error| Error::local("read the secret", path, error);
    let refuse = |why: String| {
        Err(Error::new(ErrorKind::Local, Origin::Here, why).at(path.to_string_lossy()))
    };
    let (file, data) = match open(path, OFlags::NOFOLLOW) {
        Ok(opened) => opened,
        Err(error) => {
            use io::ErrorKind::{NotADirectory, NotFound};
            let is_gone = matches!(error.kind(), NotFound | NotADirectory);
            return if is_gone { Ok(None) } else { Err(cannot(error)) };
        }
    };
    if !data.is_file() {
        return refuse("a secret is read from a file, and this is none".into());
    }
    if data.mode() & 0o077 != 0 {
        return refuse(format!(
            "others can read this secret (mode {:04o}): `chmod 600` it",
            data.mode() & 0o7777
        ));
    }
    if data.uid() != 0 && data.uid() != geteuid().as_raw() {
        return refuse("this secret belongs to another user".into());
    }
    let mut text = String::new();
    file.take(bytes_max.saturating_add(1)).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > bytes_max {
        return refuse(format!("a file of secrets of more than {bytes_max} bytes is not read"));
    }
    Ok(Some(text))
}

/// Reads the beginning of a file that is not trusted, only to see what it mentions; `None` if it is no plain file.
pub fn read_untrusted(path: &Path, bytes_max: u64) -> Option<String> {
    let (file, data) = open(path, OFlags::empty()).ok().filter(|(_, data)| data.is_file())?;
    let mut bytes = Vec::with_capacity(usize::try_from(data.len().min(bytes_max)).ok()?);
    file.take(bytes_max).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Opens a file without waiting for the other end of a FIFO that another user placed there.
fn open(path: &Path, flags: OFlags) -> io::Result<(File, Metadata)> {
    let flags = i32::try_from((flags | OFlags::NONBLOCK).bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let data = file.metadata()?;
    Ok((file, data))
}

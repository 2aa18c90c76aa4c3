//! The commands on files and directories that need no data connection.

use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    io::{self, ErrorKind, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::Path,
    sync::PoisonError,
};

use jiff::{civil::DateTime, tz::TimeZone};
use sha2::{Digest, Sha256};

use super::{
    command::{ClientCommand, second_word},
    effect::Effect,
    listing::digits,
    reply::{CommandResult, ServerReply},
    root::ServedPath,
    session::ClientSession,
};
use portolan_core::{encoding::to_hex, limits::COPY_BYTES};
use portolan_proto::ReplyCode;

impl ClientSession {
    /// Returns true if an entry of this name exists.
    pub(super) fn is_taken(&self, place: &ServedPath) -> bool {
        self.stage.root.entry(place).is_ok_and(|path| fs::symlink_metadata(path).is_ok())
    }

    /// Executes `PWD`.
    pub(super) fn current_folder(&self) -> ServerReply {
        self.stage.syntax.current(&self.folder)
    }

    /// Executes `CWD` or `CDUP`.
    pub(super) fn enter(&mut self, place: &ServedPath) -> CommandResult {
        if !self.stage.root.target(place)?.is_dir() {
            return Err(io::Error::from(ErrorKind::NotADirectory).into());
        }
        self.folder = place.clone();
        Ok(ServerReply::new(ReplyCode::FILE_ACTION_OKAY, "Directory successfully changed."))
    }

    /// Executes `MKD`.
    pub(super) fn make_folder(&mut self, place: &ServedPath) -> CommandResult {
        fs::create_dir(self.stage.root.entry(place)?)?;
        Ok(self.stage.syntax.made(place))
    }

    /// Executes `RMD`.
    pub(super) fn remove_folder(&mut self, place: &ServedPath) -> CommandResult {
        if place.name().is_empty() {
            return Err(io::Error::from(ErrorKind::PermissionDenied).into());
        }
        fs::remove_dir(self.stage.root.entry(place)?)?;
        Ok(ServerReply::new(ReplyCode::FILE_ACTION_OKAY, "Remove directory operation successful."))
    }

    /// Executes `DELE`.
    pub(super) fn delete(&mut self, place: &ServedPath) -> CommandResult {
        self.may_change(place)?;
        let path = self.stage.root.entry(place)?;
        if fs::symlink_metadata(&path)?.is_dir() {
            return Err(io::Error::from(ErrorKind::IsADirectory).into());
        }
        fs::remove_file(path)?;
        Ok(ServerReply::new(ReplyCode::FILE_ACTION_OKAY, "Delete operation successful."))
    }

    /// Executes `RNFR`.
    pub(super) fn rename_from(&mut self, place: &ServedPath) -> CommandResult {
        if !self.is_taken(place) {
            return Err(io::Error::from(ErrorKind::NotFound).into());
        }
        self.may_change(place)?;
        self.renaming = Some(place.clone());
        Ok(ServerReply::new(ReplyCode::PENDING, "Ready for RNTO."))
    }

    /// Executes `RNTO`, which replaces a file of that name.
    pub(super) fn rename_to(&mut self, place: &ServedPath) -> CommandResult {
        let from = self
            .renaming
            .take()
            .ok_or_else(|| ServerReply::new(ReplyCode::BAD_SEQUENCE, "RNFR required first."))?;
        if from.name().is_empty() || place.name().is_empty() {
            return Err(io::Error::from(ErrorKind::PermissionDenied).into());
        }
        self.may_change(place)?;
        let (old, mut new) = (self.stage.root.entry(&from)?, self.stage.root.entry(place)?);
        if self.stage.plans.have(&Effect::FoldersStay) && old.is_dir() {
            return Err(ServerReply::new(
                ReplyCode::FILE_UNAVAILABLE,
                "Renaming a directory is not supported.",
            ));
        }
        if old == new && !self.stage.root.keeps_spelling() {
            // It is another spelling of its own name.
            new.set_file_name(OsStr::from_bytes(&self.stage.root.stored(place.name())));
        }
        fs::rename(old, new)?;
        Ok(ServerReply::new(ReplyCode::FILE_ACTION_OKAY, "Rename successful."))
    }

    /// Executes `SIZE`, refused under `TYPE A` as on real servers: the size of the converted file is not known.
    pub(super) fn size(&self, place: &ServedPath) -> CommandResult {
        if self.converts {
            return Err(ServerReply::new(
                ReplyCode::FILE_UNAVAILABLE,
                "SIZE not allowed in ASCII mode.",
            ));
        }
        let size = fs::metadata(self.file(place)?)?.len();
        let mut fresh = self.stage.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        let size = if fresh.remove(place) { 0 } else { size };
        Ok(ServerReply::new(ReplyCode::FILE_STATUS, size.to_string()))
    }

    /// Executes `MDTM`.
    pub(super) fn modified(&self, place: &ServedPath) -> CommandResult {
        let about = fs::metadata(self.stage.root.target(place)?)?;
        Ok(ServerReply::new(ReplyCode::FILE_STATUS, digits(about.mtime())))
    }

    /// Executes `MFMT`.
    pub(super) fn set_modified(
        &self,
        command: &ClientCommand,
        place: &ServedPath,
    ) -> CommandResult {
        let word = command.argument.split(|byte| *byte == b' ').next().unwrap_or_default();
        let bad =
            || ServerReply::new(ReplyCode::BAD_ARGUMENT, "MFMT wants YYYYMMDDHHMMSS and a path.");
        let text = std::str::from_utf8(word).map_err(|_| bad())?;
        second_word(&command.argument).filter(|path| !path.is_empty()).ok_or_else(bad)?;
        let time = DateTime::strptime("%Y%m%d%H%M%S", text).map_err(|_| bad())?;
        let time = time.to_zoned(TimeZone::UTC).map_err(|_| bad())?.timestamp();
        self.may_change(place)?;
        File::open(self.stage.root.target(place)?)?.set_modified(time.into())?;
        let shown = [format!("Modify={text}; ").as_bytes(), &place.bytes()].concat();
        Ok(ServerReply::new(ReplyCode::FILE_STATUS, shown))
    }

    /// Executes `HASH` according to draft-bryan-ftpext-hash-02: algorithm, range, hash, path.
    pub(super) fn hash(&self, place: &ServedPath) -> CommandResult {
        let (size, hash) = sha256(&self.file(place)?)?;
        let shown = format!("SHA-256 0-{} {hash} ", size.saturating_sub(1));
        Ok(ServerReply::new(ReplyCode::FILE_STATUS, [shown.as_bytes(), &place.bytes()].concat()))
    }

    /// Executes `SITE CHMOD` or `SITE HELP`.
    pub(super) fn site(&self, command: &ClientCommand, place: &ServedPath) -> CommandResult {
        let text = command.text();
        let mut words = text.split(' ');
        match words.next().map(str::to_ascii_uppercase).as_deref() {
            Some("CHMOD") => {
                let bad = || {
                    ServerReply::new(ReplyCode::BAD_ARGUMENT, "SITE CHMOD wants a mode and a path.")
                };
                let mode = words.next().and_then(|mode| u32::from_str_radix(mode, 8).ok());
                let mode = mode.filter(|mode| *mode <= 0o7777).ok_or_else(bad)?;
                words.next().ok_or_else(bad)?;
                self.may_change(place)?;
                let path = self.stage.root.target(place)?;
                fs::set_permissions(path, Permissions::from_mode(mode))?;
                Ok(ServerReply::new(ReplyCode::OKAY, "SITE CHMOD command ok."))
            }
            Some("HELP") => Ok(ServerReply::new(ReplyCode::HELP, "CHMOD HELP")),
            _ => Err(ServerReply::new(ReplyCode::UNKNOWN_COMMAND, "Unknown SITE command.")),
        }
    }

    /// Fails for the file that no client may change ([`Effect::Keeps`]).
    pub(super) fn may_change(&self, place: &ServedPath) -> Result<(), ServerReply> {
        let kept = self.stage.plans.all(|effect| match effect {
            Effect::Keeps(name) => Some(ServedPath::root().child(name.as_bytes())),
            _ => None,
        });
        if kept.contains(place) {
            return Err(ServerReply::new(ReplyCode::BAD_FILE_NAME, "Prohibited file name."));
        }
        Ok(())
    }

    /// Returns the local path of a regular file; pipes and devices would block the whole server.
    pub(super) fn file(&self, place: &ServedPath) -> Result<std::path::PathBuf, ServerReply> {
        let path = self.stage.root.target(place)?;
        if path.is_file() {
            return Ok(path);
        }
        Err(ServerReply::new(ReplyCode::FILE_UNAVAILABLE, "Not a regular file."))
    }
}

/// Returns the size of a file and its SHA-256 in hex.
pub(super) fn sha256(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; COPY_BYTES];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(buffer.get(..read).unwrap_or_default());
        size += read as u64;
    }
    Ok((size, to_hex(hash.finalize())))
}

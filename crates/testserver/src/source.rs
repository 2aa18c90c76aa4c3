//! The sources of the bytes of transfers, and the line ends of `TYPE A`.

use std::{
    fs::{self, File},
    io::{self, Cursor, Read, Write as _},
    path::PathBuf,
    time::Duration,
};

use portolan_core::limits::COPY_BYTES;

/// The bytes to be sent.
pub(super) struct ByteStream {
    /// The reader.
    pub(super) bytes: Box<dyn Read + Send>,
    /// The number of bytes, as far as it is known.
    pub(super) size: u64,
}

impl ByteStream {
    /// Creates a source of these bytes.
    pub(super) fn bytes(bytes: Vec<u8>) -> Self {
        let size = bytes.len() as u64;
        Self { bytes: Box::new(Cursor::new(bytes)), size }
    }

    /// Creates a source of `size` bytes from the current position of a file, with its line ends converted or not.
    pub(super) fn file(file: File, size: u64, converts: bool) -> Self {
        let bytes: Box<dyn Read + Send> =
            if converts { Box::new(WithReturns { file, left: None }) } else { Box::new(file) };
        Self { bytes, size }
    }

    /// Creates a source of the file at `path`, which is overwritten while it is read.
    pub(super) fn rewritten(file: File, path: PathBuf, size: u64) -> Self {
        let bytes = Box::new(Rewritten { file, path, before: Some(size / 2) });
        Self { bytes, size }
    }
}

/// A file that is overwritten, in place and with the same size, once half of it has been read.
struct Rewritten {
    file: File,
    path: PathBuf,
    /// The number of bytes to read before the file is overwritten; `None` afterwards.
    before: Option<u64>,
}

impl Rewritten {
    /// Inverts every bit of the file, and makes its modification time later, as that of a new writer is.
    fn write_anew(&self) -> io::Result<()> {
        let bytes: Vec<u8> = fs::read(&self.path)?.iter().map(|byte| !byte).collect();
        let old = fs::metadata(&self.path)?.modified()?;
        let mut file = File::options().write(true).open(&self.path)?;
        file.write_all(&bytes)?;
        let later = old + Duration::from_secs(1);
        file.set_modified(later.max(fs::metadata(&self.path)?.modified()?))
    }
}

impl Read for Rewritten {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.before else { return self.file.read(buffer) };
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            self.write_anew()?;
            self.before = None;
            return self.file.read(buffer);
        }
        let read = self.file.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.before = Some(left - read as u64);
        Ok(read)
    }
}

/// A reader of a file that inserts a CR before every LF (`TYPE A`).
struct WithReturns {
    file: File,
    /// The converted bytes that have not been returned yet.
    left: Option<Cursor<Vec<u8>>>,
}

impl Read for WithReturns {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(left) = &mut self.left {
                let read = left.read(buffer)?;
                if read > 0 {
                    return Ok(read);
                }
            }
            let mut piece = vec![0; COPY_BYTES];
            let read = self.file.read(&mut piece)?;
            if read == 0 {
                return Ok(0);
            }
            let mut converted = Vec::with_capacity(read + read / 16);
            for byte in piece.iter().take(read) {
                if *byte == b'\n' {
                    converted.push(b'\r');
                }
                converted.push(*byte);
            }
            self.left = Some(Cursor::new(converted));
        }
    }
}

/// A converter of CR LF to LF, wherever the pieces are cut (`TYPE A`).
#[derive(Default)]
pub(super) struct WithoutReturns {
    /// True if the last byte was a CR, which is not stored until the next is known.
    held: bool,
}

impl WithoutReturns {
    /// Returns the piece as it is to be stored.
    pub(super) fn strip(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut stripped = Vec::with_capacity(piece.len() + 1);
        for byte in piece {
            if self.held && *byte != b'\n' {
                stripped.push(b'\r');
            }
            self.held = *byte == b'\r';
            if !self.held {
                stripped.push(*byte);
            }
        }
        stripped
    }

    /// Returns the byte held back at the end.
    pub(super) fn rest(&self) -> &'static [u8] {
        if self.held { b"\r" } else { b"" }
    }
}

/// An endless listing of lines that are all different; the name can be parsed as `MLSD` and as `LIST`.
#[derive(Default)]
pub(super) struct Entries {
    count: u64,
    line: Cursor<Vec<u8>>,
}

impl Read for Entries {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let read = self.line.read(rest)?;
            if read == 0 {
                self.count += 1;
                let line =
                    format!("type=file;size=1;modify=20200101000000; {:012}\r\n", self.count);
                self.line = Cursor::new(line.into_bytes());
            }
            filled += read;
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_go_wherever_the_pieces_are_cut() {
        let mut returns = WithoutReturns::default();
        let mut text = Vec::new();
        for piece in [&b"a\r"[..], b"\nb\rc\r", b"\r\n", b"\r"] {
            text.extend(returns.strip(piece));
        }
        text.extend(returns.rest());
        assert_eq!(text, b"a\nb\rc\r\n\r");
    }

    #[test]
    fn returns_come_before_every_line_feed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "x\ny\n").unwrap();
        let file = File::open(folder.path().join("a")).unwrap();
        let mut text = String::new();
        WithReturns { file, left: None }.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x\r\ny\r\n");
    }

    #[test]
    fn entries_never_end() {
        let mut buffer = [0; 200];
        assert_eq!(Entries::default().read(&mut buffer).unwrap(), 200);
        assert!(buffer.starts_with(b"type=file;size=1;modify=20200101000000; 000000000001\r\n"));
    }
}

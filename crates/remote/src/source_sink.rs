//! Sinks and sources of transferred data on the local side: files and memory.

use portolan_core::{
    buffer,
    error::{Error, ErrorKind, Origin, Result},
};
use portolan_fs::{AtomicFile, SourceFile};

/// A sink for downloaded data.
pub trait ByteSink {
    /// Takes the next bytes.
    fn take(&mut self, bytes: &[u8]) -> Result<()>;
    /// Discards what was taken, for another attempt.
    fn restart(&mut self) -> Result<()>;
    /// Returns the offset in the file at which the sink begins.
    fn offset(&self) -> u64 {
        0
    }
    /// Returns true if the sink takes the whole file, and may take all of another version of it after
    /// [`restart`](Self::restart).
    fn is_whole(&self) -> bool {
        true
    }
}

/// A source of uploaded data.
pub trait ByteSource {
    /// Puts the next bytes into `buffer` and returns their number; 0 is the end.
    fn give(&mut self, buffer: &mut [u8]) -> Result<usize>;
    /// Begins again at the first byte, for another attempt.
    fn restart(&mut self) -> Result<()>;
    /// Fails unless the source is unchanged since it was opened; called after the last byte.
    fn check(&self) -> Result<()>;
    /// Returns bytes that tell this content from any other, on any host; `None` if they are not known.
    fn identity(&self) -> Option<Vec<u8>> {
        None
    }
    /// Returns true if the length is known only at the end, as of a pipe.
    fn is_stream(&self) -> bool {
        false
    }
    /// Begins again after a failed [`check`](Self::check), if the content may still be the same, and returns true if it
    /// did.
    fn begin_anew(&mut self) -> Result<bool> {
        Ok(false)
    }
}

impl ByteSink for AtomicFile {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes)
    }

    fn restart(&mut self) -> Result<()> {
        self.clear()
    }
}

/// A buffer in memory with a size limit.
#[derive(Debug)]
pub struct BoundedBuffer {
    /// The data received.
    pub bytes: Vec<u8>,
    /// The maximum number of bytes.
    pub limit: u64,
}

impl ByteSink for BoundedBuffer {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let total = self.bytes.len() as u64 + bytes.len() as u64;
        if total > self.limit {
            let message = format!("more than {} bytes: `get` it into a file instead", self.limit);
            return Err(Error::new(ErrorKind::Invalid, Origin::Here, message));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        self.bytes.clear();
        Ok(())
    }
}

impl ByteSource for SourceFile {
    fn give(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.read(buffer)
    }

    fn restart(&mut self) -> Result<()> {
        self.skip_to(0)
    }

    fn check(&self) -> Result<()> {
        self.unchanged()
    }

    fn identity(&self) -> Option<Vec<u8>> {
        Some(Self::identity(self))
    }

    fn begin_anew(&mut self) -> Result<bool> {
        Self::begin_anew(self)
    }
}

/// A source of bytes in memory.
#[derive(Debug)]
pub struct MemorySource<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> MemorySource<'a> {
    /// Creates a source of all of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl ByteSource for MemorySource<'_> {
    fn give(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let rest = buffer::rest(self.bytes, self.at)?;
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        self.at += count;
        Ok(count)
    }

    fn restart(&mut self) -> Result<()> {
        self.at = 0;
        Ok(())
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn identity(&self) -> Option<Vec<u8>> {
        Some(self.bytes.to_vec())
    }
}

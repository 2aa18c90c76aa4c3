//! Where bytes come from and go to on this machine: files, and memory.

use crate::{
    fault::{Fault, Kind, Outcome, Side},
    files::{Landing, Reading},
};

/// Where downloaded bytes go.
pub trait Take {
    /// Takes the next bytes.
    fn take(&mut self, bytes: &[u8]) -> Outcome<()>;
    /// Forgets what was taken, for another try.
    fn restart(&mut self) -> Outcome<()>;
    /// At which byte of the file it begins.
    fn offset(&self) -> u64 {
        0
    }
    /// Whether it takes all of the file, and may take all of another version of it after [`restart`](Self::restart).
    fn is_whole(&self) -> bool {
        true
    }
}

/// Where uploaded bytes come from.
pub trait Give {
    /// Puts the next bytes into `buffer` and says how many; 0 is the end.
    fn give(&mut self, buffer: &mut [u8]) -> Outcome<usize>;
    /// Begins again at the first byte, for another try.
    fn restart(&mut self) -> Outcome<()>;
    /// Fails unless the source is still what it was when it was opened; asked after the last byte.
    fn check(&self) -> Outcome<()>;
    /// All that tells this content from other content, of whatever machine; none where that is not known.
    fn identity(&self) -> Option<Vec<u8>> {
        None
    }
    /// After such a failure: begins again where the source may be the same all the same, and says whether it is so.
    fn begin_anew(&mut self) -> Outcome<bool> {
        Ok(false)
    }
}

impl Take for Landing {
    fn take(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.write_all(bytes)
    }

    fn restart(&mut self) -> Outcome<()> {
        self.clear()
    }
}

/// Bytes kept in memory, up to a limit.
#[derive(Debug)]
pub struct Kept {
    /// What came.
    pub bytes: Vec<u8>,
    /// How much may come.
    pub limit: u64,
}

impl Take for Kept {
    fn take(&mut self, bytes: &[u8]) -> Outcome<()> {
        let total = self.bytes.len() as u64 + bytes.len() as u64;
        if total > self.limit {
            let message = format!("more than {} bytes: `get` it into a file instead", self.limit);
            return Err(Fault::new(Kind::Invalid, Side::Here, message));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn restart(&mut self) -> Outcome<()> {
        self.bytes.clear();
        Ok(())
    }
}

impl Give for Reading {
    fn give(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        self.read(buffer)
    }

    fn restart(&mut self) -> Outcome<()> {
        self.skip_to(0)
    }

    fn check(&self) -> Outcome<()> {
        self.unchanged()
    }

    fn identity(&self) -> Option<Vec<u8>> {
        Some(Self::identity(self))
    }

    fn begin_anew(&mut self) -> Outcome<bool> {
        Self::begin_anew(self)
    }
}

/// Bytes from memory.
#[derive(Debug)]
pub struct Text<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Text<'a> {
    /// All of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl Give for Text<'_> {
    fn give(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        self.at += count;
        Ok(count)
    }

    fn restart(&mut self) -> Outcome<()> {
        self.at = 0;
        Ok(())
    }

    fn check(&self) -> Outcome<()> {
        Ok(())
    }

    fn identity(&self) -> Option<Vec<u8>> {
        Some(self.bytes.to_vec())
    }
}

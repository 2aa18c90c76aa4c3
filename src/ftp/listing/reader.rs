//! The reader of a listing: splits the received bytes into lines, within limits.

use jiff::Timestamp;

use super::{
    Listing, Reason,
    format::Format,
    line::Line,
    sheet::{Sheet, bare},
    stamp::Hints,
};
use crate::{
    fault::{Fault, Outcome},
    ftp::path::RemotePath,
    limits::{LISTING_BYTES_MAX, LISTING_LINE_BYTES_MAX},
};

/// The number of lines after which the format of a LIST is chosen. A shorter listing is judged as a whole; in a longer
/// one, later lines that disagree are rejected, as they would be in any format (rule L1).
const SAMPLE_LINES: usize = 64;

/// A reader of one listing, which accepts bytes in pieces of any size.
///
/// ```
/// use portolan::ftp::listing::Reader;
///
/// let mut reader = Reader::mlsd();
/// reader.push(b"type=file;size=3; a b\r\nty")?;
/// reader.push(b"pe=cdir; /in\r\n")?;
/// let listing = reader.finish("2026-06-15T12:00:00Z".parse().unwrap())?;
/// assert!(listing.complete && listing.vouched);
/// assert_eq!(listing.entries[0].name, b"a b");
/// # Ok::<(), portolan::fault::Fault>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    /// The start of a line whose end has not come yet.
    carry: Vec<u8>,
    bytes: usize,
    stage: Stage,
    sheet: Sheet,
    /// True if the first line ended in two carriage returns: then all lines do.
    returns_twice: Option<bool>,
    /// The first error; a reader that has failed stays failed.
    fault: Option<Fault>,
}

/// The state of format detection.
#[derive(Debug)]
enum Stage {
    /// Lines are kept until the format is chosen.
    Sampling(Sample),
    /// Lines are parsed as they come.
    Reading(Format),
}

impl Reader {
    /// Creates a reader of MLSD, which has one format.
    pub fn mlsd() -> Self {
        Self::at(Stage::Reading(Format::Mlsd))
    }

    /// Creates a reader of LIST, which detects the format.
    pub fn list() -> Self {
        Self::at(Stage::Sampling(Sample::default()))
    }

    /// Creates a reader of NLST, which has names only.
    pub fn names() -> Self {
        Self::at(Stage::Reading(Format::Names))
    }

    fn at(stage: Stage) -> Self {
        let (carry, sheet) = (Vec::new(), Sheet::default());
        Self { carry, bytes: 0, stage, sheet, returns_twice: None, fault: None }
    }

    /// Sets the `folder` of the listing, whose entries a server may list by their whole paths.
    #[must_use]
    pub fn of(mut self, folder: &RemotePath) -> Self {
        self.sheet.set_folder(folder.as_bytes());
        self
    }

    /// Parses the next bytes; fails with `protocol` on more lines, entries or bytes than any directory has.
    pub fn push(&mut self, bytes: &[u8]) -> Outcome<()> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let taken = self.take(bytes);
        if let Err(fault) = &taken {
            self.fault = Some(fault.clone());
        }
        taken
    }

    fn take(&mut self, mut bytes: &[u8]) -> Outcome<()> {
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > LISTING_BYTES_MAX {
            return Err(too_much("bytes", LISTING_BYTES_MAX));
        }
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bounded(self.carry.len(), line)?;
            if self.carry.is_empty() {
                self.line(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.carry);
                whole.extend_from_slice(line);
                self.line(&whole)?;
                whole.clear();
                self.carry = whole;
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        bounded(self.carry.len(), bytes)?;
        self.carry.extend_from_slice(bytes);
        Ok(())
    }

    /// Returns the listing, once the server has ended it; `now` determines the years that LIST omits.
    pub fn finish(mut self, now: Timestamp) -> Outcome<Listing> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let format = match &self.stage {
            Stage::Reading(format) => *format,
            Stage::Sampling(sample) => sample.replay(&mut self.sheet)?,
        };
        if !self.carry.is_empty() {
            self.sheet.refuse(&self.carry, Reason::Cut);
        }
        Ok(self.sheet.finish(format, now))
    }

    fn line(&mut self, line: &[u8]) -> Outcome<()> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.returns_twice.is_none() && !bare(line).is_empty() {
            self.returns_twice = Some(line.ends_with(b"\r"));
        }
        let line = match self.returns_twice {
            Some(true) => line.strip_suffix(b"\r").unwrap_or(line),
            _ => line,
        };
        match &mut self.stage {
            Stage::Reading(format) => self.sheet.take(*format, line),
            Stage::Sampling(sample) => {
                sample.keep(line);
                if sample.lines < SAMPLE_LINES || sample.format() == Format::Unknown {
                    return Ok(());
                }
                self.stage = Stage::Reading(sample.replay(&mut self.sheet)?);
                Ok(())
            }
        }
    }
}

/// The lines of a LIST of unknown format, and the number of them that each format explains.
#[derive(Debug, Default)]
struct Sample {
    /// The lines, each with a line feed.
    kept: Vec<u8>,
    lines: usize,
    scores: [usize; Format::LISTED.len()],
}

impl Sample {
    fn keep(&mut self, line: &[u8]) {
        self.lines += 1;
        self.kept.extend_from_slice(line);
        self.kept.push(b'\n');
        if bare(line).is_empty() {
            return;
        }
        for (format, score) in Format::LISTED.iter().zip(&mut self.scores) {
            if format.read(line, &mut Hints::default()) != Line::Unread {
                *score += 1;
            }
        }
    }

    /// Returns the format that explains the most lines, the first one among equals; unknown if none explains any.
    fn format(&self) -> Format {
        let best = self.scores.iter().copied().max().filter(|score| *score > 0);
        let winner = Format::LISTED.iter().zip(self.scores).find(|(_, score)| Some(*score) == best);
        winner.map_or(Format::Unknown, |(format, _)| *format)
    }

    /// Parses the kept lines in the chosen format.
    fn replay(&self, sheet: &mut Sheet) -> Outcome<Format> {
        let format = self.format();
        let lines = self.kept.strip_suffix(b"\n").unwrap_or_default();
        if !self.kept.is_empty() {
            lines.split(|byte| *byte == b'\n').try_for_each(|line| sheet.take(format, line))?;
        }
        Ok(format)
    }
}

/// Fails if `carried` bytes and `more` are too long for one line, before they are joined.
fn bounded(carried: usize, more: &[u8]) -> Outcome<()> {
    if carried + more.len() > LISTING_LINE_BYTES_MAX {
        return Err(too_much("bytes in one line", LISTING_LINE_BYTES_MAX));
    }
    Ok(())
}

/// Returns the fault of a listing with more `things` than a directory can have (class C10).
pub(super) fn too_much(things: &str, most: usize) -> Fault {
    Fault::protocol(format!("a listing with more than {most} {things} was refused"))
}

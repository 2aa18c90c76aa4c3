//! The reader of a listing: splits the received bytes into lines, within limits.

use jiff::Timestamp;

use super::{
    format::ListingFormat,
    line::ParsedLine,
    listing_builder::{Sheet, bare},
    ls_time::Hints,
    parse_error::ParseErrorKind,
    whole::Listing,
};
use crate::path::RemotePath;
use portolan_core::{
    error::{Error, Result},
    limits::{LISTING_BYTES_MAX, LISTING_LINE_BYTES_MAX},
};

/// The number of lines after which the format of a LIST is chosen. A shorter listing is judged as a whole; in a longer
/// one, later lines that disagree are rejected, as they would be in any format (rule L1).
const SAMPLE_LINES: usize = 64;

/// A reader of one listing, which accepts bytes in pieces of any size.
///
/// ```
/// use portolan_ftp::listing::ListingReader;
///
/// let mut reader = ListingReader::mlsd();
/// reader.push(b"type=file;size=3; a b\r\nty")?;
/// reader.push(b"pe=cdir; /in\r\n")?;
/// let listing = reader.finish("2026-06-15T12:00:00Z".parse().unwrap())?;
/// assert!(listing.complete && listing.vouched);
/// assert_eq!(listing.entries[0].name, b"a b");
/// # Ok::<(), portolan_core::error::Error>(())
/// ```
#[derive(Debug)]
pub struct ListingReader {
    /// The start of a line whose end has not come yet.
    carry: Vec<u8>,
    bytes: usize,
    stage: DetectState,
    sheet: Sheet,
    /// True if the first line ended in two carriage returns: then all lines do.
    returns_twice: Option<bool>,
    /// The first error; a reader that has failed stays failed.
    error: Option<Error>,
}

/// The state of format detection.
#[derive(Debug)]
enum DetectState {
    /// Lines are kept until the format is chosen.
    Sampling(Sample),
    /// Lines are parsed as they come.
    Reading(ListingFormat),
}

impl ListingReader {
    /// Creates a reader of MLSD, which has one format.
    pub fn mlsd() -> Self {
        Self::at(DetectState::Reading(ListingFormat::Mlsd))
    }

    /// Creates a reader of LIST, which detects the format.
    pub fn list() -> Self {
        Self::at(DetectState::Sampling(Sample::default()))
    }

    /// Creates a reader of NLST, which has names only.
    pub fn names() -> Self {
        Self::at(DetectState::Reading(ListingFormat::Names))
    }

    fn at(stage: DetectState) -> Self {
        let (carry, sheet) = (Vec::new(), Sheet::default());
        Self { carry, bytes: 0, stage, sheet, returns_twice: None, error: None }
    }

    /// Sets the `folder` of the listing, whose entries a server may list by their whole paths.
    #[must_use]
    pub fn of(mut self, folder: &RemotePath) -> Self {
        self.sheet.set_folder(folder.as_bytes());
        self
    }

    /// Parses the next bytes; fails with `protocol` on more lines, entries or bytes than any directory has.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let taken = self.take(bytes);
        if let Err(error) = &taken {
            self.error = Some(error.clone());
        }
        taken
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
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
    pub fn finish(mut self, now: Timestamp) -> Result<Listing> {
        // The place of a parser that an attacker has taken over: the tests of the sandbox.
        #[cfg(debug_assertions)]
        portolan_permissions::hostile::act();
        if let Some(error) = self.error {
            return Err(error);
        }
        let format = match &self.stage {
            DetectState::Reading(format) => *format,
            DetectState::Sampling(sample) => sample.replay(&mut self.sheet)?,
        };
        if !self.carry.is_empty() {
            self.sheet.refuse(&self.carry, ParseErrorKind::Cut);
        }
        Ok(self.sheet.finish(format, now))
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.returns_twice.is_none() && !bare(line).is_empty() {
            self.returns_twice = Some(line.ends_with(b"\r"));
        }
        let line = match self.returns_twice {
            Some(true) => line.strip_suffix(b"\r").unwrap_or(line),
            _ => line,
        };
        match &mut self.stage {
            DetectState::Reading(format) => self.sheet.take(*format, line),
            DetectState::Sampling(sample) => {
                sample.keep(line);
                if sample.lines < SAMPLE_LINES || sample.format() == ListingFormat::Unknown {
                    return Ok(());
                }
                self.stage = DetectState::Reading(sample.replay(&mut self.sheet)?);
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
    scores: [usize; ListingFormat::LISTED.len()],
}

impl Sample {
    fn keep(&mut self, line: &[u8]) {
        self.lines += 1;
        self.kept.extend_from_slice(line);
        self.kept.push(b'\n');
        if bare(line).is_empty() {
            return;
        }
        for (format, score) in ListingFormat::LISTED.iter().zip(&mut self.scores) {
            if format.read(line, &mut Hints::default()) != ParsedLine::Unread {
                *score += 1;
            }
        }
    }

    /// Returns the format that explains the most lines, the first one among equals; unknown if none explains any.
    fn format(&self) -> ListingFormat {
        let best = self.scores.iter().copied().max().filter(|score| *score > 0);
        let winner =
            ListingFormat::LISTED.iter().zip(self.scores).find(|(_, score)| Some(*score) == best);
        winner.map_or(ListingFormat::Unknown, |(format, _)| *format)
    }

    /// Parses the kept lines in the chosen format.
    fn replay(&self, sheet: &mut Sheet) -> Result<ListingFormat> {
        let format = self.format();
        let lines = self.kept.strip_suffix(b"\n").unwrap_or(&self.kept);
        if !self.kept.is_empty() {
            lines.split(|byte| *byte == b'\n').try_for_each(|line| sheet.take(format, line))?;
        }
        Ok(format)
    }
}

/// Fails if `carried` bytes and `more` are too long for one line, before they are joined.
fn bounded(carried: usize, more: &[u8]) -> Result<()> {
    if carried + more.len() > LISTING_LINE_BYTES_MAX {
        return Err(too_much("bytes in one line", LISTING_LINE_BYTES_MAX));
    }
    Ok(())
}

/// Returns the error of a listing with more `things` than a directory can have (class C10).
pub(super) fn too_much(things: &str, most: usize) -> Error {
    Error::protocol(format!("a listing with more than {most} {things} was refused"))
}

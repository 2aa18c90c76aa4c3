//! Tests of whole listings, parsed as in production.

mod families;
mod properties;
mod rules;
mod samples;
mod speed;
mod times;

use jiff::Timestamp;

use super::{Listing, ListingFormat, ListingReader};

/// The time at which the samples are parsed, unless they name another.
const NOW: &str = "2026-06-15T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// Parses `bytes` as a LIST.
fn list(bytes: impl AsRef<[u8]>) -> Listing {
    read(ListingReader::list(), bytes.as_ref(), now())
}

/// Parses `bytes` as an MLSD.
fn mlsd(bytes: impl AsRef<[u8]>) -> Listing {
    read(ListingReader::mlsd(), bytes.as_ref(), now())
}

fn read(mut reader: ListingReader, bytes: &[u8], now: Timestamp) -> Listing {
    reader.push(bytes).unwrap();
    reader.finish(now).unwrap()
}

/// Returns the names of a listing as text.
fn names(listing: &Listing) -> Vec<String> {
    listing.entries.iter().map(|entry| String::from_utf8_lossy(&entry.name).into_owned()).collect()
}

/// Returns a reader of `format` if the caller knows it, and else one that detects it.
fn reader(format: ListingFormat) -> ListingReader {
    if format == ListingFormat::Mlsd { ListingReader::mlsd() } else { ListingReader::list() }
}

//! Listings: the server's account of a directory, parsed without trusting it.
//!
//! A [`ListingReader`] takes the bytes of MLSD or LIST as they arrive and produces a [`Listing`], which records if it is
//! complete. The rules are in the comments of its parsers; the first of them: a line that is not understood is never
//! made into a name, and leaves the listing incomplete, so that nothing is deleted because of it (class C20).

mod as400_guardian;
mod closing;
mod dates;
mod dos;
mod eplf;
mod format;
mod line;
mod listing_builder;
mod ls_time;
mod mlsx;
mod month;
mod names;
mod netware_mac;
mod nortel;
mod os2_vxworks;
mod parse_error;
mod reader;
mod time_val;
mod unix;
mod vms;
mod whole;
mod zos;

#[cfg(test)]
mod tests;

pub(super) use closing::says_cut;
pub use format::ListingFormat;
pub use mlsx::parse_mlst;
pub use parse_error::ParseErrorKind;
pub use portolan_remote::entry::{Entry, EntryKind, Modified, Precision};
pub use reader::ListingReader;
pub use time_val::{parse_time_val, time_val};
pub use whole::{Listing, Refused};

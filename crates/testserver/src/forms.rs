//! Listing formats of hosts other than Unix.

use jiff::{Timestamp, tz::TimeZone};

use super::listing::ListedFile;

/// The size of a VMS block in bytes.
const BLOCK: u64 = 512;

/// The format of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum ListingStyle {
    /// `ls -l`.
    #[default]
    Unix,
    /// `dir` on Windows.
    Dos,
    /// Data sets of z/OS, and the members of a partitioned one.
    DataSets,
    /// VMS.
    Vms,
    /// IBM i.
    Midrange,
}

impl ListingStyle {
    /// Returns the header line above the entries.
    pub(super) fn head(self, in_root: bool) -> Option<&'static str> {
        match self {
            Self::DataSets if in_root => {
                Some("Volume Unit    Referred Ext Used Recfm Lrecl BlkSz Dsorg Dsname")
            }
            Self::DataSets => {
                Some(" Name     VV.MM   Created       Changed      Size  Init   Mod   Id")
            }
            Self::Vms => Some("Directory DISK$USER:[OPS]"),
            _ => None,
        }
    }

    /// Returns the line of an entry without its end, with the time in `zone`.
    pub(super) fn line(
        self,
        entry: &ListedFile,
        in_root: bool,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Vec<u8> {
        let time = |form: &str| entry.time().to_zoned(zone.clone()).strftime(form).to_string();
        let (size, is_folder) = (entry.size(), entry.is_folder());
        let facts = match self {
            Self::Unix => return entry.long(now, zone),
            Self::Dos => {
                let size = if is_folder {
                    "       <DIR>          ".to_owned()
                } else {
                    format!("{size:>21} ")
                };
                format!("{}{size}", time("%m-%d-%y  %I:%M%p"))
            }
            Self::DataSets if in_root => {
                let sort = if is_folder { "PO" } else { "PS" };
                format!("WYOSPT 3390   {}  1    1  FB      80 27920  {sort}  ", time("%Y/%m/%d"))
            }
            Self::DataSets => {
                let name = String::from_utf8_lossy(entry.name());
                let (made, changed) = (time("%Y/%m/%d"), time("%Y/%m/%d %H:%M"));
                let records = size.div_ceil(80);
                let line = format!(
                    " {name:<8}  01.00 {made} {changed} {records:>5} {records:>5}     0 OPSUSER"
                );
                return line.into_bytes();
            }
            Self::Vms => {
                let end: &[u8] = if is_folder {
                    b".DIR;1"
                } else if entry.name().contains(&b'.') {
                    b";1"
                } else {
                    b".;1"
                };
                let blocks = size.div_ceil(BLOCK);
                let rest = format!(
                    "  {blocks}/{blocks}  {}  [OPS,OPS]  (RWED,RWED,RE,)",
                    time("%d-%b-%Y %H:%M:%S").to_uppercase()
                );
                return [entry.name(), end, rest.as_bytes()].concat();
            }
            Self::Midrange => {
                let kind = if is_folder { "*DIR" } else { "*STMF" };
                format!("OPSUSER {size:>15} {} {kind:<10} ", time("%d.%m.%y %H:%M:%S"))
            }
        };
        [facts.as_bytes(), entry.name()].concat()
    }
}

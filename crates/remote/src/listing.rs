//! A listing of one directory, as far as it may be relied on.

use super::entry::Entry;

/// The entries of a directory, and what their absence proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryListing {
    /// The entries, without `.` and `..`.
    pub entries: Vec<Entry>,
    /// True if entries that are not in it may be assumed to be deleted (class C20).
    pub is_conclusive: bool,
    /// True if it would show names that begin with a dot.
    pub shows_hidden: bool,
    /// The number of entries that could not be understood.
    pub refused_count: usize,
    /// The complaint about the first of them.
    pub complaint: Option<String>,
}

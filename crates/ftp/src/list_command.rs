//! The commands that give a listing, in the order in which they are tried.

/// A command and its arguments that give a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListCommand {
    /// MLSD.
    Facts,
    /// LIST with `-a`, which some servers mistake for the name of a file.
    ListAll,
    /// LIST.
    List,
    /// STAT, over the control connection.
    Status,
    /// NLST: names only.
    Names,
}

impl ListCommand {
    /// All commands, in the order in which they are tried.
    pub(super) const ALL: [Self; 5] =
        [Self::Facts, Self::ListAll, Self::List, Self::Status, Self::Names];
}

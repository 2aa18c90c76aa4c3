//! The reasons why a line of a listing is rejected.

/// The reason why a line was rejected in whole or in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParseErrorKind {
    /// A line that the format of the listing does not have.
    Unread,
    /// A name that is not one path component.
    Name,
    /// The last line, without a line end: some of it may be missing.
    Cut,
    /// A link with more than one arrow, none of which fits its size.
    Link,
    /// A size that no file has. The entry is kept, without a size.
    Size,
    /// A missing or unknown type. The entry is kept, as `other`.
    Kind,
    /// A trailer that counts more or fewer entries than there are.
    Count,
    /// The closing reply of a listing, which reports that it is incomplete.
    Closing,
}

impl ParseErrorKind {
    /// Returns a clause for logs.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unread => "is not a line of this format",
            Self::Name => "has a name that cannot be one entry of a folder",
            Self::Cut => "has no line end and may be cut",
            Self::Link => "may be parted into name and target in more than one way",
            Self::Size => "has a size that no file has",
            Self::Kind => "does not say what it is",
            Self::Count => "counts other entries than there are",
            Self::Closing => "says that not all was listed",
        }
    }
}

//! The entries of a listing as rows for people and as documents for programs.

use jiff::{civil, tz::TimeZone};
use serde::Serialize;

use super::{Args, SortKey};
use crate::{
    ftp::{
        listing::{Entry, EntryKind, Modified, Precision},
        path::RemotePath,
    },
    observe::{counted, format_size, visible::visible},
    remote::name_encoding::NameEncoding,
    script::value::NameText,
};

/// An entry of a listing.
#[derive(Debug)]
pub(super) struct ListedRow {
    /// Its path, and the part of it that is shown, if it is more than a name.
    pub(super) path: Option<(RemotePath, Vec<u8>)>,
    /// Its facts.
    pub(super) entry: Entry,
}

impl ListedRow {
    /// Returns the row of an entry of the directory that was asked for.
    pub(super) const fn of(entry: Entry) -> Self {
        Self { path: None, entry }
    }

    /// Returns the name or path that is shown.
    fn name(&self) -> &[u8] {
        self.path.as_ref().map_or(&self.entry.name, |(_, shown)| shown)
    }
}

/// The form of a listing.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the user's")]
pub(super) struct RowStyle {
    sort: SortKey,
    is_reversed: bool,
    is_long: bool,
    is_human: bool,
    names_only: bool,
}

impl RowStyle {
    /// Returns the form that `args` ask for; without a wish, a terminal gets the long one.
    pub(super) const fn of(args: &Args, is_terminal: bool) -> Self {
        let sort = match (args.by_time, args.by_size) {
            (true, _) => SortKey::Time,
            (_, true) => SortKey::Size,
            _ => args.sort,
        };
        Self {
            sort,
            is_reversed: args.reverse,
            is_long: args.long || is_terminal,
            is_human: args.human_readable,
            names_only: args.names,
        }
    }

    /// Sorts the rows.
    pub(super) fn sort(self, rows: &mut [ListedRow]) {
        rows.sort_by(|one, other| one.name().cmp(other.name()));
        match self.sort {
            SortKey::Name => {}
            SortKey::Time => {
                rows.sort_by_key(|row| std::cmp::Reverse(row.entry.modified.map(order)));
            }
            SortKey::Size => rows.sort_by_key(|row| std::cmp::Reverse(row.entry.size.unwrap_or(0))),
        }
        if self.is_reversed {
            rows.reverse();
        }
    }

    /// Renders the rows.
    pub(super) fn text(self, rows: &[ListedRow], encoding: NameEncoding) -> String {
        let name = |row: &ListedRow| {
            visible(encoding.decode(row.name()).unwrap_or_else(|_| row.name().to_vec()))
        };
        if self.names_only {
            return rows.iter().map(|row| name(row) + "\n").collect();
        }
        let sizes: Vec<_> = rows.iter().map(|row| self.size(&row.entry)).collect();
        let width = sizes.iter().map(String::len).max().unwrap_or(0);
        let lines = rows.iter().zip(&sizes).map(|(row, size)| {
            let (front, tail) = (front(&row.entry), self.tail(&row.entry, &name(row)));
            format!("{front}{size:>width$}  {tail}\n")
        });
        let mut text: String = lines.collect();
        if self.is_long {
            text.push_str(&totals(rows));
        }
        text
    }

    fn size(self, entry: &Entry) -> String {
        let size = entry.size.filter(|_| entry.kind != EntryKind::Dir);
        let shown = |size| if self.is_human { format_size(size) } else { size.to_string() };
        size.map_or_else(|| "-".into(), shown)
    }

    fn tail(self, entry: &Entry, name: &str) -> String {
        let when = match entry.modified {
            Some(modified) if self.is_long => format!("{:<16}", local(modified)),
            modified => format!("{:<20}", modified.map(moment).unwrap_or_default()),
        };
        let when = if self.is_long && entry.modified.is_none() { " ".repeat(16) } else { when };
        let target = entry.target.as_ref().map(|target| format!(" -> {}", visible(target)));
        let slash = if entry.kind == EntryKind::Dir { "/" } else { "" };
        format!("{when}  {name}{slash}{}", target.unwrap_or_default())
    }
}

fn front(entry: &Entry) -> String {
    let kind = match entry.kind {
        EntryKind::File => '-',
        EntryKind::Dir => 'd',
        EntryKind::Link => 'l',
        EntryKind::Other => '?',
    };
    let mode = entry.mode.map_or_else(|| "    ".into(), |mode| format!("{:04o}", mode & 0o7777));
    format!("{kind} {mode}  ")
}

/// Returns the line of totals: `2 files, 1 directory, 1.5 KiB`.
fn totals(rows: &[ListedRow]) -> String {
    let count = |kind| rows.iter().filter(|row| row.entry.kind == kind).count();
    let (files, folders) = (count(EntryKind::File), count(EntryKind::Dir));
    let others = rows.len() - files - folders;
    let mut parts = vec![counted(files, "file")];
    parts.extend((folders > 0).then(|| counted(folders, "directory")));
    parts.extend((others > 0).then(|| counted(others, "other")));
    let sizes = rows.iter().filter(|row| row.entry.kind == EntryKind::File);
    let bytes = sizes.filter_map(|row| row.entry.size).fold(0, u64::saturating_add);
    parts.push(format_size(bytes));
    format!("{}\n", parts.join(", "))
}

/// Returns a time by which entries are ordered; that of an unknown zone counts as universal.
fn order(modified: Modified) -> civil::DateTime {
    match modified {
        Modified::Utc(time, _) => TimeZone::UTC.to_datetime(time),
        Modified::Server(time, _) => time,
    }
}

/// Formats a time in the local zone to the minute; one in the server's own, unknown zone as it is.
fn local(modified: Modified) -> String {
    let time = match modified {
        Modified::Utc(time, _) => TimeZone::system().to_datetime(time),
        Modified::Server(time, _) => time,
    };
    let form = if modified.precision() == Precision::Day { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M" };
    time.strftime(form).to_string()
}

/// Formats a time as precisely as it is known, with `Z` only if the zone is known.
fn moment(modified: Modified) -> String {
    let (text, zone) = match modified {
        Modified::Utc(time, _) => (time.strftime("%Y-%m-%dT%H:%M:%S").to_string(), "Z"),
        Modified::Server(time, _) => (time.strftime("%Y-%m-%dT%H:%M:%S").to_string(), ""),
    };
    let length = match modified.precision() {
        Precision::Day => 10,
        Precision::Minute => 16,
        Precision::Second | Precision::Millisecond => 19,
    };
    format!("{}{zone}", text.get(..length).unwrap_or(&text))
}

/// An entry as `--json` has it.
#[derive(Debug, Serialize)]
pub(super) struct ListedEntry {
    name: String,
    kind: &'static str,
    size: Option<u64>,
    modified: Option<String>,
    permissions: Option<String>,
    target: Option<String>,
    /// The path, of an entry that need not be in the directory itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// The number of lines of the listing that could not be parsed.
    #[serde(skip_serializing_if = "Option::is_none")]
    unread_lines: Option<usize>,
}

/// Returns the entries for `--json`.
pub(super) fn documents(
    rows: &[ListedRow],
    encoding: NameEncoding,
    unread: usize,
) -> Vec<ListedEntry> {
    let names = NameText(encoding);
    let document = |ListedRow { path, entry }: &ListedRow| ListedEntry {
        name: names.text(&entry.name),
        kind: entry.kind.as_str(),
        size: entry.size,
        modified: entry.modified.map(moment),
        permissions: entry.mode.map(|mode| format!("{:04o}", mode & 0o7777)),
        target: entry.target.as_ref().map(|target| names.text(target)),
        path: path.as_ref().map(|(path, _)| path.to_string()),
        unread_lines: Some(unread).filter(|unread| *unread > 0),
    };
    rows.iter().map(document).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, kind: EntryKind, size: u64, second: i64) -> ListedRow {
        let time = jiff::Timestamp::from_second(second).unwrap();
        let modified = Some(Modified::Utc(time, Precision::Second));
        let entry = Entry { size: Some(size), modified, ..Entry::new(name.as_bytes(), kind) };
        ListedRow::of(entry)
    }

    const STYLE: RowStyle = RowStyle {
        sort: SortKey::Name,
        is_reversed: false,
        is_long: false,
        is_human: false,
        names_only: true,
    };

    #[test]
    fn rows_are_sorted_by_name_time_or_size() {
        for (sort, is_reversed, wanted) in [
            (SortKey::Name, false, "a\nb\nc\n"),
            (SortKey::Name, true, "c\nb\na\n"),
            (SortKey::Time, false, "c\na\nb\n"),
            (SortKey::Size, false, "b\nc\na\n"),
            (SortKey::Size, true, "a\nc\nb\n"),
        ] {
            let file = EntryKind::File;
            let mut rows = [row("b", file, 30, 10), row("a", file, 5, 20), row("c", file, 7, 30)];
            let style = RowStyle { sort, is_reversed, ..STYLE };
            style.sort(&mut rows);
            assert_eq!(style.text(&rows, NameEncoding::default()), wanted, "{sort:?}");
        }
    }

    #[test]
    fn the_long_form_has_totals_and_the_human_one_units() {
        let rows = [row("a", EntryKind::File, 1536, 0), row("d", EntryKind::Dir, 4096, 0)];
        let style = RowStyle { is_long: true, is_human: true, names_only: false, ..STYLE };
        let text = style.text(&rows, NameEncoding::default());
        assert!(text.contains("1.5 KiB  ") && text.contains("  a\n"), "{text}");
        assert!(text.ends_with("  d/\n1 file, 1 directory, 1.5 KiB\n"), "{text}");
    }
}

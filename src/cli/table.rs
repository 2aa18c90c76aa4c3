//! Tables for display: each column as wide as necessary, the last one not padded. A wide character, such as a Chinese
//! one, counts for two columns, and a combining mark for none.

use std::io::IsTerminal;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Returns the columns of the terminal; `None` if the output is not a terminal.
#[expect(clippy::disallowed_methods, reason = "its size is asked for, nothing is written")]
pub(super) fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Returns the lines of the terminal; `None` if the output is not a terminal.
#[expect(clippy::disallowed_methods, reason = "its size is asked for, nothing is written")]
pub(super) fn height() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_row)).filter(|lines| *lines > 0)
}

/// Returns true if the output is a terminal.
#[expect(clippy::disallowed_methods, reason = "it is only asked, nothing is written")]
pub(super) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// A table that grows row by row.
#[derive(Debug)]
pub(super) struct TextTable {
    rows: Vec<Vec<String>>,
    /// True for each column of numbers, which is aligned to the right.
    is_right: Vec<bool>,
}

impl TextTable {
    /// Returns a table with these headers; those with a leading `>` are aligned to the right.
    pub(super) fn new(heads: &[&str]) -> Self {
        let is_right = heads.iter().map(|head| head.starts_with('>')).collect();
        let heads = heads.iter().map(|head| head.trim_start_matches('>').to_owned()).collect();
        Self { rows: vec![heads], is_right }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Renders the table, one line per row. An empty column is left out.
    pub(super) fn text(&self) -> String {
        self.fitted(None)
    }

    /// Renders the table for a terminal of `width` columns: if a row is too long, its last cell is on a line of its own
    /// below, and is cut if it is still too long.
    pub(super) fn fitted(&self, width: Option<usize>) -> String {
        let widths: Vec<_> = (0..self.is_right.len()).map(|column| self.width(column)).collect();
        let most = width.map_or(usize::MAX, |width| width.max(BELOW.len() + 10));
        let mut text = String::new();
        let mut put = |line: &str| {
            text.push_str(&cut(line.trim_end(), most));
            text.push('\n');
        };
        for row in &self.rows {
            let cells = row.iter().zip(&widths).zip(&self.is_right);
            let cells = cells.filter(|((_, width), _)| **width > 0);
            let mut cells: Vec<_> = cells
                .map(|((cell, width), is_right)| {
                    let padding = " ".repeat(width.saturating_sub(cell.width()));
                    if *is_right { format!("{padding}{cell}") } else { format!("{cell}{padding}") }
                })
                .collect();
            let whole = cells.join("  ");
            if whole.trim_end().width() <= most {
                put(&whole);
                continue;
            }
            let last = cells.pop().unwrap_or_default();
            put(&cells.join("  "));
            put(&format!("{BELOW}{last}"));
        }
        text
    }

    /// Returns the width of a column; 0 if it is empty.
    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().skip(1).filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.width()).max().unwrap_or(0);
        let head = self.rows.first().and_then(|row| row.get(column));
        let head = head.map_or(0, |head| head.width());
        if widest == 0 { 0 } else { widest.max(head) }
    }
}

/// The indent of a cell that is placed below its row.
const BELOW: &str = "     ";

/// Cuts a line to at most `most` columns.
fn cut(line: &str, most: usize) -> String {
    if line.width() <= most {
        return line.to_owned();
    }
    let mut columns = 1;
    let fits = |c: &char| {
        columns += c.width().unwrap_or(0);
        columns <= most
    };
    line.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be_and_empty_ones_are_left_out() {
        let mut table = TextTable::new(&[">run", "job", "way", "note"]);
        table.row(["7", "a", "", "short"].map(str::to_owned));
        table.row(["12", "grüße", "", ""].map(str::to_owned));
        assert_eq!(table.text(), "run  job    note\n  7  a      short\n 12  grüße\n");
        assert_eq!(table.fitted(Some(17)), table.text());
        let below = "run  job    note\n  7  a\n     short\n 12  grüße\n";
        assert_eq!(table.fitted(Some(16)), below);
        table.row(["1", "a", "", "as long as it is wide"].map(str::to_owned));
        assert_eq!(table.fitted(Some(16)), format!("{below}  1  a\n     as long as…\n"));
    }

    #[test]
    fn a_column_is_as_wide_as_its_characters_are_shown() {
        let mut table = TextTable::new(&["job", ">run", "note"]);
        table.row(["報告", "7", "x"].map(str::to_owned));
        table.row(["e\u{301}t", "12", "y"].map(str::to_owned));
        assert_eq!(table.text(), "job   run  note\n報告    7  x\ne\u{301}t     12  y\n");
        assert_eq!(cut("報告報告", 6), "報告…");
        assert_eq!((cut("報告", 4), cut("報告", 3)), ("報告".into(), "報…".into()));
    }
}

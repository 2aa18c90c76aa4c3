//! Tables for people: columns as wide as they must be, and the last as long as it is.

/// The columns of the terminal; nothing where the output is none.
pub(super) fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// A table that grows row by row.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// Whether a column is of numbers, which stand to the right.
    is_right: Vec<bool>,
}

impl Table {
    /// One with these heads; those with `>` before them stand to the right.
    pub(super) fn new(heads: &[&str]) -> Self {
        let is_right = heads.iter().map(|head| head.starts_with('>')).collect();
        let heads = heads.iter().map(|head| head.trim_start_matches('>').to_owned()).collect();
        Self { rows: vec![heads], is_right }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The text as it fits into a terminal of `width` columns: what is too long for its line is cut there, not broken.
    pub(super) fn fitted(&self, width: Option<usize>) -> String {
        let text = self.text();
        let Some(width) = width else { return text };
        let fit = |line: &str| match line.char_indices().nth(width.max(2) - 1) {
            Some((at, last)) if at + last.len_utf8() < line.len() => {
                format!("{}…\n", line.get(..at).unwrap_or(line))
            }
            _ => format!("{line}\n"),
        };
        text.lines().map(fit).collect()
    }

    /// The text, a line a row. A column with nothing in it is left out.
    pub(super) fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().skip(1).filter_map(|row| row.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            let head = self.rows.first().and_then(|row| row.get(column));
            let head = head.map_or(0, |head| head.chars().count());
            if widest == 0 { 0 } else { widest.max(head) }
        };
        let widths: Vec<_> = (0..self.is_right.len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut cells = Vec::new();
            for ((cell, width), is_right) in row.iter().zip(&widths).zip(&self.is_right) {
                match (*width, is_right) {
                    (0, _) => {}
                    (width, true) => cells.push(format!("{cell:>width$}")),
                    (width, false) => cells.push(format!("{cell:<width$}")),
                }
            }
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be_and_empty_ones_are_left_out() {
        let mut table = Table::new(&[">run", "job", "way", "note"]);
        table.row(["7", "a", "", "short"].map(str::to_owned));
        table.row(["12", "grüße", "", ""].map(str::to_owned));
        assert_eq!(table.text(), "run  job    note\n  7  a      short\n 12  grüße\n");
        assert_eq!(table.fitted(None), table.text());
        assert_eq!(table.fitted(Some(17)), table.text());
        assert_eq!(table.fitted(Some(16)), "run  job    note\n  7  a      sho…\n 12  grüße\n");
        assert_eq!(table.fitted(Some(9)), "run  job…\n  7  a  …\n 12  grü…\n");
    }
}

//! A look at the quotes of a table as it is read: the parser of the `csv` crate takes a quote that is never closed for one
//! that ends with the file, and a row then holds all the rest.

use std::io::{self, Read};

use super::CsvOptions;

/// The mark of UTF-8 at the beginning of a file.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The position of a character; both numbers count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QuotePosition {
    pub(super) line: u64,
    pub(super) column: u64,
}

/// The part of a table in which a byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TablePart {
    /// The beginning of a row.
    Row,
    /// The beginning of another field.
    Field,
    /// A field without quotes, or what follows a closing quote.
    Plain,
    /// A line to leave out.
    Comment,
    /// A field between quotes.
    Quoted,
    /// The byte after a quote between quotes, which closes or is the first of two.
    Closing,
}

/// A source of CSV that knows whether a quote is open at its end.
#[derive(Debug)]
pub(super) struct QuoteWatch<R> {
    source: R,
    separator: u8,
    quote: u8,
    comment: Option<u8>,
    part: TablePart,
    /// The number of bytes of the mark that have been skipped; `None` after the first other byte.
    marked: Option<usize>,
    now: QuotePosition,
    opened: QuotePosition,
    is_at_end: bool,
}

impl<R> QuoteWatch<R> {
    pub(super) fn new(source: R, options: &CsvOptions) -> Self {
        let first = QuotePosition { line: 1, column: 1 };
        Self {
            source,
            separator: options.separator,
            quote: options.quote,
            comment: options.comment,
            part: TablePart::Row,
            marked: Some(0),
            now: first,
            opened: first,
            is_at_end: false,
        }
    }

    /// Returns the position of the quote that is open at the end, once that has been reached.
    pub(super) fn unclosed(&self) -> Option<QuotePosition> {
        (self.is_at_end && self.part == TablePart::Quoted).then_some(self.opened)
    }

    fn see(&mut self, byte: u8) {
        if let Some(at) = self.marked {
            if MARK.get(at) == Some(&byte) {
                self.marked = Some(at + 1);
                return;
            }
            self.marked = None;
        }
        self.part = self.after(byte);
        if byte == b'\n' {
            self.now = QuotePosition { line: self.now.line + 1, column: 1 };
        } else if byte & 0xc0 != 0x80 {
            // A character of several bytes is one column.
            self.now.column += 1;
        }
    }

    /// Returns the part that follows `byte`.
    fn after(&mut self, byte: u8) -> TablePart {
        let is_end = matches!(byte, b'\r' | b'\n');
        match self.part {
            TablePart::Row if Some(byte) == self.comment => TablePart::Comment,
            TablePart::Row | TablePart::Field if byte == self.quote => {
                self.opened = self.now;
                TablePart::Quoted
            }
            TablePart::Closing if byte == self.quote => TablePart::Quoted,
            TablePart::Quoted if byte == self.quote => TablePart::Closing,
            TablePart::Quoted => TablePart::Quoted,
            TablePart::Comment if byte != b'\n' => TablePart::Comment,
            TablePart::Comment => TablePart::Row,
            _ if is_end => TablePart::Row,
            _ if byte == self.separator => TablePart::Field,
            _ => TablePart::Plain,
        }
    }
}

impl<R: Read> Read for QuoteWatch<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(room)?;
        self.is_at_end |= count == 0 && !room.is_empty();
        for byte in room.iter().take(count) {
            self.see(*byte);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quote_that_stays_open_is_found() {
        for (text, wanted) in [
            ("a,b\n1,\"x\n2,y\n", Some((2, 3))),
            ("\"a", Some((1, 1))),
            ("\u{feff}\"a", Some((1, 1))),
            ("\"ä\",\"\"\"", Some((1, 5))),
            ("\"a\"\"", Some((1, 1))),
            ("a\r\n\"b", Some((2, 1))),
            ("", None),
            ("\"a\"", None),
            ("\"a\"\"b\"\n", None),
            // A quote inside of a field is text, as is one in a comment.
            ("5\" pipe,1\n", None),
            ("#\"\n1\n", None),
            ("\"a\nb\",c\n", None),
        ] {
            let options = CsvOptions { comment: Some(b'#'), ..CsvOptions::default() };
            let mut watch = QuoteWatch::new(text.as_bytes(), &options);
            io::copy(&mut watch, &mut io::sink()).unwrap();
            let found = watch.unclosed().map(|quote| (quote.line, quote.column));
            assert_eq!(found, wanted, "{text:?}");
        }
    }
}

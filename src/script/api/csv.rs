//! CSV: tables of spreadsheets and databases.

mod quotes;

use std::{
    fs::File,
    io::Read,
    sync::{Arc, Mutex, PoisonError},
};

use csv::{ReaderBuilder, StringRecord, Trim, WriterBuilder};
use rhai::{Array, Dynamic, Map, NativeCallContext, Position, export_module};

use self::quotes::QuoteWatch;
use super::sizes::{fits_array, fits_text};
use crate::{
    error::{Error, Result},
    files::{SourceFile, ops},
    limits::{READ_BYTES_MAX, SCRIPT_STRING_BYTES_MAX},
    option_table::{OptionKind, OptionRow, OptionTable},
    script::{
        options,
        raise::{Raise, RhaiResultOf, raised},
        run::ScriptRun,
        show,
    },
};

/// The maximum number of columns of a table.
const COLUMNS_MAX: usize = 4096;

/// The options of the functions of `csv`.
#[derive(Debug)]
pub struct CsvOptions {
    /// The character between two fields.
    separator: u8,
    /// The character around fields that contain the separator.
    quote: u8,
    /// True if the first row has the names of the columns.
    has_header: bool,
    /// The character with which lines to leave out begin.
    comment: Option<u8>,
    /// True if white space around fields is left out.
    is_trimmed: bool,
    /// The names of the columns to write, in their order.
    columns: Vec<String>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            separator: b',',
            quote: b'"',
            has_header: true,
            comment: None,
            is_trimmed: false,
            columns: Vec::new(),
        }
    }
}

/// Returns the only byte of `text`.
fn byte(text: &str, key: &str) -> Result<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n') => Ok(*byte),
        _ => {
            let message =
                format!("`{key}` wants one ASCII character, such as \";\", got \"{text}\"");
            Err(Error::invalid(message))
        }
    }
}

/// The options of reading.
pub(in crate::script) const CSV_READ: OptionTable<CsvOptions> =
    OptionTable { rows: &[SEPARATOR, QUOTE, HEADER, COMMENT, TRIM], usual: CsvOptions::default };

/// The options of writing.
pub(in crate::script) const CSV_WRITE: OptionTable<CsvOptions> =
    OptionTable { rows: &[SEPARATOR, QUOTE, HEADER, COLUMNS], usual: CsvOptions::default };

const SEPARATOR: OptionRow<CsvOptions> = OptionRow::<CsvOptions>::new(
    "separator",
    OptionKind::Text(|it, text| {
        it.separator = byte(text, "separator")?;
        Ok(())
    }),
    "the character between two fields, such as `\";\"` or `\"\\t\"`",
)
.usual(",");

const QUOTE: OptionRow<CsvOptions> = OptionRow::<CsvOptions>::new(
    "quote",
    OptionKind::Text(|it, text| {
        it.quote = byte(text, "quote")?;
        Ok(())
    }),
    "the character around fields that contain a separator, a quote or the end of a line",
);

const HEADER: OptionRow<CsvOptions> = OptionRow::<CsvOptions>::new(
    "header",
    OptionKind::Flag(|it, flag| it.has_header = flag),
    "the first row has the names of the columns, and rows are maps; without, rows are arrays",
)
.usual("true");

const COMMENT: OptionRow<CsvOptions> = OptionRow::<CsvOptions>::new(
    "comment",
    OptionKind::Text(|it, text| {
        it.comment = Some(byte(text, "comment")?);
        Ok(())
    }),
    "the character with which lines begin that are left out, such as `\"#\"`",
);

const TRIM: OptionRow<CsvOptions> = OptionRow::<CsvOptions>::new(
    "trim",
    OptionKind::Flag(|it, flag| it.is_trimmed = flag),
    "white space around fields is left out",
)
.usual("false");

const COLUMNS: OptionRow<CsvOptions> = OptionRow::<CsvOptions>::new(
    "columns",
    OptionKind::Texts(|it, names| it.columns = names),
    "the columns to write, in this order; by default all keys of the first row, sorted",
);

/// The rows of a table, read one by one.
struct Rows<R> {
    reader: csv::Reader<QuoteWatch<R>>,
    header: Option<StringRecord>,
    record: StringRecord,
}

impl<R: Read> Rows<R> {
    fn new(source: R, options: &CsvOptions) -> Result<Self> {
        let mut reader = ReaderBuilder::new()
            .delimiter(options.separator)
            .quote(options.quote)
            .comment(options.comment)
            .trim(if options.is_trimmed { Trim::All } else { Trim::None })
            .has_headers(false)
            .flexible(true)
            .from_reader(QuoteWatch::new(source, options));
        let mut header = None;
        if options.has_header {
            let mut first = StringRecord::new();
            if read(&mut reader, &mut first)? {
                distinct(&first)?;
                header = Some(first);
            }
        }
        Ok(Self { reader, header, record: StringRecord::new() })
    }

    /// Returns the next row as a map or an array; `None` at the end.
    fn next(&mut self) -> Result<Option<Dynamic>> {
        if !read(&mut self.reader, &mut self.record)? {
            return Ok(None);
        }
        let fields = self.record.iter().map(ToOwned::to_owned);
        let Some(header) = &self.header else {
            return Ok(Some(fields.map(Dynamic::from).collect::<Array>().into()));
        };
        if self.record.len() != header.len() {
            let line = self.record.position().map_or(0, csv::Position::line);
            let message = format!(
                "line {line} has {} fields, and the header has {}: is `separator` right?",
                self.record.len(),
                header.len()
            );
            return Err(Error::invalid(message));
        }
        let entries = header.iter().map(Into::into).zip(fields.map(Dynamic::from));
        Ok(Some(entries.collect::<Map>().into()))
    }
}

/// Reads a row; returns false at the end.
fn read<R: Read>(
    reader: &mut csv::Reader<QuoteWatch<R>>,
    record: &mut StringRecord,
) -> Result<bool> {
    let is_first = reader.position().record() == 0;
    let found = reader.read_record(record).map_err(|error| {
        let text = match error.kind() {
            csv::ErrorKind::Utf8 { pos, .. } => {
                let line = pos.as_ref().map_or(0, csv::Position::line);
                format!("line {line} is not UTF-8 text")
            }
            _ => error.to_string(),
        };
        Error::invalid(format!("it cannot be read as CSV: {text}"))
    })?;
    if let Some(quote) = reader.get_ref().unclosed() {
        let (line, column) = (quote.line, quote.column);
        let message = format!(
            "it cannot be read as CSV: the quote at line {line}, column {column} is never closed"
        );
        return Err(Error::invalid(message));
    }
    if record.len() > COLUMNS_MAX || record.as_slice().len() > SCRIPT_STRING_BYTES_MAX {
        return Err(Error::invalid("a row of the table is too large"));
    }
    // A mark that Excel writes, and that is not part of the first name.
    if is_first && record.get(0).is_some_and(|first| first.starts_with('\u{feff}')) {
        let position = record.position().cloned();
        *record =
            record.iter().map(|field| field.trim_start_matches('\u{feff}').to_owned()).collect();
        record.set_position(position);
    }
    Ok(found)
}

/// Fails if two columns have one name: one would replace the other in a map.
fn distinct(header: &StringRecord) -> Result<()> {
    let mut names: Vec<_> = header.iter().collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => {
            let name = pair.first().copied().unwrap_or_default();
            let message = format!("two columns are called `{name}`: read it with `header: false`");
            Err(Error::invalid(message))
        }
        None => Ok(()),
    }
}

fn all_rows(source: impl Read, options: &CsvOptions) -> Result<Array> {
    let mut rows = Rows::new(source, options)?;
    let mut all = Array::new();
    while let Some(row) = rows.next()? {
        fits_array(all.len(), 1).map_err(|_| {
            Error::invalid("the table has too many rows: `csv::rows` reads one by one")
        })?;
        all.push(row);
    }
    Ok(all)
}

/// Returns rows as text, with a header for rows that are maps.
fn text_of(rows: &Array, options: &CsvOptions) -> Result<String> {
    let columns = match rows.first().and_then(Dynamic::read_lock::<Map>) {
        Some(first) if options.columns.is_empty() => {
            first.keys().map(ToString::to_string).collect()
        }
        _ => options.columns.clone(),
    };
    let mut writer = WriterBuilder::new()
        .delimiter(options.separator)
        .quote(options.quote)
        .flexible(true)
        .from_writer(Vec::new());
    let wrong = |error: csv::Error| Error::invalid(format!("it cannot be written as CSV: {error}"));
    if options.has_header && !columns.is_empty() {
        writer.write_record(&columns).map_err(wrong)?;
    }
    let mut bytes = 0;
    for row in rows {
        let fields = fields(row, &columns)?;
        bytes += fields.iter().map(String::len).sum::<usize>();
        fits_text(bytes, 0).map_err(|_| Error::invalid("the table is too large"))?;
        writer.write_record(&fields).map_err(wrong)?;
    }
    let bytes = writer.into_inner().map_err(|error| Error::invalid(error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| Error::invalid("it is not UTF-8 text"))
}

fn fields(row: &Dynamic, columns: &[String]) -> Result<Vec<String>> {
    if let Some(row) = row.read_lock::<Array>() {
        return Ok(row.iter().map(show::text).collect());
    }
    let Some(row) = row.read_lock::<Map>() else {
        let message = format!("a row is a map or an array, got {}", show::text(row));
        return Err(Error::invalid(message));
    };
    if let Some(other) = row.keys().find(|key| !columns.iter().any(|name| name == key.as_str())) {
        let message =
            format!("a row has the key `{other}`, which is no column: {}", columns.join(", "));
        return Err(Error::invalid(message));
    }
    let text = |name: &String| row.get(name.as_str()).map_or_else(String::new, show::text);
    Ok(columns.iter().map(text).collect())
}

/// The rows of a file, which a `for` loop reads one by one.
#[derive(Clone)]
pub struct CsvRows {
    rows: Arc<Mutex<Rows<File>>>,
    path: String,
}

impl Iterator for CsvRows {
    type Item = RhaiResultOf<Dynamic>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.rows.lock().unwrap_or_else(PoisonError::into_inner).next();
        let raise = |error: Error| raised(error.at(&self.path), Position::NONE);
        next.map_err(raise).transpose()
    }
}

/// CSV: tables as spreadsheets and databases write them (RFC 4180), in UTF-8.
#[export_module]
pub mod functions {
    /// Returns the rows of a table: maps with the names of the first row as keys; all values are strings. Raises `invalid` for
    /// a row with more or fewer fields than the first, and for a quote that is never closed.
    ///
    /// ```rhai
    /// for row in csv::parse("id,name\n7,\"Müller, Ltd\"\n") { print(row.name); }
    /// ```
    #[rhai_fn(return_raw)]
    pub fn parse(ctx: NativeCallContext<'_>, text: &str) -> RhaiResultOf<Array> {
        all_rows(text.as_bytes(), &CsvOptions::default()).or_raise(&ctx)
    }

    /// Returns the rows of a table.
    ///
    /// {options of `csv::parse`}
    ///
    /// ```rhai
    /// let rows = csv::parse("7;Berlin\n8;Bonn\n", #{ separator: ";", header: false });
    /// print(rows[0][1]);
    /// ```
    #[rhai_fn(name = "parse", return_raw)]
    pub fn parse_with(ctx: NativeCallContext<'_>, text: &str, options: Map) -> RhaiResultOf<Array> {
        let options = options::read(&options, "csv::parse", &CSV_READ).or_raise(&ctx)?;
        all_rows(text.as_bytes(), &options).or_raise(&ctx)
    }

    /// Returns the rows of a file of at most 8 MiB; see `csv::rows` for larger ones. Raises `not_found`, and `invalid`.
    ///
    /// ```rhai
    /// let total = csv::read("orders.csv").map(|row| parse_float(row.amount)).sum();
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn read(ctx: NativeCallContext<'_>, path: &str) -> RhaiResultOf<Array> {
        read_with(ctx, path, Map::new())
    }

    /// Returns the rows of a file.
    ///
    /// {options of `csv::read`}
    ///
    /// ```rhai
    /// let rows = csv::read("orders.csv", #{ separator: ";" });
    /// ```
    #[rhai_fn(name = "read", return_raw, volatile)]
    pub fn read_with(ctx: NativeCallContext<'_>, path: &str, options: Map) -> RhaiResultOf<Array> {
        let options = options::read(&options, "csv::read", &CSV_READ).or_raise(&ctx)?;
        let run = ScriptRun::of(&ctx)?;
        let bytes = run.uncounted(|| ops::read(run.readable(path)?, READ_BYTES_MAX));
        let rows = bytes
            .and_then(|bytes| all_rows(bytes.as_slice(), &options).map_err(|error| error.at(path)));
        rows.or_raise(&ctx)
    }

    /// Returns the rows of a file of any size, for a `for` loop that reads them one by one. Raises `not_found`, and `invalid`.
    ///
    /// ```rhai
    /// for row in csv::rows("orders.csv") { if row.status == "open" { print(row.id); } }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn rows(ctx: NativeCallContext<'_>, path: &str) -> RhaiResultOf<CsvRows> {
        rows_with(ctx, path, Map::new())
    }

    /// Returns the rows of a file of any size.
    ///
    /// {options of `csv::rows`}
    ///
    /// ```rhai
    /// for row in csv::rows("orders.tsv", #{ separator: "\t" }) { print(row.id); }
    /// ```
    #[rhai_fn(name = "rows", return_raw, volatile)]
    pub fn rows_with(
        ctx: NativeCallContext<'_>,
        path: &str,
        options: Map,
    ) -> RhaiResultOf<CsvRows> {
        let options = options::read(&options, "csv::rows", &CSV_READ).or_raise(&ctx)?;
        let run = ScriptRun::of(&ctx)?;
        let file = run.readable(path).and_then(SourceFile::open).map(SourceFile::into_file);
        let rows = file.and_then(|file| Rows::new(file, &options).map_err(|error| error.at(path)));
        let rows = rows.or_raise(&ctx)?;
        Ok(CsvRows { rows: Arc::new(Mutex::new(rows)), path: path.to_owned() })
    }

    /// Returns rows as the text of a table: maps with a header of all keys of the first, or arrays. Times are as they
    /// print, `()` is an empty field.
    ///
    /// ```rhai
    /// print(csv::format([#{ id: 7, name: "Müller; Ltd" }]));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn format(ctx: NativeCallContext<'_>, rows: Array) -> RhaiResultOf<String> {
        text_of(&rows, &CsvOptions::default()).or_raise(&ctx)
    }

    /// Returns rows as the text of a table.
    ///
    /// {options of `csv::format`}
    ///
    /// ```rhai
    /// print(csv::format([#{ id: 7, name: "a" }], #{ columns: ["name", "id"], separator: ";" }));
    /// ```
    #[rhai_fn(name = "format", return_raw)]
    pub fn format_with(
        ctx: NativeCallContext<'_>,
        rows: Array,
        options: Map,
    ) -> RhaiResultOf<String> {
        let options = options::read(&options, "csv::format", &CSV_WRITE).or_raise(&ctx)?;
        text_of(&rows, &options).or_raise(&ctx)
    }

    /// Writes rows to a file, replacing its content atomically.
    ///
    /// ```rhai
    /// csv::write("open.csv", csv::read("orders.csv").filter(|row| row.status == "open"));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn write(ctx: NativeCallContext<'_>, path: &str, rows: Array) -> RhaiResultOf<()> {
        write_with(ctx, path, rows, Map::new())
    }

    /// Writes rows to a file.
    ///
    /// {options of `csv::write`}
    ///
    /// ```rhai
    /// csv::write("out.csv", [["a", 1], ["b", 2]], #{ separator: ";" });
    /// ```
    #[rhai_fn(name = "write", return_raw, volatile)]
    pub fn write_with(
        ctx: NativeCallContext<'_>,
        path: &str,
        rows: Array,
        options: Map,
    ) -> RhaiResultOf<()> {
        let options = options::read(&options, "csv::write", &CSV_WRITE).or_raise(&ctx)?;
        let run = ScriptRun::of(&ctx)?;
        let text = text_of(&rows, &options).or_raise(&ctx)?;
        run.uncounted(|| ops::write(run.writable(path)?, text.as_bytes())).or_raise(&ctx)
    }
}

/// Registers the iteration over the rows of a file.
pub(super) fn register(engine: &mut rhai::Engine) {
    engine.register_type_with_name::<CsvRows>("CsvRows");
    engine.register_iterator_result::<CsvRows, Dynamic>();
}

#[cfg(test)]
mod tests;

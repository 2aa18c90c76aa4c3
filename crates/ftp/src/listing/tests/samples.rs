//! Tests of every sample in `tests/data/listing-samples.json`, each as a listing of its own.

use jiff::{Timestamp, civil};
use serde_json::Value;

use super::{super::*, list, now, read, reader};

const SAMPLES: &str = include_str!("../../../../../tests/data/listing-samples.json");

fn samples() -> Vec<Value> {
    serde_json::from_str(SAMPLES).unwrap()
}

fn text<'a>(row: &'a Value, key: &str) -> Option<&'a str> {
    row.get(key).and_then(Value::as_str)
}

/// Returns the word that the samples use for a precision.
fn word(precision: Precision) -> &'static str {
    match precision {
        Precision::Millisecond => "ms",
        Precision::Second => "s",
        Precision::Minute => "min",
        Precision::Day => "day",
    }
}

/// Returns the precision with which the samples write a time.
fn precision(time: &str) -> Precision {
    match time.trim_end_matches('Z').len() {
        10 => Precision::Day,
        16 => Precision::Minute,
        19 => Precision::Second,
        _ => Precision::Millisecond,
    }
}

fn modified(time: &str) -> Modified {
    let exact = precision(time);
    if time.ends_with('Z') {
        return Modified::Utc(time.parse().unwrap(), exact);
    }
    let at = time.parse::<civil::DateTime>().or_else(|_| {
        time.parse::<civil::Date>().map(|date| date.to_datetime(civil::Time::midnight()))
    });
    Modified::Server(at.unwrap(), exact)
}

fn check(listing: &Listing, expect: &Value, line: &str) {
    if let Some(skip) = text(expect, "skip") {
        assert_eq!(listing.entries, [], "{line}");
        assert!(listing.complete, "{line}");
        assert_eq!(listing.vouched, skip == "cdir", "{line}");
        return;
    }
    if let Some(reject) = text(expect, "reject") {
        let why =
            if reject == "unsafe-name" { ParseErrorKind::Name } else { ParseErrorKind::Unread };
        assert_eq!(listing.entries, [], "{line}");
        assert_eq!(listing.refused.iter().map(|r| r.why).collect::<Vec<_>>(), [why], "{line}");
        assert!(!listing.complete && !listing.may_delete(), "{line}");
        return;
    }
    let [entry] = listing.entries.as_slice() else { panic!("{line}: {listing:?}") };
    let is_suspect = text(expect, "type").is_none() || listing.format == ListingFormat::MvsJes;
    assert_eq!(listing.complete, !is_suspect, "{line}");
    assert_eq!(Some(entry.name.as_slice()), text(expect, "name").map(str::as_bytes), "{line}");
    assert_eq!(entry.kind.as_str(), text(expect, "type").unwrap_or("other"), "{line}");
    assert_eq!(entry.size, expect.get("size").and_then(Value::as_u64), "{line}");
    assert_eq!(entry.modified, text(expect, "mtime").map(modified), "{line}");
    assert_eq!(entry.target.as_deref(), text(expect, "target").map(str::as_bytes), "{line}");
    if let Some(precision) = text(expect, "precision") {
        assert_eq!(entry.modified.map(|at| word(at.precision())), Some(precision), "{line}");
    }
    if let Some(mode) = text(expect, "mode") {
        assert_eq!(entry.mode, Some(u32::from_str_radix(mode, 8).unwrap()), "{line}");
    }
    for (key, value) in [("owner", &entry.owner), ("group", &entry.group)] {
        if let Some(wanted) = text(expect, key) {
            assert_eq!(value.as_deref(), Some(wanted.as_bytes()), "{line}");
        }
    }
}

#[test]
fn every_sample_is_read_right_and_its_format_found_out() {
    for row in samples() {
        let (line, format) = (text(&row, "line").unwrap(), text(&row, "format").unwrap());
        let expect = row.get("expect").unwrap();
        let now: Timestamp = text(expect, "now").map_or_else(now, |now| now.parse().unwrap());
        let listing = read(ListingReader::list(), format!("{line}\r\n").as_bytes(), now);
        let is_read = text(expect, "reject") != Some("unparsed");
        assert_eq!(listing.format.as_str(), if is_read { format } else { "unknown" }, "{line}");
        check(&listing, expect, line);
        if format == "mlsd" {
            let listing = read(reader(ListingFormat::Mlsd), format!("{line}\r\n").as_bytes(), now);
            check(&listing, expect, line);
        }
    }
}

#[test]
fn a_listing_of_all_samples_of_one_format_is_read_in_that_format() {
    for format in ListingFormat::LISTED {
        let lines: Vec<_> = samples()
            .iter()
            .filter(|row| text(row, "format") == Some(format.as_str()))
            .map(|row| format!("{}\r\n", text(row, "line").unwrap()))
            .collect();
        assert_eq!(list(lines.concat()).format, format);
        assert!(!lines.is_empty(), "{format:?} has no sample");
    }
}

#[test]
fn a_sample_cut_anywhere_is_never_complete() {
    for row in samples() {
        let line = format!("{}\r\n", text(&row, "line").unwrap());
        let format = text(&row, "format").unwrap();
        for end in 1..line.len() {
            // After a line feed in the middle of an entry the rest is missing from the entry, not from the bytes.
            let cut = &line.as_bytes()[..end];
            let kind = if format == "mlsd" { ListingFormat::Mlsd } else { ListingFormat::Unknown };
            let listing = read(reader(kind), cut, now());
            assert!(!listing.complete, "{:?}", String::from_utf8_lossy(cut));
            assert!(!listing.may_delete());
        }
    }
}

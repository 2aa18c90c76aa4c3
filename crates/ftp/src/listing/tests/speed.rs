//! The speed of the listing parsers: run by hand, in a release build, with `--ignored --nocapture`.

use std::time::{Duration, Instant};

use super::{super::*, now};

/// The lines of one listing: a million would exceed the 64 MiB that a listing may have.
const LINES: usize = 500_000;
/// The number of listings, which together have a million lines.
const LISTINGS: usize = 2;
/// The bytes that arrive at once: the size of a TLS record.
const PIECE_BYTES: usize = 16 * 1024;

/// The constructor of a reader.
type ReaderFactory = fn() -> ListingReader;
/// The format of line `number` of a listing, made from the day of the month and the number.
type LineWriter = fn(usize, usize) -> String;

const ROWS: [(&str, ReaderFactory, LineWriter); 4] = [
    ("mlsd", ListingReader::mlsd, |day, number| {
        format!(
            "type=file;size={number};modify=202602{day:02}142207;UNIX.mode=0644;UNIX.owner=1000;\
             UNIX.group=100;unique=801U{number}; name {number}.csv\r\n"
        )
    }),
    ("unix", ListingReader::list, |day, number| {
        format!(
            "-rw-r--r--   1 anna     staff    {number:8} Mar {day:02} 09:15 name {number}.csv\r\n"
        )
    }),
    ("unix in Russian", ListingReader::list, |day, number| {
        format!(
            "-rw-r--r--   1 anna     staff    {number:8} дек {day:02}  2024 name {number}.csv\r\n"
        )
    }),
    ("dos", ListingReader::list, |day, number| {
        format!("03-{day:02}-26  09:05AM             {number:8} name {number}.csv\r\n")
    }),
];

#[test]
#[ignore = "prints figures and judges none"]
fn a_million_lines_of_the_formats_that_are_most_used() {
    for (format, start, row) in ROWS {
        let text: String = (0..LINES).map(|number| row(number % 28 + 1, number)).collect();
        let mut took = Duration::ZERO;
        for _ in 0..LISTINGS {
            let mut reader = start();
            let started = Instant::now();
            text.as_bytes().chunks(PIECE_BYTES).for_each(|piece| reader.push(piece).unwrap());
            let listing = reader.finish(now()).unwrap();
            took += started.elapsed();
            assert_eq!((listing.entries.len(), listing.complete), (LINES, true));
        }
        let megabytes = text.len() * LISTINGS / 1_000_000;
        println!("{format}: {} lines, {megabytes} MB, {took:?}", LINES * LISTINGS);
    }
}

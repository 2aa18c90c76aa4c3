//! Times of LIST: rules L5 and L9, and S60 of the security catalogue.

use super::{super::*, list, names, read};

/// Returns the time of the only entry as text.
fn time(listing: &Listing) -> String {
    let [entry] = listing.entries.as_slice() else { panic!("{listing:?}") };
    match entry.modified {
        Some(Modified::Utc(at, _)) => at.to_string(),
        Some(Modified::Server(at, _)) => at.to_string(),
        None => "none".into(),
    }
}

#[test]
fn s60_a_year_that_is_not_listed_is_the_last_one_possible() {
    for (now, day, wanted) in [
        ("2026-02-28T12:00:00Z", "Feb 29 10:00", "2024-02-29T10:00:00"),
        ("2024-02-29T12:00:00Z", "Feb 29 10:00", "2024-02-29T10:00:00"),
        ("2024-02-28T12:00:00Z", "Feb 29 10:00", "2024-02-29T10:00:00"),
        ("2024-02-28T09:00:00Z", "Feb 29 10:00", "2020-02-29T10:00:00"),
        ("2026-03-01T00:00:00Z", "Feb 28 23:59", "2026-02-28T23:59:00"),
        ("1904-02-01T00:00:00Z", "Feb 29 10:00", "1896-02-29T10:00:00"),
        ("2025-12-31T23:59:59Z", "Jan  1 00:30", "2026-01-01T00:30:00"),
        ("2025-12-31T23:59:59Z", "Dec 31 23:59", "2025-12-31T23:59:00"),
        ("2026-01-01T00:00:01Z", "Dec 31 23:59", "2025-12-31T23:59:00"),
        ("2026-01-01T00:00:01Z", "Jan  2 00:00", "2026-01-02T00:00:00"),
        ("2026-01-01T00:00:01Z", "Jan  2 00:01", "2025-01-02T00:01:00"),
        ("2026-06-15T12:00:00Z", "Jun 16 12:00", "2026-06-16T12:00:00"),
        ("2026-06-15T12:00:00Z", "Jun 16 14:00", "2025-06-16T14:00:00"),
        ("2026-06-15T12:00:00Z", "Feb 30 10:00", "none"),
        ("2026-06-15T12:00:00Z", "Jun 31  2025", "none"),
        ("2026-06-15T12:00:00Z", "Jun 14 24:00", "none"),
        ("2026-06-15T12:00:00Z", "Jun 14 08:61", "none"),
        ("2026-06-15T12:00:00Z", "Jun  0  2025", "none"),
        ("2026-06-15T12:00:00Z", "Jun  1  0000", "none"),
        ("2026-06-15T12:00:00Z", "Qux 14 08:00", "none"),
    ] {
        let line = format!("-rw-r--r--   1 anna     staff          12 {day} a\r\n");
        let listing = read(ListingReader::list(), line.as_bytes(), now.parse().unwrap());
        assert_eq!((time(&listing).as_str(), listing.complete), (wanted, true), "{now} {day}");
    }
}

#[test]
fn dates_are_read_in_every_order_that_servers_use() {
    for (line, wanted) in [
        ("-rw-r--r-- 1 a b 12 2026-02-11 14:22 x", "2026-02-11T14:22:00"),
        ("-rw-r--r-- 1 a b 12 2026-02-11 14:22:07.5 +0100 x", "2026-02-11T13:22:07.5Z"),
        ("-rw-r--r--. 1 a b 12 2026-02-11 14:22:07 x", "2026-02-11T14:22:07"),
        ("-rw-r--r--@ 1 a b 12 11 févr. 2025 x", "2025-02-11T00:00:00"),
        ("-rw-r--r--+ 1 a b 12  2月 11  2025 x", "2025-02-11T00:00:00"),
        ("-rw-r--r-- 1 a b 12  2月 11日 2025年 x", "2025-02-11T00:00:00"),
        ("-rw-r--r-- 1 a b 12 12월 11 14:22 x", "2025-12-11T14:22:00"),
        ("-rw-r--r-- 1 a b 12 Feb 11 14:22:07 2025 x", "2025-02-11T14:22:07"),
        ("-rw-r--r-- 1 a b 12 Feb 11 14:22:07 x", "unread"),
        ("-rw-r--r-- 1 12 2024 13 Jun 11 2024 x", "2024-06-11T00:00:00"),
        ("2026-03-14  21:05                   12 x", "2026-03-14T21:05:00"),
        ("03/14/2026  12:05 AM  12 x", "2026-03-14T00:05:00"),
        ("03/14/2026  12:05AM  12 x", "2026-03-14T00:05:00"),
        ("03-14-126  12:05PM  12 x", "2026-03-14T12:05:00"),
        ("01-02-68  00:00  12 x", "2068-01-02T00:00:00"),
        ("01-02-69  00:00  12 x", "1969-01-02T00:00:00"),
        ("MEM1  01.04 2024/01/02 2024/05/06 10:11    25    20     0 LEE", "2024-05-06T10:11:00"),
        ("LEE  7 05/06/26 14:22:07 *STMF      x", "none"),
        ("LEE  7 26/02/13 14:22:07 *STMF      x", "none"),
        ("LEE  7 2026-02-13 14:22:07 *STMF      x", "2026-02-13T14:22:07"),
    ] {
        let listing = list(format!("{line}\r\n"));
        if wanted == "unread" {
            assert_eq!(listing.refused_count, 1, "{line}");
        } else {
            assert_eq!((time(&listing).as_str(), listing.complete), (wanted, true), "{line}");
        }
    }
}

#[test]
fn a_clock_before_the_name_is_one_only_if_every_line_has_it() {
    let line =
        |clock: &str, name: &str| format!("-rw-r--r-- 1 a a 12 Jun 14  2026 {clock}{name}\n");
    let listing = list([line("08:30 ", "a"), line("09:30 ", "b")].concat());
    assert_eq!(names(&listing), ["a", "b"]);
    let listing = list([line("08:30 ", "a"), line("", "b")].concat());
    assert_eq!(names(&listing), ["08:30 a", "b"]);
    assert_eq!(listing.entries[0].modified.unwrap().precision(), Precision::Day);
    let listing = list([line("08:30 ", "a"), line("08:30 ", "..")].concat());
    assert_eq!((names(&listing), listing.complete), (vec!["a".into()], false));
    let dots = "drwxr-xr-x 2 a a 12 Jun 14  2026 08:30 .\n";
    let listing = list([dots, &line("08:30 ", "a")].concat());
    assert!(listing.complete && listing.vouched);
}

#[test]
fn mar_is_no_march_in_a_finnish_listing() {
    let line = |month: &str| format!("-rw-r--r-- 1 a a 12 {month} 14  2025 {month}\n");
    let listing = list([line("mar"), line("hel")].concat());
    let known: Vec<_> = listing.entries.iter().map(|entry| entry.modified.is_some()).collect();
    assert_eq!(known, [false, true]);
    assert_eq!(time(&list(line("mar"))), "2025-03-14T00:00:00");
}

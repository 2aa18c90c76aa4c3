//! The rules L1 to L12 and the hostile cases of the security catalogue, in tables.

use super::{super::*, NOW, list, mlsd, names, now};
use portolan_core::{
    error::ErrorKind,
    limits::{ENTRIES_MAX, LISTING_BYTES_MAX, LISTING_LINE_BYTES_MAX, REFUSED_LINES_MAX},
};

const FILE: &str = "-rw-r--r--   1 anna     staff          12 Jun 14 08:00 ";
const DIR: &str = "drwxr-xr-x   2 anna     staff        4096 Jun 14 08:00 ";

/// Returns a Unix listing of `lines`, in which `F` stands for `FILE` and `D` for `DIR`.
fn unix(lines: &[&str]) -> Vec<u8> {
    let whole = |line: &&str| match line.split_at_checked(2) {
        Some(("F ", name)) => format!("{FILE}{name}\r\n"),
        Some(("D ", name)) => format!("{DIR}{name}\r\n"),
        _ => format!("{line}\r\n"),
    };
    lines.iter().map(whole).collect::<String>().into_bytes()
}

#[test]
fn one_format_is_chosen_by_the_lines_it_explains_and_the_others_are_refused() {
    let dos = "03-14-26  09:05AM                   12 c.txt";
    let listing = list(unix(&["total 8", "F a", dos, "F b"]));
    assert_eq!(
        (listing.format, names(&listing)),
        (ListingFormat::Unix, vec!["a".into(), "b".into()])
    );
    assert_eq!(listing.refused, [Refused { line: dos.into(), why: ParseErrorKind::Unread }]);
    assert!(!listing.complete && !listing.may_delete());
    let listing = list(unix(&[dos, dos, "F a"]));
    assert_eq!((listing.format, listing.refused_count), (ListingFormat::Dos, 1));
}

#[test]
fn a_format_found_late_reads_all_that_came_before() {
    let banner = "welcome to the machine\r\n".repeat(200);
    let listing = list(format!("{banner}{FILE}a\r\n{FILE}b\r\n"));
    assert_eq!(
        (listing.format, names(&listing)),
        (ListingFormat::Unix, vec!["a".into(), "b".into()])
    );
    assert_eq!((listing.refused_count, listing.refused.len()), (200, REFUSED_LINES_MAX));
}

#[test]
fn known_noise_leaves_a_listing_complete() {
    for noise in [
        "",
        "   ",
        "total 12",
        "total 4.0K",
        "insgesamt 0",
        "итого 8",
        "合計 4",
        "총 8",
        "D ..",
        "D .",
    ] {
        let listing = list(unix(&[noise, "F a"]));
        assert_eq!((names(&listing), listing.complete), (vec!["a".into()], true), "{noise}");
        assert_eq!(listing.vouched, noise == "D .", "{noise}");
    }
    for line in [b"\x8d\x87\x8cv 4".as_slice(), b"\xb9\xe7\xb7\xd7 4", b"\xe8\xf2\xee\xe3\xee 4"] {
        assert!(list([line, b"\r\n", FILE.as_bytes(), b"a\n"].concat()).complete, "{line:x?}");
    }
}

#[test]
fn a_line_that_is_not_understood_is_no_name_and_leaves_the_listing_incomplete() {
    for line in [
        "word",
        "ls: reading directory .: Input/output error",
        "error 5",
        "./sub:",
        "-rw-r--r--",
        "-rw-r--r--   1 anna     staff          12 Jun 14 08:00",
        "-rw-r--r--   1 anna     staff          12 Jun 14 08:0",
        "-rwxrwxrwxrwx   1 anna     staff          12 Jun 14 08:00 a",
        " -rw-r--r--   1 anna     staff          12 Jun 14 08:00 a",
        "-rw-r--r--   1 anna     staff       many Jun 14 08:00 a",
        "Zrw-r--r--   1 anna     staff          12 Jun 14 08:00 a",
    ] {
        let listing = list(unix(&["F a", line, "F b"]));
        assert_eq!(names(&listing), ["a", "b"], "{line}");
        assert_eq!(
            listing.refused,
            [Refused { line: line.into(), why: ParseErrorKind::Unread }],
            "{line}"
        );
        assert!(!listing.complete && !listing.may_delete(), "{line}");
    }
}

#[test]
fn nothing_at_all_is_no_evidence_of_an_empty_folder() {
    for listing in [list(""), mlsd(""), list("total 0\r\n"), mlsd("type=pdir; /\r\n")] {
        assert!(listing.complete && !listing.vouched && !listing.may_delete(), "{listing:?}");
    }
    for listing in [mlsd("type=cdir; /in\r\n"), list(unix(&["total 0", "D .", "D .."]))] {
        assert!(listing.complete && listing.vouched && listing.may_delete(), "{listing:?}");
    }
}

#[test]
fn a_listing_cut_inside_a_line_is_never_complete() {
    let lines = unix(&["total 8", "D .", "F a name", "lrwxrwxrwx 1 a a 1 Jun 14 08:00 l -> t"]);
    let facts = b"type=cdir; /in\r\ntype=file;size=3; a b\r\ntype=dir; c\r\n".to_vec();
    for (whole, reads) in [(lines, list as fn(Vec<u8>) -> Listing), (facts, mlsd)] {
        for end in 1..=whole.len() {
            let cut = whole[..end].to_vec();
            assert_eq!(reads(cut).complete, whole[end - 1] == b'\n', "{end}");
        }
    }
}

#[test]
fn a_name_is_the_exact_bytes_after_one_space() {
    for name in [
        " leading",
        "trailing ",
        "a  b",
        "~",
        "~root",
        "-rf",
        "*",
        "file:",
        "http:",
        "|cmd",
        ";x",
        "\"",
        "%2e%2e%2fx",
        "...",
        "a\tb",
        "a -> b",
        "Jun 14 08:00 b",
        "\u{202e}txt.exe",
        "\x1b[2J",
        ": x",
    ] {
        let listing = list(unix(&["F 0", &format!("F {name}")]));
        assert_eq!(names(&listing), ["0", name], "{name}");
        assert!(listing.complete, "{name}");
        let listing = mlsd(format!("type=file;size=1; {name}\r\n"));
        assert_eq!((names(&listing), listing.complete), (vec![name.into()], true), "{name}");
    }
    let listing = mlsd(b"type=file; caf\xe9\x9b\n");
    assert_eq!(listing.entries[0].name, b"caf\xe9\x9b");
}

#[test]
fn a_name_that_is_no_component_is_refused() {
    for name in ["../../x", "/etc/x", "a/b", "..", ".", "", "a\0b", "a\rDELE b", "a\r"] {
        for listing in [
            list(unix(&["F 0", &format!("F {name}")])),
            mlsd(format!("type=file; 0\r\ntype=file; {name}\r\n")),
            list(format!("03-14-26  09:05AM  1 0\r\n03-14-26  09:05AM  1 {name}\r\n")),
            list(format!("+r,\t0\r\n+r,\t{name}\r\n")),
        ] {
            assert_eq!(names(&listing), ["0"], "{name:?}");
            assert_eq!((listing.refused_count, listing.refused[0].why), (1, ParseErrorKind::Name));
            assert!(!listing.may_delete(), "{name:?}");
        }
    }
}

#[test]
fn sizes_are_exact_or_unknown_and_those_beyond_measure_are_noted() {
    for (size, wanted, complete) in [
        ("1,234,567", Some(1_234_567), true),
        ("33.5k", None, true),
        ("4G", None, true),
        ("18446744073709551615", Some(u64::MAX), true),
        ("18446744073709551616", None, false),
        ("99999999999999999999999999", None, false),
    ] {
        let listing = list(format!("-rw-r--r--   1 anna     staff  {size} Jun 14 08:00 a\r\n"));
        assert_eq!((listing.entries[0].size, listing.complete), (wanted, complete), "{size}");
    }
    for size in ["99999999999999999999", "", "-1", "3 a", "1,000", "4k"] {
        let listing = mlsd(format!("type=file;size={size}; a\r\n"));
        let refused: Vec<_> = listing.refused.iter().map(|refused| refused.why).collect();
        assert_eq!(
            (listing.entries[0].size, refused),
            (None, vec![ParseErrorKind::Size]),
            "{size}"
        );
    }
}

#[test]
fn the_arrow_of_a_link_is_where_its_size_says() {
    for (size, text, parted) in [
        (11, "current -> releases/42", Some(("current", Some("releases/42")))),
        (6, "a -> b -> target", Some(("a -> b", Some("target")))),
        (11, "a -> b -> target", Some(("a", Some("b -> target")))),
        (0, "a -> target", Some(("a", Some("target")))),
        (0, "a -> b -> target", None),
        (4, "plain", Some(("plain", None))),
    ] {
        let listing = list(format!("lrwxrwxrwx 1 root root {size} Jan  5  2023 {text}\n"));
        let Some((name, target)) = parted else {
            assert_eq!(
                (listing.entries.len(), listing.refused[0].why),
                (0, ParseErrorKind::Link),
                "{text}"
            );
            continue;
        };
        assert_eq!(names(&listing), [name], "{text}");
        assert_eq!(listing.entries[0].target.as_deref(), target.map(str::as_bytes), "{text}");
    }
    for name in ["../x -> b", " -> b", ".. -> x", "a/b -> c"] {
        let listing = list(format!("lrwxrwxrwx 1 root root 1 Jan  5  2023 {name}\n"));
        assert_eq!((listing.entries.len(), listing.refused_count), (0, 1), "{name}");
    }
}

#[test]
fn what_is_no_file_is_other() {
    for letter in ["b", "c", "p", "s", "D"] {
        let line = format!("{letter}rw-rw-rw-   1 root     root      1,   3 Jun 14 08:00 null\n");
        let listing = list(line);
        let entry = &listing.entries[0];
        assert_eq!((entry.kind, entry.size, listing.complete), (EntryKind::Other, None, true));
        assert_eq!(entry.group.as_deref(), Some(&b"root"[..]), "{letter}");
    }
}

#[test]
fn permissions_are_read_with_their_special_bits() {
    for (letters, mode) in [
        ("rw-r--r--", 0o644),
        ("rwxrwxrwx", 0o777),
        ("---------", 0),
        ("rwsr-xr-x", 0o4755),
        ("rwSr-Sr-T", 0o7644),
        ("rwxr-sr-t", 0o3755),
    ] {
        let listing = list(format!("-{letters} 1 a b 12 Jun 14 08:00 x\n"));
        assert_eq!(listing.entries[0].mode, Some(mode), "{letters}");
    }
}

#[test]
fn a_job_queue_is_no_tree() {
    let listing = list("LEEOPS1  JOB04211 LEEOPS   OUTPUT A        RC=0000 4 spool files\n");
    assert!(!listing.format.is_tree() && !listing.complete && !listing.may_delete());
}

#[test]
fn a_trailer_must_count_the_entries_that_came() {
    let entry = "A.TXT;3  12/15  9-FEB-2026 14:22:07  [OPS,LEE]  (RWED,RWED,RE,)\r\n";
    let other = "LONG.TXT;1\r\n      12/15  9-FEB-2026 14:22:07  [OPS,LEE]  (RWED,RWED,RE,)\r\n";
    let old = entry.replace(";3", ";2");
    for (count, complete) in [(3, true), (2, false), (4, false)] {
        let trailer = format!("\r\nTotal of {count} files, 45/60 blocks.\r\n");
        let listing = list(format!("Directory DISK:[OPS]\r\n\r\n{entry}{old}{other}{trailer}"));
        assert_eq!(
            (names(&listing), listing.complete),
            (vec!["A.TXT".into(), "LONG.TXT".into()], complete)
        );
    }
    let listing = list("Total of 1 file, 1/1 blocks.\r\n");
    assert_eq!(listing.refused[0].why, ParseErrorKind::Count);
    let listing = list(format!("LONG.TXT;1\r\n{entry}"));
    assert_eq!((names(&listing), listing.complete), (vec!["A.TXT".into()], false));
}

#[test]
fn facts_are_held_to_their_shape() {
    for (line, taken) in [
        ("type=file;size=3; a", Some(EntryKind::File)),
        ("TYPE=FILE;SIZE=3; a", Some(EntryKind::File)),
        ("type=dir; a", Some(EntryKind::Dir)),
        ("type=OS.unix=slink; a", Some(EntryKind::Link)),
        ("type=OS.unix=blkdev; a", Some(EntryKind::Other)),
        ("type=dir;size=-1; a", Some(EntryKind::Dir)),
        ("type=file;size=3 a", None),
        ("type=file", None),
        ("type; a", None),
        ("=file; a", None),
        ("ty pe=file; a", None),
        ("-rw-r--r-- 1 a b 12 Jun 14 08:00 x", None),
    ] {
        let listing = mlsd(format!("{line}\r\n"));
        let kinds: Vec<_> = listing.entries.iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, taken.into_iter().collect::<Vec<_>>(), "{line}");
        assert_eq!(listing.complete, taken.is_some(), "{line}");
    }
    for line in ["size=3; a", "type=thing; a"] {
        let listing = mlsd(format!("{line}\r\n"));
        assert_eq!(
            (listing.entries[0].kind, listing.refused[0].why),
            (EntryKind::Other, ParseErrorKind::Kind)
        );
    }
}

#[test]
fn facts_of_one_path_take_the_name_that_was_asked_for() {
    let entry =
        parse_mlst(b" type=file;size=3;modify=20260211142207; /a/b/c.txt", b"c.txt").unwrap();
    assert_eq!((entry.name.as_slice(), entry.size), (&b"c.txt"[..], Some(3)));
    assert_eq!(parse_mlst(b"type=cdir; /a/b", b"b").unwrap().kind, EntryKind::Dir);
    for line in ["", " ", "type=file;size=3", "size=3; a", "Listing /a/b"] {
        assert_eq!(parse_mlst(line.as_bytes(), b"a"), None, "{line}");
    }
}

#[test]
fn a_listing_without_end_is_refused_and_stays_refused() {
    let line = vec![b'a'; LISTING_LINE_BYTES_MAX + 1];
    let row = "+r,\ta\n".repeat(1000);
    let noise = vec![b'\n'; LISTING_BYTES_MAX + 1];
    let pieces: [(&[u8], usize); 3] =
        [(&line, 1), (row.as_bytes(), ENTRIES_MAX / 1000 + 1), (&noise, 1)];
    for (piece, times) in pieces {
        let mut reader = ListingReader::list();
        let error = (0..times).find_map(|_| reader.push(piece).err()).expect("a fault");
        assert_eq!(error.kind, ErrorKind::Protocol);
        assert!(reader.push(b"\r\n").is_err());
        assert!(reader.finish(now()).is_err());
    }
    let mut reader = ListingReader::mlsd();
    let error = (0..=LISTING_LINE_BYTES_MAX).find_map(|_| reader.push(b"a").err());
    assert_eq!(
        error.map(|error| error.to_string()).as_deref(),
        Some("a listing with more than 8192 bytes in one line was refused")
    );
}

#[test]
fn the_size_of_the_pieces_makes_no_difference() {
    let whole = unix(&["total 8", "D .", "F a name", "junk", "F ../x", "F b"]);
    let wanted = list(&whole);
    for size in 1..whole.len() {
        let mut reader = ListingReader::list();
        whole.chunks(size).for_each(|piece| reader.push(piece).unwrap());
        assert_eq!(reader.finish(NOW.parse().unwrap()).unwrap(), wanted, "{size}");
    }
}

#[test]
fn only_formats_that_were_seen_live_may_delete() {
    let may: Vec<_> =
        ListingFormat::LISTED.into_iter().filter(|format| format.may_delete()).collect();
    assert_eq!(may, [ListingFormat::Unix, ListingFormat::Dos, ListingFormat::Mlsd]);
}

#[test]
fn names_and_kinds_are_read_in_the_rarer_lines_of_each_format() {
    use EntryKind::{Dir, File, Link, Other};
    for (format, line, name, kind) in [
        (ListingFormat::Dos, "03-14-26  09:05AM       <DIR>          a b", "a b", Dir),
        (ListingFormat::Dos, "03-14-26  09:05AM       <DIR>           a", " a", Dir),
        (ListingFormat::Dos, "03-14-26  09:05AM       <DIR> a", "a", Dir),
        (ListingFormat::Dos, "03-14-26  09:05AM       <SYMLINKD>     a [C:\\b]", "a", Link),
        (ListingFormat::Dos, "03-14-26  09:05AM       <JUNCTION>     a", "a", Link),
        (ListingFormat::Dos, "03-14-26  09:05AM          1,234,567  a", " a", File),
        (
            ListingFormat::Mac,
            "drwxrwxr-x               folder        2 May 10  1996 net work",
            "net work",
            Dir,
        ),
        (ListingFormat::Unix, "-rw-r--r-- 12 Jun 14 08:00 a", "a", File),
        (ListingFormat::Unix, "srwxr-xr-x 1 a b 0 Jun 14 08:00 a", "a", Other),
        (
            ListingFormat::Mvs,
            "Migrated                                                OLD.DATA",
            "OLD.DATA",
            Other,
        ),
        (ListingFormat::Mvs, "WRK01 3390 2026/02/12 1 15 FB 80 27920 PS A.B", "A.B", File),
        (ListingFormat::Os400, "LEE  7 13.02.26 14:22:07 *FILE      A.FILE/", "A.FILE", Dir),
        (ListingFormat::Os400, "LEE  7 13.02.26 14:22:07 *USRSPC    A", "A", Other),
        (ListingFormat::Guardian, "OPEN  101O  7 11-Feb-26 14:22:07 200,17 \"NUNU\"", "OPEN", File),
        (ListingFormat::Os2, "   512      RAH  DIR   07-14-99   12:37  A B", "A B", Dir),
        (ListingFormat::Vxworks, "   512    FEB-11-2026  14:22:06   a b", "a b", File),
        (ListingFormat::Eplf, "+i1.2,m1700000000,/,\t a ", " a ", Dir),
    ] {
        let listing = list(format!("{line}\r\n"));
        let read: Vec<_> = listing.entries.iter().map(|e| (e.name.as_slice(), e.kind)).collect();
        assert_eq!((listing.format, listing.complete), (format, true), "{line}");
        assert_eq!(read, [(name.as_bytes(), kind)], "{line}");
    }
}

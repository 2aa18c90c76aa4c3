//! Lines that are rarer than the samples: several variants of each family, each parsed as a listing of its own.

use super::{super::*, list, mlsd, names};

/// The parts of a line that are compared: name, kind, size and time.
type ReadLine<'a> = (&'a str, EntryKind, Option<u64>, Option<&'a str>);

fn time(entry: &Entry) -> Option<String> {
    entry.modified.map(|modified| match modified {
        Modified::Utc(at, _) => at.to_string(),
        Modified::Server(at, Precision::Day) => at.date().to_string(),
        Modified::Server(at, Precision::Minute) => at.strftime("%Y-%m-%dT%H:%M").to_string(),
        Modified::Server(at, _) => at.to_string(),
    })
}

fn check(format: ListingFormat, rows: &[(&str, ReadLine<'_>)]) {
    for (line, (name, kind, size, at)) in rows {
        let listing = list(format!("{line}\r\n"));
        assert_eq!((listing.format, listing.complete), (format, true), "{line} {listing:?}");
        let [entry] = listing.entries.as_slice() else { panic!("{line}: {listing:?}") };
        let read = (String::from_utf8_lossy(&entry.name).into_owned(), entry.kind, entry.size);
        assert_eq!(read, ((*name).to_owned(), *kind, *size), "{line}");
        assert_eq!(time(entry).as_deref(), *at, "{line}");
    }
}

use EntryKind::{Dir, File, Other};

#[test]
fn dates_are_read_in_every_order() {
    let rows = [
        ("09-26 2000", "2000-09-26"),
        ("04-02 13:45", "2026-04-02T13:45"),
        ("26.09. 2001", "2001-09-26"),
        ("26.09. 13:45", "2025-09-26T13:45"),
        ("07/30 2011", "2011-07-30"),
        ("Oct 08, 2002", "2002-10-08"),
        ("26. Sep 2019", "2019-09-26"),
        ("1999/10/12 17:12", "1999-10-12T17:12"),
        ("2024.02.29 00:01", "2024-02-29T00:01"),
        ("2025-Mar-03 10:00", "2025-03-03T10:00"),
        ("03-Mar-2025 10:00:59", "2025-03-03T10:00:59"),
        ("30-okt-99 23:59", "1999-10-30T23:59"),
        ("Dec-31-2024 01:02", "2024-12-31T01:02"),
        ("14-Jun 2020", "2020-06-14"),
        ("Jun-14 08:30", "2026-06-14T08:30"),
        ("24.12.2021 18:00", "2021-12-24T18:00"),
        ("12/24/2021 18:00", "2021-12-24T18:00"),
        ("2021-12-24", "2021-12-24"),
        ("3 29 03:26", "2026-03-29T03:26"),
        ("12 1 2019", "2019-12-01"),
        ("September 3 2018", "2018-09-03"),
        ("3 january 08:15", "2026-01-03T08:15"),
    ];
    for (date, at) in rows {
        for before in ["-rw-r--r--   1 anna     staff", "-rw-r--r-- 1 1004 1004", "-rw-r--r--"] {
            let line = format!("{before} 731 {date} notes b.txt");
            check(ListingFormat::Unix, &[(&line, ("notes b.txt", File, Some(731), Some(at)))]);
        }
    }
    let with_clock = "-rwxr-xr-x    1 anna staff        9 Oct 08, 2002 09:47 vshell new.txt";
    check(
        ListingFormat::Unix,
        &[(with_clock, ("vshell new.txt", File, Some(9), Some("2002-10-08T09:47")))],
    );
}

#[test]
fn numeric_owners_are_no_dates() {
    for (line, size) in [
        ("-rw-r--r-- 1 3 12 4096 Jun 14 08:00 x", 4096),
        ("-rw-r--r-- 1 3 12 2004 Jun 14 08:00 x", 2004),
        ("-rw-r--r-- 1 5 6 7 3 29 03:26 x", 7),
        ("-rw-r--r-- 12 Jun 14 08:00 x", 12),
        ("-rw-r--r-- 1 1.2.3 10-20 12 Jun 14 08:00 x", 12),
    ] {
        let listing = list(format!("{line}\r\n"));
        assert_eq!(
            (names(&listing), listing.entries[0].size),
            (vec!["x".into()], Some(size)),
            "{line}"
        );
    }
}

#[test]
fn a_date_with_its_day_first_makes_the_others_unknown() {
    let listing = list(
        "05/06/2025  09:05AM       12 a\r\n31/01/2025  09:05AM       13 b\r\n\
         01/02/2025  11:05 PM    <DIR>          c\r\n",
    );
    assert_eq!(names(&listing), ["a", "b", "c"]);
    assert!(listing.complete && listing.entries.iter().all(|entry| entry.modified.is_none()));
}

#[test]
fn windows_lists_folders_and_sizes_in_many_ways() {
    check(
        ListingFormat::Dos,
        &[
            (
                "10-20-25  05:19PM       <DIR>          photos/",
                ("photos", Dir, None, Some("2025-10-20T17:19")),
            ),
            (
                "10/20/2025  05:19 PM    <DIR>          inbox",
                ("inbox", Dir, None, Some("2025-10-20T17:19")),
            ),
            (
                "2025-10-20  17:19    <DIR>    in box",
                ("in box", Dir, None, Some("2025-10-20T17:19")),
            ),
            (
                "20.10.2025  17:19    <REP>          deux",
                ("deux", Dir, None, Some("2025-10-20T17:19")),
            ),
            (
                "10/20/25  12:01 am    1,234,567 a b",
                ("a b", File, Some(1_234_567), Some("2025-10-20T00:01")),
            ),
            (
                "20.10.2025  17:19         1.234.567 c",
                ("c", File, Some(1_234_567), Some("2025-10-20T17:19")),
            ),
            (
                "10-20-25  05:19PM       <OFFLINE>      d",
                ("d", Other, None, Some("2025-10-20T17:19")),
            ),
        ],
    );
    let listing = list("10-20-25  05:19PM       <JUNCTION>     j [D:\\x]\r\n");
    assert_eq!(listing.entries[0].target.as_deref(), Some(&b"D:\\x"[..]));
}

#[test]
fn a_file_of_more_than_a_size_can_say_is_there_all_the_same() {
    for (size, bytes) in [
        ("-1794967296", None),
        ("-1", None),
        ("1'794'967'296", Some(1_794_967_296)),
        ("1.794.967.296", Some(1_794_967_296)),
        ("12.5M", None),
    ] {
        let line = format!("-rw-r--r--   1 anna     staff  {size} Jan 12 10:00 movie.mkv");
        check(
            ListingFormat::Unix,
            &[(&line, ("movie.mkv", File, bytes, Some("2026-01-12T10:00")))],
        );
    }
}

#[test]
fn the_first_letter_may_be_one_that_few_systems_have() {
    for (letter, kind) in [("f", File), ("m", File), ("n", Other), ("a", Other)] {
        let line = format!("{letter}rw-r--r--   1 14       staff      119926 Aug 22  2000 f.zip");
        let size = (kind == File).then_some(119_926);
        check(ListingFormat::Unix, &[(&line, ("f.zip", kind, size, Some("2000-08-22")))]);
    }
    let listing = list("-????????? ? ?    ?        ?            ? stale\r\n");
    assert_eq!((names(&listing), listing.entries[0].kind), (vec!["stale".into()], Other));
    assert_eq!((listing.refused[0].why, listing.complete), (ParseErrorKind::Kind, false));
}

#[test]
fn the_marks_of_ls_go_only_where_every_folder_has_one() {
    let dir = |name: &str| format!("drwxr-xr-x   2 u g 4096 Jan 02  2025 {name}\r\n");
    let program = |name: &str| format!("-rwxr-xr-x   1 u g 12 Jan 02  2025 {name}\r\n");
    let plain = |name: &str| format!("-rw-r--r--   1 u g 12 Jan 02  2025 {name}\r\n");
    let socket = "srwxr-xr-x   1 u g 0 Jan 02  2025 s=\r\nlrwxrwxrwx 1 u g 4 Jan 02  2025 l@\r\n";
    let listing = list(
        [dir("./"), dir("../"), dir("a b/"), program("run*"), plain("x*"), socket.into()].concat(),
    );
    assert_eq!(names(&listing), ["a b", "run", "x*", "s", "l"]);
    assert!(listing.complete && listing.vouched);
    // `ls -p` marks directories only.
    let listing = list([dir("d/"), program("run*"), program("stop")].concat());
    assert_eq!(
        (names(&listing), listing.complete),
        (vec!["d".into(), "run*".into(), "stop".into()], true)
    );
    // Without a directory there is no evidence that marks are used.
    assert_eq!(names(&list([program("run*"), plain("l@")].concat())), ["run*", "l@"]);
    let listing = list([dir("d/"), dir("e"), program("run*")].concat());
    assert_eq!((names(&listing), listing.complete), (vec!["e".into(), "run*".into()], false));
    for name in ["a/b/", "//", ".././"] {
        let listing = list([dir("d/"), dir(name)].concat());
        assert_eq!((names(&listing), listing.complete), (vec!["d".into()], false), "{name}");
    }
}

#[test]
fn netware_lists_rights_with_and_without_a_space() {
    check(
        ListingFormat::Netware,
        &[
            (
                "d[RWCEAFMS] ADMIN_OPS                   512 May 02 07:41 PUBLIC2",
                ("PUBLIC2", Dir, None, Some("2026-05-02T07:41")),
            ),
            (
                "-[R----F--] rhesus             214059       Oct 20 15:27    cx.exe",
                ("cx.exe", File, Some(214_059), Some("2025-10-20T15:27")),
            ),
            (
                "d [R----F--] supervisor            512       Jan 16 2019    log in",
                ("log in", Dir, None, Some("2019-01-16")),
            ),
            ("- [-W------] a.b 0 Feb 29  2024 n", ("n", File, Some(0), Some("2024-02-29"))),
        ],
    );
}

#[test]
fn mainframes_list_data_sets_of_every_kind() {
    check(
        ListingFormat::Mvs,
        &[
            (
                "WYOSPT 3390   2023/05/21  1+++++  FB      80 27920  PS  BIG.FILE",
                ("BIG.FILE", File, None, None),
            ),
            (
                "TSO005 3390   2005/06/06 213000  U        0 27998  PO  LOAD.LIB",
                ("LOAD.LIB", Dir, None, None),
            ),
            (
                "TSO005 3390   2005/12/16 309200  VB      80 27000  PS-E WIDE",
                ("WIDE", File, None, None),
            ),
            (
                "NRP004 3390   **NONE**    1   15  NONE     0     0  PO  'VIO.TESTING'",
                ("'VIO.TESTING'", Dir, None, None),
            ),
            (
                "                                            GDG  PAY.GDG",
                ("PAY.GDG", Other, None, None),
            ),
            (
                "TSO004 3390                       VSAM    FOO.BAR.CLUSTER",
                ("FOO.BAR.CLUSTER", Other, None, None),
            ),
            ("                                   VSAM  A.B", ("A.B", Other, None, None)),
            (
                "WPTA01 3290   ????????  ?    ?  ?        ?     ?  PS  ODD",
                ("ODD", File, None, None),
            ),
            (
                "MIGRAT                                       OLD.ONE",
                ("OLD.ONE", Other, None, None),
            ),
            ("Pseudo Directory                              HLQ", ("HLQ", Dir, None, None)),
            (
                "V43525 Tape                                   TAPE.SET",
                ("TAPE.SET", Other, None, None),
            ),
        ],
    );
    let listing = list(
        " Name     VV.MM   Created       Changed      Size  Init   Mod   Id\r\nALPHA     01.04 2024/01/02 2024/05/06 10:11    25    20     0 LEE\r\nBETA\r\n$X1\r\n",
    );
    assert_eq!(
        (listing.format, names(&listing)),
        (ListingFormat::MvsMember, vec!["ALPHA".into(), "BETA".into(), "$X1".into()])
    );
    assert!(listing.complete);
    assert_eq!(list("BETA\r\n$X1\r\n").entries, []);
    for job in [
        "JOBNAME  JOBID    OWNER    STATUS CLASS\r\nLEEOPS1  STC04211 LEEOPS   ACTIVE A\r\n",
        "LEEOPS1  JOB04211  OUTPUT    3 Spool Files\r\n--------\r\n",
    ] {
        let listing = list(job);
        assert_eq!((listing.format, listing.entries.len()), (ListingFormat::MvsJes, 1), "{job}");
        assert!(!listing.may_delete());
    }
}

#[test]
fn vms_parts_lines_and_leaves_columns_out() {
    for (text, name, kind, at) in [
        (
            "LEDGER.DAT;1\r\n\t\t12/15\t9-FEB-2026 14:22:07\t[OPS,LEE]\t(RWED,RWED,RE,)",
            "LEDGER.DAT",
            File,
            Some("2026-02-09T14:22:07"),
        ),
        (
            "LONG_NAME.TXT;12\r\n170774/170775     24-APR-2003 08:16:15  [OPS,LEE]      (RWED,RWED,RE,)",
            "LONG_NAME.TXT",
            File,
            Some("2003-04-24T08:16:15"),
        ),
        (
            "notime.txt;1 2/8 7-JAN-2000 [IV2_DOC] (RWED,RWED,RE,)",
            "notime.txt",
            File,
            Some("2000-01-07"),
        ),
        ("bare.txt;1 155 2-JUL-2003 10:30:13.64", "bare.txt", File, Some("2003-07-02T10:30:13.64")),
        (
            "dir.DIR;1\t1\t19-NOV-2001 21:41\t[root,root]\t(RWE,RWE,RE,RE)",
            "dir",
            Dir,
            Some("2001-11-19T21:41"),
        ),
        ("rights.txt;3 (RWED,RWED,RE,)", "rights.txt", File, None),
        ("typeless;3 1/3 19-NOV-2001 21:41 [A]", "typeless", File, Some("2001-11-19T21:41")),
    ] {
        let listing = list(format!("{text}\r\n"));
        assert_eq!(
            (listing.format, names(&listing)),
            (ListingFormat::Vms, vec![name.into()]),
            "{text}"
        );
        assert_eq!((listing.complete, listing.entries[0].kind), (true, kind), "{text}");
        assert_eq!(time(&listing.entries[0]).as_deref(), at, "{text}");
    }
}

#[test]
fn the_rarest_servers_are_read_too() {
    check(
        ListingFormat::Nortel,
        &[
            (
                "image.exe       1014196  06/03/04  Thur.   10:20:03",
                ("image.exe", File, Some(1_014_196), Some("2004-06-03T10:20:03")),
            ),
            ("a 0 12/31/99 Fri. 00:00:00", ("a", File, Some(0), Some("1999-12-31T00:00:00"))),
            (
                "LOG.TXT  12  01/02/26  Friday  23:59:59",
                ("LOG.TXT", File, Some(12), Some("2026-01-02T23:59:59")),
            ),
        ],
    );
    check(
        ListingFormat::Mpe,
        &[
            (
                "ABCDEF    PROG     128W  FB          12         12   1       16  1  1",
                ("ABCDEF", File, None, None),
            ),
            (
                "README              80B  FA          25         25   1       16  1  1",
                ("README", File, None, None),
            ),
            (
                "OPEN*     EDTCT     80B  FA          25         25   1       16  1  *",
                ("OPEN", File, None, None),
            ),
        ],
    );
    check(ListingFormat::Os400, &[("QSYSOPR  *MEM  CUST.MBR", ("CUST.MBR", File, None, None))]);
}

#[test]
fn lines_may_end_in_two_carriage_returns() {
    let line = "-rw-r--r--   1 anna     staff  12 Jan 12 10:00 ";
    let listing = list(format!("total 2\r\r\n{line}a b\r\r\n{line}c\r\r\n"));
    assert_eq!((names(&listing), listing.complete), (vec!["a b".into(), "c".into()], true));
    let listing = mlsd("type=cdir; /\r\r\ntype=file;size=1; x\r\r\n\r\r\n");
    assert_eq!((names(&listing), listing.complete), (vec!["x".into()], true));
}

#[test]
fn facts_may_be_missing_or_wrong_and_the_entry_is_there() {
    for (line, name, kind, size, complete) in [
        ("type=file;size=5;a.txt", "a.txt", File, Some(5), true),
        ("Type=File;Size=5;Modify=garbage; a.txt", "a.txt", File, Some(5), true),
        ("type=file;perm;size=5;; a.txt", "a.txt", File, Some(5), true),
        ("type=thing;size=5; a.txt", "a.txt", Other, None, false),
        ("size=5;modify=20260211142207; a.txt", "a.txt", Other, None, false),
        ("type=file;size=five; a.txt", "a.txt", File, None, false),
        ("type=dir;size=-1;modify=20260211142207.5; a.txt", "a.txt", Dir, None, true),
    ] {
        let listing = mlsd(format!("{line}\r\n"));
        let read: Vec<_> = listing.entries.iter().map(|e| (e.kind, e.size)).collect();
        assert_eq!((names(&listing), read), (vec![name.into()], vec![(kind, size)]), "{line}");
        assert_eq!(listing.complete, complete, "{line}");
    }
    for line in ["type=file;size=5;a;b.txt", "type=file;", "type=file;size=5;x=y", "perm;a"] {
        assert_eq!(mlsd(format!("{line}\r\n")).refused[0].why, ParseErrorKind::Unread, "{line}");
    }
}

#[test]
fn a_whole_path_is_a_name_only_in_its_own_folder() {
    let read = |folder: &str, lines: &str| {
        let folder = crate::path::RemotePath::parse(folder).unwrap();
        let mut reader = ListingReader::mlsd().of(&folder);
        reader.push(lines.as_bytes()).unwrap();
        reader.finish(super::now()).unwrap()
    };
    for (folder, line, name) in [
        ("/d", "type=file;size=5; /d/a b.txt", Some("a b.txt")),
        ("/", "type=file;size=5; /a.txt", Some("a.txt")),
        ("/d/e", "type=dir; /d/e/f/", Some("f")),
        ("/d", "type=cdir; /home/d\r\ntype=file; /home/d/a", Some("a")),
        ("/d", "type=file;size=5; /e/a.txt", None),
        ("/d", "type=file;size=5; /d/e/a.txt", None),
        ("/d", "type=file;size=5; /d/..", None),
        ("/d", "type=file;size=5; /d/", None),
        ("/d", "type=file;size=5; d/a.txt", None),
    ] {
        let listing = read(folder, &format!("{line}\r\n"));
        let wanted: Vec<String> = name.into_iter().map(Into::into).collect();
        assert_eq!(
            (names(&listing), listing.complete),
            (wanted, name.is_some()),
            "{folder} {line}"
        );
    }
}

#[test]
fn names_alone_are_read_with_and_without_their_folder() {
    let mut reader = ListingReader::names();
    reader.push(b"a b\r\n./c\r\n/d/e\r\nf/\r\n.\r\n../x\r\ng/h\r\n").unwrap();
    let listing = reader.finish(super::now()).unwrap();
    assert_eq!(names(&listing), ["a b", "c", "e", "f"]);
    assert_eq!((listing.refused_count, listing.may_delete()), (2, false));
}

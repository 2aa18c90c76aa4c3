//! Properties that hold for every input.

use proptest::prelude::*;

use super::{
    super::{ls_time::Hints, *},
    list, mlsd, now, read,
};

/// The pieces that lines are made of, so that generated ones come close to real ones.
const PIECES: &[&[u8]] = &[
    b"-rw-r--r--",
    b"lrwxrwxrwx",
    b"1",
    b"12",
    b"99999999999999999999",
    b"Jun",
    b"2\xe6\x9c\x88",
    b"14",
    b"08:00",
    b"2026",
    b"2026-02-11",
    b"03-14-26",
    b"<DIR>",
    b" -> ",
    b"type=",
    b"file",
    b"size=",
    b";",
    b"; ",
    b"modify=",
    b"20260211142207",
    b"+",
    b"r,",
    b"\t",
    b"[RWCEAFMS]",
    b"A.TXT;3",
    b"12/15",
    b"9-FEB-2026",
    b"*STMF",
    b"JOB04211",
    b"OUTPUT",
    b"/",
    b"..",
    b".",
    b" ",
    b"  ",
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b"%RMS",
    b"Total of ",
    b"files",
    b"d",
    b"-C--E-----FTP",
    b"A",
    b"\"N\"",
    b"folder",
    b"0003A8",
    b"FEB-11-2026",
    b"09-26",
    b"2025-Mar-03",
    b"drwxr-xr-x",
    b"photos/",
    b"./",
    b"[R----F--]",
    b"-1794967296",
    b"1.234.567",
    b"PS",
    b"GDG",
    b"Thur.",
    b"/d/a",
    b"\r\r\n",
    b"-?????????",
    b"?",
    b"80B",
];

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::sample::select(PIECES).prop_map(<[u8]>::to_vec),
        4 => Just(b" ".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..60).prop_map(|pieces| pieces.concat())
}

/// Generates a name that a server may have.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_map(|byte| match byte {
        0 | b'/' | b'\r' | b'\n' => b' ',
        _ => byte,
    });
    prop::collection::vec(byte, 1..40)
        .prop_filter("no dots alone", |name| !matches!(name.as_slice(), b"." | b".."))
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic_or_name_what_is_no_component(bytes in bytes()) {
        let folder = crate::path::RemotePath::parse("/d").unwrap();
        let placed = read(ListingReader::mlsd().of(&folder), &bytes, now());
        let named = read(ListingReader::names(), &bytes, now());
        for listing in [list(&bytes), mlsd(&bytes), placed, named] {
            for entry in &listing.entries {
                prop_assert!(crate::path::component(&entry.name).is_ok());
            }
            prop_assert!(!listing.complete || bytes.is_empty() || bytes.ends_with(b"\n"));
        }
        for format in ListingFormat::LISTED {
            for line in bytes.split(|byte| *byte == b'\n') {
                drop(format.read(line, &mut Hints::default()));
            }
        }
        drop((parse_mlst(&bytes, b"a"), parse_time_val(&bytes)));
    }

    #[test]
    fn facts_that_we_print_are_read_back(
        name in name(),
        size in any::<u64>(),
        seconds in 0_i64..4_000_000_000,
        mode in 0_u32..0o10000,
        is_dir in any::<bool>(),
    ) {
        let at = jiff::Timestamp::from_second(seconds).unwrap();
        let kind = if is_dir { EntryKind::Dir } else { EntryKind::File };
        let word = kind.as_str();
        let time = time_val(at).unwrap();
        let mut line =
            format!("modify={time};type={word};size={size};UNIX.mode={mode:04o}; ").into_bytes();
        line.extend_from_slice(&name);
        line.extend_from_slice(b"\r\n");
        let listing = mlsd(&line);
        prop_assert!(listing.complete);
        prop_assert_eq!(&listing.entries, &[Entry {
            size: (!is_dir).then_some(size),
            modified: Some(Modified::Utc(at, Precision::Second)),
            mode: Some(mode),
            ..Entry::new(&name, kind)
        }]);
    }

    #[test]
    fn lines_of_ls_that_we_print_are_read_back(
        name in name(),
        size in any::<u64>(),
        minutes in 0_i64..500_000,
        has_year in any::<bool>(),
        owner in "[a-z]{1,8}",
        group in "[a-z]{1,8}( [a-z]{2,8})?",
    ) {
        // One line without a time of day before its name shows that no name begins with one.
        let at = now() - jiff::SignedDuration::from_mins(minutes);
        let at = at.to_zoned(jiff::tz::TimeZone::UTC).datetime();
        let (form, precision) = if has_year {
            ("%b %e  %Y", Precision::Day)
        } else {
            ("%b %e %H:%M", Precision::Minute)
        };
        let day = at.strftime(form);
        let mut text =
            format!("-rw-r--r-- 1 a a 1 Jun 14 08:00 x\n-rw-r-x--- 1 {owner} {group} {size} {day} ")
                .into_bytes();
        text.extend_from_slice(&name);
        text.push(b'\n');
        let listing = read(ListingReader::list(), &text, now());
        let at = if has_year { at.date().to_datetime(jiff::civil::Time::midnight()) } else { at };
        prop_assert_eq!(listing.entries.get(1), Some(&Entry {
            size: Some(size),
            modified: Some(Modified::Server(at, precision)),
            mode: Some(0o650),
            owner: Some(owner.into_bytes()),
            group: Some(group.into_bytes()),
            ..Entry::new(&name, EntryKind::File)
        }));
        prop_assert!(listing.complete);
    }
}

#[test]
fn lines_made_to_be_slow_are_read_in_linear_time() {
    for seed in [
        "1 ",
        "a=b;",
        "; ",
        " -> ",
        "12 Jun 14 ",
        "1,",
        "\t",
        "12:",
        ";=",
        "99",
        "[",
        "A;1",
        "1 x 14 ",
        "é",
        "+,",
    ] {
        for start in ["", "-rw-r--r-- ", "lrwxrwxrwx 1 a a 1 Jun 14 08:00 ", "type=file;", "+"] {
            let mut line = start.to_owned();
            while line.len() + seed.len() < portolan_core::limits::LISTING_LINE_BYTES_MAX - 1 {
                line.push_str(seed);
            }
            line.push('\n');
            // Quadratic work would take minutes here.
            let text = line.repeat(4);
            drop((list(&text), mlsd(&text)));
        }
    }
}

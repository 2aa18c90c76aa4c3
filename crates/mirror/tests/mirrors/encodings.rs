//! Servers whose names are in another encoding than the local ones.

use super::{MirrorFixture, age, deleting, fs, write};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use portolan_core::error::ErrorKind;
use portolan_mirror::{MirrorOptions, StateIn};
use portolan_remote::path::NameEncoding;

/// Returns a bench whose server's names are in Latin-1.
fn bench(plans: &[&str]) -> MirrorFixture {
    let mut bench = MirrorFixture::new(plans).remembering();
    bench.site.encoding = NameEncoding::Latin1;
    bench
}

#[tokio::test]
async fn names_are_latin_1_there_and_utf_8_here_in_both_directions() {
    let names: [(&str, &[u8]); 4] = [
        ("caf\u{e9}.txt", b"caf\xe9.txt"),
        ("\u{dc}bung/\u{a3}5 \u{fc}", b"\xdcbung/\xa35 \xfc"),
        ("plain", b"plain"),
        ("\u{c3}\u{a9}", b"\xc3\xa9"),
    ];
    for plans in [&[][..], &["no-mlsd", "no-mlst", "no-mfmt"]] {
        for rules in [
            deleting(),
            MirrorOptions { staged: true, ..deleting() },
            MirrorOptions {
                state: StateIn::Remote,
                trash: Some("tr\u{e4}sh".into()),
                ..deleting()
            },
        ] {
            let up = bench(plans);
            for (here, _) in names {
                write(&up.here(), here, here);
            }
            write(&up.there(), b"gone-\xe9", "gone");
            let report = up.up(&rules).await.unwrap();
            // The first run with a state on the server deletes nothing, whatever it finds.
            let gone = u64::from(rules.state == StateIn::Local);
            let did = (report.uploaded, report.deleted, report.failed);
            assert_eq!(did, (4, gone, 0), "{:?}", report.errors);
            for (here, there) in names {
                let path = up.there().join(OsStr::from_bytes(there));
                assert_eq!(fs::read(path).unwrap(), here.as_bytes());
            }
            let report = up.up(&rules).await.unwrap();
            assert_eq!(
                (report.uploaded, report.deleted, report.failed),
                (0, 1 - gone, 0),
                "{:?}",
                report.plan
            );

            let down = bench(plans);
            for (here, there) in names {
                write(&down.there(), there, here);
            }
            write(&down.here(), "gone-\u{e9}", "gone");
            let rules = MirrorOptions { state: StateIn::Local, ..rules };
            let report = down.down(&rules).await.unwrap();
            assert_eq!(
                (report.downloaded, report.deleted, report.failed),
                (4, 1, 0),
                "{:?}",
                report.errors
            );
            for (here, _) in names {
                assert_eq!(fs::read(down.here().join(here)).unwrap(), here.as_bytes());
            }
            assert_eq!(down.down(&rules).await.unwrap().downloaded, 0);
        }
    }
}

#[tokio::test]
async fn a_name_that_is_not_in_latin_1_is_refused_by_name_and_the_rest_goes() {
    let bench = bench(&[]);
    for name in ["a", "\u{65e5}\u{672c}/x", "5\u{20ac}", "\u{e9}"] {
        write(&bench.here(), name, name);
    }
    write(&bench.here(), b"raw-\xe9", "x");
    let report = bench.up(&deleting()).await.unwrap();
    assert_eq!((report.uploaded, report.failed), (2, 3), "{:?}", report.errors);
    assert!(
        report.errors.iter().all(|fault| fault.kind == ErrorKind::Refused),
        "{:?}",
        report.errors
    );
    assert!(report.errors.iter().any(|fault| fault.path.as_deref() == Some("5\u{20ac}")));
    // In a target it is left alone, and nothing fails for it.
    age(&bench.here().join("a"), 7200);
    let report = bench.down(&deleting()).await.unwrap();
    assert_eq!((report.deleted, report.failed), (0, 0), "{:?}", report.errors);
    assert!(bench.here().join("5\u{20ac}").exists());
}

#[tokio::test]
async fn names_in_other_encodings_are_equal_on_both_sides_and_come_back() {
    for (label, here, there) in [
        (
            "windows-1251",
            "\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}/\u{44f}.txt",
            &b"\xcf\xf0\xe8\xe2\xe5\xf2/\xff.txt"[..],
        ),
        ("shift_jis", "\u{8868}\u{65e5}/\u{30bd}.csv", b"\x95\x5c\x93\xfa/\x83\x5c.csv"),
        ("gbk", "\u{6587}\u{4ef6}/\u{4e2d}", b"\xce\xc4\xbc\xfe/\xd6\xd0"),
        ("big5", "\u{6a94}", b"\xc0\xc9"),
    ] {
        for plans in [&[][..], &["no-mlsd", "no-mlst", "no-mfmt"]] {
            let mut up = MirrorFixture::new(plans).remembering();
            up.site.encoding = NameEncoding::parse(label).unwrap();
            write(&up.here(), here, label);
            write(&up.here(), "plain", label);
            let report = up.up(&deleting()).await.unwrap();
            assert_eq!((report.uploaded, report.failed), (2, 0), "{label}: {:?}", report.errors);
            let path = up.there().join(OsStr::from_bytes(there));
            assert_eq!(fs::read(path).unwrap(), label.as_bytes());
            let report = up.up(&deleting()).await.unwrap();
            assert_eq!((report.uploaded, report.deleted), (0, 0), "{label}: {:?}", report.plan);

            let mut down = MirrorFixture::new(plans).remembering();
            down.site.encoding = NameEncoding::parse(label).unwrap();
            write(&down.there(), there, label);
            write(&down.here(), "gone", label);
            let report = down.down(&deleting()).await.unwrap();
            assert_eq!((report.downloaded, report.deleted), (1, 1), "{label}: {:?}", report.errors);
            assert_eq!(fs::read(down.here().join(here)).unwrap(), label.as_bytes());
            assert_eq!(down.down(&deleting()).await.unwrap().downloaded, 0, "{label}");
        }
    }
}

#[tokio::test]
async fn a_name_of_the_server_that_is_not_in_its_encoding_is_refused_and_kept() {
    let mut bench = MirrorFixture::new(&[]).remembering();
    bench.site.encoding = NameEncoding::parse("gbk").unwrap();
    write(&bench.there(), b"a\xff", "there");
    write(&bench.there(), "b", "there");
    let report = bench.down(&deleting()).await.unwrap();
    assert_eq!((report.downloaded, report.failed), (1, 1), "{:?}", report.errors);
    assert!(report.errors.iter().all(|fault| fault.message.contains("GBK")), "{:?}", report.errors);
    // In a target it is left alone.
    age(&bench.there().join("b"), 7200);
    let report = bench.up(&deleting()).await.unwrap();
    assert_eq!((report.deleted, report.failed), (0, 0), "{:?}", report.errors);
    assert!(bench.there().join(OsStr::from_bytes(b"a\xff")).exists());
}

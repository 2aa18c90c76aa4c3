//! Servers whose names are in another encoding than the local ones.

use super::{MirrorFixture, age, deleting, fs, write};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use portolan_core::error::ErrorKind;
use portolan_mirror::{MirrorOptions, StateIn};

/// Returns a bench whose server's names are in Latin-1.
fn bench(plans: &[&str]) -> MirrorFixture {
    let mut bench = MirrorFixture::new(plans).remembering();
    bench.site.latin1 = true;
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

//! Files that change while they are sent (S62).

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{MirrorFixture, MirrorOptions, fs, remote, write};
use portolan_core::observe::{Event, EventEmitter, Sink};
use portolan_ftp::session::{RunContext, Session};
use portolan_mirror as mirror;

/// More than is sent at once.
const BYTES: usize = 500_000;

/// A change made to a file.
type Meddling = fn(&Path);

/// A sink that changes a file when its first bytes have been sent.
struct Meddler {
    path: PathBuf,
    meddle: Mutex<Option<Meddling>>,
}

impl Meddler {
    fn meddle(&self) -> MutexGuard<'_, Option<Meddling>> {
        self.meddle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Meddler {
    fn event(&self, event: &Event) {
        if let Event::Moved { .. } = event
            && let Some(meddle) = self.meddle().take()
        {
            meddle(&self.path);
        }
    }
}

fn bytes(of: u8) -> Vec<u8> {
    (0..BYTES).map(|at| of.wrapping_add(u8::try_from(at % 251).unwrap())).collect()
}

#[tokio::test]
async fn s62_a_file_that_changes_while_it_is_sent_never_arrives_mixed() {
    let cases: [(&str, Meddling); 5] = [
        ("it shrinks", |path| {
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(300_000).unwrap();
        }),
        ("it grows", |path| {
            use std::io::Write;
            let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(b"more").unwrap();
        }),
        ("it vanishes", |path| fs::remove_file(path).unwrap()),
        ("another takes its place", |path| {
            let other = path.with_extension("new");
            fs::write(&other, bytes(7)).unwrap();
            fs::rename(other, path).unwrap();
        }),
        ("it is written to", |path| fs::write(path, bytes(9)).unwrap()),
    ];
    for (what, meddle) in cases {
        for retries in [0, 2] {
            let about = format!("{what}, {retries} retries");
            let bench = MirrorFixture::new(&[]);
            write(&bench.here(), "a", bytes(1));
            write(&bench.there(), "a", "old bytes");
            let sink: Box<dyn Sink> = Box::new(Meddler {
                path: bench.here().join("a"),
                meddle: Mutex::new(Some(meddle)),
            });
            let observer = EventEmitter::new(vec![sink]);
            let context = RunContext { observer, ..RunContext::default() };
            let mut session = Session::open(bench.site.clone(), context).await.unwrap();
            let rules = MirrorOptions { retries, ..MirrorOptions::default() };
            let report =
                mirror::up(&mut session, None, &bench.here(), &remote("/in"), &rules, false)
                    .await
                    .unwrap();
            let found = fs::read(bench.there().join("a")).unwrap();
            let now = fs::read(bench.here().join("a")).ok();
            if report.uploaded == 1 {
                assert!(now.as_deref() == Some(&found[..]), "{about}: not what is here now");
            } else {
                assert_eq!((report.failed, &found[..]), (1, &b"old bytes"[..]), "{about}");
            }
            assert_eq!(fs::read_dir(bench.there()).unwrap().count(), 1, "{about}");
        }
    }
}

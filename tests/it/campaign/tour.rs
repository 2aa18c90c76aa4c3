//! The session of the campaign: every kind of operation, each on names of its own, so that the claims of one can be
//! checked on the server whatever the result of the others.

use portolan::remote::fs::RemoteFs as _;
use portolan::{
    error::Result,
    ftp::{listing::EntryKind, session::Session},
};

use crate::support::rehearsal::{Rehearsal, path, put};

/// The result of a session.
#[derive(Default)]
pub(super) struct Tour {
    /// The number of operations that failed, which is allowed.
    pub(super) failed: usize,
    /// The claims that are false.
    pub(super) complaints: Vec<String>,
}

const OLD: &[u8] = b"old bytes";
const NEW: &[u8] = b"new bytes, and more of them";

/// An operation of the session.
#[derive(Debug, Clone, Copy)]
enum Step {
    Size(&'static str, u64),
    Read(&'static str, &'static [u8]),
    Put(&'static str),
    Append(&'static str),
    Delete(&'static str),
    Mkdir(&'static str),
    Rmdir(&'static str),
    Rename(&'static str, &'static str),
    List(&'static str, &'static [&'static str]),
    Exists(&'static str, bool),
    /// A change to this directory, in which `x` has these bytes.
    Enter(&'static str, &'static [u8]),
    /// A raw command, and the expected start of its reply.
    Quote(&'static str, &'static str),
}

use Step::{Append, Delete, Enter, Exists, List, Mkdir, Put, Quote, Read, Rename, Rmdir, Size};

const STEPS: &[Step] = &[
    Size("/one", 1),
    Size("/three", 3),
    Read("/three", b"333"),
    Put("/fresh"),
    Put("/over"),
    Delete("/gone"),
    Size("/four", 4),
    Mkdir("/made"),
    Rename("/from", "/to"),
    List("/in", &["x", "y"]),
    Enter("/in", b"x in in"),
    Enter("/also", b"x in also"),
    Delete("/gone too"),
    Exists("/one", true),
    Exists("/none", false),
    Rmdir("/empty"),
    Append("/log"),
    Quote("SYST", "215"),
    Quote("NOOP", "200"),
    Read("/one", b"1"),
    Put("/last"),
    Delete("/last but one"),
    Size("/one", 1),
];

/// Makes the initial files on the server.
fn furnish(stage: &Rehearsal) {
    for (name, bytes) in [
        ("one", &b"1"[..]),
        ("three", b"333"),
        ("four", b"4444"),
        ("over", OLD),
        ("gone", OLD),
        ("gone too", OLD),
        ("last but one", OLD),
        ("from", OLD),
        ("log", OLD),
        ("in/x", b"x in in"),
        ("in/y", b"y"),
        ("also/x", b"x in also"),
        ("empty/x", b""),
    ] {
        stage.file(name, bytes);
    }
    std::fs::remove_file(stage.root().join("empty/x")).unwrap();
}

impl Tour {
    /// Runs all steps, whatever the result of each.
    pub(super) async fn go(stage: &Rehearsal) -> Self {
        furnish(stage);
        let mut tour = Self::default();
        let mut opened = stage.open().await;
        if opened.is_err() {
            opened = stage.open().await;
        }
        let Ok(mut session) = opened else {
            tour.complaints.push("no session at all".to_owned());
            return tour;
        };
        for step in STEPS {
            match act(*step, &mut session, stage).await {
                Ok(None) => {}
                Ok(Some(complaint)) => tour.complaints.push(format!("{step:?}: {complaint}")),
                Err(_) => tour.failed += 1,
            }
            tour.complaints.extend(lost(*step, stage).map(|it| format!("{step:?}: {it}")));
        }
        session.close().await;
        tour
    }
}

/// Runs a step, and returns an error if a claim of it is false.
async fn act(step: Step, session: &mut Session, stage: &Rehearsal) -> Result<Option<String>> {
    let there = |name: &str| stage.root().join(name.trim_start_matches('/'));
    let wrong = |is: bool, found: &dyn std::fmt::Debug| is.then(|| format!("{found:?}"));
    Ok(match step {
        Size(name, size) => {
            let found = session.size(&path(name)).await?;
            wrong(found != size, &found)
        }
        Read(name, bytes) => {
            let found = session.read(&path(name), 99).await?;
            wrong(found != bytes, &found)
        }
        Put(name) => {
            let moved = put(session, name, NEW).await?;
            wrong(stage.bytes(name.trim_start_matches('/')).as_deref() != Some(NEW), &moved)
        }
        Append(name) => {
            let mut source = portolan::ftp::transfer::MemorySource::new(NEW);
            let moved = session.append(&mut source, &path(name)).await?;
            let found = stage.bytes(name.trim_start_matches('/'));
            wrong(found != Some([OLD, NEW].concat()), &moved)
        }
        Delete(name) => {
            session.remove(&path(name)).await?;
            wrong(there(name).exists(), &"it is still there")
        }
        Mkdir(name) => {
            session.mkdir(&path(name)).await?;
            wrong(!there(name).is_dir(), &"it is not there")
        }
        Rmdir(name) => {
            session.rmdir(&path(name)).await?;
            wrong(there(name).exists(), &"it is still there")
        }
        Rename(from, to) => {
            session.rename(&path(from), &path(to)).await?;
            wrong(there(from).exists() || !there(to).exists(), &"it was not renamed")
        }
        List(name, names) => {
            let listing = session.list(&path(name)).await?;
            let files = listing.entries.iter().filter(|entry| entry.kind == EntryKind::File);
            let mut found: Vec<_> =
                files.map(|entry| String::from_utf8_lossy(&entry.name).into_owned()).collect();
            found.sort();
            wrong(listing.complete && found != names, &found)
        }
        Exists(name, is) => {
            let found = session.exists(&path(name)).await?;
            wrong(found != is, &found)
        }
        Enter(folder, bytes) => {
            session.cd(&path(folder)).await?;
            let found = session.read(&path("x"), 99).await?;
            wrong(found != bytes, &found)
        }
        Quote(command, begins) => {
            let reply = session.quote(command.as_bytes()).await?;
            wrong(!reply.words().starts_with(begins), &reply.words())
        }
    })
}

/// Returns the data that a step has lost, whether it failed or not.
fn lost(step: Step, stage: &Rehearsal) -> Option<&'static str> {
    let found = |name: &str| stage.bytes(name.trim_start_matches('/'));
    match step {
        Put("/over") if !matches!(found("over").as_deref(), Some(OLD | NEW)) => {
            Some("neither the old bytes nor the new ones")
        }
        Put(name) if found(name).is_some_and(|bytes| bytes != NEW && bytes != OLD) => {
            Some("a part stands under the final name")
        }
        Rename(from, to) if found(from).or(found(to)).as_deref() != Some(OLD) => {
            Some("the file is gone")
        }
        _ => None,
    }
}

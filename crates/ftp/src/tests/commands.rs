//! Tests of names and texts that become part of a command (security classes C1 and C8).

use std::sync::{Arc, Mutex};

use super::{bench, get, path, put};
use crate::{
    path::RemotePath,
    secret::Secret,
    session::{RunContext, Session},
    transfer::MemorySource,
};
use portolan_core::{
    error::ErrorKind,
    observe::{Event, EventEmitter, Sink},
};

#[tokio::test]
async fn s02_a_name_is_never_decoded() {
    let bench = bench(&[], false);
    bench.file("%2e%2e%2fx", "literally");
    let mut session = bench.open().await.unwrap();
    let listing = session.list(&path("/")).await.unwrap();
    assert_eq!(listing.entries[0].name, b"%2e%2e%2fx");
    assert_eq!(get(&mut session, "/%2e%2e%2fx").await.1, b"literally");
    put(&mut session, "/%2e%2e%2fy", b"there").await.unwrap();
    assert_eq!(bench.names(), ["%2e%2e%2fx", "%2e%2e%2fy"]);
}

#[tokio::test]
async fn s16_a_text_with_a_line_end_never_reaches_the_wire() {
    for bad in ["a\rb", "a\nb", "a\r\nDELE x", "a\0b"] {
        assert_eq!(RemotePath::parse(bad).unwrap_err().kind, ErrorKind::Invalid);
        let bench = bench(&[], false);
        let mut session = bench.open().await.unwrap();
        let before = bench.commands().len();
        let command = format!("SITE CHMOD 600 {bad}");
        assert_eq!(session.quote(command.as_bytes()).await.unwrap_err().kind, ErrorKind::Invalid);
        assert_eq!(bench.commands().len(), before);
        for field in ["user", "password", "account"] {
            let mut site = bench.site.clone();
            match field {
                "user" => site.user = bad.into(),
                "password" => site.password = Some(Secret::new(bad)),
                _ => site.account = Some(Secret::new(bad)),
            }
            if let Err(error) = Session::open(site, RunContext::default()).await {
                assert_eq!(error.kind, ErrorKind::Invalid, "{field}: {error}");
                assert!(error.message.contains(field) && !error.message.contains("DELE"));
            } else {
                assert_eq!(field, "account", "which this server never asks for");
            }
        }
        assert_eq!(bench.count("DELE") + bench.count("b"), 0, "{:?}", bench.commands());
    }
}

#[tokio::test]
async fn s16_the_byte_255_reaches_names_as_it_is() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let bench = bench(&[], false);
    let mut session = bench.open().await.unwrap();
    let name = b"\xffy\xff\xff";
    let at = path("/").join(name).unwrap();
    session.upload(&mut MemorySource::new(b"x"), 1, None, &at).await.unwrap();
    assert!(bench.folder.path().join(OsStr::from_bytes(name)).exists());
    assert_eq!(session.stat(&at).await.unwrap().name, name);
    assert!(session.read(&at, 9).await.unwrap() == b"x");
}

#[tokio::test]
async fn s17_a_listed_name_with_a_carriage_return_is_no_name() {
    let text = "listing=type=file;size=1; a\\rDELE b\\r\\ntype=file;size=1; good\\r\\n";
    let bench = bench(&[text], false);
    let mut session = bench.open().await.unwrap();
    let listing = session.list(&path("/")).await.unwrap();
    assert!(!listing.complete && !listing.may_delete());
    assert_eq!(listing.entries.len(), 1);
    assert!(session.delete_tree(&path("/in")).await.is_err());
    assert_eq!(bench.count("DELE"), 0);
}

/// A sink that keeps every event as text.
#[derive(Default)]
struct RecordingSink(Mutex<Vec<String>>);

impl Sink for RecordingSink {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

#[tokio::test]
async fn a_password_that_the_server_says_back_is_masked() {
    let bench = bench(&["reply=PASS:530 secret is no password"], false);
    let kept = Arc::new(RecordingSink::default());
    let observer = EventEmitter::new(vec![Box::new(Arc::clone(&kept))]);
    let context = RunContext { observer, ..RunContext::default() };
    let error = Session::open(bench.site.clone(), context).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    assert!(!kept.0.lock().unwrap().concat().contains("secret"));
}

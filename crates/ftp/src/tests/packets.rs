//! Tests with servers, and filters in front of them, that accept one command per packet, or reply to one command twice.

use std::sync::{Arc, Mutex};

use super::{
    get, path, put,
    scripted::{Oddities, Packets, ScriptedServer},
};
use crate::{
    data::method::DataMethod,
    server_store::{ServerPlace, ServerRecord, ServerStore},
    session::{RunContext, Session},
};

/// The record that one run stores for the next.
#[derive(Debug, Default)]
struct SharedStore(Mutex<Option<ServerRecord>>);

impl ServerStore for SharedStore {
    fn recall(&self, _: &ServerPlace) -> Option<ServerRecord> {
        *self.0.lock().unwrap()
    }

    fn remember(&self, _: &ServerPlace, known: ServerRecord) {
        *self.0.lock().unwrap() = Some(known);
    }

    fn forget(&self, _: &ServerPlace, _: DataMethod) {
        *self.0.lock().unwrap() = None;
    }
}

/// Runs a listing, an upload, a download and a delete in two sessions.
async fn work(server: &ScriptedServer, memory: &Arc<SharedStore>, what: &str) {
    let memory = Arc::clone(memory) as Arc<dyn ServerStore>;
    let context = RunContext { memory: Some(memory), ..RunContext::default() };
    let opened = Session::open(server.site.clone(), context).await;
    let mut first = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut second = first.open_sibling().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    for session in [&mut first, &mut second] {
        let listed =
            session.list(&path("/d")).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(listed.entries.len(), 1, "{what}");
        put(session, "/d/new", b"new").await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(get(session, "/d/a").await.1, b"here", "{what}");
        session.delete(&path("/d/new")).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        session.delete(&path("/d/new")).await.unwrap_err();
    }
    assert_eq!(server.names(), ["/d/a"], "{what}");
}

async fn server(oddities: Oddities) -> ScriptedServer {
    let server = ScriptedServer::start(oddities).await;
    server.file("/d/a", b"here");
    server
}

#[tokio::test]
async fn one_command_a_packet_is_enough_wherever_the_server_begins_to_want_it() {
    let any: &[&str] = &["", "TYPE", "FEAT", "CWD", "SIZE", "RNFR", "USER"];
    for (packets, places) in [
        (Packets::FirstOnly, any),
        (Packets::CloseBehindFirst, any),
        (Packets::OneForTheRest, any),
        // It would be odd to drop a whole packet only if it contains a certain command.
        (Packets::NoneAtAll, &[""]),
    ] {
        for since in places.iter().copied() {
            for is_talkative in [true, false] {
                let what = format!("{packets:?} {since} {is_talkative}");
                let oddities = Oddities { packets, since, is_talkative, ..Oddities::default() };
                let server = server(oddities).await;
                // The work ends before the reply timeout, however often a command is repeated.
                let memory = Arc::default();
                let worked = work(&server, &memory, &what);
                let within = tokio::time::timeout(server.site.reply_timeout, Box::pin(worked));
                assert!(within.await.is_ok(), "{what}: {:#?}", server.commands());
            }
        }
    }
}

#[tokio::test]
async fn the_next_run_sends_one_command_a_packet_from_the_start() {
    for packets in [Packets::FirstOnly, Packets::CloseBehindFirst, Packets::OneForTheRest] {
        let memory = Arc::default();
        let server = server(Oddities { packets, ..Oddities::default() }).await;
        Box::pin(work(&server, &memory, "the first run")).await;
        assert!(server.largest_packet() > 1);
        server.forget_packets();
        Box::pin(work(&server, &memory, "the second run")).await;
        assert_eq!(server.largest_packet(), 1, "{packets:?}: {:#?}", server.commands());
    }
}

#[tokio::test]
async fn a_server_that_is_only_slow_is_still_asked_in_packets() {
    let server =
        server(Oddities { packets: Packets::Late, since: "FEAT", ..Oddities::default() }).await;
    Box::pin(work(&server, &Arc::default(), "slow")).await;
    assert!(server.count("REST") >= 2, "it was not asked what had become of the rest");
    let sessions = server.count("USER");
    assert_eq!(sessions, 2, "{:#?}", server.commands());
}

#[tokio::test]
async fn a_command_that_is_answered_twice_has_one_answer() {
    for twice in [
        vec![("CWD", "250 OK")],
        vec![("CWD", "250 Directory changed to /d")],
        vec![("PWD", "257 \"/d\" again")],
        vec![("TYPE", "200 binary it is")],
        vec![("CWD", "200 OK"), ("DELE", "250 really")],
        vec![("SIZE", "213 4")],
        vec![("RNFR", "350 yes")],
    ] {
        let what = format!("{twice:?}");
        let memory = Arc::default();
        let server = server(Oddities { twice, ..Oddities::default() }).await;
        Box::pin(work(&server, &memory, &what)).await;
        let sessions = server.count("USER");
        Box::pin(work(&server, &memory, &what)).await;
        // The second run has no connection to give up.
        assert_eq!(server.count("USER") - sessions, 2, "{what}: {:#?}", server.commands());
    }
}

//! Tests of the pipelined logins of further sessions.

use std::time::Duration;

use tokio::time::timeout;

use super::{TestSession, bench, path};
use crate::session::{RunContext, Session};
use portolan_core::error::Result;

/// Logs in twice and lists with the second session; returns the commands received from the second login on.
async fn twice(bench: &TestSession) -> (Result<()>, Vec<String>) {
    let first = Session::open(bench.site.clone(), RunContext::default()).await.unwrap();
    let before = bench.commands().len();
    let result = match first.open_sibling().await {
        Ok(mut session) => session.list(&path("/")).await.map(drop),
        Err(error) => Err(error),
    };
    (result, bench.commands().split_off(before))
}

#[tokio::test]
async fn a_further_session_asks_for_everything_at_once() {
    for (tls, wanted) in [
        (false, "USER PASS TYPE FEAT PWD OPTS EPSV MLSD"),
        (true, "AUTH PBSZ PROT USER PASS TYPE FEAT PWD OPTS EPSV MLSD"),
    ] {
        let bench = bench(&[], tls);
        let (result, commands) = Box::pin(twice(&bench)).await;
        result.unwrap();
        let verbs: Vec<_> = commands.iter().filter_map(|line| line.split(' ').next()).collect();
        assert!(verbs.join(" ").starts_with(wanted), "{verbs:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_bear_it_is_asked_one_thing_at_a_time() {
    for plan in ["alone=USER", "alone=PASS"] {
        let mut bench = bench(&[plan], false);
        bench.site.reply_timeout = Duration::from_secs(1);
        let (result, commands) = Box::pin(twice(&bench)).await;
        result.unwrap_or_else(|error| panic!("{plan}: {error}"));
        assert_eq!(commands.iter().filter(|line| line.starts_with("USER")).count(), 2, "{plan}");
        assert_eq!(commands.last().unwrap(), "MLSD /", "{plan}");
    }
}

#[tokio::test]
async fn a_port_that_was_asked_for_at_the_login_and_never_came_is_not_waited_for_long() {
    let bench = bench(&["no-reply=EPSV"], false);
    let first = &mut Session::open(bench.site.clone(), RunContext::default()).await.unwrap();
    // The second session sends EPSV before it is known that no reply to that comes.
    let mut early = Box::pin(first.open_sibling()).await.unwrap();
    first.list(&path("/")).await.unwrap();
    let listed = timeout(bench.site.reply_timeout / 2, early.list(&path("/"))).await;
    listed.unwrap().unwrap();
    assert_eq!(early.route(), "pasv");
}

#[test]
fn pyftpdlib_is_known_by_the_facts_that_it_names() {
    for (facts, is_it) in [
        ("type*;perm*;size*;modify*;unique*;unix.mode;unix.uid;unix.gid;", true),
        ("type*;perm*;size*;modify*;unique*;unix.mode*;unix.uid*;unix.gid*;create;", true),
        ("modify*;perm*;size*;type*;unique*;UNIX.group*;UNIX.mode*;UNIX.owner*;", false),
        ("type*;size*;sizd*;modify*;UNIX.mode*;UNIX.uid*;UNIX.gid*;unique*;", false),
    ] {
        let named = [("MLST".to_owned(), facts.to_owned())].into();
        let features = crate::login::Features { named, no_binary: None };
        assert_eq!(features.is_pyftpdlib(), is_it, "{facts}");
    }
}

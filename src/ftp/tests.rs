//! The client against the embedded server: what works, and what must be seen when it does not.

use std::time::Duration;

use super::{
    path::RemotePath,
    secret::Secret,
    session::{Context, Session},
    site::{Mode, Site, Tls as Protection},
    transfer::{Known, Text},
};
use crate::{
    fault::{Kind, Outcome},
    files::Landing,
    rehearse::{Plan, Server, Setup, Tls},
};

fn path(text: &str) -> RemotePath {
    RemotePath::parse(text).unwrap()
}

struct Bench {
    folder: tempfile::TempDir,
    server: Server,
    site: Site,
}

fn bench(plans: &[&str], tls: bool) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let plans = plans.iter().map(|plan| Plan::parse(plan).unwrap()).collect();
    let setup = Setup { plans, tls: tls.then(Tls::default), ..Setup::at(folder.path()) };
    let server = Server::start(setup).unwrap();
    let mut site = Site::new("127.0.0.1");
    site.port = server.address().port();
    site.user = "tester".into();
    site.password = Some(Secret::new("secret"));
    site.reply_timeout = Duration::from_secs(3);
    if tls {
        site.tls = Protection::Explicit;
        site.trust.ca_pem = Some(server.ca_pem().to_owned());
    }
    Bench { folder, server, site }
}

async fn round_trip(bench: &Bench) -> Outcome<Session> {
    let mut session = Session::open(bench.site.clone(), Context::default()).await?;
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    session.mkdir(&path("/a/b")).await?;
    let size = bytes.len() as u64;
    session.upload(&mut Text::new(&bytes), size, None, &path("/a/b/x y")).await?;
    let here = tempfile::tempdir().unwrap();
    let landing = Landing::begin(here.path().join("got"))?;
    let moved = session.download(&path("a/b/x y"), landing, Known::default(), true).await?;
    assert!(moved.verified);
    assert!(std::fs::read(here.path().join("got")).unwrap() == bytes);
    let names: Vec<_> =
        session.list(&path("/a/b")).await?.entries.into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, [b"x y".to_vec()]);
    Ok(session)
}

#[tokio::test]
async fn a_file_goes_up_and_comes_down_in_every_mode_plain_and_protected() {
    for tls in [false, true] {
        for (mode, route) in [(Mode::Passive, "epsv"), (Mode::Active, "eprt")] {
            let mut bench = bench(&[], tls);
            bench.site.mode = mode;
            let session = round_trip(&bench).await.unwrap();
            assert_eq!(session.route(), route);
            assert!(bench.folder.path().join("a/b/x y").exists());
            session.close().await;
        }
    }
}

#[tokio::test]
async fn the_session_goes_over_to_the_mode_that_works() {
    for (plan, mode, route) in [
        ("pasv-refused", Mode::Passive, "eprt"),
        ("epsv-refused", Mode::Passive, "pasv"),
        ("eprt-refused", Mode::Active, "port"),
        ("active-refused", Mode::Active, "epsv"),
        ("active-425", Mode::Active, "epsv"),
        ("active-late-425", Mode::Active, "epsv"),
        ("pasv-dead", Mode::Passive, "eprt"),
        ("pasv-nonsense", Mode::Passive, "eprt"),
    ] {
        let mut bench = bench(&[plan], false);
        bench.site.mode = mode;
        let session = round_trip(&bench)
            .await
            .unwrap_or_else(|fault| panic!("{plan}: {fault}\n{:#?}", bench.server.log()));
        assert_eq!(session.route(), route, "{plan}");
    }
}

#[tokio::test]
async fn a_refused_second_command_is_not_answered_by_a_spare_reply() {
    let bench = bench(&["double-reply"], false);
    std::fs::write(bench.folder.path().join("a"), "").unwrap();
    let mut session = Session::open(bench.site.clone(), Context::default()).await.unwrap();
    session.delete(&path("/a")).await.unwrap();
    assert_eq!(session.delete(&path("/b")).await.unwrap_err().kind, Kind::NotFound);
}

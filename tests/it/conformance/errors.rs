//! The operations that fail, and the code of each error.

use portolan::remote::fs::RemoteFs as _;
use portolan::{
    error::{Error, ErrorKind as Sort},
    files::AtomicFile,
    ftp::{
        secret::Secret,
        session::{RunContext, Session},
        site::Mode,
        transfer::RemoteMeta,
    },
};

use super::{Cell, Stand, options, path, run, site};
use crate::support::server::{Kind, RealServer, Tls};

pub(super) async fn say_what_is_missing(stand: &mut Stand<'_>) -> Result<(), Error> {
    let here = tempfile::tempdir().unwrap();
    let target = here.path().join("kept");
    std::fs::write(&target, "kept").unwrap();
    let missing = path("/work/missing");
    let landing = AtomicFile::begin(&target)?;
    let session = &mut stand.session;
    let down = session.download(&missing, landing, RemoteMeta::default(), true).await;
    let failures = [
        ("get", down.map(drop)),
        ("read", session.read(&missing, 9).await.map(drop)),
        ("stat", session.stat(&missing).await.map(drop)),
        ("size", session.size(&missing).await.map(drop)),
        ("modified", session.modified(&missing).await.map(drop)),
        ("delete", session.remove(&missing).await),
        ("rmdir", session.rmdir(&missing).await),
        ("rename", session.rename(&missing, &path("/work/x")).await),
        ("list", session.list(&missing).await.map(drop)),
        ("cd", session.cd(&missing).await),
        ("chmod", session.chmod(&missing, 0o644).await),
        ("delete_tree", session.delete_tree(&missing).await),
        ("below", session.read(&path("/nowhere/x"), 9).await.map(drop)),
    ];
    for (doing, result) in failures {
        let fault = result.unwrap_err();
        assert_eq!(fault.kind, Sort::NotFound, "{doing}: {fault:?}");
        assert!(fault.path.is_some(), "{doing}: {fault:?}");
        assert_eq!(fault.host.as_deref(), Some(session.site().host.as_str()), "{doing}");
    }
    assert_eq!(std::fs::read(&target).unwrap(), b"kept");
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 1);
    // If a file exists and the operation still fails, the error is not that of a missing file.
    let onto = session.read(&path("/work/one"), 9).await.unwrap_err();
    assert_ne!(onto.kind, Sort::NotFound, "a folder read as a file: {onto:?}");
    // The session is still usable.
    stand.put("/work/after", b"after").await?;
    assert_eq!(stand.bytes("/work/after").await?, b"after");
    Ok(())
}

#[test]
fn a_wrong_password_is_denied_and_not_shown() {
    for kind in Kind::ALL {
        let tls = if kind == Kind::Proftpd { Tls::Explicit } else { Tls::Off };
        let cell = Cell { kind, tls, mode: Mode::Auto, ipv6: false };
        let Some(server) = RealServer::start(kind, &options(kind, tls, false)) else { return };
        let mut site = site(&server, cell);
        site.password = Some(Secret::new("hunter2"));
        let fault = run(Session::open(site, RunContext::default())).unwrap_err();
        assert_eq!((fault.kind, fault.code), (Sort::Denied, 530), "{cell}: {fault:?}");
        assert!(!format!("{fault:?}").contains("hunter2"), "{cell}: {fault:?}");
    }
}

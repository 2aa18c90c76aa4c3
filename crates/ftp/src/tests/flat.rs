//! Tests with servers whose names have no slashes: files in the directory after login are addressed by their bare
//! names.

use super::{
    get, path, put,
    scripted::{Oddities, ScriptedServer},
};
use crate::{
    file_ops::LinkTarget,
    session::{RunContext, Session},
};
use portolan_core::error::ErrorKind;

async fn server() -> ScriptedServer {
    let pwd = "257 \"{}\" is the working directory name prefix.";
    let server =
        ScriptedServer::start(Oddities { pwd, is_flat: true, ..Oddities::default() }).await;
    server.file("PAY.JAN", b"january");
    server.file("PAY.FEB", b"february");
    server
}

#[tokio::test]
async fn names_below_the_folder_of_the_login_are_sent_as_they_are() {
    let server = server().await;
    let mut session = Session::open(server.site.clone(), RunContext::default()).await.unwrap();
    for folder in ["/", "."] {
        let listed = session.list(&path(folder)).await.unwrap();
        let names: Vec<_> = listed.entries.into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, [b"PAY.FEB".to_vec(), b"PAY.JAN".to_vec()]);
    }
    for name in ["PAY.JAN", "/PAY.JAN", "'OPSUSER.PAY.JAN'", "/'OPSUSER.PAY.JAN'"] {
        assert_eq!(get(&mut session, name).await.1, b"january", "{name}");
    }
    put(&mut session, "PAY.MAR", b"march").await.unwrap();
    put(&mut session, "PAY.JAN", b"again").await.unwrap();
    session.rename(&path("PAY.FEB"), &path("OLD.FEB")).await.unwrap();
    session.delete(&path("/'OPSUSER.OLD.FEB'")).await.unwrap();
    assert!(session.exists(&path("PAY.MAR")).await.unwrap());
    assert!(!session.exists(&path("PAY.FEB")).await.unwrap());
    assert!(matches!(
        session.behind(&path(".")).await.unwrap(),
        LinkTarget::Folder { folder: None }
    ));
    assert_eq!(server.names(), ["PAY.JAN", "PAY.MAR"]);
    assert_eq!(server.bytes("PAY.JAN").as_deref(), Some(&b"again"[..]));
    assert!(server.commands().iter().all(|line| !line.contains('/')), "{:#?}", server.commands());
    assert_eq!(server.count("CWD"), 0);
}

#[tokio::test]
async fn folders_that_cannot_be_named_are_refused_before_anything_is_sent() {
    let server = server().await;
    let mut session = Session::open(server.site.clone(), RunContext::default()).await.unwrap();
    let before = server.commands().len();
    let deep = path("PAY/JAN");
    let errors = [
        session.list(&deep).await.unwrap_err(),
        session.delete(&deep).await.unwrap_err(),
        session.cd(&path("PAY")).await.unwrap_err(),
        session.list(&path("PAY")).await.unwrap_err(),
        session.mkdir(&path("NEW")).await.unwrap_err(),
        put(&mut session, "a/b", b"x").await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
        assert!(error.message.starts_with("the names of this server have no slashes"), "{error}");
    }
    assert_eq!(server.commands().len(), before, "{:#?}", server.commands());
}

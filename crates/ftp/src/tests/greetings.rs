//! Tests of greetings, and of the address and directory that servers report.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::{
    bench_with, get, path, put,
    scripted::{Oddities, ScriptedServer},
};
use crate::{
    session::{RunContext, Session},
    site::{Site, TlsMode as Protection},
};
use portolan_core::error::ErrorKind;
use portolan_testserver::{ServerTls, TlsStart};

#[tokio::test]
async fn greetings_with_telnet_codes_tabs_and_lines_before_them_are_read() {
    for greeting in [
        &b"220\tready\r\n"[..],
        b"\xff\xfb\x01\xff\xfb\x03220 ready\r\n",
        b"220-one\r\n\xff\xfd\x18220 two\r\n",
        b"\xff\xfa\x18\x01\xff\xf0220 ready\r\n",
        b"\r\n\r\n220 ready\r\n",
        b"42\r\n220 ready\r\n",
        b"** serial line 3 **\r\n\r\n220-hello\r\n220\tready\r\n",
        b"120 in a moment\r\n220 ready\r\n",
        b"220\r\n",
    ] {
        let shown = greeting.escape_ascii().to_string();
        let greeting = greeting.to_vec();
        let server = ScriptedServer::start(Oddities { greeting, ..Oddities::default() }).await;
        server.file("/a", b"here");
        let opened = Session::open(server.site.clone(), RunContext::default()).await;
        let mut session = opened.unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(get(&mut session, "/a").await.1, b"here", "{shown}");
    }
}

#[tokio::test]
async fn what_is_no_greeting_is_named_whether_it_ends_there_or_not() {
    for (greeting, words) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], "SSH-2.0-OpenSSH_9.2"),
        (b"+OK POP3 ready\r\n", "+OK POP3 ready"),
        (b"Welcome to the console\r\nlogin: ", "Welcome to the console"),
        (b"7\r\n", "7"),
    ] {
        let greeting = greeting.to_vec();
        let server = ScriptedServer::start(Oddities { greeting, ..Oddities::default() }).await;
        let opened = Session::open(server.site.clone(), RunContext::default());
        let error = tokio::time::timeout(server.site.reply_timeout / 2, opened).await.unwrap();
        let error = error.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Protocol, "{error}");
        let wanted =
            format!("the server sent \"{words}\", which is no FTP reply: is this an FTP server?");
        assert_eq!(error.message, wanted);
    }
}

#[tokio::test]
async fn a_port_where_tls_begins_at_once_is_told_from_a_silent_one() {
    let secure =
        bench_with(&[], Some(ServerTls { start: TlsStart::Implicit, ..ServerTls::default() }));
    for tls in [Protection::Off, Protection::Explicit] {
        let mut site = secure.site.clone();
        site.tls = tls;
        let error = Session::open(site, RunContext::default()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Tls, "{error}");
        let port = secure.site.port;
        let words =
            format!("port {port} sends no greeting, since TLS begins at once there: use ftps://");
        assert_eq!(error.message, words);
    }
    // A server that is only late is waited for, whatever it makes of the handshake.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut tcp, _)) = listener.accept().await {
            if held.is_empty() {
                tokio::time::sleep(Duration::from_secs(4)).await;
                drop(tcp.write_all(b"421 too late\r\n").await);
            }
            held.push(tcp);
        }
    });
    let mut site = Site::new("127.0.0.1");
    site.port = port;
    site.reply_timeout = Duration::from_secs(20);
    let error = Session::open(site, RunContext::default()).await.unwrap_err();
    assert_eq!(error.code, 421, "{error}");
}

#[tokio::test]
async fn tls_begins_after_any_reply_that_says_so() {
    for reply in ["200 go on", "234 ", "334 SSL/TLS ready", "235 now"] {
        let plan = format!("done-as=AUTH:{reply}");
        let bench = bench_with(&[&plan], Some(ServerTls::default()));
        bench.file("a", "secret bytes");
        let mut session = bench.open().await.unwrap_or_else(|error| panic!("{reply}: {error}"));
        assert_eq!(get(&mut session, "/a").await.1, b"secret bytes", "{reply}");
    }
    for reply in ["500 what?", "534 no", "431 not now"] {
        let plan = format!("reply=AUTH:{reply}");
        let bench = bench_with(&[&plan], Some(ServerTls::default()));
        let error = bench.open().await.unwrap_err();
        assert_eq!((error.kind, bench.count("USER")), (ErrorKind::Tls, 0), "{reply}: {error}");
    }
}

#[tokio::test]
async fn servers_say_where_they_are_in_many_ways() {
    for (pwd, folder) in [
        ("257 \"{}\" is the folder", "/"),
        ("257 {} is current directory", "/"),
        ("257 {} is the current directory.", "/"),
        ("257 {}", "/"),
        ("257 \"{\\}\"", "/"),
        ("257 {\\} is current", "/"),
        ("257 \"\"", "/"),
        ("257", "/"),
        ("257 '{}' is current", "/"),
        ("257 Current directory is {}", "/"),
        ("250 \"{}\"", "/"),
        ("200 {} is current directory", "/"),
        ("257 you are somewhere", "/"),
        ("502 no PWD", "/"),
    ] {
        let server = ScriptedServer::start(Oddities { pwd, ..Oddities::default() }).await;
        server.file("/d/a", b"here");
        let opened = Session::open(server.site.clone(), RunContext::default()).await;
        let mut session = opened.unwrap_or_else(|error| panic!("{pwd}: {error}"));
        assert_eq!(session.folder(), &path(folder), "{pwd}");
        let listed =
            session.list(&path("d")).await.unwrap_or_else(|error| panic!("{pwd}: {error}"));
        assert_eq!(listed.entries.len(), 1, "{pwd}");
        assert_eq!(get(&mut session, "d/a").await.1, b"here", "{pwd}");
        put(&mut session, "d/b", b"new").await.unwrap_or_else(|error| panic!("{pwd}: {error}"));
        session.cd(&path("/d")).await.unwrap_or_else(|error| panic!("{pwd}: {error}"));
        assert_eq!(server.bytes("/d/b").as_deref(), Some(&b"new"[..]), "{pwd}");
    }
}

#[tokio::test]
async fn a_login_that_wants_tls_says_so_and_what_does_it() {
    for (plan, code) in [
        ("reply=USER:530 Non-anonymous sessions must use encryption.", 530),
        ("reply=PASS:530 SSL required", 530),
        ("reply=USER:550 SSL/TLS required on the control channel", 550),
        ("reply=USER:421 TLS is required, closing", 421),
        ("reply=USER:534 Policy requires SSL.", 534),
        ("reply=PASS:530 Please use a secure connection", 530),
        ("greeting=530 FTPS only", 530),
    ] {
        let bench = super::bench(&[plan], false);
        let error = bench.open().await.unwrap_err();
        assert_eq!(
            (error.kind, error.code, error.is_retryable()),
            (ErrorKind::Denied, code, false),
            "{error}"
        );
        assert!(error.message.ends_with("it wants TLS, which ftpes:// turns to"), "{error}");
    }
    for plan in [
        "reply=PASS:530 Login incorrect.",
        "reply=USER:530 This server does not support TLS accounts",
        "reply=PASS:530 castle unknown",
    ] {
        let bench = super::bench(&[plan], false);
        let error = bench.open().await.unwrap_err();
        assert!(!error.message.contains("wants TLS"), "{error}");
    }
}

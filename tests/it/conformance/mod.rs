//! One suite for all servers: the guarantees of a session, checked with vsftpd, ProFTPD and Pure-FTPd, plain and under
//! TLS, active and passive, over IPv4 and IPv6.

mod ends;
mod errors;
mod files;
mod folders;
mod guards;
mod names;
mod rows;

use portolan::remote::fs::RemoteFs as _;
use std::{fmt, future::Future, time::Duration};

use portolan::{
    error::Error,
    ftp::{
        path::RemotePath,
        secret::Secret,
        session::{RunContext, Session},
        site::{Mode, Site, TlsMode},
        transfer::{MemorySource, TransferStats},
    },
};

use crate::support::server::{self, Kind, Options, RealServer};

/// A combination of server, TLS, mode and address family.
#[derive(Clone, Copy)]
struct Cell {
    kind: Kind,
    tls: server::Tls,
    mode: Mode,
    ipv6: bool,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.ipv6 { "IPv6" } else { "IPv4" };
        let program = self.kind.program();
        write!(f, "{program}, {:?} TLS, {}, {family}", self.tls, self.mode.as_str())
    }
}

/// The context of each step of the suite.
struct Stand<'a> {
    server: &'a RealServer,
    session: Session,
    cell: Cell,
}

impl Stand<'_> {
    async fn put(&mut self, at: &str, bytes: &[u8]) -> Result<TransferStats, Error> {
        self.put_at(&path(at), bytes).await
    }

    async fn put_at(&mut self, at: &RemotePath, bytes: &[u8]) -> Result<TransferStats, Error> {
        self.session.upload(&mut MemorySource::new(bytes), bytes.len() as u64, None, at).await
    }

    async fn bytes(&mut self, at: &str) -> Result<Vec<u8>, Error> {
        self.session.read(&path(at), u64::MAX).await
    }

    async fn names(&mut self, folder: &str) -> Result<Vec<String>, Error> {
        let listing = self.session.list(&path(folder)).await?;
        assert!(listing.complete, "{:?}", listing.refused);
        let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut names: Vec<_> = listing.entries.iter().map(|entry| name(&entry.name)).collect();
        names.sort();
        Ok(names)
    }
}

fn path(text: &str) -> RemotePath {
    RemotePath::parse(text).unwrap()
}

/// Returns `count` bytes, every value among them.
fn sample(count: usize) -> Vec<u8> {
    (0..=255).cycle().take(count).collect()
}

/// Returns the site of `server` for `cell`, with its mode and no fallback.
fn site(server: &RealServer, cell: Cell) -> Site {
    let mut site = Site::new(server.address().ip().to_string());
    site.port = server.address().port();
    site.user = RealServer::USER.into();
    site.password = Some(Secret::new(RealServer::PASSWORD));
    site.mode = cell.mode;
    site.fallback = false;
    site.reply_timeout = Duration::from_secs(20);
    site.tls = match cell.tls {
        server::Tls::Off => TlsMode::Off,
        server::Tls::Explicit => TlsMode::Explicit,
        server::Tls::Implicit => TlsMode::Implicit,
    };
    if cell.tls != server::Tls::Off {
        site.trust.ca_file = Some(server.ca());
    }
    site
}

/// Returns the server's options for a cell; under TLS with session reuse required if the server has such a rule.
fn options(kind: Kind, tls: server::Tls, ipv6: bool) -> Options {
    let secure = tls != server::Tls::Off;
    let tls_reuse = secure && kind != Kind::PureFtpd;
    let further = match kind {
        // Checksums are a separate module there.
        Kind::Proftpd => vec!["LoadModule mod_digest.c".into(), "DigestEngine on".into()],
        _ => Vec::new(),
    };
    Options { ipv6, tls, require_tls: secure, tls_reuse, further, ..Options::default() }
}

/// Runs `work` on a runtime of its own.
fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Runs the suite over every combination for one kind of server.
fn every_way(kind: Kind) {
    for tls in [server::Tls::Off, server::Tls::Explicit, server::Tls::Implicit] {
        for ipv6 in [false, true] {
            let options = options(kind, tls, ipv6);
            if kind.lacks(&options).is_some() {
                continue;
            }
            let Some(server) = RealServer::start(kind, &options) else { return };
            for mode in [Mode::Passive, Mode::Active] {
                let cell = Cell { kind, tls, mode, ipv6 };
                if let Err(fault) = run(suite(&server, cell)) {
                    panic!("{cell}: {fault:?}\n{}", server.log());
                }
            }
        }
    }
}

async fn suite(server: &RealServer, cell: Cell) -> Result<(), Error> {
    let session = Session::open(site(server, cell), RunContext::default()).await?;
    let mut stand = Stand { server, session, cell };
    folders::are_made_with_those_above(&mut stand).await?;
    files::go_there_and_come_back(&mut stand).await?;
    files::have_size_and_time(&mut stand).await?;
    files::are_renamed_also_over_others(&mut stand).await?;
    files::grow_at_their_end(&mut stand).await?;
    files::have_permissions_and_sums(&mut stand).await?;
    names::survive_as_they_are(&mut stand).await?;
    folders::reached_by_a_link_are_folders(&mut stand).await?;
    errors::say_what_is_missing(&mut stand).await?;
    folders::go_with_all_in_them(&mut stand).await?;
    let route = stand.session.route();
    let is_active = matches!(route, "port" | "eprt");
    assert_eq!(is_active, cell.mode == Mode::Active, "{cell}: went by {route}");
    stand.session.close().await;
    Ok(())
}

#[test]
fn vsftpd_keeps_every_promise_on_every_way() {
    every_way(Kind::Vsftpd);
}

#[test]
fn proftpd_keeps_every_promise_on_every_way() {
    every_way(Kind::Proftpd);
}

#[test]
fn pure_ftpd_keeps_every_promise_on_every_way() {
    every_way(Kind::PureFtpd);
}

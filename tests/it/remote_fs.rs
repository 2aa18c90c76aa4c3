//! One suite for every remote file system: in memory, and FTP on the embedded server, vsftpd, ProFTPD and Pure-FTPd.
#![expect(clippy::indexing_slicing, reason = "a check that gets too few results has failed")]

use std::{fs, time::Duration};

use jiff::Timestamp;
use portolan::{
    encoding::to_hex,
    error::{ErrorKind, Result},
    files::{AtomicFile, SourceFile},
    ftp::{
        secret::Secret,
        session::{RunContext, Session},
        site::Site,
    },
    rehearse::{FaultPlan, ServerSetup, TestServer},
    remote::{
        entry::{EntryKind, Modified},
        facts::{Absent, LinkTarget, Presence, Present},
        fs::{Query, ROUND_TRIP_COST, RemoteFs},
        hash::HashAlgorithm,
        hints::{NextTransfer, TransferHints},
        memory::MemoryFs,
        path::RemotePath,
        pending::TempUpload,
        source_sink::{BoundedBuffer, MemorySource},
        transfer::{RemoteMeta, TransferStats},
    },
};
use sha2::{Digest, Sha256};

use crate::support::server::{Kind, Options, RealServer};

/// The time that files get: full seconds, which is what servers set.
const TIME: &str = "2020-02-29T12:34:56Z";

fn path(text: &str) -> RemotePath {
    RemotePath::parse(text).unwrap()
}

fn sink() -> BoundedBuffer {
    BoundedBuffer { bytes: Vec::new(), limit: u64::MAX }
}

/// A session under test, and the directory in which it works.
struct Bench<R> {
    session: R,
}

impl<R: RemoteFs> Bench<R> {
    /// Sends `bytes` to a temporary name.
    async fn send(&mut self, at: &str, bytes: &[u8]) -> Result<TempUpload> {
        let (remote, size, time) = (path(at), bytes.len() as u64, TIME.parse().unwrap());
        let (mut source, next) = (MemorySource::new(bytes), NextTransfer::None);
        let folder = remote.parent();
        self.session.upload_to_temp(&mut source, size, Some(time), &remote, &folder, next).await
    }

    async fn put(&mut self, at: &str, bytes: &[u8]) -> TransferStats {
        let sent = self.send(at, bytes).await.unwrap();
        self.session.commit(vec![sent]).await.pop().unwrap().unwrap()
    }

    async fn bytes(&mut self, at: &str) -> Option<Vec<u8>> {
        self.session.read_if_there_and(&path(at), &path(at), 1 << 20).await.unwrap().0
    }

    /// Returns the names in a directory; directories end in a slash.
    async fn names(&mut self, folder: &str) -> Vec<String> {
        let listing = self.session.list(&path(folder)).await.unwrap();
        assert_eq!((listing.refused_count, listing.complaint), (0, None), "{folder}");
        let name = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let slash = |kind| if kind == EntryKind::Dir { "/" } else { "" };
        let entries = listing.entries.iter();
        let mut names: Vec<_> =
            entries.map(|entry| name(&entry.name) + slash(entry.kind)).collect();
        names.sort();
        names
    }

    async fn folders_are_made_with_those_above_and_go_when_empty(&mut self) {
        assert!(self.session.mkdir(&path("/suite/a/b")).await.unwrap());
        assert!(!self.session.mkdir(&path("/suite")).await.unwrap(), "it existed");
        assert!(self.session.exists(&path("/suite/a/b")).await.unwrap());
        assert_eq!(self.names("/suite").await, ["a/"]);
        assert!(self.session.rmdir(&path("/suite/a")).await.is_err(), "it is not empty");
        self.session.rmdir(&path("/suite/a/b")).await.unwrap();
        self.session.rmdir(&path("/suite/a")).await.unwrap();
        assert!(!self.session.exists(&path("/suite/a")).await.unwrap());
        let gone = self.session.rmdir(&path("/suite/a")).await.unwrap_err();
        assert_eq!(gone.kind, ErrorKind::NotFound, "{gone}");
    }

    async fn a_file_has_its_name_only_when_it_is_whole(&mut self) {
        let sent = self.send("/suite/f", b"new bytes").await.unwrap();
        assert_eq!(self.bytes("/suite/f").await, None);
        let stats = self.session.commit(vec![sent]).await.pop().unwrap().unwrap();
        assert_eq!((stats.bytes, stats.verified, stats.in_place), (9, true, false));
        assert_eq!(self.bytes("/suite/f").await.unwrap(), b"new bytes");
        assert_eq!(self.names("/suite").await, ["f"], "nothing else is left");
        self.put("/suite/f", b"other").await;
        assert_eq!(self.bytes("/suite/f").await.unwrap(), b"other");
        let dropped = self.send("/suite/f", b"dropped").await.unwrap();
        let fault = portolan::error::Error::invalid("not wanted");
        let faults = self.session.discard(vec![dropped], &fault).await;
        assert_eq!(faults[0].message, "not wanted");
        assert_eq!(self.bytes("/suite/f").await.unwrap(), b"other");
        assert_eq!(self.names("/suite").await, ["f"]);
    }

    async fn files_are_committed_together_and_fail_one_by_one(&mut self) {
        let mut sent = Vec::new();
        for name in ["f", "g", "h"] {
            sent.push(self.send(&format!("/suite/{name}"), name.as_bytes()).await.unwrap());
        }
        // Something has the first name already.
        sent[0].expect_new();
        let ended = self.session.commit(sent).await;
        assert_eq!(ended[0].as_ref().unwrap_err().kind, ErrorKind::Refused);
        assert!(ended[1].is_ok() && ended[2].is_ok());
        assert_eq!(self.bytes("/suite/f").await.unwrap(), b"other");
        assert_eq!(self.names("/suite").await, ["f", "g", "h"]);
        let sent = [self.send("/suite/g", b"seen").await, self.send("/suite/h", b"seen").await];
        let mut seen = Vec::new();
        for file in self.session.verify_temps(sent.into_iter().map(Result::unwrap).collect()).await
        {
            seen.push(file.unwrap());
        }
        assert!(seen.iter().all(|file| file.is_whole() && file.size() == 4));
        let unwanted = seen.pop().unwrap();
        self.session.delete_temps(&[unwanted]).await;
        let placed = self.session.commit_verified(seen).await.pop().unwrap().unwrap();
        assert!(placed.verified);
        assert_eq!(self.bytes("/suite/g").await.unwrap(), b"seen");
        assert_eq!(self.bytes("/suite/h").await.unwrap(), b"h");
        assert_eq!(self.names("/suite").await, ["f", "g", "h"]);
    }

    async fn sizes_and_times_are_told_as_declared(&mut self) {
        let time: Timestamp = TIME.parse().unwrap();
        let can = self.session.capabilities();
        let (f, none) = (path("/suite/f"), path("/suite/none"));
        let told = self.session.stat_many(&[f.clone(), none.clone()]).await.unwrap();
        assert_eq!((told[0].0, told[1]), (Some(5), (None, None)));
        let times = self.session.mtimes(&[f.clone(), none.clone()]).await.unwrap();
        assert_eq!((times[0].is_some(), times[1]), (can.tells_mtime, None));
        let is_it =
            |told: Option<Modified>| matches!(told, Some(Modified::Utc(at, _)) if at == time);
        assert!(!can.sets_mtime || is_it(times[0]) && is_it(told[0].1), "{times:?}");
        if can.sets_mtime {
            let other = time + Duration::from_mins(1);
            self.session.set_modified(&f, other).await.unwrap();
            let times = self.session.mtimes(std::slice::from_ref(&f)).await.unwrap();
            assert!(matches!(times[0], Some(Modified::Utc(at, _)) if at == other), "{times:?}");
        }
        let known = self.session.known(&f, RemoteMeta::default()).await.unwrap();
        assert_eq!(known.size, Some(5));
        let listed = self.session.list_many(&[path("/suite"), none], NextTransfer::None).await;
        let entries = &listed[0].as_ref().unwrap().entries;
        let sizes: Vec<_> = entries.iter().map(|entry| entry.size).collect();
        assert!(sizes.contains(&Some(5)), "{sizes:?}");
        assert_eq!(listed[1].as_ref().unwrap_err().kind, ErrorKind::NotFound);
    }

    async fn paths_are_there_or_gone(&mut self) {
        let (f, none, top) = (path("/suite/f"), path("/suite/none"), path("/suite"));
        let asked = [(f.clone(), false), (none.clone(), false), (top.clone(), true)];
        let facts = self.session.path_facts(&asked).await.unwrap();
        let is_folder: Vec<_> = facts.iter().map(|found| found.map(|it| it.is_folder)).collect();
        assert_eq!(is_folder, [Some(false), None, Some(true)]);
        let absent = |path: &RemotePath| Absent { path: path.clone(), is_folder: false };
        let present = Present { folder: top.clone(), file: Some(f.clone()) };
        let found = self.session.presence(&[absent(&f), absent(&none)], &present).await.unwrap();
        assert_eq!(found, [Presence::There, Presence::Gone]);
        let target = self.session.link_target(&f).await.unwrap();
        assert!(matches!(target, LinkTarget::File { size: Some(5), .. }), "{target:?}");
        let target = self.session.link_target(&top).await.unwrap();
        assert!(matches!(target, LinkTarget::Folder { .. }), "{target:?}");
        assert_eq!(self.session.link_target(&none).await.unwrap(), LinkTarget::Nothing);
        let (bytes, is_other) = self.session.read_if_there_and(&none, &f, 9).await.unwrap();
        assert_eq!((bytes, is_other), (None, true));
        for query in [Query::Listing, Query::Mtime, Query::Stat, Query::Facts, Query::Presence] {
            assert!((1..=ROUND_TRIP_COST).contains(&self.session.cost(query, &f)), "{query:?}");
        }
    }

    async fn bytes_come_back_as_they_were(&mut self) {
        let all: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        self.put("/suite/big", &all).await;
        let (big, hints) = (path("/suite/big"), TransferHints::default());
        let known = RemoteMeta { size: Some(100_000), ..RemoteMeta::default() };
        let mut got = sink();
        let stats = self.session.download_into(&big, &mut got, known, hints).await.unwrap();
        assert_eq!((got.bytes == all, stats.bytes, stats.verified), (true, 100_000, true));
        let mut got = sink();
        let pending = self.session.begin_download(&big, &mut got, known, hints).await.unwrap();
        assert!(got.bytes == all && pending.is_verified());
        assert_eq!(self.session.end_download(pending, Ok(())).unwrap().bytes, 100_000);
        let (none, mut nothing) = (path("/suite/none"), sink());
        let missing = self.session.download_into(&none, &mut nothing, known, hints).await;
        assert!(missing.is_err(), "{missing:?}");
        if self.session.capabilities().hash == Some(HashAlgorithm::Sha256) {
            let hash = self.session.hash(&big, HashAlgorithm::Sha256).await.unwrap();
            assert_eq!(hash, to_hex(Sha256::digest(&all)));
        }
    }

    async fn local_files_go_and_come_with_their_times(&mut self) {
        let scratch = tempfile::tempdir().unwrap();
        let (here, there) = (scratch.path().join("a"), path("/suite/resumed"));
        fs::write(&here, "local bytes").unwrap();
        let mut source = SourceFile::open(&here).unwrap();
        let (top, next) = (path("/suite"), NextTransfer::None);
        let sent =
            self.session.resume_to_temp(&mut source, &there, &top, true, next).await.unwrap();
        self.session.commit(vec![sent]).await.pop().unwrap().unwrap();
        assert_eq!(self.bytes("/suite/resumed").await.unwrap(), b"local bytes");
        let again = SourceFile::open(&here).unwrap();
        let stats = self.session.resume_upload(again, &there, true, next).await.unwrap();
        assert_eq!(stats.bytes, 11);
        let target = scratch.path().join("b");
        let begin = |lasting: Option<&str>| AtomicFile::begin_as(&target, lasting);
        let hints = TransferHints::default();
        let (landing, pending) = self.session.resume_download(&there, begin, hints).await.unwrap();
        let placed = landing.commit(None).map(drop);
        self.session.end_download(pending, placed).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"local bytes");
    }

    async fn permissions_are_set_together_and_fail_one_by_one(&mut self) {
        self.put("/suite/mode", b"x").await;
        let modes = [(path("/suite/mode"), 0o640), (path("/suite/no-such"), 0o600)];
        let set = self.session.set_modes(&modes).await.unwrap();
        assert_eq!((set.len(), set[0].is_ok(), set[1].is_err()), (2, true, true), "{set:?}");
        let listing = self.session.list(&path("/suite")).await.unwrap();
        let entry = listing.entries.iter().find(|entry| entry.name == b"mode").unwrap();
        assert_eq!(entry.mode.map(|mode| mode & 0o777), Some(0o640));
        self.session.remove(&path("/suite/mode")).await.unwrap();
    }

    async fn names_change_and_go(&mut self) {
        self.session.rename(&path("/suite/g"), &path("/suite/i")).await.unwrap();
        assert_eq!(self.bytes("/suite/i").await.unwrap(), b"seen");
        assert_eq!(self.bytes("/suite/g").await, None);
        for name in ["f", "h", "i", "big", "resumed"] {
            self.session.remove(&path(&format!("/suite/{name}"))).await.unwrap();
        }
        let gone = self.session.remove(&path("/suite/f")).await.unwrap_err();
        assert_eq!(gone.kind, ErrorKind::NotFound, "{gone}");
        assert_eq!(self.names("/suite").await, [""; 0]);
    }

    async fn one_of_several_makes_a_folder(&mut self) {
        let (lock, one, two) = (path("/suite/lock"), path("/suite/lock/1"), path("/suite/lock/2"));
        let made = self.session.make_now(&[lock.clone(), one.clone()]).await.unwrap();
        assert!(made.iter().all(Result::is_ok), "{made:?}");
        let mut other = self.session.open_sibling().await.unwrap();
        let made = other.make_now(std::slice::from_ref(&lock)).await.unwrap();
        assert!(made[0].is_err(), "the other session came too late");
        self.session.replace_folder(&two, &one).await.unwrap();
        assert_eq!(self.names("/suite/lock").await, ["2/"]);
        assert!(other.replace_folder(&one, &one).await.is_ok(), "made and removed at once");
        assert!(other.remove_at_last(&[two, lock.clone()]).await);
        assert!(!self.session.exists(&lock).await.unwrap());
        other.leave();
    }
}

/// Runs the whole suite with `session`.
async fn suite<R: RemoteFs>(session: R) {
    let mut bench = Bench { session };
    bench.folders_are_made_with_those_above_and_go_when_empty().await;
    bench.a_file_has_its_name_only_when_it_is_whole().await;
    bench.files_are_committed_together_and_fail_one_by_one().await;
    bench.sizes_and_times_are_told_as_declared().await;
    bench.paths_are_there_or_gone().await;
    bench.bytes_come_back_as_they_were().await;
    bench.local_files_go_and_come_with_their_times().await;
    bench.permissions_are_set_together_and_fail_one_by_one().await;
    bench.names_change_and_go().await;
    bench.one_of_several_makes_a_folder().await;
    bench.session.leave();
}

async fn with_ftp(site: Site) {
    let session = Session::open(site, RunContext::default()).await.unwrap();
    // Boxed: the future of all checks is large.
    Box::pin(suite(session)).await;
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn memory_is_a_remote_file_system() {
    run(suite(MemoryFs::default()));
}

#[test]
fn ftp_on_the_embedded_server_is_a_remote_file_system() {
    // With everything, without facts in listings, and without a command that sets times.
    for plans in [&[][..], &["no-mlsd", "no-mlst"], &["no-mfmt"]] {
        let scratch = tempfile::tempdir().unwrap();
        let plans = plans.iter().map(|plan| FaultPlan::parse(plan).unwrap()).collect();
        let setup = ServerSetup { plans, ..ServerSetup::at(scratch.path()) };
        let server = TestServer::start(setup).unwrap();
        let mut site = Site::new("127.0.0.1");
        site.port = server.address().port();
        site.user = "tester".into();
        site.password = Some(Secret::new("open+sesame-21"));
        run(with_ftp(site));
    }
}

fn on_a_real_server(kind: Kind) {
    let Some(server) = RealServer::start(kind, &Options::default()) else { return };
    let mut site = Site::new("127.0.0.1");
    site.port = server.address().port();
    site.user = RealServer::USER.into();
    site.password = Some(Secret::new(RealServer::PASSWORD));
    run(with_ftp(site));
}

#[test]
fn ftp_on_vsftpd_is_a_remote_file_system() {
    on_a_real_server(Kind::Vsftpd);
}

#[test]
fn ftp_on_proftpd_is_a_remote_file_system() {
    on_a_real_server(Kind::Proftpd);
}

#[test]
fn ftp_on_pure_ftpd_is_a_remote_file_system() {
    on_a_real_server(Kind::PureFtpd);
}

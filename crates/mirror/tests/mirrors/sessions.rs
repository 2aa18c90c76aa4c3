//! Servers that accept few sessions, and end them.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{MirrorFixture, MirrorOptions, assert_same, deleting, write};
use portolan_ftp::site::PARALLEL_AUTO;
use portolan_testserver::ServerSetup;

/// The plans of a server that ends each session after a transfer.
const ENDS: [&str; 3] = ["leave-after=MLSD", "leave-after=RETR", "leave-after=STOR"];

fn tree(folder: &Path) {
    for number in 0..24 {
        write(folder, format!("{}/{number}", number % 4), vec![b'x'; number * 10]);
    }
}

/// Returns the names below `folder` that end as temporary names do.
fn parts(folder: &Path) -> Vec<std::path::PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "part") {
                found.push(path);
            }
        }
    }
    found
}

/// Another client of the account, which takes a session as soon as the server has room for one, and keeps it.
struct OtherClient {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl OtherClient {
    fn start(server: SocketAddr) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                if let Some(_held) = log_in(server) {
                    while !over.load(Ordering::Relaxed) {
                        thread::park_timeout(Duration::from_millis(5));
                    }
                }
                thread::park_timeout(Duration::from_millis(1));
            }
        });
        Self { is_over, thread }
    }

    fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// Logs in, if the server has room for another session.
fn log_in(server: SocketAddr) -> Option<TcpStream> {
    let mut control = TcpStream::connect(server).ok()?;
    let mut replies = BufReader::new(control.try_clone().ok()?).lines();
    for (command, wanted) in [("", "220"), ("USER tester\r\n", "331"), ("PASS secret\r\n", "230")] {
        control.write_all(command.as_bytes()).ok()?;
        replies.next()?.ok().filter(|reply| reply.starts_with(wanted))?;
    }
    Some(control)
}

async fn run(bench: &MirrorFixture, is_up: bool, parallel: u16, what: &str) {
    tree(&if is_up { bench.here() } else { bench.there() });
    let rules = MirrorOptions { parallel, ..deleting() };
    let report = if is_up { bench.up(&rules).await } else { bench.down(&rules).await }.unwrap();
    assert_eq!(report.failed, 0, "{what}: {:?}", report.errors);
    assert_same(&bench.here(), &bench.there());
    assert!(parts(&bench.here()).is_empty(), "{what}: {:?}", parts(&bench.here()));
}

#[tokio::test]
async fn sessions_that_end_after_each_transfer_are_opened_again_in_turn() {
    for sessions_max in 1..=3 {
        for (is_up, parallel) in
            [(true, PARALLEL_AUTO), (false, PARALLEL_AUTO), (true, 4), (false, 4)]
        {
            let bench = MirrorFixture::with(&ENDS, |setup| ServerSetup { sessions_max, ..setup });
            let what = format!("{sessions_max}, {is_up}, {parallel}");
            run(&bench, is_up, parallel, &what).await;
            assert!(parts(&bench.there()).is_empty(), "{what}: {:?}", parts(&bench.there()));
        }
    }
}

#[tokio::test]
async fn sessions_give_way_if_another_client_takes_one() {
    for is_up in [true, false] {
        for parallel in [PARALLEL_AUTO, 3] {
            let sessions_max = 3;
            let bench = MirrorFixture::with(&ENDS, |setup| ServerSetup { sessions_max, ..setup });
            let other = OtherClient::start(bench.server.address());
            run(&bench, is_up, parallel, &format!("{is_up}, {parallel}")).await;
            other.end();
        }
    }
}

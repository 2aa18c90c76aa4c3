//! Eight jobs against a real server behind a relay that breaks connections: in the end every tree is equal to its
//! source, and the scheduler has not grown.

use std::{
    env, fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::scheduler::Scheduler;
use crate::support::{
    server::{Kind, Options, RealServer, free_ports},
    tree::Manifest,
    wait,
};

/// The number of connections in a hundred that are broken, each somewhere in its first kilobytes.
const BROKEN_OF_100: u64 = 5;

/// A relay to the same port of another address that breaks some connections.
struct Relay {
    is_breaking: Arc<AtomicBool>,
    seen: Arc<AtomicU64>,
    broken: Arc<AtomicU64>,
}

impl Relay {
    /// Listens on each first address of `pairs`, and forwards to the second.
    fn start(pairs: &[(SocketAddr, SocketAddr)]) -> Self {
        let relay = Self {
            is_breaking: Arc::new(AtomicBool::new(true)),
            seen: Arc::default(),
            broken: Arc::default(),
        };
        for (from, to) in pairs.iter().copied() {
            let listener = TcpListener::bind(from).unwrap();
            let (seen, broken) = (Arc::clone(&relay.seen), Arc::clone(&relay.broken));
            let is_breaking = Arc::clone(&relay.is_breaking);
            thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let number = seen.fetch_add(1, Ordering::Relaxed);
                    // Multiplied by a prime, so that it does not coincide with a pattern of the jobs.
                    let is_broken = is_breaking.load(Ordering::Relaxed)
                        && number.wrapping_mul(7_919) % 100 < BROKEN_OF_100;
                    if is_broken {
                        broken.fetch_add(1, Ordering::Relaxed);
                    }
                    let limit = if is_broken { number * 37 % 600 } else { u64::MAX };
                    thread::spawn(move || pass(&stream, to, limit));
                }
            });
        }
        relay
    }
}

fn pass(here: &TcpStream, to: SocketAddr, limit: u64) {
    let Ok(there) = TcpStream::connect(to) else { return };
    thread::scope(|scope| {
        scope.spawn(|| copy(here, &there, limit));
        copy(&there, here, limit);
    });
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, mut limit: u64) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        limit = limit.saturating_sub(count as u64);
        if limit == 0 {
            // Both directions at once, like a router that forgets a connection.
            from.shutdown(Shutdown::Both).ok();
            to.shutdown(Shutdown::Both).ok();
            return;
        }
        if to.write_all(bytes.get(..count).unwrap()).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Write).ok();
}

/// Returns the resident kilobytes and open files of a process.
fn size_of(process: u32) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    (kib, fs::read_dir(format!("/proc/{process}/fd")).unwrap().count())
}

const SCRIPT: &str = r#"
let site = ftp::connect(env("SITE"), #{ password: "open+sesame-21", mode: "passive" });
if args.up {
    site.mirror_up(`here/${job::NAME}`, `/${job::NAME}`, #{ delete: true, parallel: 2 });
} else {
    site.mirror_down("/source", `here/${job::NAME}`, #{ delete: true, parallel: 2 });
}
"#;

/// Returns eight jobs: every other one sends, the others fetch.
fn jobs() -> String {
    let job = |number: u32| {
        let way = number.is_multiple_of(2);
        format!(
            "\n[[job]]\nname = \"job{number}\"\nscript = \"job.rhai\"\ncron = \"*/3 * * * * *\"\nretries = 2\n\
             attempt_timeout = \"60s\"\nstall_timeout = \"20s\"\n\
             backoff = {{ initial = \"100ms\", max = \"1s\" }}\n[job.args]\nup = {way}\n"
        )
    };
    (0..8).map(job).collect::<Vec<_>>().concat()
}

/// Returns true if every job has made its tree equal.
fn are_equal(scheduler: &Scheduler, server: &RealServer) -> bool {
    (0..8).all(|number| {
        let here = scheduler.path(&format!("here/job{number}"));
        let there = if number % 2 == 0 { format!("job{number}") } else { "source".to_owned() };
        let there = server.root().join(there);
        // A file that vanishes during the walk belongs to a run that is not over.
        let manifest = |folder| Manifest::at_rest(folder).map(Manifest::without_times);
        let (Ok(ours), Ok(theirs)) = (manifest(&here), manifest(&there)) else { return false };
        here.exists() && there.exists() && ours.difference(&theirs).is_empty()
    })
}

/// Sets up the server and the relay before it. The relay has another address of the loopback, and the same ports: a
/// session opens data connections to the address of its control connection.
fn lay() -> Option<(RealServer, Relay, u16)> {
    let passive = free_ports(32);
    let options = Options { passive_ports: Some(passive.clone()), ..Options::default() };
    let server = RealServer::start(Kind::Vsftpd, &options)?;
    let url = server.url();
    let control: u16 = url.rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap();
    let at = |host: [u8; 4], port| SocketAddr::from((host, port));
    let pair = |port| (at([127, 0, 0, 77], port), at([127, 0, 0, 1], port));
    let relay = Relay::start(&passive.chain([control]).map(pair).collect::<Vec<_>>());
    Some((server, relay, control))
}

#[test]
fn eight_jobs_behind_a_bad_line_have_their_trees_equal_in_the_end() {
    let seconds = env::var("PORTOLAN_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(12));
    let Some((server, relay, control)) = lay() else { return };
    let site = format!("ftp://tester@127.0.0.77:{control}");
    let mut scheduler = Scheduler::new(&jobs()).env("SITE", &site);
    scheduler.file("job.rhai", SCRIPT);
    for file in 0..6_u8 {
        let part = usize::from(file);
        server.file(&format!("source/part/{file}"), vec![file; 3_000 * part]);
        for number in [0, 2, 4, 6] {
            let text = "x".repeat(2_000 * part);
            scheduler.file(&format!("here/job{number}/part/{file}"), &text);
        }
    }
    scheduler.start();
    let process = scheduler.running().id();
    let (begun, mut sizes, mut change) = (Instant::now(), vec![size_of(process)], 0_usize);
    while begun.elapsed() < time {
        thread::park_timeout(Duration::from_secs(2).min(time));
        change += 1;
        // Another size each time: the server gives times to the minute.
        let text = "now".repeat(change);
        server.file(&format!("source/changing{}", change % 5), &text);
        scheduler.file(&format!("here/job{}/changing", change % 4 * 2), &text);
        sizes.push(size_of(process));
    }
    // The relay works again, and no file changes any more: the next run of each job makes its tree equal.
    relay.is_breaking.store(false, Ordering::Relaxed);
    let equal =
        wait::until(Duration::from_secs(40), || are_equal(&scheduler, &server).then_some(()));
    let (first, last) = (sizes[sizes.len() / 3], size_of(process));
    let figures = figures(&scheduler, &relay, time, first, last);
    println!("{figures}");
    assert!(equal.is_some(), "a tree is not equal; {figures}");
    assert!(relay.broken.load(Ordering::Relaxed) > 0, "{figures}");
    // A pipe or two of a run in progress; a page or two of a cache.
    assert!(last.1 <= first.1 + 40, "{figures}");
    assert!(last.0 <= first.0 + 8 * 1024, "{figures}");
    scheduler.stop();
}

fn figures(
    scheduler: &Scheduler,
    relay: &Relay,
    time: Duration,
    first: (u64, usize),
    last: (u64, usize),
) -> String {
    let runs = scheduler.runs();
    let count = |outcome: &str| runs.iter().filter(|run| run["outcome"] == outcome).count();
    let outcomes = ["done", "partial", "failed", "skipped"];
    let outcomes = outcomes.map(|outcome| format!("{} {outcome}", count(outcome))).join(", ");
    let retried = runs.iter().filter(|run| run["attempts"].as_i64() > Some(1)).count();
    format!(
        "{} s: {} connections, {} broken; {} slots: {outcomes}; {retried} took more than one attempt; memory {} -> {} KiB, \
         open files {} -> {}",
        time.as_secs(),
        relay.seen.load(Ordering::Relaxed),
        relay.broken.load(Ordering::Relaxed),
        runs.len(),
        first.0,
        last.0,
        first.1,
        last.1,
    )
}

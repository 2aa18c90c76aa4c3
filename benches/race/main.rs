//! Trees and large files by this program and by its peers, in turns, over links with and without delay.
//!
//! ```text
//! cargo bench --bench race                                       everything, some 20 minutes
//! PORTOLAN_RACE_RTT=20 PORTOLAN_RACE_SESSIONS=8 PORTOLAN_RACE_ITEMS=down,up cargo bench --bench race
//! ```
//!
//! `PORTOLAN_RACE_RTT` (0,20,100: milliseconds), `PORTOLAN_RACE_SESSIONS` (1,8), `PORTOLAN_RACE_ITEMS` (all),
//! `PORTOLAN_RACE_TLS` (0,1: without encryption, with explicit TLS), `PORTOLAN_RACE_FILES` (5000 without delay, fewer with it), `PORTOLAN_RACE_BYTES` (1 GiB), `PORTOLAN_RACE_ROUNDS` (3);
//! `PORTOLAN_RACE_OTHER` is the path of another build of Portolan, such as that of an earlier commit, which then runs in turns as well.
//!
//! The server is a vsftpd in a network namespace of its own. What arrives is compared by hashes after each run; a run
//! with nothing to do must leave every file as it was. Medians count; ratios are to the best peer of the same cell.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that cannot go on has failed, and prints what it found"
)]

#[expect(dead_code, reason = "the other bench prints it in another way")]
#[path = "../big_file/measure.rs"]
mod measure;
mod net;
mod peers;
#[expect(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../../tests/it/support/mod.rs"]
mod support;
mod work;

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
};

use measure::{Cost, measure};
use net::Net;
use peers::Peer;
use work::{Bench, Item, Job, Sources};

fn main() {
    let list = |name: &str, usual: &str| -> Vec<String> {
        let text = env::var(name).unwrap_or_else(|_| usual.to_owned());
        text.split(',').map(|part| part.trim().to_owned()).collect()
    };
    let number = |name: &str, usual: u64| {
        env::var(name)
            .map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
    };
    let all = Item::ALL.map(Item::name).join(",");
    let asked = list("PORTOLAN_RACE_ITEMS", &all);
    let items: Vec<_> =
        Item::ALL.into_iter().filter(|item| asked.iter().any(|it| it == item.name())).collect();
    let securities: Vec<_> =
        list("PORTOLAN_RACE_TLS", "0,1").iter().map(|text| text.as_str() == "1").collect();
    let rounds = usize::try_from(number("PORTOLAN_RACE_ROUNDS", 3)).unwrap();
    let bytes = number("PORTOLAN_RACE_BYTES", 1 << 30);
    println!(
        "| RTT ms | TLS | sessions | work | program | wall s | to the best peer | processor s | to lftp | peak MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for rtt in list("PORTOLAN_RACE_RTT", "0,20,100") {
        let rtt: u32 = rtt.parse().unwrap_or_else(|_| panic!("PORTOLAN_RACE_RTT={rtt}"));
        for sessions in list("PORTOLAN_RACE_SESSIONS", "1,8") {
            let sessions = sessions.parse().unwrap_or_else(|_| panic!("PORTOLAN_RACE_SESSIONS"));
            let files = number("PORTOLAN_RACE_FILES", usual_files(rtt, sessions));
            let scratch = memory_folder();
            let bytes = if items.iter().any(|item| item.is_big()) { bytes } else { 0 };
            let files = usize::try_from(files).unwrap();
            let sources = Sources::make(&scratch.path().join("source"), files, bytes);
            for is_tls in &securities {
                for item in &items {
                    let place = Place { rtt, is_tls: *is_tls, sessions };
                    if !cell(place, *item, &sources, scratch.path(), rounds) {
                        return;
                    }
                }
            }
        }
    }
}

/// The circumstances of a cell of the table.
#[derive(Debug, Clone, Copy)]
struct Place {
    rtt: u32,
    is_tls: bool,
    sessions: u16,
}

/// Returns the number of files that take ten to twenty seconds to transfer.
fn usual_files(rtt: u32, sessions: u16) -> u64 {
    match (rtt, sessions) {
        (0, _) => 5000,
        (..50, 1) => 200,
        (..50, _) => 1000,
        (_, 1) => 50,
        _ => 200,
    }
}

/// Returns a directory in memory if there is one: the speed of a disk varies.
fn memory_folder() -> tempfile::TempDir {
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("portolan-race-");
        builder
    };
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { builder().tempdir_in(shared) } else { builder().tempdir() }.unwrap()
}

/// Runs the work several times with each program, in turns, and prints the times. Returns false if no race is possible
/// here.
fn cell(place: Place, item: Item, sources: &Sources, scratch: &Path, rounds: usize) -> bool {
    let peers: Vec<_> = Peer::ALL.into_iter().filter(|peer| peer.is_installed()).collect();
    let mut costs: Vec<(Peer, Vec<Cost>)> = peers.iter().map(|peer| (*peer, Vec::new())).collect();
    for round in 0..rounds {
        for turn in 0..costs.len() {
            let count = costs.len();
            let (peer, costs) = costs.get_mut((turn + round) % count).unwrap();
            // A fresh network: connections that have just ended would keep their ports from this one.
            let Some(net) = Net::lay(place.rtt, place.is_tls) else { return false };
            let bench = Bench::lay(item, *peer, sources, scratch, &net.server);
            let home: PathBuf = scratch.join("home");
            std::fs::create_dir_all(&home).unwrap();
            std::fs::write(home.join("rclone.conf"), "").unwrap();
            let Bench { here, there, .. } = &bench;
            let job = Job { item, sessions: place.sessions, here, there, home: &home };
            let Some(mut command) = peer.command(&net, &job) else { continue };
            peer.prepare(&net, &job);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            costs.push(measure(&mut command));
            bench.check(peer.name());
        }
    }
    print(place, item, &mut costs);
    true
}

fn print(Place { rtt, is_tls, sessions }: Place, item: Item, costs: &mut [(Peer, Vec<Cost>)]) {
    let mut medians: Vec<_> =
        costs.iter_mut().filter_map(|(peer, costs)| Some((*peer, median(costs)?))).collect();
    let walls = medians.iter().filter(|(peer, _)| !peer.is_ours()).map(|(_, cost)| cost.wall);
    let best = walls.min_by(f64::total_cmp);
    let lftp = medians.iter().find(|(peer, _)| *peer == Peer::Lftp).map(|(_, cost)| cost.processor);
    medians.sort_by(|(_, one), (_, other)| one.wall.total_cmp(&other.wall));
    let ratio = |ours: f64, theirs: Option<f64>| {
        theirs.map_or("-".to_owned(), |theirs| format!("{:.2}", ours / theirs.max(0.01)))
    };
    for (peer, cost) in medians {
        println!(
            "| {rtt} | {} | {sessions} | {} | {} | {:.2} | {} | {:.2} | {} | {:.1} |",
            if is_tls { "yes" } else { "no" },
            item.name(),
            peer.name(),
            cost.wall,
            ratio(cost.wall, best),
            cost.processor,
            ratio(cost.processor, lftp),
            measure::mebibytes(cost.memory),
        );
    }
}

/// Returns the median of each figure.
fn median(costs: &mut [Cost]) -> Option<Cost> {
    let middle = costs.len() / 2;
    costs.sort_by(|one, other| one.processor.total_cmp(&other.processor));
    let processor = costs.get(middle)?.processor;
    let memory = costs.iter().map(|cost| cost.memory).max()?;
    costs.sort_by(|one, other| one.wall.total_cmp(&other.wall));
    Some(Cost { wall: costs.get(middle)?.wall, processor, memory })
}

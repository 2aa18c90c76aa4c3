//! The cost of permissions: the start of a run, a login with one listing, and one large file, with and without a sandbox in
//! turns.
//!
//! ```text
//! cargo bench --bench confined
//! PORTOLAN_BENCH_PROGRAM=/usr/bin/portolan cargo bench --bench confined    another build of the program
//! ```
//!
//! The aim is 1.02. The median of the short runs counts, and the best of the transfers, since the machine may have other
//! work; the processor time is that of all rounds.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that cannot go on has failed, and prints what it found"
)]

#[expect(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../../tests/it/support/mod.rs"]
mod support;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use support::{
    rehearsal::Rehearsal,
    server::{Kind, Options, RealServer},
};

/// The clock ticks per second in which Linux counts processor time.
const TICKS: f64 = 100.0;

/// The rounds of a task: the seconds of each, and the processor time of all.
#[derive(Default)]
struct Rounds {
    wall: Vec<f64>,
    processor: f64,
}

/// A directory in which scripts run against one server.
struct Desk {
    program: PathBuf,
    folder: tempfile::TempDir,
    url: String,
    flags: Vec<String>,
}

impl Desk {
    fn new(url: String, address: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("got")).unwrap();
        let program = env::var_os("PORTOLAN_BENCH_PROGRAM").map(PathBuf::from);
        let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_portolan").into());
        let flags = ["--require-sandbox", "--allow-write=got", &format!("--allow-net={address}")];
        Self { program, folder, url, flags: flags.map(str::to_owned).to_vec() }
    }

    /// Runs `script` without and with permissions in turns, and prints what both took.
    fn compare(&self, task: &str, script: &str, rounds: usize, of: fn(&[f64]) -> f64) {
        fs::write(self.folder.path().join("script.rhai"), script).unwrap();
        let mut costs = [Rounds::default(), Rounds::default()];
        // The first round warms the caches.
        for round in 0..=rounds {
            for (cost, flags) in costs.iter_mut().zip([&[][..], &self.flags]) {
                fs::remove_file(self.folder.path().join("got/big")).ok();
                let before = children();
                let wall = self.run(flags);
                if round > 0 {
                    cost.wall.push(wall);
                    cost.processor += children() - before;
                }
            }
        }
        let [free, confined] = costs.map(|mut cost| {
            cost.wall.sort_by(f64::total_cmp);
            (of(&cost.wall) * 1e3, cost.processor * 1e3 / rounds_of(rounds))
        });
        println!(
            "{task:<24} {:9.2} / {:<9.2} {:5.3} {:9.2} / {:<9.2} {:5.3}",
            confined.0,
            free.0,
            confined.0 / free.0,
            confined.1,
            free.1,
            confined.1 / free.1
        );
    }

    fn run(&self, flags: &[String]) -> f64 {
        let mut command = Command::new(&self.program);
        command.args(["--quiet", "--state", "state", "run"]).args(flags).arg("script.rhai");
        command.arg(&self.url).current_dir(self.folder.path());
        command.env("PORTOLAN_PASSWORD", RealServer::PASSWORD).stdout(Stdio::null());
        let began = Instant::now();
        assert!(command.status().unwrap().success(), "{command:?}");
        began.elapsed().as_secs_f64()
    }
}

fn main() {
    let number = |name: &str, usual| env::var(name).map_or(usual, |text| text.parse().unwrap());
    let rounds = number("PORTOLAN_BENCH_ROUNDS", 200);
    println!("confined / not             wall ms                   processor ms");
    let server = Rehearsal::start(&[], false);
    server.file("a/b", "text");
    let address = server.server.address().to_string();
    let desk = Desk::new(format!("ftp://tester@{address}"), &address);
    desk.compare("start", "print(1);", rounds, median);
    let login = "let site = ftp::connect(args[0]); print(site.list(\"/a\").len());";
    desk.compare("login, one listing", login, rounds, median);
    let Some(server) = RealServer::start(Kind::Vsftpd, &Options::default()) else { return };
    let bytes = number("PORTOLAN_BENCH_BYTES", 512 * 1024 * 1024);
    fill(&server.root().join("big"), bytes.try_into().unwrap());
    server.own_all();
    let desk = Desk::new(server.url(), &server.address().to_string());
    let get = "ftp::connect(args[0]).get(\"big\", \"got/big\");";
    desk.compare(&format!("get of {} MiB", bytes >> 20), get, 7, best);
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn best(sorted: &[f64]) -> f64 {
    sorted.first().copied().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "some hundred")]
fn rounds_of(rounds: usize) -> f64 {
    rounds as f64
}

/// Returns the processor seconds, user and system, of all children that have ended (`proc(5)`: cutime and cstime).
fn children() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap();
    // The name of the program is in parentheses and may contain anything.
    let (_, fields) = text.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(13).take(2);
    ticks.map(|field| field.parse::<f64>().unwrap() / TICKS).sum()
}

fn fill(path: &Path, bytes: u64) {
    let file = fs::File::create(path).unwrap();
    file.set_len(bytes).unwrap();
}

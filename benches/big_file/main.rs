//! One large file down and up, by this library and by curl in turns, over loopback: time, processor and memory.
//!
//! ```text
//! cargo bench --bench big_file                                   1 GiB, against a vsftpd of our own
//! PORTOLAN_BENCH_BYTES=67108864 cargo bench --bench big_file     64 MiB, as the pipeline does it
//! PORTOLAN_BENCH_URL=ftpes://user:password@host/ …               another server instead
//! ```
//!
//! The best of some rounds counts, since the machine may have other work. The targets: 1.15 times curl's time, no more
//! processor time than curl, 64 MiB at most. The rows with a pipe send and write what `put - URL` and `get URL -` do: the
//! wall time of curl or less, and the same memory for any size.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that cannot go on has failed, and prints what it found"
)]

mod client;
mod landing;
mod measure;
#[expect(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../../tests/it/support/mod.rs"]
mod support;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use measure::{Cost, measure, measure_fed, measure_read};
use support::server::{Kind, Options, RealServer, Tls};

/// The environment variable in which the bench passes a task to a copy of itself.
const TASK: &str = "PORTOLAN_BENCH_TASK";
/// The peak memory that is allowed, whatever the size of the file.
const MEMORY_MAX: u64 = 64 * 1024 * 1024;

/// The input of both programs.
struct Job {
    /// The URL in our syntax, with the password.
    url: String,
    ca: Option<PathBuf>,
    folder: PathBuf,
    /// The root directory of the server if it is one of our own.
    root: Option<PathBuf>,
    bytes: u64,
    rounds: usize,
}

impl Job {
    fn ours(&self, task: &str) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command.env(TASK, task).arg(&self.url).arg(self.folder.join(task));
        command.args(&self.ca);
        command
    }

    fn curl(&self, task: &str) -> Command {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--fail"]);
        if let Some(ca) = &self.ca {
            command.arg("--cacert").arg(ca);
        }
        if self.url.starts_with("ftpes:") {
            command.arg("--ssl-reqd");
        }
        let url = format!("{}big", self.url.replace("ftpes:", "ftp:"));
        let file = self.folder.join(task);
        match task {
            "get" => command.arg("--output").arg(file).arg(url),
            "get pipe" => command.arg(url),
            "put pipe" => command.args(["--upload-file", "-"]).arg(url + "-by-curl"),
            _ => command.arg("--upload-file").arg(file).arg(url + "-by-curl"),
        };
        command
    }
}

fn main() {
    if let Ok(task) = env::var(TASK) {
        return client::transfer(&task, env::args().skip(1));
    }
    let number = |name: &str, usual| {
        env::var(name)
            .map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
    };
    let bytes = number("PORTOLAN_BENCH_BYTES", 1 << 30);
    let rounds = usize::try_from(number("PORTOLAN_BENCH_ROUNDS", 3)).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().to_owned();
    fill(&folder.join("put"), bytes);
    println!("{} MiB, the best of {rounds}; ratios are ours to curl's", bytes >> 20);
    println!("{:<14} {:>16} {:>24} {:>16}", "", "wall s", "processor s", "peak MiB");
    if let Ok(url) = env::var("PORTOLAN_BENCH_URL") {
        race(&Job { url, ca: None, folder, root: None, bytes, rounds }, "");
    } else {
        for (tls, words) in [(Tls::Off, "plain"), (Tls::Explicit, "TLS")] {
            let options = Options { tls, ..Options::default() };
            let Some(server) = RealServer::start(Kind::Vsftpd, &options) else { return };
            let login = format!("{}:{}@", RealServer::USER, RealServer::PASSWORD);
            let url = server.url().replace(&format!("{}@", RealServer::USER), &login);
            let ca = (tls != Tls::Off).then(|| server.ca());
            let (folder, root) = (folder.clone(), Some(server.root()));
            race(&Job { url, ca, folder, root, bytes, rounds }, words);
        }
    }
    landing::compare(&scratch, bytes);
}

/// Runs each task with each program several times, in turns.
fn race(job: &Job, words: &str) {
    for task in ["put", "get", "put pipe", "get pipe"] {
        let mut best: [Option<Cost>; 2] = [None, None];
        for _ in 0..job.rounds {
            // Ours last: the file that it uploads is the one that both download.
            let commands = [job.curl(task), job.ours(task)];
            for (best, mut command) in best.iter_mut().zip(commands) {
                prepare(job, task);
                let cost = match task {
                    "put pipe" => measure_fed(&mut command, &job.folder.join("put"), job.bytes),
                    "get pipe" => measure_read(&mut command, job.bytes),
                    _ => measure(&mut command),
                };
                check(job, task);
                *best = Some(best.map_or(cost, |before| before.better(&cost)));
            }
        }
        let [Some(curl), Some(ours)] = best else { continue };
        ours.print(&curl, &format!("{task} {words}"));
        assert!(ours.memory <= MEMORY_MAX, "{} bytes of memory", ours.memory);
    }
}

/// Prepares the same start for both: no file to overwrite, and no dirty pages left to write to the disk.
fn prepare(job: &Job, task: &str) {
    if let Some(root) = job.root.as_ref().filter(|_| task.starts_with("put")) {
        for name in ["big", "big-by-curl"] {
            fs::remove_file(root.join(name)).ok();
        }
    }
    rustix::fs::sync();
}

/// Checks that the result has the right size; its content is for the tests to check.
fn check(job: &Job, task: &str) {
    if task == "put pipe" {
        let sizes =
            job.root.iter().flat_map(|root| ["big", "big-by-curl"].map(|name| root.join(name)));
        let sizes = sizes.filter_map(|file| Some(fs::metadata(file).ok()?.len()));
        assert!(sizes.into_iter().all(|size| size == job.bytes));
    }
    if task.ends_with("pipe") {
        return;
    }
    let file = job.folder.join(task);
    assert_eq!(fs::metadata(&file).unwrap().len(), job.bytes, "{}", file.display());
    if task == "get" {
        fs::remove_file(file).unwrap();
    }
}

/// Makes an incompressible file that is in the page cache afterwards.
fn fill(path: &Path, bytes: u64) {
    use std::io::{Read, Write};
    let mut random = fs::File::open("/dev/urandom").unwrap();
    let mut block = vec![0; 1 << 20];
    random.read_exact(&mut block).unwrap();
    let mut file = fs::File::create(path).unwrap();
    let mut left = bytes;
    while left > 0 {
        let count = block.len().min(usize::try_from(left).unwrap());
        file.write_all(block.get(..count).unwrap()).unwrap();
        left -= count as u64;
    }
}

//! Execution of system programs: lookup, input, output and time limit.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{self, Read, Seek, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use rustix::{
    fs::{MemfdFlags, memfd_create},
    process::{Pid, Signal, kill_process_group},
};

use portolan_core::limits::{NAT_LISTING_BYTES_MAX, NAT_TOOL_TIME_MAX};

/// The directories of these programs, which are not in every user's `PATH`.
const MORE_PATH: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"];

/// The result of a program.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) ok: bool,
    pub(super) out: String,
    pub(super) err: String,
}

/// The commands that create an empty network namespace: for root, and for other users in a user namespace.
const SCRATCHES: [&[&str]; 2] =
    [&["unshare", "--net"], &["unshare", "--user", "--map-root-user", "--net"]];

/// Returns `PATH` with the directories of system programs appended.
fn path() -> OsString {
    let own = env::var_os("PATH").unwrap_or_default();
    let all = env::split_paths(&own).chain(MORE_PATH.map(PathBuf::from));
    env::join_paths(all).unwrap_or(own)
}

/// Returns a command with the environment that these programs need, and English errors.
pub(super) fn command(words: &[&str]) -> Command {
    let (program, arguments) = words.split_first().unwrap_or((&"false", &[]));
    let mut command = Command::new(program);
    // A process group of its own: an interrupt from the keyboard reaches only portolan, and leaves no change half done.
    command.args(arguments).env("PATH", path()).env("LC_ALL", "C").process_group(0);
    command
}

/// Runs a program to its end with `input` as its standard input; it is killed when that takes too long. The input is a
/// file in memory, not a pipe: if this process is killed, the program still has all of its input.
pub(super) fn run(words: &[&str], input: &str) -> io::Result<Ran> {
    run_for(words, input, time_max())
}

/// Returns the time limit of a program, which the environment may shorten.
fn time_max() -> Duration {
    let told = env::var("PORTOLAN_NAT_TOOL_SECONDS").ok().and_then(|text| text.parse().ok());
    told.map_or(NAT_TOOL_TIME_MAX, |told| Duration::from_secs(told).min(NAT_TOOL_TIME_MAX))
}

fn run_for(words: &[&str], input: &str, time: Duration) -> io::Result<Ran> {
    let mut file = File::from(memfd_create("input", MemfdFlags::CLOEXEC)?);
    file.write_all(input.as_bytes())?;
    file.rewind()?;
    let mut command = command(words);
    command.stdin(file).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let group = Pid::from_child(&child);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (done, over) = mpsc::channel::<()>();
    let (out, err, is_late) = thread::scope(|scope| {
        let err = scope.spawn(|| read(err));
        let watch = scope.spawn(move || {
            let is_late = over.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
            // Includes its children, which hold the pipes as well.
            is_late && kill_process_group(group, Signal::KILL).is_ok()
        });
        let out = read(out);
        let err = err.join().unwrap_or_default();
        drop(done);
        (out, err, watch.join().unwrap_or_default())
    });
    let ok = child.wait()?.success();
    if is_late {
        let text = format!("it did not end within {} s and was killed", time.as_secs());
        return Err(io::Error::new(io::ErrorKind::TimedOut, text));
    }
    Ok(Ran { ok, out, err })
}

/// Runs a program in an empty network namespace; `None` if none can be created.
pub(super) fn scratch(words: &[&str], input: &str) -> Option<Ran> {
    SCRATCHES.iter().find_map(|scratch| {
        let words: Vec<_> = scratch.iter().chain(words).copied().collect();
        // No namespace can be created this way; the other command may succeed.
        run(&words, input).ok().filter(|ran| ran.ok || !ran.err.starts_with("unshare:"))
    })
}

fn read(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // Output read before an error of the pipe is kept.
        pipe.take(NAT_LISTING_BYTES_MAX).read_to_end(&mut bytes).ok();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_end_is_ended_with_all_that_it_has_started() {
        let words = ["sh", "-c", "sleep 600 & wait"];
        let error = run_for(&words, "", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let ran = run(&["sh", "-c", "cat; echo no >&2; exit 3"], "yes").unwrap();
        assert_eq!((ran.ok, ran.out.as_str(), ran.err.as_str()), (false, "yes", "no\n"));
    }
}

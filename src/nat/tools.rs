//! Programs of this machine that we run: found, fed and heard.

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

use crate::limits::{NAT_LISTING_BYTES_MAX, NAT_TOOL_TIME_MAX};

/// Where these programs are, though not in everybody's `PATH`.
const MORE_PATH: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"];

/// What came of a program.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) ok: bool,
    pub(super) out: String,
    pub(super) err: String,
}

/// Who makes an empty network: root by itself, everybody else in a user namespace.
const SCRATCHES: [&[&str]; 2] =
    [&["unshare", "--net"], &["unshare", "--user", "--map-root-user", "--net"]];

/// `PATH` with the places of system programs behind it.
fn path() -> OsString {
    let own = env::var_os("PATH").unwrap_or_default();
    let all = env::split_paths(&own).chain(MORE_PATH.map(PathBuf::from));
    env::join_paths(all).unwrap_or(own)
}

/// A command with the environment that these programs need, and English errors.
pub(super) fn command(words: &[&str]) -> Command {
    let (program, arguments) = words.split_first().unwrap_or((&"false", &[]));
    let mut command = Command::new(program);
    // Of a group of its own: an interrupt from the keyboard is ours to hear, and leaves nothing half done.
    command.args(arguments).env("PATH", path()).env("LC_ALL", "C").process_group(0);
    command
}

/// Runs a program to its end with `input` as its standard input; it is killed when that takes too long. The input is a
/// file in memory and no pipe: whoever ends us halfway does not leave the program with half of its input.
pub(super) fn run(words: &[&str], input: &str) -> io::Result<Ran> {
    run_for(words, input, NAT_TOOL_TIME_MAX)
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
            // With all that it has started: they hold the pipes as well.
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

/// Runs a program in an empty network of its own; nothing where there can be none.
pub(super) fn scratch(words: &[&str], input: &str) -> Option<Ran> {
    SCRATCHES.iter().find_map(|scratch| {
        let words: Vec<_> = scratch.iter().chain(words).copied().collect();
        // No such network here; another way may lead to one.
        run(&words, input).ok().filter(|ran| ran.ok || !ran.err.starts_with("unshare:"))
    })
}

fn read(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // A pipe that breaks has brought what it has brought.
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

//! Programs of this machine that we run: found, fed and heard.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{self, Read, Seek, Write},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use rustix::fs::{MemfdFlags, memfd_create};

use crate::limits::NAT_LISTING_BYTES_MAX;

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
    command.args(arguments).env("PATH", path()).env("LC_ALL", "C");
    command
}

/// Runs a program to its end with `input` as its standard input. That is a file in memory and no pipe: whoever ends us
/// halfway does not leave the program with half of its input.
pub(super) fn run(words: &[&str], input: &str) -> io::Result<Ran> {
    let mut file = File::from(memfd_create("input", MemfdFlags::CLOEXEC)?);
    file.write_all(input.as_bytes())?;
    file.rewind()?;
    let mut command = command(words);
    command.stdin(file).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (out, err) = thread::scope(|scope| {
        let err = scope.spawn(|| read(err));
        let out = read(out);
        (out, err.join().unwrap_or_default())
    });
    Ok(Ran { ok: child.wait()?.success(), out, err })
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

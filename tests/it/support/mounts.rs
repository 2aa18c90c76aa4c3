//! Mounts for one test: a namespace that a process holds, so that they end with the test, however it ends.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{program::Portolan, server::skip};

/// A namespace with a mount of its own.
pub(crate) struct Mounts {
    keeper: Child,
}

impl Mounts {
    /// Opens a namespace in which a shell has run `script`. `None` if that is impossible here, which has then been
    /// reported.
    pub(crate) fn open(script: &str) -> Option<Self> {
        let script = format!("set -e\n{script}\necho up; read -r _ || true");
        Self::held_by(Command::new("unshare").args(["--mount", "sh", "-c", &script]))
    }

    /// Opens the namespace that `command` holds: it prints `up` once it is ready, and ends with its standard input.
    pub(crate) fn held_by(command: &mut Command) -> Option<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut keeper = command.spawn().unwrap();
        let lines = BufReader::new(keeper.stdout.take().unwrap()).lines();
        if lines.map_while(Result::ok).any(|line| line == "up") {
            return Some(Self { keeper });
        }
        drop(keeper.stdin.take());
        let said = keeper.wait_with_output().unwrap().stderr;
        skip(&format!("nothing can be mounted here: {}", String::from_utf8_lossy(&said).trim()));
        None
    }

    /// Returns the program in it.
    pub(crate) fn enter(&self, program: Portolan) -> Portolan {
        program.played_in_mounts_of(self.keeper.id())
    }

    /// Returns the path at which the test finds what is at `path` in it.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        let inner = path.strip_prefix("/").unwrap();
        Path::new("/proc").join(self.keeper.id().to_string()).join("root").join(inner)
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}

/// A small disk at `top`.
pub(crate) struct SmallDisk {
    mounts: Mounts,
    top: PathBuf,
}

impl SmallDisk {
    /// Mounts one of `kib` kibibytes at the directory `top`.
    pub(crate) fn at(top: &Path, kib: u32) -> Option<Self> {
        let shown = top.display();
        let mounts =
            Mounts::open(&format!("mount -t tmpfs -o size={kib}k,mode=700 tmpfs '{shown}'"))?;
        Some(Self { mounts, top: top.to_owned() })
    }

    pub(crate) fn enter(&self, program: Portolan) -> Portolan {
        self.mounts.enter(program)
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.mounts.path(&self.top.join("filler"))).unwrap();
        let piece = vec![b'x'; 64 * 1024];
        let mut size = piece.len();
        while size > 0 {
            if file.write(piece.get(..size).unwrap()).is_err() {
                size /= 2;
            }
        }
    }

    /// Fills it but for so many kibibytes.
    pub(crate) fn fill_but(&self, kib: u64) {
        self.fill();
        let path = self.mounts.path(&self.top.join("filler"));
        let file = File::options().write(true).open(path).unwrap();
        let size = file.metadata().unwrap().len();
        file.set_len(size - kib * 1024).unwrap();
    }

    /// Returns the path at which the test finds what is at `path` on it.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        self.mounts.path(path)
    }

    /// Makes room again.
    pub(crate) fn clear(&self) {
        fs::remove_file(self.mounts.path(&self.top.join("filler"))).unwrap();
    }
}

//! An empty network namespace, held by a process: it ends with this process, however that ends.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    os::fd::AsFd,
    process::{Child, Stdio},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::unavailable;
use crate::tools;
use portolan_core::{error::Result, observe::visible::visible};

/// The script that holds the namespace until its standard input closes.
const KEEPER: &str = "echo up; read -r _ || true";

/// An empty network namespace, held by a process.
#[derive(Debug)]
pub(crate) struct Space {
    keeper: Child,
    network: File,
}

impl Space {
    /// Opens a namespace. Fails with `nat.no_twin` where this process may not, or cannot.
    pub(crate) fn open() -> Result<Self> {
        let mut command = tools::command(&["unshare", "--net", "sh", "-c", KEEPER]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut keeper =
            command.spawn().map_err(|error| unavailable(&format!("unshare: {error}")))?;
        let mut line = String::new();
        let is_up = keeper
            .stdout
            .take()
            .is_some_and(|out| BufReader::new(out).read_line(&mut line).is_ok() && line == "up\n");
        if !is_up {
            let said = keeper.wait_with_output().map(|done| done.stderr).unwrap_or_default();
            return Err(unavailable(&visible(String::from_utf8_lossy(&said).trim())));
        }
        let path = format!("/proc/{}/ns/net", keeper.id());
        let network =
            File::open(&path).map_err(|error| unavailable(&format!("{path}: {error}")))?;
        let space = Self { keeper, network };
        space.within(|| ())?;
        Ok(space)
    }

    /// Returns the process that holds it, for `ip link … netns`.
    pub(crate) fn pid(&self) -> u32 {
        self.keeper.id()
    }

    /// Runs `work` in it, on a thread of its own; programs that it starts run there as well.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let inside = || {
            move_into_link_name_space(self.network.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|error| unavailable(&format!("setns: {error}")))?;
            Ok(work())
        };
        thread::scope(|scope| {
            let ended = scope.spawn(inside).join();
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().ok();
    }
}

//! `nft monitor trace`, run while packets are sent.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use super::unavailable;
use crate::tools;
use portolan_core::error::Result;

/// The sockets of netlink in this namespace: kind, process, groups and so on.
const SOCKETS: &str = "/proc/thread-self/net/netlink";
/// The kind of those of netfilter, and the group of traces, as that file prints them.
const NETFILTER: &str = "12";
const TRACES: u32 = 1 << 8;
/// The maximum time until the monitor listens.
const START_MAX: Duration = Duration::from_secs(3);
/// The time between two looks at whether it listens.
const LOOK: Duration = Duration::from_millis(2);
/// The maximum length of one line, and of all.
const LINES_MAX: usize = 200_000;

/// A running monitor, of the namespace in which it was started.
#[derive(Debug)]
pub(super) struct Monitor {
    nft: Child,
    lines: Receiver<String>,
}

impl Monitor {
    /// Starts it in this namespace; it listens when this returns.
    pub(super) fn start() -> Result<Self> {
        let mut command = tools::command(&["nft", "monitor", "trace"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut nft =
            command.spawn().map_err(|error| unavailable(&format!("nft monitor: {error}")))?;
        let (send, lines) = mpsc::channel();
        if let Some(out) = nft.stdout.take() {
            thread::spawn(move || {
                for line in
                    BufReader::new(out).lines().take(LINES_MAX).map_while(std::io::Result::ok)
                {
                    if send.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let mut monitor = Self { nft, lines };
        let limit = Instant::now() + START_MAX;
        while !monitor.is_listening() {
            let is_over = monitor.nft.try_wait().is_ok_and(|ended| ended.is_some());
            if is_over || Instant::now() > limit {
                return Err(unavailable("`nft monitor trace` does not listen"));
            }
            // Nothing arrives yet: this waits for the time of one look.
            drop(monitor.lines.recv_timeout(LOOK));
        }
        Ok(monitor)
    }

    fn is_listening(&self) -> bool {
        let own = self.nft.id().to_string();
        fs::read_to_string(SOCKETS).unwrap_or_default().lines().any(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let groups = fields.get(3).and_then(|groups| u32::from_str_radix(groups, 16).ok());
            fields.get(1) == Some(&NETFILTER)
                && fields.get(2) == Some(&own.as_str())
                && groups.is_some_and(|groups| groups & TRACES != 0)
        })
    }

    /// Returns the lines until `is_last` is true of as many as `count`, or until `time` is over.
    pub(super) fn lines(
        &self,
        count: usize,
        time: Duration,
        mut is_last: impl FnMut(&str) -> bool,
    ) -> Vec<String> {
        let mut lines = Vec::new();
        let (mut left, limit) = (count, Instant::now() + time);
        while left > 0 {
            match self.lines.recv_timeout(limit.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    left -= usize::from(is_last(&line));
                    lines.push(line);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        lines
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.nft.kill().ok();
        self.nft.wait().ok();
    }
}

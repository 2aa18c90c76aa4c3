//! Notifications: what one process writes for another wakes it at once. They may be lost, for instance behind a pooler of
//! connections that gives a session to another client after each transaction: a process that waits for one also polls from time
//! to time.

use super::{
    Store,
    sql::{Sql, SqlResult, values},
};
use portolan_core::error::Result;

/// The process that is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addressee<'a> {
    /// The leader: there is a request, or a run has ended.
    Leader,
    /// The worker of this name: a run was dispatched to it, or is to be stopped.
    Worker(&'a str),
}

/// The channel of the leader.
const LEADER: &str = "portolan_leader";

impl Addressee<'_> {
    /// Returns the name of its channel. Those of workers are hashes: a channel has up to 63 bytes, and a wrong wake costs a
    /// look.
    pub(crate) fn channel(self) -> String {
        match self {
            Self::Leader => LEADER.to_owned(),
            Self::Worker(name) => {
                // FNV-1a.
                let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                });
                format!("portolan_worker_{hash:016x}")
            }
        }
    }
}

/// Wakes an addressee once the transaction has been committed.
pub(crate) fn wake_in(sql: &dyn Sql, who: Addressee<'_>) -> SqlResult<()> {
    sql.notify(&who.channel())
}

/// Wakes the worker of a run.
pub(crate) fn wake_worker_of(sql: &dyn Sql, run: i64) -> SqlResult<()> {
    let find = "SELECT worker FROM dispatches WHERE run = $1";
    let worker: Option<String> = sql.value(find, &values![run])?;
    worker.map_or(Ok(()), |worker| wake_in(sql, Addressee::Worker(&worker)))
}

/// News of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreNews {
    /// It listens, from now on.
    Open,
    /// It does not listen, for this reason. It tries again.
    Lost(String),
    /// The worker may have new runs, or runs to stop.
    Worker,
    /// The leader may have something to decide.
    Leader,
}

impl Store {
    /// Wakes the worker of a name, to see whether notifications arrive.
    pub fn wake_worker(&mut self, name: &str) -> Result<()> {
        self.transact(|sql| wake_in(sql, Addressee::Worker(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_worker_has_a_short_channel_of_its_own() {
        let long = "x".repeat(300);
        let names = ["a", "b", "", "a\"; DROP TABLE runs", &long];
        let mut channels: Vec<_> =
            names.iter().map(|name| Addressee::Worker(name).channel()).collect();
        channels.push(Addressee::Leader.channel());
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        assert!(channels.iter().all(|name| name.len() < 64 && name.chars().all(is_plain)));
        channels.sort();
        channels.dedup();
        assert_eq!(channels.len(), names.len() + 1);
    }
}

//! The machines that share a schedule: where a run can begin.

use std::{collections::BTreeMap, sync::Arc};

use super::reason::DecisionReason;
use crate::schedule::cron::stable_hash;

/// A machine that is alive, and has the jobs that are planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineRoom {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The number of runs that it may have at a time.
    pub room: u32,
    /// The number of runs that it has.
    pub running: u32,
}

impl MachineRoom {
    fn has(&self, needs: &BTreeMap<String, String>) -> bool {
        needs.iter().all(|(key, value)| self.labels.get(key) == Some(value))
    }
}

/// Returns the machine on which a run of a job begins: of those that have the labels it needs, and room, that with the
/// smallest part of its room in use. Of several the job has its own order, so that it stays on one machine, whose state it
/// knows, if that is as good as another. Otherwise returns the reason why there is none.
pub(super) fn choose<'m>(
    machines: &'m mut [MachineRoom],
    (job, needs): (&str, &BTreeMap<String, String>),
) -> Result<&'m mut MachineRoom, DecisionReason> {
    let words = || {
        let words: Vec<_> = needs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        words.join(" ")
    };
    let able = || machines.iter().filter(|machine| machine.has(needs) && machine.room > 0);
    if able().next().is_none() {
        return Err(DecisionReason::NoMachine { needs: words() });
    }
    let busy = |machine: &MachineRoom| {
        let part = u64::from(machine.running) * 1_000_000 / u64::from(machine.room);
        (part, stable_hash(&["machine", job, &machine.name]))
    };
    let free =
        machines.iter_mut().filter(|machine| machine.has(needs) && machine.running < machine.room);
    free.min_by_key(|machine| busy(machine))
        .ok_or_else(|| DecisionReason::NoRoom { needs: words() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn machine(name: &str, of: &[(&str, &str)], room: u32, running: u32) -> MachineRoom {
        MachineRoom { name: name.into(), labels: labels(of), room, running }
    }

    #[test]
    fn the_machine_with_the_labels_and_the_smallest_part_in_use_is_chosen() {
        let mut all = [
            machine("a", &[], 4, 2),
            machine("b", &[("network", "dmz"), ("disk", "big")], 8, 3),
            machine("c", &[("network", "dmz")], 2, 0),
        ];
        let mut chosen = |needs: &[(&str, &str)]| {
            choose(&mut all, ("job", &labels(needs))).map(|machine| {
                machine.running += 1;
                machine.name.to_string()
            })
        };
        let names: Vec<_> = (0..3).map(|_| chosen(&[]).unwrap()).collect();
        assert_eq!(names, ["c", "b", "b"]);
        assert_eq!(chosen(&[("network", "dmz"), ("disk", "big")]).unwrap(), "b");
        let none = chosen(&[("network", "lan")]).unwrap_err();
        assert_eq!(none.to_string(), "no machine with `network=lan` is there");
        assert_eq!(none.as_str(), "no-machine");
        while chosen(&[]).is_ok() {}
        let full = chosen(&[("network", "dmz")]).unwrap_err();
        assert_eq!(full.to_string(), "each machine with `network=dmz` runs as many as it may");
        assert_eq!(chosen(&[]).unwrap_err().to_string(), "each machine runs as many as it may");
    }
}

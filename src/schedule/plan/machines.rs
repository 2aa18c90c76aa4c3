//! The machines that share a schedule: where a run can begin.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::reason::DecisionReason;
use crate::{
    schedule::{cron::stable_hash, jobs::Job},
    store::fleet::WorkerRecord,
};

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
    /// The secrets that it does not have; with [`WorkerRecord::MORE`] among them it counts as one that has none.
    pub missing: BTreeSet<String>,
}

/// The needs of a job for a machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct JobNeeds<'j> {
    /// Its name.
    pub(super) name: &'j str,
    /// The labels.
    pub(super) labels: &'j BTreeMap<String, String>,
    /// The secrets.
    pub(super) secrets: &'j [String],
}

impl<'j> JobNeeds<'j> {
    /// Returns those of a job.
    pub(super) fn of(job: &'j Job) -> Self {
        Self { name: &job.name, labels: &job.needs, secrets: &job.secrets }
    }
}

impl MachineRoom {
    fn has(&self, needs: JobNeeds<'_>) -> bool {
        needs.labels.iter().all(|(key, value)| self.labels.get(key) == Some(value))
    }

    fn lacks(&self, secret: &str) -> bool {
        self.missing.contains(secret) || self.missing.contains(WorkerRecord::MORE)
    }

    fn has_secrets(&self, needs: JobNeeds<'_>) -> bool {
        !needs.secrets.iter().any(|name| self.lacks(name))
    }
}

/// Returns the machine on which a run of a job begins: of those that have the labels and the secrets it needs, and room, that
/// with the smallest part of its room in use. Of several the job has its own order, so that it stays on one machine, whose state
/// it knows, if that is as good as another. Otherwise returns the reason why there is none.
pub(super) fn choose<'m>(
    machines: &'m mut [MachineRoom],
    needs: JobNeeds<'_>,
) -> Result<&'m mut MachineRoom, DecisionReason> {
    let labels = || needs.labels.iter().map(|(key, value)| format!("{key}={value}"));
    let words = || labels().collect::<Vec<_>>().join(" ");
    let able = || machines.iter().filter(|machine| machine.has(needs) && machine.room > 0);
    if able().next().is_none() {
        return Err(DecisionReason::NoMachine { needs: words() });
    }
    if !able().any(|machine| machine.has_secrets(needs)) {
        let is_missing = |name: &&String| able().all(|machine| machine.lacks(name));
        let missing = needs.secrets.iter().filter(is_missing).map(|name| format!("secret:{name}"));
        return Err(DecisionReason::NoMachine {
            needs: labels().chain(missing).collect::<Vec<_>>().join(" "),
        });
    }
    let busy = |machine: &MachineRoom| {
        let part = u64::from(machine.running) * 1_000_000 / u64::from(machine.room);
        (part, stable_hash(&["machine", needs.name, &machine.name]))
    };
    let is_free = |machine: &&mut MachineRoom| {
        machine.has(needs) && machine.has_secrets(needs) && machine.running < machine.room
    };
    let free = machines.iter_mut().filter(is_free);
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
        let missing = BTreeSet::new();
        MachineRoom { name: name.into(), labels: labels(of), room, running, missing }
    }

    #[test]
    fn the_machine_with_the_labels_and_the_smallest_part_in_use_is_chosen() {
        let mut all = [
            machine("a", &[], 4, 2),
            machine("b", &[("network", "dmz"), ("disk", "big")], 8, 3),
            machine("c", &[("network", "dmz")], 2, 0),
        ];
        let mut chosen = |needs: &[(&str, &str)]| {
            let labels = labels(needs);
            let needs = JobNeeds { name: "job", labels: &labels, secrets: &[] };
            choose(&mut all, needs).map(|machine| {
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

    #[test]
    fn a_machine_without_a_secret_of_the_job_is_not_chosen() {
        let without = |name: &str, missing: &[&str]| MachineRoom {
            missing: missing.iter().map(|name| (*name).to_owned()).collect(),
            ..machine(name, &[("network", "dmz")], 2, 0)
        };
        // What is left of a list that was cut may be any secret.
        let cut = without("c", &["ftp", WorkerRecord::MORE]);
        let mut all = [without("a", &["ftp", "mail"]), without("b", &["mail"]), cut];
        let labels = labels(&[("network", "dmz")]);
        let mut chosen = |secrets: &[&str]| {
            let secrets: Vec<_> = secrets.iter().map(|name| (*name).to_owned()).collect();
            let needs = JobNeeds { name: "job", labels: &labels, secrets: &secrets };
            choose(&mut all, needs).map(|machine| machine.name.to_string())
        };
        assert_eq!(chosen(&["ftp"]).unwrap(), "b");
        let none = chosen(&["ftp", "mail"]).unwrap_err();
        assert_eq!(none.to_string(), "no machine with `network=dmz secret:mail` is there");
        assert!(chosen(&[]).is_ok());
    }
}

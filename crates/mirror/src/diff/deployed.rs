//! The parts of a difference that only deployments have: files of their own, and permissions.

use std::collections::BTreeSet;

use super::{
    super::{
        deploy_rules::{FileModes, ModeChange, has_below},
        plan::{Action, Step, TargetChange},
        three_way::Say,
        tree::Node,
    },
    Diff,
};

impl Diff<'_> {
    /// Returns true if a file that is not in the source was put there by a deployment and is as it was then.
    pub(super) fn may_undeploy(&mut self, path: &[u8], node: &Node) -> bool {
        let Some(pair) = self.deployed.and_then(|deployed| deployed.get(path)) else {
            self.counts.unknown += 1;
            return false;
        };
        if self.three.is_ours(path) || self.three.is_remote(pair, path, node) {
            return true;
        }
        self.drifted(path, TargetChange::Changed, Say::Kept);
        self.counts.skipped += 1;
        false
    }

    /// Returns true if a file of the target that is to go was put there by a deployment, as far as only such files go.
    pub(super) fn is_deployed(&self, path: &[u8]) -> bool {
        self.options.deploys && self.deployed.is_some_and(|deployed| deployed.contains_key(path))
    }

    pub(super) fn has_deployed_below(&self, path: &[u8]) -> bool {
        self.deployed.is_some_and(|deployed| has_below(deployed, path))
    }

    /// Returns the changes of permissions that follow `steps`: of what is new, and of what the target shows with others.
    pub(super) fn modes(&self, modes: FileModes, steps: &[Step]) -> Vec<ModeChange> {
        if modes == FileModes::Server {
            return Vec::new();
        }
        let is_made = |step: &&Step| matches!(step.act, Action::Put(_) | Action::MakeFolder);
        let new: BTreeSet<_> = steps.iter().filter(is_made).map(|step| &step.path[..]).collect();
        let change = |(path, node): (&[u8], &Node)| {
            let mode = modes.of(node)?;
            let is_new = new.contains(path);
            let now = self.target.get(path).and_then(|node| node.mode);
            let is_other = is_new || now.is_some_and(|now| now & 0o777 != mode & 0o777);
            is_other.then(|| ModeChange { path: path.to_vec(), mode, is_new })
        };
        self.source.nodes().filter_map(change).collect()
    }
}

//! The parts of the options of a mirror: each pass gets only its own.

use super::{
    endpoints::Direction,
    options::{Compare, MirrorOptions, OnConflict, StateIn},
    quota::Quotas,
    size_age_filter::SizeAgeFilter,
};
use portolan_fs::SymlinkPolicy;
use portolan_remote::transfer::InPlace;

/// The options by which files are compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct CompareOptions {
    pub(super) compare: Compare,
    pub(super) newer_only: bool,
    pub(super) on_conflict: OnConflict,
    /// True if each form of a file is sent once, whatever becomes of it in the target.
    pub(super) once: bool,
}

/// The options that decide about deletes, and the limits of a plan.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the user's, or follows from one"
)]
pub(super) struct DeleteGuard {
    pub(super) delete: bool,
    pub(super) max_delete: Option<u64>,
    pub(super) bounds: SizeAgeFilter,
    pub(super) caps: Quotas,
    /// True if temporary files that can be resumed are kept until all files have been transferred.
    pub(super) resume: bool,
    /// True for a deployment.
    pub(super) deploys: bool,
    /// True if only files are deleted that an earlier deployment put there.
    pub(super) only_owned: bool,
    /// True if source files are removed once their copies are proven.
    pub(super) moves: bool,
}

/// The options of transfers.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the user's")]
pub(super) struct TransferPolicy {
    pub(super) resume: bool,
    pub(super) preserve_times: bool,
    pub(super) staged: bool,
    /// True if a transfer whose size could not be verified counts as failed.
    pub(super) wants_proof: bool,
    pub(super) caps: Quotas,
    /// The policy for local symbolic links.
    pub(super) links: SymlinkPolicy,
}

/// The options of the session pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolOptions {
    pub(super) parallel: u16,
    pub(super) retries: u16,
    /// The use of final names during uploads; `None` means the setting of the connection.
    pub(super) in_place: Option<InPlace>,
}

/// The options about what is kept between runs, and about other runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct StatePolicy {
    /// The location of the state; `None` if none is kept.
    pub(super) state: Option<StateIn>,
    /// True if nothing may be changed without a recorded intent.
    pub(super) is_strict: bool,
    /// True if other runs must be kept out of the target.
    pub(super) wants_lock: bool,
    /// True if the state is that of deployments, which visitors of a site must not read.
    pub(super) deploys: bool,
}

impl MirrorOptions {
    /// Returns the options by which files are compared.
    pub(super) const fn comparison(&self) -> CompareOptions {
        let Self { compare, newer_only, on_conflict, once, .. } = *self;
        CompareOptions { compare, newer_only, on_conflict, once }
    }

    /// Returns the options that decide about deletes.
    pub(super) const fn delete_guard(&self) -> DeleteGuard {
        let Self { delete, max_delete, bounds, caps, resume, moves, .. } = *self;
        let (deploys, only_owned) = match &self.deploy {
            None => (false, false),
            Some(rules) => (true, !rules.deletes_unknown),
        };
        DeleteGuard { delete, max_delete, bounds, caps, resume, deploys, only_owned, moves }
    }

    /// Returns the options of transfers in this direction.
    pub(super) fn transfers(&self, direction: Direction) -> TransferPolicy {
        let Self { resume, preserve_times, staged, caps, .. } = *self;
        let (wants_proof, links) = (self.wants_proof(), self.links(direction));
        TransferPolicy { resume, preserve_times, staged, wants_proof, caps, links }
    }

    /// Returns the options of the session pool.
    pub(super) fn pool(&self) -> PoolOptions {
        let Self { parallel, retries, in_place, .. } = *self;
        let in_place = if self.staged { Some(InPlace::Never) } else { in_place };
        PoolOptions { parallel, retries, in_place }
    }

    /// Returns the options about what is kept between runs.
    pub(super) fn state_policy(&self) -> StatePolicy {
        // Size and time alone prove nothing that the next run could rely on.
        let is_kept = matches!(self.compare, Compare::Auto | Compare::Checksum);
        StatePolicy {
            state: is_kept.then_some(self.state),
            is_strict: matches!(self.on_conflict, OnConflict::Keep | OnConflict::Fail),
            wants_lock: self.staged || self.state == StateIn::Remote,
            deploys: self.deploy.is_some(),
        }
    }

    /// Returns the policy for local symbolic links. In a target none is ever followed.
    pub(super) const fn links(&self, direction: Direction) -> SymlinkPolicy {
        match direction {
            Direction::Up if self.follow_links => SymlinkPolicy::Within,
            _ => SymlinkPolicy::Refused,
        }
    }

    /// Returns true if a transfer whose size could not be verified counts as failed.
    fn wants_proof(&self) -> bool {
        self.verify.unwrap_or(self.delete)
    }
}
